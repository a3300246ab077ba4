"""What the rules make of a listed URL, at each step of its way, and of one that a listed site leads to."""

import datetime as dt
import json

import pytest

from blocklists.build import compile_build
from blocklists.match import Blocklist
from provenance.rules import Rules
from reservations.model import Answer, Facts, Head, Hop, Verdict, Wants

NOW = dt.datetime(2026, 11, 22, 9, tzinfo=dt.UTC)
AT = int(NOW.timestamp() * 1000)
DECISION = """
id = "own-1"
authority = "The operator"
authority_type = "other"
country = "DE"
date = 2026-03-02
legal_basis = "none"
finding = "none"
language = "de"
tier = 4
open_ended = true
review_by = 2027-09-01
[[host]]
host = "listed.example"
match = "domain"
role = "primary"
status = "active"
added = 2026-03-03
added_by = "a"
approved_by = ["b", "c"]
verified_on = 2026-09-01
"""
CLOSED = """status = "suspended"
changed_on = 2026-11-01
changed_by = "b"
change_cause = "objection"
change_reference = "x\""""


@pytest.fixture(scope="module")
def plain():
    return Rules.load(tokens=("KnockfirstBot",))


def _listing(rules, text=DECISION):
    build = compile_build(
        {"d.toml": text}, version="2026.11.22-1", now=NOW, is_public_suffix=lambda _: False, suffix_list="test"
    )
    return rules.with_blocklist(Blocklist.open(build.indexed, build.manifest), build.manifest)


@pytest.mark.parametrize(
    ("learnt", "verdict", "gate"),
    [
        ({}, Verdict.REFUSED, "blocklist"),
        ({"head": Head(status=200, headers=())}, Verdict.ABORTED, "head"),
        ({"head": Head(status=200, headers=()), "body": b"x"}, Verdict.DISCARDED, "body"),
    ],
)
def test_listed_url_is_told_by_how_far_it_came(plain, learnt, verdict, gate):
    facts = Facts(url="https://www.listed.example/", at=AT, **learnt)
    decision = _listing(plain).examine(facts)
    assert (decision.verdict, decision.gate, decision.reason) == (verdict, gate, "blocklist.listed")
    held = _listing(plain, DECISION.replace('status = "active"', CLOSED)).examine(facts)
    assert (held.verdict, held.gate) == (Verdict.HELD, gate)


def test_what_was_learnt_before_the_list_came_is_named(plain):
    robots = {"/robots.txt": Answer(url="https://listed.example/robots.txt", status=404)}
    decision = _listing(plain).examine(Facts(url="https://listed.example/", at=AT, documents=robots))
    assert decision.consulted == {"/robots.txt": "404"}


def test_site_that_a_listed_one_leads_to_is_held_and_not_called_listed(plain):
    hops = (Hop("https://listed.example/", 301, "https://new.example/"),)
    decision = _listing(plain).examine(Facts(url="https://new.example/", at=AT, redirected_from=hops))
    assert (decision.verdict, decision.reason) == (Verdict.HELD, "blocklist.listed")
    assert "redirected-from-listed" in decision.signals[0].issues
    assert isinstance(_listing(plain).examine(Facts(url="https://new.example/", at=AT)), Wants)


def test_other_list_makes_other_rules_of_the_same_policy(plain):
    one, other = _listing(plain), _listing(plain, DECISION.replace("own-1", "own-2"))
    assert len({plain.digest, one.digest, other.digest}) == 3
    assert one.policy.digest == other.policy.digest == plain.policy.digest
    assert json.loads(one.bundle.blocklist_manifest)["version"] == "2026.11.22-1"
