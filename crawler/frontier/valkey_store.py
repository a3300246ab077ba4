"""The steps of a frontier on Valkey or Redis: which script goes to which shard, in which order, and what comes back.

What concerns several shards is written in the order in which a crash in between loses nothing: children first, then the
end of their parent, then what is only useful.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from crawler.frontier.interface import (
    HOLD_RETRY_S,
    Found,
    FrontierError,
    Lease,
    Limits,
    Outcome,
    OutdatedError,
    Recent,
    State,
    fingerprint,
    site_of,
)
from crawler.frontier.valkey_facts import Facts
from crawler.frontier.valkey_layout import (
    HOME,
    Keys,
    at,
    decode,
    lease_of,
    mine,
    path_of,
    pieces,
    shard_of,
    shard_of_authority,
    us,
)
from crawler.frontier.valkey_server import SET_LIMIT, Call, Servers
from crawler.frontier.valkey_url import Target

logger = logging.getLogger(__name__)

_FORMAT: Final = 1
_PUSHED: Final = 400
"""URLs that one script queues: some milliseconds, in which the server does nothing else."""
_ROUNDS: Final = 3
"""How often a claim looks for hosts in place of those that others took or whose address is full."""
_MARGIN_S: Final = 1.0
"""How much of a lease's term must be left for its end to be told without a look whether it is still open."""

Items = Sequence[tuple[int, Found]]
"""URLs with their fingerprints."""


class _Held(msgspec.Struct):
    """What is known of a lease of this process.

    Attributes:
        authority: whose.
        until: end of its term by the caller's clock, or before.
        address: where it counts against the cap; "" nowhere.
    """

    authority: str
    until: float
    address: str = ""


class Store(Facts):
    """One worker's or one onlooker's access to the shards."""

    def __init__(
        self, servers: Servers, target: Target, *, now: Callable[[], float], worker: str, limits: Limits, recent: int
    ) -> None:
        super().__init__(servers, target, now=now)
        self._worker, self._limits = worker, limits
        self._held: dict[int, _Held] = {}
        self._recent, self._met_behind = Recent(recent), 0
        self._term = us(limits.lease_s)

    async def open(self) -> list[Lease]:
        """Begin the crawl or find it; returns the leases that this worker has in it."""
        await self._find()
        await self._spread_commands()
        if not self._worker:
            return []
        found = await self._ask([Call(shard, "mine", [mine(self._worker)]) for shard in self._everywhere])
        until = self._now() + self._limits.lease_s
        urls: dict[int, list[int]] = {}
        holds = []
        for shard, rows in enumerate(found):
            for number, authority, is_hold, left in rows:
                self._held[number] = _Held(authority, until)
                if is_hold:  # what was asked for is not known: its host stays closed to the end of the term
                    holds.append(Outcome(number, self._now() + left / 1e6))
                else:
                    urls.setdefault(shard, []).append(number)
        await self._end(holds)
        calls = [Call(shard, "resume", (), (self._worker, self._term, ids)) for shard, ids in urls.items()]
        rows = [row for answer in await self._ask(calls) for row in answer]
        await self._enter([(row[0], row[8]) for row in rows], most=_NO_CAP)
        await self._tell("")
        return sorted(map(lease_of, rows), key=lambda lease: lease.id)

    # -- pushes --------------------------------------------------------------------------------------------------------

    def unfamiliar(self, found: Sequence[Found]) -> list[tuple[int, Found]]:
        """What was not met lately, with its fingerprint; refuses what cannot be kept."""
        if self._met_behind != self._servers.lines:  # what answers now may lack what was there before
            self._recent.forget()
            self._met_behind = self._servers.lines
        return self._recent.unfamiliar(found)

    async def push(self, asked: Sequence[Items]) -> list[int]:
        """Queue what is new; returns how many of each were."""
        flat = [(one, item) for one, items in enumerate(asked) for item in items]
        by_shard: dict[int, list[tuple[int, tuple[int, Found]]]] = {}
        for entry in flat:
            by_shard.setdefault(self._shard(entry[1][1].authority), []).append(entry)
        parts = [(shard, part) for shard, whole in by_shard.items() for part in pieces(whole, _PUSHED)]
        answers = await self._ask([self._push_call(shard, [item for _, item in part]) for shard, part in parts])
        new = [0] * len(asked)
        for (_, part), (fresh, over) in zip(parts, answers, strict=True):
            order = _grouped(part, lambda entry: entry[1][1].authority)
            ordered = [entry for group in order.values() for entry in group]
            for place in fresh:
                new[ordered[place - 1][0]] += 1
            dropped = set(over)
            for place, (_, (_, found)) in enumerate(ordered, 1):
                if place not in dropped:
                    self._recent.add(found.url)
        return new

    def _push_call(self, shard: int, items: Items) -> Call:
        keys = Keys()
        groups = [
            (authority, site_of(authority), keys.place(f"q:{authority}"), [self._row(keys, one) for one in group])
            for authority, group in _grouped(items, lambda item: item[1].authority).items()
        ]
        return Call(shard, "push", list(keys.names), (self._limits.per_host, self._limits.per_site, groups))

    def _row(self, keys: Keys, item: tuple[int, Found]) -> tuple[Any, ...]:
        number, found = item
        bucket = keys.place(f"s:{number % self._buckets}")
        return str(number), bucket, path_of(found.authority, found.url), found.payload, -found.priority

    async def requeue(self, found: Sequence[Found]) -> int:
        """Queue what is neither queued nor leased."""
        calls = []
        for authority, group in _grouped(found, lambda one: one.authority).items():
            for part in pieces(group, _PUSHED):
                keys = Keys()
                keys.queues(authority)
                rows = [(*self._row(keys, (fingerprint(one.url), one)), one.url) for one in part]
                data = (authority, site_of(authority), rows)
                calls.append(Call(self._shard(authority), "requeue", list(keys.names), data))
        return sum(answer[0] for answer in await self._ask(calls))

    # -- claims --------------------------------------------------------------------------------------------------------

    async def claim(self, n: int, epoch: str) -> list[Lease]:
        """Lease the best due URL of each of the `n` hosts that have been ready for longest."""
        leases: list[Lease] = []
        for _ in range(_ROUNDS):
            ready = await self._look(n - len(leases), epoch)
            if not ready:
                break
            leases += await self._claim_these(ready, epoch)
            if len(leases) >= n:
                break
        return leases

    async def _look(self, n: int, epoch: str) -> list[str]:
        """The authorities that have been ready for longest, after leases past their terms were queued again."""
        answers = await self._look_everywhere(n)
        state, rules = answers[HOME][:2]
        self._check_rules(rules, epoch)
        if (state and state != State.RUN) or n <= 0:
            return []
        while await self._reap([row[3] for row in answers]):
            answers = await self._look_everywhere(n)
        ready = [(float(row[2][place + 1]), row[2][place]) for row in answers for place in range(0, len(row[2]), 2)]
        return [authority for _, authority in sorted(ready)[:n]]

    async def _look_everywhere(self, n: int) -> list[Any]:
        return await self._ask([Call(shard, "look", (), (max(n, 0),)) for shard in self._everywhere])

    async def _reap(self, expired: Sequence[Sequence[Any]]) -> bool:
        """Queue again what others were lost with; whether there was any. What this process holds it knows."""
        calls = []
        for shard, rows in enumerate(expired):
            keys = Keys()
            data = [
                (number, authority, *keys.queues(authority), keys.place(mine(worker)))
                for number, authority, worker in rows
                if number not in self._held
            ]
            if data:
                calls.append(Call(shard, "reap", list(keys.names), data))
        await self._ask(calls)
        return bool(calls)

    async def _claim_these(self, authorities: Sequence[str], epoch: str) -> list[Lease]:
        until = self._now() + self._limits.lease_s
        calls = []
        for shard, group in _grouped(authorities, self._shard).items():
            keys = Keys(mine(self._worker))
            hosts = [(authority, *keys.queues(authority)) for authority in group]
            data = (epoch, self._worker, self._term, self._target.shards, shard, hosts)
            calls.append(Call(shard, "claim", list(keys.names), data))
        answers = await self._ask(calls)
        rows = [row for answer in answers for row in answer[2]]
        for row in rows:
            self._held[row[0]] = _Held(row[1], until)
        full = await self._enter([(row[0], row[8]) for row in rows], most=self._limits.per_address or _NO_CAP)
        back = [Outcome(number, 0, counts_as_try=False) for number in full]
        await self._end(back, rest_s=HOLD_RETRY_S)
        for answer in answers:
            self._check_rules(answer[1], epoch, [row[0] for row in rows if row[0] not in full])
        order = {authority: place for place, authority in enumerate(authorities)}
        return [lease_of(row) for row in sorted(rows, key=lambda row: order[row[1]]) if row[0] not in full]

    def _check_rules(self, rules: str | None, epoch: str, leases: Iterable[int] = ()) -> None:
        if rules not in {None, False, epoch}:
            for number in leases:  # granted by other shards just before; their term gives them back
                self._held.pop(number, None)
            raise OutdatedError(
                f"grants claims under the rules {rules}; this worker has {epoch or 'none'}",
                where=self._target.shown,
                remedy="Start the worker again with the rules in force.",
            )

    async def hold(self, authority: str) -> tuple[int | None, float]:
        """Lease a host without a URL."""
        shard = self._shard(authority)
        while await self._reap([row[3] for row in await self._look_everywhere(0)]):
            pass
        until = self._now() + self._limits.lease_s
        data = (authority, self._worker, self._term, self._target.shards, shard, us(HOLD_RETRY_S))
        ((number, wait, address),) = await self._ask([Call(shard, "hold", [mine(self._worker)], data)])
        if not number or number in self._held:
            return None, self._now() + wait / 1e6 if wait >= 0 else math.inf
        self._held[number] = _Held(authority, until)
        if await self._enter([(number, address)], most=self._limits.per_address or _NO_CAP):
            await self._end([Outcome(number, 0)])
            return None, self._now() + HOLD_RETRY_S
        return number, self._now()

    async def _enter(self, leases: Sequence[tuple[int, str]], *, most: int) -> set[int]:
        """Count leases against the cap of their addresses, kept in a shard of each address; returns those above it."""
        if not self._limits.per_address:
            return set()
        known = [(number, address) for number, address in leases if address]
        answers = await self._run(
            [
                Call(shard_of(address, self._target.shards), "enter", [at(address)], (most, number, self._term))
                for number, address in known
            ]
        )
        for (number, address), entered in zip(known, answers, strict=True):
            if entered:
                self._held[number].address = address
        return {number for (number, _), entered in zip(known, answers, strict=True) if not entered}

    # -- ends ----------------------------------------------------------------------------------------------------------

    async def finish(self, asked: Sequence[tuple[Sequence[Outcome], Items]]) -> list[FrontierError | None]:
        """End leases and queue their children; what became of each that was asked."""
        faults = await self._not_open([outcomes for outcomes, _ in asked])
        children = [items for (_, items), fault in zip(asked, faults, strict=True) if fault is None and items]
        if children:
            await self.push(children)
            if self._servers.many:
                await self._servers.settle()
        good = [outcomes for (outcomes, _), fault in zip(asked, faults, strict=True) if fault is None]
        lost = await self._end([outcome for outcomes in good for outcome in outcomes])
        return [
            fault or next((self._fault(one.lease) for one in outcomes if one.lease in lost), None)
            for (outcomes, _), fault in zip(asked, faults, strict=True)
        ]

    async def _not_open(self, asked: Sequence[Sequence[Outcome]]) -> list[FrontierError | None]:
        """Refuses before anything is written: what is not held, is ended twice, or was lost meanwhile."""
        sure = self._now() + _MARGIN_S
        doubtful = {
            one.lease
            for outcomes in asked
            for one in outcomes
            if (held := self._held.get(one.lease)) is not None and held.until < sure
        }
        calls = [
            Call(shard, "check", (), (self._worker, ids))
            for shard, ids in _grouped(doubtful, lambda number: number % self._target.shards).items()
        ]
        gone = {number for answer in await self._ask(calls) for number in answer}
        taken: set[int] = set()
        faults: list[FrontierError | None] = []
        for outcomes in asked:
            ids = [one.lease for one in outcomes]
            bad = [n for n in ids if n in gone or n in taken or n not in self._held or ids.count(n) > 1]
            faults.append(self._fault(bad[0]) if bad else None)
            if not bad:
                taken.update(ids)
        return faults

    def _fault(self, lease: int) -> FrontierError:
        return FrontierError(
            f"lease {lease} is not open",
            where=self._target.shown,
            remedy="A lease is finished once, within its term, by the worker that claimed it.",
        )

    async def _end(self, outcomes: Sequence[Outcome], *, rest_s: float = 0.0) -> set[int]:
        """End leases; returns those that were lost. Payloads and addresses come after: losing them costs little."""
        by_shard = _grouped(outcomes, lambda one: one.lease % self._target.shards)
        calls = []
        for shard, group in by_shard.items():
            keys = Keys(mine(self._worker))
            rows = [self._end_row(keys, one, rest_s) for one in group]
            calls.append(Call(shard, "finish", list(keys.names), (self._worker, rows)))
        lost = {number for answer in await self._ask(calls) for number in answer}
        after = []
        for one in outcomes:
            held = self._held.pop(one.lease)
            if held.address:
                after.append(
                    self._word(shard_of(held.address, self._target.shards), "ZREM", at(held.address), one.lease)
                )
            if one.payload is not None and one.lease not in lost:
                digest, reference = one.payload
                after.append(self._word(shard_of(digest, self._target.shards), "HSETNX", "payloads", digest, reference))
        await self._run(after)
        return lost

    def _end_row(self, keys: Keys, one: Outcome, rest_s: float) -> tuple[Any, ...]:
        now = self._now()
        again = us(one.again_at - now) if one.again_at is not None else False
        queues = keys.queues(self._held[one.lease].authority)
        free = us(one.host_free_at - now)
        tried = ("anew" if one.anew else "try") if one.counts_as_try else False
        return one.lease, *queues, free, again, tried, one.address, one.dead, us(rest_s)

    # -- terms ---------------------------------------------------------------------------------------------------------

    async def renew(self, told: str) -> frozenset[int]:
        """A new term for all that this process holds."""
        until = self._now() + self._limits.lease_s
        by_shard = _grouped(self._held, lambda number: number % self._target.shards)
        calls = [Call(shard, "renew", [mine(self._worker)], (self._term, list(ids))) for shard, ids in by_shard.items()]
        kept = frozenset(number for answer in await self._ask(calls) for number in answer)
        for number in [number for ids in by_shard.values() for number in ids if number not in kept]:
            self._held.pop(number, None)
        for number in kept & self._held.keys():
            self._held[number].until = until
        await self._enter([(number, self._held[number].address) for number in kept & self._held.keys()], most=_NO_CAP)
        await self._tell(told)
        await self._spread_commands()
        await self._look_at_buckets()
        return kept

    async def next_due(self) -> float | None:
        """When the first host is ready, or another holder's term is over."""
        own = list(self._held)
        answers = await self._ask([Call(shard, "due", (), own) for shard in self._everywhere])
        times = [wait for answer in answers for wait in answer if wait is not False]
        return self._now() + min(times) / 1e6 if times else None

    async def _tell(self, told: str) -> None:
        await self._run([Call(HOME, "told", ["workers"], (self._worker, told))])

    async def _look_at_buckets(self) -> None:
        """Any bucket tells of all of its shard: fingerprints fall evenly."""
        sizes = await self._run([self._word(shard, "SCARD", "s:0") for shard in self._everywhere])
        if max(sizes) > SET_LIMIT * 0.9:
            logger.warning(
                "%s: its sets of seen URLs are nearly as full as they may be: behind %s URLs each takes several times"
                " the memory. Begin the next crawl with a larger urls=.",
                self._target.shown,
                f"{SET_LIMIT * self._buckets * self._target.shards:,}",
            )

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _shard(self, authority: str) -> int:
        return shard_of_authority(authority, self._target.shards)

    async def _find(self) -> None:
        layout = (_FORMAT, self._target.shards, self._target.buckets)
        (stored,) = await self._run([Call(HOME, "found", ["meta"], layout)])
        version, shards, self._buckets = decode(stored)
        if version != _FORMAT:
            raise FrontierError(
                f"the crawl {self._target.crawl} is laid out in form {version}; this Knockfirst reads {_FORMAT}",
                where=self._target.shown,
                remedy="Go on with the Knockfirst that began it, or name another crawl.",
            )
        if shards != self._target.shards:
            raise FrontierError(
                f"the crawl {self._target.crawl} was begun with {shards} shards",
                where=self._target.shown,
                remedy=f"Write shards={shards}, or name another crawl.",
            )


_NO_CAP: Final = 2**31


def _grouped(items: Iterable[Any], key: Callable[[Any], Any]) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
