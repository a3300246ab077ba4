"""Dictionaries of labels: by the letter of RFC 9651, and what refuses plainly besides."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.definition import load_protocol
from reservations.readers.structured_fields import read_dictionary
from reservations.statement import Vocabulary


@pytest.fixture(scope="module")
def vocabulary(protocol_texts):
    return Vocabulary(load_protocol(protocol_texts["aipref.toml"], "aipref.toml"))


def read(vocabulary, *lines):
    return [(r.label, r.value, r.sound, r.issues) for r in read_dictionary(lines, vocabulary)]


@pytest.mark.parametrize(
    ("line", "readings"),
    [
        ("train-ai=n", [("train-ai", "n", True, ())]),
        ("train-ai=y, search=n", [("train-ai", "y", True, ()), ("search", "n", True, ())]),
        ("x=1, train-ai=n, z=@12", [("train-ai", "n", True, ())]),
        ("train-ai", [("train-ai", "?1", True, ())]),
        ("train-ai=n,", [("train-ai", "n", False, ("malformed",))]),
        ("Train-AI: n", [("Train-AI", "n", False, ("malformed",))]),
        ("train-ai=y, train-ai=", []),
        ("train-ai=n, train-ai=y", [("train-ai", "y", True, ()), ("train-ai", "n", False, ("duplicate",))]),
        ('train-ai="n"', [("train-ai", "n", False, ("value",))]),
        ("train-ai=(n)", [("train-ai", "n", False, ("value",))]),
        ("search=y;train-ai=n", [("search", "y", True, ()), ("train-ai", "n", False, ("duplicate",))]),
        ("", []),
        ("\xff", []),
    ],
)
def test_line_gives_readings(vocabulary, line, readings):
    assert read(vocabulary, line) == readings


def test_list_of_several_words_counts_when_the_first_refuses(vocabulary):
    found = read_dictionary(["train-ai=(n y)"], vocabulary)
    assert any(vocabulary.is_negative(item.label, item.value) and not item.sound for item in found)


def test_conditions_are_the_parameters(vocabulary):
    (reading,) = read_dictionary(["train-ai=n;exceptions=cc-cr;x"], vocabulary)
    assert reading.conditions == ("exceptions=cc-cr", "x=?1")


def test_later_line_overrides_by_the_letter_only(vocabulary):
    assert read(vocabulary, "train-ai=n", "train-ai=y") == [
        ("train-ai", "y", True, ()),
        ("train-ai", "n", False, ("conflicting_lines",)),
    ]


def test_refusal_in_an_overlong_value_counts(vocabulary):
    assert read(vocabulary, "train-ai=n, x=" + "a" * 9000) == [("train-ai", "n", False, ("too_long",))]


@given(st.lists(st.text(max_size=200), max_size=4))
def test_any_text_is_read_without_error(vocabulary, lines):
    for reading in read_dictionary(lines, vocabulary):
        assert vocabulary.knows(reading.label)


@pytest.mark.parametrize(
    "value", ["a" * 65_536, "9" * 65_536, "a=" + " " * 65_000 + "!", "a." * 32_000, "a=(" * 20_000]
)
def test_long_values_are_read_in_time_that_grows_with_their_length(vocabulary, value):
    began = time.process_time()
    assert read(vocabulary, f"{value}, train-ai=n") == [("train-ai", "n", False, ("too_long",))]
    assert time.process_time() - began < 1
