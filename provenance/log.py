"""Writes and reads the decision log: JSON lines in segments, a Merkle tree over them, signed checkpoints.

Order of writing: lines, fsync, sign, replace `checkpoint` (temporary file, fsync, rename, fsync of the folder), append
to `checkpoints`. What is signed is durable, and a head that contradicts an earlier one is never signed: `open` reads
the whole log, recomputes the tree and refuses a log that lost or changed what was signed. After any failed write
nothing is accepted any more, so that the crawl stops fetching (fail closed). docs/log-format.md describes the files.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from provenance.checkpoint import (
    Checkpoint,
    CheckpointError,
    Verifier,
    chain_text,
    open_note,
    parse_chain,
    sign,
)
from provenance.disk import Disk, append, cut, replace, write_all
from provenance.entry import Entry, KeyEntry
from provenance.keys import SigningKey
from provenance.lines import to_line
from provenance.segments import (
    ASIDE,
    Leaf,
    LogError,
    half_sealed,
    is_sealed,
    read_entries,
    read_lines,
    seal_segment,
    segment_name,
    segments,
    to_leaf,
)
from provenance.tree import Frontier, leaf_hash

__all__ = ["Disk", "LogError", "LogWriter", "read_entries"]

SEGMENT_LINES: Final = 1_000_000
CHECKPOINT: Final = "checkpoint"
CHECKPOINTS: Final = "checkpoints"
VERIFIER: Final = "log.vkey"
LOCK: Final = "lock"

#: Where a complete note of `checkpoints` ends: a signature line and the empty line that parts it from the next note.
_NOTE_END: Final = re.compile(rb"\n\xe2\x80\x94 [^\n]*\n\n")
_TAIL_BYTES: Final = 65_536


class LogWriter:
    """The one writer of a log. `append` belongs to one thread; `sync` and `checkpoint` may run in another.

    The caller appends, calls `sync` before it relies on what it appended, and so bounds what waits in memory.
    """

    @classmethod
    def open(
        cls,
        folder: Path,
        origin: str,
        key: SigningKey,
        *,
        visit: Callable[[Entry], None] | None = None,
        segment_lines: int = SEGMENT_LINES,
        handing_over: bool = False,
        disk: Disk | None = None,
    ) -> LogWriter:
        """Begin a log in `folder`, or go on with the one that is there.

        A partial last line, left by a crash, is cut. `visit` sees every entry once, in order, while the log is read.
        Where a change of the key broke off, only who is `handing_over` may go on: it must be finished first.

        Raises:
            LogError: another process writes here, or the log is not the one that was signed; nothing was changed.
        """
        disk = disk or Disk()
        held: BinaryIO | None = None
        try:
            key.verifier(origin)
        except CheckpointError as error:
            raise LogError(f"{folder}: {error}. Choose another origin") from error
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held = lock(folder)
            writer = cls(folder, origin, key, lock=held, segment_lines=segment_lines, disk=disk)
            writer._resume(visit)
            if not handing_over:
                writer._refuse_half_handed_over()
        except BaseException as error:
            if held is not None:
                held.close()
            if isinstance(error, OSError):
                raise LogError(f"{folder}: the log cannot be opened ({error}). {_FREE}") from error
            if isinstance(error, CheckpointError):
                raise LogError(f"{folder}: {error}. {ASIDE}") from error
            raise
        return writer

    def __init__(
        self, folder: Path, origin: str, key: SigningKey, *, lock: BinaryIO, segment_lines: int, disk: Disk
    ) -> None:
        self.folder = folder
        self.verifier = key.verifier(origin)
        self._key = key
        self._lock = lock
        self._segment_lines = segment_lines
        self._disk = disk
        self._tree = Frontier()
        self._durable = Frontier()
        self._signed = 0  # size of the newest checkpoint
        self._chain: tuple[Verifier, ...] = ()  # all keys that the log was signed by, this one last
        self._named = ""  # verifier line of the newest `key` entry
        self._waiting: list[bytes] = []
        self._mutex = threading.Lock()  # guards _tree and _waiting; held for moments only
        self._io = threading.Lock()  # one sync, checkpoint or close at a time
        self._broken: str | None = None
        self._file: BinaryIO | None = None
        self._segment = 0
        self._lines = 0

    @property
    def origin(self) -> str:
        """The log's origin, as in its checkpoints."""
        return self.verifier.name

    @property
    def next_seq(self) -> int:
        """The `seq` that the next entry must bear."""
        return self._tree.size

    def append(self, entry: Entry) -> int:
        """Take one entry; it is durable after the next `sync`. Returns its `seq`."""
        self._refuse_if_broken()
        line = to_line(entry)
        leaf = leaf_hash(line)
        with self._mutex:
            if entry.seq != self._tree.size:
                raise LogError(f"{self.folder}: entry {entry.seq} offered, {self._tree.size} is next. Nothing written")
            self._tree.append(leaf)
            self._waiting.append(line)
        return entry.seq

    def sync(self) -> None:
        """Make everything appended so far durable.

        Raises:
            LogError: it could not be written; from here on every call raises.
        """
        with self._io:
            self._guarded(self._sync)

    def checkpoint(self) -> None:
        """Sign what is durable, unless this was done already.

        Raises:
            LogError: it could not be written; from here on every call raises.
        """
        with self._io:
            self._guarded(self._checkpoint)

    @property
    def half_handed_over(self) -> str:
        """Verifier line of the key that an entry hands over to, and that does not sign yet; empty: there is none."""
        return self._named if self._named not in {"", *(key.line() for key in self._chain)} else ""

    def hand_over(self, entry: KeyEntry, key: SigningKey) -> None:
        """Enter another key, have both keys sign that, and go on with the new one.

        Args:
            entry: what says so; names the key.
            key: the new key.

        Raises:
            LogError: it could not be written; from here on every call raises. Or the entry names another key.
        """
        new = key.verifier(self.origin)
        if entry.key != new.line() or new in self._chain:
            raise LogError(f"{self.folder}: {entry.key!r} is not a new key of this log. Nothing written")
        self.sync()
        self.append(entry)
        with self._io:
            self._guarded(self._sync)
            self._guarded(lambda: self._checkpoint(key))
            chain = (*self._chain, new)
            self._guarded(lambda: replace(self._disk, self.folder / VERIFIER, chain_text(chain).encode()))
            self._chain, self._key, self.verifier = chain, key, new

    def close(self) -> None:
        """Make durable, sign, and let go of the folder. A broken log is only let go of."""
        with self._io:
            try:
                if self._broken is None:
                    self._guarded(self._sync)
                    self._guarded(self._checkpoint)
                    self._seal_full_segments()
            finally:
                self._broken = self._broken or "it was closed"
                self._roll()
                self._lock.close()

    def _seal_full_segments(self) -> None:
        """What is durable and signed only becomes smaller by this, so a failure here costs space and nothing else."""
        with contextlib.suppress(OSError):
            for path in segments(self.folder)[: self._segment]:
                if not is_sealed(path):
                    seal_segment(path, self._disk)

    def abandon(self) -> None:
        """Let go of the folder and sign nothing: what lies beside the log contradicts it."""
        with self._io:
            self._broken = self._broken or "it was abandoned"
            self._roll()
            self._lock.close()

    def _refuse_if_broken(self) -> None:
        if self._broken is not None:
            raise LogError(f"{self.folder}: the log takes no entries any more: {self._broken}. {_FREE}")

    def _guarded(self, step: Callable[[], None]) -> None:
        self._refuse_if_broken()
        try:
            step()
        except BaseException as error:
            # Whatever it was, nobody knows how much is on disk; only `open`, which reads it all, finds out.
            self._broken = f"{type(error).__name__}: {error}"
            if not isinstance(error, Exception):
                raise
            raise LogError(f"{self.folder}: the log could not be written: {self._broken}. {_FREE}") from error

    def _sync(self) -> None:
        with self._mutex:
            lines, self._waiting = self._waiting, []
            head = self._tree.copy()
        if lines:
            self._write_lines(lines)
        self._durable = head

    def _write_lines(self, lines: list[bytes]) -> None:
        begin = 0
        while begin < len(lines):
            if self._lines >= self._segment_lines:
                self._roll()
            part = lines[begin : begin + self._segment_lines - self._lines]
            file = self._file or self._open_segment()
            write_all(self._disk, file, b"\n".join(part) + b"\n")
            self._disk.fsync(file)
            self._lines += len(part)
            begin += len(part)

    def _roll(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._segment, self._lines = None, self._segment + 1, 0

    def _open_segment(self) -> BinaryIO:
        self._file = self._disk.open(self.folder / segment_name(self._segment), "ab")
        self._disk.fsync_folder(self.folder)
        return self._file

    def _checkpoint(self, *beside: SigningKey) -> None:
        head = self._durable
        if head.size == self._signed:
            return
        privates = [key.private for key in (self._key, *beside)]
        note = sign(Checkpoint(origin=self.origin, size=head.size, root=head.root()), *privates)
        replace(self._disk, self.folder / CHECKPOINT, note)
        append(self._disk, self.folder / CHECKPOINTS, note + b"\n")
        self._signed = head.size

    def _resume(self, visit: Callable[[Entry], None] | None) -> None:
        """Find out what is there, compare it with what was signed, and only then repair."""
        self._check_verifier()
        note, missing, notes_end = self._newest_note()
        signed = open_note(note, self.verifier) if note else None
        torn = self._read_back(signed, visit)
        if signed is not None and self._tree.size < signed.size:
            raise LogError(
                f"{self.folder}: {self._tree.size} entries are left of {signed.size} that were signed. {ASIDE}"
            )
        for path in half_sealed(self.folder):  # sealing broke off: what was written of it goes, the lines stay
            self._disk.remove(path)
        if torn is not None:
            cut(self._disk, self.folder / segment_name(self._segment), torn)
        if notes_end is not None:
            cut(self._disk, self.folder / CHECKPOINTS, notes_end)
        if missing:
            append(self._disk, self.folder / CHECKPOINTS, note + b"\n")
        if self._lines and torn is None:  # what a killed process left in the cache must be durable to be signed
            with self._disk.open(self.folder / segment_name(self._segment), "ab") as file:
                self._disk.fsync(file)
        self._durable = self._tree.copy()
        self._signed = signed.size if signed is not None else 0

    def _check_verifier(self) -> None:
        path, line = self.folder / VERIFIER, self.verifier.line().encode() + b"\n"
        if not path.exists():
            if segments(self.folder) or (self.folder / CHECKPOINT).exists():
                raise LogError(f"{path}: missing beside a log. Put the log's verifier line back, or: {ASIDE}")
            replace(self._disk, path, line)
        text = path.read_bytes()
        self._chain = parse_chain(text.decode("utf-8", "replace")) if text.endswith(line) else ()
        if not self._chain:
            raise LogError(
                f"{path}: the log here has another origin or key than {line.decode().strip()!r}. "
                "Use the settings it was begun with and the newest of its keys, or another output folder"
            )

    def _refuse_half_handed_over(self) -> None:
        if self.half_handed_over:
            what = f"{self.folder}: the change to key {self.half_handed_over!r} broke off"
            raise LogError(f"{what}. Finish it: run `knockfirst key rotate` again, with the same two key files")

    def _newest_note(self) -> tuple[bytes, bool, int | None]:
        """The newest note, whether `checkpoints` lacks it, and where `checkpoints` must be cut (None: nowhere)."""
        path = self.folder / CHECKPOINT
        newest = path.read_bytes() if path.exists() else b""
        last, end, size = _last_note(self.folder / CHECKPOINTS)
        if last not in (b"", newest) and self._size_signed(last) >= self._size_signed(newest):
            raise LogError(f"{path}: older than the last of `{CHECKPOINTS}`, or gone. {ASIDE}")
        return newest, bool(newest) and last != newest, end if end != size else None

    def _size_signed(self, note: bytes) -> int:
        return open_note(note, self.verifier).size if note else -1

    def _read_back(self, signed: Checkpoint | None, visit: Callable[[Entry], None] | None) -> int | None:
        """Rebuild the tree from the segments. Returns where a partial last line begins, if there is one."""
        paths = segments(self.folder)
        torn: int | None = None
        for index, path in enumerate(paths):
            self._segment, self._lines, offset = index, 0, 0
            for line in read_lines(path):
                if not line.endswith(b"\n"):
                    if path != paths[-1] or is_sealed(path):
                        raise LogError(f"{path}: ends inside a line, and another segment follows. {ASIDE}")
                    torn = offset
                    break
                self._read_line(path, line[:-1], signed, visit)
                offset += len(line)
        if paths and is_sealed(paths[-1]):
            self._roll()  # what is sealed stays as it is: the next line begins a segment
        return torn

    def _read_line(
        self, path: Path, line: bytes, signed: Checkpoint | None, visit: Callable[[Entry], None] | None
    ) -> None:
        self._lines += 1
        leaf = self._leaf(path, line)
        self._tree.append(leaf.hash)
        if signed is not None and self._tree.size == signed.size and self._tree.root() != signed.root:
            raise LogError(f"{path}:{self._lines}: the log up to here is not the one that was signed. {ASIDE}")
        if isinstance(leaf.entry, KeyEntry):
            self._named = leaf.entry.key
        if visit is not None and leaf.entry is not None:
            visit(leaf.entry)

    def _leaf(self, path: Path, line: bytes) -> Leaf:
        try:
            leaf = to_leaf(line, self._tree.size, path.name, self._lines)
        except LogError as error:
            raise LogError(f"{path}:{self._lines}: no entry ({error.__cause__}). {ASIDE}") from error
        told = leaf.entry or leaf.erased
        if told is None or told.seq != leaf.seq:
            raise LogError(f"{path}:{self._lines}: entry {told and told.seq} where {leaf.seq} belongs. {ASIDE}")
        return leaf


_FREE: Final = "Free space or mend the disk, then start the same command again"


def lock(folder: Path) -> BinaryIO:
    """The writer's lock; it is held until the file is closed.

    Raises:
        LogError: somebody else holds it.
    """
    file = (folder / LOCK).open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise LogError(
            f"{folder / LOCK}: another process writes this log. Wait for it or stop it; a log has one writer"
        ) from error
    return file


def _last_note(path: Path) -> tuple[bytes, int, int]:
    """The last complete note of `checkpoints`, where it ends, and the size of the file."""
    if not path.exists():
        return b"", 0, 0
    size = path.stat().st_size
    with path.open("rb") as file:
        start = max(0, size - _TAIL_BYTES)
        file.seek(start)
        tail = file.read(_TAIL_BYTES)
    ends = [match.end() for match in _NOTE_END.finditer(tail)]
    if not ends:
        if start:
            raise LogError(f"{path}: no signed note in its last {_TAIL_BYTES} bytes. {ASIDE}")
        return b"", 0, size
    begin = ends[-2] if len(ends) > 1 else 0
    return tail[begin : ends[-1] - 1], start + ends[-1], size
