"""A log as tables: what the auditors' pages look things up in. Derived, rebuilt at any time, never trusted.

`update` reads what the log has gained since the last time, also while a crawl writes it. The index lies outside of
the folder it is made from: a folder under examination may be read-only, and an index found in one would be somebody
else's. Whatever the pages show as proved is read from the log again; the index only says where.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from provenance.checkpoint import MAX_NOTE_BYTES
from provenance.entry import DecisionEntry, Entry, EvidenceEntry, RedecisionEntry
from provenance.lines import MAX_LINE_BYTES, from_line
from provenance.log import CHECKPOINTS, VERIFIER
from provenance.segments import Erased, LogError, as_erased, is_sealed, read_lines, segments
from provenance.tree import HASH_BYTES, leaf_hash, root_of
from provenance.warcfile import open_regular
from reservations.model import Verdict

BLOCK_LINES: Final = 256
TILE_HASHES: Final = 256
ALL_SITES: Final = 0
#: Units of time that attempts are counted in, in seconds; a chart takes the one that gives it bars enough.
UNITS: Final = (60, 3_600, 86_400)
#: Attempts at one site are counted by the hour: by the minute there would be as many rows as entries.
SITE_UNITS: Final = (3_600, 86_400)
#: What stands in the place of an entry that cannot be read, and of one whose text was erased.
UNREADABLE: Final = "unreadable"
ERASED: Final = "erased"
#: Where entries belong that name no site.
NO_SITE: Final = "(no site)"

Progress = Callable[[int, int], None]
"""Told how many octets of the log were read, and how many there are."""

_FORMAT: Final = 1
_BATCH: Final = 16_384
_NEAR: Final = 200_000
_MAX_INT: Final = 2**63 - 1
_BUSY_S: Final = 30.0
_SCHEMA: Final = """
CREATE TABLE state (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE entry (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, at INTEGER NOT NULL, site INTEGER, url TEXT,
    u INTEGER, verdict TEXT, reason TEXT, final INTEGER, status INTEGER, media TEXT, octets INTEGER);
CREATE INDEX entry_site ON entry (site) WHERE verdict IS NOT NULL;
CREATE INDEX entry_url ON entry (u) WHERE u IS NOT NULL;
CREATE INDEX entry_verdict ON entry (verdict) WHERE verdict IS NOT NULL;
CREATE INDEX entry_reason ON entry (reason) WHERE reason IS NOT NULL;
CREATE TABLE site (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    kept INTEGER NOT NULL DEFAULT 0, octets INTEGER NOT NULL DEFAULT 0);
CREATE INDEX site_attempts ON site (attempts);
CREATE TABLE digest (h INTEGER, seq INTEGER, PRIMARY KEY (h, seq)) WITHOUT ROWID;
CREATE TABLE tally (site INTEGER, unit INTEGER, at INTEGER, verdict TEXT, reason TEXT, n INTEGER NOT NULL,
    PRIMARY KEY (site, unit, at, verdict, reason)) WITHOUT ROWID;
CREATE TABLE document (seq INTEGER PRIMARY KEY, site INTEGER, authority TEXT NOT NULL, name TEXT NOT NULL,
    at INTEGER NOT NULL, outcome TEXT NOT NULL, d TEXT NOT NULL, octets INTEGER NOT NULL);
CREATE INDEX document_site ON document (site, authority, name);
CREATE TABLE other (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, at INTEGER NOT NULL, of INTEGER, line BLOB NOT NULL);
CREATE INDEX other_kind ON other (kind);
CREATE INDEX other_of ON other (of) WHERE of IS NOT NULL;
CREATE TABLE superseded (seq INTEGER PRIMARY KEY, by INTEGER NOT NULL);
CREATE TABLE block (seq INTEGER PRIMARY KEY, segment INTEGER NOT NULL, number INTEGER NOT NULL, place INTEGER NOT NULL);
CREATE TABLE tile (level INTEGER, n INTEGER, hashes BLOB NOT NULL, PRIMARY KEY (level, n)) WITHOUT ROWID;
CREATE TABLE note (number INTEGER PRIMARY KEY, text BLOB NOT NULL);
"""
#: Rows gathered in memory, table by table, and put in at the end of a batch.
_ROWS: Final = {"entry": 12, "digest": 2, "document": 8, "other": 5, "superseded": 2, "block": 4}
_TALLY: Final = (
    "INSERT INTO tally VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (site, unit, at, verdict, reason) DO UPDATE SET n = n + ?6"
)


def index_folder() -> Path:
    """Where indexes lie unless somebody names another folder: the user's own cache."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache") / "knockfirst"


def index_path(out: Path, folder: Path | None = None) -> Path:
    """The index of an output folder: one for each place and log.

    Raises:
        OSError: there is no log.
    """
    log = out.resolve() / "log"
    try:
        with open_regular(log / VERIFIER) as file:
            key = file.read(MAX_NOTE_BYTES)
    except OSError as error:
        raise OSError(f"{log}: no log ({error}). Name the output folder of a crawl, the one that holds log/") from error
    name = hashlib.sha256(os.fsencode(log) + b"\n" + key).hexdigest()[:32]
    return (folder or index_folder()) / f"{name}.sqlite"


def url_number(url: str) -> int:
    """What a URL is looked up by: 63 bits of its hash; whoever finds something compares the URL itself."""
    return short(hashlib.sha256(url.encode("utf-8", "replace")).digest())


def short(octets: bytes) -> int:
    """The first 63 bits of a digest."""
    return int.from_bytes(octets[:8], "big") >> 1


def update(out: Path, path: Path, progress: Progress | None = None) -> bool:
    """Bring the index at `path` to the state of the log in `out`. Returns False when another process is at it.

    A log that cannot be read to its end is indexed as far as it can be; `state` then holds the reason as `fault`.

    Raises:
        OSError: the index cannot be written, or there is no log.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("ab") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        try:
            with closing(_opened(path)) as db:
                _update(db, out / "log", progress or (lambda _done, _total: None))
        except sqlite3.Error as error:
            raise OSError(f"{path}: cannot be written ({error}). Name another folder by --index") from error
    return True


def _update(db: sqlite3.Connection, folder: Path, progress: Progress) -> None:
    seen = _seen(folder)
    if db.execute("SELECT value FROM state WHERE name = 'seen'").fetchone() == (seen,):
        return
    fault = ""
    try:
        builder = _Builder(db, folder)
        if not builder.continues():
            _empty(db)
            builder = _Builder(db, folder)
        builder.run(progress)
    except LogError as error:
        fault = str(error)
    db.execute("INSERT OR REPLACE INTO state VALUES ('fault', ?), ('seen', ?)", (fault, seen))


def _seen(folder: Path) -> str:
    """What the log's files look like from outside: while that stays the same, nothing is read again."""
    paths = [*sorted(folder.glob("seg-*")), folder / CHECKPOINTS]
    stats = [(path.name, path.lstat()) for path in paths if path.exists()]
    return " ".join(f"{name}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ino}" for name, stat in stats)


def _opened(path: Path) -> sqlite3.Connection:
    """The index, empty if there was none or if it is of another format or damaged."""
    for _ in range(2):
        db = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_S)
        try:
            (form,) = db.execute("PRAGMA user_version").fetchone()
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = OFF")  # derived: after a power cut it is made again
            db.execute("PRAGMA cache_size = -131072")
            if form != _FORMAT:
                _empty(db)
        except sqlite3.DatabaseError:
            db.close()
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
        else:
            return db
    raise OSError(f"{path}: no index can be written there. Name another folder by --index")


def _empty(db: sqlite3.Connection) -> None:
    """Begin anew, in one step for those who read at the same moment."""
    db.execute("BEGIN IMMEDIATE")
    for kind, name in db.execute("SELECT type, name FROM sqlite_master WHERE type = 'table'").fetchall():
        db.execute(f'DROP {kind} "{name}"')
    for statement in _SCHEMA.split(";"):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {_FORMAT}")
    db.execute("COMMIT")


class _Builder:
    """One run over what the log has gained."""

    def __init__(self, db: sqlite3.Connection, folder: Path) -> None:
        self._db = db
        self._folder = folder
        state = dict(db.execute("SELECT name, value FROM state"))
        self._segment: int = state.get("segment", 0)
        self._number: int = state.get("number", 0)  # lines taken from the segment
        self._place: int = state.get("place", 0)  # where the next one begins
        self._seq: int = state.get("seq", 0)
        self._last: bytes = state.get("last", b"")  # hash of the line taken last
        self._notes: tuple[int, int] = (state.get("notes", 0), state.get("notes_place", 0))
        self._sites: dict[str, int] = {}
        self._tiles = _Tiles(db)
        self._begin()

    def _begin(self) -> None:
        self._rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _ROWS}
        self._tally: Counter[tuple[int, int, int, str, str]] = Counter()
        self._of_site: dict[int, list[int]] = {}

    # -- reading -----------------------------------------------------------------------------------------------------

    def continues(self) -> bool:
        """Whether the log still has the line that was taken last, where it was; else it is not the one indexed."""
        if not self._number:
            return not self._seq or len(segments(self._folder)) > self._segment
        paths = segments(self._folder)
        if self._segment >= len(paths):
            return False
        path = paths[self._segment]
        try:
            if is_sealed(path):
                line = next(islice(read_lines(path), self._number - 1, None), b"")
            else:
                line = _line_before(path, self._place)
        except LogError:
            return False
        return line.endswith(b"\n") and leaf_hash(line[:-1]) == self._last

    def run(self, progress: Progress) -> None:
        """Take everything that is new, as far as the log can be read.

        Raises:
            LogError: it cannot be read to its end.
        """
        with self._transaction():
            self._take_notes()
        paths = segments(self._folder)
        sizes = [path.stat().st_size for path in paths]
        for segment in range(self._segment, len(paths)):
            if segment != self._segment:
                self._segment, self._number, self._place = segment, 0, 0
            for batch in self._batches(paths[segment]):
                with self._transaction():
                    for line in batch:
                        self._take(line)
                share = 1 if is_sealed(paths[segment]) else self._place / max(1, sizes[segment])
                progress(sum(sizes[:segment]) + int(share * sizes[segment]), sum(sizes))

    def _batches(self, path: Path) -> Iterator[list[bytes]]:
        sealed = is_sealed(path)
        lines = islice(read_lines(path), self._number, None) if sealed else _lines_from(path, self._place)
        whole = (line for line in lines if line.endswith(b"\n"))
        while batch := list(islice(whole, _BATCH)):
            yield batch

    # -- entries -----------------------------------------------------------------------------------------------------

    def _take(self, line: bytes) -> None:
        seq = self._seq
        if seq % BLOCK_LINES == 0 or not self._number:
            self._rows["block"].append((seq, self._segment, self._number, self._place))
        self._number += 1
        self._place += len(line)
        self._seq += 1
        line = line[:-1]
        told: Entry | Erased | None
        try:
            erased = as_erased(line)
            hashed = leaf_hash(line) if erased is None else erased.hash
            told = erased or from_line(line)
        except (ValueError, RecursionError):
            hashed, told = leaf_hash(line), None
        self._last = leaf_hash(line)
        self._tiles.add(hashed)
        self._rows["digest"].append((short(hashed), seq))
        match told:
            case DecisionEntry():
                self._take_decision(seq, told)
            case EvidenceEntry():
                self._take_evidence(seq, told)
            case None | Erased():
                self._enter(seq, UNREADABLE if told is None else ERASED, 0)
            case _:
                self._take_other(seq, told, line)

    def _enter(self, seq: int, kind: str, at: int, *more: Any) -> None:
        self._rows["entry"].append((seq, kind, at, *more, *(None,) * (9 - len(more))))

    def _take_decision(self, seq: int, entry: DecisionEntry) -> None:
        at, site, http = _ms(entry.ts), self._site(entry.site), entry.http
        octets = _bounded(http.len) if http else None
        verdict, reason = entry.verdict.value, entry.reason
        numbers = (http.st & 0xFFFF, http.ct[:100], octets) if http else (None, None, None)
        self._enter(seq, "decision", at, site, entry.url, url_number(entry.url), verdict, reason, entry.final, *numbers)
        for unit in UNITS:
            self._tally[ALL_SITES, unit, at // 1000 // unit * unit, verdict, reason] += 1
        for unit in SITE_UNITS:
            self._tally[site, unit, at // 1000 // unit * unit, verdict, reason] += 1
        figures = self._of_site.setdefault(site, [0, 0, 0])
        figures[0] += 1
        if entry.verdict is Verdict.KEPT:
            figures[1] += 1
            figures[2] += octets or 0
        if entry.supersedes is not None and 0 <= entry.supersedes < seq:
            self._rows["superseded"].append((entry.supersedes, seq))
        self._note_digests(
            seq, entry.d, *(one.pd or one.d for one in entry.warc if one.type in {"response", "revisit"})
        )

    def _take_evidence(self, seq: int, entry: EvidenceEntry) -> None:
        at, site = _ms(entry.ts), self._site(entry.site)
        self._enter(seq, "evidence", at, site, entry.url, url_number(entry.url))
        row = (seq, site, entry.authority, entry.key, at, entry.outcome, entry.d, _bounded(entry.len))
        self._rows["document"].append(row)
        self._note_digests(seq, entry.d)

    def _take_other(self, seq: int, entry: Entry, line: bytes) -> None:
        at, kind = _ms(entry.ts), entry.__struct_config__.tag
        of = entry.of if isinstance(entry, RedecisionEntry) and 0 <= entry.of < seq else None
        url = getattr(entry, "url", "")
        self._enter(seq, str(kind), at, None, url or None, url_number(url) if url else None)
        self._rows["other"].append((seq, kind, at, of, line))
        named = (getattr(entry, name, "") for name in ("rules", "policy", "protocols", "blocklist", "code", "d"))
        self._note_digests(seq, *named)

    def _note_digests(self, seq: int, *digests: str) -> None:
        for digest in digests:
            if digest:
                number = digest_number(digest)
                if number is not None:
                    self._rows["digest"].append((number, seq))

    def _site(self, name: str) -> int:
        name = name or NO_SITE
        found = self._sites.get(name)
        if found is None:
            if len(self._sites) >= _NEAR:
                self._sites.clear()
            self._db.execute("INSERT OR IGNORE INTO site (name) VALUES (?)", (name,))
            (found,) = self._db.execute("SELECT id FROM site WHERE name = ?", (name,)).fetchone()
            self._sites[name] = found
        return found

    # -- writing -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        yield
        for name, width in _ROWS.items():
            self._db.executemany(f"INSERT OR REPLACE INTO {name} VALUES ({', '.join('?' * width)})", self._rows[name])  # noqa: S608 - names are ours
        self._db.executemany(_TALLY, ((*key, count) for key, count in self._tally.items()))
        self._db.executemany(
            "UPDATE site SET attempts = attempts + ?, kept = kept + ?, octets = octets + ? WHERE id = ?",
            ((*figures, site) for site, figures in self._of_site.items()),
        )
        self._tiles.write()
        state = {
            "segment": self._segment,
            "number": self._number,
            "place": self._place,
            "seq": self._seq,
            "last": self._last,
            "notes": self._notes[0],
            "notes_place": self._notes[1],
        }
        self._db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", state.items())
        self._db.execute("COMMIT")
        self._begin()

    def _take_notes(self) -> None:
        """The signed heads that came since; whoever shows one checks its signature."""
        path = self._folder / CHECKPOINTS
        if not path.exists():
            return
        number, place = self._notes
        with open_regular(path) as file:
            file.seek(place)
            note = b""
            while (line := file.readline(MAX_NOTE_BYTES)) and len(note) <= MAX_NOTE_BYTES:
                if line == b"\n" and b"\n\n" in note:
                    self._db.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (number, note))
                    number, place, note = number + 1, file.tell(), b""
                else:
                    note += line
        self._notes = number, place


class _Tiles:
    """The tree's hashes, 256 a row as in C2SP tlog-tiles, the right edge too: what paths are made of."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._levels: list[bytearray] = []
        self._done: list[int] = []
        self._full: list[tuple[int, int, bytes]] = []
        newest = "SELECT level, max(n), hashes FROM tile GROUP BY level ORDER BY level"
        for _level, number, hashes in db.execute(newest).fetchall():
            full = len(hashes) == TILE_HASHES * HASH_BYTES
            self._levels.append(bytearray() if full else bytearray(hashes))
            self._done.append(number + full)

    def add(self, hashed: bytes, level: int = 0) -> None:
        """Add a hash at a level: a leaf's at level 0, the root of a full tile at the next one."""
        if level == len(self._levels):
            self._levels.append(bytearray())
            self._done.append(0)
        row = self._levels[level]
        row += hashed
        if len(row) == TILE_HASHES * HASH_BYTES:
            self._full.append((level, self._done[level], bytes(row)))
            self._levels[level] = bytearray()
            self._done[level] += 1
            self.add(root_of([bytes(row[at : at + HASH_BYTES]) for at in range(0, len(row), HASH_BYTES)]), level + 1)

    def write(self) -> None:
        """Put in what is full, and the edge as it stands."""
        edge = [(level, self._done[level], bytes(row)) for level, row in enumerate(self._levels) if row]
        self._db.executemany("INSERT OR REPLACE INTO tile VALUES (?, ?, ?)", [*self._full, *edge])
        self._full.clear()


def digest_number(text: str) -> int | None:
    """What a digest is looked up by; None when the text, "sha256:<hex>" or hexadecimal digits, is none."""
    try:
        octets = bytes.fromhex(text.removeprefix("sha256:"))
    except ValueError:
        return None
    return short(octets) if len(octets) == HASH_BYTES else None


def _bounded(size: int) -> int:
    """A size that the database can hold."""
    return max(0, min(size, _MAX_INT))


def _ms(ts: str) -> int:
    """Milliseconds since 1970 of an entry's time; 0 for what is none."""
    try:
        return int(datetime.fromisoformat(ts).timestamp() * 1000)
    except (ValueError, OverflowError):
        return 0


def _lines_from(path: Path, place: int) -> Iterator[bytes]:
    """The lines of an open segment from an offset on."""
    with open_regular(path) as file:
        file.seek(place)
        while line := file.readline(MAX_LINE_BYTES + 2):
            if len(line) > MAX_LINE_BYTES + 1:
                raise LogError(f"{path}: a line longer than {MAX_LINE_BYTES} bytes. Run `knockfirst verify`")
            yield line


def _line_before(path: Path, place: int) -> bytes:
    """The line of an open segment that ends at an offset."""
    with open_regular(path) as file:
        file.seek(max(0, place - MAX_LINE_BYTES - 1))
        octets = file.read(place - file.tell())
    return octets[octets.rfind(b"\n", 0, -1) + 1 :] if len(octets) == min(place, len(octets)) else b""
