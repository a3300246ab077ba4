"""Reads `name=value` lines (trust.txt, JournalList reference document of 2024), and only names that a protocol knows.

A colon in place of "=" is read for what it refuses. Prose, whatever stands in it, holds no such lines (ruling 27).
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final, NamedTuple

from reservations.definition import Document
from reservations.model import Signal
from reservations.statement import Place, Reading, Vocabulary

_LINE: Final = re.compile(r"[ \t]*([A-Za-z][\w-]{0,63})[ \t]*([=:])[ \t]*([^#]*)")
_MOST: Final = 1000


class Pair(NamedTuple):
    """One line that a protocol knows."""

    number: int
    name: str
    separator: str
    value: str


def parse_name_values(body: bytes, document: Document, vocabulary: Vocabulary) -> tuple[Pair, ...]:
    """The lines whose names are known. Never raises; what is over the cap is not read."""
    text = body[: document.max_bytes].decode("utf-8", "replace").removeprefix("\ufeff")
    found: list[Pair] = []
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        match = _LINE.match(line)
        if match and vocabulary.knows(match[1]) and len(found) < _MOST:
            found.append(Pair(number, match[1], match[2], match[3].strip()))
    return tuple(found)


def read_name_values(pairs: tuple[Pair, ...], document: Document, vocabulary: Vocabulary) -> list[Signal]:
    """What the lines say, of every URL of the origin."""
    signals = []
    times = Counter(pair.name.lower() for pair in pairs)
    for pair in pairs:
        issues = ("separator",) * (pair.separator == ":") + ("duplicate",) * (times[pair.name.lower()] > 1)
        reading = Reading(pair.name, pair.value.strip("\"'"), sound=pair.separator == "=", issues=issues)
        place = Place("well_known", document.path, f"line {pair.number}", f"{pair.name}{pair.separator}{pair.value}")
        signals.append(vocabulary.signal(reading, place))
    return [signal for signal in signals if signal is not None]
