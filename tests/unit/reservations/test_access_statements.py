"""What operators of sites sign: it settles a doubt on their own site, until it expires, and lifts nothing."""

from __future__ import annotations

import datetime as dt
import json

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from reservations.access.reviews import Reviews
from reservations.datafile import DefinitionError
from reservations.model import Verdict
from reservations.registry import Registry
from reservations.signed_note import public_line, signature_line

KEY = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"\2" * 32)
NAME = "site.example/desk"
TEXT = """\
site = "site.example"
says = "open"
because = "The script only counts readers."
date = "2026-11-22"
expires = "2027-05-01"
"""
VENDOR = b'<script src="https://cdn.tinypass.com/x.js"></script><p>The ferry turned back because of a cow.</p>'
CLOSED = b'<meta property="article:content_tier" content="locked">' + VENDOR
STAFF = """
[[sites]]
host = "site.example"
reason = "access.unclear"
finding = "closed"
by = "A. Example"
why = "Their own pages say so"
decided = "2026-11-22"
expires = "2027-05-01"
evidence = "entry 7"
"""


def signed(text=TEXT, key=KEY):
    return f"{text}\n{signature_line(text.encode(), NAME, key).decode()}"


def filed(note=None, **changed):
    row = {
        "host": "site.example",
        "key": public_line(NAME, KEY.public_key()),
        "key_from": "https://site.example/key.txt",
        "by": "A. Example",
        "added": "2026-11-23",
        "note": signed() if note is None else note,
        **changed,
    }
    return "[[statements]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in row.items())


@pytest.fixture
def decided(protocol_texts, policy, make_facts, make_head):
    def decide(reviews, body=VENDOR, url="https://site.example/a", day="2026-12-01", status=200):
        at = int(dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC).timestamp() * 1000)
        head = msgspec.structs.replace(make_head(), status=status)
        facts = msgspec.structs.replace(make_facts(head=head, body=body), url=url, at=at)
        return Registry.load(protocol_texts, reviews).examine(facts, policy, "ExampleBot")

    return decide


def test_signed_statement_settles_the_doubt_and_says_whose_it_is(decided):
    assert decided("").verdict is Verdict.HELD
    decision = decided(filed())
    assert decision.verdict is Verdict.KEPT
    (told,) = [signal for signal in decision.signals if signal.reason == "access.reviewed"]
    for words in (NAME, "https://site.example/key.txt", "A. Example", "only counts readers", "until 2027-05-01"):
        assert words in told.excerpt


@pytest.mark.parametrize(
    ("text", "url", "day"),
    [
        (TEXT, "https://www.site.example/a", "2026-12-01"),
        (TEXT, "https://site.example/a", "2026-11-21"),
        (TEXT, "https://site.example/a", "2027-05-02"),
        (TEXT + 'path = "/b"\n', "https://site.example/a", "2026-12-01"),
    ],
)
def test_statement_counts_for_its_own_pages_and_days_alone(decided, text, url, day):
    assert decided(filed(signed(text)), url=url, day=day).verdict is Verdict.HELD


def test_statement_lifts_neither_a_declaration_nor_a_denial_nor_what_staff_closed(decided):
    assert decided(filed(), body=CLOSED).reason == "access.paywall-declared"
    assert decided(filed(), status=403).reason == "access.denied"
    for text in (STAFF + filed(), filed() + STAFF):
        assert decided(text).reason == "access.reviewed"
        assert decided(text).verdict is not Verdict.KEPT


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"note": signed().replace("2027", "2028")}, "changed after signing"),
        ({"note": signed(key=OTHER)}, "is not signed with the key site.example/desk+"),
        ({"note": TEXT}, "no empty line with a signature"),
        ({"note": signed(TEXT + "# " + "x" * 20_000 + "\n")}, "longer than"),
        ({"note": ""}, "no empty line"),
        ({"key": "site.example/desk+00000000+AAAA"}, "not a public key"),
        ({"key": public_line(NAME, KEY.public_key()).replace("desk", "dask")}, "does not fit its number"),
        ({"host": "other.example"}, "is about site.example, and the key was given by other.example"),
        ({"note": signed(TEXT.replace('"open"', '"closed"'))}, "says"),
        ({"note": signed(TEXT.replace("site =", "place ="))}, "unknown key"),
        ({"note": signed("says = [\n")}, "not valid TOML"),
        ({"note": signed(TEXT.replace("2027-05", "2028-05"))}, "within 366 days"),
        ({"note": signed(TEXT.replace("2027-05", "2026-02"))}, "within 366 days"),
        ({"note": signed(TEXT.replace("site.example", "Site.example")), "host": "Site.example"}, "write site.example"),
        ({"key_from": "mail"}, "length at least 10"),
    ],
)
def test_statement_that_does_not_hold_is_refused_with_its_place(changed, problem):
    with pytest.raises(DefinitionError) as error:
        Reviews.from_toml("\n" + filed(**changed), file="reviews/sites.toml")
    assert str(error.value).startswith("reviews/sites.toml:")
    assert "statements[0]" in str(error.value)
    assert problem in str(error.value)


def test_all_faults_of_a_file_are_told_together():
    text = filed(signed(key=OTHER)) + filed(host="other.example") + STAFF.replace("site.example", "Site.example")
    with pytest.raises(DefinitionError) as error:
        Reviews.from_toml(text)
    assert sorted(fault.key for fault in error.value.faults) == [
        "sites[0].host",
        "statements[0].note",
        "statements[1].note",
    ]
