r"""Reads ai.txt, a name that four unrelated formats share, by what stands in the file.

(a) Rules like those of robots.txt (Spawning, 2023): user agents, Disallow and Allow, where `*.jpg` needs no slash and a
refusal wins a tie. (b) `Key: value` fields ("Specification 1.0", draft-car-ai-txt-wellknown-00): `Training: deny`.
(c) Markdown or an essay: no rights in it, for the reader of language. (d) Home-made: directives of other protocols,
which go to their own readers. A value of words without "/" or "*" is language and no path (rulings 25, 26).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from reservations.definition import Document
from reservations.model import Signal
from reservations.readers.robots_match import Meter, Rule, Subject, TooComplex, path_matches
from reservations.readers.robots_txt import MAX_OCTETS, RobotsTxt, shown
from reservations.statement import Place, Reading, Vocabulary

_FIELD: Final = re.compile(r"[ \t]*([A-Za-z][\w-]{0,63})[ \t]*:[ \t]*([^#]*)")
_AGENTS: Final = frozenset({"user-agent", "agent", "ai-agent"})
_MAX_FIELDS: Final = 10_000


class Field(NamedTuple):
    """One `Key: value` line, and the agent whose block it stands in ("*" for all)."""

    number: int
    key: str
    value: str
    agent: str


class UsageFile(NamedTuple):
    """The file, read as all its formats at once; each keeps what is its own."""

    robots: RobotsTxt
    fields: tuple[Field, ...]
    front_matter: bool


def parse_usage_file(body: bytes, vocabulary: Vocabulary, *, truncated: bool) -> UsageFile:
    """Never raises, whatever the octets."""
    robots = RobotsTxt.parse(body, truncated=truncated)
    text = body[:MAX_OCTETS].decode("utf-8", "replace").removeprefix("\ufeff")
    fields: list[Field] = []
    agent = "*"
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        match = _FIELD.match(line)
        if match is None:
            continue
        key, value = match[1].lower(), match[2].strip()
        if key in _AGENTS:
            agent = value.lower()
        elif vocabulary.knows(key) and len(fields) < _MAX_FIELDS:
            fields.append(Field(number, match[1], value, agent))
    return UsageFile(robots, tuple(fields), text.lstrip().startswith("---"))


def read_usage_file(
    file: UsageFile, document: Document, vocabulary: Vocabulary, tokens: tuple[str, ...], subject: Subject
) -> list[Signal]:
    """What the file says of one URL, without what it says to others."""
    signals = [_of_rules(file.robots, document, vocabulary, tokens, subject)]
    names = frozenset(map(str.lower, tokens))
    for field in file.fields:
        if field.key.lower() in (document.refused, document.permitted) or field.agent not in (*names, "*"):
            continue
        reading = Reading(field.key, field.value)
        reading = reading.weakened("front_matter") if file.front_matter else reading
        place = Place("well_known", document.path, f"line {field.number}", f"{field.key}: {field.value}")
        signals.append(vocabulary.signal(reading, place))
    issues = (*file.robots.issues, *(("truncated",) if file.robots.truncated else ()))
    if issues and document.malformed and any(signals):
        note = Signal(
            protocol=vocabulary.protocol.id,
            reason=document.malformed,
            carrier="well_known",
            source=document.path,
            issues=issues,
        )
        signals.append(note)
    return [signal for signal in signals if signal is not None]


def _of_rules(
    robots: RobotsTxt, document: Document, vocabulary: Vocabulary, tokens: tuple[str, ...], subject: Subject
) -> Signal | None:
    """What the rules say: the most octets win, of equal ones the refusal."""
    meter = Meter()
    best: tuple[int, bool] = (-1, False)
    winner: Rule | None = None
    try:
        for rule in robots.rules(tokens):
            if rule.pattern and (octets := path_matches(rule.pattern, subject, meter)) is not None:
                weight = (octets, not rule.allow)
                if weight > best:
                    best, winner = weight, rule
    except TooComplex:
        place = Place("well_known", document.path, "rules", "")
        return vocabulary.signal(Reading(document.refused, "").weakened("too_complex"), place)
    if winner is None:
        return None
    reading = Reading(document.permitted if winner.allow else document.refused, "")
    reading = reading.weakened(*winner.issues) if winner.issues else reading
    place = Place("well_known", document.path, f"line {winner.number}", shown(winner.text.strip()))
    return vocabulary.signal(reading, place)
