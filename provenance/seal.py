"""Seals a log's segments into zstd frames and writes its tree as tiles, to be stored and published cheaply.

Tiles: https://c2sp.org/tlog-tiles, 256 hashes a tile, so that anybody can serve the tree as static files. Both are
derived: a sealed segment takes the place of the open one only when it is durable and reads back the same, and tiles
are never read to decide anything.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from provenance.disk import Disk, replace
from provenance.log import lock
from provenance.segments import half_sealed, is_sealed, read_leaves, seal_segment, segments
from provenance.tree import root_of_row
from provenance.warcfile import open_regular

TILES: Final = "tile"
TILE_HASHES: Final = 256
_GROUP: Final = 1000


class Tiles:
    """Cuts a tree into tiles while it grows.

    Args:
        emit: given each tile's path below the log's folder, and its octets.
    """

    def __init__(self, emit: Callable[[str, bytes], None]) -> None:
        self._emit = emit
        self._levels: list[list[bytes]] = []
        self._done: list[int] = []

    def add(self, hashed: bytes, level: int = 0) -> None:
        """Add a hash at a level: a leaf's at level 0, the root of a full tile at the next one."""
        if level == len(self._levels):
            self._levels.append([])
            self._done.append(0)
        row = self._levels[level]
        row.append(hashed)
        if len(row) == TILE_HASHES:
            self._emit(f"{TILES}/{level}/{_number(self._done[level])}", b"".join(row))
            self._levels[level], self._done[level] = [], self._done[level] + 1
            self.add(root_of_row(row), level + 1)

    def finish(self) -> None:
        """Give out the partial tiles at the right edge."""
        for level, row in enumerate(self._levels):
            if row:
                self._emit(f"{TILES}/{level}/{_number(self._done[level])}.p/{len(row)}", b"".join(row))


def _number(index: int) -> str:
    """A tile's number as a path: groups of three digits, all but the last one with an `x`.

    >>> _number(1234067)
    'x001/x234/067'
    """
    path = f"{index % _GROUP:03d}"
    while index := index // _GROUP:
        path = f"x{index % _GROUP:03d}/{path}"
    return path


def seal(folder: Path, *, disk: Disk | None = None) -> list[Path]:
    """Seal every segment of a log that nobody writes, and write its tiles. Returns the segments sealed now.

    Raises:
        LogError: a process writes the log, or it cannot be read.
        OSError: it cannot be written; what was there is there still.
    """
    disk = disk or Disk()
    with lock(folder):
        for path in half_sealed(folder):
            disk.remove(path)
        sealed = [seal_segment(path, disk) for path in segments(folder) if not is_sealed(path)]
        write_tiles(folder, disk)
    return sealed


def write_tiles(folder: Path, disk: Disk) -> None:
    """Write the tiles that are not there yet."""

    def emit(name: str, octets: bytes) -> None:
        path = folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            replace(disk, path, octets)

    tiles = Tiles(emit)
    for leaf in read_leaves(folder):
        tiles.add(leaf.hash)
    tiles.finish()


class TileCheck:
    """Compares tiles that are there with the tree as it is read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tiles = Tiles(self._compare)
        self.wanted = (folder / TILES).is_dir()
        self.differing: list[str] = []

    def add(self, hashed: bytes) -> None:
        """Take in one leaf hash."""
        self._tiles.add(hashed)

    def finish(self) -> list[str]:
        """The tiles that are not those of this tree."""
        self._tiles.finish()
        return self.differing

    def _compare(self, name: str, octets: bytes) -> None:
        try:
            with open_regular(self._folder / name) as file:
                same = file.read(len(octets) + 1) == octets
        except FileNotFoundError:
            return
        except OSError:
            same = False
        if not same:
            self.differing.append(name)
