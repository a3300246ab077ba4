"""What one writes with Scrapy alone: follow every link. Loaded by `scrapy runspider`, without this project."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import scrapy
from scrapy.http import HtmlResponse, Response
from scrapy.linkextractors import LinkExtractor


class StockSpider(scrapy.Spider):
    """Follows every link from one seed."""

    name = "stock"

    def __init__(self, seed: str, **others: Any) -> None:
        super().__init__(**others)
        self.start_urls = [seed]
        self.links = LinkExtractor()

    def parse(self, response: Response, **_: Any) -> Iterator[scrapy.Request]:
        """The links of a page."""
        if isinstance(response, HtmlResponse):
            for link in self.links.extract_links(response):
                yield scrapy.Request(link.url)
