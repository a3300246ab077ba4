"""One pass over a log: whether it is sealed and signed, and its last words counted by site, verdict, reason, type, day.

The very lines that are counted are hashed into the tree and compared with the newest signed head, so no report stands
on other bytes than those that were signed. Only the fields that reports use are decoded.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import msgspec

from provenance.checkpoint import MAX_NOTE_BYTES, Checkpoint, CheckpointError, Verifier, open_note
from provenance.entry import ConfigEntry, RunEntry
from provenance.log import CHECKPOINT
from provenance.proof import read_verifier
from provenance.segments import Erased, LogError, as_erased, read_lines, segments
from provenance.tree import Frontier, leaf_hash
from provenance.warcfile import open_regular
from reservations.decide import TEASER
from reservations.model import Category, Verdict

Progress = Callable[[str, int, int], None]
"""Told what is being read, bytes done, bytes in all."""

STORED: Final = frozenset({Verdict.KEPT, Verdict.UNCHANGED})
TRAINING: Final = frozenset({Category.TDM, Category.AI_TRAIN, Category.GENAI_TRAIN})
"""Purposes under which a page may become training content."""

UNNAMED: Final = "(none)"
ODD: Final = "(malformed)"
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64}")
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_MAX_KNOWN: Final = 4_096
_GROUP: Final = 256  # lines taken in together: few enough to stay in a processor's cache
_NONE: Final = -1
_KEPT: Final = Verdict.KEPT

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Last words that are alike.

    Attributes:
        site: registrable domain; empty where the entry's text was erased.
        verdict: what became of the URLs.
        reason: why.
        media_type: as the answer declared it, without parameters; `UNNAMED` without an answer.
        day: ISO 8601; empty where an entry names none.
        training: whether a training purpose was open at the end.
        urls: how many.
        octets: payload of those that are stored, as transferred.
    """

    site: str
    verdict: Verdict
    reason: str
    media_type: str
    day: str
    training: bool
    urls: int
    octets: int


class Tally(msgspec.Struct, kw_only=True):
    """What one log says.

    Attributes:
        out: the output folder.
        origin, key: of the log; `key_given`: whether the key came from elsewhere than the folder.
        size, root: of the signed head that the lines agree with; 0 and empty when they agree with none.
        until: time of the newest entry.
        end: how the log ends: "finished", "stopped", "crashed", or empty: not sealed.
        faults: why the log is not one to report on, a sentence each.
        runs, configs: who crawled, under which rules.
        rows: the last words.
        attempts: attempts that were not the last word.
        changed: decisions whose status was changed later.
        erased: entries whose text was erased.
        masked: URLs that are logged masked.
        gone: WARC files removed since.
        documents: files that origins were asked for, by key and outcome.
        counted: what the crawl counted and did not enter.
    """

    out: str
    origin: str
    key: str
    key_given: bool
    size: int = 0
    root: str = ""
    until: str = ""
    end: str = ""
    faults: list[str] = []
    runs: list[RunEntry] = []
    configs: list[ConfigEntry] = []
    rows: list[Row] = []
    attempts: int = 0
    changed: int = 0
    erased: int = 0
    masked: int = 0
    gone: int = 0
    documents: Counter[tuple[str, str]] = Counter()
    counted: Counter[str] = Counter()


# -- entries, as far as reports read them ------------------------------------------------------------------------------


class _Lean(msgspec.Struct, frozen=True, tag_field="t", gc=False):
    seq: int
    ts: str
    run: str


class _Http(msgspec.Struct, frozen=True, gc=False):
    ct: str = ""
    len: _Count = 0


class _Decision(_Lean, frozen=True, tag="decision", gc=False, kw_only=True):
    verdict: Verdict
    reason: str
    site: str = ""
    masked: bool = False
    final: bool = False
    supersedes: int | None = None
    open: tuple[str, ...] = ()
    http: _Http | None = None


class _Evidence(_Lean, frozen=True, tag="evidence", gc=False, kw_only=True):
    key: str
    outcome: str


class _Redecision(_Lean, frozen=True, tag="redecision", gc=False, kw_only=True):
    of: int
    verdict: Verdict
    reason: str
    was: Verdict | None = None
    was_final: bool = False


class _File(_Lean, frozen=True, tag="file", gc=False, kw_only=True):
    f: str
    gone: str = ""


class _Seal(_Lean, frozen=True, tag="seal", gc=False, kw_only=True):
    end: str
    counted: dict[str, _Count] = {}


class _Run(_Lean, frozen=True, tag="run", gc=False):
    pass


class _Config(_Lean, frozen=True, tag="config", gc=False):
    pass


class _Key(_Lean, frozen=True, tag="key", gc=False):
    pass


class _Manifest(_Lean, frozen=True, tag="manifest", gc=False):
    pass


_Entry: TypeAlias = _Decision | _Evidence | _Redecision | _File | _Seal | _Run | _Config | _Key | _Manifest
_decode: Final = msgspec.json.Decoder(_Entry).decode
_WHOLE: Final[msgspec.json.Decoder[RunEntry | ConfigEntry]] = msgspec.json.Decoder(RunEntry | ConfigEntry)


# -- counting ----------------------------------------------------------------------------------------------------------

_Kind: TypeAlias = tuple[str, Verdict, str, str, str, bool]


class _Words:
    """Last words by kind. Remembers each one's kind and size in twelve octets, to take it back when it is replaced."""

    def __init__(self) -> None:
        self._numbers: dict[_Kind, int] = {}
        self._kinds: list[_Kind] = []
        self._urls: list[int] = []
        self._octets: list[int] = []
        self._kind_of = array("i")
        self._size_of = array("q")
        self._types: dict[str, str] = {}

    def add(self, entry: _Decision) -> None:
        """Take in a last word, as the next entry of the log."""
        declared, size = "", 0
        if entry.http is not None:
            declared = entry.http.ct
            size = entry.http.len if entry.verdict is _KEPT else 0
        media_type = self._types.get(declared) or self._media_type(declared)
        training = not TRAINING.isdisjoint(entry.open)
        kind = (entry.site, entry.verdict, entry.reason, media_type, entry.ts[:10], training)
        number = self._numbers.get(kind)
        if number is None:
            number = self._new(kind)
        self._urls[number] += 1
        self._octets[number] += size
        self._kind_of.append(number)
        self._size_of.append(size)

    def pass_over(self) -> None:
        """Take note that the next entry of the log is no last word."""
        self._kind_of.append(_NONE)
        self._size_of.append(0)

    def take_back(self, seq: int) -> tuple[_Kind, int] | None:
        """Count an entry no more. Returns its kind and size, if it was counted."""
        number = self._kind_of[seq] if 0 <= seq < len(self._kind_of) else _NONE
        if number == _NONE:
            return None
        size = self._size_of[seq]
        self._kind_of[seq] = _NONE
        self._urls[number] -= 1
        self._octets[number] -= size
        return self._kinds[number], size

    def change(self, seq: int, verdict: Verdict, reason: str) -> None:
        """Count an entry under another verdict and reason."""
        taken = self.take_back(seq)
        if taken is not None:
            (site, _, _, media_type, day, training), size = taken
            kind = (site, verdict, reason, media_type, day, training and verdict in STORED)
            self._count(kind, size if verdict is _KEPT else 0)

    def add_erased(self, verdict: Verdict, reason: str, day: str) -> None:
        """Count a last word of which nothing else is known."""
        self._count(("", verdict, reason, UNNAMED, day, False), 0)

    def rows(self) -> list[Row]:
        """What was counted."""
        return [
            Row(
                site=kind[0],
                verdict=kind[1],
                reason=kind[2],
                media_type=kind[3],
                day=kind[4] if _DAY.fullmatch(kind[4]) else "",
                training=kind[5],
                urls=urls,
                octets=0 if kind[2] == TEASER else octets,  # a few words of the page are stored
            )
            for kind, urls, octets in zip(self._kinds, self._urls, self._octets, strict=True)
            if urls
        ]

    def _count(self, kind: _Kind, size: int) -> None:
        number = self._numbers.get(kind)
        if number is None:
            number = self._new(kind)
        self._urls[number] += 1
        self._octets[number] += size

    def _new(self, kind: _Kind) -> int:
        number = self._numbers[kind] = len(self._kinds)
        self._kinds.append(kind)
        self._urls.append(0)
        self._octets.append(0)
        return number

    def _media_type(self, declared: str) -> str:
        if len(self._types) >= _MAX_KNOWN:  # what servers declare has no end
            self._types.clear()
        word = declared.partition(";")[0].strip().lower()
        shown = UNNAMED if not word else word if _MEDIA_TYPE.fullmatch(word) else ODD
        return self._types.setdefault(declared, shown)


class _Reading:
    """One pass over one log."""

    def __init__(self, tally: Tally, head: Checkpoint | None) -> None:
        self._tally = tally
        self._head = head
        self._tree = Frontier()
        self._size = 0
        self._words = _Words()
        self._newest: _Entry | None = None
        self._last: _Entry | None = None  # the newest entry that tells whether the log is sealed
        self._torn = False
        self._erased: dict[int, Erased] = {}
        self._changes: dict[int, _Redecision] = {}
        self._says_erased: dict[int, _Redecision] = {}
        self._files: dict[str, str] = {}
        self._counted: dict[str, dict[str, int]] = {}

    def read(self, folder: Path, tell: Progress) -> None:
        paths = segments(folder)
        total, done = sum(path.stat().st_size for path in paths), 0
        for path in paths:
            number, lines = 0, read_lines(path)
            while group := list(islice(lines, _GROUP)):
                done += sum(map(len, group))
                if not group[-1].endswith(b"\n"):
                    self._torn = True
                    group.pop()
                self._take([line[:-1] for line in group], f"{path}:{{}}", number)
                number += len(group)
                tell(folder.parent.name, min(done, total), total)
        tell(folder.parent.name, total, total)

    def _take(self, lines: list[bytes], place: str, number: int) -> None:
        """Take in the lines behind the first `number` of a segment."""
        entries: list[_Entry | Erased]
        try:
            entries = list(map(_decode, lines))
            leaves = [sha256(b"\0" + line).digest() for line in lines]
        except ValueError:  # a line is erased, or is none: which, takes longer to find out
            entries = [_entry(line, place.format(at)) for at, line in enumerate(lines, number + 1)]
            leaves = [
                one.hash if isinstance(one, Erased) else leaf_hash(line)
                for one, line in zip(entries, lines, strict=True)
            ]
        for entry, line in zip(entries, lines, strict=True):
            if entry.seq != self._size:
                where = place.format(number + 1 + entries.index(entry))
                raise LogError(f"{where}: entry {entry.seq} where {self._size} belongs. Run `knockfirst verify`")
            self._size += 1
            if type(entry) is _Decision:
                self._decision(entry)
            else:
                self._words.pass_over()
                self._other(entry, line)
        signed = self._head.size if self._head is not None else 0
        self._tree.extend(leaves[: signed - self._tree.size])

    def _decision(self, entry: _Decision) -> None:
        self._newest = self._last = entry
        if entry.masked:
            self._tally.masked += 1
        if entry.supersedes is not None:
            self._words.take_back(entry.supersedes)
        if entry.final:
            self._words.add(entry)
        else:
            self._tally.attempts += 1
            self._words.pass_over()

    def _other(self, entry: _Entry | Erased, line: bytes) -> None:
        if isinstance(entry, Erased):
            self._erased[entry.seq] = entry
            return
        self._newest = entry
        match entry:
            case _Evidence():
                self._tally.documents[_document(entry.key), entry.outcome[:32]] += 1
            case _Redecision() if entry.was is None:
                self._changes[entry.of] = entry
            case _Redecision():
                self._says_erased[entry.seq] = entry
            case _File():
                self._files[entry.f] = entry.gone
            case _Seal():
                self._counted[entry.run] = entry.counted
            case _Run() | _Config():
                self._enter(_WHOLE.decode(line))
            case _:
                pass
        # What was erased or handed over since, and the files that this changed, stand behind a seal and leave it one.
        sealed = isinstance(self._last, _Seal)
        if not isinstance(entry, _Redecision | _Key) and not (sealed and isinstance(entry, _File)):
            self._last = entry

    def _enter(self, entry: RunEntry | ConfigEntry) -> None:
        if isinstance(entry, RunEntry):
            self._tally.runs.append(entry)
            if entry.origin != self._tally.origin:
                self._tally.faults.append(f"entry {entry.seq} is a run of log {entry.origin}, not of this one")
        else:
            self._tally.configs.append(entry)

    def finish(self, dropped: Iterable[int]) -> None:
        """What only the end of the log tells."""
        tally = self._tally
        for seq in dropped:
            self._words.take_back(seq)
        for of, change in self._changes.items():
            self._words.change(of, change.verdict, change.reason)
        for seq, erased in self._erased.items():
            said = self._says_erased.get(erased.by)
            if said is None or said.of != seq:
                tally.faults.append(f"the text of entry {seq} is gone, and no entry says that it was erased")
            elif said.was_final:
                self._words.add_erased(said.verdict, said.reason, said.ts[:10])
        tally.changed = len({*self._changes, *self._erased})
        tally.erased = len(self._erased)
        tally.gone = sum(bool(why) for why in self._files.values())
        tally.rows = self._words.rows()
        tally.end = self._last.end if isinstance(self._last, _Seal) and not self._torn else ""
        tally.until = self._newest.ts if self._newest is not None else ""
        for counted in self._counted.values():
            tally.counted.update(counted)
        self._compare()

    def _compare(self) -> None:
        tally, size, faults = self._tally, self._size, self._tally.faults
        if not tally.end:
            faults.append("it is not sealed: the crawl runs, broke off, or the end of the log was cut away")
        if self._head is None:
            faults.append("none of its entries is signed")
        elif self._head.size > size:
            faults.append(f"{self._head.size} of its entries were signed, {size} are there")
        elif self._head.root != self._tree.root():
            faults.append("its entries are not those that were signed")
        else:
            tally.size, tally.root = self._head.size, self._head.root.hex()
            if tally.size < size:
                faults.append(f"its last {size - tally.size} entries are not signed")


def _entry(line: bytes, where: str) -> _Entry | Erased:
    try:
        return as_erased(line) or _decode(line)
    except ValueError as error:
        raise LogError(f"{where}: no entry ({error}). Run `knockfirst verify`") from error


def read_log(out: Path, *, key: str = "", dropped: Iterable[int] = (), progress: Progress | None = None) -> Tally:
    """Count what a log says.

    Args:
        out: the output folder of a crawl.
        key: the log's verifier line, from a source other than the folder; empty: the folder's own is believed.
        dropped: `seq` of final entries that an entry of another log replaces.
        progress: told how far it is.

    Raises:
        LogError: there is no log, or a line is no entry.
        provenance.proof.ProofError: the log has no verifier line.
        CheckpointError: `key` is no verifier line.
        OSError: a file cannot be read.
    """
    folder = out / "log"
    own = read_verifier(folder)
    verifier = Verifier.parse(key.strip()) if key else own
    tally = Tally(
        out=str(out), origin=own.name, key=verifier.line(), key_given=bool(key), faults=[], runs=[], configs=[]
    )
    tally.documents, tally.counted = Counter(), Counter()
    if own != verifier:
        tally.faults.append("its newest key is not the one given; `knockfirst verify --key` follows a change of keys")
    reading = _Reading(tally, _head(folder, verifier, tally))
    reading.read(folder, progress or (lambda _step, _done, _total: None))
    reading.finish(dropped)
    return tally


def _head(folder: Path, verifier: Verifier, tally: Tally) -> Checkpoint | None:
    """The newest signed head, where there is a good one."""
    if not (folder / CHECKPOINT).exists():
        return None
    with open_regular(folder / CHECKPOINT) as file:
        note = file.read(MAX_NOTE_BYTES + 1)
    try:
        return open_note(note, verifier)
    except CheckpointError as error:
        tally.faults.append(f"its checkpoint is none: {error}")
        return None


def _document(key: str) -> str:
    """A document's key for people: the path every origin is asked for, or that somebody named it."""
    return key if key.startswith("/") and len(key) <= 64 else "(named by a site)"  # noqa: PLR2004
