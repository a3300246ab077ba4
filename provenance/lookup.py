"""Looks things up in an index, and reads the log's own lines at the places it names.

The index may be old or wrong: a line that is handed out hashes to what the tree has at its place, or `line` says that
it does not. Paths need no trust either, since they lead to a signed root or they do not.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Final

import zstandard

from provenance.index import TILE_HASHES, _lines_from, digest_number, url_number
from provenance.lines import MAX_LINE_BYTES
from provenance.segments import LogError, is_sealed, read_lines, segments
from provenance.tree import HASH_BYTES, node_hash, root_of
from provenance.warcfile import open_regular

Row = dict[str, Any]

_TILE_BITS: Final = 8
_FOOTER_BYTES: Final = 9
_SEEKABLE: Final = 0x8F92EAB1
_SKIPPABLE_HEAD: Final = 8
_MAX_FRAME_BYTES: Final = 32 * 1024 * 1024
_WINDOW: Final = 8 * 1024 * 1024
#: A question that takes longer is given up: the page says so instead of holding a thread.
_MAX_STEPS: Final = 40_000_000
_STEPS: Final = 100_000


class Lookup:
    """One index and its log, for one thread at a time.

    Attributes:
        size: entries in the index.
        fault: why the log could not be read further; empty when it could.
    """

    def __init__(self, log: Path, db: sqlite3.Connection) -> None:
        self._log = log
        self._db = db
        state = dict(db.execute("SELECT name, value FROM state"))
        self.size: int = state.get("seq", 0)
        self.fault: str = state.get("fault", "")

    @classmethod
    @contextmanager
    def open(cls, out: Path, path: Path) -> Iterator[Lookup]:
        """The index at `path` of the log in `out`, read only.

        Raises:
            OSError: there is none.
        """
        try:
            with closing(
                sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5, check_same_thread=False)
            ) as db:
                db.row_factory = sqlite3.Row
                db.execute("BEGIN")  # one state of the index for the whole page
                yield cls(out / "log", db)
        except sqlite3.DatabaseError as error:
            if "interrupted" in str(error):
                raise OSError("This takes too long on a log of this size: ask for less, a site or a reason") from error
            raise OSError(f"{path}: cannot be used ({error}). Make it again with `knockfirst index`") from error

    # -- rows --------------------------------------------------------------------------------------------------------

    def rows(self, sql: str, *parameters: Any) -> list[Row]:
        """What a question gives."""
        left = iter(range(_MAX_STEPS // _STEPS))
        self._db.set_progress_handler(lambda: next(left, None) is None, _STEPS)
        return [dict(row) for row in self._db.execute(sql, parameters)]

    def row(self, sql: str, *parameters: Any) -> Row | None:
        """The first row."""
        return next(iter(self.rows(sql, *parameters)), None)

    def entry(self, seq: int) -> Row | None:
        """The row of one entry."""
        return self.row(
            "SELECT entry.*, site.name AS site_name, by AS superseded FROM entry "
            "LEFT JOIN site ON site.id = entry.site LEFT JOIN superseded ON superseded.seq = entry.seq "
            "WHERE entry.seq = ?",
            seq,
        )

    def site(self, name: str) -> Row | None:
        """The row of a site."""
        return self.row("SELECT * FROM site WHERE name = ?", name)

    def entry_on(self, url: str) -> int | None:
        """The newest entry that names the URL; None when none does."""
        row = self.row("SELECT max(seq) AS seq FROM entry WHERE u = ? AND url = ?", url_number(url), url)
        return row["seq"] if row else None

    def with_digest(self, digest: str, at_most: int) -> list[Row]:
        """Entries that name a digest, or whose leaf hash it is."""
        number = digest_number(digest)
        if number is None:
            return []
        return self.rows(
            "SELECT entry.* FROM digest JOIN entry USING (seq) WHERE h = ? ORDER BY seq LIMIT ?", number, at_most
        )

    def span(self) -> tuple[int, int]:
        """Times of the first and the last entry, in milliseconds."""
        first, last = (self.entry(seq) for seq in (0, self.size - 1))
        return (first["at"] if first else 0, last["at"] if last else 0)

    # -- lines -------------------------------------------------------------------------------------------------------

    def line(self, seq: int) -> tuple[str, int, bytes]:
        """Segment, number in it (from 1) and line, without its newline, of an entry, as it stands in the log now.

        Raises:
            provenance.segments.LogError: it is not there any more.
        """
        block = self.row("SELECT * FROM block WHERE seq <= ? ORDER BY seq DESC LIMIT 1", seq)
        paths = segments(self._log)
        if block is None or block["segment"] >= len(paths):
            raise LogError(f"{self._log}: no segment with entry {seq}; it was there when the index was made")
        path = paths[block["segment"]]
        number = block["number"] + seq - block["seq"]
        lines = _lines_in_frame(path, block["place"]) if is_sealed(path) else _lines_from(path, block["place"])
        line = next(islice(lines, seq - block["seq"], None), b"")
        if is_sealed(path) and not line:  # a seek table is a convenience, and this one leads nowhere
            line = next(islice(read_lines(path), number, None), b"")
        if not line.endswith(b"\n"):
            raise LogError(f"{path}: no line {number + 1}; it was there when the index was made")
        return path.name, number + 1, line[:-1]

    # -- the tree ----------------------------------------------------------------------------------------------------

    def leaf(self, seq: int) -> bytes:
        """Leaf hash of an entry as it was when the index was made."""
        return self._subtree(seq, seq + 1)

    def path(self, seq: int, size: int) -> list[bytes]:
        """The path from an entry to the root of the first `size` (RFC 9162 2.1.3.1), lowest sibling first."""
        if not 0 <= seq < size <= self.size:
            raise LogError(f"{self._log}: no entry {seq} among the first {size} of {self.size}")
        path, first, end = [], 0, size
        while end - first > 1:
            middle = first + (1 << (end - first - 1).bit_length() - 1)
            if seq < middle:
                path.append(self._subtree(middle, end))
                end = middle
            else:
                path.append(self._subtree(first, middle))
                first = middle
        return path[::-1]

    def _subtree(self, first: int, end: int) -> bytes:
        count = end - first
        split = 1 << (count - 1).bit_length() - 1 if count > 1 else 0
        if count > 1 and split * 2 != count:
            return node_hash(self._subtree(first, first + split), self._subtree(first + split, end))
        level, rest = divmod(count.bit_length() - 1, _TILE_BITS)
        tile, at = divmod(first >> _TILE_BITS * level, TILE_HASHES)
        row = self.row("SELECT hashes FROM tile WHERE level = ? AND n = ?", level, tile)
        hashes = row["hashes"] if row else b""
        wanted = range(at * HASH_BYTES, (at + (1 << rest)) * HASH_BYTES, HASH_BYTES)
        if len(hashes) < wanted.stop:
            raise LogError(f"{self._log}: the index lacks a part of the tree. Make it again with `knockfirst index`")
        return root_of([hashes[place : place + HASH_BYTES] for place in wanted])


def _lines_in_frame(path: Path, place: int) -> Iterator[bytes]:
    """The lines of a sealed segment from a place in its text on, as far as their frame goes; none where it has none."""
    with open_regular(path) as file:
        stat = os.fstat(file.fileno())
        for stored, plain in _frames(path, stat.st_size, stat.st_mtime_ns):
            if plain == place:
                file.seek(stored)
                reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(file, closefd=False)
                try:
                    text = reader.read(_MAX_FRAME_BYTES)
                except zstandard.ZstdError:
                    return
                yield from (line + b"\n" for line in text.split(b"\n")[:-1] if len(line) <= MAX_LINE_BYTES)
                return


@lru_cache(maxsize=64)
def _frames(path: Path, size: int, _changed: int) -> tuple[tuple[int, int], ...]:
    """Where each frame of a sealed segment begins, stored and in its text, as the seek table says; it may lie."""
    with open_regular(path) as file:
        file.seek(max(0, size - _FOOTER_BYTES))
        footer = file.read(_FOOTER_BYTES)
        count = int.from_bytes(footer[:4], "little")
        length = count * 8 + _FOOTER_BYTES
        if int.from_bytes(footer[5:], "little") != _SEEKABLE or length + _SKIPPABLE_HEAD > size:
            return ()
        file.seek(size - length)
        table = file.read(count * 8)
    places, stored, plain = [], 0, 0
    for at in range(0, len(table), 8):
        places.append((stored, plain))
        stored += int.from_bytes(table[at : at + 4], "little")
        plain += int.from_bytes(table[at + 4 : at + 8], "little")
    return tuple(places)
