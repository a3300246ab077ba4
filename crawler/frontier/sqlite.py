"""The frontier in one SQLite file: the default, for any number of crawl processes on one machine.

Durability costs an fsync, so what is called in one turn of the event loop, or while the last fsync was under way,
shares one transaction, in the order of the calls. Connection and waiting live in one worker thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from crawler.frontier.interface import (
    Block,
    Counts,
    Found,
    FrontierError,
    Lease,
    Limits,
    Outcome,
    Recent,
    State,
    WorkerStatus,
    check_found,
    check_outcome,
)
from crawler.frontier.sqlite_store import Store

P = ParamSpec("P")
T = TypeVar("T")

_RECENT: Final = 1 << 17
"""URLs remembered in memory, 64 bits each: about 10 MB."""

_LISTED: Final = 1000
"""Rows of a listing that are read at a time: a transaction that reads for long keeps the file from being tidied."""

_READS: Final = frozenset(
    {
        Store.blocks,
        Store.counts,
        Store.dead,
        Store.first_payload,
        Store.get,
        Store.next_due,
        Store.queued,
        Store.recall_origin,
        Store.state,
        Store.workers,
    }
)
"""What writes nothing, and so waits for no other process."""

Work = tuple[Callable[..., Any], Callable[[], Any]]
"""A method of `Store`, and a call of it."""


class SqliteFrontier:
    """`Frontier` over one SQLite file."""

    def __init__(
        self, path: Path, *, now: Callable[[], float], worker: str, limits: Limits, recent: int = _RECENT
    ) -> None:
        self._path = path
        self._now = now
        self._store = Store(path, worker=worker, limits=limits)
        self._recent = Recent(recent)
        self._jobs: list[tuple[Work, asyncio.Future[Any]]] = []
        self._thread: ThreadPoolExecutor | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._open = False

    async def open(self) -> list[Lease]:
        """See `Frontier.open`."""
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, "frontier")
        try:
            leases = await loop.run_in_executor(thread, self._store.open, self._now)
        except BaseException:
            thread.submit(self._store.close)
            thread.shutdown(wait=False)
            raise
        self._thread, self._open = thread, True
        return leases

    async def push(self, found: Sequence[Found]) -> int:
        """See `Frontier.push`."""
        items = self._recent.unfamiliar(found)
        if not items:
            return 0
        new, held = await self._do(Store.push, items)
        self._remember(held)
        return new

    async def claim(self, n: int, *, epoch: str = "") -> list[Lease]:
        """See `Frontier.claim`."""
        asked = self._do(Store.claim, n, self._now(), epoch)
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            asked.add_done_callback(self._give_back)
            raise

    async def hold(self, authority: str) -> tuple[int | None, float]:
        """See `Frontier.hold`."""
        return await self._do(Store.hold, authority, self._now())

    async def renew(self, told: str = "") -> frozenset[int]:
        """See `Frontier.renew`."""
        return await self._do(Store.renew, told, self._now())

    async def finish(self, outcomes: Sequence[Outcome]) -> None:
        """See `Frontier.finish`."""
        for outcome in outcomes:
            check_outcome(outcome)
        children = [child for outcome in outcomes for child in outcome.children]
        self._remember(await self._do(Store.finish, tuple(outcomes), self._recent.unfamiliar(children)))

    async def next_due(self) -> float | None:
        """See `Frontier.next_due`."""
        return await self._do(Store.next_due)

    async def counts(self) -> Counts:
        """See `Frontier.counts`."""
        return await self._do(Store.counts, self._now())

    async def remember_origin(self, authority: str, blob: bytes, expires_at: float) -> None:
        """See `Frontier.remember_origin`."""
        await self._do(Store.remember_origin, authority, blob, expires_at)

    async def recall_origin(self, authority: str) -> tuple[bytes, float] | None:
        """See `Frontier.recall_origin`."""
        return await self._do(Store.recall_origin, authority, self._now())

    async def first_payload(self, digest: bytes) -> bytes | None:
        """See `Frontier.first_payload`."""
        return await self._do(Store.first_payload, digest)

    async def get(self, key: str) -> str | None:
        """See `Frontier.get`."""
        return await self._do(Store.get, key)

    async def put(self, key: str, value: str) -> None:
        """See `Frontier.put`."""
        await self._do(Store.put, key, value)

    async def swap(self, key: str, old: str | None, new: str) -> bool:
        """See `Frontier.swap`."""
        return await self._do(Store.swap, key, old, new)

    async def state(self) -> State:
        """See `Frontier.state`."""
        return await self._do(Store.state)

    async def steer(self, state: State) -> None:
        """See `Frontier.steer`."""
        await self._do(Store.steer, state)

    async def block(self, block: Block) -> None:
        """See `Frontier.block`."""
        await self._do(Store.block, block)

    async def unblock(self, authority: str) -> bool:
        """See `Frontier.unblock`."""
        return await self._do(Store.unblock, authority, self._now())

    async def blocks(self) -> list[Block]:
        """See `Frontier.blocks`."""
        return await self._do(Store.blocks, self._now())

    async def workers(self) -> list[WorkerStatus]:
        """See `Frontier.workers`."""
        return await self._do(Store.workers)

    async def dead(self) -> AsyncIterator[Found]:
        """See `Frontier.dead`."""
        after = ("",)
        while rows := await self._do(Store.dead, after, _LISTED):
            for _, found in rows:
                yield found
            after = rows[-1][0]

    async def requeue(self, found: Sequence[Found]) -> int:
        """See `Frontier.requeue`."""
        for one in found:
            check_found(one)
        return await self._do(Store.requeue, tuple(found))

    async def queued(self) -> AsyncIterator[Found]:
        """See `Frontier.queued`."""
        after: tuple[Any, ...] = (0, 0.0, 0, 0)
        while rows := await self._do(Store.queued, after, _LISTED):
            for _, found in rows:
                yield found
            after = rows[-1][0]

    async def close(self) -> None:
        """See `Frontier.close`."""
        self._open = False
        await self._idle.wait()
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._store.close)
            thread.shutdown()

    def _remember(self, held: Sequence[str]) -> None:
        for url in held:
            self._recent.add(url)

    def _give_back(self, asked: asyncio.Future[list[Lease]]) -> None:
        """Nobody is left who could finish these leases."""
        if asked.exception() is None:
            outcomes = [Outcome(lease.id, host_free_at=0, counts_as_try=False) for lease in asked.result()]
            self._later(Store.finish, outcomes, ())

    def _do(self, work: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        if not self._open:
            raise FrontierError("is not open", where=str(self._path), remedy="Call open() first, and close() last.")
        return self._later(work, *args, **kwargs)

    def _later(self, work: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Put a call in line for the next transaction."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._jobs.append(((work, partial(work, self._store, *args, **kwargs)), answer))
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
        works = [call for (_, call), _ in batch]
        writes = any(work not in _READS for (work, _), _ in batch)
        running = loop.run_in_executor(self._thread, partial(self._store.transact, works, writes=writes))
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
