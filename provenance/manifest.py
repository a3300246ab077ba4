"""The run manifest: what all workers of a crawl have signed, under one signature that is anchored and published.

A worker is an output folder with a log of its own. The manifest lists each log's origin, key, newest checkpoint and
WARC files, and which final entries another worker's replace. Its digest is a leaf of a small log, the run log, in a
folder with the layout of an output folder: `verify`, `anchor` and `consistency` take it like any other.
docs/log-format.md, "Several workers".
"""

from __future__ import annotations

import datetime as dt
import hashlib
import posixpath
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from provenance.checkpoint import MAX_NOTE_BYTES, Checkpoint, CheckpointError, Verifier, check_name, open_note
from provenance.disk import Disk, replace
from provenance.entry import VERSION, Entry, FileEntry, KeyEntry, ManifestEntry, SealEntry, new_nonce, timestamp
from provenance.finality import LastWords, Superseded
from provenance.keys import SigningKey
from provenance.log import CHECKPOINT, LogError, LogWriter
from provenance.proof import ProofError, read_verifier
from provenance.segments import Leaf, read_leaves
from provenance.tree import Frontier
from provenance.warcfile import open_regular

FOLDER: Final = "manifests"
NAME: Final = "manifest"
MAX_MANIFEST_BYTES: Final = 256 * 1024 * 1024
_VERSION: Final = 1
_TELL_EVERY: Final = 4_096

Progress = Callable[[str, int, int], None]
"""Told which log is being read, entries done, entries in all."""


class ManifestError(Exception):
    """There is no manifest to be made, or it is not the one that was signed. The message says what to do."""


class File(msgspec.Struct, frozen=True, order=True):
    """A finished WARC file.

    Attributes:
        f: its name, relative to the worker's output folder.
        size: octets.
        d: digest of the whole file, "sha256:<hex>".
    """

    f: str
    size: int
    d: str


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """One log of the crawl, as far as it was signed.

    Attributes:
        origin: the log's origin.
        key: verifier line of the key that signed the checkpoint.
        size: number of entries under it.
        root: root hash over them, hexadecimal.
        checkpoint: the signed note.
        end: how its newest seal ends, empty without one: the worker was at work, or died.
        files: its finished WARC files, by name.
    """

    origin: str
    key: str
    size: int
    root: str
    checkpoint: str
    end: str = ""
    files: tuple[File, ...] = ()


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a crawl's workers have signed.

    Attributes:
        v: version of this form.
        run: id of the crawl.
        made: when, RFC 3339, UTC.
        workers: its logs, by origin.
        superseded: final entries that another one replaces, by log and index.
    """

    v: int
    run: str
    made: str
    workers: tuple[Worker, ...]
    superseded: tuple[Superseded, ...] = ()

    def encode(self) -> bytes:
        """The file."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


# -- making ------------------------------------------------------------------------------------------------------------


def make(outs: Sequence[Path], *, now: dt.datetime, progress: Progress | None = None) -> Manifest:
    """What the workers that wrote these output folders have signed.

    Raises:
        ManifestError: a log is not the one that was signed, or they are not the logs of one crawl.
        LogError, OSError: one cannot be read.
    """
    workers: dict[str, Worker] = {}
    runs: set[str] = set()
    with closing(LastWords()) as words:
        for out in outs:
            reading = _Reading(out, words)
            reading.read(progress or (lambda _step, _done, _total: None))
            if reading.verifier.name in workers:
                raise ManifestError(f"{out}: log {reading.verifier.name} was named before. Name each folder once")
            workers[reading.verifier.name] = reading.worker()
            runs |= reading.runs
        if len(runs) != 1:
            raise ManifestError(f"the logs are of {len(runs)} crawls ({', '.join(sorted(runs))}). Name those of one")
        found = sorted(words.superseded(), key=lambda one: (one.origin, one.seq))
    return Manifest(
        v=_VERSION,
        run=runs.pop(),
        made=timestamp(int(now.timestamp() * 1000)),
        workers=tuple(workers[origin] for origin in sorted(workers)),
        superseded=tuple(found),
    )


class _Reading:
    """One pass over a worker's log, up to its newest checkpoint."""

    def __init__(self, out: Path, words: LastWords) -> None:
        self._folder = out / "log"
        self._words = words
        try:
            self.verifier = read_verifier(self._folder)
            with open_regular(self._folder / CHECKPOINT) as file:
                self._note = file.read(MAX_NOTE_BYTES + 1)
            self._head: Checkpoint = open_note(self._note, self.verifier)
        except (OSError, ProofError, CheckpointError) as error:
            raise ManifestError(f"{out}: nothing signed here ({error}). Name output folders of a crawl") from error
        self.runs: set[str] = set()
        self._files: dict[str, FileEntry] = {}
        self._end = ""

    def read(self, progress: Progress) -> None:
        tree = Frontier()
        for leaf in read_leaves(self._folder):
            if tree.size == self._head.size:
                break
            tree.append(leaf.hash)
            self._see(leaf)
            if tree.size % _TELL_EVERY == 0:
                progress(self.verifier.name, tree.size, self._head.size)
        if tree.size != self._head.size or tree.root() != self._head.root:
            raise ManifestError(f"{self._folder}: the log is not the one that was signed. Run `knockfirst verify`")
        progress(self.verifier.name, tree.size, tree.size)

    def _see(self, leaf: Leaf) -> None:
        if leaf.entry is None:
            return
        self.runs.add(leaf.entry.run)
        self._words.see(self.verifier.name, leaf.entry)
        match leaf.entry:
            case FileEntry():
                self._files[leaf.entry.f] = leaf.entry
            case SealEntry():
                self._end = leaf.entry.end
            case _:
                pass

    def worker(self) -> Worker:
        return Worker(
            origin=self.verifier.name,
            key=self.verifier.line(),
            size=self._head.size,
            root=self._head.root.hex(),
            checkpoint=self._note.decode(),
            end=self._end,
            files=files_of(self._files.values()),
        )


def files_of(entries: Iterable[FileEntry]) -> tuple[File, ...]:
    """The files that entries name, those that were removed left out."""
    return tuple(sorted(File(entry.f, entry.size, entry.d) for entry in entries if not entry.gone))


def origin_for(manifest: Manifest) -> str:
    """The run log's origin: what the workers' origins begin with in common, and `manifest`."""
    common = posixpath.commonpath([worker.origin for worker in manifest.workers])
    return posixpath.join(common or manifest.run, NAME)


def enter(folder: Path, manifest: Manifest, key: SigningKey, *, origin: str = "", disk: Disk | None = None) -> Path:
    """Put a manifest into a run log, a new one where there is none, and sign it. Returns the manifest's file.

    Args:
        folder: the run log's output folder.
        manifest: what to enter.
        key: the run log's key.
        origin: the run log's origin; by default that of the log that is there, else `origin_for` the manifest.
        disk: what is written with.

    Raises:
        LogError, OSError: it cannot be written.
        ProofError: the verifier line of the log that is there cannot be read.
    """
    disk = disk or Disk()
    log_folder = folder / "log"
    if not origin:
        origin = read_verifier(log_folder).name if log_folder.exists() else origin_for(manifest)
    octets = manifest.encode()
    digest = hashlib.sha256(octets).hexdigest()
    path = folder / FOLDER / f"{digest}.json"
    log = LogWriter.open(log_folder, check_name(origin), key, visit=_only_manifests, disk=disk)
    try:
        path.parent.mkdir(exist_ok=True)
        replace(disk, path, octets)
        log.append(
            ManifestEntry(
                v=VERSION,
                seq=log.next_seq,
                n=new_nonce(),
                ts=manifest.made,
                run=manifest.run,
                f=f"{FOLDER}/{path.name}",
                size=len(octets),
                d=f"sha256:{digest}",
                workers=len(manifest.workers),
            )
        )
    finally:
        log.close()
    return path


def _only_manifests(entry: Entry) -> None:
    if not isinstance(entry, ManifestEntry | KeyEntry):
        raise LogError("not a run log: a crawl's entries are in it. Name another folder for the manifest")


# -- reading -----------------------------------------------------------------------------------------------------------


def read(folder: Path) -> Manifest:
    """The newest manifest of a run log; that the log is good is for `verify` to say.

    Raises:
        ManifestError: there is none, or it is not the one that the log names.
        LogError, OSError: the log cannot be read.
    """
    entry = None
    for leaf in read_leaves(folder / "log"):
        entry = leaf.entry if isinstance(leaf.entry, ManifestEntry) else entry
    if entry is None:
        raise ManifestError(f"{folder}: no manifest in its log. Name the folder that `knockfirst manifest` wrote")
    name = f"{FOLDER}/{entry.d.removeprefix('sha256:')}.json"
    if entry.f != name or not entry.d.removeprefix("sha256:").isalnum():
        raise ManifestError(f"{folder}: entry {entry.seq} names {entry.f!r}, no manifest")
    with open_regular(folder / name) as file:
        octets = file.read(MAX_MANIFEST_BYTES + 1)
    if (len(octets), "sha256:" + hashlib.sha256(octets).hexdigest()) != (entry.size, entry.d):
        raise ManifestError(f"{folder / name}: not the manifest that was signed. Restore it from a copy")
    try:
        manifest = msgspec.json.decode(octets, type=Manifest)
        for worker in manifest.workers:
            check_worker(worker)
    except (msgspec.DecodeError, CheckpointError) as error:
        raise ManifestError(f"{folder / name}: cannot be read ({error})") from error
    return manifest


def check_worker(worker: Worker) -> None:
    """That what a manifest says of a log agrees with the checkpoint it holds.

    Raises:
        CheckpointError: it does not.
    """
    verifier = Verifier.parse(worker.key)
    head = open_note(worker.checkpoint.encode(), verifier)
    if (verifier.name, head.size, head.root.hex()) != (worker.origin, worker.size, worker.root):
        raise CheckpointError(f"log {worker.origin!r}: its checkpoint says otherwise than the manifest")
