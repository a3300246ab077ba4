"""How well pages are judged, measured: the scored corpus against its floors, and the shared vectors without exception.

Two errors are counted apart: a restriction that is taken for a free page, and a free page that is taken for restricted.
"""

import json
import tomllib
from pathlib import Path

import pytest

from reservations.vectors import access_class

TESTS = Path(__file__).parents[2]
CORPUS = TESTS / "corpus" / "access"
VECTORS = TESTS / "vectors" / "access.json"
FREE = {"open", "transient", "not_available"}


def cases(*paths):
    return [(path.stem, case) for path in paths for case in json.loads(path.read_text("utf-8"))["cases"]]


@pytest.fixture(scope="module")
def judged(registry, policy):
    return [
        (f"{suite}/{case['id']}", case["expected"], access_class(case, registry, policy))
        for suite, case in cases(VECTORS, *sorted(CORPUS.glob("*.json")))
    ]


def thousandths(part, whole):
    return len(part) * 1000 // len(whole)


def test_vectors_agree_without_exception(judged):
    wrong = [row for row in judged if row[0].startswith("access/") and row[1] != row[2]]
    assert wrong == []


def test_corpus_is_large_and_says_why(judged):
    listed = cases(*CORPUS.glob("*.json"))
    assert len(listed) >= 130
    assert len({name for name, _, _ in judged}) == len(judged)
    assert all(case["why"].endswith((".", "!", "?")) for _, case in listed)


@pytest.mark.parametrize("floor", ["restrictions_found", "free_left_alone", "same_class"])
def test_score_is_on_its_floor(judged, floor):
    """Below: something got worse. Above: raise the floor to what is printed, so that it stays so."""
    restricted = [row for row in judged if row[1] not in FREE]
    free = [row for row in judged if row[1] in FREE]
    right = {
        "restrictions_found": ([row for row in restricted if row[2] not in FREE], restricted),
        "free_left_alone": ([row for row in free if row[2] in FREE], free),
        "same_class": ([row for row in judged if row[1] == row[2]], judged),
    }
    good, whole = right[floor]
    score = thousandths(good, whole)
    least = tomllib.loads((CORPUS / "floors.toml").read_text("utf-8"))[floor]
    assert score == least, f"{floor} is {score}; wrong: {[row for row in whole if row not in good]}"
