"""Takes out of an output folder what may not be kept any longer, so that every other proof still holds.

On legal demand: the records of a URL, and the text of its entries if that must go, too. By the policy's retention
periods: whole WARC files. The log says so first (a `redecision`, or a `file` that is gone) and signs it; then the
bytes go. A record becomes an empty one of the same stored length, an entry's line becomes its leaf hash: no offset and
no root changes. GDPR Art. 17; CDSM Art. 4(2). Run again after a crash, it finishes what it began.
"""

from __future__ import annotations

import base64
import datetime as dt
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from provenance.disk import Disk, replace, write_all
from provenance.entry import (
    VERSION,
    ConfigEntry,
    DecisionEntry,
    Entry,
    EvidenceEntry,
    FileEntry,
    LoggedHop,
    Pointer,
    RedecisionEntry,
    new_nonce,
    timestamp,
)
from provenance.kept_rules import RulesError, load_rules
from provenance.keys import SigningKey
from provenance.links import finished_files
from provenance.log import VERIFIER, LogWriter
from provenance.proof import read_verifier
from provenance.segments import Erased, frames, is_sealed, read_lines, segments
from provenance.signed import Progress, signed_size
from provenance.sites import site_key, url_key
from provenance.tree import leaf_hash
from provenance.warcfile import OPEN_SUFFIX, StoredRecord, WarcFileError, read_record
from reservations.model import Verdict

REASON: Final = "record.erased"
_DAY_S: Final = 86_400
_TELL_EVERY: Final = 4_096
_COMMENT: Final = 0x10  # RFC 1952 2.3.1, FLG.FCOMMENT: what fills a member up to the length it must have


class EraseError(Exception):
    """It cannot be erased. The message says what to do."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What would be erased.

    Attributes:
        entries: decisions on the URL, whose records go.
        text: whether the text of these entries goes, too.
        files: finished WARC files that go whole, each with the reason.
        naming: entries on other URLs that name this one in a redirect, and stay, when texts go.
    """

    entries: tuple[DecisionEntry, ...] = ()
    text: bool = False
    files: tuple[tuple[FileEntry, str], ...] = ()
    naming: tuple[DecisionEntry | EvidenceEntry, ...] = ()


class _Read:
    """What one pass over the log tells."""

    def __init__(self) -> None:
        self.salt = ""
        self.run = ""
        self.config: ConfigEntry | None = None
        self.files: dict[str, FileEntry] = {}
        self.decisions: list[DecisionEntry] = []
        self.naming: list[DecisionEntry | EvidenceEntry] = []
        self.superseded: set[int] = set()
        self.said: set[int] = set()

    def __call__(self, entry: Entry, url: str = "") -> None:
        self.run = entry.run
        if entry.seq == 0:
            self.salt = entry.n
        match entry:
            case ConfigEntry():
                self.config = entry
            case FileEntry():
                self.files[entry.f] = entry
            case RedecisionEntry() if entry.erased or entry.was is not None:
                self.said.add(entry.of)
            case DecisionEntry():
                if entry.supersedes is not None:
                    self.superseded.add(entry.supersedes)
                if entry.url == url:
                    self.decisions.append(entry)
                elif url and (entry.target == url or _passes(entry.hops, url)):
                    self.naming.append(entry)
            case EvidenceEntry() if url and _passes(entry.redirects, url):
                self.naming.append(entry)
            case _:
                pass


def _passes(hops: tuple[LoggedHop, ...], url: str) -> bool:
    return any(url in (hop.url, hop.to) for hop in hops)


class Eraser:
    """Erases in one output folder. Holds the log's lock until it is closed.

    Args:
        out: the output folder of a crawl that is not running.
        key: the log's key, for what is erased is said and signed.
        url: the URL concerned, exactly as its entries have it; empty for `expired`.
        now: the time, aware.
        progress: told how far it is.
    """

    def __init__(
        self,
        out: Path,
        key: SigningKey,
        *,
        url: str = "",
        now: dt.datetime,
        progress: Progress | None = None,
        disk: Disk | None = None,
    ) -> None:
        self._out, self._now, self._url = out, now, url
        self._tell = progress or (lambda _step, _done, _total: None)
        self._disk = disk or Disk()
        if not (out / "log" / VERIFIER).exists():
            raise EraseError(f"{out}: no log here. Name the output folder of a crawl")
        if any(path for name in ("warc", "evidence") for path in (out / name).glob(f"*{OPEN_SUFFIX}")):
            raise EraseError(f"{out}: the crawl broke off. Start it again first: it finishes its files, then erase")
        self._read = _Read()
        self._by: dict[int, int] = {}  # entry to the one that says it was erased
        self._total = signed_size(out / "log")
        self._log = LogWriter.open(
            out / "log", read_verifier(out / "log").name, key, visit=self._visit, disk=self._disk
        )
        self._tell("log", self._total, self._total)

    def _visit(self, entry: Entry) -> None:
        self._read(entry, self._url)
        if entry.seq % _TELL_EVERY == 0:
            self._tell("log", entry.seq, self._total)

    def close(self) -> None:
        """Sign, and let go of the folder."""
        self._log.close()

    def plan_url(self, *, text: bool) -> Plan:
        """What goes with the URL."""
        naming = tuple(self._read.naming) if text else ()
        return Plan(entries=tuple(self._read.decisions), text=text, naming=naming)

    def plan_expired(self) -> Plan:
        """The files whose period has passed, by the newest policy in the log.

        Raises:
            EraseError: the rules in the output cannot be read.
        """
        if self._read.config is None:
            return Plan()
        try:
            retention = load_rules(self._out / "log" / "rules", self._read.config).policy.retention
        except RulesError as error:
            raise EraseError(f"the policy with the periods cannot be read: {error}") from error
        days = {"warc": retention.warc_days, "evidence": retention.evidence_days}
        found = []
        for name, entry in self._read.files.items():
            kind = name.partition("/")[0]
            finished = dt.datetime.fromisoformat(entry.ts)
            left = not entry.gone or (self._out / name).exists()
            if left and kind in days and (self._now - finished).total_seconds() > days[kind] * _DAY_S:
                found.append((entry, f"{kind}_days = {days[kind]}"))
        return Plan(files=tuple(found))

    def carry_out(self, plan: Plan, why: str) -> None:
        """Say it in the log, then do it.

        Raises:
            LogError, OSError: it could not be written. Run it again.
        """
        for entry in plan.entries:
            if entry.seq not in self._read.said or plan.text:
                self._say(entry, text=plan.text, why=why)
        for file, period in plan.files:
            if not file.gone:
                self._enter(FileEntry, f=file.f, size=file.size, d=file.d, gone=period)
        self._sign()
        pointers = [pointer for entry in plan.entries for pointer in entry.warc]
        steps = len(pointers) + len(plan.files)
        for done, pointer in enumerate(pointers):
            self._tell("erasure", done, steps)
            self._empty(pointer)
        for done, (file, _) in enumerate(plan.files, len(pointers)):
            self._tell("erasure", done, steps)
            (self._out / file.f).unlink(missing_ok=True)
        self._tell("erasure", steps, steps)
        self._enter_changed({pointer.f for entry in plan.entries for pointer in entry.warc})
        self._sign()
        if plan.text:
            self._cut_texts(plan.entries)

    # -- saying it ---------------------------------------------------------------------------------------------------

    def _say(self, entry: DecisionEntry, *, text: bool, why: str) -> None:
        config = self._read.config
        seq = self._enter(
            RedecisionEntry,
            of=entry.seq,
            url="" if text else entry.url,
            site="" if text else entry.site,
            verdict=Verdict.DISCARDED if entry.verdict in {Verdict.KEPT, Verdict.UNCHANGED} else entry.verdict,
            reason=REASON,
            why=why,
            config=config.seq if config else 0,
            erased=tuple(pointer.id for pointer in entry.warc),
            was=entry.verdict if text else None,
            was_final=text and entry.final and entry.seq not in self._read.superseded,
        )
        self._by[entry.seq] = seq

    def _enter(self, kind: type[Entry], **fields: object) -> int:
        ms = int(self._now.timestamp() * 1000)
        head = {"v": VERSION, "seq": self._log.next_seq, "n": new_nonce(), "ts": timestamp(ms), "run": self._read.run}
        return self._log.append(kind(**head, **fields))  # type: ignore[arg-type]

    def _sign(self) -> None:
        self._log.sync()
        self._log.checkpoint()

    def _enter_changed(self, names: set[str]) -> None:
        unchanged = set(self._read.files) - names
        for name, size, digest in finished_files(self._out, unchanged):
            known = self._read.files.get(name)
            if known is None or (known.size, known.d) != (size, digest):
                self._enter(FileEntry, f=name, size=size, d=digest)

    # -- doing it ----------------------------------------------------------------------------------------------------

    def _empty(self, pointer: Pointer) -> None:
        """Write an empty record over one, as long as it was."""
        path = self._out / pointer.f
        if not path.exists():
            return
        with self._disk.open(path, "r+b") as file:
            try:
                record = read_record(file, pointer.o)
            except WarcFileError:
                record = None  # a crash left it half written
            if record is not None and record.id == pointer.id and not record.block and not record.target_uri:
                return
            file.seek(pointer.o)
            write_all(self._disk, file, empty_member(pointer, record))
            self._disk.fsync(file)

    def _cut_texts(self, entries: Sequence[DecisionEntry]) -> None:
        wanted = {entry.seq: entry for entry in entries}
        seq = 0
        for path in segments(self._out / "log"):
            lines = list(read_lines(path))
            inside = [number for number in range(len(lines)) if seq + number in wanted]
            for number in inside:
                lines[number] = self._erased(wanted[seq + number], lines[number])
            seq += len(lines)
            if inside:
                octets = b"".join(frames(iter(lines)) if is_sealed(path) else lines)
                replace(self._disk, path, octets)

    def _erased(self, entry: DecisionEntry, line: bytes) -> bytes:
        names = (site_key(self._read.salt, entry.site), url_key(self._read.salt, entry.url))
        hashes = [_base64(octets) for octets in (leaf_hash(line[:-1]), *names)]
        erased = Erased(seq=entry.seq, h=hashes[0], s=hashes[1], u=hashes[2], by=self._by[entry.seq])
        return erased.line() + b"\n"


def empty_member(pointer: Pointer, record: StoredRecord | None) -> bytes:
    """A gzip member as long as the pointer says, holding an empty record with the same id."""
    date = record.fields.get("warc-date", "") if record else ""
    lines = ["WARC/1.1", "WARC-Type: metadata", f"WARC-Record-ID: <{pointer.id}>"]
    lines += [f"WARC-Date: {date}"] if date else []
    content = ("\r\n".join([*lines, "Content-Length: 0"]) + "\r\n\r\n\r\n\r\n").encode()
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(content) + packer.flush()
    ends = zlib.crc32(content).to_bytes(4, "little") + len(content).to_bytes(4, "little")
    header = bytes((0x1F, 0x8B, 8, _COMMENT, 0, 0, 0, 0, 0, 0xFF))
    room = pointer.l - len(header) - 1 - len(packed) - len(ends)
    if room < 0:
        raise EraseError(f"{pointer.f} at {pointer.o}: {pointer.l} bytes are too few for an empty record")
    return header + b" " * room + b"\0" + packed + ends


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
