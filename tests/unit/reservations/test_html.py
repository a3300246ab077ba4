"""Statements in pages: whatever the encoding, wherever they stand, and cheaply."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from reservations.definition import load_protocol
from reservations.readers import html
from reservations.readers.html import HtmlPage, Meta, is_html, look_for, read_html
from reservations.statement import Vocabulary

OURS = frozenset({"examplebot", "knockfirstbot"})
OTHERS = frozenset({"ccbot"})
NOAI = '<meta name="robots" content="noai">'


@pytest.fixture(scope="module")
def metas(protocol_texts):
    found = {}
    for name in ("tdmrep", "page-robots", "aipref"):
        vocabulary = Vocabulary(load_protocol(protocol_texts[f"{name}.toml"], name))
        for meta in vocabulary.protocol.html_metas:
            found[meta.name] = (*found.get(meta.name, ()), Meta(meta, vocabulary))
    return found


@pytest.fixture(scope="module")
def read(metas):
    def read(page, charset="", media_type="text/html", **more):
        body = page if isinstance(page, bytes) else page.encode()
        return read_html(HtmlPage(body, charset), look_for(metas, OURS, OTHERS), media_type, **more)

    return read


def page(head="", body="<p>x</p>"):
    return f"<!DOCTYPE html><html><head><title>t</title>{head}</head><body>{body}</body></html>"


def reasons(signals):
    return [signal.reason for signal in signals if signal.effective]


@pytest.mark.parametrize(
    "meta",
    [
        NOAI,
        "<META NAME='Robots' CONTENT='NOAI'>",
        "<meta name=robots content=noai>",
        "<meta content='x, noai'\n name = robots />",
        '<meta name="robots" content="no&#97;i">',
        '<meta name="&#x72;obots" content="noai">',
        '<meta data-content="index" name="robots" content="noai">',
        '<meta name="examplebot" content="noai">',
        '<meta title=">" name="robots" content="noai">',
        '<noscript><meta name="robots" content="noai"></noscript>',
        '<meta name="\u00a0robots&nbsp;" content="noai">',
        '<meta name="{}robots" content="noai">'.format(" " * 400),
        '<meta name{}= "{}robots" content="noai">'.format(" " * 200, " " * 54),
    ],
)
def test_meta_is_found_however_it_is_written(read, meta):
    assert reasons(read(page(meta))) == ["page-robots.noai"]


@pytest.mark.parametrize("late", [NOAI, f"<html><head>{NOAI}</head></html>", f"<p>x</html>{NOAI}</html>"])
def test_meta_behind_the_end_of_the_page_stands_in_its_body(read, late):
    (signal,) = read(page() + late)
    assert signal.reason == "page-robots.noai"
    assert "in_body" in signal.issues
    assert signal.effective


@pytest.mark.parametrize(
    "hidden",
    [
        f"<!-- {NOAI} -->",
        f"<template>{NOAI}</template>",
        f"<script>var x = '{NOAI}';</script>",
        f"<style>/* {NOAI} */</style>",
        f"<textarea>{NOAI}</textarea>",
        '<meta name="robots-x" content="noai">',
        '<meta name="robots" content="index, follow, max-snippet:-1, max-image-preview:large">',
        '<meta name="otherbot" content="noai">',
        '<meta itemprop="robots" content="noai">',
    ],
)
def test_what_is_no_statement_is_not_read(read, hidden):
    assert read(page(hidden)) == []
    assert read(page(body=hidden)) == []


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-16-le", b"\xff\xfe"),
        ("utf-16-be", b"\xfe\xff"),
        ("utf-16-le", b""),
        ("utf-16-be", b""),
        ("utf-8", b"\xef\xbb\xbf"),
        ("latin-1", b""),
        ("utf-8", b""),
    ],
)
def test_encoding_hides_nothing(read, encoding, mark):
    assert reasons(read(mark + page(f"<meta name=x content='é'>{NOAI}").encode(encoding))) == ["page-robots.noai"]


@pytest.mark.parametrize(
    "charset", ["utf-16", "UTF-16LE", "utf-16be", "iso-2022-jp", "shift_jis", "koi8-r", "nonsense"]
)
def test_charset_of_the_response_is_believed(read, charset):
    codec = {"koi8-r": "koi8_r", "nonsense": "latin-1", "utf-16": "utf-16-le"}.get(charset, charset)
    assert reasons(read(page(NOAI).encode(codec), charset)) == ["page-robots.noai"]


def test_iso_2022_jp_text_does_not_break_the_tags_behind_it(read):
    text = page("<meta charset=iso-2022-jp><meta name=description content='日本語の説明'>" + NOAI)
    assert reasons(read(text.encode("iso-2022-jp"))) == ["page-robots.noai"]


def test_declaration_of_utf_16_that_was_read_as_ascii_is_not_believed(read):
    assert reasons(read(page('<meta charset="utf-16">' + NOAI))) == ["page-robots.noai"]


def test_refusal_in_the_body_counts_and_permission_does_not(read):
    (refused,) = read(page(body='<p>x</p><meta name="tdm-reservation" content="1">'))
    assert (refused.issues, refused.strict, bool(refused.effective)) == (("in_body",), {}, True)
    (permitted,) = read(page(body='<p>x</p><meta name="tdm-reservation" content="0">'))
    assert (permitted.issues, permitted.strict, permitted.effective) == (("in_body",), {}, {})


@pytest.mark.parametrize("attribute", ["property", "http-equiv"])
def test_wrong_attribute_refuses_only(read, attribute):
    (signal,) = read(page(f'<meta {attribute}="tdm-reservation" content="1">'))
    assert (signal.issues, signal.strict, signal.effective["tdm"]) == (("attribute",), {}, "deny")
    (signal,) = read(page(f'<meta {attribute}="tdm-reservation" content="0">'))
    assert signal.effective == {}


def test_statement_without_a_defined_form_refuses_only(read):
    (signal,) = read(page('<meta name="Content-Usage" content="train-ai=n">'))
    assert (signal.issues, signal.strict, signal.effective["genai-train"]) == (("nonstandard_carrier",), {}, "deny")


def test_statement_for_images_covers_images_only(read):
    meta = page('<meta name="robots" content="noimageai">')
    assert reasons(read(meta)) == []
    assert reasons(read(meta, media_type="image/png", embedding=True)) == ["page-robots.noimageai"]
    assert read(page(NOAI), media_type="image/png", embedding=True) == []


def test_meta_for_another_crawler_is_recorded_without_values(read):
    (signal,) = read(page('<meta name="CCBot" content="nofollow">'))
    assert (signal.reason, signal.addressed_to, signal.locator) == ("page-robots.nofollow", "others", "meta 1 (ccbot)")
    assert signal.effective == {}
    (ours,) = read(page('<meta name="examplebot" content="noai">'))
    assert ours.addressed_to == "us"


def test_signal_quotes_the_meta_and_says_where_it_is(read):
    (signal,) = read(page("<meta name=viewport content=x>" + NOAI))
    assert (signal.carrier, signal.source, signal.locator) == ("html_meta", "body", "meta 2")
    assert signal.excerpt == NOAI


def test_excerpt_holds_no_control_characters(read):
    (signal,) = read(page('<meta name="tdm-policy" content="https://x/\x1b[31m\u202eevil">'))
    assert signal.excerpt.isprintable()
    assert all(condition.isprintable() for condition in signal.conditions)


def test_statement_beyond_the_window_is_not_looked_for(read, monkeypatch):
    monkeypatch.setattr(html, "_MAX_OCTETS", 1000)
    monkeypatch.setattr(html, "_MAX_OCTETS_LONG_HEAD", 4000)
    assert reasons(read("<head>" + " " * 2000 + NOAI)) == ["page-robots.noai"]
    assert reasons(read("<head></head>" + " " * 2000 + NOAI)) == []


@pytest.mark.parametrize(
    ("media_type", "body", "answer"),
    [
        ("text/html", b"", True),
        ("application/xhtml+xml", b"x", True),
        ("text/plain", b"\xef\xbb\xbf\n<html>", True),
        ("", b"<!doctype html>", True),
        ("", b"\xff\xfe<\0h\0", True),
        ("text/plain", b"hello", False),
        ("image/svg+xml", b"<svg>", False),
        ("application/pdf", b"<pdf", False),
    ],
)
def test_what_counts_as_html(media_type, body, answer):
    assert is_html(media_type, body) is answer


@given(st.binary(max_size=2000), st.sampled_from(["", "utf-8", "utf-16", "shift_jis", "gb2312", "punycode", "zip"]))
def test_any_octets_are_read_without_error(read, body, charset):
    assert isinstance(read(body, charset), list)


@given(
    st.lists(
        st.sampled_from(["<meta ", "name=robots ", "content=noai", ">", "<!--", "-->", '"', "'", "&#", "\0", "<", " "])
    )
)
def test_any_soup_of_tags_is_read_without_error(read, parts):
    assert isinstance(read("".join(parts)), list)


@pytest.mark.parametrize("depth", [100, 300, 1500, 5000, 100_000])
def test_refusal_in_great_depth_counts(read, depth):
    (signal,) = read("<div>" * depth + "<meta name='&#114;obots' content=noai>" + NOAI)
    assert signal.effective["genai-train"] == "deny"


def test_refusal_counts_when_the_parser_gives_up(read, monkeypatch):
    def give_up(*_):
        raise etree.LxmlError("no")

    monkeypatch.setattr(etree, "fromstring", give_up)
    (signal,) = read(page(NOAI))
    assert (signal.strict, signal.effective["genai-train"], signal.issues) == ({}, "deny", ("unparsed",))


def test_permission_in_a_page_that_cannot_be_parsed_does_not(read):
    (signal,) = read('<meta name="tdm-reservation" content="0">' + "<div>" * 5000)
    assert (signal.effective, signal.issues) == ({}, ("unparsed",))


def test_refusal_behind_very_many_metas_counts(read):
    many = "".join(f"<meta name=robots content=max-snippet:{n}>" for n in range(1, 3000))
    assert reasons(read(page(many + NOAI))) == ["page-robots.noai"]


def test_statement_that_is_said_again_is_one(read):
    assert [signal.locator for signal in read(page(NOAI * 50))] == ["meta 1"]


@pytest.mark.parametrize(
    "hostile",
    [
        "<meta " * 150_000,
        '<meta "' * 150_000,
        "<div>" * 100_000 + NOAI,
        "<meta name=robots content='" + "noai," * 100_000,
    ],
    ids=["tags", "quotes", "depth", "words"],
)
def test_hostile_page_is_read_in_bounded_time(read, hostile):
    start = time.process_time()
    read(hostile)
    assert time.process_time() - start < 3


@pytest.mark.parametrize("filler", ["", "x" * 2000])
def test_same_meta_says_to_each_reader_what_it_says_to_him(metas, filler):
    octets = page(f'<meta name="ccbot" title="{filler}" content="noai">').encode()
    heard = {
        token: {
            signal.addressed_to
            for _ in range(2)
            for signal in read_html(HtmlPage(octets, ""), look_for(metas, frozenset({token}), OTHERS), "text/html")
        }
        for token in ("examplebot", "ccbot", "examplebot")
    }
    assert heard == {"examplebot": {"others"}, "ccbot": {"us"}}


def test_same_meta_at_another_place_is_another_statement(read):
    first, second = read(page(NOAI)), read(page("<meta charset=utf-8>" + NOAI))
    assert [signal.locator for signal in first] == ["meta 1"]
    assert [signal.locator for signal in second] == ["meta 2"]
    assert read(page(NOAI)) == first


@pytest.mark.parametrize(
    ("head", "body", "expected"),
    [
        ('<meta property="og:title">', "", {"og:title"}),
        ('<meta property="OG:Title">', '<p property="schema:license">', {"og:title", "schema:license"}),
        ('<meta property="">', '<p property="schema:license">', {"", "schema:license"}),
        ('<meta property="og:title">', "<p>property", {"og:title"}),
        ("", "", set()),
    ],
)
def test_properties_are_those_of_the_whole_page(head, body, expected):
    assert {name.lower() for name in HtmlPage(page(head, body).encode(), "").properties} == expected
