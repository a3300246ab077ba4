"""What one crawl has open (rules, frontier, client, log, files), from the first check to the last signature."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import logging
import time
from contextlib import AsyncExitStack
from typing import Any, ClassVar, Final
from weakref import WeakKeyDictionary

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from scrapy.crawler import Crawler

from blocklists.model import BlocklistError
from crawler import fleet, folder, introduction, recovery
from crawler.clock import steady
from crawler.door import Door
from crawler.download.addresses import AddressGuard, parse_resolve
from crawler.download.client import Client
from crawler.download.limits import Limits
from crawler.download.tls import client_context
from crawler.fleet import Membership
from crawler.frontier import Lease, open_frontier
from crawler.frontier.account import Told
from crawler.frontier.interface import EPOCH, Counts, FrontierError, OutdatedError
from crawler.in_force import RulesInForce
from crawler.listing import ListRefusedError
from crawler.masks import Masks
from crawler.options import Fault, Options
from crawler.origins import Origins
from crawler.politeness import Pace
from crawler.recorder import Recorder
from crawler.visits import Visits
from crawler.warc.writer import WarcWriter
from provenance import entry as leaves
from provenance import keys
from provenance.log import LogWriter
from provenance.rules import Rules
from reservations.policy import Limits as PolicyLimits

#: The fact by which the frontier knows how many entries a worker's log holds.
LOG_SIZE: Final = "log_size"
#: How often a worker that may claim nothing looks again.
LOOK_AGAIN_S: Final = 1.0


def now_ms() -> int:
    """Milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


def _utc() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Crawl:
    """One crawl's open things. Made by the add-on (`faults`, `enlist`), opened and closed by the scheduler."""

    _of: ClassVar[WeakKeyDictionary[Crawler, Crawl]] = WeakKeyDictionary()

    def __init__(self, crawler: Crawler, options: Options) -> None:
        self.crawler, self.options = crawler, options
        self.identity = options.identity
        self.settings = crawler.settings
        self.in_force: RulesInForce
        self.key: keys.SigningKey
        self.file: folder.CrawlFile
        self.membership: Membership
        self.visits: Visits
        self.knocking: set[asyncio.Task[None]] = set()
        self._telling: set[asyncio.Task[None]] = set()
        self.opened = False
        self.fault = ""
        self._keeping_up: tuple[asyncio.Task[None], ...] = ()

    @classmethod
    def of(cls, crawler: Crawler) -> Crawl:
        """The crawl of a Scrapy crawler.

        Raises:
            RuntimeError: the add-on did not prepare one.
        """
        try:
            return cls._of[crawler]
        except KeyError:
            raise RuntimeError("no crawl was prepared: put crawler.addon.Addon into ADDONS") from None

    # -- before anything is built ----------------------------------------------------------------------------------

    def faults(self) -> list[Fault]:
        """Loads rules and key and looks at the output folder. Every fault found; nothing is written."""
        in_force, faults = RulesInForce.load(self.options, self.identity.tokens)
        if in_force:
            self.in_force = in_force
        return [*faults, *self._load_key(), *self._look_at_folder()]

    def claim(self) -> list[Fault]:
        """Makes key and folder where there are none: only now, so that a crawl that does not start leaves no trace."""
        path, out = self.options.key, self.options.out
        try:
            if not path.exists():
                keys.generate(path, outside=(out,))
        except keys.KeyFileError as error:
            if not path.exists():  # else another worker on this machine made it at the same moment
                return [_key_fault(error)]
        if faults := self._load_key():
            return faults
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return [folder.unusable(out, error)]
        return []

    def enlist(self) -> None:
        """Makes it the crawl of its Scrapy crawler: `of` finds it."""
        self._of[self.crawler] = self

    def _load_key(self) -> list[Fault]:
        try:
            if self.options.key.exists():
                self.key = keys.load(self.options.key, outside=(self.options.out,))
        except (keys.KeyFileError, OSError) as error:
            return [_key_fault(error)]
        return []

    def _look_at_folder(self) -> list[Fault]:
        spider = self.crawler.spider
        looked = folder.look_at(
            self.options.out,
            spider=spider.name if spider else "",
            arguments={str(k): str(v) for k, v in getattr(spider, "crawl_identity", {}).items()},
            token=self.identity.token,
            now_ms=now_ms(),
        )
        if isinstance(looked, Fault):
            return [looked]
        self.file = looked
        return []

    @property
    def rules(self) -> Rules:
        """The rules in force."""
        return self.in_force.rules

    # -- opening ---------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Opens everything, repairs what a crash left, and enters who crawls under which rules. All of it, or nothing.

        Raises:
            LogError, FrontierError, WarcError, RecorderBrokenError, OSError: something cannot be used or written.
        """
        async with AsyncExitStack() as begun:
            await self._open(begun)
            self.opened = True
            begun.pop_all()

    async def _open(self, begun: AsyncExitStack) -> None:
        out, options = self.options.out, self.options
        leases = await self._open_frontier(begun)
        found_in_log = recovery.Found.of(leases)
        origin = introduction.log_origin(options, self.file)
        self.log = await asyncio.to_thread(LogWriter.open, out / "log", origin, self.key, visit=found_in_log.visit)
        begun.callback(self.log.abandon)
        told, standing = int(await self.frontier.get(self._log_size) or 0), await self.frontier.counts()
        found_in_log.check(self.log, options.frontier, told=told, lost=standing.lost)
        self.in_force.follows(found_in_log.config)
        repairs = await asyncio.to_thread(recovery.repair_warcs, out, found_in_log)
        self.masks = Masks(self.rules.policy, self._mask_key())
        self.recorder = self._new_recorder(found_in_log.files)
        self._enter_run(resumed=found_in_log.last_run is not None, repairs=repairs)
        await self.in_force.enter(self.recorder)
        await self._announce()
        self._open_door()
        begun.push_async_callback(self.client.close)
        await self.recorder.enter_files(out)
        self.visits = self._new_visits(found_in_log)
        await self.visits.take_up(leases, found_in_log)
        await self.recorder.settled()
        loop, membership = asyncio.get_running_loop(), self.membership
        self._keeping_up = (
            loop.create_task(membership.keep_up(self._tell)),
            loop.create_task(membership.watch(self.client.drop)),
        )
        begun.callback(self._stop_keeping_up)

    async def _open_frontier(self, begun: AsyncExitStack) -> list[Lease]:
        """Opens the frontier and joins the crawl that it holds. Returns what an earlier process left open."""
        out, options = self.options.out, self.options
        if not (out / folder.CRAWL_FILE).exists():
            folder.write(out, self.file)
        self.frontier = open_frontier(
            options.frontier,
            now=steady,
            worker=self.file.worker,
            lease_s=options.lease_s,
            max_per_host=options.max_per_host,
            max_per_site=options.max_per_site,
            max_per_address=options.max_per_address,
        )
        begun.push_async_callback(self.frontier.close)
        self.membership = Membership(self.frontier, lease_s=options.lease_s)
        asked_at = self.membership.now()
        leases = await self.frontier.open()
        for lease in leases:
            self.membership.granted(lease.id, lease.authority, asked_at=asked_at)
        joined = await fleet.join(self.frontier, self.file, begun=(out / "log").exists())
        if joined != self.file:
            self.file = joined
            folder.write(out, joined)
        self._log_size = f"{LOG_SIZE} {joined.worker}"
        return leases

    async def _announce(self) -> None:
        among = fleet.others(
            await self.frontier.workers(),
            me=self.file.worker,
            since=steady() - self.options.lease_s,
            rules=await self.frontier.get(EPOCH),
        )
        await fleet.announce(self.frontier, self.rules, alone=not among)

    def _tell(self) -> str:
        """What the operator is shown of this worker."""
        return msgspec.json.encode(
            Told(
                verdicts={str(verdict): number for verdict, number in self.visits.finals.items()},
                under_way=len(self.visits),
                rules=self.rules.digest,
                lease_s=self.options.lease_s,
                ended=self.visits.closing,
            )
        ).decode()

    def _new_recorder(self, entered: set[str]) -> Recorder:
        return Recorder(
            warc=self._warc_writer("warc", self.file.spider),
            evidence=self._warc_writer("evidence", "evidence"),
            log=self.log,
            run=self.file.run,
            masks=self.masks,
            now_ms=now_ms,
            on_failure=self.stop,
            on_durable=self._tell_frontier,
            entered=entered,
        )

    def _tell_frontier(self, size: int) -> None:
        """Has the frontier know how long the log is, before anything that follows from its entries gets there.

        So a start notices when either of the two has lost its end to a disk that promised too much.
        """
        task = asyncio.get_running_loop().create_task(self.frontier.put(self._log_size, str(size)))
        self._telling.add(task)
        task.add_done_callback(self._told)

    def _told(self, task: asyncio.Task[None]) -> None:
        self._telling.discard(task)
        if not task.cancelled():
            task.exception()  # a frontier that cannot be written says so to whoever ends a lease

    def _warc_writer(self, name: str, prefix: str) -> WarcWriter:
        info = introduction.warc_info(self.options, self.file, self.rules)
        return WarcWriter(self.options.out / name, prefix, info=info, clock=_utc)

    def _enter_run(self, *, resumed: bool, repairs: list[str]) -> None:
        fields = introduction.run_fields(self.options, self.file, self.rules, self.settings)
        if repairs:
            fields["settings"]["repaired"] = "; ".join(repairs)
        self.recorder.enter(leaves.RunEntry, **fields, key=self.log.verifier.line(), resumed=resumed)

    def _open_door(self) -> None:
        options, settings = self.options, self.settings
        self.pace = Pace(delay_s=max(0.0, settings.getfloat("DOWNLOAD_DELAY")), backoff_s=options.backoff_s)
        guard = AddressGuard(
            resolve=parse_resolve(options.resolve) if options.resolve else None,
            allow_private=options.allow_private_addresses,
        )
        self.client = Client(
            user_agent=self.identity.user_agent,
            guard=guard,
            tls=client_context(options.ca_file),
            limits=_limits(self.rules.policy.limits, settings.getfloat("DOWNLOAD_TIMEOUT")),
            clock=_utc,
            permit=self.membership.permit,
        )
        headers = (
            (("Accept-Language", "*"), ("From", options.contact))
            if "@" in options.contact
            else (("Accept-Language", "*"),)
        )
        common: dict[str, Any] = {
            "in_force": self.in_force,
            "client": self.client,
            "recorder": self.recorder,
            "frontier": self.frontier,
            "now_ms": now_ms,
            "headers": headers,
            "renew": self._renew,
        }
        self.origins = Origins(
            pace=self.pace,
            membership=self.membership,
            worker=self.file.worker,
            shared=options.shared,
            **common,
        )
        self.door = Door(
            origins=self.origins,
            permit=self.membership.permit,
            worker=self.file.worker,
            masks=self.masks,
            **common,
        )

    def _new_visits(self, found_in_log: recovery.Found) -> Visits:
        return Visits(
            frontier=self.frontier,
            membership=self.membership,
            recorder=self.recorder,
            door=self.door,
            masks=self.masks,
            pace=self.pace,
            in_force=self.in_force,
            worker=self.file.worker,
            stats=self.crawler.stats,
            recrawl_s=self.options.recrawl_days * 86_400,
            catch_up=self._catch_up,
            counts=found_in_log.counts,
            finals=found_in_log.finals,
        )

    def _mask_key(self) -> bytes:
        private = self.key.private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return hashlib.sha256(b"knockfirst mask " + self.file.run.encode() + private).digest()

    # -- while it runs ---------------------------------------------------------------------------------------------

    @staticmethod
    def now() -> float:
        """Seconds since 1970: the clock that hosts are asked by."""
        return steady()

    def tally(self, what: str, by: int = 1) -> None:
        """Counts what is counted and not entered: duplicates, out of scope, nofollow, over budget."""
        self.visits.tally(what, by)

    async def _catch_up(self, error: OutdatedError) -> None:
        """The fleet goes by newer rules: takes them from where ours came from, waits for them, or stops."""
        await self._renew()
        if await self.frontier.get(EPOCH) == self.rules.digest:
            return
        if not await fleet.waits_for_list(self.frontier, self.rules):
            self.stop(error, "rules_outdated")
            return
        self.logger.warning("%s; waiting for the blocklist build that the others have", error)
        await asyncio.sleep(LOOK_AGAIN_S)

    async def _renew(self) -> None:
        """Puts a newer blocklist in force before anything else is asked for; one that is no good stops the crawl."""
        if self.in_force.current():
            return
        try:
            changed = await self.in_force.renew(self.recorder, ending=lambda: self.visits.closing)
        except BlocklistError as error:
            self.stop(error, "blocklist_refused")
            raise ListRefusedError(str(error)) from error
        if changed:
            listed = self.rules.blocklist
            self.logger.info("blocklist %s is in force", listed.version if listed else "")
            try:
                await fleet.announce(self.frontier, self.rules, alone=False)
            except OutdatedError as error:
                self.logger.warning("%s", error)  # the next claim is refused, and looks again

    def stop(self, error: BaseException, reason: str = "log_failed") -> None:
        """Has nothing more fetched, for a fault that the same command may get over later."""
        if not self.opened:
            return  # who opens the crawl hears of it
        self.fault = self.fault or reason
        self.visits.closing = True
        self.visits.changed.set()
        self.logger.critical("%s; nothing more is fetched", error)
        asyncio.get_running_loop().create_task(self.crawler.engine.close_spider_async(reason=reason))

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """The spider's."""
        spider = self.crawler.spider
        assert spider is not None  # noqa: S101  (a crawl runs for an open spider)
        return spider.logger

    # -- closing ---------------------------------------------------------------------------------------------------

    async def close(self, reason: str) -> None:
        """Gives back what was claimed, seals and signs the log, closes every file."""
        self.visits.closing = True
        try:
            counts = await self._let_go()
            over = {"over_budget": counts.over_budget} if counts and counts.over_budget else {}
            done = reason == "finished" and counts is not None and not counts.queued + counts.leased
            await self.recorder.close(
                self.options.out,
                end="finished" if done else "stopped",
                counts=self.visits.counts,
                finals=self.visits.finals,
                counted=self.visits.counted | over,
            )
        finally:
            await self.client.close()
            await self.frontier.close()

    async def _let_go(self) -> Counts | None:
        """Ends every lease that can be ended, and says how the frontier stands; None when it is out of reach."""
        try:
            await self._settle()
            counts = await self.frontier.counts()
            self._stop_keeping_up()
            await self.membership.renew(self._tell())  # the last that is heard of this worker
        except FrontierError as error:
            self.logger.error("%s What was claimed is asked for by the next start, or by another worker.", error)  # noqa: TRY400
            return None
        finally:
            self._stop_keeping_up()
        return counts

    def _stop_keeping_up(self) -> None:
        for task in self._keeping_up:
            task.cancel()

    async def _settle(self) -> None:
        for task in (*self.knocking, *self.origins.flights()):
            task.cancel()
        await asyncio.gather(*self.knocking, *self.origins.flights(), return_exceptions=True)
        if not self.recorder.broken:  # else the next start enters what was left open
            await self.visits.settle()


def _key_fault(error: Exception) -> Fault:
    return Fault("KNOCKFIRST_KEY", str(error), "name a key file that is yours alone, outside the output")


def _limits(of_policy: PolicyLimits, timeout_s: float) -> Limits:
    """The bounds of an exchange: the policy's, and no more patience than DOWNLOAD_TIMEOUT."""
    total_s = of_policy.connect_s + of_policy.head_s + of_policy.body_s
    return Limits(
        head_bytes=of_policy.head_bytes,
        inflation=of_policy.inflation,
        connect_s=min(of_policy.connect_s, timeout_s),
        idle_s=min(of_policy.head_s, timeout_s),
        total_s=total_s if timeout_s >= of_policy.body_s else timeout_s,
    )
