"""A site's own terms: which links lead to them, how many are asked for, and what they say of all its pages."""

from __future__ import annotations

import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.definition import load_protocol
from reservations.legal import MARK, is_legal_key
from reservations.model import Answer, Decision, Facts, Head, Header, Verdict, Want, Wants
from reservations.readers.html import HtmlPage
from reservations.readers.legal_links import LegalWords

URL = "https://site.example/a"
TYPE = (Header("Content-Type", "text/html"),)
RESERVED = "<p>Text and data mining under Article 4 of Directive (EU) 2019/790 is reserved.</p>"
LIKELY = "<p>You may not use our content for text and data mining.</p>"
LINKS = '<a href="/terms">Terms of use</a>'


@pytest.fixture(scope="module")
def words(protocol_texts):
    return LegalWords(load_protocol(protocol_texts["language.toml"], "language.toml").language)


def page(body, status=200):
    return Answer(url="", status=status, headers=TYPE, body=f"<!DOCTYPE html><body>{body}".encode())


def linked(words, body, url=URL):
    return [link.url.removeprefix("https://site.example") for link in words.in_page(HtmlPage(body.encode(), ""), url)]


@pytest.fixture
def visited(registry, policy, make_facts):
    """What a crawler comes to on a page of a site, and the keys it asked for on the way."""

    def visit(body, site, known=(), profile="standard", attempt=3):
        held = {key: site[key.removesuffix(MARK)] for key in known}
        facts = msgspec.structs.replace(make_facts(documents=held), attempt=attempt)
        asked = []
        while isinstance(
            step := registry.examine(facts, msgspec.structs.replace(policy, profile=profile), "Bot"), Wants
        ):
            match step.what:
                case Want.DOCUMENT:
                    keys = [one.key for one in (step, *step.beside)]
                    asked += keys
                    found = {key: site.get(key.removesuffix(MARK), Answer(url="", status=404)) for key in keys}
                    facts = msgspec.structs.replace(facts, documents={**facts.documents, **found})
                case Want.HEAD:
                    facts = msgspec.structs.replace(facts, head=Head(status=200, headers=TYPE))
                case Want.BODY:
                    facts = msgspec.structs.replace(facts, body=f"<!DOCTYPE html><body>{body}".encode())
        return step, asked

    return visit


@pytest.mark.parametrize(
    ("href", "here", "there"),
    [
        ("terms", "/a/terms", "/b/terms"),
        ("/terms", "/terms", "/terms"),
        ("//site.example/terms", "/terms", "/terms"),
        ("https://site.example/terms", "/terms", "/terms"),
        ("https:terms", "/a/terms", "/b/terms"),
    ],
)
def test_same_link_on_two_pages_leads_where_each_page_says(words, href, here, there):
    link = f'<a href="{href}">Terms of use</a>'
    for path, expected in (("/a/x", here), ("/b/x", there), ("/a/x", here)):
        assert linked(words, link, f"https://site.example{path}") == [expected]


def test_same_link_on_a_page_of_another_host_leads_nowhere(words):
    link = '<a href="//site.example/terms">Terms of use</a>'
    assert linked(words, link) == ["/terms"]
    assert linked(words, link, "https://other.example/a") == []


def test_terms_are_asked_for_with_the_page_and_decide_on_it(visited):
    decision, asked = visited(LINKS, {"/terms": page(RESERVED)})
    assert asked == ["/terms#legal"]
    assert (decision.verdict, decision.reason, decision.gate) == (Verdict.DISCARDED, "language.reservation", "body")
    (signal,) = [one for one in decision.signals if one.protocol == "language"]
    assert (signal.source, decision.consulted["/terms#legal"]) == ("/terms#legal", "200")


def test_known_terms_refuse_every_page_before_it_is_asked_for(visited):
    decision, asked = visited("", {"/terms": page(RESERVED)}, known=["/terms#legal"])
    assert (decision.verdict, decision.gate, asked) == (Verdict.REFUSED, "origin", [])


def test_known_terms_are_not_asked_for_again(visited):
    decision, asked = visited(LINKS, {"/terms": page("<p>Welcome.</p>")}, known=["/terms#legal"])
    assert (decision.verdict, asked) == (Verdict.KEPT, [])
    assert decision.consulted["/terms#legal"] == "200"


def test_no_more_than_three_of_a_host_are_asked_for_by_all_its_pages(visited):
    site = {path: page("<p>Welcome.</p>") for path in ("/terms", "/agb", "/legal", "/impressum")}
    every = "".join(f"<a href={path}>x</a>" for path in site)
    _, asked = visited(every, site)
    assert asked == ["/terms#legal", "/agb#legal", "/legal#legal"]
    decision, more = visited('<a href="/cgu">CGU</a>', site, known=asked)
    assert (decision.verdict, more) == (Verdict.KEPT, [])


@pytest.mark.parametrize(
    ("answer", "outcome", "verdicts"),
    [
        (Answer(url="", status=404), "404", ("kept", "kept", "kept")),
        (Answer(url="", status=403), "403", ("kept", "kept", "kept")),
        (Answer(url="", status=503), "503", ("discarded", "held", "kept")),
        (Answer(url="", status=429), "429", ("discarded", "held", "kept")),
        (Answer(url="", failure="timeout"), "timeout", ("discarded", "held", "kept")),
        (Answer(url="", failure="robots"), "forbidden", ("discarded", "kept", "kept")),
        (Answer(url="", status=200, body=b"%PDF-1.7"), "no-page", ("kept", "kept", "kept")),
    ],
)
def test_terms_that_cannot_be_read_count_as_a_reservation_file(visited, answer, outcome, verdicts):
    for profile, verdict in zip(("strict", "standard", "letter"), verdicts, strict=True):
        decision, _ = visited(LINKS, {"/terms": answer}, profile=profile)
        assert (decision.verdict, decision.consulted["/terms#legal"]) == (verdict, outcome)


def test_terms_that_fail_are_tried_again_later(visited):
    decision, _ = visited(LINKS, {"/terms": page("", 503)}, attempt=1)
    assert (decision.verdict, decision.reason) == (Verdict.DEFERRED, "language.unread")


def test_terms_that_robots_txt_forbids_are_not_asked_for(visited, registry, policy, make_facts):
    facts = make_facts("User-agent: *\nDisallow: /terms", head=Head(status=200, headers=TYPE), body=LINKS.encode())
    decision = registry.examine(facts, policy, "Bot")
    assert isinstance(decision, Decision)
    assert decision.consulted["/terms#legal"] == "forbidden"
    assert "language.forbidden" in {signal.reason for signal in decision.signals}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('<a href="/x">Terms and Conditions</a>', ["/x"]),
        ('<a href="/x"><span>Mentions</span> <b>légales</b></a>', ["/x"]),
        ("<A HREF='/Legal/'>x</A>", ["/Legal/"]),
        ('<area href="/agb" alt="">', ["/agb"]),
        ('<a href="/a#top">Terms</a><a href="/terms#3">Terms</a>', ["/terms"]),
        ('<a href="/imprint">Imprint</a><a href="/terms">Terms</a><a href="/x">AGB</a>', ["/terms", "/imprint", "/x"]),
        ('<a href="mailto:legal@site.example">Legal</a><a href="javascript:terms()">Terms</a>', []),
        ('<a href="/terms">Read our privacy statement</a><a href="/privacy/terms">Terms</a>', []),
        ('<a href="https://other.example/terms">Terms</a>', []),
        ('<a href="/paragraph">Bagboy interms illegal</a>', []),
        ("<p>The terms of the agreement</p>", []),
        ('<link rel="stylesheet" href="/legal.css">', []),
        ('<a href="//site.example:99999999/terms">Terms</a><a href="http://[/terms">Terms</a>', []),
    ],
)
def test_link_leads_to_terms_by_its_path_or_by_few_words(words, body, found):
    assert linked(words, body) == found


def test_more_links_than_are_looked_at_are_left(words):
    many = "".join(f'<a href="/terms/{number}">Terms</a>' for number in range(3000))
    began = time.process_time()
    assert len(linked(words, many)) <= 400
    assert time.process_time() - began < 0.5


@given(st.permutations(['<a href="/agb">x</a>', '<a href="/terms">y</a>', '<a href="/x">Imprint</a>', "<p>terms</p>"]))
def test_order_of_links_does_not_matter(words, links):
    assert linked(words, "".join(links)) == ["/terms", "/agb", "/x"]


@given(st.lists(st.sampled_from(['<a href="/terms">', "</a>", "<a ", "Terms", "href=", '"', "'", "<base href=/x/>", ">",
                                 "<link rel=terms", "\0", "legal ", "/agb", "http://[", "<a href=//["])))  # fmt: skip
def test_any_markup_is_searched(words, parts):
    assert len(linked(words, "".join(parts))) <= len(parts)


_TERMS = st.sampled_from([RESERVED, LIKELY, "<p>Welcome.</p>", "", "<p>Text and data mining is permitted.</p>"])


@given(texts=st.lists(_TERMS, max_size=3), profile=st.sampled_from(["strict", "standard", "letter"]))
def test_terms_that_reserve_never_open_a_page(visited_once, texts, profile):
    site = {f"/terms/{number}": page(text) for number, text in enumerate(texts)}
    before = visited_once(site, profile)
    after = visited_once({**site, "/terms/9": page(RESERVED)}, profile)
    assert after is not Verdict.KEPT or (before is Verdict.KEPT and profile == "letter")


@pytest.fixture(scope="module")
def visited_once(registry, policy):
    """The verdict on a page whose site's terms are known."""
    absent = {document.path: Answer(url="", status=404) for document in registry.documents}

    def visit(site, profile):
        terms = {key + MARK: answer for key, answer in site.items()}
        head = Head(status=200, headers=TYPE)
        facts = Facts(url=URL, documents={**absent, **terms}, head=head, body=b"<p>x</p>", attempt=9)
        return registry.examine(facts, msgspec.structs.replace(policy, profile=profile), "Bot").verdict

    return visit


def test_keys_of_terms_are_told_from_others():
    assert is_legal_key("/terms#legal")
    assert not is_legal_key("/robots.txt")
    assert not is_legal_key("/legal")
