"""Lists: the same rows as a page of a table, and whole as CSV, JSON or JSON lines.

Every list has an order in which a row's key says where to go on, so that a page far down costs what the first one does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from provenance.entry import timestamp
from provenance.escaping import csv_text
from provenance.index import url_number
from provenance.lookup import Lookup, Row

PAGE_ROWS: Final = 50
_CHUNK_ROWS: Final = 1_000
_MAX_KEYS: Final = 4
_MAX_DIGITS: Final = 18


class Column(NamedTuple):
    """One column.

    Attributes:
        name: its name in exports; heading: on the page.
        kind: how the page shows a value: "text", "code", "entry", "url", "site", "time", "verdict", "reason",
            "number", "octets", "yes", "day".
    """

    name: str
    heading: str
    kind: str = "text"


class Listing(NamedTuple):
    """One list.

    Attributes:
        name: of the files that it is exported as.
        caption: what it lists, for people who do not see the table.
        columns: what is shown.
        sql: `SELECT ... WHERE ... {after}`, without order and limit; empty for rows that lie in memory.
        parameters: for its placeholders.
        keys: expressions that a row is found again by, most significant first; all sorted downwards. Integers.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    sql: str = ""
    parameters: tuple[Any, ...] = ()
    keys: tuple[str, ...] = ("seq",)


class Page(NamedTuple):
    """A part of a list.

    Attributes:
        name, caption, columns: as of the `Listing`.
        rows: its rows.
        after: where the next part begins; empty at the end.
        first: whether this is the beginning.
        query: the part of the address that names the list, for links to other parts and to exports.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: list[Row]
    after: str
    first: bool
    query: Mapping[str, str]


def page(look: Lookup, listing: Listing, after: str, query: Mapping[str, str], rows: int = PAGE_ROWS) -> Page:
    """The part of a list that begins behind `after`.

    Raises:
        ValueError: `after` is no place in a list.
    """
    found = _rows(look, listing, _key(listing, after), rows + 1)
    more = len(found) > rows
    found = found[:rows]
    token = _token(listing, found[-1]) if more else ""
    return Page(listing.name, listing.caption, listing.columns, found, token, not after, _kept(query))


def part(listing: Listing, rows: Sequence[Row], after: str, query: Mapping[str, str]) -> Page:
    """The part of a list that begins at row number `after`, of rows that lie in memory.

    Raises:
        ValueError: `after` is no number.
    """
    start = number(after or "0")
    if start is None:
        raise ValueError("no place in this list")
    end = start + PAGE_ROWS
    token = str(end) if end < len(rows) else ""
    return Page(listing.name, listing.caption, listing.columns, list(rows[start:end]), token, not start, _kept(query))


def _kept(query: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in query.items() if name not in {"after", "format"} and value}


def _rows(look: Lookup, listing: Listing, key: tuple[int, ...], limit: int) -> list[Row]:
    names = ", ".join(listing.keys)
    after = f"AND ({names}) < ({', '.join('?' * len(key))})" if key else ""
    order = ", ".join(f"{name} DESC" for name in listing.keys)
    sql = listing.sql.replace("{after}", after)
    return look.rows(f"{sql} ORDER BY {order} LIMIT ?", *listing.parameters, *key, limit)


def _key(listing: Listing, after: str) -> tuple[int, ...]:
    if not after:
        return ()
    parts = after.split(".", _MAX_KEYS)
    key = tuple(found for found in map(number, parts) if found is not None)
    if len(parts) != len(listing.keys) or len(key) != len(parts):
        raise ValueError("no place in this list")
    return key


def number(text: str) -> int | None:
    """A number of an address; None when it is none, or longer than any entry's."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None


def _token(listing: Listing, row: Row) -> str:
    return ".".join(str(row[name.rpartition(".")[2]]) for name in listing.keys)


def whole(look: Lookup, listing: Listing) -> Iterator[Row]:
    """All rows, a portion at a time."""
    key: tuple[int, ...] = ()
    while rows := _rows(look, listing, key, _CHUNK_ROWS):
        yield from rows
        key = _key(listing, _token(listing, rows[-1]))


# -- exports -----------------------------------------------------------------------------------------------------------


def _as_csv(columns: Sequence[Column], rows: Iterable[Row]) -> Iterator[bytes]:
    yield csv_text([[column.name for column in columns]]).encode()
    for row in rows:
        values = (_value(column, row) for column in columns)
        yield csv_text([["" if value is None else value for value in values]]).encode("utf-8", "replace")


def _as_json(columns: Sequence[Column], rows: Iterable[Row]) -> Iterator[bytes]:
    between = b"[\n"
    for line in _as_lines(columns, rows):
        yield between + line.rstrip(b"\n")
        between = b",\n"
    yield b"\n]\n" if between != b"[\n" else b"[]\n"


def _as_lines(columns: Sequence[Column], rows: Iterable[Row]) -> Iterator[bytes]:
    for row in rows:
        yield msgspec.json.encode({column.name: _value(column, row) for column in columns}) + b"\n"


def _value(column: Column, row: Row) -> Any:
    value = row[column.name]
    match column.kind:
        case "time":
            return timestamp(value) if value else ""
        case "yes":
            return bool(value)
        case _:
            return value


class Format(NamedTuple):
    """One form that a list can be had in."""

    label: str
    media_type: str
    write: Callable[[Sequence[Column], Iterable[Row]], Iterator[bytes]]


FORMATS: Final = {
    "csv": Format("CSV", "text/csv; charset=utf-8; header=present", _as_csv),
    "json": Format("JSON", "application/json", _as_json),
    "jsonl": Format("JSON lines", "application/jsonl", _as_lines),
}

# -- the lists ---------------------------------------------------------------------------------------------------------

_ATTEMPT: Final = (
    Column("seq", "Entry", "entry"),
    Column("verdict", "Verdict", "verdict"),
    Column("url", "URL", "url"),
    Column("reason", "Reason", "reason"),
    Column("at", "Time (UTC)", "time"),
    Column("last_word", "Last word", "yes"),
)
_ATTEMPTS: Final = (
    "SELECT entry.seq AS seq, at, url, verdict, reason, final AND by IS NULL AS last_word FROM entry {index} "
    "LEFT JOIN superseded ON superseded.seq = entry.seq WHERE {where} {after}"
)


def attempts(*, site: Row | None = None, verdict: str = "", reason: str = "") -> Listing:
    """Attempts at URLs, the newest first: all of the log, or those of a site, with a verdict, for a reason."""
    wanted = {"site": site["id"] if site else None, "reason": reason, "verdict": verdict}
    chosen = {name: value for name, value in wanted.items() if value}
    first = next(iter(chosen), "verdict")
    where = " AND ".join(f"{'' if name == first else '+'}{name} = ?" for name in chosen)
    if site:
        where += " AND verdict IS NOT NULL"
    sql = _ATTEMPTS.replace("{where}", where or "kind = 'decision'")
    sql = sql.replace("{index}", f"INDEXED BY entry_{first}" if chosen else "")
    caption = "Attempts at URLs" + (f" of {site['name']}" if site else "") + ", newest first"
    return Listing("attempts", caption, _ATTEMPT, sql, tuple(chosen.values()), ("entry.seq",))


def sites() -> Listing:
    """Sites, the busiest first."""
    columns = (
        Column("name", "Site", "site"),
        Column("attempts", "Attempts", "number"),
        Column("kept", "Kept", "number"),
        Column("octets", "Octets kept", "octets"),
    )
    sql = "SELECT id, name, attempts, kept, octets FROM site WHERE attempts > 0 {after}"
    return Listing("sites", "Sites, the one with most attempts first", columns, sql, (), ("attempts", "id"))


_EVIDENCE: Final = (
    Column("seq", "Entry", "entry"),
    Column("at", "Time (UTC)", "time"),
    Column("outcome", "Outcome", "code"),
    Column("changed", "Differs from the one before", "yes"),
    Column("octets", "Octets", "octets"),
    Column("d", "Digest of the text", "code"),
)


def attempts_at(url: str) -> Listing:
    """Every attempt at one URL, the newest first."""
    sql = _ATTEMPTS.replace("{index}", "INDEXED BY entry_url").replace(
        "{where}", "u = ? AND url = ? AND kind = 'decision'"
    )
    columns = tuple(column for column in _ATTEMPT if column.name != "url")
    return Listing(
        "attempts", "Attempts at the URL, newest first", columns, sql, (url_number(url), url), ("entry.seq",)
    )


def fetches(authority: str, name: str, site: int) -> Listing:
    """All fetches of one document of an authority, the newest first."""
    sql = (
        "SELECT seq, at, outcome, octets, d, coalesce(d || outcome <> (SELECT older.d || older.outcome "
        "FROM document AS older WHERE older.site = document.site AND older.authority = document.authority "
        "AND older.name = document.name AND older.seq < document.seq ORDER BY older.seq DESC LIMIT 1), 0) AS changed "
        "FROM document WHERE site = ? AND authority = ? AND name = ? {after}"
    )
    return Listing(
        "fetches", f"Every fetch of {name} of {authority}, newest first", _EVIDENCE, sql, (site, authority, name)
    )


def checkpoints() -> Listing:
    """The signed heads, the newest first; the page checks the signature of each it shows."""
    columns = (Column("number", "No.", "number"), Column("text", "Checkpoint", "code"))
    sql = "SELECT number, CAST(text AS TEXT) AS text FROM note WHERE true {after}"
    return Listing("checkpoints", "Signed checkpoints, newest first", columns, sql, (), ("number",))


def others() -> Listing:
    """Runs, rules, finished files, later changes and seals, the newest first."""
    columns = (Column("seq", "Entry", "entry"), Column("at", "Time (UTC)", "time"), Column("kind", "Kind"))
    return Listing(
        "runs", "Entries about the log itself, newest first", columns, "SELECT * FROM other WHERE true {after}"
    )
