"""What one crawl has open (rules, frontier, client, log, files), from the first check to the last signature."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import os
import socket
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from scrapy.crawler import Crawler

from blocklists.model import BlocklistError
from crawler import recovery
from crawler.door import Door
from crawler.download.addresses import AddressGuard, parse_resolve
from crawler.download.client import Client
from crawler.download.limits import Limits
from crawler.download.tls import client_context
from crawler.frontier import MAX_PAYLOAD_BYTES, Outcome, open_frontier
from crawler.frontier.errand import MOST_HOPS, found
from crawler.listing import Listing, ListRefusedError
from crawler.options import Fault, Options
from crawler.origins import Origins
from crawler.politeness import Pace
from crawler.recorder import Recorder
from crawler.visit import Passage, Visit
from crawler.warc.records import crawl_info
from crawler.warc.writer import WarcWriter
from provenance import entry as leaves
from provenance import keys
from provenance.installed import code_digest, suffix_list_digest
from provenance.log import LogWriter
from provenance.rules import Rules
from reservations._version import __version__
from reservations.datafile import DefinitionError
from reservations.model import Decision, Hop, Verdict
from reservations.policy import Limits as PolicyLimits

SOFTWARE: Final = f"knockfirst/{__version__}"
CRAWL_FILE: Final = "crawl.json"
#: The fact by which the frontier knows how many entries the log holds.
LOG_SIZE: Final = "log_size"


class CrawlFile(msgspec.Struct, frozen=True, kw_only=True):
    """`crawl.json`: which crawl an output folder belongs to. The same command continues it, another one is refused."""

    run: str
    spider: str
    arguments: dict[str, str]
    token: str
    created: str


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
        self.rules: Rules
        self.listing: Listing | None = None
        self._renewing = asyncio.Lock()
        self.key: keys.SigningKey
        self.file: CrawlFile
        self.visits: dict[int, Visit] = {}
        self.resumed: list[Visit] = []
        self.counted: dict[str, int] = {}
        self.changed = asyncio.Event()
        self.knocking: set[asyncio.Task[None]] = set()
        self._telling: set[asyncio.Task[None]] = set()
        self.opened = self.closing = False

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
        return [*self._load_rules(), *self._load_key(), *self._look_at_folder()]

    def claim(self) -> list[Fault]:
        """Makes key and folder where there are none: only now, so that a crawl that does not start leaves no trace."""
        path, out = self.options.key, self.options.out
        try:
            if not path.exists():
                self.key = keys.generate(path, outside=(out,))
        except keys.KeyFileError as error:
            return [_key_fault(error)]
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return [_folder_fault(out, error)]
        return []

    def enlist(self) -> None:
        """Makes it the crawl of its Scrapy crawler: `of` finds it."""
        self._of[self.crawler] = self

    def _load_rules(self) -> list[Fault]:
        options = self.options
        faults: list[Fault] = []
        listed = None
        if options.blocklist and options.blocklist_keys:
            memory = options.key.with_name(f"{options.key.name}.lists")
            self.listing = Listing(options.blocklist, options.blocklist_keys, memory, today=lambda: _utc().date())
            try:
                self.listing.accept()
            except BlocklistError as error:
                faults.append(Fault("KNOCKFIRST_BLOCKLIST", str(error), "ask the staff who keep the list for a build"))
            else:
                listed = self.listing.blocklist, self.listing.manifest
        try:
            self.rules = Rules.load(
                tokens=self.identity.tokens, policy=options.policy, blocklist=listed, data=options.data
            )
        except DefinitionError as error:
            remedy = "mend the line named; `knockfirst lint` checks it"
            policy = str(options.policy) if options.policy else ""
            faults += [
                Fault("KNOCKFIRST_POLICY" if fault.file == policy else "KNOCKFIRST_DATA", str(fault), remedy)
                for fault in error.faults
            ]
        except OSError as error:
            faults.append(Fault("KNOCKFIRST_POLICY, KNOCKFIRST_DATA", str(error), "give files that can be read"))
        return faults

    def _load_key(self) -> list[Fault]:
        try:
            if self.options.key.exists():
                self.key = keys.load(self.options.key, outside=(self.options.out,))
        except (keys.KeyFileError, OSError) as error:
            return [_key_fault(error)]
        return []

    def _look_at_folder(self) -> list[Fault]:
        out, spider = self.options.out, self.crawler.spider
        name = spider.name if spider else ""
        wanted = {str(k): str(v) for k, v in getattr(spider, "crawl_identity", {}).items()}
        path = out / CRAWL_FILE
        other = "name another KNOCKFIRST_OUT, or repeat the command that began it"
        try:
            if path.exists():
                self.file = msgspec.json.decode(path.read_bytes(), type=CrawlFile)
                begun = (self.file.spider, self.file.arguments, self.file.token)
                if begun != (name, wanted, self.identity.token):
                    what = f"{out} holds a crawl by spider {begun[0]!r} as {begun[2]} with {begun[1]}"
                    return [Fault("KNOCKFIRST_OUT", what, other)]
                return []
            if out.exists() and any(one.name != CRAWL_FILE + recovery.UNFINISHED for one in out.iterdir()):
                return [Fault("KNOCKFIRST_OUT", f"{out} is not empty and holds no {CRAWL_FILE}", other)]
        except (OSError, msgspec.DecodeError) as error:
            return [_folder_fault(out, error)]
        self.file = CrawlFile(
            run=hashlib.sha256(os.urandom(32)).hexdigest()[:12],
            spider=name,
            arguments=wanted,
            token=self.identity.token,
            created=leaves.timestamp(now_ms()),
        )
        return []

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
        out = self.options.out
        if not (out / CRAWL_FILE).exists():
            recovery.write_new(out / CRAWL_FILE, msgspec.json.format(msgspec.json.encode(self.file), indent=2))
        self.frontier = open_frontier(
            self.options.frontier, now=time.time, worker="crawl", max_per_host=self.options.max_per_host
        )
        begun.push_async_callback(self.frontier.close)
        leases = await self.frontier.open()
        found_in_log = recovery.Found.of(leases)
        self.log = await asyncio.to_thread(
            LogWriter.open, out / "log", self._log_origin(), self.key, visit=found_in_log.visit
        )
        begun.callback(self.log.abandon)
        found_in_log.check(self.log, self.options.frontier, told=int(await self.frontier.get(LOG_SIZE) or 0))
        if self.listing:
            self.listing.follows(found_in_log.config, out / "log" / "rules")
            self.listing.adopted()
        repairs = await asyncio.to_thread(recovery.repair_warcs, out, found_in_log)
        self.counts, self.finals = found_in_log.counts, found_in_log.finals
        self.recorder = self._new_recorder(found_in_log.files)
        self._enter_run(resumed=found_in_log.last_run is not None, repairs=repairs)
        config = await self._enter_rules(self.rules)
        self._open_door(config)
        begun.push_async_callback(self.client.close)
        await self.recorder.enter_files(out)
        await self._resume(leases, found_in_log, config)
        await self.recorder.settled()

    def _new_recorder(self, entered: set[str]) -> Recorder:
        return Recorder(
            warc=self._warc_writer("warc", self.file.spider),
            evidence=self._warc_writer("evidence", "evidence"),
            log=self.log,
            run=self.file.run,
            now_ms=now_ms,
            on_failure=self._stop_fetching,
            on_durable=self._tell_frontier,
            entered=entered,
        )

    def _tell_frontier(self, size: int) -> None:
        """Has the frontier know how long the log is, before anything that follows from its entries gets there.

        So a start notices when either of the two has lost its end to a disk that promised too much.
        """
        task = asyncio.get_running_loop().create_task(self.frontier.put(LOG_SIZE, str(size)))
        self._telling.add(task)
        task.add_done_callback(self._told)

    def _told(self, task: asyncio.Task[None]) -> None:
        self._telling.discard(task)
        if not task.cancelled():
            task.exception()  # a frontier that cannot be written says so to whoever ends a lease

    def _log_origin(self) -> str:
        contact = self.options.contact
        host = urlsplit(contact).hostname or contact.rpartition("@")[2]
        return f"{host}/{self.file.spider}/{self.file.run}"

    def _warc_writer(self, folder: str, prefix: str) -> WarcWriter:
        info = crawl_info(
            software=SOFTWARE,
            operator=f"{self.identity.operator} <{self.identity.contact}>",
            user_agent=self.identity.user_agent,
            token=self.identity.token,
            policy=self.rules.policy.name,
            policy_digest=self.rules.policy.digest,
            log_origin=self._log_origin(),
            crawl=f"{self.file.spider}-{self.file.run}",
            hostname=socket.gethostname(),
        )
        if self.rules.weakened:
            weaker = (f"{w.rule} (approved by {w.approver}: {w.reason})" for w in self.rules.weakened)
            info["knockfirst-weaker-rules"] = " | ".join(" ".join(item.split()) for item in weaker)
        return WarcWriter(self.options.out / folder, prefix, info=info, clock=_utc)

    def _enter_run(self, *, resumed: bool, repairs: list[str]) -> None:
        options, rules = self.options, self.rules
        settings = {
            name: str(self.settings.get(name)) for name in ("DOWNLOAD_DELAY", "CONCURRENT_REQUESTS", "DOWNLOAD_TIMEOUT")
        }
        settings |= {"ca_file": str(options.ca_file or ""), "max_per_host": str(options.max_per_host)}
        settings |= {"repaired": "; ".join(repairs)} if repairs else {}
        self.recorder.enter(
            leaves.RunEntry,
            origin=self._log_origin(),
            software=SOFTWARE,
            code=code_digest(),
            operator=self.identity.operator,
            contact=self.identity.contact,
            agent=self.identity.user_agent,
            token=self.identity.token,
            purposes=rules.policy.purposes,
            spider=self.file.spider,
            seeds=self.file.arguments.get("seeds", ""),
            settings={key: value for key, value in settings.items() if value},
            resolve=options.resolve,
            private=options.allow_private_addresses,
            key=self.log.verifier.line(),
            no_blocklist="" if options.blocklist else options.no_blocklist,
            resumed=resumed,
        )

    async def _enter_rules(self, rules: Rules) -> int:
        folder = self.options.out / "log" / "rules"
        recovery.write_once(folder / f"{rules.digest[7:]}.json", rules.bundle.encode())
        if self.listing:
            await asyncio.to_thread(self.listing.keep, folder)
        listed = rules.blocklist
        return self.recorder.enter(
            leaves.ConfigEntry,
            rules=rules.digest,
            policy=rules.policy.digest,
            policy_name=f"{rules.policy.name} {rules.policy.version}",
            protocols=rules.registry.digest,
            blocklist=listed.digest if listed else "",
            blocklist_version=listed.version if listed else "",
            sources=tuple(
                leaves.Source(id=s.authority, date=str(s.latest_decision), country=s.country) for s in listed.sources
            )
            if listed
            else (),
            psl=suffix_list_digest(),
            weaker=tuple(leaves.Weaker(rule=w.rule, approver=w.approver, reason=w.reason) for w in rules.weakened),
        )

    def _open_door(self, config: int) -> None:
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
        )
        headers = (
            (("Accept-Language", "*"), ("From", options.contact))
            if "@" in options.contact
            else (("Accept-Language", "*"),)
        )
        common: dict[str, Any] = {
            "rules": self.rules,
            "client": self.client,
            "recorder": self.recorder,
            "frontier": self.frontier,
            "now_ms": now_ms,
            "headers": headers,
            "renew": self._renew,
        }
        self.origins = Origins(pace=self.pace, **common)
        self.door = Door(origins=self.origins, mask_key=self._mask_key(), config=config, **common)

    def _mask_key(self) -> bytes:
        private = self.key.private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return hashlib.sha256(b"knockfirst mask " + self.file.run.encode() + private).digest()

    async def _resume(self, leases: list[Any], found_in_log: recovery.Found, config: int) -> None:
        done: list[Outcome] = []
        for lease in leases:
            visit = Visit(lease, recovery.errand_of(lease))
            last = found_in_log.last.get(lease.id)
            if last is not None and last.verdict not in (Verdict.KEPT, Verdict.UNCHANGED):
                done.append(await self._outcome_of_entry(visit, last))
                continue
            if found_in_log.attempted.get(lease.id, -1) < (found_in_log.last_run or 0):
                self.recorder.enter(
                    leaves.DecisionEntry,
                    **recovery.interrupted(visit, self.rules, self.door.shown(lease.url)),
                    config=config,
                )
                recovery.count(self.counts, Verdict.FAILED)
            visit.supersedes = last
            self._go_on(visit, self.pace.host_free_at(time.time(), crawl_delay_s=await self.door.known_delay_s(visit)))
        await self.recorder.settled()
        if done:
            await self.frontier.finish(done)

    def _go_on(self, visit: Visit, due: float) -> None:
        """Hands an open lease to the feeder, to be asked for when it is due."""
        visit.due = due
        self.visits[visit.lease.id] = visit
        self.resumed.append(visit)
        self.changed.set()

    async def _outcome_of_entry(self, visit: Visit, last: leaves.DecisionEntry) -> Outcome:
        """Ends a lease whose entry is durable and whose end in the frontier was lost."""
        delay_s = await self.door.known_delay_s(visit)
        free_at, again = self._clocks(visit, last.verdict, last.gate, wait_s=last.wait, crawl_delay_s=delay_s)
        children = ()
        if last.verdict is Verdict.REDIRECTED and last.target:
            children = self._redirect(visit, last.target, last.seq, last.http.st if last.http else 0)
        return Outcome(visit.lease.id, free_at, children, again)

    # -- while it runs ---------------------------------------------------------------------------------------------

    @staticmethod
    def now() -> float:
        """Seconds since 1970: the clock that hosts are asked by."""
        return time.time()

    def _count(self, decision: Decision, supersedes: leaves.DecisionEntry | None) -> None:
        """Counts one entry by verdict, for the seal, the progress line and Scrapy's stats."""
        recovery.count(self.counts, decision.verdict)
        if decision.verdict is not Verdict.DEFERRED:
            recovery.count(self.finals, decision.verdict)
            if supersedes is not None:
                recovery.count(self.finals, supersedes.verdict, -1)
        for name in (f"verdict/{decision.verdict}", f"reason/{decision.reason}"):
            self.crawler.stats.inc_value(f"knockfirst/{name}")

    def tally(self, what: str, by: int = 1) -> None:
        """Counts what is counted and not entered: duplicates, out of scope, nofollow, over budget."""
        self.counted[what] = self.counted.get(what, 0) + by
        self.crawler.stats.inc_value(f"knockfirst/{what}", by)

    async def attend(self, visit: Visit, wishes: tuple[tuple[str, str], ...] = ()) -> Passage:
        """Takes one visit through the door and counts what came of it."""
        try:
            passage = visit.passage = await self.door.attend(visit, wishes)
        except Exception:
            self.forget(visit)  # its lease stays open: the next start enters the attempt and asks again
            raise
        self._count(passage.decision, visit.supersedes)
        return passage

    async def finish(self, visit: Visit) -> None:
        """Ends a visit in the frontier: children pushed, host's clock set, the URL done or due again later."""
        passage = visit.passage
        assert passage is not None  # noqa: S101  (visits without one are left open: the next start enters them)
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
        try:
            await self.frontier.finish([Outcome(visit.lease.id, free_at, children, again, payload=passage.remember)])
        finally:
            self.forget(visit)  # where it failed, the lease stays open for the next start, and nobody waits for it

    def _clocks(
        self, visit: Visit, verdict: Verdict, gate: str, *, wait_s: int, crawl_delay_s: float
    ) -> tuple[float, float | None]:
        """When the host may be asked again after an attempt that ends now, and when its URL, if it was deferred."""
        now = time.time()
        free_at = self.pace.host_free_at(now, crawl_delay_s=crawl_delay_s)
        if verdict is Verdict.DEFERRED:
            again = self.pace.again_at(now, attempt=visit.lease.attempt, retry_after_s=wait_s)
            return max(free_at, again), again
        if gate in ("url", "blocklist", "origin"):
            return visit.host_free_at, None  # the page was not asked for; at most its origin's files were
        return free_at, None

    async def put_back(self, visit: Visit, *, host_free_at: float = 0.0) -> None:
        """Gives a lease back untouched: the URL is asked for later, under the same attempt."""
        try:
            await self.frontier.finish([Outcome(visit.lease.id, host_free_at, counts_as_try=False)])
        finally:
            self.forget(visit)

    def forget(self, visit: Visit) -> None:
        """Drops a visit whose lease has ended."""
        self.visits.pop(visit.lease.id, None)
        self.changed.set()

    def _redirect(self, visit: Visit, target: str, seq: int, status: int) -> tuple[Any, ...]:
        errand = visit.errand
        hops = (*errand.hops, Hop(visit.lease.url, status, target))
        root = urlsplit(target).hostname or errand.root if errand.depth == 0 else errand.root
        onward = msgspec.structs.replace(errand, via="redirect", src=seq, hops=hops, root=root)
        item = found(target, onward, priority=visit.lease.priority + 1)
        if len(hops) > MOST_HOPS or len(item.payload.encode()) > MAX_PAYLOAD_BYTES:
            self.tally("too_many_redirects")  # or few to very long URLs, which a frontier need not remember
            return ()
        return (item,)

    async def _renew(self) -> None:
        """Puts a newer blocklist in force before anything else is asked for; one that is no good stops the crawl."""
        if self.listing is None or self.listing.current():
            return
        async with self._renewing:
            if self.closing:
                raise ListRefusedError("the blocklist is not in order, and the crawl is ending")
            try:
                if not self.listing.current() and await self.listing.renew():
                    await self._put_in_force(self.listing)
            except BlocklistError as error:
                self._stop_fetching(error, "blocklist_refused")
                raise ListRefusedError(str(error)) from error
            self.listing.adopted()

    async def _put_in_force(self, listing: Listing) -> None:
        rules = self.rules.with_blocklist(listing.blocklist, listing.manifest)
        config = await self._enter_rules(rules)
        self.rules = rules
        self.origins.adopt(rules)
        self.door.adopt(rules, config)
        self.crawler.spider.logger.info("blocklist %s is in force", listing.blocklist.version)  # type: ignore[union-attr]

    def _stop_fetching(self, error: BaseException, reason: str = "log_failed") -> None:
        if not self.opened:
            return  # who opens the crawl hears of it
        self.closing = True
        self.changed.set()
        self.crawler.spider.logger.critical("%s; nothing more is fetched", error)  # type: ignore[union-attr]
        asyncio.get_running_loop().create_task(self.crawler.engine.close_spider_async(reason=reason))

    # -- closing ---------------------------------------------------------------------------------------------------

    async def close(self, reason: str) -> None:
        """Gives back what was claimed, seals and signs the log, closes every file."""
        self.closing = True
        try:
            await self._settle_visits()
            counts = await self.frontier.counts()
            left = counts.queued + counts.leased
            over = {"over_budget": counts.over_budget} if counts.over_budget else {}
            await self.recorder.close(
                self.options.out,
                end="finished" if reason == "finished" and not left else "stopped",
                counts=self.counts,
                finals=self.finals,
                counted=self.counted | over,
            )
        finally:
            await self.client.close()
            await self.frontier.close()

    async def _settle_visits(self) -> None:
        """Ends every lease that is still open: what was stored is finished, what was not is given back."""
        for task in (*self.knocking, *self.origins.flights()):
            task.cancel()
        await asyncio.gather(*self.knocking, *self.origins.flights(), return_exceptions=True)
        if self.recorder.broken:
            return  # the next start enters what was left open
        for visit in list(self.visits.values()):
            if visit.passage is None and visit.supersedes is not None:
                self.forget(visit)  # its lease stays open, as in `finish`
            elif visit.passage is None:
                await self.put_back(visit)
            elif not visit.ending:
                visit.ending = True
                await self.finish(visit)
        while self.visits:
            self.changed.clear()
            await self.changed.wait()


def _key_fault(error: Exception) -> Fault:
    return Fault("KNOCKFIRST_KEY", str(error), "name a key file that is yours alone, outside the output")


def _folder_fault(out: Path, error: Exception) -> Fault:
    return Fault("KNOCKFIRST_OUT", f"{out} cannot be used: {error}", "name a folder that can be written")


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
