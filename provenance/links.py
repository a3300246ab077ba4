"""Level 2 of verification: the log and the WARC files link one to one, and every URL has one last word.

Reads the entries as level 1 hands them over, then every file in `warc/` and `evidence/`. What must be remembered in
between lies in a temporary SQLite database, so that memory does not grow with the crawl. File names in entries are
compared with what the folders hold and never opened: a hostile log leads nowhere else.
"""

from __future__ import annotations

import sqlite3
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from provenance.entry import (
    ConfigEntry,
    DecisionEntry,
    Entry,
    EvidenceEntry,
    FileEntry,
    KeyEntry,
    Pointer,
    RedecisionEntry,
    RunEntry,
    SealEntry,
)
from provenance.finality import word_key
from provenance.report import Level
from provenance.segments import Leaf
from provenance.sites import SiteTree
from provenance.warcfile import (
    OPEN_SUFFIX,
    WARC_NAME,
    StoredRecord,
    WarcFileError,
    file_digest,
    open_regular,
    read_record,
)
from reservations.decide import TEASER
from reservations.model import Verdict

FOLDERS: Final = ("warc", "evidence")

#: In `warc/`, the record that says what was kept, by the verdict it needs.
_MAIN_TYPE: Final = {Verdict.KEPT: "response", Verdict.UNCHANGED: "revisit"}
_MAIN_TYPES: Final = frozenset({*_MAIN_TYPE.values(), "conversion"})
_KEEP: Final = "Keep the folder as it is and compare it with another copy; this one is not evidence of what happened"
_RESUME: Final = "If the crawl broke off, start the same command again: it enters or cuts what was left. Otherwise: "

_SCHEMA: Final = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;
CREATE TABLE link (id TEXT PRIMARY KEY, f TEXT, o INTEGER, l INTEGER, type TEXT, d TEXT, pd TEXT, seq INTEGER,
                   uris TEXT, found INTEGER DEFAULT 0) WITHOUT ROWID;
CREATE INDEX place ON link (f, o);
CREATE TABLE file (f TEXT PRIMARY KEY, size INTEGER, d TEXT, seq INTEGER, gone TEXT, found INTEGER DEFAULT 0)
                  WITHOUT ROWID;
CREATE TABLE erased (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE url (key BLOB PRIMARY KEY, run TEXT, seq INTEGER) WITHOUT ROWID;
CREATE TABLE final (seq INTEGER PRIMARY KEY, key BLOB, verdict TEXT, lease INTEGER, superseded INTEGER);
CREATE INDEX final_key ON final (key);
CREATE TABLE named (seq INTEGER PRIMARY KEY, t TEXT);
BEGIN
"""


class Links:
    """Collects what entries claim (`see`), then compares it with the folders (`compare`)."""

    def __init__(self, out: Path, level: Level) -> None:
        self._out = out
        self._level = level
        self._db = sqlite3.connect("", isolation_level=None)  # SQLite's temporary file, gone when closed
        self._db.executescript(_SCHEMA)
        self._counts: dict[str, Counter[Verdict]] = {}
        self._ends: dict[str, str] = {}
        self._sites = SiteTree()
        self._seals: list[tuple[SealEntry, str, str, Counter[Verdict], Counter[Verdict], int]] = []
        self._gone: dict[int, tuple[Verdict, bool]] = {}  # entries whose text was erased: verdict, whether final
        self._shared: set[str] = set()  # runs that other workers write logs of, too
        self._changed = False  # records were erased, so that files may be entered a second time

    def close(self) -> None:
        """Let go of the temporary database."""
        self._db.close()
        self._sites.close()

    # -- what entries claim ------------------------------------------------------------------------------------------

    def see(self, leaf: Leaf) -> None:
        """Take in one leaf of the log."""
        where = f"line {leaf.number}"
        try:
            if leaf.entry is not None:
                self._see(leaf.entry, leaf.file, where)
                self._sites.add(leaf.entry, leaf.hash)
            elif leaf.erased is not None:
                self._name(leaf.seq, "decision")  # nothing else is ever erased
                self._sites.add_keys(leaf.erased.site, leaf.erased.url, leaf.seq, leaf.hash)
        except (OverflowError, UnicodeEncodeError):
            self._level.differs(leaf.file, where, "a number or text that no crawl writes", _KEEP)

    def _see(self, entry: Entry, file: str, where: str) -> None:
        self._note_run(entry)
        match entry:
            case DecisionEntry():
                self._see_decision(entry, file, where)
            case EvidenceEntry():
                self._name(entry.seq, "evidence")
                uris = {entry.url, *(hop.url for hop in entry.redirects), *(hop.to for hop in entry.redirects)}
                self._see_pointers(entry.warc, entry.seq, "\n".join(sorted(uris)), file, where)
                for pointer in entry.warc:
                    if not pointer.f.startswith("evidence/"):
                        self._level.differs(file, where, f"evidence in {pointer.f!r}, outside evidence/", _KEEP)
            case ConfigEntry():
                self._name(entry.seq, "config")
            case RedecisionEntry():
                self._see_redecision(entry, file, where)
            case FileEntry():
                self._see_file(entry, file, where)
            case SealEntry():
                self._see_seal(entry, file, where)
            case _:
                pass

    def _note_run(self, entry: Entry) -> None:
        if not isinstance(entry, SealEntry | RedecisionEntry | FileEntry | KeyEntry):
            self._ends.pop(entry.run, None)  # somebody went on with a run that had been sealed
        if isinstance(entry, RunEntry) and entry.shared:
            self._shared.add(entry.run)

    def _see_redecision(self, entry: RedecisionEntry, file: str, where: str) -> None:
        self._refers(entry.of, "decision", file, where)
        self._refers(entry.config, "config", file, where)
        self._db.executemany("INSERT OR IGNORE INTO erased VALUES (?)", ((record,) for record in entry.erased))
        self._changed = self._changed or bool(entry.erased)
        if entry.was is not None:
            self._gone[entry.of] = (entry.was, entry.was_final)

    def _see_decision(self, entry: DecisionEntry, file: str, where: str) -> None:
        self._level.count("decisions")
        self._name(entry.seq, "decision")
        self._counts.setdefault(entry.run, Counter())[entry.verdict] += 1
        self._refers(entry.config, "config", file, where)
        for evidence in {signal.ev for signal in entry.signals} | set(entry.consulted.values()):
            if isinstance(evidence, int):
                self._refers(evidence, "evidence", file, where)
        self._see_pointers(entry.warc, entry.seq, entry.url, file, where)
        self._see_places(entry, file, where)
        self._see_finality(entry, file, where)

    def _see_places(self, entry: DecisionEntry, file: str, where: str) -> None:
        """What is in `warc/` was decided to be kept, and what was decided to be kept is there, once."""
        in_warc = [pointer.type for pointer in entry.warc if pointer.f.startswith("warc/")]
        main = _MAIN_TYPE.get(entry.verdict)
        if entry.verdict is Verdict.KEPT and entry.reason == TEASER:
            main = "conversion"  # the words that the page leaves open, and never its response
        if main is None and in_warc:
            self._level.differs(file, where, f"verdict {entry.verdict}, yet records in warc/: {in_warc}", _KEEP)
        if main is not None and [kind for kind in in_warc if kind in _MAIN_TYPES] != [main]:
            self._level.differs(
                file,
                where,
                f"verdict {entry.verdict} wants one {main} record in warc/, the entry names {in_warc}",
                _KEEP,
            )

    def _see_finality(self, entry: DecisionEntry, file: str, where: str) -> None:
        key = word_key(entry.run, entry.url)
        self._db.execute("INSERT OR IGNORE INTO url VALUES (?, ?, ?)", (key, entry.run, entry.seq))
        if entry.supersedes is not None:
            replaced = self._db.execute(
                "UPDATE final SET superseded = ? WHERE seq = ? AND key = ? AND superseded IS NULL",
                (entry.seq, entry.supersedes, key),
            )
            if replaced.rowcount != 1 or not entry.final:
                what = f"supersedes entry {entry.supersedes}, which is no earlier final entry on this URL"
                self._level.differs(file, where, what, _KEEP)
        if entry.final:
            row = (entry.seq, key, entry.verdict.value, entry.lease)
            self._db.execute("INSERT OR IGNORE INTO final VALUES (?, ?, ?, ?, NULL)", row)

    def _see_pointers(self, pointers: tuple[Pointer, ...], seq: int, uris: str, file: str, where: str) -> None:
        for pointer in pointers:
            self._level.count("pointers")
            if not WARC_NAME.fullmatch(pointer.f):
                self._level.differs(file, where, f"points to {pointer.f!r}, no WARC file of a crawl", _KEEP)
                continue
            row = (pointer.id, pointer.f, pointer.o, pointer.l, pointer.type, pointer.d, pointer.pd, seq, uris)
            if not self._db.execute("INSERT OR IGNORE INTO link VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)", row).rowcount:
                self._level.differs(file, where, f"record {pointer.id} is pointed to by an earlier entry, too", _KEEP)

    def _see_file(self, entry: FileEntry, file: str, where: str) -> None:
        row = (entry.f, entry.size, entry.d, entry.seq, entry.gone)
        if self._db.execute("INSERT OR IGNORE INTO file VALUES (?, ?, ?, ?, ?, 0)", row).rowcount:
            return
        if not (self._changed or entry.gone):
            self._level.differs(file, where, f"{entry.f!r} was entered as finished before", _KEEP)
        self._db.execute("REPLACE INTO file VALUES (?, ?, ?, ?, ?, 0)", row)

    def _see_seal(self, entry: SealEntry, file: str, where: str) -> None:
        """What the entries so far give, to be compared at the end, when it is known which of them were erased."""
        self._ends[entry.run] = entry.end
        counted = Counter(self._counts.get(entry.run, {}))
        finals: Counter[Verdict] = Counter()
        for verdict, number in self._db.execute(
            "SELECT verdict, count(*) FROM final JOIN url USING (key) "
            "WHERE superseded IS NULL AND run = ? GROUP BY verdict",
            (entry.run,),
        ):
            finals[Verdict(verdict)] = number
        files = self._db.execute("SELECT count(*) FROM file").fetchone()[0]
        self._seals.append((entry, file, where, counted, finals, files))
        if entry.sites is not None and entry.sites != self._sites.summary():
            what = "the seal's second tree, by which absence is proved, is not that of the entries before it"
            self._level.differs(file, where, what, _KEEP)

    def _compare_seals(self) -> None:
        for entry, file, where, counted, finals, files in self._seals:
            for seq, (verdict, final) in self._gone.items():
                if seq < entry.seq:
                    counted[verdict] += 1
                    finals[verdict] += final
            told = (_plain(entry.counts), _plain(entry.finals), entry.files)
            found = (_plain(counted), _plain(finals), files)
            for name, says, is_so in zip(("counts", "finals", "files"), told, found, strict=True):
                if says != is_so:
                    self._level.differs(file, where, f"the seal's {name} say {says}, the entries give {is_so}", _KEEP)

    def _name(self, seq: int, kind: str) -> None:
        self._db.execute("INSERT OR IGNORE INTO named VALUES (?, ?)", (seq, kind))

    def _refers(self, seq: int, kind: str, file: str, where: str) -> None:
        """An entry may only refer to one that was there before it: that is what shows what came first."""
        if not self._db.execute("SELECT 1 FROM named WHERE seq = ? AND t = ?", (seq, kind)).fetchone():
            self._level.differs(file, where, f"refers to entry {seq} as {kind}, which it is not", _KEEP)

    # -- what the folders hold ---------------------------------------------------------------------------------------

    def compare(self, *, running: bool, progress: Callable[[str, int, int], None]) -> None:
        """Read every WARC file and report what does not fit the entries.

        Args:
            running: whether a process still writes.
            progress: told what is being read, bytes done and bytes in all.
        """
        self._compare_seals()
        paths = list(self._paths())
        total = sum(path.lstat().st_size for path in paths)
        done = 0
        for path in paths:
            progress("records", done, total)
            done += path.lstat().st_size
            self._compare_file(path, running=running)
        progress("records", total, total)
        self._report_missing()
        self._report_finality()

    def _paths(self) -> Iterator[Path]:
        for folder in (self._out / name for name in FOLDERS):
            if not folder.exists() and not folder.is_symlink():
                continue
            if not stat.S_ISDIR(folder.lstat().st_mode):
                self._level.differs(folder.name, "", "not a folder of its own; it was not looked into", _KEEP)
                continue
            for path in sorted(folder.iterdir()):
                name = f"{folder.name}/{path.name}"
                if not stat.S_ISREG(path.lstat().st_mode) or not WARC_NAME.fullmatch(name.removesuffix(OPEN_SUFFIX)):
                    self._level.differs(name, "", "not a WARC file of a crawl; it was not read", "Move it elsewhere")
                    continue
                yield path

    def _compare_file(self, path: Path, *, running: bool) -> None:
        name = f"{path.parent.name}/{path.name}"
        final_name = name.removesuffix(OPEN_SUFFIX)
        self._level.count("files")
        try:
            with open_regular(path) as file:
                self._compare_records(file, name, final_name, lenient=running and name != final_name)
            if name == final_name:
                self._compare_bytes(path, name, running=running)
            elif not running:
                self._level.differs(name, "", "left open by a process that broke off", _RESUME + _KEEP)
        except OSError as error:
            self._level.differs(name, "", f"cannot be read ({error.strerror or error})", "Restore it from a copy")

    def _compare_records(self, file: BinaryIO, name: str, final_name: str, *, lenient: bool) -> None:
        size = file.seek(0, 2)
        offset = 0
        while offset < size:
            try:
                record = read_record(file, offset)
            except WarcFileError as error:
                if not lenient:
                    self._level.differs(name, f"offset {offset}", str(error), _RESUME + _KEEP)
                # Go on where the log knows a record to begin: one damaged place must not hide another.
                query = "SELECT min(o) FROM link WHERE f = ? AND o > ?"
                offset = self._db.execute(query, (final_name, offset)).fetchone()[0] or size
                continue
            self._level.count("records")
            self._compare_record(record, name, final_name, lenient=lenient)
            offset += record.length

    def _compare_record(self, record: StoredRecord, name: str, final_name: str, *, lenient: bool) -> None:
        if record.type == "warcinfo":
            return
        query = "SELECT f, o, l, type, d, pd, seq, uris, found FROM link WHERE id = ?"
        link = self._db.execute(query, (record.id,)).fetchone()
        where = f"offset {record.offset}"
        if self._db.execute("SELECT 1 FROM erased WHERE id = ?", (record.id,)).fetchone():
            self._compare_erased(record, name)
            return
        if link is None:
            if lenient:
                self._level.count("records not entered yet")
            else:
                what = f"{record.type} record {record.id!r} without an entry in the log"
                self._level.differs(name, where, what, _RESUME + _KEEP)
            return
        *told, pd, seq, uris, found = link
        is_so = [final_name, record.offset, record.length, record.type, record.block_digest()]
        names = ("file", "offset", "stored length", "type", "block digest")
        faults = [
            f"{label}: entry {says!r}, record {value!r}"
            for label, says, value in zip(names, told, is_so, strict=True)
            if says != value
        ]
        if record.target_uri not in uris.split("\n"):
            faults.append(f"target URI: entry {uris!r}, record {record.target_uri!r}")
        if found:
            faults.append("a second record with this id")
        faults += self._payload_faults(record, pd)
        for fault in faults:
            self._level.differs(name, where, f"record {record.id!r} of entry {seq}: {fault}", _KEEP)
        self._db.execute("UPDATE link SET found = 1 WHERE id = ?", (record.id,))

    def _compare_erased(self, record: StoredRecord, name: str) -> None:
        """An erased record is an empty one with its id."""
        self._level.count("records erased")
        if record.block or record.target_uri:
            what = f"record {record.id!r} was to be erased, and its bytes are still there"
            self._level.differs(name, f"offset {record.offset}", what, "Run `knockfirst erase` again")
        self._db.execute("UPDATE link SET found = 1 WHERE id = ?", (record.id,))

    def _payload_faults(self, record: StoredRecord, pd: str | None) -> list[str]:
        if pd is None:
            return []
        if record.type != "revisit":
            found = record.payload_digest()
            return [] if found == pd else [f"payload digest: entry {pd!r}, record {found!r}"]
        original = record.fields.get("warc-refers-to", "").removeprefix("<").removesuffix(">")
        if self._db.execute("SELECT 1 FROM erased WHERE id = ?", (original,)).fetchone():
            return []
        row = self._db.execute("SELECT pd FROM link WHERE id = ?", (original,)).fetchone()
        if row is None and self._shared:
            self._level.count("revisits of what another worker may have stored")
            return []
        if row is None or row[0] != pd:
            return [f"payload digest {pd!r} is not that of the record it refers to ({original!r})"]
        return []

    def _compare_bytes(self, path: Path, name: str, *, running: bool) -> None:
        row = self._db.execute("SELECT size, d, gone FROM file WHERE f = ?", (name,)).fetchone()
        if row is None:
            if not running:
                self._level.differs(name, "", "finished, but no entry says so", _RESUME + _KEEP)
            return
        self._db.execute("UPDATE file SET found = 1 WHERE f = ?", (name,))
        if row[2]:
            self._level.differs(name, "", "was to be removed, and is still there", "Run `knockfirst erase` again")
        elif file_digest(path) != row[:2]:
            self._level.differs(name, "", f"not the bytes it was finished with ({row[0]} bytes, {row[1]})", _KEEP)

    # -- what is left over -------------------------------------------------------------------------------------------

    def _report_missing(self) -> None:
        for f, o, kind, record_id, seq in self._db.execute(
            "SELECT f, o, type, id, seq FROM link WHERE NOT found AND f NOT IN (SELECT f FROM file WHERE gone != '') "
            "ORDER BY f, o"
        ):
            what = f"entry {seq} points to {kind} record {record_id!r}, which is not there"
            self._level.differs(f, f"offset {o}", what, "Restore the file from a copy")
        for f, seq in self._db.execute("SELECT f, seq FROM file WHERE NOT found AND gone = '' ORDER BY f"):
            self._level.differs(f, "", f"entry {seq} says it was finished; it is not there", "Restore it from a copy")

    def _report_finality(self) -> None:
        query = """
            SELECT url.run, url.seq, count(final.seq), count(DISTINCT final.lease) FROM url
            LEFT JOIN final ON final.key = url.key AND final.superseded IS NULL
            GROUP BY url.key HAVING count(final.seq) != 1 ORDER BY url.seq
        """
        for run, seq, finals, leases in self._db.execute(query):
            if finals and finals == leases:  # asked for again: the highest lease holds
                self._level.count("URLs with a newer last word")
            elif run in self._shared and not finals:  # `together` looks at all workers' logs
                self._level.count("URLs whose last word another worker may have")
            elif finals:
                self._level.differs("log", f"entry {seq}", f"its URL has {finals} final entries in run {run!r}", _KEEP)
            elif self._ends.get(run) == "finished":
                what = f"its URL has no final entry, though run {run!r} is sealed as finished"
                self._level.differs("log", f"entry {seq}", what, _KEEP)
            else:
                self._level.count("URLs without a last word yet")


def finished_files(out: Path, known: set[str]) -> Iterator[tuple[str, int, str]]:
    """Name, size and digest of every finished WARC file that `known` does not name: what `file` entries say."""
    for folder in FOLDERS:
        for path in sorted((out / folder).glob("*.warc.gz")):
            name = f"{folder}/{path.name}"
            if name not in known:
                yield (name, *file_digest(path))


def _plain(counts: dict[Verdict, int]) -> dict[str, int]:
    return {verdict.value: number for verdict, number in sorted(counts.items()) if number}
