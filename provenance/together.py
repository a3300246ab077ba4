"""Checks the output folders of a crawl's workers as one: each by itself, then what must hold of all of them.

No log is there twice, all are of one crawl, no lease has two last words, and every URL has exactly one that holds.
With a run manifest, signed in its own log: each of its logs is there and extends the checkpoint that it names, with
the WARC files it lists, and no other log is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from provenance.anchors import Outside
from provenance.checkpoint import CheckpointError, Verifier
from provenance.entry import DecisionEntry, FileEntry
from provenance.finality import LastWords, Place
from provenance.manifest import Manifest, ManifestError, Worker, files_of, read
from provenance.proof import ProofError, read_verifier
from provenance.report import Level, Report
from provenance.segments import Leaf, LogError
from provenance.verify import LEVELS, Progress, VerifyError, verify

_SET: Final = "together"
_NAME_ALL: Final = "Name each folder of the crawl's workers, each once"
_KEEP: Final = "Keep the folders as they are and compare them with other copies"
_MAX_RUNS: Final = 20


class Together(msgspec.Struct, kw_only=True):
    """The result of `verify_together`.

    Attributes:
        folders: one report a folder.
        manifest: that of the run log, where one was named.
        level: what was found between them.
    """

    folders: list[Report] = []
    manifest: Report | None = None
    level: Level

    @property
    def clean(self) -> bool:
        """Whether nothing differs anywhere."""
        reports = [*self.folders, *([self.manifest] if self.manifest else [])]
        return self.level.ok and all(report.clean for report in reports)


class _Payloads:
    """Payloads that were stored, and those that entries say were stored before: perhaps by another worker."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16384;"
            "CREATE TABLE stored (pd TEXT PRIMARY KEY) WITHOUT ROWID;"
            "CREATE TABLE revisit (origin TEXT, seq INTEGER, pd TEXT); BEGIN"
        )

    def close(self) -> None:
        self._db.close()

    def see(self, origin: str, entry: DecisionEntry) -> None:
        for pointer in entry.warc:
            if pointer.type == "response" and pointer.f.startswith("warc/"):
                self._db.execute("INSERT OR IGNORE INTO stored VALUES (?)", (pointer.pd,))
            elif pointer.type == "revisit" and pointer.pd is not None:
                self._db.execute("INSERT INTO revisit VALUES (?, ?, ?)", (origin, entry.seq, pointer.pd))

    def nowhere(self) -> Iterator[Place]:
        """Entries whose payload no log stored."""
        query = "SELECT origin, seq FROM revisit WHERE pd NOT IN (SELECT pd FROM stored) ORDER BY origin, seq"
        return (Place(*row) for row in self._db.execute(query))


class _Seen:
    """What of one log matters to the others."""

    def __init__(self, origin: str, words: LastWords, payloads: _Payloads, level: Level, listed: Worker | None) -> None:
        self.origin, self._words, self._payloads, self._level, self._listed = origin, words, payloads, level, listed
        self.runs: set[str] = set()
        self.erased: set[int] = set()
        self._files: dict[str, FileEntry] = {}

    def see(self, leaf: Leaf) -> None:
        if leaf.entry is None:
            self.erased.add(leaf.seq)
            return
        if len(self.runs) < _MAX_RUNS:
            self.runs.add(leaf.entry.run)
        try:
            self._words.see(self.origin, leaf.entry)
            if isinstance(leaf.entry, DecisionEntry):
                self._payloads.see(self.origin, leaf.entry)
        except OverflowError:
            self._level.differs(leaf.file, f"line {leaf.number}", "a number that no crawl writes", _KEEP)
        if isinstance(leaf.entry, FileEntry) and self._listed and leaf.seq < self._listed.size:
            self._files[leaf.entry.f] = leaf.entry

    def compare_files(self) -> None:
        """The manifest lists the files that the log had entered when it was made."""
        if self._listed and files_of(self._files.values()) != self._listed.files:
            what = f"the manifest lists other WARC files than log {self.origin} names"
            self._level.differs(_SET, self.origin, what, _KEEP)


def verify_together(
    outs: Sequence[Path],
    levels: Sequence[str] = LEVELS,
    *,
    manifest: Path | None = None,
    keys: Sequence[str] = (),
    outside: Outside | None = None,
    progress: Progress | None = None,
) -> Together:
    """Verify the output folders of a crawl's workers.

    Args:
        outs: the folders.
        levels: as for `verify`, of each folder.
        manifest: the run log's folder.
        keys: verifier lines from elsewhere, each for the log of its name. A log that the manifest lists must have the
            key that stands there.
        outside: as for `verify`; each checkpoint counts for the log of its name.
        progress: told how far it is.

    Raises:
        VerifyError: a folder or the manifest cannot be read, or a key or checkpoint is of none of the logs.
    """
    with closing(LastWords()) as words, closing(_Payloads()) as payloads:
        checking = _Checking(words, payloads, levels=levels, keys=keys, outside=outside or Outside(), progress=progress)
        if manifest is not None:
            checking.read_manifest(manifest)
        for out in outs:
            checking.verify(out)
        checking.compare()
    return checking.result


class _Checking:
    """One verification of a set of folders."""

    def __init__(
        self,
        words: LastWords,
        payloads: _Payloads,
        *,
        levels: Sequence[str],
        keys: Sequence[str],
        outside: Outside,
        progress: Progress | None,
    ) -> None:
        self.result = Together(level=_level())
        self._level = self.result.level
        self._words, self._payloads, self._levels, self._progress = words, payloads, levels, progress
        self._keys = _by_name(keys)
        self._outside = outside
        self._manifest: Manifest | None = None
        self._listed: dict[str, Worker] = {}
        self._logs: dict[str, _Seen] = {}

    def read_manifest(self, folder: Path) -> None:
        """Check the run log, and take from it what the workers' logs must agree with."""
        origin = _origin(folder)
        own = [one for one in ("L1", "L4") if one in self._levels]
        self.result.manifest = verify(
            folder, own, key=self._keys.pop(origin, None), outside=self._of(origin), progress=self._progress
        )
        try:
            self._manifest = read(folder)
        except (ManifestError, LogError, OSError) as error:
            raise VerifyError(str(error)) from error
        self._listed = {worker.origin: worker for worker in self._manifest.workers}

    def verify(self, out: Path) -> None:
        """Check one folder by itself; its log must extend the checkpoint that the manifest names."""
        origin = _origin(out)
        if origin in self._logs:
            what = f"is log {origin!r}, which another folder is, too: its entries would count twice"
            self._level.differs(str(out), "", what, _NAME_ALL)
            return
        listed = self._listed.get(origin)
        seen = self._logs[origin] = _Seen(origin, self._words, self._payloads, self._level, listed)
        outside = self._of(origin)
        if listed is not None:
            noted = ("the manifest", listed.checkpoint.encode())
            outside = msgspec.structs.replace(outside, checkpoints=(*outside.checkpoints, noted))
        key = self._keys.pop(origin, listed.key if listed else None)
        report = verify(out, self._levels, key=key, outside=outside, also=seen.see, progress=self._progress)
        self.result.folders.append(report)
        self._level.count("logs")

    def _of(self, origin: str) -> Outside:
        """What the caller brought along on one log; a checkpoint begins with its log's origin."""
        begins = origin.encode() + b"\n"
        mine = tuple(pair for pair in self._outside.checkpoints if pair[1].startswith(begins))
        left = tuple(pair for pair in self._outside.checkpoints if pair not in mine)
        self._outside = msgspec.structs.replace(self._outside, checkpoints=left)
        return msgspec.structs.replace(self._outside, checkpoints=mine)

    def compare(self) -> None:
        """What must hold of all logs."""
        strangers = [*self._keys, *(name for name, _ in self._outside.checkpoints)]
        if strangers:
            raise VerifyError(f"{', '.join(strangers)}: of none of these logs. Name all folders, or leave it out")
        self._compare_runs()
        self._compare_words()
        self._compare_payloads()
        if self._manifest is not None:
            self._compare_manifest(self._manifest)

    def _compare_runs(self) -> None:
        runs = {run for seen in self._logs.values() for run in seen.runs}
        if self._manifest is not None:
            runs.add(self._manifest.run)
        if len(runs) > 1:
            what = f"the logs are of {len(runs)} crawls: {', '.join(sorted(runs)[:_MAX_RUNS])}"
            self._level.differs(_SET, "", what, _NAME_ALL)
        for lease in self._words.doubled_leases():
            what = f"lease {lease} has last words in two logs; a lease is given once in the life of a crawl"
            self._level.differs(_SET, "", what, _KEEP)

    def _compare_words(self) -> None:
        for _ in self._words.superseded():
            self._level.count("last words that another one replaces")
        finished = all(report.seal == "finished" for report in self.result.folders)
        for place in self._words.open():
            if finished:
                what = "its URL has no final entry in any log, though all are sealed as finished"
                self._level.differs(place.origin, f"entry {place.seq}", what, _NAME_ALL)
            else:
                self._level.count("URLs without a last word yet")

    def _compare_payloads(self) -> None:
        erased = any(seen.erased for seen in self._logs.values())
        for place in self._payloads.nowhere():
            if erased:
                self._level.count("revisits of a payload whose entry may have been erased")
            else:
                what = "says that its payload was stored before, and no log stored it"
                self._level.differs(place.origin, f"entry {place.seq}", what, _NAME_ALL)

    def _compare_manifest(self, manifest: Manifest) -> None:
        for origin in sorted(self._listed.keys() - self._logs.keys()):
            self._level.differs(_SET, origin, "the manifest lists this log, and no folder is it", _NAME_ALL)
        for origin, seen in self._logs.items():
            if origin in self._listed:
                seen.compare_files()
            else:
                what = "the manifest does not list this log"
                self._level.differs(_SET, origin, what, "Leave its folder out, or have a newer manifest made")
        self._compare_superseded(manifest)

    def _compare_superseded(self, manifest: Manifest) -> None:
        """Those that the manifest lists; one that touches an entry whose text is gone since cannot be found again."""
        listed = {Place(one.origin, one.seq): one.by for one in manifest.superseded}
        found = {Place(one.origin, one.seq): one.by for one in self._words.superseded()}
        for place, by in sorted(listed.items()):
            if place in found or self._is_erased(place) or self._is_erased(by):
                continue
            what = f"the manifest says that entry {by.seq} of {by.origin} replaces it, which it does not"
            self._level.differs(place.origin, f"entry {place.seq}", what, _KEEP)
        for place, by in sorted(found.items()):
            if place not in listed and self._is_signed(place) and self._is_signed(by):
                what = f"entry {by.seq} of {by.origin} replaces it, and the manifest does not say so"
                self._level.differs(place.origin, f"entry {place.seq}", what, _KEEP)

    def _is_erased(self, place: Place) -> bool:
        seen = self._logs.get(place.origin)
        return seen is None or place.seq in seen.erased

    def _is_signed(self, place: Place) -> bool:
        return place.origin in self._listed and place.seq < self._listed[place.origin].size


def _origin(out: Path) -> str:
    try:
        return read_verifier(out / "log").name
    except ProofError as error:
        raise VerifyError(f"{error}. Name the output folder of a crawl, the one that holds log/") from error


def _by_name(keys: Sequence[str]) -> dict[str, str]:
    try:
        return {Verifier.parse(key.strip()).name: key for key in keys}
    except CheckpointError as error:
        raise VerifyError(f"a key given is no verifier line: {error}. It reads NAME+HASH+KEY") from error


def _level() -> Level:
    return Level(
        name="together",
        title="the logs of all workers as one crawl",
        proves=(
            "The logs are those of one crawl, none is there twice, and every URL has one last word that holds over all "
            "of them; with a manifest, also that these are all the logs it lists, none cut below what it names."
        ),
        proves_not=(
            "Without a manifest from elsewhere, that no worker's folder is missing: a log that nobody names leaves no "
            "trace in the others."
        ),
    )
