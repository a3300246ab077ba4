"""What a worker holds: each leased URL from its claim to the end of its lease, and what is counted on the way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
from scrapy.statscollectors import StatsCollector

from crawler import fleet, recovery
from crawler.clock import steady
from crawler.door import Door
from crawler.fleet import LeaseLostError, Membership
from crawler.frontier import MAX_PAYLOAD_BYTES, Frontier, Lease, Outcome
from crawler.frontier.errand import MOST_HOPS, Errand, found
from crawler.frontier.interface import MOST_LOSSES, FrontierError, OutdatedError
from crawler.in_force import RulesInForce
from crawler.masks import Masks
from crawler.politeness import Pace
from crawler.recorder import Recorder
from crawler.visit import Passage, Visit
from provenance import entry as leaves
from reservations.model import Decision, Hop, Verdict

logger = logging.getLogger(__name__)


class Visits:
    """The visits of one worker, by the id of their lease.

    Args:
        worker: its id among those of the crawl.
        recrawl_s: seconds after which a URL that is done is asked for again; 0: never.
        catch_up: called when claims are granted under newer rules than ours; the next claim tries again.
        counts: decisions in the log so far, by verdict.
        finals: final ones, those superseded left out.

    Attributes:
        resumed: visits that an earlier process left open, for the feeder to take up.
        changed: set when a visit has ended, or begun in another way than by `claim`.
        counted: what is counted and not entered: duplicates, out of scope, nofollow, over budget.
        closing: whether the crawl is ending, so that nothing is begun any more.
    """

    def __init__(
        self,
        *,
        frontier: Frontier,
        membership: Membership,
        recorder: Recorder,
        door: Door,
        masks: Masks,
        pace: Pace,
        in_force: RulesInForce,
        worker: str,
        stats: StatsCollector,
        recrawl_s: float,
        catch_up: Callable[[OutdatedError], Awaitable[None]],
        counts: dict[Verdict, int],
        finals: dict[Verdict, int],
    ) -> None:
        self._frontier, self._membership, self._recorder = frontier, membership, recorder
        self._door, self._masks = door, masks
        self._pace, self._in_force, self._worker, self._stats = pace, in_force, worker, stats
        self._recrawl_s, self._catch_up = recrawl_s, catch_up
        self.counts, self.finals = counts, finals
        self.counted: dict[str, int] = {}
        self._held: dict[int, Visit] = {}
        self.resumed: list[Visit] = []
        self.changed = asyncio.Event()
        self.closing = False

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, lease: int) -> bool:
        return lease in self._held

    def __getitem__(self, lease: int) -> Visit:
        return self._held[lease]

    def get(self, lease: int) -> Visit | None:
        """The visit of a lease; None when it has ended, or is none of ours."""
        return self._held.get(lease)

    # -- beginning -----------------------------------------------------------------------------------------------------

    async def claim(self, n: int) -> list[Visit]:
        """Claims up to `n` URLs; what earlier holders of them were lost by is entered first."""
        asked_at = self._membership.now()
        try:
            leases = await self._frontier.claim(n, epoch=self._in_force.rules.digest)
        except OutdatedError as error:
            await self._catch_up(error)
            return []
        visits: list[Visit] = []
        for lease in leases:
            self._membership.granted(lease.id, lease.authority, asked_at=asked_at)
            if before := fleet.lost_before(lease):
                self._enter_interrupted(Visit(before, recovery.errand_of(before)))
            visit = Visit(lease, recovery.errand_of(lease))
            if lease.losses > MOST_LOSSES:
                outcome = self._give_up(visit)
                await self._recorder.settled()
                await self._frontier.finish([outcome])
                continue
            self._held[lease.id] = visit
            visits.append(visit)
        return visits

    async def take_up(self, leases: list[Lease], found_in_log: recovery.Found) -> None:
        """Takes up what an earlier process left open: enters what nobody knows, ends what its log has ended."""
        done: list[Outcome] = []
        for lease in leases:
            visit = Visit(lease, recovery.errand_of(lease))
            last = found_in_log.last.get(lease.id)
            if last is not None and last.verdict not in (Verdict.KEPT, Verdict.UNCHANGED):
                done.append(await self._outcome_of_entry(visit, last))
                continue
            if lease.losses > MOST_LOSSES:
                done.append(self._give_up(visit, supersedes=last))
                continue
            if found_in_log.attempted.get(lease.id, -1) < (found_in_log.last_run or 0):
                self._enter_interrupted(visit)
            visit.supersedes = last
            self._go_on(visit, self._pace.host_free_at(steady(), crawl_delay_s=await self._door.known_delay_s(visit)))
        await self._recorder.settled()
        if done:
            await self._frontier.finish(done)

    def _enter_interrupted(self, visit: Visit, **last_word: Any) -> None:
        """Enters an intent of which nobody knows what became."""
        fields = recovery.interrupted(visit, self._in_force.rules, self._masks, self._worker)
        self._recorder.enter(leaves.DecisionEntry, **fields, config=self._in_force.config, **last_word)
        recovery.count(self.counts, Verdict.FAILED)

    def _give_up(self, visit: Visit, supersedes: leaves.DecisionEntry | None = None) -> Outcome:
        """The end of a URL whose holders were lost again and again: it may well be what they were lost by."""
        self._enter_interrupted(visit, final=True, supersedes=supersedes.seq if supersedes else None)
        recovery.count(self.finals, Verdict.FAILED)
        if supersedes:
            recovery.count(self.finals, supersedes.verdict, -1)
        self._membership.ended(visit.lease.authority, visit.lease.id)
        return Outcome(visit.lease.id, self._pace.host_free_at(steady(), crawl_delay_s=0.0), dead=True)

    def _go_on(self, visit: Visit, due: float) -> None:
        """Hands an open lease to the feeder, to be asked for when it is due."""
        visit.due = due
        self._held[visit.lease.id] = visit
        self.resumed.append(visit)
        self.changed.set()

    async def _outcome_of_entry(self, visit: Visit, last: leaves.DecisionEntry) -> Outcome:
        """Ends a lease whose entry is durable and whose end in the frontier was lost."""
        delay_s = await self._door.known_delay_s(visit)
        free_at, again = self._clocks(visit, last.verdict, last.gate, wait_s=last.wait, crawl_delay_s=delay_s)
        children = ()
        if last.verdict is Verdict.REDIRECTED and last.target:
            children = self._redirect(visit, last.target, last.seq, last.http.st if last.http else 0)
        return self._ended(visit, free_at, children, again)

    def _ended(
        self, visit: Visit, free_at: float, children: tuple[Any, ...], again: float | None, **more: Any
    ) -> Outcome:
        """The end of an attempt: the URL is due again at `again`, or done, and then due anew where that is wished."""
        if again is None and self._recrawl_s > 0:
            more["anew"], again = True, steady() + self._recrawl_s
        return Outcome(visit.lease.id, free_at, children, again, **more)

    # -- under way, and ending ----------------------------------------------------------------------------------------

    async def attend(self, visit: Visit, wishes: tuple[tuple[str, str], ...] = ()) -> Passage:
        """Takes one visit through the door and counts what came of it."""
        try:
            passage = visit.passage = await self._door.attend(visit, wishes)
        except LeaseLostError:
            self._enter_interrupted(visit)  # whoever holds the URL now does so too, and asks
            await self.give_back(visit)
            raise
        except Exception:
            self.forget(visit)  # its lease stays open: the next start enters the attempt and asks again
            raise
        self._count(passage.decision, visit.supersedes)
        return passage

    async def finish(self, visit: Visit) -> None:
        """Ends a visit in the frontier: children pushed, host's clock set, the URL done or due again later."""
        passage = visit.passage
        assert passage is not None  # noqa: S101  (visits without one are left open: the next start enters them)
        if not self._membership.holds(visit.lease):
            logger.warning("%s: entered, and asked again by whoever holds it now", visit.lease.url)
            self.forget(visit)
            return
        decision, children = passage.decision, tuple(visit.children)
        free_at, again = self._clocks(
            visit,
            decision.verdict,
            decision.gate,
            wait_s=decision.retry_after_s,
            crawl_delay_s=passage.crawl_delay_s,
        )
        if again is not None and visit.supersedes is not None:
            self.forget(visit)  # its lease stays open: by it the entry to supersede is known, now and after a restart
            if not self.closing:
                self._go_on(visit.once_more(), again)
            return
        if decision.verdict is Verdict.REDIRECTED and decision.location:
            status = passage.fetched.exchange.status if passage.fetched else 0
            children = self._redirect(visit, decision.location, passage.seq, status)
        address = passage.fetched.exchange.ip if passage.fetched else ""
        end = self._ended(visit, free_at, children, again, payload=passage.remember, address=address)
        try:
            await self._frontier.finish([end])
        finally:
            self._membership.ended(visit.lease.authority, visit.lease.id)
            self.forget(visit)  # where it failed, the lease stays open for the next start, and nobody waits for it

    def _clocks(
        self, visit: Visit, verdict: Verdict, gate: str, *, wait_s: int, crawl_delay_s: float
    ) -> tuple[float, float | None]:
        """When the host may be asked again after an attempt that ends now, and when its URL, if it was deferred."""
        now = steady()
        free_at = self._pace.host_free_at(now, crawl_delay_s=crawl_delay_s)
        if verdict is Verdict.DEFERRED:
            again = self._pace.again_at(now, attempt=visit.lease.attempt, retry_after_s=wait_s)
            return max(free_at, again), again
        if gate in ("url", "blocklist", "origin"):
            return visit.host_free_at, None  # the page was not asked for; at most its origin's files were
        return free_at, None

    async def put_back(self, visit: Visit, *, host_free_at: float = 0.0) -> None:
        """Gives a lease back untouched: the URL is asked for later, under the same attempt."""
        try:
            await self._frontier.finish([Outcome(visit.lease.id, host_free_at, counts_as_try=False)])
        finally:
            self._membership.ended(visit.lease.authority, visit.lease.id)
            self.forget(visit)

    async def give_back(self, visit: Visit) -> None:
        """Gives back a lease whose term is, or may be, over: in the frontier it may be ours for a moment still."""
        with contextlib.suppress(FrontierError):
            await self._recorder.settled()
            await self.put_back(visit, host_free_at=self._pace.host_free_at(steady(), crawl_delay_s=0.0))

    def onward(self, visit: Visit, *, via: str, depth: int) -> Errand:
        """The errand on which URLs are asked for that a page leads to."""
        seq = visit.passage.seq if visit.passage else None
        return Errand(via=via, depth=depth, root=visit.errand.root, src=seq, log=self._worker)

    def forget(self, visit: Visit) -> None:
        """Drops a visit whose lease has ended."""
        self._held.pop(visit.lease.id, None)
        self.changed.set()

    def _redirect(self, visit: Visit, target: str, seq: int, status: int) -> tuple[Any, ...]:
        errand = visit.errand
        hops = (*errand.hops, Hop(visit.lease.url, status, target))
        root = urlsplit(target).hostname or errand.root if errand.depth == 0 else errand.root
        onward = msgspec.structs.replace(errand, via="redirect", src=seq, log=self._worker, hops=hops, root=root)
        item = found(target, onward, priority=visit.lease.priority + 1)
        if len(hops) > MOST_HOPS or len(item.payload.encode()) > MAX_PAYLOAD_BYTES:
            self.tally("too_many_redirects")  # or few to very long URLs, which a frontier need not remember
            return ()
        return (item,)

    async def settle(self) -> None:
        """Ends every lease that is still open: what was stored is finished, what was not is given back."""
        for visit in list(self._held.values()):
            if not self._membership.holds(visit.lease) or (visit.passage is None and visit.supersedes is not None):
                self.forget(visit)  # it is somebody else's, or its lease stays open, as in `finish`
            elif visit.passage is None:
                await self.put_back(visit)
            elif not visit.ending:
                visit.ending = True
                await self.finish(visit)
        while self._held:
            self.changed.clear()
            await self.changed.wait()

    # -- counting ------------------------------------------------------------------------------------------------------

    def _count(self, decision: Decision, supersedes: leaves.DecisionEntry | None) -> None:
        """Counts one entry by verdict, for the seal, the progress line and Scrapy's stats."""
        recovery.count(self.counts, decision.verdict)
        if decision.verdict is not Verdict.DEFERRED:
            recovery.count(self.finals, decision.verdict)
            if supersedes is not None:
                recovery.count(self.finals, supersedes.verdict, -1)
        for name in (f"verdict/{decision.verdict}", f"reason/{decision.reason}"):
            self._stats.inc_value(f"knockfirst/{name}")

    def tally(self, what: str, by: int = 1) -> None:
        """Counts what is counted and not entered: duplicates, out of scope, nofollow, over budget."""
        self.counted[what] = self.counted.get(what, 0) + by
        self._stats.inc_value(f"knockfirst/{what}", by)
