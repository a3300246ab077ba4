"""Laws that hold for all facts, whatever protocols say and wherever: over every carrier that the core reads."""

from __future__ import annotations

import time

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reservations.decide import DECIDING, closing, combine
from reservations.model import Answer, Category, Decision, Facts, Head, Header, Verdict, Wants
from reservations.registry import Registry

RSL = "https://rslstandard.org/rsl"
ABSENT = Answer(url="", status=404)
PROFILES = ("strict", "standard", "letter")
AT_LEISURE = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def licence(inner, url="/"):
    return f'<rsl xmlns="{RSL}"><content url="{url}"><license>{inner}</license></content></rsl>'


NO = licence('<prohibits type="usage">ai-all</prohibits>')
YES = licence('<permits type="usage">all</permits>')
ON_TERMS = YES.replace("</content>", "<terms>https://lic.example/t</terms></content>")
_LICENCES = st.sampled_from(
    [
        NO,
        YES,
        licence('<permits type="usage">search train-ai</permits>'),
        licence('<payment type="crawl"/>'),
        "<rsl/>",
        ON_TERMS,
    ]
)
_ROBOTS = st.lists(
    st.sampled_from(
        [
            "User-agent: *", "User-agent: ExampleBot", "User-agent: GPTBot", "User-agent: CCBot", "Disallow: /x",
            "Allow: /", "Disallow: /a", "Content-Signal: ai-train=no", "Content-Signal: ai-train=yes, use=reference",
            "Content-Usage: train-ai=n", "Content-Usage: /a train-ai=y", "Content-Usage: train-ai = n", "junk",
            "Content-Usage: ai=y, bots=n", "License: /l.xml", "License: https://lic.example/l.xml",
            "DisallowAITraining: /", "AllowAITraining: /a", "# All text and data mining is prohibited.",
        ]
    ),
    max_size=8,
).map("\n".join)  # fmt: skip
_TDMREP = st.sampled_from(
    [
        "", "[]", "nonsense", '{"tdm-reservation": 1}', '[{"location": "/", "tdm-reservation": 0}]',
        '[{"location": "/", "tdm-reservation": 1, "tdm-policy": "https://lic.example/p.json"}]',
        '[{"location": "/", "tdm-reservation": 0}, {"location": "/a", "tdm-reservation": 1}]',
        '[{"location": "/", "tdm-reservation": "1"}]',
    ]
)  # fmt: skip
_AI_TXT = st.lists(
    st.sampled_from(["User-agent: *", "User-agent: GPTBot", "Disallow: *.x", "Allow: /", "Disallow: /", "# essay",
                     "Training: deny", "Training: allow", "Content-Signal: ai-train=no", "Training: perhaps"]),
    max_size=5,
).map("\n".join)  # fmt: skip
_TRUST = st.sampled_from(["", "datatrainingallowed=no", "datatrainingallowed=yes", "datatrainingallowed: no", "x=y"])
_TERMS = st.sampled_from(
    ["", "<p>Text and data mining is permitted.</p>", "<p>Text and data mining is prohibited.</p>", "<p>Bread.</p>"]
)
_FIELDS = st.sampled_from(
    [
        ("tdm-reservation", "0"), ("tdm-reservation", "1"), ("tdm-reservation", "yes"),
        ("tdm-policy", "https://lic.example/p.json"), ("Content-Usage", "train-ai=y"), ("Content-Usage", "ai=n,"),
        ("X-Robots-Tag", "noai"), ("ai-policy", "no"), ("X-Robots-Tag", "ccbot: noai"), ("X-Robots-Tag", "noarchive"),
        ("Content-Type", "text/html"), ("Content-Type", "text/html; charset=utf-16"), ("Content-Type", "text/xml"),
        ("Link", '</l.xml>; rel=license; type="application/rsl+xml"'),
        ("Link", "<https://creativecommons.org/publicdomain/zero/1.0/>; rel=license"),
    ]
)  # fmt: skip
_MARKUP = st.lists(
    st.sampled_from(
        [
            '<meta name="robots" content="noai">', '<meta name="robots" content="index">', "<!--", "-->", "<p>",
            '<meta name="tdm-reservation" content="0">', '<meta name="tdm-reservation" content="1">',
            '<link rel="license" type="application/rsl+xml" href="/l.xml">',
            f'<script type="application/rsl+xml">{NO}</script>', f'<script type="application/rsl+xml">{YES}</script>',
            '<link rel="license" href="https://creativecommons.org/licenses/by-nc/4.0/">',
            '<script type="application/ld+json">{"@type":"Article","license":"x","isAccessibleForFree":true}</script>',
            '<meta name="genai" content="yes">', '<meta name="chatgpt:crawl" content="allow">', '<a href="/terms">x',
            '<meta name="gemini:index" content="deny">',
        ]
    ),
    max_size=4,
).map("".join)  # fmt: skip


def answer(text, status=200):
    return Answer(url="", status=status, body=text if isinstance(text, bytes) else text.encode())


@st.composite
def whole_facts(draw):
    """Everything that could be asked for is there."""
    statuses = st.sampled_from([200, 200, 200, 404, 500])
    documents = {
        "/robots.txt": answer(draw(_ROBOTS)),
        "/.well-known/tdmrep.json": answer(draw(_TDMREP), draw(statuses)),
        "/ai.txt": answer(draw(_AI_TXT), draw(statuses)),
        "/.well-known/ai.txt": answer(draw(_AI_TXT)),
        "/trust.txt": answer(draw(_TRUST), draw(statuses)),
        "/.well-known/trust.txt": ABSENT,
        "/l.xml": answer(draw(_LICENCES), draw(statuses)),
        "https://lic.example/l.xml": answer(draw(_LICENCES), draw(statuses)),
        "/terms#legal": answer(draw(_TERMS), draw(statuses)),
        "https://lic.example/t#terms": answer(draw(_TERMS), draw(statuses)),
        "https://lic.example/p.json": answer('{"permission": [{"action": "tdm:mine"}]}', draw(statuses)),
    }
    body = f"<!doctype html><head>{draw(_MARKUP)}</head><body>{draw(_MARKUP)}x".encode()
    return Facts(
        url="https://site.example/a",
        documents=documents,
        head=Head(status=200, headers=tuple(Header(*field) for field in draw(st.lists(_FIELDS, max_size=4)))),
        body=body,
        attempt=3,
    )


def closed(registry, facts, policy):
    """The uses that are closed."""
    standings = registry.standings(facts, policy, "ExampleBot")
    return {category for category in Category if closing(standings, category) is not None}


def with_document(key, text):
    return lambda facts: msgspec.structs.replace(facts, documents={**facts.documents, key: answer(text)})


def with_header(*field):
    return lambda facts: msgspec.structs.replace(
        facts, head=msgspec.structs.replace(facts.head, headers=(*facts.head.headers, Header(*field)))
    )


def without_header(name):
    return lambda facts: msgspec.structs.replace(
        facts,
        head=msgspec.structs.replace(
            facts.head, headers=tuple(field for field in facts.head.headers if field.name != name)
        ),
    )


def with_markup(text):
    return lambda facts: msgspec.structs.replace(
        facts, body=facts.body.replace(b"<!doctype html><head>", b"<!doctype html><head>" + text.encode())
    )


def with_robots(line):
    """A line more in the group for all, in a file that has no other group."""

    def add(facts):
        lines = facts.documents["/robots.txt"].body.decode().splitlines()
        kept = [text for text in lines if not text.startswith("User-agent")]
        before = with_document("/robots.txt", "\n".join(["User-agent: *", *kept]))(facts)
        return before, with_document("/robots.txt", "\n".join(["User-agent: *", *kept, line]))(facts)

    return add


ADDITIONS = {
    "header": with_header("X-Robots-Tag", "noai"),
    "link": with_header("Link", '<https://lic.example/no.xml>; rel=license; type="application/rsl+xml"'),
    "tdm header": with_header("tdm-reservation", "1"),
    "meta": with_markup('<meta name="robots" content="noai">'),
    "inline": with_markup(f'<script type="application/rsl+xml">{NO}</script>'),
    "link element": with_markup('<link rel="license" type="application/rsl+xml" href="https://lic.example/no.xml">'),
    "by-nc": with_markup('<link rel="license" href="https://creativecommons.org/licenses/by-nc/4.0/">'),
    "trust": with_document("/.well-known/trust.txt", "datatrainingallowed=no"),
    "home-made meta": with_markup('<meta name="ai-policy" content="deny">'),
    "metas for models": with_markup(
        '<meta name="chatgpt:crawl" content="deny"><meta name="claude:index" content="no">'
    ),
    "terms": with_document("/terms#legal", "<p>Text and data mining under § 44b UrhG is reserved.</p>"),
    "likely terms": with_document("/agb#legal", "<p>You may not use our texts to train artificial intelligence.</p>"),
}
LINES = ["Disallow: /", "Content-Signal: ai-train=no", "Content-Usage: train-ai=n", "DisallowAITraining: /",
         "License: https://lic.example/no.xml"]  # fmt: skip


@pytest.mark.parametrize("addition", sorted(ADDITIONS))
@pytest.mark.parametrize("profile", PROFILES)
@AT_LEISURE
@given(facts=whole_facts())
def test_added_refusal_never_opens_a_use(registry, policy, addition, profile, facts):
    policy = msgspec.structs.replace(policy, profile=profile)
    facts = with_document("https://lic.example/no.xml", NO)(facts)
    if addition == "tdm header":  # beside a policy, "1" is no plain refusal: it stands on the policy's terms (P03)
        facts = without_header("tdm-policy")(facts)
    before = closed(registry, facts, policy)
    assert before <= closed(registry, ADDITIONS[addition](facts), policy)


@pytest.mark.parametrize("line", LINES)
@AT_LEISURE
@given(facts=whole_facts())
def test_added_line_of_robots_txt_never_opens_a_use(registry, policy, line, facts):
    facts = with_document("https://lic.example/no.xml", NO)(facts)
    before, after = with_robots(line)(facts)
    # A URL that may not be crawled has no other preference (AIPREF), and stays closed as a whole.
    assert closed(registry, before, policy) <= closed(registry, after, policy)


@AT_LEISURE
@given(facts=whole_facts())
def test_no_profile_is_more_open_than_the_next(registry, policy, facts):
    strict, standard, letter = (
        closed(registry, facts, msgspec.structs.replace(policy, profile=profile)) for profile in PROFILES
    )
    assert letter <= standard <= strict


@AT_LEISURE
@given(facts=whole_facts(), random=st.randoms())
def test_order_of_statements_does_not_matter(registry, policy, facts, random):
    protocols = {protocol.id: protocol for protocol in registry.protocols}
    signals = list(registry.signals(facts, policy, "ExampleBot"))
    values = DECIDING[policy.profile]
    before = {category: standing.value for category, standing in combine(protocols, signals, values).items()}
    random.shuffle(signals)
    assert before == {category: standing.value for category, standing in combine(protocols, signals, values).items()}


@AT_LEISURE
@given(facts=whole_facts(), random=st.randoms())
def test_order_in_which_documents_came_does_not_matter(registry, policy, facts, random):
    items = list(facts.documents.items())
    random.shuffle(items)
    other = msgspec.structs.replace(facts, documents=dict(items))
    assert registry.examine(facts, policy, "ExampleBot") == registry.examine(other, policy, "ExampleBot")


@AT_LEISURE
@given(facts=whole_facts(), noise=st.from_regex(r"[a-z]{3,8}-q[a-z]{3}", fullmatch=True))
def test_words_that_no_protocol_knows_change_nothing(registry, policy, facts, noise):
    robots = facts.documents["/robots.txt"].body.decode()
    noisy = with_header(noise, "no")(facts)
    noisy = with_document("/robots.txt", f"{robots}\n{noise}: n\n")(noisy)
    noisy = with_document(f"/{noise}.txt", "Disallow: /")(noisy)
    noisy = msgspec.structs.replace(
        noisy, body=noisy.body + f'<meta name="{noise}" content="deny"><link rel="{noise}" href="/x">'.encode()
    )
    assert closed(registry, facts, policy) == closed(registry, noisy, policy)


_HOSTILE = st.one_of(
    st.binary(max_size=300),
    st.sampled_from([NO, YES, "User-agent: *\nDisallow: /", "datatrainingallowed=no", '[{"location": "/"}]',
                     '{"permission": [{"action": "tdm:mine"}]}', "%PDF-1.7", "PK\x03\x04", "<svg", "GIF89a"])
    .map(str.encode)
    .flatmap(lambda body: st.tuples(st.integers(0, len(body)), st.binary(max_size=8)).map(
        lambda cut: body[: cut[0]] + cut[1] + body[cut[0] :]
    )),
)  # fmt: skip


@AT_LEISURE
@given(data=st.data(), facts=whole_facts(), bodies=st.lists(_HOSTILE, min_size=10, max_size=10))
def test_any_bytes_anywhere_are_decided_on_in_time(registry, policy, data, facts, bodies):
    documents = {key: answer(body) for key, body in zip(facts.documents, bodies, strict=False)}
    media_type = data.draw(st.sampled_from(["text/html", "application/xml", "text/plain", "application/pdf", ""]))
    head = Head(status=200, headers=(Header("Content-Type", media_type),))
    facts = msgspec.structs.replace(facts, documents=documents, head=head, body=bodies[-1])
    began = time.process_time()
    decided = registry.examine(facts, policy, "ExampleBot")
    assert isinstance(decided, Decision | Wants)
    assert time.process_time() - began < 1


def test_licence_of_the_operator_opens_no_more_than_it_says(registry, policy, policy_text, make_facts):
    licences = (
        '\n[[licences]]\nid = "l"\norigins = ["https://site.example"]\npurposes = ["genai-train"]\n'
        'since = "1970-01-01"\nuntil = "2030-01-01"\nevidence = "contract"\n'
    )
    licensed = type(policy).from_toml(policy_text + licences, file="p")
    tdmrep = '[{"location": "/", "tdm-reservation": 1}]'
    assert registry.examine(make_facts(tdmrep=tdmrep), policy, "ExampleBot").verdict is Verdict.REFUSED
    going_on = registry.examine(make_facts(tdmrep=tdmrep), licensed, "ExampleBot")
    assert isinstance(going_on, Wants)
    search = msgspec.structs.replace(licensed, purposes=(Category.AI_INPUT,))
    assert registry.examine(make_facts(tdmrep=tdmrep), search, "ExampleBot").verdict is Verdict.REFUSED


def test_registry_of_the_shipped_files_loads_in_time(protocol_texts):
    began = time.process_time()
    Registry.load(protocol_texts)
    assert time.process_time() - began < 2
