"""Servers that hold a frontier: one Valkey or Redis, or a cluster. Refuses unsafe ones, repeats what was cut off."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from redis import exceptions as faults
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot

from crawler.frontier.interface import FrontierError
from crawler.frontier.valkey_tls import Trusting, context_for, out_of_reach
from crawler.frontier.valkey_url import Target

logger = logging.getLogger(__name__)

_TIMEOUT_S: Final = 10.0
_FIRST_WAIT_S: Final = 0.05
_LONGEST_WAIT_S: Final = 2.0
_FSYNC_MS: Final = 10_000
_COPY_MS: Final = 1_000
_COPIES: Final = "min-replicas-to-write"
"""The server's setting that says how many replicas must have a write."""
_MOST_AT_ONCE: Final = 64
"""Batches under way, each on a connection of its own; the client has a hundred of them."""

FIXED_KEYS: Final = ("hosts", "ready", "terms", "leases", "stand", "control", "ended", "dead", "sites", "blocks")
"""The keys of a shard that every script is given, in the order in which the scripts know them."""

#: RuntimeError is what uvloop says of a connection that was closed under it.
_CUT_OFF: Final = (faults.ConnectionError, faults.TimeoutError, OSError, RuntimeError)
_PASSING: Final = (
    faults.AskError,
    faults.ClusterDownError,
    faults.MasterDownError,
    faults.MovedError,
    faults.ReadOnlyError,
    faults.TryAgainError,
)
"""What a cluster says while it moves a shard, or while a replica takes over."""
_PASSING_WORDS: Final = ("NOREPLICAS", "UNBLOCKED")
"""What a server says, in the client's words, that has too few replicas, or has just become one."""

_LEAST_VERSION: Final = (7, 2)
# Up to these a seen URL takes 8 octets, and a queued one little more than its text and what goes with it.
SET_LIMIT: Final = 8192
QUEUE_LIMIT: Final = 512
QUEUED_LIMIT: Final = 1024

#: Setting, whether a value of it will do, the line to change.
_SETTINGS: Final[tuple[tuple[str, Callable[[str], bool], str], ...]] = (
    ("appendonly", lambda value: value == "yes", "appendonly yes"),
    ("appendfsync", lambda value: value in {"everysec", "always"}, "appendfsync everysec"),
    ("maxmemory-policy", lambda value: value == "noeviction", "maxmemory-policy noeviction"),
    ("zset-max-listpack-entries", lambda value: int(value) >= QUEUE_LIMIT, f"zset-max-listpack-entries {QUEUE_LIMIT}"),
    ("zset-max-listpack-value", lambda value: int(value) >= QUEUED_LIMIT, f"zset-max-listpack-value {QUEUED_LIMIT}"),
    ("set-max-intset-entries", lambda value: int(value) >= SET_LIMIT, f"set-max-intset-entries {SET_LIMIT}"),
)


class Call(NamedTuple):
    """One command to one shard.

    Attributes:
        shard: which.
        script: a script of `valkey.lua`; "" when `data` are the words of a plain command.
        keys: names of keys of the shard, behind the fixed ones.
        data: for the script.
        blob: octets for the script, as they are.
    """

    shard: int
    script: str
    keys: Sequence[str] = ()
    data: Any = ()
    blob: bytes = b""


class _NotCopiedError(faults.RedisError):
    """Too few replicas have what is in the server's memory."""


def _read_scripts() -> dict[str, tuple[str, str]]:
    """The scripts by name: digest and text."""
    common, *parts = Path(__file__).with_name("valkey.lua").read_text().split("\n--@ ")
    scripts = {}
    for part in parts:
        name, _, body = part.partition("\n")
        text = f"{common}\n{body}"
        scripts[name] = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), text
    return scripts


_SCRIPTS: Final = _read_scripts()


class _Lines:
    """How many lines were opened to servers. By itself, so that a pool of lines does not hold what holds it."""

    def __init__(self) -> None:
        self.opened = 0

    async def open(self, line: AbstractConnection) -> None:
        self.opened += 1
        await line.on_connect()


class Servers:
    """The way to all shards.

    Attributes:
        server_now: what the server is to take for its own time, in tests; None: its own.
    """

    def __init__(self, target: Target, *, patience_s: float) -> None:
        self._target, self._patience_s = target, patience_s
        self._answer_s = min(_TIMEOUT_S, patience_s)
        self.server_now: Callable[[], float] | None = None
        self._prefixes = [f"{{kf:{target.crawl}:{shard}}}" for shard in range(target.shards)]
        self._fixed = [[f"{prefix}{name}".encode() for name in FIXED_KEYS] for prefix in self._prefixes]
        self._trusted = context_for(target)
        self._clients: dict[tuple[str, int], Redis] = {}
        self._home = (target.host, target.port)
        self._places = [self._home] * target.shards
        self._copies: dict[tuple[str, int], int] = {}
        self._copy_ms = round(min(_COPY_MS, self._answer_s * 500))
        self._cluster = False
        self._lines = _Lines()
        self._at_once = asyncio.Semaphore(_MOST_AT_ONCE)

    @property
    def many(self) -> bool:
        """Whether shards lie on several servers, whose files are written independently."""
        return len(set(self._places)) > 1

    @property
    def lines(self) -> int:
        """How many were opened so far: behind each new one another server may answer, or one that has forgotten."""
        return self._lines.opened

    def key(self, shard: int, name: str) -> str:
        """A key of a shard."""
        return self._prefixes[shard] + name

    async def open(self) -> None:
        """Connect, and refuse a server that would lose or drop what it is given.

        Raises:
            FrontierError: it cannot be reached, lets us in, is too old, or is set up unsafely.
        """
        try:
            client = self._client(self._home)
            self._cluster = int((await client.info("cluster")).get("cluster_enabled", 0)) == 1
            await self._find_places()
            for place in sorted(set(self._places)):
                await self._check(place)
        except _CUT_OFF as error:
            raise self._error(*out_of_reach(self._target, error)) from error
        except faults.NoPermissionError as error:
            raise self._not_permitted(error) from error
        except faults.RedisError as error:
            raise self._error(f"refused: {error}", "See the server's log.") from error

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """Send calls, those of one server in one go and in their order; the answers in the order of the calls.

        Where a server says that replicas must have what is written (`min-replicas-to-write`), they have it when this
        returns, and all that the answers tell of: whoever acts on them may lose the server and go on with a replica.

        Raises:
            FrontierError: a server could not be reached for the patience of this frontier, or refuses, or its replicas
                did not follow.
        """
        clock = asyncio.get_running_loop().time
        give_up_at, wait = clock() + self._patience_s, _FIRST_WAIT_S
        answers: list[Any] = [None] * len(calls)
        cut_off: set[int] = set()
        todo = list(range(len(calls)))
        while todo:
            await self._send(calls, todo, answers, cut_off)
            todo = [place for place in todo if isinstance(answers[place], Exception)]
            if not todo:
                break
            error = self._first_fault([answers[place] for place in todo])
            if clock() + wait > give_up_at:
                what = "cannot be reached" if isinstance(error, _CUT_OFF) else "takes no writes"
                raise self._error(f"{what} ({error})", "Bring it back, then start the same command again.")
            if not isinstance(error, faults.NoScriptError):
                logger.warning("%s: %s; trying again in %.2f s", self._target.shown, error, wait)
                await asyncio.sleep(wait)
                wait = min(wait * 2, _LONGEST_WAIT_S)
                await self._find_places_again()
        return answers

    async def settle(self) -> None:
        """Wait until what was written so far is on the disk of each server.

        Raises:
            FrontierError: it is not within some seconds.
        """
        nodes = {place: shard for shard, place in enumerate(self._places)}
        calls = [self._settle_one(place, self.key(shard, "settled")) for place, shard in nodes.items()]
        if not all(await asyncio.gather(*calls)):
            raise self._error("does not get its writes to its disk", "Look at the disks of the servers.")

    async def close(self) -> None:
        """Let go of all connections."""
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()

    # -- sending -------------------------------------------------------------------------------------------------------

    async def _send(self, calls: Sequence[Call], todo: list[int], answers: list[Any], cut_off: set[int]) -> None:
        by_place: dict[tuple[str, int], list[int]] = {}
        for place in todo:
            by_place.setdefault(self._places[calls[place].shard], []).append(place)
        await asyncio.gather(*(self._send_to(node, calls, group, answers, cut_off) for node, group in by_place.items()))

    async def _send_to(
        self, node: tuple[str, int], calls: Sequence[Call], group: list[int], answers: list[Any], cut_off: set[int]
    ) -> None:
        client = self._client(node)
        now = b"" if self.server_now is None else b"%d" % round(self.server_now() * 1e6)
        pipeline = client.pipeline(transaction=False)
        for place in group:
            pipeline.execute_command(*self._words(calls[place], now, b"1" if place in cut_off else b""))
        if copies := self._copies.get(node, 0):
            # What waits is the connection that wrote last, so it writes something itself, behind all that was read.
            pipeline.execute_command("INCR", self.key(calls[group[0]].shard, "settled"))
            pipeline.execute_command("WAIT", copies, self._copy_ms)
        pipeline.config_get(_COPIES)
        try:
            async with self._at_once:
                received = await pipeline.execute(raise_on_error=False)
            received, told = received[: len(group)], received[len(group) :]
            pairs = zip(group, received, strict=True)
            for name in {calls[place].script for place, one in pairs if isinstance(one, faults.NoScriptError)}:
                await client.script_load(_SCRIPTS[name][1])
            if fault := self._not_copied(node, told):
                cut_off.update(group)
                received = [one if isinstance(one, Exception) else fault for one in received]
        except _CUT_OFF as error:
            cut_off.update(group)
            received = [error] * len(group)
        for place, answer in zip(group, received, strict=True):
            answers[place] = answer

    def _not_copied(self, node: tuple[str, int], told: list[Any]) -> Exception | None:
        """Why what was just written and read may not be known to enough replicas.

        How many they must be is asked each time: behind the same address another server may stand by now.
        """
        for one in told:
            if isinstance(one, Exception):
                return one
        wanted = self._copies[node] = int(told[-1].get(_COPIES, 0))
        copied = told[1] if len(told) > 1 else 0
        return _NotCopiedError(f"{copied} of {wanted} replicas follow") if copied < wanted else None

    def _words(self, call: Call, now: bytes, again: bytes) -> list[Any]:
        prefix = self._prefixes[call.shard]
        if not call.script:
            command, key, *rest = call.data
            return [command, prefix + key, *rest]
        fixed = self._fixed[call.shard]
        keys = [(prefix + name).encode() for name in call.keys]
        words: list[Any] = [b"EVALSHA", _SCRIPTS[call.script][0], len(fixed) + len(keys)]
        return words + fixed + keys + [now, again, msgspec.msgpack.encode(call.data), call.blob]

    def _first_fault(self, errors: list[Exception]) -> Exception:
        """One of the faults that may pass; raises for one that does not."""
        for error in errors:
            if isinstance(error, faults.NoPermissionError):
                raise self._not_permitted(error) from error
            if isinstance(error, faults.OutOfMemoryError):
                remedy = "Give it more memory (maxmemory), then start the same command again."
                raise self._error("has no memory left", remedy) from error
            passing = isinstance(error, (*_CUT_OFF, *_PASSING, _NotCopiedError, faults.NoScriptError))
            if not passing and not str(error).startswith(_PASSING_WORDS):
                raise self._error(f"refused: {error}", "Please report this, with the line above.") from error
        waiting = [error for error in errors if not isinstance(error, faults.NoScriptError)]
        return (waiting or errors)[0]

    async def _settle_one(self, place: tuple[str, int], key: str) -> bool:
        # What waits is the connection that wrote last, so it writes something itself.
        pipeline = self._client(place).pipeline(transaction=False)
        pipeline.execute_command("INCR", key)
        pipeline.execute_command("WAITAOF", 1, 0, _FSYNC_MS)
        try:
            _, (local, _) = await pipeline.execute()
        except (*_CUT_OFF, faults.RedisError) as error:
            raise self._error(f"cannot be reached ({error})", "Bring it back.") from error
        return int(local) >= 1

    # -- servers -------------------------------------------------------------------------------------------------------

    def _client(self, place: tuple[str, int]) -> Redis:
        if place not in self._clients:
            target = self._target
            tls: dict[str, Any] = {"connection_class": Trusting, "trusted": self._trusted} if self._trusted else {}
            pool = ConnectionPool(
                host=place[0],
                port=place[1],
                db=target.db,
                username=target.user or None,
                password=target.password or None,
                socket_timeout=self._answer_s,
                socket_connect_timeout=self._answer_s,
                retry=Retry(NoBackoff(), 0),  # a repeat must say that it is one: `run` does that
                protocol=2,
                redis_connect_func=self._lines.open,
                **tls,
            )
            self._clients[place] = Redis.from_pool(pool)
        return self._clients[place]

    async def _find_places(self) -> None:
        """Which server has which shard."""
        if not self._cluster:
            return
        ranges = await self._client(self._home).execute_command("CLUSTER", "SLOTS")  # type: ignore[no-untyped-call]
        for shard, prefix in enumerate(self._prefixes):
            slot = key_slot(prefix.encode())
            for first, last, (host, port, *_), *_replicas in ranges:
                if first <= slot <= last:
                    self._places[shard] = (host.decode() if host else self._home[0], port)

    async def _find_places_again(self) -> None:
        """After a fault: asks any server that answers; a fault here is met again by who sends next."""
        for place in list(self._clients):
            try:
                self._home = place
                await self._find_places()
            except (*_CUT_OFF, faults.RedisError):
                continue
            return

    # -- safety --------------------------------------------------------------------------------------------------------

    async def _check(self, place: tuple[str, int]) -> None:
        client, where = self._client(place), f"{place[0]}:{place[1]}"
        server = await client.info("server")
        version = tuple(int(part) for part in str(server["redis_version"]).split(".")[:2])
        if version < _LEAST_VERSION:
            raise FrontierError(
                f"is version {server['redis_version']}",
                where=where,
                remedy="Use Valkey, or Redis 7.2 or newer: only they can say when a write is on the disk (WAITAOF).",
            )
        names = [_COPIES, *(name for name, _, _ in _SETTINGS)]
        try:
            settings = {str(name): str(value) for name, value in (await client.config_get(*names)).items()}
        except faults.NoPermissionError:
            settings = await self._settings_by_info(client)
        self._copies[place] = int(settings.get(_COPIES, 0))
        for name, good, line in _SETTINGS:
            if name not in settings:
                user = self._target.user or "default"
                remedy = f"Let the user look at it: ACL SETUSER {user} +config|get"
                raise FrontierError(f"does not tell its {name}", where=where, remedy=remedy)
            if not good(settings[name]):
                raise FrontierError(
                    f"has {name} {settings[name]}, which is not safe or wastes its memory",
                    where=where,
                    remedy=f"Put the line '{line}' into its configuration file, or send it CONFIG SET {line}.",
                )

    async def _settings_by_info(self, client: Redis) -> dict[str, str]:
        """What a server tells that does not show its configuration: an unsafe one is named before the missing right."""
        persistence, memory = await client.info("persistence"), await client.info("memory")
        told = {"appendonly": "yes" if persistence.get("aof_enabled") == 1 else "no"}
        if "maxmemory_policy" in memory:
            told["maxmemory-policy"] = memory["maxmemory_policy"]
        return told

    def _not_permitted(self, error: Exception) -> FrontierError:
        target = self._target
        rights = f"~{{kf:{target.crawl}:*}}* +@all -@dangerous +info +config|get +cluster|slots"
        return self._error(f"forbids: {error}", f"Grant it: ACL SETUSER {target.user or 'default'} {rights}")

    def _error(self, what: str, remedy: str) -> FrontierError:
        return FrontierError(what, where=self._target.shown, remedy=remedy)
