"""Scrapy's scheduler, over the frontier: it hands the engine leased requests, and takes in all others as data."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import deque
from typing import TYPE_CHECKING, Final, Self

from scrapy import Request, Spider
from scrapy.core.scheduler import BaseScheduler
from scrapy.crawler import Crawler
from scrapy.utils.defer import deferred_from_coro

from blocklists.model import BlocklistError
from crawler import assembly
from crawler.crawl import Crawl
from crawler.frontier.errand import Errand, RequestNotDataError, found_from_request
from crawler.frontier.interface import Found, FrontierError
from crawler.handler import LEASE_KEY
from crawler.options import Fault
from crawler.recorder import RecorderBrokenError
from crawler.refusal import refusal
from crawler.warc.records import WarcError
from provenance.log import LogError
from reservations.urls import UrlError

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

logger = logging.getLogger(__name__)

#: New objects between two searches for cycles among them. Python's 700 are less than what two pages need.
_GARBAGE_AFTER: Final = 10_000


class LeaseScheduler(BaseScheduler):
    """Requests that the feeder claimed wait here for the engine; requests from anywhere else go to the frontier."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.crawl = Crawl.of(crawler)
        self._ready: deque[Request] = deque()
        self._pushes: set[asyncio.Task[None]] = set()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way of making one."""
        return cls(crawler)

    def open(self, spider: Spider) -> Deferred[None]:
        """Looks at the components that were built, and opens the crawl. What is raised here stops the start."""
        faults = assembly.component_faults(self.crawler) or self.crawl.claim()
        if faults:
            raise refusal(faults, spider)
        return deferred_from_coro(self._open(spider))

    async def _open(self, spider: Spider) -> None:
        try:
            await self.crawl.open()
        except (FrontierError, LogError, OSError, RecorderBrokenError, WarcError) as error:
            out = self.crawl.options.out
            fault = Fault("KNOCKFIRST_OUT", f"{out} cannot be used: {error}", "mend this and start again")
            raise refusal([fault], spider) from error
        except BlocklistError as error:
            fault = Fault("KNOCKFIRST_BLOCKLIST", str(error), "ask the staff who keep the list for a build")
            raise refusal([fault], spider) from error
        _spare_the_collector()

    def close(self, reason: str) -> Deferred[None]:
        """Closes the crawl."""
        return deferred_from_coro(self._close(reason))

    async def _close(self, reason: str) -> None:
        if self._pushes:
            await asyncio.gather(*self._pushes)
        if self.crawl.opened:
            await self.crawl.close(reason)

    def has_pending_requests(self) -> bool:
        """Whether the engine has something to do now."""
        return bool(self._ready or self._pushes)

    def next_request(self) -> Request | None:
        """The next claimed request."""
        return self._ready.popleft() if self._ready else None

    def enqueue_request(self, request: Request) -> bool:
        """A claimed request waits for the engine; any other (of an errback, an extension) goes to the frontier."""
        visit = self.crawl.visits.get(request.meta.get(LEASE_KEY, -1))
        if visit is not None and visit.request is request:
            self._ready.append(request)
            return True
        try:
            spider = self.crawler.spider
            assert spider is not None  # noqa: S101  (the engine enqueues for an open spider)
            item = found_from_request(request, spider, Errand(via="request", depth=request.meta.get("depth", 0)))
        except (RequestNotDataError, UrlError) as error:
            logger.error("%s", error)  # noqa: TRY400  (the message says all there is to say)
            self.crawl.tally("requests_refused")
            return False
        task = asyncio.get_running_loop().create_task(self._push(item))
        self._pushes.add(task)
        task.add_done_callback(self._pushes.discard)
        return True

    async def _push(self, item: Found) -> None:
        if not await self.crawl.frontier.push([item]):
            self.crawl.tally("duplicates")
        self.crawl.visits.changed.set()


def _spare_the_collector() -> None:
    """Has the search for cycles pass over what was there before the crawl: code, rules, tables, which stay anyway.

    It took a tenth of the processor time, again and again looking through the same objects.
    """
    gc.collect()
    gc.freeze()
    often, *rarely = gc.get_threshold()
    if often:  # else somebody has switched it off
        gc.set_threshold(max(often, _GARBAGE_AFTER), *rarely)
