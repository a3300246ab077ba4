"""Pairs, single values, and directives behind product-token prefixes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.definition import load_protocol
from reservations.readers.words import SYNTAX, read_directives, read_pairs, read_value
from reservations.statement import Vocabulary

OURS = frozenset({"examplebot", "knockfirstbot"})


@pytest.fixture(scope="module")
def directives(protocol_texts):
    return Vocabulary(load_protocol(protocol_texts["page-robots.toml"], "page-robots.toml"))


@pytest.fixture(scope="module")
def signals(protocol_texts):
    return Vocabulary(load_protocol(protocol_texts["content-signals.toml"], "content-signals.toml"))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("noai", [("noai", "", "all")]),
        ("NoAI , noindex", [("NoAI", "", "all"), ("noindex", "", "all")]),
        ("otherbot: noindex, noai", [("noindex", "", "others"), ("noai", "", "others")]),
        ("otherbot: noindex, ExampleBot: noai", [("noindex", "", "others"), ("noai", "", "us")]),
        ("knockfirstbot: noai", [("noai", "", "us")]),
        ("otherbot: noai, *: noindex", [("noai", "", "others"), ("noindex", "", "all")]),
        ("*=noai; otherbot=noindex", [("noai", "", "all"), ("noindex", "", "others")]),
        ("otherbot: max-snippet:0", [("max-snippet", "0", "others")]),
        ("max-snippet:0, noai", [("max-snippet", "0", "all"), ("noai", "", "all")]),
        (
            "unavailable_after: 25 Jun 2030 15:00:00 PST, noai",
            [("unavailable_after", "25 Jun 2030 15:00:00 PST", "all"), ("noai", "", "all")],
        ),
        ("noai:", [("noai", "", "all")]),
        (";:, ,:", []),
        ("all, follow", [("follow", "", "all")]),
        ("all: noai", [("noai", "", "all")]),
        ("robots: noai", [("noai", "", "all")]),
    ],
)
def test_directives_are_addressed_by_their_prefix(directives, line, found):
    assert [(r.label, r.value, r.addressed_to) for r in read_directives([line], "", directives, OURS)] == found


def test_prefix_ends_with_its_line(directives):
    found = read_directives(["otherbot: noindex", "noai"], "", directives, OURS)
    assert [(r.label, r.addressed_to) for r in found] == [("noindex", "others"), ("noai", "all")]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("search=yes,ai-train=no", [("search", "yes", True), ("ai-train", "no", True)]),
        (" ai-train = no ; x=1", [("ai-train", "no", True)]),
        ("ai-train", [("ai-train", "", False)]),
        ("ai-train: no", [("ai-train", "no", False)]),
        ('ai-train="no"', [("ai-train", "no", True)]),
        ("", []),
    ],
)
def test_pairs_are_split(signals, line, found):
    assert [(r.label, r.value, r.sound) for r in read_pairs([line], "", signals, OURS)] == found


def test_each_line_is_a_value_of_its_own(signals):
    assert [(r.label, r.value) for r in read_value([" 0 ", "1"], "x", signals, OURS)] == [("x", "0"), ("x", "1")]


@given(st.lists(st.text(max_size=300), max_size=4))
def test_any_text_is_read_without_error(directives, signals, lines):
    for name, reader in SYNTAX.items():
        for vocabulary in (directives, signals):
            assert isinstance(reader(lines, name, vocabulary, OURS), list)


def test_refusal_behind_very_many_words_is_read(directives, signals):
    assert len(read_directives(["x," * 100_000 + "noai," * 100_000], "", directives, OURS)) == 1
    assert len(read_pairs(["x=1," * 100_000 + "ai-train=no"], "", signals, OURS)) == 1
