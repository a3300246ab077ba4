"""The SQLite file under the frontier: shared by processes, recognised, checked; faults told in words that help.

Why the tables are as they are: docs/decisions/0005-frontier.md. SQLite's own promises: https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from crawler.frontier.interface import FrontierError

APPLICATION_ID: Final = 0x4B4E4F43
""""KNOC", in the file's header: this file is ours."""

SCHEMA_VERSION: Final = 2

_PATIENCE_S: Final = 20.0
"""How long one process waits for the others, each of which holds the file for some milliseconds. Less than a lease."""

_SETTINGS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # in WAL mode anything less may lose the last commits when the power goes
    "PRAGMA cache_size = -32768",
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA journal_size_limit = 33554432",
)

# `ready_at` is when a host may be claimed (`sqlite_store._READY`). `queue` is ordered as it is read: per host what is
# due (0), best first, then what waits. `seen` is per host because the links of one page share hosts, and so share the
# pages of the file that they touch. `standing` is one row: sums over all hosts, so that nobody has to count.
_SCHEMA: Final = (
    "CREATE TABLE site (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, pages INTEGER NOT NULL DEFAULT 0) STRICT",
    """CREATE TABLE host (
  id INTEGER PRIMARY KEY,
  authority TEXT NOT NULL UNIQUE,
  site INTEGER NOT NULL,
  free_at REAL NOT NULL DEFAULT 0,
  ready_at REAL,
  address TEXT NOT NULL DEFAULT '',
  pages INTEGER NOT NULL DEFAULT 0,
  blocked_until REAL NOT NULL DEFAULT 0,
  blocked_since REAL,
  blocked_reason TEXT
) STRICT""",
    "CREATE INDEX host_ready ON host (ready_at, address) WHERE ready_at IS NOT NULL",
    "CREATE INDEX host_blocked ON host (blocked_until) WHERE blocked_until > 0",
    """CREATE TABLE queue (
  host INTEGER NOT NULL,
  due REAL NOT NULL,
  rank INTEGER NOT NULL,
  item INTEGER NOT NULL,
  url TEXT NOT NULL,
  payload TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  losses INTEGER NOT NULL,
  lost INTEGER,
  PRIMARY KEY (host, due, rank, item)
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE lease (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  host INTEGER NOT NULL UNIQUE,
  address TEXT NOT NULL,
  worker TEXT NOT NULL,
  expires_at REAL NOT NULL,
  rank INTEGER NOT NULL,
  item INTEGER NOT NULL,
  url TEXT NOT NULL,
  payload TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  losses INTEGER NOT NULL,
  lost INTEGER
) STRICT""",
    "CREATE TABLE seen (host INTEGER, fingerprint INTEGER, PRIMARY KEY (host, fingerprint)) STRICT, WITHOUT ROWID",
    "CREATE TABLE dead (url TEXT PRIMARY KEY, host INTEGER, rank INTEGER, payload TEXT) STRICT, WITHOUT ROWID",
    "CREATE TABLE worker (name TEXT PRIMARY KEY, seen_at REAL NOT NULL, told TEXT NOT NULL) STRICT",
    "CREATE TABLE origin (authority TEXT PRIMARY KEY, blob BLOB NOT NULL, expires_at REAL NOT NULL) STRICT",
    "CREATE TABLE payload (digest BLOB PRIMARY KEY, reference BLOB NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE fact (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    """CREATE TABLE standing (
  state TEXT NOT NULL DEFAULT 'run',
  items INTEGER NOT NULL DEFAULT 0,
  hosts INTEGER NOT NULL DEFAULT 0,
  seen INTEGER NOT NULL DEFAULT 0,
  queued INTEGER NOT NULL DEFAULT 0,
  over_budget INTEGER NOT NULL DEFAULT 0,
  dead INTEGER NOT NULL DEFAULT 0,
  lost INTEGER NOT NULL DEFAULT 0
) STRICT""",
)

_ELSEWHERE: Final = "Name another file with KNOCKFIRST_FRONTIER, or another output folder."
_DAMAGED: Final = "Restore it from a copy, or begin a new crawl in another output folder; log and WARC stay valid."
_REMEDIES: Final = {
    sqlite3.SQLITE_BUSY: (
        f"has been kept busy by another process for {_PATIENCE_S:.0f} s",
        "See what else has the file open (a copy, a backup, a shell), or whether its disk is too slow.",
    ),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "See that its folder exists and that you may write there."),
    sqlite3.SQLITE_CORRUPT: ("is damaged", _DAMAGED),
    sqlite3.SQLITE_FULL: ("has no room left on its disk", "Make room, then start the same command again."),
    sqlite3.SQLITE_IOERR: ("cannot be read or written", "Look at the disk, then start the same command again."),
    sqlite3.SQLITE_NOTADB: ("is not a frontier", _ELSEWHERE),
    sqlite3.SQLITE_READONLY: ("is read-only", "See that you may write to the file and to its folder."),
}


class Standing(msgspec.Struct):
    """The one row of `standing`.

    Attributes:
        state: a `State`.
        items: numbers given to queued URLs, in the order of their coming.
        hosts: see `Counts`, as for the rest.
        seen: URLs.
        queued: URLs.
        over_budget: pushes.
        dead: URLs.
        lost: leases.
    """

    state: str = "run"
    items: int = 0
    hosts: int = 0
    seen: int = 0
    queued: int = 0
    over_budget: int = 0
    dead: int = 0
    lost: int = 0


_SET_STANDING: Final = "UPDATE standing SET " + ", ".join(f"{name} = ?" for name in Standing.__struct_fields__)  # noqa: S608


class SqliteFile:
    """One frontier file, and one of the connections to it. Belongs to one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db: sqlite3.Connection | None = None

    def open(self, *, check: bool) -> None:
        """Open or create the file.

        Args:
            check: read all of it once, about 0.7 s per 100 MB, against a crawl that goes wrong in the middle.

        Raises:
            FrontierError: it is not ours, of another version, damaged, or out of reach.
        """
        with self.explained():
            self._db = sqlite3.connect(self.path, isolation_level=None, timeout=_PATIENCE_S)
            with self.transaction(writes=False):  # another process may be making it at this moment
                new = self._is_new()
            for statement in _SETTINGS:
                self._set(statement)
            if new:
                self._create()
            if check:
                self._check()

    def close(self) -> None:
        """Let go of the file; SQLite folds its write-ahead log into it."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def sql(self, statement: str, *values: object) -> sqlite3.Cursor:
        """Run one statement."""
        if self._db is None:
            raise FrontierError("is closed", where=str(self.path), remedy="Call open() first.")
        return self._db.execute(statement, values)

    def standing(self) -> Standing:
        """The sums as this transaction finds them."""
        return Standing(*self.sql("SELECT * FROM standing").fetchone())

    def set_standing(self, standing: Standing) -> None:
        """The sums as this transaction leaves them."""
        self.sql(_SET_STANDING, *msgspec.structs.astuple(standing))

    @contextmanager
    def transaction(self, *, writes: bool = True) -> Iterator[None]:
        """All that is done inside is durable at the end, or undone. One that does not write waits for nobody."""
        try:
            with self.explained():
                self.sql("BEGIN IMMEDIATE" if writes else "BEGIN")
                yield
                self.sql("COMMIT")
        except BaseException:
            if self._db is not None and self._db.in_transaction:
                self._db.rollback()
            raise

    def _is_new(self) -> bool:
        """Whether the file is new; refuses one that is not ours, before anything of it is changed."""
        (application,) = self.sql("PRAGMA application_id").fetchone()
        (version,) = self.sql("PRAGMA user_version").fetchone()
        found = {sql for name, sql in self.sql("SELECT name, sql FROM sqlite_schema") if not name.startswith("sqlite_")}
        if not (application or version or found):
            return True
        if application != APPLICATION_ID:
            raise FrontierError("is somebody else's SQLite file", where=str(self.path), remedy=_ELSEWHERE)
        if version != SCHEMA_VERSION:
            raise FrontierError(
                f"has schema version {version}; this Knockfirst reads {SCHEMA_VERSION}",
                where=str(self.path),
                remedy=f"Go on with the Knockfirst that wrote it. {_ELSEWHERE}",
            )
        if found != set(_SCHEMA):
            raise FrontierError("has tables that were tampered with", where=str(self.path), remedy=_DAMAGED)
        return False

    def _set(self, statement: str) -> None:
        """The change to a write-ahead log needs the file for itself, and does not wait for it by itself."""
        patience = time.monotonic() + _PATIENCE_S
        while True:
            try:
                self.sql(statement)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > patience:
                    raise
                time.sleep(0.01)
            else:
                return

    def _create(self) -> None:
        with self.transaction():
            if not self._is_new():
                return  # another process was first
            for statement in _SCHEMA:
                self.sql(statement)
            self.sql("INSERT INTO standing DEFAULT VALUES")
            self.sql(f"PRAGMA application_id = {APPLICATION_ID}")
            self.sql(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _check(self) -> None:
        (fault,) = self.sql("PRAGMA quick_check(1)").fetchone()
        if fault != "ok":
            raise FrontierError(f"is damaged ({fault})", where=str(self.path), remedy=_DAMAGED)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """SQLite's errors in words that help."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            what, remedy = _REMEDIES.get(code, ("failed", "Please report this, with the line above."))
            raise FrontierError(f"{what} ({error})", where=str(self.path), remedy=remedy) from error
