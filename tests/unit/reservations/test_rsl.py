"""What an RSL licence offers, to whom, for which URL; and which documents are none."""

import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reservations.definition import load_protocol
from reservations.model import Value
from reservations.readers.robots_match import subject_of
from reservations.readers.rsl import Found, Party, Unreadable, looks_like_rsl, narrowest, offers, parse_rsl

SPACE = "https://rslstandard.org/rsl"
US = Party(frozenset({"commercial"}), "", attributes=False)
YES = "<permits type='usage'>ai-train</permits>"


@pytest.fixture(scope="module")
def words(protocol_texts):
    return load_protocol(protocol_texts["rsl.toml"], "rsl.toml").named.offers


def document(*contents):
    return f"<rsl xmlns='{SPACE}'>{''.join(contents)}</rsl>".encode()


def content(inner, url="/", more=""):
    return f"<content url='{url}' {more}><license>{inner}</license></content>"


@pytest.fixture(scope="module")
def outcome(words):
    def outcome(body, url="https://mag.example/x", use="ai-train", party=US, **found):
        entries, _ = narrowest(parse_rsl(body, words), Found(url, subject_of(url), **found))
        return {offer.use: offer.outcome for offer in offers(entries, words, party)}.get(use)

    return outcome


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        (YES, "permitted"),
        ("<permits type='usage'>ALL</permits>", "permitted"),
        ("<permits type='usage'>search</permits>", "not-permitted"),
        ("<permits type='usage'>dancing</permits>", "not-permitted"),
        ("<permits type='usage'/>", "not-permitted"),
        ("", "permitted"),
        ("<payment type='free'/>", "permitted"),
        ("<payment/>", "permitted"),
        ("<payment type='training'/>", "conditional"),
        ("<payment type='free'/><payment type='crawl'/>", "conditional"),
        ("<payment type='unheard-of'/>", "conditional"),
        ("<payment><standard>https://l.example/</standard></payment>", "conditional"),
        ("<payment type='attribution'/>", "conditional"),
        ("<reporting/>", "conditional"),
        ("<prohibits type='usage'>dancing</prohibits>", "permitted"),
        ("<prohibits type='usage'>train-genai</prohibits>", "prohibited"),
        ("<permits type='user'>commercial</permits>", "permitted"),
        ("<permits type='user'>education personal</permits>", "not-permitted"),
        ("<prohibits type='user'>commercial</prohibits>", "not-permitted"),
        ("<prohibits type='geo'>US</prohibits>", "not-permitted"),
        ("<legal type='warranty'>x</legal>", "permitted"),
    ],
)
def test_outcome_of_one_licence_for_training(outcome, inner, expected):
    assert outcome(document(content(inner))) == expected


@pytest.mark.parametrize("more", ["server='https://l.example/'", "encrypted='true'", "encrypted='1'"])
def test_locked_content_is_conditional(outcome, more):
    assert outcome(document(content(YES, more=more))) == "conditional"


def test_country_decides_where_it_is_known(outcome):
    body = document(content(f"{YES}<permits type='geo'>DE</permits>"))
    found = [outcome(body, party=US._replace(country=country)) for country in ("", "DE", "US")]
    assert found == ["not-permitted", "permitted", "not-permitted"]


@pytest.mark.parametrize(
    ("pattern", "url", "covered"),
    [
        ("/a/", "https://mag.example/a/1", True),
        ("/a/", "https://mag.example/b", False),
        ("/*.pdf$", "https://mag.example/x.pdf", True),
        ("/*.pdf$", "https://mag.example/x.pdf?v", False),
        ("https://mag.example/a/", "https://mag.example/a/1", True),
        ("https://mag.example", "https://mag.example/a/1", True),
        ("http://mag.example/a/", "https://mag.example/a/1", True),
        ("https://other.example/", "https://mag.example/a/1", False),
        ("a/", "https://mag.example/a/1", True),
    ],
)
def test_entry_covers_what_its_url_says(outcome, pattern, url, covered):
    assert (outcome(document(content("<prohibits type='usage'>all</prohibits>", pattern)), url) is not None) is covered


def test_terms_inside_a_copy_apply_to_it_whatever_origin_they_name(outcome):
    body = document(content("<prohibits type='usage'>all</prohibits>", "https://first.example/story"))
    assert outcome(body) is None
    assert outcome(body, inside=True) == "prohibited"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<rsl",
        b"<rsl/>",
        f"<rsl xmlns='{SPACE}'/>".encode(),
        b"<rsl><content url='/'><license/></content></rsl>",
        document("<content/>" * 5001),
        (f"<rsl xmlns='{SPACE}'>" + "<a>" * 40 + "<content url='/'/>" + "</a>" * 40 + "</rsl>").encode(),
        b"<!DOCTYPE rsl [<!ENTITY a 'b'>]><rsl>&a;</rsl>",
        b"<!DOCTYPE rsl SYSTEM 'http://127.0.0.1/x'>" + document(content(YES)),
        "{}".encode("utf-16"),
    ],
)
def test_what_is_no_licence_is_unreadable(words, body):
    with pytest.raises(Unreadable):
        parse_rsl(body, words)


@pytest.mark.parametrize(
    ("start", "is_licence"),
    [
        (b"<rsl xmlns='x'>", True),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- c -->\n<r:rsl>", True),
        (b"<!DOCTYPE rsl [", True),
        (b"<!doctype html><title>rsl</title>", False),
        (b"<html><rsl>", False),
        (b"rsl", False),
    ],
)
def test_licence_is_told_from_a_web_page_by_its_root(start, is_licence):
    assert looks_like_rsl(start) is is_licence


@settings(deadline=None)
@given(st.binary(max_size=400) | st.sampled_from([document(content(YES)), b"<rsl>" * 200]).flatmap(
    lambda body: st.integers(0, len(body)).map(lambda at: body[:at] + b"\0" + body[at:])
))  # fmt: skip
def test_any_bytes_are_read_or_refused(words, body):
    with suppress(Unreadable):
        parse_rsl(body, words)


def test_large_document_is_read_in_time(words):
    body = document(*(content(YES, f"/{number}/") for number in range(4_900)))
    began = time.process_time()
    entries = parse_rsl(body, words)
    narrowest(entries, Found("https://mag.example/77/x", subject_of("https://mag.example/77/x")))
    assert time.process_time() - began < 2


def test_result_of_a_document_in_old_words_says_nothing_by_the_letter(registry, policy, make_facts):
    facts = make_facts(
        "User-agent: *\nAllow: /\nLicense: https://site.example/l.xml\n",
        documents={"/l.xml": document(content("<permits type='usage'>train-ai,search</permits>"))},
    )
    values = registry.values(facts, policy, "ExampleBot", ["rsl"])
    assert values.effective["ai-train"] is Value.ALLOW
    assert "ai-train" not in values.strict
