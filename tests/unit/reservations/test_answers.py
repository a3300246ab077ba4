"""What each protocol answered: where it was looked for, what was found, what it came to."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.answers import Looked, Weight, by_protocol
from reservations.model import Category, Decision, Signal, Value, Verdict


@pytest.fixture
def ask(decide_on, registry, policy):
    def ask(facts, policy=policy):
        answers = by_protocol(decide_on(facts, policy), registry.protocols, policy)
        return {answer.protocol: answer for answer in answers}

    return ask


def looked(answer):
    return {item.source: item.outcome for item in answer.looked if item.applies}


def test_every_protocol_in_force_has_its_row_in_order(ask, registry, make_facts):
    assert list(ask(make_facts("User-agent: *\nDisallow: /"))) == [protocol.id for protocol in registry.protocols]


def test_refusal_before_the_request_says_what_was_not_looked_at(ask, make_facts):
    answers = ask(make_facts("User-agent: *\nDisallow: /"))
    assert answers["rfc9309"].weight is Weight.DECISIVE
    assert [(said.where, said.text) for said in answers["rfc9309"].found] == [("/robots.txt, line 2", "Disallow: /")]
    assert looked(answers["rfc9309"]) == {"/robots.txt": "200"}
    assert looked(answers["tdmrep"]) == {"/.well-known/tdmrep.json": "404"}
    head = Looked("header tdm-reservation", "head", "not asked for", applies=False)
    meta = Looked('HTML <meta name="tdm-reservation">', "body", "not read", applies=False)
    assert {head, meta} <= set(answers["tdmrep"].looked)
    assert answers["tdmrep"].weight is Weight.SILENT


def test_place_that_the_format_has_not_is_told_apart_from_one_that_was_empty(ask, make_facts, make_head):
    page = ask(make_facts(head=make_head(), body=b"<!doctype html><title>t</title>"))
    picture = ask(
        make_facts(
            head=make_head(200, ("Content-Type", "image/png"), html=False), body=b"\x89PNG\r\n\x1a\n" + bytes(12)
        )
    )
    assert [item.outcome for item in page["iptc-plus"].looked] == ["another format (html)"] * 2
    assert looked(page["page-robots"])["body"] == "html"
    assert looked(picture["iptc-plus"]) == {"body": "image/png"}
    assert "body" not in looked(picture["page-robots"])


def test_two_that_close_are_told_apart_from_the_one_that_was_named(ask, make_facts, make_head):
    head = make_head(200, ("tdm-reservation", "1"), ("X-Robots-Tag", "noai, noarchive"))
    answers = ask(make_facts(head=head))
    assert (answers["tdmrep"].weight, answers["tdmrep"].decisive) == (Weight.DECISIVE, True)
    assert (answers["page-robots"].weight, answers["page-robots"].decisive) == (Weight.CLOSES, False)


def test_statement_that_closes_no_declared_use_counts(ask, make_facts, make_head):
    head = make_head(200, ("X-Robots-Tag", "noarchive"))
    assert ask(make_facts(head=head, body=b"<p>x"))["page-robots"].weight is Weight.COUNTS


def test_statement_that_does_not_bind_under_the_profile_is_noted(ask, make_facts, make_head, policy):
    letter = msgspec.structs.replace(policy, profile="letter")
    facts = make_facts(head=make_head(200, ("Content-Usage", "train-ai=n,;exceptions=x")), body=b"<p>x")
    answer = ask(facts, letter)["aipref"]
    assert answer.weight is Weight.NOTED
    assert "by the letter: nothing" in answer.says


def test_closing_statement_under_a_licence_is_lifted(registry, policy):
    signal = Signal(
        protocol="tdmrep", reason="tdmrep.reserved", carrier="http_field", source="head",
        effective={Category.TDM: Value.DENY}, strict={Category.TDM: Value.DENY},
    )  # fmt: skip
    kept = Decision(
        verdict=Verdict.KEPT, reason="policy.open", gate="body", signals=(signal,), open=(Category.GENAI_TRAIN,)
    )
    (answer,) = [one for one in by_protocol(kept, registry.protocols, policy) if one.protocol == "tdmrep"]
    assert answer.weight is Weight.LIFTED


def test_documents_elsewhere_are_told_by_who_spoke_there_or_whose_file_it_is(registry, policy):
    licence = "https://licences.example/l.rsl"
    signal = Signal(protocol="rsl", reason="rsl.not-permitted", carrier="named", source=licence, locator="licence 1")
    elsewhere = "https://other.example/.well-known/tdmrep.json"
    consulted = {licence: "200", elsewhere: "404", "head": "200"}
    decision = Decision(verdict=Verdict.KEPT, reason="x.y", gate="body", signals=(signal,), consulted=consulted)
    answers = {answer.protocol: looked(answer) for answer in by_protocol(decision, registry.protocols, policy)}
    assert answers["rsl"][licence] == "200"
    assert licence not in answers["tdmrep"]
    assert answers["tdmrep"][elsewhere] == "404"
    assert elsewhere not in answers["rsl"]


VALUES = st.dictionaries(st.sampled_from(Category), st.sampled_from(Value), max_size=3)
SIGNALS = st.builds(
    Signal,
    protocol=st.sampled_from(["tdmrep", "rsl", "cawg", "aipref"]),
    reason=st.sampled_from(["a.b", "c.d"]),
    carrier=st.sampled_from(["well_known", "http_field", "html_meta", "xmp"]),
    source=st.sampled_from(["/robots.txt", "head", "body"]),
    strict=VALUES, effective=VALUES, vendor=VALUES,
)  # fmt: skip


@given(st.lists(SIGNALS, max_size=6), st.dictionaries(st.sampled_from(["head", "body", "/ai.txt"]), st.text()))
def test_no_statement_is_left_out_and_only_the_reason_is_decisive(registry, policy, signals, consulted):
    decision = Decision(verdict=Verdict.HELD, reason="a.b", gate="body", signals=tuple(signals), consulted=consulted)
    answers = by_protocol(decision, registry.protocols, policy)
    assert sum(len(answer.found) for answer in answers) == len(signals)
    assert {answer.protocol for answer in answers if answer.decisive} == {
        signal.protocol for signal in signals if signal.reason == "a.b"
    }
    assert msgspec.json.encode(answers)
