"""Checks an output folder without trusting who wrote it: level 1, the log's integrity; level 2, its link to the WARCs.

Level 1 reads every line, recomputes the Merkle tree and compares it with every signed checkpoint. Level 2 is in
`links`. Levels are reported apart, each with what it proves and what it does not: there is no single green tick.
Needs nothing but the folder, and better also the log's verifier line from somewhere else.
"""

from __future__ import annotations

import fcntl
import gc
import math
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from provenance.anchors import Anchors, Outside, level_4
from provenance.checkpoint import MAX_NOTE_BYTES, Checkpoint, CheckpointError, Verifier, parse_chain
from provenance.entry import (
    ConfigEntry,
    DecisionEntry,
    Entry,
    FileEntry,
    KeyEntry,
    ManifestEntry,
    RedecisionEntry,
    RunEntry,
    SealEntry,
)
from provenance.handover import Keys
from provenance.lines import from_line
from provenance.links import Links
from provenance.log import CHECKPOINT, CHECKPOINTS, LOCK, VERIFIER
from provenance.replay import Replay, level_3
from provenance.report import Level, Report
from provenance.seal import TileCheck
from provenance.segments import Leaf, LogError, as_erased, half_sealed, read_lines, segments
from provenance.tree import ROW, Frontier, leaf_hash
from provenance.warcfile import open_regular

Progress = Callable[[str, int, int], None]
"""Told what is being read, bytes done, bytes in all."""

See = Callable[[Leaf], None]
"""Told each leaf of the log, in order."""

LEVELS: Final = ("L1", "L2", "L3", "L4")
_PRINTABLE: Final = bytes(range(0x20, 0x7F))
_MAX_VERIFIER_BYTES: Final = 16_384
_MAX_SHOWN: Final = 20
_PROGRESS_LINES: Final = 4_096
#: New objects between two searches for cycles among them; Python's 700 are less than one decision needs.
_GARBAGE_AFTER: Final = 50_000
_KEEP: Final = "Keep the folder as it is and compare it with another copy; this log is not what its writer signed"
_ROTATE: Final = "If a change of the key broke off, run `knockfirst key rotate` again. Otherwise: "
_RESUME: Final = "If the crawl was killed, start the same command again: it enters what was interrupted, and seals"


class VerifyError(Exception):
    """There is nothing that could be verified. The message says what was looked for and what to do."""


def verify(
    out: Path,
    levels: Sequence[str] = LEVELS,
    *,
    key: str | None = None,
    outside: Outside | None = None,
    also: See | None = None,
    progress: Progress | None = None,
) -> Report:
    """Verify an output folder.

    Args:
        out: the folder that holds `log/`, `warc/` and `evidence/`.
        levels: which levels to look at; level 1 always is.
        key: the log's verifier line, from a source other than the folder; without it, the folder's own is believed.
            Where the key was changed, any of the log's.
        outside: what the caller brings along from elsewhere, for level 4.
        also: told each leaf, too.
        progress: told how far it is.

    Raises:
        VerifyError: no log is there, or its verifier line or `key` cannot be read.
    """
    folder = out / "log"
    own = _own_keys(folder)
    given = own[-1] if key is None else _given_verifier(key)
    chain = own if given in own else (given,)
    report = Report(out=str(out), origin=given.name, key=chain[-1].line(), key_given=key is not None)
    running = _is_locked(folder / LOCK)
    integrity, linkage = _level_1(), _level_2()
    if chain != own:
        integrity.differs(f"log/{VERIFIER}", "", f"the log's key is {own[-1].line()!r}, not the one given", _KEEP)
    report.levels.append(integrity)
    tell = progress or (lambda _step, _done, _total: None)
    replayed, anchored = level_3(), level_4()
    anchors = Anchors(folder, chain, outside or Outside(), anchored)
    with closing(Links(out, linkage)) as links, closing(Replay(out, replayed)) as replay, _unhurried():
        seeing: list[See] = [links.see] if "L2" in levels else []
        seeing += [replay.see] if "L3" in levels else []
        seeing += [also] if also else []
        try:
            _Integrity(folder, chain, report, integrity, anchors, running=running).check(seeing, tell)
        except OSError as error:
            raise VerifyError(f"{folder}: cannot be read ({error}). Check its permissions") from error
        if "L2" in levels:
            report.levels.append(linkage)
            links.compare(running=running, progress=tell)
        if "L3" in levels:
            report.levels.append(replayed)
            replay.finish()
        if "L4" in levels:
            report.levels.append(anchored)
            anchors.finish(report.size)
    return report


@contextmanager
def _unhurried() -> Iterator[None]:
    """Look for cycles of objects more rarely: what is read here makes none, and is let go of at once."""
    before = gc.get_threshold()
    if before[0]:  # else somebody has switched it off
        gc.set_threshold(max(before[0], _GARBAGE_AFTER), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


class _Integrity:
    """One pass over the log."""

    def __init__(
        self,
        folder: Path,
        chain: tuple[Verifier, ...],
        report: Report,
        level: Level,
        anchors: Anchors,
        *,
        running: bool,
    ) -> None:
        self._folder = folder
        self._anchors = anchors
        self._keys = Keys(chain)
        self._report = report
        self._level = level
        self._running = running
        self._tree = Frontier()
        self._row: list[bytes] = []  # leaf hashes that are not in the tree yet
        self._size = 0  # entries read
        self._until: float = 0  # how many there are when they go into the tree
        self._heads = self._checkpoints()
        self._head = next(self._heads, None)
        self._matched = 0  # size of the newest checkpoint that the lines agree with
        self._broken = False  # a root differed: all later ones do, too
        self._torn = 0
        self._read = 0
        self._tiles = TileCheck(folder)
        self._last: Entry | None = None
        self._erased: dict[int, int] = {}  # entries whose text is gone, with the entry that is to say so
        self._says_erased: dict[int, int] = {}

    def check(self, see: Sequence[See], progress: Progress) -> None:
        try:
            self._grow()
            paths = segments(self._folder)
            total = sum(path.stat().st_size for path in paths)
            for path in half_sealed(self._folder):
                self._broke_off(f"log/{path.name}", "", "sealing broke off: the open segment lies beside it")
            for path in paths:
                self._check_segment(path, see, lambda: progress("log", self._read, total))
            progress("log", total, total)
        except LogError as error:
            self._level.differs("log", "", str(error), _KEEP)
        self._finish()

    def _check_segment(self, path: Path, see: Sequence[See], progress: Callable[[], None]) -> None:
        name = f"log/{path.name}"
        for number, line in enumerate(read_lines(path), 1):
            self._read += len(line)
            if number % _PROGRESS_LINES == 0:
                progress()
            if not line.endswith(b"\n"):
                self._torn = len(line)
                break
            if self._torn:
                self._level.differs(name, "", "an earlier segment ends inside a line", _KEEP)
            self._check_line(line[:-1], name, number, see)

    def _check_line(self, line: bytes, name: str, number: int, see: Sequence[See]) -> None:
        seq, self._size = self._size, self._size + 1
        try:
            erased = as_erased(line)
        except ValueError as error:
            self._level.differs(name, f"line {number}", f"no entry ({error})", _KEEP)
            erased = None
        hashed = leaf_hash(line) if erased is None else erased.hash
        self._row.append(hashed)
        if self._size == self._until:
            self._grow()
        entry = self._entry(line, name, number) if erased is None else None
        told = entry or erased
        if told is None:
            return
        if told.seq != seq:
            self._level.differs(name, f"line {number}", f"entry {told.seq} where {seq} belongs", _KEEP)
        if erased is not None:
            self._erased[seq] = erased.by
        if isinstance(entry, DecisionEntry):
            self._last = entry
        else:
            self._note(entry, name, number)
        if see or isinstance(entry, KeyEntry):
            leaf = Leaf(seq=seq, file=name, number=number, line=line, hash=hashed, entry=entry, erased=erased)
            self._keys.see(leaf)
            for part in see:
                part(leaf)

    def _grow(self) -> None:
        """Put what was read into the tree, up to a size whose root is to be compared, or as many as go fast."""
        self._tree.extend(self._row)
        if self._tiles.wanted:
            for hashed in self._row:
                self._tiles.add(hashed)
        self._row = []
        self._anchors.at(self._tree)
        self._compare_head()
        head = self._head.size if self._head is not None and self._head.size > self._size else math.inf
        self._until = min((self._size // ROW + 1) * ROW, head, self._anchors.next(self._size))

    def _entry(self, line: bytes, name: str, number: int) -> Entry | None:
        try:
            entry = from_line(line)
        except ValueError as error:
            self._level.differs(name, f"line {number}", f"no entry ({error})", _KEEP)
            return None
        if line.translate(None, _PRINTABLE):
            self._level.differs(name, f"line {number}", "holds characters that a log line never does", _KEEP)
        return entry

    def _note(self, entry: Entry | None, name: str, number: int) -> None:
        """What level 1 itself remembers of an entry."""
        if isinstance(entry, RedecisionEntry | FileEntry):
            if isinstance(entry, RedecisionEntry) and entry.was is not None:
                self._says_erased[entry.seq] = entry.of
            if isinstance(entry, RedecisionEntry) or isinstance(self._last, SealEntry):
                return  # entered after the seal: what was erased since, and the files that this changed
        if entry is not None and not isinstance(entry, KeyEntry):
            self._last = entry
            self._note_rules(entry, name, number)

    def _note_rules(self, entry: Entry, name: str, number: int) -> None:
        match entry:
            case ConfigEntry():
                for weaker in entry.weaker:
                    sentence = f"{weaker.rule} (approved by {weaker.approver}: {weaker.reason})"
                    if sentence not in self._report.weaker and len(self._report.weaker) < _MAX_SHOWN:
                        self._report.weaker.append(sentence)
            case RunEntry():
                self._report.no_blocklist = entry.no_blocklist or self._report.no_blocklist
                if entry.origin != self._report.origin or entry.key not in {"", *self._keys.lines}:
                    what = f"a run of log {entry.origin!r} with key {entry.key!r}, not of this one"
                    self._level.differs(name, f"line {number}", what, _KEEP)
            case _:
                pass

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def _checkpoints(self) -> Iterator[Checkpoint]:
        """Every signed head in order of size, the newest last; those that are bad are reported and left out."""
        size, last = -1, b""
        for number, (note, whole) in enumerate(_notes(self._folder / CHECKPOINTS), 1):
            if not whole:
                self._broke_off(f"log/{CHECKPOINTS}", f"note {number}", "was never finished")
                break
            last = note
            head = self._open(note, CHECKPOINTS, f"note {number}")
            if head is not None and head.size <= size:
                self._level.differs(f"log/{CHECKPOINTS}", f"note {number}", f"size {head.size} after {size}", _KEEP)
            elif head is not None:
                size = head.size
                yield head
        newest = self._newest()
        if newest == last:
            return
        head = self._open(newest, CHECKPOINT, "") if newest else None
        if head is not None and head.size > size:  # the process died, or is, between writing the one and the other
            self._broke_off(f"log/{CHECKPOINTS}", "", f"lacks the checkpoint of size {head.size}")
            yield head
        elif not self._running:
            self._level.differs(f"log/{CHECKPOINT}", "", f"is not the newest of {CHECKPOINTS!r}", _KEEP)

    def _broke_off(self, file: str, where: str, what: str) -> None:
        """Something that is to be expected of a process that still writes, and to be repaired after one that died."""
        if not self._running:
            self._level.differs(file, where, what, _RESUME)

    def _newest(self) -> bytes:
        path = self._folder / CHECKPOINT
        if not path.exists():
            return b""
        with open_regular(path) as file:
            return file.read(MAX_NOTE_BYTES + 1)

    def _open(self, note: bytes, name: str, where: str) -> Checkpoint | None:
        try:
            head = self._keys.open(note)
        except CheckpointError as error:
            self._level.differs(f"log/{name}", where, str(error), _KEEP)
            return None
        self._level.count("checkpoints")
        self._anchors.note(head.size, note)
        return head

    def _compare_head(self) -> None:
        while self._head is not None and self._head.size == self._tree.size:
            if self._head.root == self._tree.root():
                self._matched = self._head.size
            elif not self._broken:
                self._broken = True
                what = f"entries {self._matched} to {self._head.size - 1} are not those that were signed"
                self._level.differs("log", f"entry {self._matched}", what, _KEEP)
            self._head = next(self._heads, None)

    # -- the end -----------------------------------------------------------------------------------------------------

    def _check_erased(self) -> None:
        for seq, by in self._erased.items():
            self._level.count("texts erased")
            if self._says_erased.get(by) != seq:
                self._level.differs(
                    "log", f"entry {seq}", "its text is gone, and no entry says that it was erased", _KEEP
                )

    def _finish(self) -> None:
        self._grow()
        size = self._size
        if size:
            self._level.count("entries", size)
        self._check_erased()
        for name in self._tiles.finish():
            self._level.differs(
                f"log/{name}", "", "not a tile of this log", "Remove log/tile/ and run `knockfirst seal`"
            )
        while self._head is not None:
            if not self._running:
                what = f"{self._head.size} entries were signed, {size} are there"
                self._level.differs("log", f"entry {size}", what, _KEEP)
            self._head = next(self._heads, None)
        for what in self._keys.faults():
            self._level.differs(f"log/{VERIFIER}", "", what, _ROTATE + _KEEP)
        self._level.notes += self._keys.notes()
        report = self._report
        report.size, report.signed_size, report.root = size, self._matched, self._tree.root().hex()
        report.seal = self._seal()
        unsigned = size - self._matched
        self._level.counts["entries not signed"] = unsigned
        if self._running:
            self._level.notes.append("a process is writing this log; what it has not signed yet can still change")
        if self._torn:
            what = f"{self._torn} bytes of a line that was never finished"
            self._broke_off("log", f"entry {size}", what)
        if report.seal == "missing":
            what = "no seal: the crawl broke off, or the end of the log was cut away (which looks the same)"
            self._broke_off("log", f"entry {size}", what)
        if unsigned and not self._broken:
            what = f"the last {unsigned} entries are not signed: they could be changed without a trace"
            self._broke_off("log", f"entry {self._matched}", what)

    def _seal(self) -> str:
        if self._running:
            return "running"
        if self._torn:
            return "missing"
        if isinstance(self._last, ManifestEntry):
            return "manifest"
        return self._last.end if isinstance(self._last, SealEntry) else "missing"


def _own_keys(folder: Path) -> tuple[Verifier, ...]:
    if not folder.exists() or not stat.S_ISDIR(folder.lstat().st_mode):
        raise VerifyError(f"{folder}: no folder. Name the output folder of a crawl, the one that holds log/")
    path = folder / VERIFIER
    try:
        with open_regular(path) as file:
            return parse_chain(file.read(_MAX_VERIFIER_BYTES).decode())
    except (OSError, ValueError) as error:
        raise VerifyError(f"{path}: no verifier line ({error}). Put the log's back, from another copy") from error


def _given_verifier(key: str) -> Verifier:
    try:
        return Verifier.parse(key.strip())
    except CheckpointError as error:
        raise VerifyError(f"the key given is no verifier line: {error}. It reads NAME+HASH+KEY") from error


def _is_locked(path: Path) -> bool:
    """Whether a process holds the writer's lock."""
    try:
        with open_regular(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _notes(path: Path) -> Iterator[tuple[bytes, bool]]:
    """The notes of `checkpoints` (text, empty line, signatures, empty line), and whether each is whole."""
    if not path.exists():
        return
    with open_regular(path) as file:
        note = b""
        while (line := file.readline(MAX_NOTE_BYTES)) and len(note) <= MAX_NOTE_BYTES:
            if line == b"\n" and b"\n\n" in note:
                yield note, True
                note = b""
            else:
                note += line
        if note:
            yield note, False


def _level_1() -> Level:
    return Level(
        name="L1",
        title="integrity of the log",
        proves=(
            "Every entry under a signed checkpoint stands as it was when the holder of the key signed it: none was "
            "changed, left out, added or moved since."
        ),
        proves_not=(
            "That the log tells the truth or tells all. Whoever holds the key can write another log from the start; "
            "only copies of checkpoints kept by others show that."
        ),
    )


def _level_2() -> Level:
    return Level(
        name="L2",
        title="link between log and WARC files",
        proves=(
            "Every record in warc/ and evidence/ belongs to exactly one entry and has the bytes the entry names, every "
            "record an entry names is there, what is in warc/ was decided to be kept, and no URL has two last words."
        ),
        proves_not=(
            "That nothing else was fetched and thrown away, and that the decisions follow from the evidence: the one "
            "shows in other people's access logs, the other in a replay."
        ),
    )
