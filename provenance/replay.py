"""Level 3 of verification: every decision made again from what was kept, by the rules that the log names.

Takes entries as level 1 hands them over, in order. The rules are read from the bundle in `log/rules/`, which is data:
parsed, compared with the digests in the log, never imported. Decisions are compared in their canonical form, byte
for byte. What must be remembered in between lies in a temporary SQLite database.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from provenance.again import Again, decide_again
from provenance.entry import (
    ConfigEntry,
    DecisionEntry,
    Entry,
    EvidenceEntry,
    FileEntry,
    Pointer,
    RedecisionEntry,
    RunEntry,
)
from provenance.installed import code_digest
from provenance.kept_rules import RulesError, load_rules
from provenance.material import Reader
from provenance.naming import is_masked_form
from provenance.report import Level
from provenance.rules import Rules
from provenance.segments import Leaf
from provenance.story import decision_of
from reservations.model import Decision, Hop, Signal, Verdict, canonical

_REMEMBERED: Final = 8_192
_MAX_HOPS: Final = 32
_KEEP: Final = "Keep the folder as it is, and compare both decisions with the evidence that the entry names"
_RESTORE: Final = "Restore the file from a copy; level 2 says more"

_T = TypeVar("_T", bound=msgspec.Struct)


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One decision of the log beside the same attempt decided again.

    Attributes:
        entry: the entry.
        file, line: where it stands.
        recorded: the decision as the log has it.
        again: the decision made again.
        lost: records that should be there and are not, each with the file that it should be in.
        why_lost: the same in words.
    """

    entry: DecisionEntry
    file: str
    line: int
    recorded: Decision
    again: Again
    lost: tuple[tuple[str, str], ...] = ()
    why_lost: tuple[str, ...] = ()


class Attempts:
    """Decides the attempts of a log again, entry by entry in the log's order."""

    def __init__(self, out: Path) -> None:
        self._reader = Reader(out)
        self._memory = _Memory()

    def close(self) -> None:
        """Let go of files and of the temporary database."""
        self._reader.records.close()
        self._memory.close()

    def note(self, entry: Entry) -> None:
        """Remember of an entry what later ones may refer to."""
        if isinstance(entry, EvidenceEntry):
            self._memory.put(f"evidence {entry.seq}", entry)
        elif isinstance(entry, DecisionEntry):
            if entry.verdict is Verdict.REDIRECTED and entry.http is not None:
                hops = (*(self._hops(entry) or ()), Hop(entry.url, entry.http.st, entry.target))
                self._memory.put(f"hops {entry.seq}", _Hops(hops[-_MAX_HOPS:]))
            for pointer in entry.warc:
                if entry.verdict is Verdict.KEPT and pointer.type == "response":
                    self._memory.put(f"payload {pointer.pd}", pointer)

    def case(self, rules: Rules, entry: DecisionEntry, file: str = "", line: int = 0) -> Case:
        """One attempt, decided again by `rules`."""
        evidence = self._evidence(entry)
        recorded = decision_of(entry, {one.seq: one for one in evidence.values()})
        original = self._original(entry)
        left = self._reader.read(entry, evidence, original)
        files = _files(entry, evidence, original) if left.lost else {}
        hops = self._hops(entry)
        if hops is None:
            left.gone["url"] = "the entry on the URL that redirected here was erased"
        again = _as_shown(decide_again(rules, entry, recorded, left, hops or ()), recorded, rules)
        return Case(
            entry=entry,
            file=file,
            line=line,
            recorded=recorded,
            again=again,
            lost=tuple((record, files[record]) for record in left.lost),
            why_lost=tuple(left.gone.values()) if left.lost else (),
        )

    def _evidence(self, entry: DecisionEntry) -> dict[str, EvidenceEntry]:
        found = {
            key: self._memory.get(f"evidence {seq}", EvidenceEntry)
            for key, seq in entry.consulted.items()
            if isinstance(seq, int)
        }
        return {key: one for key, one in found.items() if one is not None}

    def _hops(self, entry: DecisionEntry) -> tuple[Hop, ...] | None:
        if entry.src_log:
            return tuple(Hop(hop.url, hop.st, hop.to) for hop in entry.hops)
        if entry.via != "redirect" or entry.src is None:
            return ()
        hops = self._memory.get(f"hops {entry.src}", _Hops)
        return hops.hops if hops else None

    def _original(self, entry: DecisionEntry) -> Pointer | None:
        """The record with the payload that a revisit is identical to."""
        revisit = next((pointer for pointer in entry.warc if pointer.type == "revisit"), None)
        return self._memory.get(f"payload {revisit.pd}", Pointer) if revisit else None


class Replay:
    """Level 3: replays a log by its own rules and reports what comes out otherwise."""

    def __init__(self, out: Path, level: Level) -> None:
        self._level = level
        self._rules_folder = out / "log" / "rules"
        self._attempts = Attempts(out)
        self._rules: dict[int, Rules | None] = {}
        self._pending: list[tuple[Case, str]] = []
        self._codes: set[str] = set()
        self._erased: set[str] = set()  # records that an entry says were erased
        self._removed: set[str] = set()  # files that an entry says were removed

    def close(self) -> None:
        """Let go of files and of the temporary database."""
        self._attempts.close()

    def see(self, leaf: Leaf) -> None:
        """Take in one leaf of the log."""
        entry, file, line = leaf.entry, leaf.file, leaf.number
        if entry is None:
            return
        if isinstance(entry, ConfigEntry):
            self._rules[entry.seq] = self._load(entry, file, line)
        elif isinstance(entry, RunEntry):
            self._codes.add(entry.code)
        elif isinstance(entry, DecisionEntry):
            self._replay(entry, file, line)
        elif isinstance(entry, RedecisionEntry):
            self._erased.update(entry.erased)
        elif isinstance(entry, FileEntry) and entry.gone:
            self._removed.add(entry.f)
        self._attempts.note(entry)

    def finish(self) -> None:
        """Report what could not be read again, but for what an entry says was erased or removed."""
        for case, what in self._pending:
            if not all(record in self._erased or name in self._removed for record, name in case.lost):
                self._level.differs(case.file, f"line {case.line}", what, _RESTORE)
        if self._codes - {code_digest()}:
            self._level.notes.append("the crawl ran with another version of the code than this verification")

    def _load(self, entry: ConfigEntry, file: str, line: int) -> Rules | None:
        try:
            return load_rules(self._rules_folder, entry)
        except RulesError as error:
            self._level.differs(file, f"line {line}", f"entry {entry.seq}: {error}", "Restore log/rules/ from a copy")
            return None

    def _replay(self, entry: DecisionEntry, file: str, line: int) -> None:
        if entry.reason == "crawl.interrupted":
            self._level.count("interrupted, not decided by rules")
            return
        rules = self._rules.get(entry.config)
        if rules is None:
            self._level.count("not replayed, for want of their rules")
            return
        case = self._attempts.case(rules, entry, file, line)
        if entry.cut:
            self._level.count("shortened, compared by verdict and reason")
        else:
            self._level.count(_BASES[case.again.basis])
        if case.lost:
            what = f"entry {entry.seq}: what it was decided on cannot be read again ({'; '.join(case.why_lost)})"
            self._pending.append((case, what))
        found = compare(case)
        if found:
            self._level.differs(file, f"line {line}", found, _KEEP)


def _files(entry: DecisionEntry, evidence: Mapping[str, EvidenceEntry], original: Pointer | None) -> dict[str, str]:
    """The file that each record of an attempt should be in, by the record's id."""
    pointers = [*entry.warc, *(pointer for one in evidence.values() for pointer in one.warc)]
    return {pointer.id: pointer.f for pointer in (*pointers, *([original] if original else []))}


def _as_shown(again: Again, recorded: Decision, rules: Rules) -> Again:
    """What a redirect led to, and states by it, as the entry shows it where that is the same with secrets masked."""
    decision = again.decision
    if decision is None:
        return again

    def shown(url: str, as_recorded: str) -> str:
        return as_recorded if is_masked_form(as_recorded, url, rules.policy.secret_keys) else url

    def stated(signal: Signal, as_recorded: Signal) -> Signal:
        if signal.carrier != "redirect":
            return signal
        return msgspec.structs.replace(signal, excerpt=shown(signal.excerpt, as_recorded.excerpt))

    decision = msgspec.structs.replace(
        decision,
        location=decision.location and shown(decision.location, recorded.location or ""),
        signals=(*map(stated, decision.signals, recorded.signals), *decision.signals[len(recorded.signals) :]),
    )
    return msgspec.structs.replace(again, decision=decision)


_BASES: Final = {"bytes": "read again from bytes", "signals": "decided again from recorded signals"}


def compare(case: Case) -> str:
    """What differs between the two decisions, in words; empty when they are the same, byte for byte."""
    again, recorded = case.again.decision, case.recorded
    if again is None:
        return f"entry {case.entry.seq} says {_told(recorded)}; the rules would have asked for {case.again.unknown}"
    if case.entry.cut:
        same = (again.verdict, again.reason, again.gate) == (recorded.verdict, recorded.reason, recorded.gate)
    else:
        same = canonical(again) == canonical(recorded)
    if same:
        return ""
    differing = next(_differences(recorded, again), "nothing that is shown")
    both = f"entry {case.entry.seq} says {_told(recorded)}; its rules give {_told(again)}"
    return f"{both}. First difference: {differing}"


def _told(decision: Decision) -> str:
    return f"{decision.verdict}, {decision.reason} at {decision.gate}"


def _differences(recorded: Decision, again: Decision) -> Iterator[str]:
    for number in range(max(len(recorded.signals), len(again.signals))):
        pair = [_signal(side.signals, number) for side in (recorded, again)]
        if pair[0] != pair[1]:
            yield f"signal {number + 1} is {pair[0]} in the log, {pair[1]} in the replay"
    for name in recorded.__struct_fields__:
        if name != "signals" and getattr(recorded, name) != getattr(again, name):
            yield f"{name} is {getattr(recorded, name)!r} in the log, {getattr(again, name)!r} in the replay"


def _signal(signals: tuple[Signal, ...], number: int) -> str:
    return canonical(signals[number]).decode() if number < len(signals) else "missing"


class _Hops(msgspec.Struct, frozen=True):
    hops: tuple[Hop, ...]


class _Memory:
    """Structs by name: the newest at hand, older ones in a temporary file, so that memory does not grow."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16384;"
            "CREATE TABLE kept (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID; BEGIN"
        )
        self._near: OrderedDict[str, msgspec.Struct] = OrderedDict()
        self._has_filed = False

    def close(self) -> None:
        self._db.close()

    def put(self, name: str, value: msgspec.Struct) -> None:
        """Remember; what was there first stays."""
        if name not in self._near and (not self._has_filed or self.get(name, type(value)) is None):
            self._keep_near(name, value)

    def get(self, name: str, kind: type[_T]) -> _T | None:
        near = self._near.get(name)
        if near is None:
            if not self._has_filed:
                return None
            row = self._db.execute("SELECT value FROM kept WHERE name = ?", (name,)).fetchone()
            if row is None:
                return None
            near = msgspec.msgpack.decode(row[0], type=kind)
            self._keep_near(name, near)
        else:
            self._near.move_to_end(name)
        return near if isinstance(near, kind) else None

    def _keep_near(self, name: str, value: msgspec.Struct) -> None:
        self._near[name] = value
        if len(self._near) > _REMEMBERED:
            oldest, filed = self._near.popitem(last=False)
            self._db.execute("INSERT OR IGNORE INTO kept VALUES (?, ?)", (oldest, _PACK(filed)))
            self._has_filed = True


_PACK: Final = msgspec.msgpack.Encoder().encode


def level_3() -> Level:
    """The level, with what it proves and does not."""
    return Level(
        name="L3",
        title="replay of every decision by the rules in force",
        proves=(
            "Every decision follows from the evidence and the rules that its entry names: made again, it is the same, "
            "byte for byte. Where bytes were not kept, because the page reserved itself, it was made again from the "
            "statements as recorded."
        ),
        proves_not=(
            "That the evidence is what the servers sent, and, for decisions made again from recorded statements, that "
            "nothing else stood on the page. Copies that others made of the same page or robots.txt can show it."
        ),
    )
