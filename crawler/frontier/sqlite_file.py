"""The SQLite file under the frontier: opened under a lock, recognised, checked; faults told in words that help.

Why the tables are as they are: docs/decisions/0005-frontier.md. SQLite's own promises: https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from crawler.frontier.interface import FrontierError

APPLICATION_ID: Final = 0x4B4E4F43
""""KNOC", in the file's header: this file is ours."""

SCHEMA_VERSION: Final = 1

_SETTINGS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # in WAL mode anything less may lose the last commits when the power goes
    "PRAGMA cache_size = -32768",
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA journal_size_limit = 33554432",
)

# `ready_at` is when a host may be claimed: the later of its clock and its earliest due URL; NULL while it is leased
# or has nothing queued. `queue` is ordered as it is read: per host what is due (0), best first, then what waits.
# `seen` is per host because the links of one page share hosts, and so share the pages of the file that they touch.
_SCHEMA: Final = (
    """CREATE TABLE host (
  id INTEGER PRIMARY KEY,
  authority TEXT NOT NULL UNIQUE,
  free_at REAL NOT NULL DEFAULT 0,
  ready_at REAL,
  pages INTEGER NOT NULL DEFAULT 0,
  queued INTEGER NOT NULL DEFAULT 0,
  over_budget INTEGER NOT NULL DEFAULT 0
) STRICT""",
    "CREATE INDEX host_ready ON host (ready_at) WHERE ready_at IS NOT NULL",
    """CREATE TABLE queue (
  host INTEGER NOT NULL,
  due REAL NOT NULL,
  rank INTEGER NOT NULL,
  item INTEGER NOT NULL,
  url TEXT NOT NULL,
  payload TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  PRIMARY KEY (host, due, rank, item)
) STRICT, WITHOUT ROWID""",
    """CREATE TABLE lease (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  host INTEGER NOT NULL UNIQUE,
  rank INTEGER NOT NULL,
  item INTEGER NOT NULL,
  url TEXT NOT NULL,
  payload TEXT NOT NULL,
  attempt INTEGER NOT NULL
) STRICT""",
    "CREATE TABLE seen (host INTEGER, fingerprint INTEGER, PRIMARY KEY (host, fingerprint)) STRICT, WITHOUT ROWID",
    "CREATE TABLE origin (authority TEXT PRIMARY KEY, blob BLOB NOT NULL, expires_at REAL NOT NULL) STRICT",
    "CREATE TABLE payload (digest BLOB PRIMARY KEY, reference BLOB NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE fact (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
)

_ELSEWHERE: Final = "Name another file with KNOCKFIRST_FRONTIER, or another output folder."
_DAMAGED: Final = "Restore it from a copy, or begin a new crawl in another output folder; log and WARC stay valid."
_REMEDIES: Final = {
    sqlite3.SQLITE_BUSY: ("is in use by another crawl", f"Wait until that one ends. {_ELSEWHERE}"),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "See that its folder exists and that you may write there."),
    sqlite3.SQLITE_CORRUPT: ("is damaged", _DAMAGED),
    sqlite3.SQLITE_FULL: ("has no room left on its disk", "Make room, then start the same command again."),
    sqlite3.SQLITE_IOERR: ("cannot be read or written", "Look at the disk, then start the same command again."),
    sqlite3.SQLITE_NOTADB: ("is not a frontier", _ELSEWHERE),
    sqlite3.SQLITE_READONLY: ("is read-only", "See that you may write to the file and to its folder."),
}


class SqliteFile:
    """One frontier file, and the one connection to it. Belongs to one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open or create the file.

        Raises:
            FrontierError: it is not ours, of another version, damaged, in use, or out of reach.
        """
        with self.explained():
            self._db = sqlite3.connect(self.path, isolation_level=None, timeout=0)
            # One crawl owns the file: the lock lasts until the process ends, however it ends.
            self.sql("PRAGMA locking_mode = EXCLUSIVE")
            new = self._is_new()
            for statement in _SETTINGS:
                self.sql(statement)
            if new:
                self._create()
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

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is done inside is durable at the end, or undone."""
        try:
            with self.explained():
                self.sql("BEGIN")
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

    def _create(self) -> None:
        with self.transaction():
            for statement in _SCHEMA:
                self.sql(statement)
            self.sql(f"PRAGMA application_id = {APPLICATION_ID}")
            self.sql(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _check(self) -> None:
        """Read the whole file once: about 0.7 s per 100 MB, against a crawl that goes wrong in the middle."""
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
