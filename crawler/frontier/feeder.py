"""The spider middleware between frontier and spider: claims URLs for the engine, and takes in what pages lead to.

A page is done when its callback's output and its items' pipelines are; only then are its links pushed and its lease
ended, in one transaction. The claim loop waits for free slots itself: Scrapy does not throttle `start()`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any, Final, Self

import msgspec
from scrapy import Request, signals
from scrapy.crawler import Crawler
from scrapy.http import Response

from crawler import assembly
from crawler.crawl import LOOK_AGAIN_S, Crawl
from crawler.fleet import LeaseLostError
from crawler.frontier.errand import Errand, RequestNotDataError, found_from_request, request_for
from crawler.frontier.interface import Found, FrontierError, Recent, State
from crawler.handler import LEASE_KEY
from crawler.listing import ListRefusedError
from crawler.recorder import RecorderBrokenError
from crawler.refusal import refusal
from crawler.visit import Visit
from reservations.urls import UrlError

logger = logging.getLogger(__name__)

PUSH_BATCH: Final = 1000
#: Claims are taken in rounds at most this often: each is a durable transaction.
ROUND_S: Final = 0.02
LONGEST_SLEEP_S: Final = 30.0
#: Hosts whose sitemaps are known to be pushed; those of a forgotten one are pushed again, and are duplicates.
MOST_INTRODUCED: Final = 100_000


class Links(msgspec.Struct, frozen=True):
    """URLs that a page of the web spider leads to, ready for the frontier: one object instead of fifty Requests."""

    found: tuple[Found, ...]


class Feeder:
    """Spider middleware; nearest to the engine, so that it sees what all the others let through."""

    def __init__(self, crawler: Crawler) -> None:
        if faults := assembly.settings_faults(crawler.settings):
            raise refusal(faults, crawler.spider)
        self.crawler = crawler
        self.crawl = Crawl.of(crawler)
        self._slots = crawler.settings.getint("CONCURRENT_REQUESTS") or 64
        self._ready: asyncio.Queue[Visit | None] = asyncio.Queue()
        self._finishing: set[asyncio.Task[None]] = set()
        # Whose sitemaps this process has pushed: who learnt an origin may have been lost before it pushed them.
        self._introduced = Recent(MOST_INTRODUCED)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way of making one."""
        feeder = cls(crawler)
        for signal in (signals.item_scraped, signals.item_dropped, signals.item_error):
            crawler.signals.connect(feeder.item_done, signal)
        return feeder

    # -- URLs for the engine ---------------------------------------------------------------------------------------

    async def process_start(self, start: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Pushes the spider's seeds, then yields claimed requests until the frontier has no more."""
        async for item in self._push_seeds(start):
            yield item
        claimer = asyncio.get_running_loop().create_task(self._claim_loop())
        try:
            while (visit := await self._ready.get()) is not None:
                yield self._request(visit)
            await claimer
        finally:
            claimer.cancel()

    async def _push_seeds(self, start: AsyncIterator[Any]) -> AsyncIterator[Any]:
        batch: list[Found] = []
        async for item in start:
            if isinstance(item, Request):
                batch += self._as_found(item, Errand(via="seed"))
            elif isinstance(item, Links):
                batch += item.found
            else:
                yield item
            if len(batch) >= PUSH_BATCH:
                await self._push(batch)
                batch = []
        await self._push(batch)

    async def _push(self, batch: list[Found]) -> None:
        if batch:
            new = await self.crawl.frontier.push(batch)
            if new < len(batch):
                self.crawl.tally("duplicates", len(batch) - new)

    async def _claim_loop(self) -> None:
        crawl = self.crawl
        try:
            while not crawl.visits.closing:
                crawl.visits.changed.clear()
                while crawl.visits.resumed:
                    self._start_knocking(crawl.visits.resumed.pop())
                free = self._slots - len(crawl.visits)
                visits = await crawl.visits.claim(free) if free > 0 else []
                for visit in visits:
                    self._start_knocking(visit)
                if visits:
                    await asyncio.sleep(ROUND_S)
                elif not await self._wait_for_work():
                    return
        except FrontierError as error:
            crawl.stop(error, "frontier_failed")
        except (ListRefusedError, RecorderBrokenError):
            pass  # whoever broke it has stopped the crawl and said so
        finally:
            self._ready.put_nowait(None)

    async def _wait_for_work(self) -> bool:
        """Sleeps until something changes or a host is due; False when there is nothing left to wait for."""
        crawl = self.crawl
        state = await crawl.frontier.state()
        due = await crawl.frontier.next_due()
        idle = not crawl.visits and not crawl.visits.changed.is_set()
        if idle and (due is None or state is State.DRAIN):
            return False
        full = len(crawl.visits) >= self._slots
        patience = LONGEST_SLEEP_S if due is None or full else due - crawl.now()
        least = ROUND_S if state is State.RUN else LOOK_AGAIN_S
        most = LOOK_AGAIN_S if crawl.options.shared else LONGEST_SLEEP_S  # other workers do not wake us
        try:
            async with asyncio.timeout(min(max(patience, least), max(most, least))):
                await crawl.visits.changed.wait()
            await asyncio.sleep(ROUND_S)  # let the round gather: one claim for many ends
        except TimeoutError:
            pass
        return True

    def _start_knocking(self, visit: Visit) -> None:
        task = asyncio.get_running_loop().create_task(self._knock(visit))
        self.crawl.knocking.add(task)
        task.add_done_callback(self.crawl.knocking.discard)

    async def _knock(self, visit: Visit) -> None:
        """Learns the origin outside the engine, so that a slow robots.txt delays nobody else."""
        crawl = self.crawl
        try:
            resumed = visit.due is not None
            await self._wait_until(visit.due)
            knock = await crawl.door.knock(visit)
            if knock.asked_now or visit.lease.authority not in self._introduced:
                await self._push_sitemaps(visit, knock.sitemaps)
                self._introduced.add(visit.lease.authority)
            free_at = crawl.pace.host_free_at(crawl.now(), crawl_delay_s=knock.crawl_delay_s)
            if knock.asked_now:
                visit.host_free_at = free_at
                if not knock.decided and resumed:
                    await self._wait_until(free_at)
                elif not knock.decided and free_at > crawl.now():
                    await crawl.visits.put_back(visit, host_free_at=free_at)  # the host has had a visit just now
                    return
            self._ready.put_nowait(visit)
        except LeaseLostError as error:
            logger.warning("%s", error)  # nothing of the page was asked for
            await crawl.visits.give_back(visit)
        except (FrontierError, ListRefusedError, RecorderBrokenError) as error:
            logger.error("%s: %s", visit.lease.url, error)  # noqa: TRY400  (already reported where it broke)
            crawl.visits.forget(visit)
        except Exception:
            logger.exception("%s: a fault of ours; the URL is left for the next start", visit.lease.url)
            crawl.visits.forget(visit)  # or the crawl would wait for it and never end

    async def _push_sitemaps(self, visit: Visit, named: tuple[str, ...]) -> None:
        """A spider that wants sitemaps says so by having a method `sitemaps_found`."""
        wanted = getattr(self.crawler.spider, "sitemaps_found", None)
        if wanted and named:
            await self._push(wanted(visit, named))

    async def _wait_until(self, due: float | None) -> None:
        if due is not None and due > self.crawl.now():
            await asyncio.sleep(due - self.crawl.now())

    def _request(self, visit: Visit) -> Request:
        spider = self.crawler.spider
        assert spider is not None  # noqa: S101  (requests are yielded for an open spider)
        request = request_for(visit.lease.url, visit.errand, spider)
        request.meta[LEASE_KEY] = visit.lease.id
        visit.request, visit.errback = request, request.errback
        request.errback = None
        return request

    # -- what pages lead to ----------------------------------------------------------------------------------------

    async def process_spider_output(self, response: Response, result: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Collects a page's requests and links, lets its items through, and ends the visit after the last of them."""
        visit = self._visit(response)
        try:
            async for item in result:
                if isinstance(item, Request):
                    visit.children += self._as_found(item, self._next_errand(visit, item))
                elif isinstance(item, Links):
                    visit.children += item.found
                elif item is not None:
                    visit.items_out += 1
                    yield item
        finally:
            visit.output_done = True
            self._finish_if_done(visit)

    def process_spider_exception(self, response: Response, exception: Exception) -> None:  # noqa: ARG002
        """A callback failed: what it yielded before counts, and the URL is done (Scrapy reports the exception)."""
        visit = self._visit(response)
        visit.output_done = True
        self._finish_if_done(visit)

    def item_done(self, item: Any, response: Response | None = None) -> None:  # noqa: ARG002
        """One item has left the pipelines."""
        if isinstance(response, Response) and response.request is not None:
            visit = self.crawl.visits.get(response.request.meta.get(LEASE_KEY, -1))
            if visit is not None:
                visit.items_out -= 1
                self._finish_if_done(visit)

    def _visit(self, response: Response) -> Visit:
        assert response.request is not None  # noqa: S101  (Scrapy sets it before any spider middleware)
        return self.crawl.visits[response.request.meta[LEASE_KEY]]

    def _finish_if_done(self, visit: Visit) -> None:
        if visit.output_done and visit.items_out <= 0 and visit.lease.id in self.crawl.visits and not visit.ending:
            visit.ending = True
            task = asyncio.get_running_loop().create_task(self._finish(visit))
            self._finishing.add(task)
            task.add_done_callback(self._finishing.discard)

    async def _finish(self, visit: Visit) -> None:
        try:
            await self.crawl.visits.finish(visit)
        except FrontierError:
            logger.exception("%s: stored, but not ended in the frontier; the next start asks again", visit.lease.url)

    def _next_errand(self, visit: Visit, request: Request) -> Errand:
        return self.crawl.visits.onward(visit, via="link", depth=request.meta.get("depth", visit.errand.depth + 1))

    def _as_found(self, request: Request, errand: Errand) -> list[Found]:
        spider = self.crawler.spider
        assert spider is not None  # noqa: S101
        try:
            return [found_from_request(request, spider, errand)]
        except (RequestNotDataError, UrlError) as error:
            logger.error("%s", error)  # noqa: TRY400  (the message says all there is to say)
            self.crawl.tally("requests_refused")
            return []
