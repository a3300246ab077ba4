"""What pages say of access: how findings are weighed, what an unmarked page costs, and that nothing makes it raise."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reservations.access import page as page_module
from reservations.access.page import Page, PageReader
from reservations.access.selectors import SelectorError, literal_of, xpath_of
from reservations.access.tables import load_tables
from reservations.datafile import DefinitionError
from reservations.model import Answer, Category, Value
from reservations.statement import Vocabulary

URL = "https://site.example/a"
LONG = "<p>" + "The ferry turned back because of a cow, and later because of fog. " * 20 + "</p>"
CLOSED = '<script type="application/ld+json">{"@type":"Article","isAccessibleForFree":false}</script>'
FREE = CLOSED.replace("false", "true")
VENDOR = '<script src="https://cdn.tinypass.com/x.js"></script>'


@pytest.fixture(scope="session")
def reader(protocol_texts, registry) -> PageReader:
    tables = {name: text for name, text in protocol_texts.items() if name.startswith("access/")}
    protocol = next(item for item in registry.protocols if item.id == "access")
    return PageReader(load_tables(tables), Vocabulary(protocol))


def read(reader, text, **more):
    body = text if isinstance(text, bytes) else text.encode()
    return reader.read(Page(body, "", "text/html", (URL,)), **more)


def reasons(signals):
    return [signal.reason for signal in signals]


@pytest.fixture
def decide_page(decide_on, make_facts, make_head):
    return lambda text, status=200: decide_on(make_facts(head=make_head(status), body=text.encode()))


METERED = '<meta property="article:content_tier" content="metered">'
COUNTING = "<p>You have 3 free articles remaining this month.</p>"


@pytest.fixture
def decide_counted(decide_on, make_facts, make_head, policy):
    """What follows where the policy keeps pages that count free visits."""
    keeping = msgspec.structs.replace(policy, metered=True)
    return lambda text, status=200: decide_on(make_facts(head=make_head(status), body=text.encode()), keeping)


@pytest.mark.parametrize("text", [METERED, COUNTING])
def test_metered_page_is_kept_where_the_policy_says_so_and_it_is_told(decide_page, decide_counted, text):
    assert decide_page(text).reason == "access.metered"
    decision = decide_counted(text)
    assert (decision.verdict, decision.reason) == ("kept", "policy.open")
    (told,) = [signal for signal in decision.signals if signal.reason == "access.metered"]
    assert (told.effective, told.issues) == ({}, ("allowed-by-policy",))


@pytest.mark.parametrize(
    ("text", "reason"),
    [(METERED + CLOSED, "access.paywall-declared"), (METERED + VENDOR, "access.unclear")],
)
def test_metered_by_policy_lifts_no_other_restriction(decide_counted, text, reason):
    assert decide_counted(text).reason == reason
    assert decide_counted(METERED, status=403).reason == "access.denied"


# -- what follows ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "verdict", "reason"),
    [
        (CLOSED, "discarded", "access.paywall-declared"),
        ('<meta property="article:content_tier" content="metered">', "discarded", "access.metered"),
        ("<script>window._cf_chl_opt={}</script>", "discarded", "access.challenge"),
        (VENDOR, "held", "access.unclear"),
        (VENDOR + FREE, "kept", "policy.open"),
        (CLOSED + FREE, "discarded", "access.paywall-declared"),
        ("<script>x.requestMediaKeySystemAccess()</script>", "kept", "policy.open"),
        ("", "kept", "policy.open"),
    ],
)
def test_verdict_of_a_page(decide_page, text, verdict, reason):
    decision = decide_page(text + LONG)
    assert (decision.verdict, decision.reason) == (verdict, reason)


@pytest.mark.parametrize(("profile", "verdict"), [("strict", "discarded"), ("standard", "held"), ("letter", "held")])
def test_hint_by_profile(decide_on, make_facts, make_head, policy, profile, verdict):
    import msgspec

    facts = make_facts(head=make_head(), body=(VENDOR + LONG).encode())
    assert decide_on(facts, msgspec.structs.replace(policy, profile=profile)).verdict == verdict


@pytest.mark.parametrize("status", [429, 500, 503])
def test_challenge_under_a_passing_status_is_no_reason_to_come_back(decide_page, status):
    decision = decide_page("<script>window._cf_chl_opt={}</script>", status)
    assert (decision.verdict, decision.reason) == ("discarded", "access.challenge")


def test_passing_status_is_looked_at_before_anybody_comes_back(registry, policy, make_facts, make_head):
    wants = registry.examine(make_facts(head=make_head(503)), policy, "ExampleBot")
    assert wants.what == "body"


def test_most_restrictive_wins_and_the_conflict_is_told(reader):
    signals = read(reader, '<meta property="article:content_tier" content="free">' + CLOSED)
    assert reasons(signals) == ["access.paywall-declared", "access.declared-free"]
    assert all("conflict" in signal.issues for signal in signals)


def test_free_cancels_hints_and_says_so(reader):
    (free, note) = read(reader, FREE + VENDOR + LONG)
    assert (free.reason, note.reason, note.issues) == ("access.declared-free", "access.noted", ("declared-free",))
    assert note.effective == {}


def test_free_in_another_spelling_of_the_key_cancels_nothing(reader):
    signals = read(reader, FREE.replace("isAccessibleForFree", "isaccessibleforfree") + VENDOR + LONG)
    assert reasons(signals) == ["access.unclear"]


def test_closed_medium_closes_only_media_of_its_kind(reader):
    text = '<script type="application/ld+json">{"@type":"VideoObject","isAccessibleForFree":false}</script>'

    def on(media_type, *, embedding):
        page = Page(text.encode(), "", media_type, (URL,))
        return [signal.effective for signal in reader.read(page, embedding=embedding)]

    assert on("text/html", embedding=False) == [{}]
    assert on("video/mp4", embedding=True) == [{Category.CRAWL: Value.DENY}]
    assert on("image/png", embedding=True) == [{}]


def test_medium_on_a_page_that_closes_it_is_not_kept(decide_on, make_facts, make_head):
    page = '<script type="application/ld+json">{"@type":"VideoObject","isAccessibleForFree":false}</script>'
    referring = Answer(url=URL, status=200, headers=make_head().headers, body=page.encode())
    facts = make_facts(head=make_head(html=False), documents={URL: referring}, referrer=URL, media_type="video/mp4")
    assert decide_on(facts).reason == "access.media-restricted"


def test_declaration_in_utf_16_is_read(reader):
    assert reasons(read(reader, (CLOSED + LONG).encode("utf-16"))) == ["access.paywall-declared"]


# -- cost and bounds ---------------------------------------------------------------------------------------------------


def test_page_without_a_marker_is_never_parsed(reader, monkeypatch):
    def parse(*_):
        raise AssertionError("parsed")

    monkeypatch.setattr(page_module, "Document", parse)
    assert (
        read(reader, "<html><body>" + LONG * 20 + "Subscribe to our newsletter. Log in. Members. Captcha?</body>") == []
    )


def test_marker_beyond_what_is_parsed_is_held(reader, monkeypatch):
    monkeypatch.setattr(page_module, "_MOST_PARSED", 10_000)
    (signal,) = read(reader, "<html><body>" + "<br>" * 5000 + CLOSED)
    assert (signal.reason, signal.issues) == ("access.unclear", ("too-large",))


def test_page_that_cannot_be_parsed_is_judged_by_its_octets(reader, monkeypatch):
    def parse(*_):
        raise ValueError("broken")

    monkeypatch.setattr(page_module, "Document", parse)
    assert [(s.reason, s.issues) for s in read(reader, CLOSED)] == [("access.paywall-declared", ("malformed",))]
    assert [(s.reason, s.issues) for s in read(reader, VENDOR)] == [("access.unclear", ("unparsed",))]


def test_findings_are_bounded(reader):
    assert len(read(reader, CLOSED * 500)) <= 32


@pytest.mark.parametrize(
    "text",
    [
        "[" * 20_000,
        '{"@graph":' * 3_000,
        '{"@type":"Article","hasPart":' + "[{" * 500,
        '{"isAccessibleForFree":' + "[" * 5000 + "]" * 5000 + "}",
        '{"@type":["' + "A" * 100_000 + '"],"isAccessibleForFree":1' + "0" * 5000 + "}",
    ],
)
def test_deep_json_is_survived(reader, text):
    read(reader, f'<script type="application/ld+json">{text}</script>isAccessibleForFree')


def test_deep_elements_are_survived(reader):
    read(
        reader,
        "<div class=paywall>" * 5000 + "Subscribe to continue reading" + '<b itemprop="isAccessibleForFree">' * 300,
    )


_PIECES = st.sampled_from([
    "<div class=paywall>", "</div>", CLOSED, "<template>", "</template>", "<!--", "-->", "<script>", "</script>",
    '<meta property="article:content_tier"', ' content="locked">', '"', ">", '{"isAccessibleForFree":', "false}",
    '<script type="application/ld+json">', "<b itemprop=isAccessibleForFree content=false>", "subscribe to continue",
    "<x itemscope itemtype=Article>", "\0", "\ud7ff", "&#", '<link rel=canonical href="http://[">', "http://[::1",
    "<x typeof=Article property=hasPart resource=//[>", "<![CDATA[", "]]>",
])  # fmt: skip


@pytest.mark.fuzz
@settings(max_examples=150, deadline=None)
@given(pieces=st.lists(st.one_of(_PIECES, st.text(max_size=10)), max_size=30))
def test_any_page_is_read_without_an_error(reader, pieces):
    for signal in read(reader, "".join(pieces).encode("utf-8", "surrogatepass")):
        assert signal.protocol == "access"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"error":[[{"code":1}]]}',
        b'{"error":{"error":{"error":{"error":{"error":"paywall"}}}}}',
        b"{\xff",
    ],
)
def test_odd_answer_says_nothing(reader, body):
    assert reader.read(Page(body, "", "application/json", (URL,))) == []


# -- tables ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ('says = "unclear"', "needs at least one of"),
        ('says = "wall"\nphrases = ["subscribe to"]', "must be"),
        ('says = "unclear"\nphrases = ["Subscribe to"]', "lower case"),
        ('says = "unclear"\nphrases = ["für ää"]', "plain letters"),
        ('says = "closed"\nelements = ["div > p"]', "cannot be read"),
        ('says = "closed"\nelements = [".wall"]\ncolour = "red"', "unknown key"),
    ],
)
def test_fault_of_a_table_names_file_and_line(row, problem):
    head = 'reviewed = "2026-11-22"\nsources = []\n[[patterns]]\nname = "x"\n'
    with pytest.raises(DefinitionError) as error:
        load_tables({"access/x.toml": head + row})
    assert str(error.value).startswith("access/x.toml:")
    assert problem in str(error.value)


def test_every_row_of_the_shipped_tables_has_a_literal(protocol_texts):
    tables = load_tables({name: text for name, text in protocol_texts.items() if name.startswith("access/")})
    assert [row.name for row in tables.patterns if not row.literals() or min(map(len, row.literals())) < 4] == []


@pytest.mark.parametrize(
    ("selector", "literal"),
    [(".pw", "pw"), ("#Top", "top"), ("[data-testid=paywall]", "data-testid"), ("h2.paywall-title", "paywall-title")],
)
def test_literal_of_a_selector(selector, literal):
    assert literal_of(selector) == literal


@pytest.mark.parametrize("selector", ["", "p", "div p", ".a > .b", ":not(.a)", ".a'", "." * 500, "[a='x'y']"])
def test_selector_that_is_not_read_is_refused(selector):
    with pytest.raises(SelectorError):
        xpath_of(selector)
