"""Plain Scrapy on our frontier and on nothing else of ours, so that the frontier's own cost can be seen.

The feeder and the scheduler are those of every crawl; Scrapy's own handler downloads, and there are no gates, no WARC
and no log. Such a crawler obeys nobody: it is good for a benchmark's web and not to be had by a setting.
"""

from __future__ import annotations

import asyncio
import time
from inspect import signature
from types import SimpleNamespace
from typing import Any, Final, Self

from scrapy.crawler import Crawler
from scrapy.settings import BaseSettings
from scrapy.utils.defer import deferred_from_coro

from crawler import assembly
from crawler.crawl import Crawl
from crawler.door import Knock
from crawler.fleet import Membership
from crawler.frontier import Outcome, open_frontier
from crawler.frontier.feeder import Feeder
from crawler.frontier.scheduler import LeaseScheduler
from crawler.options import read_options
from crawler.politeness import Pace
from crawler.visit import Visit
from crawler.visits import Visits

_KNOCKED: Final = Knock(asked_now=False, crawl_delay_s=0.0, sitemaps=(), decided=False)


class _Open:
    """A door that is none."""

    async def knock(self, _: Visit) -> Knock:
        return _KNOCKED


class _BareVisits(Visits):
    async def finish(self, visit: Visit) -> None:
        await self._frontier.finish([Outcome(visit.lease.id, time.time(), tuple(visit.children))])
        self._membership.ended(visit.lease.authority, visit.lease.id)
        self.forget(visit)


class _BareCrawl(Crawl):
    async def open(self) -> None:
        options, worker = self.options, f"worker-{time.time_ns()}"
        self.frontier = open_frontier(
            options.frontier,
            now=time.time,
            worker=worker,
            lease_s=options.lease_s,
            max_per_address=options.max_per_address,
        )
        self.membership = Membership(self.frontier, lease_s=options.lease_s)
        await self.frontier.open()
        self.pace = Pace(delay_s=0.0, backoff_s=1.0)
        self.door: Any = _Open()
        unused: dict[str, Any] = dict.fromkeys(signature(Visits).parameters)
        known = {
            "frontier": self.frontier,
            "membership": self.membership,
            "door": self.door,
            "pace": self.pace,
            "in_force": SimpleNamespace(rules=SimpleNamespace(digest="none")),
            "worker": worker,
            "stats": self.crawler.stats,
        }
        self.visits = _BareVisits(**unused | known)
        self._keeping_up = asyncio.get_running_loop().create_task(self.membership.keep_up(lambda: ""))
        self.opened = True

    async def close(self, _: str) -> None:
        assert self._keeping_up
        self._keeping_up.cancel()
        await self.frontier.close()


class _BareScheduler(LeaseScheduler):
    """Without the checks, and without the gentler garbage collector, which would make plain Scrapy faster, too."""

    def open(self, _: Any) -> Any:
        return deferred_from_coro(self.crawl.open())


class Addon:
    """The add-on that puts all this into plain Scrapy, in place of ours and of the checks that ours makes."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way of making one."""
        return cls(crawler)

    def update_settings(self, settings: BaseSettings) -> None:
        """Installs scheduler and feeder."""
        options, faults = read_options(settings, "bare")
        if faults:
            raise SystemExit("\n".join(map(str, faults)))
        assembly.settings_faults = lambda _: []  # the feeder would refuse to be built without a door
        settings.set("SCHEDULER", _BareScheduler, "addon")
        settings.setdefault_in_component_priority_dict("SPIDER_MIDDLEWARES", Feeder, 10)
        _BareCrawl(self.crawler, options).enlist()
