"""What a crash leaves in a WARC folder, put right before the crawl goes on.

A record without a durable log entry is no evidence of anything: "no decision, no data". Every `.open` file is cut at
the end of the last record that the log covers, and finished; one that the log does not cover at all is removed.
Finished files are never touched: the writer gives no file its name before the log covers it. What lies behind the cut
is not looked at, so it may be anything: half a member, zeros, noise.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from crawler.warc.records import WarcError
from crawler.warc.writer import OPEN_SUFFIX, sync_folder


class Repair(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to one file that a crash left open.

    Attributes:
        file: as pointers name it, "warc/<name>".
        action: "finished" (everything in it was covered), "cut", or "removed" (nothing was).
        kept: bytes that stay.
        dropped: bytes that were cut off.
    """

    file: str
    action: Literal["finished", "cut", "removed"]
    kept: int
    dropped: int


def recover(folder: Path, covered: Mapping[str, int]) -> list[Repair]:
    """Cut and finish the files that a crash left open. May itself be interrupted and run again.

    Args:
        folder: a folder of WARC files; none is needed yet.
        covered: by file, as pointers name it (`Pointer.f`): the largest `o + l` of all pointers in durable entries.

    Returns:
        What was done, one for each open file.

    Raises:
        WarcError: the log covers bytes that are not there, or the disk failed. Nothing was cut in the first case.
    """
    found = [_Left(folder, path, covered) for path in sorted(folder.glob(f"*.warc.gz{OPEN_SUFFIX}"))]
    faults = [fault for left in found if (fault := left.fault())]
    if faults:
        raise WarcError("\n".join(faults))
    try:
        repairs = [left.repair() for left in found]
        if repairs:
            sync_folder(folder)
    except OSError as error:
        raise WarcError(f"cannot repair WARC files in {folder}: {error}; mend the disk and start again") from error
    return repairs


class _Left:
    """One file that a crash left open."""

    def __init__(self, folder: Path, path: Path, covered: Mapping[str, int]) -> None:
        self._path = path
        self._final = path.with_name(path.name.removesuffix(OPEN_SUFFIX))
        self._file = f"{folder.name}/{self._final.name}"
        self._size = path.stat().st_size
        self._end = covered.get(self._file, 0)

    def fault(self) -> str | None:
        if self._end > self._size:
            return (
                f"{self._path}: the log covers {self._end} bytes, the file has {self._size}."
                " Evidence was lost after it was logged; keep the folder for inquiry and crawl into another one"
            )
        if self._end and self._final.exists():
            return f"{self._path}: {self._final.name} is there as well; keep the one that the log describes"
        return None

    def repair(self) -> Repair:
        dropped = self._size - self._end
        if not self._end:
            self._path.unlink()
            return Repair(file=self._file, action="removed", kept=0, dropped=dropped)
        with self._path.open("r+b") as file:
            if dropped:
                file.truncate(self._end)
            os.fsync(file.fileno())
        self._path.rename(self._final)
        return Repair(file=self._file, action="cut" if dropped else "finished", kept=self._end, dropped=dropped)
