"""The frontier on Valkey or Redis: for a crawl on many machines.

Calls made in one turn of the event loop, or while earlier ones were under way, are done together: first facts, on which
all else may rely, then ends, then pushes, then claims, then the rest. `valkey_store` knows the steps of each; this
module is who waits for whom.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, Generic, TypeVar

from crawler.frontier.interface import (
    EPOCH,
    Block,
    Counts,
    Found,
    FrontierError,
    Lease,
    Limits,
    Outcome,
    State,
    WorkerStatus,
    check_found,
    check_outcome,
)
from crawler.frontier.valkey_server import Servers
from crawler.frontier.valkey_store import Items, Store
from crawler.frontier.valkey_url import Target

T = TypeVar("T")

_RECENT: Final = 1 << 17
"""URLs remembered in memory, 64 bits each: about 10 MB."""

_PATIENCE: Final = 0.75
"""The share of a lease's term for which a lost connection is tried again: behind it somebody else may hold the URLs."""


class Asked(Generic[T]):
    """Something that a caller waits for, with what it was asked with."""

    def __init__(self, what: T) -> None:
        self.what = what
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def settle(self, answer: object) -> None:
        """Tell the caller, who may be gone."""
        if self.answer.done():
            return
        if isinstance(answer, BaseException):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)


class Asks:
    """What stands in line."""

    def __init__(self) -> None:
        self.put: list[Asked[tuple[str, str]]] = []
        self.finish: list[Asked[tuple[Sequence[Outcome], Items]]] = []
        self.push: list[Asked[Items]] = []
        self.claim: list[Asked[tuple[int, str]]] = []
        self.rest: list[Asked[Callable[[], Awaitable[Any]]]] = []

    def __bool__(self) -> bool:
        return bool(self.put or self.finish or self.push or self.claim or self.rest)

    def everybody(self) -> list[Asked[Any]]:
        """All who wait."""
        return [*self.put, *self.finish, *self.push, *self.claim, *self.rest]


class ValkeyFrontier:
    """`Frontier` on Valkey or Redis."""

    def __init__(
        self, target: Target, *, now: Callable[[], float], worker: str, limits: Limits, recent: int = _RECENT
    ) -> None:
        self._target, self._worker = target, worker
        self.servers = Servers(target, patience_s=limits.lease_s * _PATIENCE)
        self._store = Store(self.servers, target, now=now, worker=worker, limits=limits, recent=recent)
        self._asks = Asks()
        self._working: asyncio.Task[None] | None = None
        self._open = False

    async def open(self) -> list[Lease]:
        """See `Frontier.open`."""
        try:
            await self.servers.open()
            leases = await self._store.open()
        except BaseException:
            await self.servers.close()
            raise
        self._open = True
        return leases

    async def push(self, found: Sequence[Found]) -> int:
        """See `Frontier.push`. When a connection was lost on the way, fewer may be counted than were new."""
        items = self._store.unfamiliar(found)
        return await self._ask(self._asks.push, items) if items else 0

    async def claim(self, n: int, *, epoch: str = "") -> list[Lease]:
        """See `Frontier.claim`."""
        self._check_worker()
        asked = self._ask(self._asks.claim, (n, epoch))
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            asked.add_done_callback(self._give_back)
            raise

    async def hold(self, authority: str) -> tuple[int | None, float]:
        """See `Frontier.hold`."""
        self._check_worker()
        return await self._do(self._store.hold, authority)

    async def renew(self, told: str = "") -> frozenset[int]:
        """See `Frontier.renew`."""
        self._check_worker()
        return await self._do(self._store.renew, told)

    async def finish(self, outcomes: Sequence[Outcome]) -> None:
        """See `Frontier.finish`.

        Leases of several shards end one shard after another: one that is lost in between is refused alone.
        """
        self._check_worker()
        for outcome in outcomes:
            check_outcome(outcome)
        children = self._store.unfamiliar([child for outcome in outcomes for child in outcome.children])
        await self._ask(self._asks.finish, (tuple(outcomes), children))

    async def next_due(self) -> float | None:
        """See `Frontier.next_due`."""
        return await self._do(self._store.next_due)

    async def counts(self) -> Counts:
        """See `Frontier.counts`."""
        return await self._do(self._store.counts)

    async def remember_origin(self, authority: str, blob: bytes, expires_at: float) -> None:
        """See `Frontier.remember_origin`."""
        await self._do(self._store.remember_origin, authority, blob, expires_at)

    async def recall_origin(self, authority: str) -> tuple[bytes, float] | None:
        """See `Frontier.recall_origin`."""
        return await self._do(self._store.recall_origin, authority)

    async def first_payload(self, digest: bytes) -> bytes | None:
        """See `Frontier.first_payload`."""
        return await self._do(self._store.first_payload, digest)

    async def get(self, key: str) -> str | None:
        """See `Frontier.get`."""
        return await self._do(self._store.get, key)

    async def put(self, key: str, value: str) -> None:
        """See `Frontier.put`."""
        if key == EPOCH:
            await self._do(self._store.set_epoch, value)
        else:
            await self._ask(self._asks.put, (key, value))

    async def swap(self, key: str, old: str | None, new: str) -> bool:
        """See `Frontier.swap`."""
        return await self._do(self._store.swap, key, old, new)

    async def state(self) -> State:
        """See `Frontier.state`."""
        return await self._do(self._store.state)

    async def steer(self, state: State) -> None:
        """See `Frontier.steer`."""
        await self._do(self._store.steer, state)

    async def block(self, block: Block) -> None:
        """See `Frontier.block`."""
        await self._do(self._store.block, block)

    async def unblock(self, authority: str) -> bool:
        """See `Frontier.unblock`."""
        return await self._do(self._store.unblock, authority)

    async def blocks(self) -> list[Block]:
        """See `Frontier.blocks`."""
        return await self._do(self._store.blocks)

    async def workers(self) -> list[WorkerStatus]:
        """See `Frontier.workers`."""
        return await self._do(self._store.workers)

    async def dead(self) -> AsyncIterator[Found]:
        """See `Frontier.dead`."""
        async for found in self._store.dead():
            yield found

    async def requeue(self, found: Sequence[Found]) -> int:
        """See `Frontier.requeue`."""
        for one in found:
            check_found(one)
        return await self._do(self._store.requeue, tuple(found))

    async def queued(self) -> AsyncIterator[Found]:
        """See `Frontier.queued`."""
        async for found in self._store.queued():
            yield found

    async def close(self) -> None:
        """See `Frontier.close`."""
        self._open = False
        while self._working is not None:
            await asyncio.wait([self._working])
        await self.servers.close()

    # -- standing in line ----------------------------------------------------------------------------------------------

    def _check_worker(self) -> None:
        if not self._worker:
            raise FrontierError(
                "was opened by an onlooker",
                where=self._target.shown,
                remedy="Open it under a worker's name to claim URLs.",
            )

    def _do(self, work: Callable[..., Awaitable[T]], *args: object) -> asyncio.Future[T]:
        return self._ask(self._asks.rest, partial(work, *args))

    def _ask(self, line: list[Asked[Any]], what: object) -> asyncio.Future[Any]:
        if not self._open:
            raise FrontierError("is not open", where=self._target.shown, remedy="Call open() first, and close() last.")
        return self._stand(line, what)

    def _stand(self, line: list[Asked[Any]], what: object) -> asyncio.Future[Any]:
        asked: Asked[Any] = Asked(what)
        line.append(asked)
        if self._working is None:
            self._working = asyncio.get_running_loop().create_task(self._work())
        return asked.answer

    def _give_back(self, asked: asyncio.Future[list[Lease]]) -> None:
        """Nobody is left who could finish these leases."""
        if asked.exception() is None and asked.result():
            outcomes = tuple(Outcome(lease.id, host_free_at=0, counts_as_try=False) for lease in asked.result())
            given = self._stand(self._asks.finish, (outcomes, ()))
            given.add_done_callback(lambda done: done.exception())  # else their term gives them back

    async def _work(self) -> None:
        try:
            while self._asks:
                asks, self._asks = self._asks, Asks()
                try:
                    await self._work_on(asks)
                except BaseException as error:
                    for asked in asks.everybody():
                        asked.settle(error)
                    if not isinstance(error, Exception):
                        raise
                await asyncio.sleep(0)  # who wakes up now shares the next turn
        finally:
            self._working = None

    async def _work_on(self, asks: Asks) -> None:
        if asks.put:
            await self._store.put([one.what for one in asks.put])
            _settle(asks.put, [None] * len(asks.put))
        if asks.finish:
            _settle(asks.finish, await self._store.finish([one.what for one in asks.finish]))
        if asks.push:
            _settle(asks.push, await self._store.push([one.what for one in asks.push]))
        if asks.claim:
            await self._claim(asks.claim)
        answers = await asyncio.gather(*(one.what() for one in asks.rest), return_exceptions=True)
        _settle(asks.rest, answers)

    async def _claim(self, asks: list[Asked[tuple[int, str]]]) -> None:
        """One claim for all who ask under the same rules."""
        for epoch in dict.fromkeys(one.what[1] for one in asks):
            group = [one for one in asks if one.what[1] == epoch]
            wanted = [max(one.what[0], 0) for one in group]
            try:
                leases = await self._store.claim(sum(wanted), epoch)
            except FrontierError as error:
                _settle(group, [error] * len(group))
                continue
            for asked, n in zip(group, wanted, strict=True):
                asked.settle(leases[:n])
                leases = leases[n:]


def _settle(asks: Sequence[Asked[Any]], answers: Sequence[object]) -> None:
    for asked, answer in zip(asks, answers, strict=True):
        asked.settle(answer)
