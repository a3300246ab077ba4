"""The suites of cases, and that the runner itself notices disagreement."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reservations.vectors import protocols_of, run_case

_FOLDER = Path(__file__).resolve().parents[2] / "vectors"


def _cases(name):
    suite = json.loads((_FOLDER / name).read_text("utf-8"))
    return [pytest.param(suite["kind"], case, id=case["id"]) for case in suite["cases"]]


@pytest.mark.parametrize(("kind", "case"), _cases("reservations.json"))
def test_reservation_case_agrees(kind, case, registry, policy):
    assert run_case(kind, case, registry, policy) is None


@pytest.mark.parametrize(("kind", "case"), [*_cases("sentences.json"), *_cases("metas.json")])
def test_case_of_sentences_and_metas_agrees(kind, case, registry, policy):
    assert run_case(kind, case, registry, policy) is None


@pytest.mark.parametrize(("kind", "case"), _cases("assets.json"))
def test_case_of_files_agrees(kind, case, registry, policy):
    assert run_case(kind, case, registry, policy) is None


@pytest.mark.parametrize(("kind", "case"), _cases("robots.json"))
def test_robots_case_agrees(kind, case, registry, policy):
    assert run_case(kind, case, registry, policy) is None


def test_case_that_expects_otherwise_is_told_in_one_line(registry, policy):
    case = {
        "protocol": "P03",
        "url": "https://site.example/a",
        "origin": {"/.well-known/tdmrep.json": {"status": 200, "body": '[{"location": "/", "tdm-reservation": 1}]'}},
        "expect": {
            "effective": {"tdm": "allow"},
            "strict": {"tdm": "unset"},
            "crawl": "deny",
            "issues": ["value"],
            "outcome": "kept",
        },
    }
    told = run_case("reservation", case, registry, policy)
    assert told == (
        "strict tdm: expected unset, got deny; effective tdm: expected allow, got deny; "
        "crawl: expected deny, got allow; issues: missing value, seen none; "
        "outcome: expected kept, got refused tdmrep.reserved"
    )


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        ("refused", None),
        ("refused tdmrep.reserved", None),
        ("refused tdmrep.terms", "outcome: expected refused tdmrep.terms, got refused tdmrep.reserved"),
    ],
)
def test_outcome_is_a_verdict_or_a_verdict_with_its_reason(registry, policy, outcome, told):
    files = {"/.well-known/tdmrep.json": {"status": 200, "body": '[{"location": "/", "tdm-reservation": 1}]'}}
    case = {"protocol": "P03", "url": URL, "origin": files, "expect": {"outcome": outcome}}
    assert run_case("reservation", case, registry, policy) == told


def test_misspelt_expectation_is_no_agreement(registry, policy):
    case = {"protocol": "P03", "url": URL, "origin": {}, "expect": {"effectve": {"tdm": "deny"}}}
    assert run_case("reservation", case, registry, policy).startswith("expect: unknown effectve, allowed: strict, ")


def test_robots_case_that_expects_otherwise_names_the_line(registry, policy):
    case = {"robots": "User-agent: *\nDisallow: /", "agent": "ExampleBot", "url": URL, "expect": "allow"}
    assert run_case("robots", case, registry, policy) == "expected allow, got deny (line 2)"


def test_unknown_kind_names_the_kinds_there_are(registry, policy):
    assert "robots, reservation, access" in run_case("other", {}, registry, policy)


def test_redirects_of_an_origin_file_are_followed_five_times(registry, policy):
    def chain(hops):
        files = {f"/{n}": {"status": 301, "headers": [["Location", f"/{n + 1}"]]} for n in range(1, hops)}
        files["/robots.txt"] = {"status": 302, "headers": [["location", "/1"]]}
        files[f"/{hops}"] = {"status": 200, "body": "User-agent: *\nAllow: /"}
        return {"protocol": "P01", "url": URL, "origin": files, "expect": {"crawl": "allow"}}

    assert run_case("reservation", chain(5), registry, policy) is None
    assert "crawl: expected allow, got deny" in run_case("reservation", chain(6), registry, policy)


def test_failed_origin_file_is_no_absence(registry, policy):
    case = {"protocol": "P01", "url": URL, "origin": {"/robots.txt": {"error": "timeout"}}, "expect": {"crawl": "deny"}}
    assert run_case("reservation", case, registry, policy) is None


def test_outcome_without_response_says_what_is_wanted(registry, policy):
    case = {"protocol": "P01", "url": URL, "origin": {}, "expect": {"outcome": "kept"}}
    assert run_case("reservation", case, registry, policy) == "outcome: expected kept, got wants the head"


def test_each_name_of_the_suites_belongs_to_a_protocol(registry):
    assert protocols_of("P01", registry) == ["rfc9309", "tokens"]
    assert protocols_of("P99", registry) == []


URL = "https://site.example/a"
