"""A worker's standing in its fleet: what it may still ask for, under which rules, and what it tells the others.

A crawl on one machine is a fleet of one. Whoever asks a host for anything holds a lease on it, and the lease has a
term. The permit is looked at right before a request leaves, so that a worker that slept through its term (a stopped
process, a machine under load, a frontier out of reach) sends nothing to a host that is another's by now.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Final

import msgspec

from crawler.clock import since_boot, steady
from crawler.folder import CrawlFile
from crawler.frontier.account import told
from crawler.frontier.interface import (
    EPOCH,
    Frontier,
    FrontierError,
    Lease,
    Outcome,
    OutdatedError,
    WorkerStatus,
)
from provenance.rules import Rules

#: Renewals in a term: three may fail.
RENEWALS: Final = 4
#: Of a term, what is left unused: our clock and the frontier's may differ by what a message takes.
MARGIN: Final = 0.1
#: How long a document on somebody else's host waits for that host, beyond the term in which a dead holder loses it.
PATIENCE_S: Final = 30.0

_RUN: Final = "run"
_TASK: Final = "task"
_ELSEWHERE: Final = "Name another KNOCKFIRST_FRONTIER, or repeat the command that began the crawl it holds."


class LeaseLostError(Exception):
    """The term is over: the host is, or may be, somebody else's now."""


class BusyError(Exception):
    """A host that had to be asked besides could not be leased in time."""


class Announced(msgspec.Struct, frozen=True):
    """Rules that a worker has put in force for the whole fleet."""

    rules: str
    policy: str
    protocols: str
    blocklist: str

    @classmethod
    def of(cls, rules: Rules) -> Announced:
        """What the fleet is told of a worker's rules."""
        listed = rules.blocklist.version if rules.blocklist else ""
        return cls(rules.digest, rules.policy.digest, rules.registry.digest, listed)


class Membership:
    """One worker among those that share a frontier.

    Args:
        frontier: opened.
        lease_s: the term of a lease, in seconds.
        clock: seconds that also pass while the machine sleeps.
    """

    def __init__(
        self,
        frontier: Frontier,
        *,
        lease_s: float,
        clock: Callable[[], float] = since_boot,
    ) -> None:
        self._frontier, self._lease_s, self._clock = frontier, lease_s, clock
        self._terms: dict[str, tuple[int, float]] = {}

    # -- leases --------------------------------------------------------------------------------------------------------

    def now(self) -> float:
        """The clock that terms are measured by. Read it before the frontier is asked for a lease or a renewal."""
        return self._clock()

    def granted(self, lease: int, authority: str, *, asked_at: float) -> None:
        """A lease has begun its term, not before `asked_at`."""
        self._terms[authority] = lease, asked_at + self._lease_s * (1 - MARGIN)

    def ended(self, authority: str, lease: int) -> None:
        """A lease has ended."""
        if self._terms.get(authority, (None, 0))[0] == lease:
            del self._terms[authority]

    def holds(self, lease: Lease) -> bool:
        """Whether a lease is known to be this worker's still."""
        held, until = self._terms.get(lease.authority, (None, 0.0))
        return held == lease.id and until > self._clock()

    def lease_on(self, authority: str) -> int | None:
        """The id of this worker's lease on an authority."""
        held, _ = self._terms.get(authority, (None, 0.0))
        return held

    def permit(self, authority: str) -> None:
        """Looked at before a request leaves, and before what came back is written.

        Raises:
            LeaseLostError: this worker holds no lease on the authority, or its term is over.
        """
        if self._terms.get(authority, (0, 0.0))[1] <= self._clock():
            raise LeaseLostError(f"{authority}: the lease is not, or no longer, this worker's")

    async def renew(self, told: str) -> None:
        """Begins a new term for what is still ours, and forgets what is not."""
        asked_at = self.now()
        ours = await self._frontier.renew(told)
        for authority, (lease, until) in tuple(self._terms.items()):
            if lease in ours:
                self._terms[authority] = lease, asked_at + self._lease_s * (1 - MARGIN)
            elif until < asked_at + self._lease_s * (1 - MARGIN):  # else it was granted while we asked
                self.ended(authority, lease)

    async def keep_up(self, tell: Callable[[], str]) -> None:
        """Renews until it is cancelled. A frontier out of reach is tried again: the terms say when to let go."""
        while True:
            try:
                await self.renew(tell())
            except FrontierError:
                await asyncio.sleep(self._lease_s / RENEWALS / RENEWALS)
            else:
                await asyncio.sleep(self._lease_s / RENEWALS)

    def let_go(self, drop: Callable[[str], None]) -> None:
        """Has everything broken off that is under way at hosts whose term is over: another worker may ask them now."""
        now = self._clock()
        for authority, (_, until) in tuple(self._terms.items()):
            if until <= now:
                del self._terms[authority]
                drop(authority)

    async def watch(self, drop: Callable[[str], None]) -> None:
        """Lets go in time until it is cancelled, also while a renewal waits for a frontier out of reach."""
        while True:
            self.let_go(drop)
            await asyncio.sleep(self._lease_s * MARGIN / 2)

    @asynccontextmanager
    async def host(self, authority: str, *, free_at: Callable[[], float]) -> AsyncIterator[None]:
        """The right to ask one more authority for a document, for as long as the block lasts.

        Args:
            authority: "https://host[:port]".
            free_at: when it may be asked again, told at the end; seconds since 1970.

        Raises:
            BusyError: it was not free within a term and `PATIENCE_S`.
        """
        lease = await self._hold(authority)
        try:
            yield
        finally:
            self.ended(authority, lease)
            with suppress(FrontierError):  # then it ends with its term, and what was fetched is entered all the same
                await self._frontier.finish([Outcome(lease, free_at())])

    async def _hold(self, authority: str) -> int:
        patience_s = self._lease_s + PATIENCE_S
        patience = time.monotonic() + patience_s
        while True:
            asked_at = self.now()
            lease, again = await self._frontier.hold(authority)
            if lease is not None:
                self.granted(lease, authority, asked_at=asked_at)
                return lease
            wait = max(again - steady(), 0.05)
            if time.monotonic() + wait > patience:
                raise BusyError(f"{authority}: not free within {patience_s:.0f} s")
            await asyncio.sleep(wait)


async def join(frontier: Frontier, file: CrawlFile, *, begun: bool) -> CrawlFile:
    """Makes a folder one of the crawl that a frontier holds; the first one there says which crawl that is.

    Args:
        frontier: opened.
        file: the folder's own.
        begun: whether its log has begun, so that its run cannot change any more.

    Returns:
        The file with the run that all workers share.

    Raises:
        FrontierError: the frontier holds another crawl.
    """
    run = await _agreed(frontier, _RUN, file.run)
    task = await _agreed(frontier, _TASK, file.task())
    if task != file.task():
        raise FrontierError(
            f"holds the crawl {task}, and this worker was started for {file.task()}",
            where="KNOCKFIRST_FRONTIER",
            remedy=_ELSEWHERE,
        )
    if run != file.run and begun:
        raise FrontierError(
            f"holds run {run}, and the output folder belongs to run {file.run}",
            where="KNOCKFIRST_FRONTIER",
            remedy=_ELSEWHERE,
        )
    return msgspec.structs.replace(file, run=run)


async def _agreed(frontier: Frontier, key: str, mine: str) -> str:
    """The value of a fact that the first worker sets."""
    if await frontier.swap(key, None, mine):
        return mine
    return await frontier.get(key) or mine


async def announce(frontier: Frontier, rules: Rules, *, alone: bool) -> None:
    """Puts a worker's rules in force for the whole fleet, from every worker's next claim on.

    Beside others only a newer blocklist may be put in force: whoever brings another policy, other protocols or an older
    list was left behind, or is set up wrongly, and must not lead the others there.

    Args:
        frontier: opened.
        rules: the worker's.
        alone: whether nobody lives by the rules in force, so that any others may follow them.

    Raises:
        OutdatedError: the fleet goes by other rules, and this list is not newer.
    """
    mine = Announced.of(rules)
    while (now := await frontier.get(EPOCH)) != mine.rules:
        if not alone and now is not None:
            await _check_newer(frontier, mine, now)
        await frontier.put(_announced(mine.rules), msgspec.json.encode(mine).decode())
        if await frontier.swap(EPOCH, now, mine.rules):
            return


async def _check_newer(frontier: Frontier, mine: Announced, now: str) -> None:
    text = await frontier.get(_announced(now))
    current = msgspec.json.decode(text, type=Announced) if text else None
    if current is None or not _same_but_list(mine, current) or _order(mine) <= _order(current):
        raise OutdatedError(
            f"the fleet goes by {current or now}, and this worker has {mine}",
            where="the rules in force",
            remedy="Give this worker the policy, the protocol files and the blocklist build of the others.",
        )


async def waits_for_list(frontier: Frontier, rules: Rules) -> bool:
    """Whether all that this worker lacks is a blocklist build, which may be on its way to its folder."""
    now = await frontier.get(EPOCH)
    text = await frontier.get(_announced(now)) if now else None
    return text is not None and _same_but_list(Announced.of(rules), msgspec.json.decode(text, type=Announced))


def others(workers: Iterable[WorkerStatus], *, me: str, since: float, rules: str | None) -> bool:
    """Whether any other worker was heard of since then that goes by these rules, and has not ended."""
    living = (told(one) for one in workers if one.name != me and one.seen_at > since)
    return any(one.rules == rules and not one.ended for one in living)


def _announced(rules: str) -> str:
    return f"rules {rules}"


def _same_but_list(one: Announced, other: Announced) -> bool:
    return (one.policy, one.protocols, bool(one.blocklist)) == (other.policy, other.protocols, bool(other.blocklist))


def _order(announced: Announced) -> tuple[str, int]:
    """Builds are numbered by day, then by number: "2026.11.22-1"."""
    day, _, number = announced.blocklist.partition("-")
    return day, int(number) if number.isdigit() else 0


def lost_before(lease: Lease) -> Lease | None:
    """The lease under which a URL was held before and lost, when that was another one."""
    if lease.lost is None:
        return None
    return msgspec.structs.replace(lease, id=lease.lost, lost=None)
