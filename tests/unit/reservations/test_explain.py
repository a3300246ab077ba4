"""Sentences for people."""

from __future__ import annotations

import pytest

from reservations.explain import sentences
from reservations.model import Answer, Category, Decision, Signal, Value, Verdict

URL = "https://site.example/a"
DECIDING = (
    'Deciding: /robots.txt, line 2 says "Disallow: /a", which refuses crawl and tdm; by the letter it refuses crawl.'
)


def test_refusal_quotes_the_rule_with_its_line(decide_on, make_facts, registry):
    told = sentences(decide_on(make_facts("User-agent: *\nDisallow: /a")), URL, registry.reasons)
    assert told == [
        f"{URL} was not asked for.",
        "robots.txt disallows the URL for our product token or for all crawlers. (robots.disallow)",
        "This was decided on what the site's own files say, before the page was asked for.",
        DECIDING,
        "Closed for: crawl, tdm.",
        (
            "Looked at: /.well-known/ai.txt (404), /.well-known/tdmrep.json (404), /.well-known/trust.txt (404), "
            "/ai.txt (404), /robots.txt (200), /trust.txt (404)."
        ),
    ]


def test_other_statements_are_told_besides(decide_on, make_facts, make_head, registry):
    facts = make_facts(
        tdmrep='[{"location": "/", "tdm-reservation": 0}]',
        head=make_head(200, ("X-Robots-Tag", "otherbot: noai"), ("Content-Usage", "train-ai=n,;exceptions=x")),
    )
    told = "\n".join(sentences(decide_on(facts), URL, registry.reasons))
    assert "its head decided, and the body was not read" in told
    assert 'Deciding: the response header content-usage says "Content-Usage: train-ai=n,;exceptions=x"' in told
    assert "by the letter it says nothing; odd: malformed." in told
    assert "Also seen: /.well-known/tdmrep.json, rule 1" in told
    assert "which decides nothing; it is addressed to others" in told


def test_wait_and_target_are_told(decide_on, make_facts, make_head, registry):
    waiting = decide_on(make_facts(head=make_head(429, ("Retry-After", "60")), body=b""))
    assert "The site asks us to wait 60 seconds." in sentences(waiting, URL, registry.reasons)
    moved = decide_on(make_facts(head=make_head(301, ("Location", "/b"))))
    assert sentences(moved, URL)[0] == f"{URL} redirects to https://site.example/b, which is a URL of its own."


def test_kept_page_says_what_it_is_open_for(decide_on, make_facts, make_head):
    decision = decide_on(make_facts(head=make_head(), body=b"<p>x"))
    assert "Open for: genai-train." in sentences(decision, URL)


def test_use_that_a_licence_opens_is_not_told_as_closed():
    effective = {Category.TDM: Value.DENY, Category.GENAI_TRAIN: Value.DENY}
    decision = Decision(
        verdict=Verdict.KEPT, reason="p.no", gate="body", effective=effective, open=(Category.GENAI_TRAIN,)
    )
    told = sentences(decision, URL)
    assert "Closed for: tdm." in told
    assert "Open by the operator's licence alone: genai-train." in told


def test_condition_is_told(decide_on, make_facts, registry):
    decision = decide_on(
        make_facts(
            tdmrep='[{"location": "/", "tdm-reservation": 1, "tdm-policy": "https://p.example/"}]',
            documents={"https://p.example/": Answer(url="", status=404)},
        )
    )
    assert "conditions: https://p.example/" in "\n".join(sentences(decision, URL, registry.reasons))


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_has_its_sentence(verdict):
    decision = Decision(verdict=verdict, reason="made-up.reason", gate="made-up")
    told = sentences(decision, URL)
    assert URL in told[0]
    assert told[1:] == ["The reason is made-up.reason.", "The step that decided was made-up."]


def test_statement_on_a_carrier_of_a_later_kind_is_told_all_the_same():
    signal = Signal(
        protocol="p", reason="p.no", carrier="pigeon", source="body", vendor={Category.TDM: Value.UNDETERMINABLE}
    )
    decision = Decision(verdict=Verdict.HELD, reason="p.no", gate="body", signals=(signal,))
    assert "Deciding: body, which leaves unknown tdm; by the letter" not in sentences(decision, URL)
    assert any(text.startswith("Deciding: body, which leaves unknown tdm") for text in sentences(decision, URL))
