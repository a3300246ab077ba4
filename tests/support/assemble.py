"""Runs one crawl after another in one process, each with settings of its own, and prints what came of each as JSON.

Used by the tests of assembly: `python assemble.py CASES`, a JSON list of {"settings", "custom"}.
"""

import asyncio
import json
import sys

from scrapy import Request, Spider
from scrapy.crawler import AsyncCrawlerRunner
from scrapy.utils.defer import deferred_from_coro
from scrapy.utils.reactor import install_reactor

install_reactor("twisted.internet.asyncioreactor.AsyncioSelectorReactor")

from twisted.internet.task import react  # noqa: E402 (not before the reactor is there)

from crawler.refusal import StartRefusedError  # noqa: E402


def spider_of(custom, url):
    class Foreign(Spider):
        name = "foreign"
        custom_settings = custom

        async def start(self):
            yield Request(url, meta={"dont_obey_robotstxt": True})

        def parse(self, response):
            yield {"url": response.url}

    return Foreign


async def attempt(case):
    runner = AsyncCrawlerRunner(case["settings"])
    try:
        await asyncio.wait_for(runner.crawl(spider_of(case["custom"], case["url"])), 20)
    except StartRefusedError as error:
        return [str(fault) for fault in error.faults]
    except Exception as error:
        return repr(error)
    return "it ran"


async def main():
    cases = json.loads(sys.argv[1])
    print(json.dumps([await attempt(case) for case in cases]))


react(lambda _: deferred_from_coro(main()))
