"""Directives inside robots.txt groups: whose lines bind, and which path speaks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.definition import load_protocol
from reservations.readers.robots_lines import choose, read_lines
from reservations.readers.robots_match import subject_of
from reservations.readers.robots_txt import RobotsTxt
from reservations.statement import Vocabulary

TOKENS = ("ExampleBot", "KnockfirstBot")
PATH_PROTOCOL = """
id = "training-paths"
name = "Training paths"
steward = "us"
version = "1"
date = "2026"
status = "test"
eu_status = "none"
reviewed = "2026-11-22"
order = 90
sources = []
[[reasons]]
code = "training-paths.no"
text = "No."
[[robots_lines]]
name = "NoTraining"
syntax = "path"
[[robots_lines]]
name = "Training"
syntax = "path"
[[labels]]
name = "NoTraining"
reason = "training-paths.no"
values = [{ value = "", strict = { ai-train = "deny" }, effective = { ai-train = "deny" } }]
[[labels]]
name = "Training"
reason = "training-paths.no"
values = [{ value = "", strict = { ai-train = "allow" }, effective = { ai-train = "allow" } }]
"""


@pytest.fixture(scope="module")
def vocabularies(protocol_texts):
    texts = {name: protocol_texts[f"{name}.toml"] for name in ("aipref", "content-signals")}
    texts["paths"] = PATH_PROTOCOL
    return {name: Vocabulary(load_protocol(text, name)) for name, text in texts.items()}


@pytest.fixture(scope="module")
def read(vocabularies):
    def read(name, robots, path="/a"):
        text = RobotsTxt.parse(robots.encode())
        vocabulary = vocabularies[name]
        chosen = [
            (line, choose(text.lines(line.name.lower(), TOKENS), named=text.named(TOKENS)))
            for line in vocabulary.protocol.robots_lines
        ]
        subject = subject_of(f"https://site.example{path}")
        return read_lines(chosen, vocabulary, frozenset(map(str.lower, TOKENS)), subject, "/robots.txt")

    return read


def values(signals, column="effective"):
    return [
        {str(k): str(v) for k, v in getattr(signal, column).items()} for signal in signals if getattr(signal, column)
    ]


def test_line_in_our_group_is_in_force(read):
    (signal,) = read("content-signals", "User-agent: ExampleBot\nContent-Signal: ai-train=yes\nAllow: /")
    assert values([signal], "strict") == [{"ai-train": "allow", "genai-train": "allow"}]
    assert (signal.locator, signal.excerpt) == ("line 2", "content-signal: ai-train=yes")


def test_group_for_the_house_token_counts_as_ours(read):
    robots = "User-agent: KnockfirstBot\nContent-Signal: ai-train=no\nAllow: /\n\nUser-agent: *\nAllow: /"
    assert values(read("content-signals", robots), "strict")


@pytest.mark.parametrize(
    "robots",
    [
        "Content-Signal: ai-train={}\nUser-agent: *\nAllow: /",
        "User-agent: ExampleBot\nAllow: /\n\nUser-agent: *\nContent-Signal: ai-train={}\nAllow: /",
    ],
)
def test_line_that_the_letter_does_not_apply_refuses_only(read, robots):
    refused = read("content-signals", robots.format("no"))
    assert (values(refused, "strict"), len(values(refused)), refused[0].issues) == ([], 1, ("group",))
    assert values(read("content-signals", robots.format("yes"))) == []


def test_group_of_another_is_not_ours(read):
    assert read("content-signals", "User-agent: OtherBot\nContent-Signal: ai-train=no\nAllow: /") == []


def test_longest_path_speaks_for_the_uses_it_names(read):
    robots = "User-agent: *\nContent-Usage: train-ai=n, search=n\nContent-Usage: /a train-ai=y\n"
    signals = read("aipref", robots, "/a/1")
    assert values(signals, "strict") == [{"ai-train": "allow", "genai-train": "allow"}]
    assert values(signals) == [{"ai-train": "allow", "genai-train": "allow"}, {"search": "deny"}]
    assert [signal.issues for signal in signals if "shadowed_deny" in signal.issues]


def test_path_is_matched_as_in_allow_and_disallow(read):
    robots = "User-agent: *\nContent-Usage: /*.pdf$ train-ai=n\n"
    assert values(read("aipref", robots, "/x.pdf"))
    assert read("aipref", robots, "/x.pdf?y") == []


def test_directives_with_paths_of_their_own(read):
    robots = "User-agent: *\nNoTraining: /\nTraining: /open/\nNoTraining:\n"
    assert values(read("paths", robots, "/a")) == [{"ai-train": "deny"}]
    assert values(read("paths", robots, "/open/1"))[0] == {"ai-train": "allow"}
    assert values(read("paths", "User-agent: *\nNoTraining:\n")) == []


def test_equal_paths_are_separate_statements(read):
    robots = "User-agent: *\nNoTraining: /a\nTraining: /a\n"
    assert values(read("paths", robots)) == [{"ai-train": "deny"}, {"ai-train": "allow"}]


def test_line_that_is_repeated_is_one_statement(read):
    robots = "User-agent: *\n" + "Content-Signal: ai-train=no\n" * 10_000
    assert [signal.locator for signal in read("content-signals", robots)] == ["line 2"]


def test_path_that_cannot_be_compared_in_time_refuses_only(read):
    def usage(value):
        stars = "".join(f"Content-Usage: /*{'a' * 90}{n}*b train-ai={value}\n" for n in range(3000))
        return read("aipref", "User-agent: *\n" + stars, "/" + "a" * 8000)

    refused = usage("n")
    assert "too_complex" in refused[0].issues
    assert (len(values(refused)), values(refused, "strict")) == (1, [])
    assert values(usage("y")) == []


@given(st.text(max_size=200), st.text(max_size=40))
def test_any_value_is_read_without_error(read, value, path):
    for name in ("aipref", "content-signals", "paths"):
        robots = f"User-agent: *\nContent-Usage: {value}\nContent-Signal: {value}\nNoTraining: {value}\n"
        assert isinstance(read(name, robots, "/" + path), list)
