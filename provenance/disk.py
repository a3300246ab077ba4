"""Writing so that it lasts: every step that can fail on the way to disk, and the few ways to change a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, Final

UNFINISHED: Final = ".tmp"
"""What the name of a file ends with that `replace` has not finished."""


class Disk:
    """Every step that can fail on the way to disk, one method each, so that tests can make each of them fail."""

    def open(self, path: Path, mode: str) -> BinaryIO:
        """Open without a buffer of its own."""
        return open(path, mode, buffering=0)  # type: ignore[return-value]  # noqa: PTH123 - Path.open knows no unbuffered type

    def write(self, file: BinaryIO, octets: bytes | memoryview) -> int:
        """Write some of the octets; says how many."""
        return file.write(octets)

    def fsync(self, file: BinaryIO) -> None:
        """Make what was written durable."""
        os.fsync(file.fileno())

    def truncate(self, file: BinaryIO, size: int) -> None:
        """Cut the file."""
        file.truncate(size)

    def replace(self, source: Path, target: Path) -> None:
        """Rename over an existing file in one step."""
        source.replace(target)

    def remove(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def fsync_folder(self, folder: Path) -> None:
        """Make the names in a folder durable."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_all(disk: Disk, file: BinaryIO, octets: bytes) -> None:
    """Write all of the octets."""
    view = memoryview(octets)
    while view:
        view = view[disk.write(file, view) :]


def replace(disk: Disk, path: Path, octets: bytes, *, writer: str = "") -> None:
    """Put a whole file in the place of another, or of none, in one step.

    `writer` names this one where several may do so at the same moment.
    """
    temporary = path.with_name(path.name + writer + UNFINISHED)
    with disk.open(temporary, "wb") as file:
        write_all(disk, file, octets)
        disk.fsync(file)
    disk.replace(temporary, path)
    disk.fsync_folder(path.parent)


def append(disk: Disk, path: Path, octets: bytes) -> None:
    """Write behind the end of a file, and make it durable."""
    with disk.open(path, "ab") as file:
        write_all(disk, file, octets)
        disk.fsync(file)


def cut(disk: Disk, path: Path, size: int) -> None:
    """Cut a file, and make that durable."""
    with disk.open(path, "r+b") as file:
        disk.truncate(file, size)
        disk.fsync(file)
