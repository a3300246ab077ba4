"""The log's lines as they lie on disk: segments, open ones as plain lines, sealed ones as zstd frames; erased lines.

A sealed segment is a zstd file (RFC 8878) of independent frames, 256 lines each, with a seek table at its end (the
"seekable format" of zstd's own repository): `zstdcat` reads it. Readers take it for a stranger's: the table is never
trusted, and nothing inflates without bound. Decides nothing; docs/log-format.md describes the files.
"""

from __future__ import annotations

import base64
import io
import os
import re
import stat
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import zstandard

from provenance.disk import Disk, write_all
from provenance.entry import Entry
from provenance.lines import MAX_LINE_BYTES, from_line
from provenance.tree import HASH_BYTES, leaf_hash

SEALED: Final = ".zst"
FRAME_LINES: Final = 256
LEVEL: Final = 3

_SEGMENT: Final = re.compile(r"(seg-[0-9]{8}\.jsonl)(\.zst)?")
_READ_BUFFER: Final = 1 << 20
_WINDOW: Final = 8 * 1024 * 1024
#: What a sealed segment may inflate to: lines of a log compress to a fifth, not to a thousandth.
_MAX_INFLATION: Final = 1_000
_FLOOR_BYTES: Final = 16 * 1024 * 1024
_ERASED_MARK: Final = b'{"t":"erased",'

ASIDE: Final = (
    "Entries that were signed are lost or changed, so this log cannot be continued: look at it with "
    "`knockfirst verify`, keep the folder as it is, and crawl into a new one"
)


class LogError(Exception):
    """The log cannot be used or written on. The message says what, where, and what to do."""


class Erased(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag="erased"):
    """What stands in the place of a line whose text was erased: no leaf itself, but what is left of one.

    Attributes:
        seq: index of the entry that stood here.
        h: its leaf hash, base64.
        s: its site's hash in the second tree, base64.
        u: its URL's hash in the second tree, base64.
        by: `seq` of the redecision that says so.
    """

    seq: int
    h: str
    s: str
    u: str
    by: int

    @property
    def hash(self) -> bytes:
        """The leaf hash."""
        return _hash(self.h)

    @property
    def site(self) -> bytes:
        """The site's hash."""
        return _hash(self.s)

    @property
    def url(self) -> bytes:
        """The URL's hash."""
        return _hash(self.u)

    def line(self) -> bytes:
        """The line that stands in the segment."""
        return msgspec.json.encode(self)


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """One place in the log.

    Attributes:
        seq: its index.
        file, number: segment and line in it, counted from 1.
        line: as it stands there, without its newline.
        hash: leaf hash.
        entry: the entry; None where the text was erased.
        erased: what stands there then.
    """

    seq: int
    file: str
    number: int
    line: bytes
    hash: bytes
    entry: Entry | None = None
    erased: Erased | None = None


_ERASED: Final = msgspec.json.Decoder(Erased, strict=True)


def as_erased(line: bytes) -> Erased | None:
    """What stands in the place of an erased line; None for any other line.

    Raises:
        ValueError: it pretends to be one and is none.
    """
    if not line.startswith(_ERASED_MARK):
        return None
    erased = _ERASED.decode(line)
    if erased.line() != line or not all((erased.hash, erased.site, erased.url)):
        raise ValueError("not in the one spelling of an erased line")
    return erased


def _hash(text: str) -> bytes:
    octets = base64.b64decode(text, validate=True)
    if len(octets) != HASH_BYTES:
        raise ValueError("a hash has 32 octets")
    return octets


def segment_name(index: int) -> str:
    """The file name of a segment while it is open."""
    return f"seg-{index:08d}.jsonl"


def segments(folder: Path) -> list[Path]:
    """The log's segments in order. Where a segment lies there open and sealed, sealing broke off: the open one holds.

    Raises:
        LogError: one is missing between others, or is not a regular file.
    """
    found: dict[str, str] = {}
    for name in sorted((entry.name for entry in folder.iterdir()), reverse=True):
        match = _SEGMENT.fullmatch(name)
        if match:
            found[match[1]] = name  # the plain name sorts before the sealed one, so it comes last here and stays
    for index, plain in enumerate(sorted(found)):
        if plain != segment_name(index):
            raise LogError(f"{folder / segment_name(index)}: missing, though {found[plain]} is there. {ASIDE}")
        if not stat.S_ISREG((folder / found[plain]).lstat().st_mode):
            raise LogError(f"{folder / found[plain]}: not a regular file. {ASIDE}")
    return [folder / found[plain] for plain in sorted(found)]


def half_sealed(folder: Path) -> list[Path]:
    """Sealed segments whose open one still lies beside them."""
    return [path for path in sorted(folder.glob("seg-*.jsonl.zst")) if path.with_suffix("").exists()]


def is_sealed(path: Path) -> bool:
    """Whether a segment is a sealed one."""
    return path.name.endswith(SEALED)


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a segment with their newlines; the last one of an open segment may lack it.

    Raises:
        LogError: a line is longer than an entry can be, or a sealed segment is damaged.
    """
    with path.open("rb", buffering=_READ_BUFFER) as stored:
        file = io.BufferedReader(_Inflating(path, stored), _READ_BUFFER) if is_sealed(path) else stored
        offset = 0
        try:
            while line := file.readline(MAX_LINE_BYTES + 2):
                if len(line) > MAX_LINE_BYTES + 1:
                    raise LogError(f"{path}: a line longer than {MAX_LINE_BYTES} bytes at offset {offset}. {ASIDE}")
                offset += len(line)
                yield line
        except zstandard.ZstdError as error:
            raise LogError(f"{path}: damaged ({error}). {ASIDE}") from error


class _Inflating(io.RawIOBase):
    """The text of a sealed segment, from its beginning to its end."""

    def __init__(self, path: Path, stored: BinaryIO) -> None:
        self._path = path
        self._most = _FLOOR_BYTES + _MAX_INFLATION * os.fstat(stored.fileno()).st_size
        self._reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(
            stored, read_across_frames=True, closefd=False
        )
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        octets = self._reader.read(len(view))
        view[: len(octets)] = octets
        self._count += len(octets)
        if self._count > self._most:
            raise LogError(f"{self._path}: inflates to more than a log does. {ASIDE}")
        return len(octets)


def read_leaves(folder: Path) -> Iterator[Leaf]:
    """Every complete line of a log with its hash and entry.

    Raises:
        LogError: the log cannot be read, or a line is no entry.
    """
    seq = 0
    for path in segments(folder):
        for number, line in enumerate(read_lines(path), 1):
            if line.endswith(b"\n"):
                yield to_leaf(line[:-1], seq, path.name, number)
                seq += 1


def to_leaf(line: bytes, seq: int, file: str, number: int) -> Leaf:
    """One line as what it is.

    Raises:
        LogError: it is no entry.
    """
    try:
        erased = as_erased(line)
        if erased is not None:
            return Leaf(seq=seq, file=file, number=number, line=line, hash=erased.hash, erased=erased)
        return Leaf(seq=seq, file=file, number=number, line=line, hash=leaf_hash(line), entry=from_line(line))
    except ValueError as error:
        raise LogError(f"{file}:{number}: no entry ({error}). Run `knockfirst verify`") from error


def read_entries(folder: Path) -> Iterator[tuple[bytes, Entry]]:
    """Every entry of a log with its line, erased ones left out.

    Raises:
        LogError: the log cannot be read, or a line is no entry.
    """
    for leaf in read_leaves(folder):
        if leaf.entry is not None:
            yield leaf.line, leaf.entry


# -- sealed segments ---------------------------------------------------------------------------------------------------


class _Table:
    """The seek table: per frame its stored and its plain size, in a skippable frame that other readers pass over."""

    _SKIPPABLE: Final = 0x184D2A5E
    _FOOTER: Final = 0x8F92EAB1

    def __init__(self) -> None:
        self._rows: list[tuple[int, int]] = []

    def add(self, stored: int, plain: int) -> None:
        self._rows.append((stored, plain))

    def frame(self) -> bytes:
        rows = b"".join(stored.to_bytes(4, "little") + plain.to_bytes(4, "little") for stored, plain in self._rows)
        footer = len(self._rows).to_bytes(4, "little") + b"\0" + self._FOOTER.to_bytes(4, "little")
        size = len(rows) + len(footer)
        return self._SKIPPABLE.to_bytes(4, "little") + size.to_bytes(4, "little") + rows + footer


def frames(lines: Iterator[bytes]) -> Iterator[bytes]:
    """A sealed segment's octets, piece by piece, from lines with their newlines."""
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, write_content_size=True)
    table, group = _Table(), []
    for line in lines:
        group.append(line)
        if len(group) == FRAME_LINES:
            yield _frame(compressor, group, table)
            group = []
    if group:
        yield _frame(compressor, group, table)
    yield table.frame()


def _frame(compressor: zstandard.ZstdCompressor, group: list[bytes], table: _Table) -> bytes:
    plain = b"".join(group)
    stored = compressor.compress(plain)
    table.add(len(stored), len(plain))
    return stored


def seal_segment(path: Path, disk: Disk) -> Path:
    """Put a sealed segment in the place of an open one that is complete. What was there stays until the new one lasts.

    Raises:
        LogError: the segment ends inside a line, or what was written reads back otherwise.
        OSError: it cannot be written.
    """
    sealed = path.with_name(path.name + SEALED)
    temporary = path.with_name(f"{path.name}.tmp{SEALED}")
    with disk.open(temporary, "wb") as file:
        for part in frames(read_lines(path)):
            write_all(disk, file, part)
        disk.fsync(file)
    pairs = zip_longest(read_lines(path), read_lines(temporary))
    if not all(line == other and line.endswith(b"\n") for line, other in pairs):
        disk.remove(temporary)
        raise LogError(f"{path}: not complete, or sealed it reads back otherwise. The open segment was kept")
    disk.replace(temporary, sealed)
    disk.fsync_folder(path.parent)
    disk.remove(path)
    disk.fsync_folder(path.parent)
    return sealed
