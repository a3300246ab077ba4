"""A visit's own memory: what was foreseen at the knock holds for the same question and for no other."""

import msgspec
import pytest

from crawler.visit import Foreseen
from provenance.rules import Rules
from reservations.model import Answer, Facts, Head, Want, Wants

DAY_MS = 86_400_000
RULES = Rules.load(tokens=("KnockfirstBot",))
ROBOTS = Answer(url="https://a.example/robots.txt", status=404)
FACTS = Facts(url="https://a.example/", documents={"/robots.txt": ROBOTS}, at=DAY_MS + 5)
FORESEEN = Foreseen(RULES, FACTS, Wants(what=Want.HEAD, url=FACTS.url))


def test_what_was_foreseen_holds_for_the_rest_of_the_day():
    assert FORESEEN.holds(RULES, msgspec.structs.replace(FACTS, at=2 * DAY_MS - 1))


@pytest.mark.parametrize(
    "changes",
    [
        {"at": 2 * DAY_MS},
        {"attempt": 2},
        {"head": Head(status=200)},
        {"documents": {}},
        {"documents": {"/robots.txt": msgspec.structs.replace(ROBOTS, status=500)}},
    ],
)
def test_another_day_and_other_facts_are_asked_about_again(changes):
    assert not FORESEEN.holds(RULES, msgspec.structs.replace(FACTS, **changes))


def test_other_rules_are_asked_again_even_where_they_read_alike():
    assert not FORESEEN.holds(Rules.load(tokens=("KnockfirstBot",)), FACTS)
