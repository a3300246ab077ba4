"""What a crawl on Valkey or Redis remembers beside its URLs, and what its operator sees and commands."""

from __future__ import annotations

import itertools
import math
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

from crawler.frontier.interface import EPOCH, Block, Counts, Found, State, WorkerStatus
from crawler.frontier.valkey_layout import HOME, Keys, decode, mine, shard_of, shard_of_authority, url_of, us
from crawler.frontier.valkey_server import Call, Servers
from crawler.frontier.valkey_url import Target

_LISTED: Final = 1000
_ITEM_OCTETS: Final = 5


class Facts:
    """Facts, origins, payloads, blocks, commands, counts and listings."""

    def __init__(self, servers: Servers, target: Target, *, now: Callable[[], float]) -> None:
        self._servers, self._target, self._now = servers, target, now
        self._everywhere = range(target.shards)
        self._run = servers.run
        self._buckets = target.buckets

    # -- what the crawl remembers --------------------------------------------------------------------------------------

    async def remember_origin(self, authority: str, blob: bytes, expires_at: float) -> None:
        """In the shard of its site."""
        shard = shard_of_authority(authority, self._target.shards)
        await self._run([Call(shard, "remember", [f"o:{authority}"], us(expires_at - self._now()), blob)])

    async def recall_origin(self, authority: str) -> tuple[bytes, float] | None:
        """Unless it has expired."""
        shard = shard_of_authority(authority, self._target.shards)
        (found,) = await self._run([Call(shard, "recall", [f"o:{authority}"])])
        return (found[1], self._now() + decode(found[0]) / 1e6) if found else None

    async def first_payload(self, digest: bytes) -> bytes | None:
        """In the shard of its digest."""
        (found,) = await self._run([self._word(shard_of(digest, self._target.shards), "HGET", "payloads", digest)])
        return found  # type: ignore[no-any-return]

    async def get(self, key: str) -> str | None:
        """One fact."""
        name, field = ("control", "epoch") if key == EPOCH else ("facts", key)
        (found,) = await self._run([self._word(HOME, "HGET", name, field)])
        return None if found is None else found.decode()

    async def put(self, facts: Sequence[tuple[str, str]]) -> None:
        """Set facts, in one act; of two values of one key the later counts."""
        await self._run([self._word(HOME, "HSET", "facts", *itertools.chain(*facts))])

    async def set_epoch(self, value: str) -> None:
        """Set the fact that every shard knows."""
        await self._command("epoch", value)

    async def swap(self, key: str, old: str | None, new: str) -> bool:
        """Set one fact if it still is `old`."""
        if key == EPOCH:
            return await self._command("epoch", new, compare=True, old=old)
        (done,) = await self._run([Call(HOME, "swap", ["facts"], (key, False if old is None else old, new))])
        return bool(done)

    # -- commands: every shard knows them, so that each claim meets them ---------------------------------------------

    async def state(self) -> State:
        """What the fleet is to do."""
        (found,) = await self._run([self._word(HOME, "HGET", "control", "state")])
        return State(found.decode()) if found else State.RUN

    async def steer(self, state: State) -> None:
        """Returns when every shard knows."""
        await self._command("state", state.value)

    async def _command(self, name: str, value: str, *, compare: bool = False, old: str | None = None) -> bool:
        data = (name, compare, False if old is None else old, value)
        ((done, version, state, epoch),) = await self._ask([Call(HOME, "command", (), data)])
        if done:
            await self._run([Call(shard, "obey", (), (version, state, epoch)) for shard in self._everywhere])
        return bool(done)

    async def _spread_commands(self) -> None:
        """Finish what somebody began who died between the first shard and the last."""
        words = [self._word(shard, "HMGET", "control", "version", "state", "epoch") for shard in self._everywhere]
        answers = await self._run(words)
        versions = [int(version or 0) for version, _, _ in answers]
        _, state, epoch = (value and value.decode() for value in answers[HOME])
        late = [shard for shard in self._everywhere if versions[shard] < versions[HOME]]
        await self._run([Call(shard, "obey", (), (versions[HOME], state or False, epoch or False)) for shard in late])

    # -- blocks --------------------------------------------------------------------------------------------------------

    async def block(self, block: Block) -> None:
        """In the shard of its site."""
        now = self._now()
        until = None if block.until in {None, math.inf} else block.until
        data = (block.authority, block.reason, us(block.since - now), us(until - now) if until is not None else False)
        await self._run([self._host_call("block", block.authority, data)])

    async def unblock(self, authority: str) -> bool:
        """In the shard of its site."""
        (done,) = await self._run([self._host_call("unblock", authority, (authority,))])
        return bool(done)

    async def blocks(self) -> list[Block]:
        """Every block that has not run out."""
        rows = [
            row for answer in await self._ask([Call(shard, "blocks") for shard in self._everywhere]) for row in answer
        ]
        now = self._now()
        found = [
            Block(authority, reason, now + since / 1e6, None if until is False else now + until / 1e6)
            for authority, reason, since, until in rows
        ]
        return sorted(found, key=lambda block: block.authority)

    def _host_call(self, script: str, authority: str, data: Sequence[Any]) -> Call:
        keys = Keys()
        keys.queues(authority)
        return Call(shard_of_authority(authority, self._target.shards), script, list(keys.names), data)

    # -- counts and listings -------------------------------------------------------------------------------------------

    async def counts(self) -> Counts:
        """The sum over all shards."""
        answers = await self._ask([Call(shard, "counts") for shard in self._everywhere])
        return Counts(*(sum(column) for column in zip(*answers, strict=True)))

    async def workers(self) -> list[WorkerStatus]:
        """Every worker with the number of its leases."""
        (rows,) = await self._ask([Call(HOME, "workers", ["workers"])])
        found = []
        for name, seen, told in sorted(rows):
            sizes = await self._run([self._word(shard, "SCARD", mine(name)) for shard in self._everywhere])
            found.append(WorkerStatus(name, self._now() + seen / 1e6, sum(sizes), told))
        return found

    async def dead(self) -> AsyncIterator[Found]:
        """The dead lists of all shards."""
        for shard in self._everywhere:
            async for row in self._scan(shard, "HSCAN", "dead"):
                for url, stored in row.items():
                    authority, payload, rank = decode(stored)
                    yield Found(url.decode(), authority, payload, -rank)

    async def queued(self) -> AsyncIterator[Found]:
        """The queues of all hosts of all shards."""
        for shard in self._everywhere:
            async for hosts in self._scan(shard, "HSCAN", "hosts"):
                for authority in map(bytes.decode, hosts):
                    for kind in "qw":
                        async for found in self._queue(shard, kind, authority):
                            yield found

    async def _queue(self, shard: int, kind: str, authority: str) -> AsyncIterator[Found]:
        met: set[bytes] = set()  # a scan may show one twice
        async for members in self._scan(shard, "ZSCAN", f"{kind}:{authority}"):
            for member, score in members:
                entry = decode(member[_ITEM_OCTETS:])
                rank = entry[5] if kind == "w" else int(score)
                if member[:_ITEM_OCTETS] not in met:
                    met.add(member[:_ITEM_OCTETS])
                    yield Found(url_of(authority, entry[0]), authority, entry[1], -rank)

    async def _scan(self, shard: int, command: str, key: str) -> AsyncIterator[Any]:
        cursor: Any = 0
        while True:
            ((cursor, rows),) = await self._run([self._word(shard, command, key, cursor, "COUNT", _LISTED)])
            yield rows
            if not int(cursor):
                return

    # -- parts ---------------------------------------------------------------------------------------------------------

    async def _ask(self, calls: Sequence[Call]) -> list[Any]:
        """Run scripts whose answers are packed."""
        return [decode(answer) for answer in await self._run(calls)]

    @staticmethod
    def _word(shard: int, *words: Any) -> Call:
        """A plain command; its second word is a key of the shard."""
        return Call(shard, "", (), words)
