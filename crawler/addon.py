"""The add-on: `ADDONS = {"crawler.addon.Addon": 100}` puts door, WARC and log into any Scrapy project.

It raises StartRefusedError, never NotConfigured: Scrapy leaves a component that is "not configured" out and goes on.
"""

from __future__ import annotations

from typing import Self

from scrapy.crawler import Crawler
from scrapy.settings import BaseSettings

from crawler import assembly
from crawler.crawl import Crawl
from crawler.options import Fault, read_options
from crawler.refusal import StartRefusedError, refusal


class Addon:
    """Scrapy add-on. Checks everything that can be checked before a component is built."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way of making one."""
        return cls(crawler)

    def update_settings(self, settings: BaseSettings) -> None:
        """Installs the components and refuses to start, with every fault at once, when something is amiss."""
        faults = assembly.settings_faults(settings)
        assembly.install(settings)
        spider = self.crawler.spider
        assembly.leave_out(
            settings, vars(type(spider)).get("unneeded", {})
        )  # what a class made from it needs, who knows
        name = spider.name if spider else self.crawler.spidercls.name or "crawl"
        options, unreadable = read_options(settings, name)
        faults += unreadable
        faults += getattr(spider, "start_faults", [])
        crawl = Crawl(self.crawler, options)
        faults += crawl.faults()
        if faults:
            raise refusal(faults, spider)
        crawl.enlist()


__all__ = ["Addon", "Fault", "StartRefusedError"]
