"""One last word on every URL, over all logs of a crawl: which final entries another one replaces.

Workers share a frontier, each writes a log of its own. A worker that dies, or that stalls until its lease is given to
another, leaves a last word on a URL that somebody else then has, too. Lease ids grow over the life of a crawl and none
is given twice, so the highest one is the newest claim: its entry holds. docs/log-format.md, "Several workers".
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from hashlib import blake2b
from typing import Final

import msgspec

from provenance.entry import DecisionEntry, Entry

_SCHEMA: Final = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;
CREATE TABLE url (key BLOB PRIMARY KEY, log INTEGER, seq INTEGER) WITHOUT ROWID;
CREATE TABLE word (log INTEGER, seq INTEGER, lease INTEGER, key BLOB, by INTEGER, PRIMARY KEY (log, seq)) WITHOUT ROWID;
CREATE INDEX word_key ON word (key);
BEGIN
"""
_SUPERSEDED: Final = """
WITH standing AS (
    SELECT *, row_number() OVER (PARTITION BY key ORDER BY lease DESC, seq DESC, log) AS place FROM word
    WHERE by IS NULL AND key IN (SELECT key FROM word WHERE by IS NULL GROUP BY key HAVING count(*) > 1)
)
SELECT old.log, old.seq, old.lease, new.log, new.seq FROM standing AS old
JOIN standing AS new ON new.key = old.key AND new.place = 1 WHERE old.place > 1
UNION ALL SELECT log, seq, lease, log, by FROM word WHERE by IS NOT NULL
ORDER BY 1, 2
"""


class Place(msgspec.Struct, frozen=True, order=True):
    """Where an entry stands.

    Attributes:
        origin: its log.
        seq: its index there.
    """

    origin: str
    seq: int


class Superseded(msgspec.Struct, frozen=True, kw_only=True):
    """A final entry that is not the last word on its URL: data made from it is not to be used beside the other's.

    Attributes:
        origin: its log.
        seq: its index there.
        lease: its lease.
        by: the entry that holds in its stead.
    """

    origin: str
    seq: int
    lease: int
    by: Place


class LastWords:
    """Takes in the decisions of all logs of a crawl, in any order of the logs. They lie in a temporary file."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(_SCHEMA)
        self._ids: dict[str, int] = {}

    def close(self) -> None:
        """Let go of the temporary file."""
        self._db.close()

    def see(self, origin: str, entry: Entry) -> None:
        """Take in one entry of a log; within one log, in its order."""
        if not isinstance(entry, DecisionEntry):
            return
        log, key = self._id(origin), word_key(entry.run, entry.url)
        self._db.execute("INSERT OR IGNORE INTO url VALUES (?, ?, ?)", (key, log, entry.seq))
        if entry.supersedes is not None:
            found = (entry.seq, log, entry.supersedes, key)
            self._db.execute("UPDATE word SET by = ? WHERE log = ? AND seq = ? AND key = ?", found)
        if entry.final:
            row = (log, entry.seq, entry.lease, key)
            self._db.execute("INSERT OR IGNORE INTO word VALUES (?, ?, ?, ?, NULL)", row)

    def _id(self, origin: str) -> int:
        return self._ids.setdefault(origin, len(self._ids))

    def superseded(self) -> Iterator[Superseded]:
        """The final entries that another one replaces, by log in the order they were first seen, then by index."""
        names = list(self._ids)
        for log, seq, lease, by_log, by in self._db.execute(_SUPERSEDED):
            yield Superseded(origin=names[log], seq=seq, lease=lease, by=Place(names[by_log], by))

    def open(self) -> Iterator[Place]:
        """An attempt at each URL that nobody has a last word on."""
        query = "SELECT log, seq FROM url WHERE key NOT IN (SELECT key FROM word) ORDER BY log, seq"
        names = list(self._ids)
        return (Place(names[log], seq) for log, seq in self._db.execute(query))

    def doubled_leases(self) -> Iterator[int]:
        """Leases under which two logs have final entries: never of one crawl."""
        query = "SELECT lease FROM word GROUP BY lease HAVING count(DISTINCT log) > 1 ORDER BY lease"
        return (row[0] for row in self._db.execute(query))


def word_key(run: str, url: str) -> bytes:
    """What final entries on one URL in one run have in common: 128 bits, so that two URLs never share it."""
    return blake2b(f"{run}\0{url}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def superseded(entries: Iterable[tuple[str, Entry]]) -> Iterator[Superseded]:
    """Of all entries of a crawl's logs, each with its log's origin, the final ones that another one replaces."""
    with closing(LastWords()) as words:
        for origin, entry in entries:
            words.see(origin, entry)
        yield from words.superseded()
