"""What a page says to other crawlers, and what follows from it for us."""

from __future__ import annotations

import msgspec
import pytest

from reservations.model import Decision

PAGE = "<!doctype html><head>{}</head><p>x"


@pytest.fixture
def say(registry, policy, make_facts, make_head):
    """The deciding reason of a page with these metas and X-Robots-Tag lines."""

    def say(*lines, metas="", tokens="class", token="ExampleBot"):
        facts = make_facts(
            head=make_head(200, *(("X-Robots-Tag", line) for line in lines)), body=PAGE.format(metas).encode()
        )
        decision = registry.examine(facts, msgspec.structs.replace(policy, tokens=tokens), token)
        assert isinstance(decision, Decision)
        return decision

    return say


def meta(name, content="nofollow"):
    return f'<meta name="{name}" content="{content}">'


@pytest.mark.parametrize(
    ("tokens", "one", "two", "extended"),
    [
        ("own", "policy.open", "policy.open", "policy.open"),
        ("class", "policy.open", "tokens.class", "tokens.class"),
        ("any", "tokens.class", "tokens.class", "tokens.class"),
    ],
)
def test_refusals_to_others_follow_the_setting(say, tokens, one, two, extended):
    assert say("gptbot: noai", tokens=tokens).reason == one
    assert say("GPTBot: noai, CCBot: noindex", tokens=tokens).reason == two
    assert say("GPTBot: noai, CCBot: noai", tokens=tokens).reason == two
    assert say(metas=meta("CCBot"), tokens=tokens).reason == one
    assert say(metas=meta("CCBot") + meta("GPTBot", "noai"), tokens=tokens).reason == two
    assert say("google-extended: noai", tokens=tokens).reason == extended


def test_head_and_page_are_taken_together(say):
    decision = say("gptbot: noai", metas=meta("CCBot"))
    (concluded,) = (signal for signal in decision.signals if signal.protocol == "tokens")
    assert (concluded.source, concluded.locator) == ("body", "meta 1 (ccbot), x-robots-tag (gptbot)")
    assert concluded.effective == {"tdm": "deny"}
    assert concluded.strict == {}


def test_two_tokens_of_one_operator_are_one(say):
    decision = say("claudebot: noai, anthropic-ai: noai")
    assert decision.reason == "policy.open"
    assert ("not_inferred",) in {signal.issues for signal in decision.signals if signal.protocol == "tokens"}


def test_statement_to_us_is_conclusive(say):
    for ours in ("nofollow", "index", "max-snippet:-1", "noarchive"):
        assert say(f"gptbot: noai, ccbot: noai, examplebot: {ours}").reason == "policy.open"
    assert say("gptbot: noai, ccbot: noai, otherbot: index").reason == "tokens.class"


def test_scrapy_is_read_as_ours(say):
    assert say("scrapy: noai").reason == "tokens.own"


def test_search_engines_and_unknown_bots_say_nothing(say):
    assert say("googlebot: noindex, otherbot: noai", metas=meta("bingbot")).reason == "policy.open"


def test_very_many_tokens_are_counted(say, registry):
    listed = [entry for _, tokens in registry._sight._concluding for entry in tokens.binding]
    names = [entry.token for entry in listed if entry.token.isalpha()]
    decision = say(", ".join(f"{name}: noai" for name in names))
    assert any(" more" in signal.locator for signal in decision.signals)
