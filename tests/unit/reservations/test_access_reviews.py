"""What people decide on sites: it settles one doubt on the site it names, until it expires, and lifts no refusal."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from reservations.access.reviews import Reviews, review_faults
from reservations.datafile import DefinitionError
from reservations.model import Verdict
from reservations.registry import Registry

URL = "https://site.example/a"
VENDOR = b'<script src="https://cdn.tinypass.com/x.js"></script><p>The ferry turned back because of a cow.</p>'
CLOSED = b'<meta property="article:content_tier" content="locked">' + VENDOR
ROW = {
    "host": "site.example",
    "reason": "access.unclear",
    "finding": "open",
    "by": "A. Example",
    "why": "It only counts readers; asked",
    "decided": "2026-11-22",
    "expires": "2027-05-01",
    "evidence": "crawler.example/web/1, entry 7",
}


def toml(**changed):
    row = {key: value for key, value in {**ROW, **changed}.items() if value is not None}
    return "[[sites]]\n" + "".join(f'{key} = "{value}"\n' for key, value in row.items())


def at(day):
    return int(dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC).timestamp() * 1000)


@pytest.fixture
def decided(protocol_texts, policy, make_facts, make_head):
    def decide(reviews, body=VENDOR, url=URL, day="2026-12-01"):
        registry = Registry.load(protocol_texts, reviews)
        facts = msgspec.structs.replace(make_facts(head=make_head(), body=body), url=url, at=at(day))
        return registry.examine(facts, policy, "ExampleBot")

    return decide


def test_open_settles_the_doubt_and_says_who_decided(decided):
    assert decided("").verdict is Verdict.HELD
    decision = decided(toml())
    assert decision.verdict is Verdict.KEPT
    (told,) = [signal for signal in decision.signals if signal.reason == "access.reviewed"]
    assert told.excerpt == "open, by A. Example on 2026-11-22, until 2027-05-01: It only counts readers; asked"
    (settled,) = [signal for signal in decision.signals if signal.reason == "access.unclear"]
    assert (settled.effective, settled.issues) == ({}, ("reviewed",))


def test_closed_refuses_the_site_before_anything_is_asked_for(protocol_texts, policy, make_facts):
    registry = Registry.load(protocol_texts, toml(finding="closed"))
    decision = registry.examine(msgspec.structs.replace(make_facts(), at=at("2026-12-01")), policy, "ExampleBot")
    assert (decision.verdict, decision.reason) == (Verdict.REFUSED, "access.reviewed")


@pytest.mark.parametrize(
    ("changed", "url", "day"),
    [
        ({}, "https://www.site.example/a", "2026-12-01"),
        ({}, "https://other.example/a", "2026-12-01"),
        ({}, URL, "2026-11-21"),
        ({}, URL, "2027-05-02"),
        ({"path": "/b"}, URL, "2026-12-01"),
        ({"path": "/aa"}, URL, "2026-12-01"),
        ({"reason": "tdmrep.unreachable"}, URL, "2026-12-01"),
    ],
)
def test_decision_counts_for_nothing_else(decided, changed, url, day):
    assert decided(toml(**changed), url=url, day=day).verdict is Verdict.HELD


@pytest.mark.parametrize("path", ["/a", "/", "/a/"])
def test_path_counts_at_and_below(decided, path):
    assert decided(toml(path=path), url="https://site.example/a/b").verdict is Verdict.KEPT


def test_open_never_lifts_a_declaration(decided):
    decision = decided(toml() + toml(reason="access.paywall-declared"), body=CLOSED)
    assert (decision.verdict, decision.reason) == (Verdict.DISCARDED, "access.paywall-declared")


def test_last_decision_on_a_site_counts(decided):
    assert decided(toml(finding="closed") + toml()).verdict is Verdict.KEPT
    assert decided(toml() + toml(finding="closed")).reason == "access.reviewed"


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"host": "Site.example"}, "write site.example"),
        ({"host": "https://site.example"}, "no host name"),
        ({"host": "site.example:8080"}, "no host name"),
        ({"expires": "2028-01-01"}, "within 366 days"),
        ({"expires": "2026-11-21"}, "within 366 days"),
        ({"expires": "2026-02-31"}, "calendar"),
        ({"by": ""}, "length at least 1"),
        ({"why": "because"}, "length at least 10"),
        ({"finding": "free"}, "open, closed"),
        ({"evidence": None}, "missing"),
        ({"scope": "all"}, "unknown key"),
    ],
)
def test_fault_is_named_with_its_place(changed, problem):
    with pytest.raises(DefinitionError) as error:
        Reviews.from_toml(toml(**changed), file="reviews/sites.toml")
    assert str(error.value).startswith("reviews/sites.toml:")
    assert problem in str(error.value)


def test_faults_are_handed_to_who_lints():
    assert review_faults(toml(), "x.toml") == ()
    assert [fault.key for fault in review_faults(toml(host="A.example"), "x.toml")] == ["sites[0].host"]
