"""All that a log says about one URL, put together for `knockfirst explain`: attempts, evidence, later changes.

Looks and decides nothing; `reservations.explain` turns a decision into sentences.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from provenance.entry import DecisionEntry, Entry, EvidenceEntry, RedecisionEntry
from provenance.lines import from_line, to_text
from provenance.rules import shipped_protocols
from provenance.segments import read_lines, segments
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
        evidence: entries of the documents it was decided on.
        entry: the entry itself.
    """

    file: str
    line: int
    superseded: int | None
    sentences: tuple[str, ...]
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
    evidence = _entries(folder, {seq for _, _, entry in found for seq in _consulted(entry)})
    superseded = {entry.supersedes: entry.seq for _, _, entry in found if entry.supersedes is not None}
    reasons = Registry.load(shipped_protocols()).reasons
    attempts = [
        Attempt(
            file=file,
            line=number,
            superseded=superseded.get(entry.seq),
            sentences=tuple(sentences(decision_of(entry, evidence), entry.url, reasons)),
            evidence=tuple(evidence[seq] for seq in _consulted(entry) if seq in evidence),
            entry=entry,
        )
        for file, number, entry in found
    ]
    attempts.sort(key=lambda attempt: (is_last_word(attempt), attempt.entry.seq), reverse=True)
    return Story(url=url, attempts=tuple(attempts), changes=tuple(changes))


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


def _entries(folder: Path, wanted: Iterable[int]) -> dict[int, EvidenceEntry]:
    left = set(wanted)
    found: dict[int, EvidenceEntry] = {}
    seq = 0
    for path in segments(folder):
        for line in read_lines(path):
            if not left:
                return found
            if seq in left:
                left.discard(seq)
                entry = from_line(line)
                if isinstance(entry, EvidenceEntry):
                    found[seq] = entry
            seq += 1
    return found
