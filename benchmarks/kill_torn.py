"""What a loss of power can leave beyond what a killed process does: files that lack an end which was thought written.

Each injury is done to the output folder of a crawl that was killed in the middle. The next start must either put it
right, so that the crawl ends as if nothing had been, or refuse with an explanation and sign nothing.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.kill_audit import audit
from benchmarks.killing import Killer, Moment
from crawler.crawl import LOG_SIZE
from crawler.demo.server import DemoWeb
from provenance.log import read_entries

_REFUSAL: Final = "the crawl was not started"
_SIGNED: Final = ("checkpoint", "checkpoints")


class Torn(NamedTuple):
    """One injured folder, and what the next start made of it.

    Attributes:
        injury: what was done to it.
        outcome: "repaired", "refused", or what is wrong.
        allowed: the outcomes that are right.
        said: the crawl's words.
    """

    injury: str
    outcome: str
    allowed: Sequence[str]
    said: str

    @property
    def clean(self) -> bool:
        """True when that was right."""
        return self.outcome in self.allowed


def _segment(out: Path) -> Path:
    return max((out / "log").glob("seg-*.jsonl"))


def _told(out: Path) -> int:
    """How many entries the frontier was told of. Read from a copy: opening the file would tidy it up."""
    with tempfile.TemporaryDirectory() as folder:
        for path in out.glob("frontier.db*"):
            shutil.copy(path, folder)
        with closing(sqlite3.connect(Path(folder) / "frontier.db")) as database:
            row = database.execute("SELECT value FROM fact WHERE key = ?", (LOG_SIZE,)).fetchone()
    return int(row[0]) if row else 0


def _cut(path: Path, least: int, chance: random.Random) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(chance.randint(min(least, size), size))


def _covered(out: Path) -> dict[Path, int]:
    """Every open WARC file, and how much of it the log covers."""
    ends = dict.fromkeys(out.glob("*/*.warc.gz.open"), 0)
    for _, entry in read_entries(out / "log"):
        for pointer in getattr(entry, "warc", ()):
            path = out / f"{pointer.f}.open"
            if path in ends:
                ends[path] = max(ends[path], pointer.o + pointer.l)
    return ends


def _cut_log_that_nobody_relied_on(out: Path, chance: random.Random) -> None:
    lines = _segment(out).read_bytes().splitlines(keepends=True)
    _cut(_segment(out), sum(map(len, lines[: _told(out)])), chance)


def _cut_log_that_the_frontier_relied_on(out: Path, chance: random.Random) -> None:
    lines = _segment(out).read_bytes().splitlines(keepends=True)
    keep = chance.randrange(_told(out))
    _segment(out).write_bytes(b"".join(lines[:keep]) + lines[keep][: chance.randrange(len(lines[keep]))])


def _noise_behind_log(out: Path, chance: random.Random) -> None:
    with _segment(out).open("ab") as file:
        file.write(chance.randbytes(chance.randint(1, 4096)).replace(b"\n", b"\0"))


def _cut_warcs_behind_coverage(out: Path, chance: random.Random) -> None:
    for path, end in _covered(out).items():
        with path.open("ab") as file:
            file.write(chance.randbytes(2000))
        _cut(path, end, chance)


def _cut_warcs_inside_coverage(out: Path, chance: random.Random) -> None:
    path, end = chance.choice([item for item in _covered(out).items() if item[1]])
    with path.open("r+b") as file:
        file.truncate(chance.randrange(end))


def _no_frontier_wal(out: Path, _: random.Random) -> None:
    (out / "frontier.db-wal").unlink(missing_ok=True)


def _cut_frontier_wal(out: Path, chance: random.Random) -> None:
    _cut(out / "frontier.db-wal", 0, chance)


_EITHER: Final = ("repaired", "refused")
INJURIES: Final[Mapping[str, tuple[Callable[[Path, random.Random], None], Sequence[str]]]] = {
    "log cut behind what the frontier was told of": (_cut_log_that_nobody_relied_on, ("repaired",)),
    "log cut before that": (_cut_log_that_the_frontier_relied_on, ("refused",)),
    "noise behind the log": (_noise_behind_log, ("repaired",)),
    "WARC files cut, or noise, behind what the log covers": (_cut_warcs_behind_coverage, ("repaired",)),
    "a WARC file cut inside that": (_cut_warcs_inside_coverage, ("refused",)),
    "frontier without its write-ahead log": (_no_frontier_wal, _EITHER),
    "frontier's write-ahead log cut": (_cut_frontier_wal, _EITHER),
}


def tear(web: DemoWeb, command: Sequence[str], folder: Path, chance: random.Random) -> list[Torn]:
    """Each injury once, done to a crawl that was killed at a moment of its own."""
    results = []
    for name, (injure, allowed) in INJURIES.items():
        web.reset()
        out = folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        (folder / "log.key").unlink(missing_ok=True)
        with Killer(web, command, out) as killer:
            killer.run(Moment("request", chance.randint(100, 300)))
            injure(out, chance)
            results.append(Torn(name, _go_on(web, killer, out), allowed, killer.lives[-1].said[-1500:]))
    return results


def _go_on(web: DemoWeb, killer: Killer, out: Path) -> str:
    signed = [(out / "log" / name).exists() for name in _SIGNED]
    life = killer.run()
    if not life.status:
        result = audit([out], web, killer.lives)
        return "repaired" if result.clean else "; ".join(result.details[:5])
    if _REFUSAL not in life.said:
        return f"ended with {life.status} and no explanation"
    if [(out / "log" / name).exists() for name in _SIGNED] != signed:
        return "refused, and signed"
    return "refused"
