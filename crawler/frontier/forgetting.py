"""Takes the text of an erased URL out of a frontier file: what waits, what was given up, and what refers to it.

That the URL was seen stays, as 64 bits of a hash: it is not asked for again because of this.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from crawler.frontier.sqlite_store import READY
from provenance.erase import EraseError

FILE: Final = "frontier.db"
#: Tables that hold URLs with their errands, and where `standing` counts their rows.
_COUNTED: Final = {"queue": "queued", "lease": "", "dead": "dead"}


def forget(path: Path, url: str) -> int:
    """Erase a URL from a frontier file that no crawl has open. Returns how many rows held it; 0 where there is no file.

    Args:
        path: the file.
        url: exactly as it was asked for.

    Raises:
        sqlite3.Error: it cannot be read or written; nothing was changed.
    """
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA secure_delete = ON")
        db.execute("BEGIN IMMEDIATE")
        try:
            held = _forget(db, url)
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return held


def forget_in(out: Path, url: str) -> str:
    """Erase a URL from the frontier file of an output folder; what was done, in a sentence.

    Raises:
        EraseError: the file cannot be read or written.
    """
    try:
        held = forget(out / FILE, url)
    except sqlite3.Error as error:
        raise EraseError(
            f"{out / FILE}: the URL is still in there ({error}). End what has it open; erase again"
        ) from error
    return f"{FILE}: {held} rows held the URL, and hold it no more."


def _forget(db: sqlite3.Connection, url: str) -> int:
    held = 0
    for table, counter in _COUNTED.items():
        hosts = db.execute(f"SELECT host FROM {table} WHERE url = ? AND host NOT NULL", (url,)).fetchall()  # noqa: S608
        gone = db.execute(f"DELETE FROM {table} WHERE url = ?", (url,)).rowcount  # noqa: S608  (names of our own)
        db.executemany(READY, hosts)
        if counter:
            db.execute(f"UPDATE standing SET {counter} = {counter} - ?", (gone,))  # noqa: S608
        held += gone + _forget_hops(db, table, url)
    quoted = msgspec.json.encode(url)
    held += db.execute("DELETE FROM payload WHERE instr(reference, ?)", (quoted,)).rowcount
    return held


def _forget_hops(db: sqlite3.Connection, table: str, url: str) -> int:
    """URLs that were led to from this one keep their place, and no longer say where they were led from."""
    quoted = msgspec.json.encode(url).decode()
    query = f"SELECT DISTINCT payload FROM {table} WHERE instr(payload, ?)"  # noqa: S608
    found = [row[0] for row in db.execute(query, (quoted,))]
    for payload in found:
        errand = msgspec.json.decode(payload)  # an `Errand`, which this must read without Scrapy
        errand.pop("hops", None)
        db.execute(
            f"UPDATE {table} SET payload = ? WHERE payload = ?",  # noqa: S608
            (msgspec.json.encode(errand).decode(), payload),
        )
    return len(found)
