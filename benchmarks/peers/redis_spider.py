"""The stock spider as scrapy-redis wants it. Loaded by `scrapy runspider`, without this project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import scrapy
from scrapy.http import HtmlResponse, Response
from scrapy.linkextractors import LinkExtractor
from scrapy_redis.spiders import RedisSpider


class PeerSpider(RedisSpider):
    """Follows every link from what stands under `peer:start_urls`, and writes down which pages it had."""

    name = "peer"

    def __init__(self, kept: str, **others: Any) -> None:
        super().__init__(**others)
        self.kept = Path(kept).open("a", buffering=1)  # noqa: SIM115  (as long as the process)
        self.links = LinkExtractor()

    def parse(self, response: Response, **_: Any) -> Iterator[scrapy.Request]:
        """The links of a page."""
        if isinstance(response, HtmlResponse):
            for link in self.links.extract_links(response):
                yield scrapy.Request(link.url)
        self.kept.write(f"{response.url}\n")
