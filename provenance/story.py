"""All that a log says about one URL, put together for `knockfirst explain`: attempts, evidence, later changes.

Looks and decides nothing; `reservations.explain` turns a decision into sentences, `reservations.answers` into what each
protocol answered. Both rest on the entry and on the rules that it names, so that an explanation needs no network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from provenance.entry import ConfigEntry, DecisionEntry, Entry, EvidenceEntry, RedecisionEntry
from provenance.kept_rules import RulesError, load_rules
from provenance.lines import from_line, to_text
from provenance.rules import Rules, shipped_protocols
from provenance.segments import read_lines, segments
from reservations.answers import Answered, by_protocol
from reservations.explain import sentences
from reservations.model import Decision
from reservations.registry import Registry


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at the URL.

    Attributes:
        file: segment that holds its entry.
        line: line in it.
        superseded: `seq` of the entry that replaced it as the last word, if one did.
        sentences: what was decided and why.
        protocols: what each protocol in force answered, by its id; empty when its rules cannot be read.
        notes: what keeps the explanation from being whole.
        evidence: entries of the documents it was decided on.
        entry: the entry itself.
    """

    file: str
    line: int
    superseded: int | None
    sentences: tuple[str, ...]
    protocols: dict[str, Answered]
    notes: tuple[str, ...]
    evidence: tuple[EvidenceEntry, ...]
    entry: DecisionEntry


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """What a log says about a URL.

    Attributes:
        url: the URL.
        attempts: the last word first, then the others, newest first.
        changes: later changes of its status, oldest first.
    """

    url: str
    attempts: tuple[Attempt, ...]
    changes: tuple[RedecisionEntry, ...]


def story(folder: Path, url: str) -> Story:
    """What the log in `folder` says about `url`, written exactly so.

    Raises:
        provenance.log.LogError: the log cannot be read.
        ValueError: a line that names the URL is no entry.
    """
    found: list[tuple[str, int, DecisionEntry]] = []
    changes: list[RedecisionEntry] = []
    for file, number, entry in _naming(folder, url):
        if isinstance(entry, DecisionEntry) and entry.url == url:
            found.append((file, number, entry))
        elif isinstance(entry, RedecisionEntry) and entry.url == url:
            changes.append(entry)
    wanted = {seq for _, _, entry in found for seq in (*_consulted(entry), entry.config)}
    others = _entries(folder, wanted)
    evidence = {seq: entry for seq, entry in others.items() if isinstance(entry, EvidenceEntry)}
    superseded = {entry.supersedes: entry.seq for _, _, entry in found if entry.supersedes is not None}
    attempts = [
        _attempt(_Place(folder, file, number), entry, superseded.get(entry.seq), evidence, others.get(entry.config))
        for file, number, entry in found
    ]
    attempts.sort(key=lambda attempt: (is_last_word(attempt), attempt.entry.seq), reverse=True)
    return Story(url=url, attempts=tuple(attempts), changes=tuple(changes))


class _Place(NamedTuple):
    """Where an entry stands: the log's folder, the segment, the line."""

    folder: Path
    file: str
    line: int


def _attempt(
    place: _Place,
    entry: DecisionEntry,
    superseded: int | None,
    evidence: Mapping[int, EvidenceEntry],
    config: Entry | None,
) -> Attempt:
    decision = decision_of(entry, evidence)
    rules, notes = _rules(place.folder, entry, config)
    registry = rules.registry if rules else Registry.load(shipped_protocols())
    answers = by_protocol(decision, registry.protocols, rules.policy) if rules else []
    return Attempt(
        file=place.file,
        line=place.line,
        superseded=superseded,
        sentences=tuple(sentences(decision, entry.url, registry.reasons)),
        protocols={answer.protocol: answer for answer in answers},
        notes=notes,
        evidence=tuple(evidence[seq] for seq in _consulted(entry) if seq in evidence),
        entry=entry,
    )


def _rules(folder: Path, entry: DecisionEntry, config: Entry | None) -> tuple[Rules | None, tuple[str, ...]]:
    """The rules that an attempt was decided by, None with a note when they cannot be had."""
    shortened = ("The entry was shortened to fit its line; statements may be missing here.",) if entry.cut else ()
    if not isinstance(config, ConfigEntry):
        return None, (*shortened, f"Entry {entry.config}, which names the rules in force, is not there.")
    try:
        return load_rules(folder / "rules", config), shortened
    except RulesError as error:
        return None, (*shortened, f"What each protocol answered cannot be told: {error}.")


def is_last_word(attempt: Attempt) -> bool:
    """Whether this attempt ended the matter in its run."""
    return attempt.entry.final and attempt.superseded is None


def decision_of(entry: DecisionEntry, evidence: Mapping[int, EvidenceEntry]) -> Decision:
    """The core's decision again, as far as the entry and the evidence it names record it."""
    return Decision(
        verdict=entry.verdict,
        reason=entry.reason,
        gate=entry.gate,
        strict=entry.strict,
        effective=entry.effective,
        open=entry.open,
        signals=tuple(signal.signal() for signal in entry.signals),
        consulted={key: entry.read_as.get(key) or _outcome(value, evidence) for key, value in entry.consulted.items()},
        retry_after_s=entry.wait,
        location=entry.target or None,
    )


def _outcome(value: int | str, evidence: Mapping[int, EvidenceEntry]) -> str:
    if isinstance(value, str):
        return value
    return evidence[value].outcome if value in evidence else f"entry {value}"


def _consulted(entry: DecisionEntry) -> list[int]:
    named = [*entry.consulted.values(), *(signal.ev for signal in entry.signals)]
    return sorted({seq for seq in named if isinstance(seq, int)})


def _naming(folder: Path, url: str) -> Iterator[tuple[str, int, Entry]]:
    """Entries whose line holds the URL; all others are passed over unread, for a log has millions."""
    needle = b'"url":' + to_text(url)
    for path in segments(folder):
        for number, line in enumerate(read_lines(path), 1):
            if needle in line and line.endswith(b"\n"):
                yield path.name, number, from_line(line)


def _entries(folder: Path, wanted: Iterable[int]) -> dict[int, Entry]:
    left = set(wanted)
    found: dict[int, Entry] = {}
    seq = 0
    for path in segments(folder):
        for line in read_lines(path):
            if not left:
                return found
            if seq in left:
                left.discard(seq)
                found[seq] = from_line(line)
            seq += 1
    return found
