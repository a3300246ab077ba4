"""JSON lists of rules: by the letter, and what refuses plainly though it is none."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.definition import load_protocol
from reservations.readers.robots_match import subject_of
from reservations.readers.well_known import is_page, parse_rules, read_rules
from reservations.statement import Vocabulary


@pytest.fixture(scope="module")
def vocabulary(protocol_texts):
    return Vocabulary(load_protocol(protocol_texts["tdmrep.toml"], "tdmrep.toml"))


@pytest.fixture(scope="module")
def read(vocabulary):
    document = vocabulary.protocol.documents[0]

    def read(body, path="/a", *, truncated=False):
        text = (
            body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        )
        rules = parse_rules(text, document, vocabulary, truncated=truncated)
        if rules.unreadable:
            return rules.unreadable
        return read_rules(rules, document, vocabulary, subject_of(f"https://site.example{path}"))

    return read


def tdm(signals, column="effective"):
    """The values of `tdm` in the statements, in order."""
    return [str(getattr(signal, column)["tdm"]) for signal in signals if "tdm" in getattr(signal, column)]


def rule(location="/", reservation=1, **more):
    return {"location": location, "tdm-reservation": reservation, **more}


def test_rule_names_its_place(read):
    (signal,) = read([rule("/x", 0), rule("/a", 1)])
    assert (signal.locator, signal.excerpt) == ("rule 2", "location: /a, tdm-reservation: 1")


def test_policy_is_a_condition(read):
    reserved, policy = read([rule(**{"tdm-policy": "https://site.example/p"})])
    assert (reserved.reason, policy.reason) == ("tdmrep.reserved", "tdmrep.policy")
    assert policy.conditions == ("https://site.example/p",)


@pytest.mark.parametrize(
    ("location", "path", "matches"),
    [
        ("/", "/a", True),
        ("/a", "/ab?c", True),
        ("/*.jpg$", "/x.jpg", True),
        ("/*.jpg$", "/x.jpg?y", False),
        ("*.jpg", "/x.jpg", True),
        ("/%61", "/a", True),
        ("/A", "/a", False),
        ("/a?b", "/a?bc", True),
        ("private", "/private/x", True),
        ("https://site.example/a/", "/a/b", True),
        ("https://site.example", "/a/b", True),
        (" /a ", "/ab", True),
    ],
)
def test_location_is_matched_as_in_robots_txt(read, location, path, matches):
    assert bool(tdm(read([rule(location)], path))) is matches


def test_location_that_is_none_refuses_only(read):
    assert tdm(read([rule("private")], "/private"), "strict") == []
    assert tdm(read([rule("private", 0)], "/private")) == []
    assert tdm(read([rule(7, 1)])) == ["deny"]
    assert tdm(read([rule(None, 0)])) == []


@pytest.mark.parametrize("value", ["1", True, "yes", "true", 1.0])
def test_other_spellings_of_1_refuse(read, value):
    signals = read([rule("/", value)])
    assert (tdm(signals), tdm(signals, "strict")) == (["deny"], [])


@pytest.mark.parametrize("value", ["0", False, 2, -1, None, "no", [], {}, 0.0, 1.5])
def test_other_values_say_nothing(read, value):
    assert tdm(read([rule("/", value)])) == []


@pytest.mark.parametrize(
    "text",
    ["[{'tdm-reservation': 1}]", '{"tdm-reservation":"1"', '"tdm-reservation" : 1', b'\xff[{"tdm-reservation": 1}]'],
)
def test_broken_json_refuses_when_it_says_so(read, text):
    signals = read(text)
    assert (tdm(signals), tdm(signals, "strict")) == (["deny"], [])
    assert any("malformed" in signal.issues for signal in signals)


@pytest.mark.parametrize(
    "text", ["", "nonsense", '{"tdm-reservation": 0', '"tdm-reservation": 10,', "3", "null", "[", "[]"]
)
def test_broken_json_permits_nothing(read, text):
    assert tdm(read(text)) == []


@pytest.mark.parametrize(
    "tree",
    [
        {"prohibitions": [{"action": "tdm:mine"}]},
        {"policy": "deny", "uses": ["ai-training", "text-and-data-mining"]},
        {"permissions": {"training": "prohibited"}},
        [{"type": "prohibited", "use": "training"}],
        {"tdm": {"status": "denied", "scope": "mining"}},
    ],
)
def test_home_made_file_that_refuses_is_a_reservation(read, tree):
    signals = read(tree)
    assert (tdm(signals), tdm(signals, "strict")) == (["deny"], [])
    assert any("foreign_schema" in signal.issues for signal in signals)


@pytest.mark.parametrize(
    "tree",
    [
        {"permissions": ["mining"]},
        {"prohibitions": ["hotlinking"]},
        {"policy": "allow", "uses": ["training"]},
        [{}],
        {},
    ],
)
def test_home_made_file_that_does_not_is_none(read, tree):
    assert tdm(read(tree)) == []


def test_what_is_over_a_bound_is_unreadable(read):
    assert read("[" * 200_000) == "too_deep"
    assert read([rule()] * 10_001) == "too_many_rules"
    assert read(b" " * 1_048_577) == "too_large"
    assert read([rule()], truncated=True) == "too_large"


def test_location_that_cannot_be_compared_in_time_refuses_only(read):
    def stars(value):
        return read([rule(f"/*{'a' * 90}{n}*b", value) for n in range(3000)], "/" + "a" * 8000)

    assert tdm(stars(1))[0] == "deny"
    assert tdm(stars(1), "strict") == []
    assert tdm(stars(0)) == []


def test_home_made_file_with_a_list_of_words_is_looked_through(read):
    assert tdm(read({"prohibited": ["hotlinking", "text mining"]})) == ["deny"]


def test_ten_thousand_rules_are_read_in_bounded_time(read):
    rules = [rule(f"/*a*b{n}*c$", 0) for n in range(9_999)]
    start = time.process_time()
    assert tdm(read([*rules, rule("/", 1)], "/" + "ab" * 2000)) == ["deny"]
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("body", "media_type", "answer"),
    [
        (b"<html>", "application/json", True),
        (b"\xef\xbb\xbf \n<!doctype html>", "", True),
        (b"Not found", "text/html", True),
        (b"", "text/html", True),
        (b'[{"location"', "text/html", False),
        (b"Not found", "application/json", False),
    ],
)
def test_page_in_place_of_the_file_is_noticed(body, media_type, answer):
    assert is_page(body, media_type) is answer


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
_KEYS = st.sampled_from(["location", "tdm-reservation", "tdm-policy", "prohibitions", "x"])


@given(
    st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3)),
    st.text(max_size=30),
)
def test_any_json_is_read_without_error(read, tree, path):
    assert isinstance(read(tree, "/" + path.replace("\n", "")), list)


@given(st.binary(max_size=300))
def test_any_octets_are_read_without_error(read, octets):
    assert isinstance(read(octets), list)


@given(st.lists(st.tuples(st.sampled_from(["/", "/a", "/a/", "/*b", "/c"]), st.sampled_from([0, 1])), max_size=5))
def test_refusal_that_stands_first_always_refuses(read, pairs):
    rules = [rule(location, value) for location, value in pairs]
    assert "deny" in tdm(read([rule("/", 1), *rules], "/c/x"))
