"""An origin's files: what their answers mean, before and after they are read."""

from __future__ import annotations

import msgspec
import pytest

from reservations.memory import Memory
from reservations.model import Answer, Decision, Header, Wants
from reservations.policy import Policy

FAILURES = [
    "timeout",
    "reset",
    "dns",
    "tls",
    "incomplete",
    "too-large",
    "inflation",
    "too-many-redirects",
    "blocklisted",
]


def with_settings(policy_text, **settings):
    lines = policy_text.splitlines()
    for name, value in settings.items():
        lines = [f'{name} = "{value}"' if line.startswith(f"{name} =") else line for line in lines]
    lines += ["[[approvals]]", 'setting = "profile"', 'approver = "A. Person"', 'reason = "tests of the profiles"']
    lines.append('date = "2026-11-22"')
    return Policy.from_toml("\n".join(lines), file="p.toml")


@pytest.mark.parametrize("profile", ["strict", "standard", "letter"])
@pytest.mark.parametrize(
    "answer",
    [Answer(url="", failure=word) for word in FAILURES] + [Answer(url="", status=s) for s in (429, 500, 503, 302)],
)
def test_robots_that_cannot_be_read_is_tried_again_and_then_refused(
    decide_on, make_facts, policy_text, profile, answer
):
    policy = with_settings(policy_text, profile=profile)
    first = decide_on(make_facts(answer), policy)
    last = decide_on(make_facts(answer, attempt=3), policy)
    assert (first.verdict, first.reason, first.gate) == ("deferred", "robots.unreachable", "origin")
    assert (last.verdict, last.reason) == ("refused", "robots.unreachable")


@pytest.mark.parametrize("status", [401, 402, 403, 407, 451])
def test_robots_that_is_refused_refuses_the_crawl_but_by_the_letter(
    registry, decide_on, make_facts, policy_text, status
):
    facts = make_facts(Answer(url="", status=status))
    for profile in ("strict", "standard"):
        decision = decide_on(facts, with_settings(policy_text, profile=profile))
        assert (decision.verdict, decision.reason) == ("refused", "access.denied")
    assert isinstance(registry.examine(facts, with_settings(policy_text, profile="letter"), "ExampleBot"), Wants)


@pytest.mark.parametrize("answer", [Answer(url="", status=s) for s in (404, 410, 400, 418)])
def test_robots_that_is_absent_opens_the_site(registry, policy, make_facts, answer):
    assert registry.examine(make_facts(answer), policy, "ExampleBot").what == "head"


def test_body_of_a_404_is_not_read(registry, policy, make_facts):
    answer = Answer(url="", status=404, body=b"User-agent: *\nDisallow: /")
    assert registry.examine(make_facts(answer), policy, "ExampleBot").what == "head"
    broken = Answer(url="", status=404, failure="timeout")
    assert registry.examine(make_facts(broken), policy, "ExampleBot").what == "head"


def test_wait_that_robots_asks_for_is_passed_on(decide_on, make_facts):
    answer = Answer(url="", status=503, headers=(Header("Retry-After", "77"),))
    assert decide_on(make_facts(answer)).retry_after_s == 77


@pytest.mark.parametrize(
    "answer",
    [
        Answer(url="", status=503),
        Answer(url="", status=429),
        Answer(url="", failure="timeout"),
        Answer(url="", status=200, failure="incomplete", body=b"[]"),
        Answer(url="", status=200, truncated=True, body=b"[]"),
        Answer(url="", status=200, body=b"[" * 100_000),
    ],
)
def test_reservation_file_that_cannot_be_read(registry, decide_on, make_facts, policy_text, answer):
    facts, last = make_facts(tdmrep=answer), make_facts(tdmrep=answer, attempt=3)
    strict = decide_on(facts, with_settings(policy_text, profile="strict"))
    assert (strict.verdict, strict.reason) == ("refused", "tdmrep.unreachable")
    standard = with_settings(policy_text, profile="standard")
    assert [decide_on(item, standard).verdict for item in (facts, last)] == ["deferred", "held"]
    assert decide_on(facts, standard).effective == {"tdm": "undeterminable"}
    letter = with_settings(policy_text, profile="letter")
    assert isinstance(registry.examine(facts, letter, "ExampleBot"), Wants)
    assert "tdmrep.unreachable" in {s.reason for s in registry.signals(facts, letter, "ExampleBot")}


def test_reservation_file_that_robots_forbids_is_not_wanted(registry, policy, policy_text, make_facts):
    robots = "User-agent: *\nDisallow: /.well-known/"
    facts = make_facts(robots, None)
    wants = registry.examine(facts, policy, "ExampleBot")
    assert wants.what == "head"
    strict = registry.examine(facts, with_settings(policy_text, profile="strict"), "ExampleBot")
    assert isinstance(strict, Decision)
    assert (strict.verdict, strict.reason) == ("refused", "tdmrep.forbidden")
    assert strict.consulted["/.well-known/tdmrep.json"] == "forbidden"
    reported = make_facts(robots, Answer(url="", failure="robots"))
    assert registry.examine(reported, policy, "ExampleBot").what == "head"


def test_page_in_place_of_a_file_is_told_in_consulted(decide_on, make_facts, make_head):
    page = b"<!doctype html><p>User-agent: *\nDisallow: /"
    decision = decide_on(make_facts(page, page, make_head(), b"<p>x</p>"))
    assert decision.verdict == "kept"
    assert decision.consulted["/.well-known/tdmrep.json"] == "soft-404"
    assert ("robots.note", ("html_robots",)) in {(s.reason, s.issues) for s in decision.signals}


def test_robots_that_is_too_complex_is_tried_again_and_then_refused(decide_on, make_facts):
    rules = "".join(f"Disallow: /*{'a' * 90}{n}*b\n" for n in range(4000))
    facts = make_facts(f"User-agent: *\n{rules}", url="https://site.example/" + "a" * 7000)
    first, last = decide_on(facts), decide_on(msgspec.structs.replace(facts, attempt=3))
    assert (first.verdict, first.reason) == ("deferred", "robots.too-complex")
    assert (last.verdict, last.reason) == ("refused", "robots.too-complex")


def test_least_recently_used_is_forgotten_first():
    memory, made = Memory(2), []
    sources = [object() for _ in range(3)]

    def ask(number):
        return memory.get((sources[number],), "", lambda: made.append(number) or number)

    assert [ask(number) for number in (0, 1, 0, 2, 0, 1)] == [0, 1, 0, 2, 0, 1]
    assert made == [0, 1, 2, 1]


def test_rule_of_robots_is_quoted_with_its_line(decide_on, make_facts):
    decision = decide_on(make_facts("User-agent: *\nDisallow: /b\nDisallow: /a # ours"))
    (signal,) = decision.signals
    assert (signal.source, signal.locator, signal.excerpt) == ("/robots.txt", "line 3", "Disallow: /a")


def test_leniency_refuses_in_effect_and_not_by_the_letter(decide_on, make_facts):
    decision = decide_on(make_facts("User-agent: *\nDissallow: /a"))
    refusal = next(s for s in decision.signals if s.reason == "robots.disallow")
    assert (refusal.strict, refusal.effective["crawl"], refusal.issues) == ({}, "deny", ("key_spelling",))


def test_group_of_the_operator_does_not_lift_the_house_token(decide_on, make_facts):
    robots = "User-agent: ExampleBot\nAllow: /\n\nUser-agent: KnockfirstBot\nDisallow: /"
    assert decide_on(make_facts(robots)).reason == "robots.disallow"


def test_rules_for_others_follow_the_setting(registry, make_facts, policy_text):
    facts = make_facts("User-agent: GPTBot\nUser-agent: CCBot\nDisallow: /")
    weak = (
        '\n[[approvals]]\nsetting = "tokens"\napprover = "A. Person"\nreason = "tests of tokens"\ndate = "2026-11-22"\n'
    )
    own = Policy.from_toml(policy_text.replace('tokens = "class"', 'tokens = "own"') + weak, file="p.toml")
    decided = registry.examine(facts, with_settings(policy_text), "ExampleBot")
    assert (decided.verdict, decided.reason) == ("refused", "tokens.class")
    assert isinstance(registry.examine(facts, own, "ExampleBot"), Wants)


def test_crawl_delay_and_sitemaps_are_handed_on(registry, make_facts):
    facts = make_facts("Sitemap: https://site.example/s.xml\nUser-agent: *\nCrawl-delay: 7\nDisallow: /x")
    assert registry.crawl_delay_s(facts, "ExampleBot") == 7
    assert registry.sitemaps(facts) == ("https://site.example/s.xml",)
    assert registry.crawl_delay_s(make_facts(None), ("ExampleBot",)) == 0
    assert registry.sitemaps(make_facts(Answer(url="", status=503))) == ()


def test_files_are_remembered_by_their_answer_only(registry, policy, make_facts):
    verdicts = []
    for robots in ("User-agent: *\nDisallow: /", "User-agent: *\nAllow: /") * 20:
        verdicts.append(isinstance(registry.examine(make_facts(robots), policy, "ExampleBot"), Decision))
    assert verdicts == [True, False] * 20


def test_endless_lines_that_name_documents_are_bounded_and_a_late_one_still_counts(registry, policy, make_facts):
    same = "License: https://lic.example/l.xml\n" * 3000
    late = make_facts(f"User-agent: *\nAllow: /\n{same}License: https://lic.example/late.xml\n")
    wanted = registry.examine(late, policy, "ExampleBot")
    assert [one.url for one in (wanted, *wanted.beside)] == [
        "https://lic.example/l.xml",
        "https://lic.example/late.xml",
    ]
    many = "".join(f"License: https://lic.example/{number}.xml\n" for number in range(3000))
    decision = registry.examine(make_facts(f"User-agent: *\nAllow: /\n{many}"), policy, "ExampleBot")
    assert (decision.verdict, decision.reason) == ("held", "rsl.unreadable")
    assert len(decision.signals) <= 100
