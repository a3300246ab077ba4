"""From a word on a carrier to a statement: `Reading` is what a reader found, `Vocabulary` knows what it means.

Here stands the asymmetry that makes malformed input safe: a negative counts although malformed, a positive only when
well-formed. No reader decides that for itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from functools import lru_cache
from typing import Final, NamedTuple

from reservations.definition import CLOSING, Label, Meaning, Protocol
from reservations.model import Category, Signal, Value

_MAX_EXCERPT: Final = 256
#: Characters of a statement beyond which it is not worth remembering.
_LONG_TEXT: Final = 1024
_NO_MEANING: Final = Meaning(value="")


class Reading(NamedTuple):
    """One label with one value, as found.

    Attributes:
        label: as written; value: as written, "" when there is none.
        sound: well-formed and in force by the protocol's letter; else only what it refuses counts.
        issues: what was odd.
        conditions: what stood beside it.
        addressed_to: "all", "us" or "others"; a statement to others has no values for us.
        addressee: product token of those others, in lower case.
    """

    label: str
    value: str
    sound: bool = True
    issues: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    addressed_to: str = "all"
    addressee: str = ""

    def weakened(self, *issues: str) -> Reading:
        """The same, not in force by the letter."""
        return self._replace(sound=False, issues=(*self.issues, *issues))


class Place(NamedTuple):
    """Where a statement stood: carrier, source (key of the answer, "head", "body"), locator, and its own text."""

    carrier: str
    source: str
    locator: str
    text: str


class Vocabulary:
    """The labels of one protocol, ready to be looked up."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self._exact = {label.name: label for label in protocol.labels}
        self._folded = {label.name.lower(): label for label in protocol.labels}
        self._fold_is_sound = not protocol.case_sensitive
        self._patterns = {label.name: _patterns(label) for label in protocol.labels}
        self._told = lru_cache(maxsize=256)(self._signal)

    def knows(self, label: str) -> bool:
        """Whether the label is one of ours, in any case."""
        return label.lower() in self._folded

    def signal(self, reading: Reading, place: Place, media_type: str = "", *, embedding: bool = False) -> Signal | None:
        """The statement that a reading makes, or None when its label is not of this protocol.

        `embedding`: the reading stands on the page that embeds the resource; only what extends to media counts.
        What was told before is remembered, for the pages of a site have most of their statements in common.
        """
        if len(place.text) > _LONG_TEXT or len(reading.value) > _LONG_TEXT:
            return self._signal(reading, place, media_type, embedding=embedding)
        return self._told(reading, place, media_type, embedding=embedding)

    def _signal(self, reading: Reading, place: Place, media_type: str, *, embedding: bool) -> Signal | None:
        label, sound, issues = self._label(reading)
        if label is None:
            return None
        meaning, sound, odd = self._meaning(label, reading.value, sound=sound and reading.sound)
        found = list(dict.fromkeys((*reading.issues, *issues, *odd)))
        if meaning is None:
            meaning = _NO_MEANING
        to_others = reading.addressed_to == "others"
        if (meaning.silent and reading.addressed_to == "all") or (embedding and not meaning.embedded):
            return None
        conditions = reading.conditions
        if label.condition:
            conditions = (clean(reading.value.strip("\"'")),)
        binds = not label.condition and not to_others and covers(meaning.media, media_type)
        return Signal(
            protocol=self.protocol.id,
            reason=meaning.reason or label.reason,
            carrier=place.carrier,
            source=place.source,
            locator=f"{place.locator} ({reading.addressee})" if reading.addressee else place.locator,
            excerpt=clean(place.text),
            strict=meaning.strict if binds and sound else {},
            effective=_in_force(meaning.effective, sound=sound) if binds else {},
            vendor=_in_force(meaning.vendor, sound=sound) if binds else {},
            addressed_to=reading.addressed_to,
            issues=tuple(found),
            conditions=conditions,
        )

    def states(self, reading: Reading, *, by_the_letter: bool = False) -> bool:
        """Whether a reading says something of a use that counts: in any way, or only as the protocol writes it."""
        label, sound, _ = self._label(reading)
        if label is None or label.condition:
            return False
        meaning, sound, _ = self._meaning(label, reading.value, sound=sound and reading.sound)
        if meaning is None or (by_the_letter and not sound):
            return False
        return bool(_in_force(meaning.effective, sound=sound))

    def is_negative(self, label: str, value: str) -> bool:
        """Whether this label with this value plainly refuses something, however it is spelt."""
        entry = self._folded.get(label.lower())
        meaning = self._meaning(entry, value, sound=False)[0] if entry else None
        return meaning is not None and any(item in CLOSING for item in meaning.effective.values())

    def _label(self, reading: Reading) -> tuple[Label | None, bool, tuple[str, ...]]:
        label = self._exact.get(reading.label)
        if label is not None:
            return label, True, ()
        label = self._folded.get(reading.label.lower())
        return label, self._fold_is_sound, () if self._fold_is_sound else ("case",)

    def _meaning(self, label: Label, value: str, *, sound: bool) -> tuple[Meaning | None, bool, tuple[str, ...]]:
        """The meaning of a value; whether it counts as well-formed; what was odd about its spelling."""
        folded = value.lower()
        anything: Meaning | None = None
        near: Meaning | None = None
        for meaning in label.values:
            if meaning.value == value:
                return meaning, sound, meaning.issues
            if meaning.value == "*":
                anything = meaning
            elif folded == meaning.value.lower():
                if self._fold_is_sound:
                    return meaning, sound, meaning.issues
                near = meaning
            elif folded in meaning.also:
                return meaning, False, (*meaning.issues, "value")
        fitting = next((meaning for fits, meaning in self._patterns[label.name] if fits(folded)), None)
        if label.patterns and fitting is not None:
            return fitting, sound, fitting.issues
        for other, odd in ((near, "case"), (fitting, "value")):
            if other is not None:
                return other, False, (*other.issues, odd)
        return (anything, sound, anything.issues) if anything is not None else (None, False, ("value",))


def _patterns(label: Label) -> list[tuple[Callable[[str], object], Meaning]]:
    """The meanings whose value is a pattern, each with what tells whether it fits a value in lower case."""
    return [
        (re.compile(translate(meaning.value.lower())).match, meaning)
        for meaning in label.values
        if "*" in meaning.value and meaning.value != "*"
    ]


def _in_force(values: dict[Category, Value], *, sound: bool) -> dict[Category, Value]:
    """All values when sound; else those that permit nothing."""
    return values if sound else {category: value for category, value in values.items() if value is not Value.ALLOW}


def covers(patterns: Iterable[str], media_type: str) -> bool:
    """Whether a media type falls under one of the patterns ("image/*"); no pattern: everything."""
    known = tuple(patterns)
    return not known or any(
        media_type == pattern or (pattern.endswith("/*") and media_type.startswith(pattern[:-1])) for pattern in known
    )


def distinct(signals: Iterable[Signal]) -> list[Signal]:
    """The statements without those that an earlier one of the same place says already, word for word elsewhere."""
    seen: dict[tuple[object, ...], Signal] = {}
    for signal in signals:
        key = (
            signal.protocol,
            signal.reason,
            signal.carrier,
            signal.locator.rpartition("(")[2] if signal.addressed_to == "others" else signal.addressed_to,
            signal.issues,
            bool(signal.conditions),
            tuple(signal.strict.items()),
            tuple(signal.effective.items()),
            tuple(signal.vendor.items()),
        )
        seen.setdefault(key, signal)
    return list(seen.values())


def clean(text: str) -> str:
    """At most 256 characters, with everything that is not printable replaced: fit for a log line."""
    text = text[:_MAX_EXCERPT]
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
