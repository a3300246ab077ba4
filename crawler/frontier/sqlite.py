"""The frontier in one SQLite file: the default, for one crawl process on one machine.

Durability costs an fsync, so what is called in one turn of the event loop, or while the last fsync was under way,
shares one transaction, in the order of the calls. Connection and waiting live in one worker thread.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import msgspec

from crawler.frontier.interface import (
    Counts,
    Found,
    FrontierError,
    Lease,
    Outcome,
    Recent,
    check_found,
    check_outcome,
    fingerprint,
)
from crawler.frontier.sqlite_file import SqliteFile

P = ParamSpec("P")
T = TypeVar("T")

_RECENT: Final = 1 << 17
"""URLs remembered in memory, 64 bits each: about 10 MB."""


class _Totals(msgspec.Struct):
    """Sums over all hosts, kept so that nobody has to count."""

    hosts: int = 0
    seen: int = 0
    queued: int = 0
    over_budget: int = 0


def _attempt(work: Callable[[], object]) -> object:
    try:
        return work()
    except FrontierError as error:
        return error


class _Store:
    """The frontier's statements. Everything here runs in the one worker thread."""

    def __init__(self, path: Path, *, max_per_host: int) -> None:
        self._file = SqliteFile(path)
        self._sql = self._file.sql
        self._max_per_host = max_per_host
        self._totals = _Totals()
        self.close = self._file.close

    def open(self, now: float) -> list[Lease]:
        """Open or create the file; returns the leases in it."""
        self._file.open()
        with self._file.transaction():
            self._sql("DELETE FROM origin WHERE expires_at <= ?", now)
            sums = self._sql("SELECT count(*), sum(pages), sum(queued), sum(over_budget) FROM host").fetchone()
            self._totals = _Totals(*(value or 0 for value in sums))
            leases = self._sql(
                "SELECT lease.id, url, authority, payload, attempt, -rank"
                " FROM lease JOIN host ON host.id = lease.host ORDER BY lease.id"
            )
            return [Lease(*row) for row in leases]

    def transact(self, works: Sequence[Callable[[], object]]) -> list[object]:
        """Do all works in one durable transaction; an answer each, which may be the `FrontierError` of that one.

        A work refuses before it writes, so that one caller's fault does not undo what the others asked for.
        """
        before = copy.copy(self._totals)
        try:
            with self._file.transaction():
                return [_attempt(work) for work in works]
        except BaseException:
            self._totals = before
            raise

    def push(self, items: Sequence[tuple[int, Found]]) -> tuple[int, list[str]]:
        """Queue what is new. Returns how many were, and the URLs of them all that the file now holds."""
        before = self._totals.seen
        held: list[str] = []
        by_authority: dict[str, list[tuple[int, Found]]] = {}
        for item in items:
            by_authority.setdefault(item[1].authority, []).append(item)
        for authority, group in by_authority.items():
            held += self._push_to(authority, group)
        return self._totals.seen - before, held

    def claim(self, n: int, now: float) -> list[Lease]:
        """Lease the best due URL of each of the `n` hosts that have been ready for longest."""
        ready = self._sql(
            "SELECT id, authority FROM host WHERE ready_at <= ? ORDER BY ready_at, id LIMIT ?", now, max(n, 0)
        ).fetchall()
        return [self._lease(host, authority, now) for host, authority in ready]

    def finish(self, outcomes: Sequence[Outcome], children: Sequence[tuple[int, Found]]) -> list[str]:
        """End leases. Returns the URLs of the children that the file now holds."""
        open_leases: dict[int, tuple[Any, ...]] = {}
        for outcome in outcomes:
            row = self._sql("SELECT host, rank, item, url, payload, attempt FROM lease WHERE id = ?", outcome.lease)
            lease = row.fetchone()
            if lease is None or outcome.lease in open_leases:
                raise FrontierError(
                    f"lease {outcome.lease} is not open",
                    where=str(self._file.path),
                    remedy="A lease is finished once, by the crawl that claimed it.",
                )
            open_leases[outcome.lease] = lease
        _, held = self.push(children)
        for outcome in outcomes:
            self._end(outcome, open_leases[outcome.lease])
        return held

    def next_due(self) -> float | None:
        """When the first host is ready."""
        row = self._sql("SELECT ready_at FROM host WHERE ready_at IS NOT NULL ORDER BY ready_at LIMIT 1").fetchone()
        return row and row[0]  # type: ignore[no-any-return]

    def counts(self, now: float) -> Counts:
        """The totals, and what must be asked of the moment."""
        totals = self._totals
        return Counts(
            queued=totals.queued,
            leased=self._sql("SELECT count(*) FROM lease").fetchone()[0],
            hosts=totals.hosts,
            seen=totals.seen,
            waiting=self._sql("SELECT count(*) FROM host WHERE ready_at > ?", now).fetchone()[0],
            over_budget=totals.over_budget,
        )

    def remember_origin(self, authority: str, blob: bytes, expires_at: float) -> None:
        """One row an origin."""
        self._sql("INSERT OR REPLACE INTO origin VALUES (?, ?, ?)", authority, blob, expires_at)

    def recall_origin(self, authority: str, now: float) -> tuple[bytes, float] | None:
        """The row, unless it has expired."""
        query = "SELECT blob, expires_at FROM origin WHERE authority = ? AND expires_at > ?"
        return self._sql(query, authority, now).fetchone()  # type: ignore[no-any-return]

    def first_payload(self, digest: bytes) -> bytes | None:
        """The reference of the first outcome with this digest."""
        row = self._sql("SELECT reference FROM payload WHERE digest = ?", digest).fetchone()
        return row and row[0]  # type: ignore[no-any-return]

    def get(self, key: str) -> str | None:
        """One fact."""
        row = self._sql("SELECT value FROM fact WHERE key = ?", key).fetchone()
        return row and row[0]  # type: ignore[no-any-return]

    def put(self, key: str, value: str) -> None:
        """Set one fact."""
        self._sql("INSERT OR REPLACE INTO fact VALUES (?, ?)", key, value)

    def _push_to(self, authority: str, items: list[tuple[int, Found]]) -> list[str]:
        row = self._sql("SELECT id, pages FROM host WHERE authority = ?", authority).fetchone()
        if row is None:
            row = self._sql("INSERT INTO host (authority) VALUES (?)", authority).lastrowid, 0
            self._totals.hosts += 1
        host, pages = row
        held: list[str] = []
        dropped, before = 0, pages
        for number, found in items:
            if self._max_per_host and pages >= self._max_per_host:
                if self._sql("SELECT 1 FROM seen WHERE host = ? AND fingerprint = ?", host, number).fetchone():
                    held.append(found.url)
                else:
                    dropped += 1
                continue
            held.append(found.url)
            if self._sql("INSERT OR IGNORE INTO seen VALUES (?, ?)", host, number).rowcount:
                pages += 1
                self._totals.seen += 1  # never falls, and so numbers the items in the order of their coming
                self._enqueue(host, 0.0, -found.priority, self._totals.seen, found.url, found.payload, 1)
        if dropped or pages > before:
            self._totals.over_budget += dropped
            self._sql(
                "UPDATE host SET pages = ?2, over_budget = over_budget + ?3, queued = queued + ?4, ready_at ="
                " CASE WHEN ?4 > 0 AND NOT EXISTS (SELECT 1 FROM lease WHERE host = ?1) THEN free_at ELSE ready_at END"
                " WHERE id = ?1",
                *(host, pages, dropped, pages - before),
            )
        return held

    def _enqueue(self, *row: object) -> None:
        self._sql("INSERT INTO queue VALUES (?, ?, ?, ?, ?, ?, ?)", *row)
        self._totals.queued += 1

    def _lease(self, host: int, authority: str, now: float) -> Lease:
        # What was put back and has come due competes with the rest again.
        self._sql("UPDATE queue SET due = 0 WHERE host = ? AND due > 0 AND due <= ?", host, now)
        rank, item, url, payload, attempt = self._sql(
            "SELECT rank, item, url, payload, attempt FROM queue"
            " WHERE host = ? AND due = 0 ORDER BY rank, item LIMIT 1",
            host,
        ).fetchone()
        self._sql("DELETE FROM queue WHERE host = ? AND due = 0 AND rank = ? AND item = ?", host, rank, item)
        self._sql("UPDATE host SET ready_at = NULL, queued = queued - 1 WHERE id = ?", host)
        self._totals.queued -= 1
        cursor = self._sql(
            "INSERT INTO lease (host, rank, item, url, payload, attempt) VALUES (?, ?, ?, ?, ?, ?)",
            *(host, rank, item, url, payload, attempt),
        )
        return Lease(cursor.lastrowid or 0, url, authority, payload, attempt, -rank)

    def _end(self, outcome: Outcome, lease: tuple[Any, ...]) -> None:
        host, rank, item, url, payload, attempt = lease
        back = outcome.again_at is not None or not outcome.counts_as_try
        self._sql("DELETE FROM lease WHERE id = ?", outcome.lease)
        if back:
            due = max(outcome.again_at or 0.0, 0.0)
            self._enqueue(host, due, rank, item, url, payload, attempt + outcome.counts_as_try)
        self._sql(
            "UPDATE host SET free_at = max(free_at, ?2), queued = queued + ?3,"
            # max() of a NULL is NULL: a host with an empty queue is not ready.
            " ready_at = max(free_at, ?2, (SELECT due FROM queue WHERE host = ?1 ORDER BY due LIMIT 1)) WHERE id = ?1",
            *(host, outcome.host_free_at, back),
        )
        if outcome.payload is not None:
            self._sql("INSERT OR IGNORE INTO payload VALUES (?, ?)", *outcome.payload)


class SqliteFrontier:
    """`Frontier` over one SQLite file."""

    def __init__(self, path: Path, *, now: Callable[[], float], max_per_host: int = 0, recent: int = _RECENT) -> None:
        self._path = path
        self._now = now
        self._store = _Store(path, max_per_host=max_per_host)
        self._recent = Recent(recent)
        self._jobs: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._thread: ThreadPoolExecutor | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._open = False

    async def open(self) -> list[Lease]:
        """See `Frontier.open`."""
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, "frontier")
        try:
            leases = await loop.run_in_executor(thread, self._store.open, self._now())
        except BaseException:
            thread.submit(self._store.close)
            thread.shutdown(wait=False)
            raise
        self._thread, self._open = thread, True
        return leases

    async def push(self, found: Sequence[Found]) -> int:
        """See `Frontier.push`."""
        items = self._unfamiliar(found)
        if not items:
            return 0
        new, held = await self._do(_Store.push, items)
        self._remember(held)
        return new

    async def claim(self, n: int) -> list[Lease]:
        """See `Frontier.claim`."""
        asked = self._do(_Store.claim, n, self._now())
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            asked.add_done_callback(self._give_back)
            raise

    async def finish(self, outcomes: Sequence[Outcome]) -> None:
        """See `Frontier.finish`."""
        for outcome in outcomes:
            check_outcome(outcome)
        children = [child for outcome in outcomes for child in outcome.children]
        self._remember(await self._do(_Store.finish, tuple(outcomes), self._unfamiliar(children)))

    async def next_due(self) -> float | None:
        """See `Frontier.next_due`."""
        return await self._do(_Store.next_due)

    async def counts(self) -> Counts:
        """See `Frontier.counts`."""
        return await self._do(_Store.counts, self._now())

    async def remember_origin(self, authority: str, blob: bytes, expires_at: float) -> None:
        """See `Frontier.remember_origin`."""
        await self._do(_Store.remember_origin, authority, blob, expires_at)

    async def recall_origin(self, authority: str) -> tuple[bytes, float] | None:
        """See `Frontier.recall_origin`."""
        return await self._do(_Store.recall_origin, authority, self._now())

    async def first_payload(self, digest: bytes) -> bytes | None:
        """See `Frontier.first_payload`."""
        return await self._do(_Store.first_payload, digest)

    async def get(self, key: str) -> str | None:
        """See `Frontier.get`."""
        return await self._do(_Store.get, key)

    async def put(self, key: str, value: str) -> None:
        """See `Frontier.put`."""
        await self._do(_Store.put, key, value)

    async def close(self) -> None:
        """See `Frontier.close`."""
        self._open = False
        await self._idle.wait()
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._store.close)
            thread.shutdown()

    def _unfamiliar(self, found: Sequence[Found]) -> list[tuple[int, Found]]:
        """What was not met lately, with its fingerprint: only this is worth a look at the file."""
        items = []
        for one in found:
            if one.url not in self._recent:
                check_found(one)
                items.append((fingerprint(one.url), one))
        return items

    def _remember(self, held: Sequence[str]) -> None:
        for url in held:
            self._recent.add(url)

    def _give_back(self, asked: asyncio.Future[list[Lease]]) -> None:
        """Nobody is left who could finish these leases."""
        if asked.exception() is None:
            outcomes = [Outcome(lease.id, host_free_at=0, counts_as_try=False) for lease in asked.result()]
            self._later(partial(self._store.finish, outcomes, ()))

    def _do(self, work: Callable[Concatenate[_Store, P], T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        if not self._open:
            raise FrontierError("is not open", where=str(self._path), remedy="Call open() first, and close() last.")
        return self._later(partial(work, self._store, *args, **kwargs))

    def _later(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Put a call in line for the next transaction."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._jobs.append((work, answer))
        if self._idle.is_set():
            self._idle.clear()
            loop.call_soon(self._start)
        return answer

    def _start(self) -> None:
        """Send everything that stands in line to the worker thread."""
        if not self._jobs:
            self._idle.set()
            return
        batch, self._jobs = self._jobs, []
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._thread, self._store.transact, [work for work, _ in batch])
        running.add_done_callback(partial(self._settle, [answer for _, answer in batch]))

    def _settle(self, waiting: list[asyncio.Future[Any]], running: asyncio.Future[list[object]]) -> None:
        error = running.exception()
        answers = running.result() if error is None else [error] * len(waiting)
        for future, answer in zip(waiting, answers, strict=True):
            if future.done():  # its caller was cancelled
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        # After those who wake up now, so that what they ask for next shares the next transaction.
        asyncio.get_running_loop().call_soon(self._start)
