"""The ladder of a decision: each gate in order, what was looked at there, and what it answered.

Made from the entry alone. Decides nothing: the gate that decided stands in the entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from provenance.entry import DecisionEntry, EvidenceEntry, LoggedSignal

#: Gates in the order in which an attempt passes them, with what each asks.
GATES: Final[Mapping[str, str]] = {
    "url": "May this address be asked for at all: no secrets in it, a port that is allowed?",
    "blocklist": "Is the site on the blocklist in force?",
    "origin": "What do robots.txt and the site's reservation files say?",
    "head": "What do the status and the header fields of the answer say?",
    "body": "What does the page itself say?",
}
_TRANSFER: Final = "Did the exchange with the server end in a usable answer?"

PASSED: Final = "passed"
DECIDED: Final = "decided here"
NOT_REACHED: Final = "not reached"


class Looked(NamedTuple):
    """One thing that was looked at.

    Attributes:
        what: a document, "head" or "body".
        outcome: what came of it, in a word.
        entry: `seq` of the evidence; None where there is none.
    """

    what: str
    outcome: str
    entry: int | None


class Rung(NamedTuple):
    """One gate.

    Attributes:
        gate: its name; asks: what it asks; answer: `PASSED`, `DECIDED` or `NOT_REACHED`.
        looked: what was looked at there.
        signals: statements found there, with their places among all of the entry's, counted from 1.
    """

    gate: str
    asks: str
    answer: str
    looked: tuple[Looked, ...]
    signals: tuple[tuple[int, LoggedSignal], ...]


def ladder(entry: DecisionEntry, evidence: Mapping[int, EvidenceEntry]) -> Iterator[Rung]:
    """The gates of an attempt, those that it did not come to as well."""
    asked = dict(GATES)
    if entry.gate not in asked:  # an exchange can break at any step; it is the last one then
        reached = "body" if entry.http else "origin"
        asked = {gate: asks for gate, asks in GATES.items() if list(GATES).index(gate) <= list(GATES).index(reached)}
        asked[entry.gate] = _TRANSFER
    looked: dict[str, list[Looked]] = {gate: [] for gate in asked}
    for key, value in entry.consulted.items():
        looked.setdefault(_gate_of(key), []).append(_looked(key, value, entry, evidence))
    signals: dict[str, list[tuple[int, LoggedSignal]]] = {}
    for number, signal in enumerate(entry.signals, 1):
        signals.setdefault("blocklist" if signal.p == "blocklist" else _gate_of(signal.src), []).append(
            (number, signal)
        )
    answer = PASSED
    for gate, asks in asked.items():
        answer = DECIDED if gate == entry.gate else NOT_REACHED if answer in {DECIDED, NOT_REACHED} else PASSED
        yield Rung(gate, asks, answer, tuple(looked.get(gate, ())), tuple(signals.get(gate, ())))


def _gate_of(source: str) -> str:
    """The gate at which a source is looked at: documents belong to the origin."""
    return source if source in {"url", "head", "body"} else "origin"


def _looked(key: str, value: int | str, entry: DecisionEntry, evidence: Mapping[int, EvidenceEntry]) -> Looked:
    if isinstance(value, str):
        return Looked(key, value, None)
    outcome = entry.read_as.get(key) or (evidence[value].outcome if value in evidence else "not found in the log")
    return Looked(key, outcome, value)
