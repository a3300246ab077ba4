"""Reads directives of robots.txt groups other than Allow and Disallow: Content-Usage, Content-Signal and their kin.

Groups are chosen as RFC 9309 2.2.1 chooses them. Where our own group holds no line of a directive and `*` does, and for
lines before any group, the letter is silent and only refusals count (rulings 3, 38, 39). Lines may be scoped to a
path: the most octets win (draft-ietf-aipref-attach-05), per category for what refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from reservations.definition import CLOSING, RobotsLine
from reservations.model import Category, Signal, Value
from reservations.readers.robots_match import Meter, Subject, TooComplex, path_matches
from reservations.readers.robots_txt import GroupLines, Line
from reservations.readers.words import SYNTAX
from reservations.statement import Place, Reading, Vocabulary, distinct


class Lines(NamedTuple):
    """Lines of one directive: in force for us by the letter, and those of which only refusals count."""

    binding: tuple[Line, ...]
    careful: tuple[Line, ...]


class _Context(NamedTuple):
    """What is the same for all lines: the words, who asks for what, where the lines stand, the work left."""

    vocabulary: Vocabulary
    tokens: frozenset[str]
    subject: Subject
    source: str
    meter: Meter


class _Stated(NamedTuple):
    """A reading with the octets of the path that scopes it, and where it stood."""

    octets: int
    reading: Reading
    place: Place


def choose(lines: GroupLines, *, named: bool) -> Lines:
    """Which lines of a directive bind us, and how. `named`: some group names us, whatever it holds."""
    if lines.ours:
        return Lines(lines.ours, lines.outside)
    return Lines((), lines.star + lines.outside) if named else Lines(lines.star, lines.outside)


def read_lines(
    chosen: Iterable[tuple[RobotsLine, Lines]],
    vocabulary: Vocabulary,
    tokens: frozenset[str],
    subject: Subject,
    source: str,
) -> list[Signal]:
    """What all directives of one protocol say of one URL."""
    context = _Context(vocabulary, tokens, subject, source, Meter())
    stated: list[_Stated] = []
    for directive, lines in chosen:
        for line in _once(lines.binding):
            stated += _read(directive, line, context)
        for line in _once(lines.careful):
            found = _read(directive, line, context)
            stated += [item._replace(reading=item.reading.weakened("group")) for item in found]
    return distinct(_by_length(stated, vocabulary))


def _once(lines: Iterable[Line]) -> Iterable[Line]:
    """The lines without those that repeat an earlier one."""
    first: dict[tuple[str, tuple[str, ...]], Line] = {}
    for line in lines:
        first.setdefault((line.value, line.issues), line)
    return first.values()


def _read(directive: RobotsLine, line: Line, context: _Context) -> Iterator[_Stated]:
    """The readings of one line, if it is for this URL. An empty statement at a path still has its length."""
    path, value, issues = _split(directive, line.value)
    issues = (*line.issues, *issues)
    octets = 0
    if path:
        try:
            matched = path_matches(path.encode("utf-8", "surrogatepass"), context.subject, context.meter)
        except TooComplex:
            matched, issues = len(path), (*issues, "too_complex")
        if matched is None:
            return
        octets = matched
    place = Place("robots_txt", context.source, f"line {line.number}", f"{line.key}: {line.value}")
    readings = SYNTAX[directive.syntax]([value], directive.name, context.vocabulary, context.tokens)
    if directive.syntax == "path" and not path:
        return
    if not readings:
        yield _Stated(octets, Reading("", ""), place)
    for reading in readings:
        yield _Stated(octets, reading.weakened(*issues) if issues else reading, place)


def _split(directive: RobotsLine, value: str) -> tuple[str, str, tuple[str, ...]]:
    """A line's value as path and statement. A path must begin with "/" (draft-ietf-aipref-attach-05)."""
    if directive.syntax == "path":
        return value.strip(), "", ()
    if directive.paths == "none":
        return "", value, ()
    first, _, rest = value.strip().replace("\t", " ").partition(" ")
    if first.startswith("/"):
        return first, rest.strip(), ("path",) if directive.paths == "tolerated" else ()
    looks_like_path = rest and "=" not in first and ("*" in first or "." in first or "/" in first)
    return "", value, ("path_without_slash",) if looks_like_path else ()


def _by_length(stated: list[_Stated], vocabulary: Vocabulary) -> Iterator[Signal]:
    """By the letter the longest path alone speaks; of the shorter ones, what refuses a use that no longer one names."""
    longest = max((item.octets for item in stated), default=0)
    named: set[Category] = set()
    for octets in sorted({item.octets for item in stated}, reverse=True):
        named_here: set[Category] = set()
        for item in stated:
            if item.octets != octets:
                continue
            in_force = item.reading if octets == longest else item.reading.weakened()
            signal = vocabulary.signal(in_force, item.place)
            if signal is not None:
                named_here.update(signal.effective)
                yield _without(signal, named)
        named |= named_here


def _without(signal: Signal, named: set[Category]) -> Signal:
    """The signal without the categories that a longer path has spoken of."""
    if named.isdisjoint(signal.effective) and named.isdisjoint(signal.vendor):
        return signal
    issues = signal.issues
    if any(value in CLOSING for category, value in signal.effective.items() if category in named):
        issues = (*issues, "shadowed_deny")
    return msgspec.structs.replace(
        signal,
        strict=_except(signal.strict, named),
        effective=_except(signal.effective, named),
        vendor=_except(signal.vendor, named),
        issues=issues,
    )


def _except(values: dict[Category, Value], named: set[Category]) -> dict[Category, Value]:
    return {category: value for category, value in values.items() if category not in named}
