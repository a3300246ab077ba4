"""From facts to decision: what is wanted in which order, and what holds for all facts."""

from __future__ import annotations

import time

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reservations.model import Answer, Decision, Facts, Head, Header, Hop, Verdict, Wants, canonical
from reservations.reasons import CORE
from reservations.registry import Registry

PAGE = b"<!doctype html><html><head><title>t</title></head><body><p>Text.</p></body></html>"
MADE_UP = """
id = "made-up"
name = "A protocol that nobody has heard of"
steward = "a test"
version = "1"
date = "2026-11-22"
status = "test"
eu_status = "none"
reviewed = "2026-11-22"
order = 90
sources = [{ title = "this test", read = "verified" }]
[[reasons]]
code = "made-up.no-robots-writing"
text = "Robots may not learn to write from this."
[[reasons]]
code = "made-up.unread"
text = "The file could not be read."
unread = "reservation-file"
[[documents]]
path = "/.well-known/writing.json"
format = "json_rules"
max_bytes = 1000000
location = "where"
answers = [{ status = ["2xx"], means = "read" }, { status = ["4xx"], means = "absent" }]
unread = { reason = "made-up.unread", effective = { genai-train = "undeterminable" } }
[[robots_lines]]
name = "Robot-Writing"
syntax = "pairs"
[[http_fields]]
name = "Robot-Writing"
syntax = "dictionary"
[[html_metas]]
name = "Robot-Writing"
syntax = "directives"
[[labels]]
name = "learn"
reason = "made-up.no-robots-writing"
[[labels.values]]
value = "never"
strict = { genai-train = "deny" }
effective = { genai-train = "deny" }
[[labels.values]]
value = '"never"'
effective = { genai-train = "deny" }
"""


def made_up(protocol_texts):
    return Registry.load({**protocol_texts, "made-up.toml": MADE_UP})


def verdict_of(registry, facts, policy):
    answer = registry.examine(facts, policy, "ExampleBot")
    return (str(answer.verdict), answer.reason) if isinstance(answer, Decision) else str(answer.what)


FILES = ["/.well-known/tdmrep.json", "/ai.txt", "/.well-known/ai.txt", "/trust.txt", "/.well-known/trust.txt"]


def test_robots_txt_is_wanted_first_and_then_all_other_files_in_one_visit(registry, policy, make_facts, make_head):
    facts = Facts(url="https://site.example:8443/a?b")
    found = []
    for _ in range(4):
        wants = registry.examine(facts, policy, "ExampleBot")
        found.append((str(wants.what), [one.key for one in (wants, *wants.beside)], wants.url))
        if wants.what == "document":
            absent = {one.key: Answer(url=one.url, status=404) for one in (wants, *wants.beside)}
            facts = msgspec.structs.replace(facts, documents={**facts.documents, **absent})
        elif wants.what == "head":
            facts = msgspec.structs.replace(facts, head=make_head())
    assert found == [
        ("document", ["/robots.txt"], "https://site.example:8443/robots.txt"),
        ("document", FILES, "https://site.example:8443/.well-known/tdmrep.json"),
        ("head", [""], "https://site.example:8443/a?b"),
        ("body", [""], "https://site.example:8443/a?b"),
    ]
    assert wants.max_bytes == policy.limits.page_bytes
    decision = registry.examine(msgspec.structs.replace(facts, body=PAGE), policy, "ExampleBot")
    assert (decision.verdict, decision.open) == (Verdict.KEPT, ("genai-train",))


def test_documents_are_named_robots_first(registry):
    assert [document.path for document in registry.documents] == ["/robots.txt", *FILES]


def test_refusal_by_robots_needs_no_other_file(registry, policy, make_facts):
    facts = make_facts("User-agent: *\nDisallow: /", None)
    assert verdict_of(registry, facts, policy) == ("refused", "robots.disallow")


def test_missing_file_is_wanted_before_the_page_is_judged(registry, policy, make_facts, make_head):
    assert verdict_of(registry, make_facts(tdmrep=None, head=make_head(), body=PAGE), policy) == "document"


@pytest.mark.parametrize(
    ("head", "body", "expected"),
    [
        (Head(status=200), None, "body"),
        (Head(status=200, headers=(Header("tdm-reservation", "1"),)), None, ("aborted", "tdmrep.reserved")),
        (Head(status=200, headers=(Header("Content-Type", "image/png"),)), None, ("aborted", "scope.media-type")),
        (Head(status=200), PAGE.replace(b"<title>", b"<meta name=robots content=noai><title>"),
         ("discarded", "page-robots.noai")),
    ],
)  # fmt: skip
def test_stage_is_read_off_the_facts(registry, policy, make_facts, head, body, expected):
    assert verdict_of(registry, make_facts(head=head, body=body), policy) == expected


def test_identical_payload_is_unchanged(decide_on, make_facts, make_head):
    decision = decide_on(make_facts(head=make_head(), body=PAGE, repeats="urn:uuid:1"))
    assert (decision.verdict, decision.reason) == ("unchanged", "payload.identical")


def test_transfer_failure_is_told_with_its_gate(decide_on, make_facts):
    decision = decide_on(make_facts(failure="timeout"))
    assert (decision.verdict, decision.reason, decision.gate) == ("deferred", "transfer.timeout", "transfer")


def test_arrival_at_a_login_page_by_redirect_is_a_denial(decide_on, make_facts, make_head):
    hop = Hop("https://site.example/a", 302, "https://site.example/login")
    decision = decide_on(make_facts(url="https://site.example/login", redirected_from=(hop,)))
    assert (decision.verdict, decision.reason) == ("refused", "access.login")


def test_every_signal_is_in_the_decision_not_only_the_deciding_one(decide_on, make_facts, make_head):
    page = PAGE.replace(b"<title>", b"<meta name=robots content='noai, noarchive'><title>")
    facts = make_facts(
        "User-agent: *\nContent-Signal: ai-train=no, search=yes\nAllow: /",
        '[{"location": "/", "tdm-reservation": 0}]',
        make_head(200, ("Content-Usage", "train-ai=y")),
        page,
    )
    decision = decide_on(facts)
    assert decision.reason == "content-signal.ai-train"
    assert [signal.reason for signal in decision.signals] == [
        "tdmrep.not-reserved",
        "aipref.train-ai",
        "content-signal.ai-train",
        "content-signal.search",
        "page-robots.noai",
        "page-robots.noarchive",
    ]
    assert decision.strict["genai-train"] == "deny"
    assert decision.effective["search"] == "allow"


def test_protocol_made_of_toml_alone_is_read_on_every_carrier(protocol_texts, policy, make_facts, make_head):
    registry = made_up(protocol_texts)
    plain = make_facts(head=make_head(), body=PAGE)
    absent = {"/.well-known/writing.json": Answer(url="", status=404)}

    def on(file=None, **more):
        facts = msgspec.structs.replace(plain, **more)
        answers = absent if file is None else {"/.well-known/writing.json": Answer(url="", status=200, body=file)}
        return verdict_of(registry, msgspec.structs.replace(facts, documents={**facts.documents, **answers}), policy)

    assert on() == ("kept", "policy.open")
    refused = ("discarded", "made-up.no-robots-writing")
    assert on(b'[{"where": "/a", "learn": "never"}]') == refused
    assert on(head=make_head(200, ("ROBOT-writing", "learn=never"))) == refused
    assert on(body=PAGE.replace(b"<title>", b"<meta name=ROBOT-WRITING content='x, learn: never'><title>")) == refused
    robots = Answer(url="", status=200, body=b"User-agent: *\nrobot-writing: learn=never\nAllow: /")
    assert on(documents={**plain.documents, "/robots.txt": robots}) == refused
    assert "made-up.no-robots-writing" in registry.reasons
    assert registry.examine(plain, policy, "ExampleBot").url == "https://site.example/.well-known/writing.json"


def test_page_that_embeds_an_image_speaks_for_it_where_it_says_so(registry, policy, make_facts):
    def image(meta, referrer="https://site.example/g?x", key="/g?x", content_type="text/html"):
        page = Answer(
            url=referrer,
            status=200,
            headers=(Header("Content-Type", content_type),),
            body=f'<meta name="robots" content="{meta}">'.encode(),
        )
        facts = make_facts(head=Head(status=200), body=b"\x89PNG", media_type="image/png", referrer=referrer)
        facts = msgspec.structs.replace(facts, documents={**facts.documents, key: page})
        return registry.values(facts, policy, "ExampleBot").effective.get("genai-train")

    assert image("noimageai") == "deny"
    assert image("noai") is None
    elsewhere = "https://other.example/g"
    assert image("noimageai", elsewhere, elsewhere) == "deny"
    assert image("noimageai", elsewhere, "/g") is None
    assert image("noimageai", "not a URL") is None
    assert image("noimageai", content_type="application/pdf") is None


def test_digest_changes_with_any_file(protocol_texts, registry):
    assert made_up(protocol_texts).digest != registry.digest
    assert Registry.load(dict(reversed(protocol_texts.items()))).digest == registry.digest


def test_every_reason_that_can_be_given_is_described(registry):
    described = {**CORE, **registry.reasons}
    needed = """policy.open blocklist.listed url.secret url.unsupported address.forbidden robots.disallow
        robots.unreachable robots.too-complex tdmrep.reserved tdmrep.unreachable aipref.train-ai
        content-signal.ai-train content-signal.use page-robots.noai tokens.class tokens.own access.denied
        access.legal access.payment-required access.challenge access.login access.rate-limited http.not-found
        http.gone http.redirect http.not-modified http.server-error http.client-error http.unexpected-status
        transfer.timeout transfer.reset transfer.dns transfer.tls transfer.incomplete transfer.protocol
        transfer.too-large transfer.inflation transfer.encoding scope.media-type payload.identical
        crawl.interrupted"""
    assert set(needed.split()) <= set(described)
    assert not set(CORE) & set(registry.reasons)


def test_value_of_each_protocol_and_of_all_together(registry, policy, make_facts, make_head):
    facts = make_facts(
        "User-agent: *\nContent-Signal: ai-train=yes\nAllow: /", head=make_head(200, ("X-Robots-Tag", "noai"))
    )
    each = {
        name: registry.values(facts, policy, "ExampleBot", [name])
        for name in ("content-signals", "page-robots", "tdmrep")
    }
    assert each["content-signals"].effective["genai-train"] == "allow"
    assert each["page-robots"].strict["genai-train"] == "deny"
    assert each["tdmrep"] == ({}, {})
    assert registry.values(facts, policy, "ExampleBot").effective["genai-train"] == "deny"


_FIELDS = st.sampled_from(
    [
        ("tdm-reservation", "0"), ("tdm-reservation", "1"), ("tdm-policy", "https://x/"),
        ("Content-Usage", "train-ai=y"), ("Content-Usage", "train-ai=n, search=y"), ("X-Robots-Tag", "noai"),
        ("X-Robots-Tag", "otherbot: noai"),
        ("Content-Type", "text/html"), ("Content-Type", "text/html; charset=utf-16"), ("cf-mitigated", "challenge"),
        ("Content-Signal", "ai-train=no"), ("Location", "/b"), ("Retry-After", "5"),
    ]
)  # fmt: skip
_ROBOTS = st.lists(
    st.sampled_from(
        [
            "User-agent: *", "User-agent: ExampleBot", "User-agent: GPTBot", "User-agent: CCBot", "Disallow: /",
            "Allow: /", "Disallow: /b", "Content-Signal: ai-train=no", "Content-Signal: ai-train=yes",
            "Content-Usage: train-ai=n", "Content-Usage: /a train-ai=y", "Content-Usage: train-ai = n", "junk",
        ]
    ),
    max_size=7,
).map("\n".join)  # fmt: skip
_TDMREP = st.sampled_from(
    ["", "[]", "nonsense", '[{"location": "/", "tdm-reservation": 0}]', '[{"location": "/", "tdm-reservation": 1}]']
)
_METAS = st.lists(
    st.sampled_from(
        [
            '<meta name="robots" content="noai">', '<meta name="robots" content="index">', "<!--", "-->", "<p>",
            '<meta name="tdm-reservation" content="0">', '<meta name="tdm-reservation" content="1">',
        ]
    ),
    max_size=3,
).map("".join)  # fmt: skip


@st.composite
def any_facts(draw):
    status = draw(st.sampled_from([200, 200, 200, 301, 304, 402, 403, 404, 429, 500]))
    documents = {
        "/robots.txt": Answer(url="", status=200, body=draw(_ROBOTS).encode()),
        "/.well-known/tdmrep.json": Answer(
            url="", status=draw(st.sampled_from([200, 404])), body=draw(_TDMREP).encode()
        ),
    }
    headers = tuple(Header(*field) for field in draw(st.lists(_FIELDS, max_size=4)))
    body = f"<!doctype html><head>{draw(_METAS)}</head><body>{draw(_METAS)}x".encode()
    return Facts(
        url="https://site.example/a",
        documents=documents,
        head=Head(status=status, headers=headers),
        body=draw(st.sampled_from([None, body])),
        attempt=draw(st.integers(1, 4)),
    )


_ADDITIONS = {
    "header": lambda facts: msgspec.structs.replace(
        facts, head=msgspec.structs.replace(facts.head, headers=(*facts.head.headers, Header("X-Robots-Tag", "noai")))
    ),
    "usage": lambda facts: msgspec.structs.replace(
        facts,
        head=msgspec.structs.replace(facts.head, headers=(Header("Content-Usage", "train-ai=n"), *facts.head.headers)),
    ),
    "price": lambda facts: msgspec.structs.replace(
        facts,
        head=msgspec.structs.replace(facts.head, headers=(*facts.head.headers, Header("cf-mitigated", "challenge"))),
    ),
    "meta": lambda facts: msgspec.structs.replace(
        facts, body=facts.body and b'<!doctype html><meta name="tdm-reservation" content="1">' + facts.body
    ),
}


@given(any_facts(), st.sampled_from(sorted(_ADDITIONS)))
def test_added_reservation_never_turns_a_refusal_into_a_page(registry, policy, facts, addition):
    before = registry.examine(facts, policy, "ExampleBot")
    after = registry.examine(_ADDITIONS[addition](facts), policy, "ExampleBot")
    if isinstance(before, Decision) and before.verdict is not Verdict.KEPT:
        assert isinstance(after, Decision)
        assert after.verdict is not Verdict.KEPT


@given(any_facts(), st.sampled_from(["strict", "standard", "letter"]))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_decision_is_the_same_bytes_each_time_and_whatever_was_remembered(
    registry, protocol_texts, policy, facts, profile
):
    policy = msgspec.structs.replace(policy, profile=profile)
    fresh = Registry.load(protocol_texts).examine(facts, policy, "ExampleBot")
    copied = msgspec.json.decode(msgspec.json.encode(facts), type=Facts)
    assert canonical(registry.examine(facts, policy, "ExampleBot")) == canonical(fresh)
    assert canonical(registry.examine(copied, policy, "ExampleBot")) == canonical(fresh)


@given(any_facts(), st.randoms())
def test_order_of_different_headers_does_not_matter(registry, policy, facts, random):
    headers = {}
    for header in facts.head.headers:
        headers.setdefault(header.name, []).append(header)
    names = list(headers)
    random.shuffle(names)
    shuffled = tuple(header for name in names for header in headers[name])
    other = msgspec.structs.replace(facts, head=msgspec.structs.replace(facts.head, headers=shuffled))
    assert registry.examine(facts, policy, "ExampleBot") == registry.examine(other, policy, "ExampleBot")


@given(any_facts())
def test_strict_keeps_nothing_that_standard_does_not(registry, policy, facts):
    strict = registry.examine(facts, msgspec.structs.replace(policy, profile="strict"), "ExampleBot")
    standard = registry.examine(facts, policy, "ExampleBot")
    if isinstance(strict, Decision) and strict.verdict is Verdict.KEPT:
        assert isinstance(standard, Wants) or standard.verdict is Verdict.KEPT


def test_page_without_statements_costs_little(registry, policy, make_facts, make_head):
    text = "<p>Lorem ipsum &#8217; dolor <a href='/x'>x</a>" + "text " * 50
    page = f"<!doctype html><html><head><meta charset=utf-8></head><body>{text * 55}</body></html>".encode()
    heads = make_facts(head=make_head(), body=page)
    registry.examine(heads, policy, "ExampleBot")
    start = time.process_time()
    for number in range(200):
        facts = msgspec.structs.replace(heads, url=f"https://site.example/{number}")
        registry.examine(msgspec.structs.replace(facts, head=None, body=None), policy, "ExampleBot")
        registry.examine(msgspec.structs.replace(facts, body=None), policy, "ExampleBot")
        assert registry.examine(facts, policy, "ExampleBot").verdict is Verdict.KEPT
    assert (time.process_time() - start) / 200 < 0.002  # 0.12 ms when the machine is idle
