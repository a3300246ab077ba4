"""The spider `web`: seeds, sitemaps that robots.txt names, links in scope.

    scrapy crawl web -a seeds=FILE|URL[,URL] [-a scope=host|domain|any] [-a depth=N]

It decides nothing about what may be fetched or kept: that is the door's. It only finds URLs and hands on what was
kept, one item a page.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec
from scrapy import Spider
from scrapy.http import Response, TextResponse

from crawler.crawl import Crawl
from crawler.frontier.errand import Errand, Finder, found
from crawler.frontier.feeder import Links
from crawler.frontier.interface import Found
from crawler.options import Fault
from crawler.spiders.links import header_says_nofollow, page_links, sitemap_urls
from crawler.visit import Visit
from provenance.naming import registrable_domain
from reservations.model import Verdict
from reservations.urls import Origin, UrlError, canonical_url, origin_of

SCOPES: Final = ("host", "domain", "any")
ARGUMENTS: Final = ("seeds", "scope", "depth")
MOST_FAULTS: Final = 20
_CHUNK: Final = 500
_ABSOLUTE: Final = ("http://", "https://")


class WebSpider(Spider):
    """Crawls from seeds. `start_faults` holds what is wrong with its arguments; the add-on reports it."""

    name = "web"
    #: Components of Scrapy that look at each page and find nothing to do: this spider yields links and items, never a
    #: request, and is handed kept pages only. The add-on leaves them out.
    unneeded: Final = MappingProxyType(
        {
            "DOWNLOADER_MIDDLEWARES": (
                "scrapy.downloadermiddlewares.offsite.OffsiteMiddleware",
                "scrapy.downloadermiddlewares.downloadtimeout.DownloadTimeoutMiddleware",
                "scrapy.downloadermiddlewares.defaultheaders.DefaultHeadersMiddleware",
                "scrapy.downloadermiddlewares.stats.DownloaderStats",
            ),
            "SPIDER_MIDDLEWARES": (
                "scrapy.spidermiddlewares.start.StartSpiderMiddleware",
                "scrapy.spidermiddlewares.httperror.HttpErrorMiddleware",
                "scrapy.spidermiddlewares.referer.RefererMiddleware",
                "scrapy.spidermiddlewares.urllength.UrlLengthMiddleware",
                "scrapy.spidermiddlewares.depth.DepthMiddleware",
                "scrapy.spidermiddlewares.metacopy.MetaCopyDetectionMiddleware",
            ),
        }
    )

    def __init__(self, seeds: str = "", scope: str = "host", depth: str = "", **others: Any) -> None:
        super().__init__()
        self.scope = scope
        self.start_faults: list[Fault] = []
        self.depth = self._read_depth(depth)
        if scope not in SCOPES:
            self._fault("-a scope", f"{scope!r} is no scope", f"one of {', '.join(SCOPES)}")
        for name in others:
            self._fault(f"-a {name}", "is no argument of this spider", f"it takes {', '.join(ARGUMENTS)}")
        self._file = None if not seeds or seeds.startswith(("http://", "https://")) else Path(seeds)
        self._seeds = [part.strip() for part in seeds.split(",")] if not self._file else []
        digest = self._check_seeds(seeds)
        self.crawl_identity = {"seeds": digest, "scope": scope, "depth": depth or "any"}

    def _fault(self, where: str, what: str, remedy: str) -> None:
        self.start_faults.append(Fault(where, what, remedy))

    def _read_depth(self, depth: str) -> int | None:
        if depth and not depth.isdecimal():
            self._fault(
                "-a depth", f"{depth!r} is no depth", "a whole number; 0 is the seeds alone; leave it out for any"
            )
            return None
        return int(depth) if depth else None

    def _check_seeds(self, seeds: str) -> str:
        """Looks at every seed line once, so that a typing error in line 90,000 is known before the first request."""
        if not seeds:
            self._fault("-a seeds", "is not given", "name a file with one URL a line, or URLs separated by commas")
            return ""
        digest = hashlib.sha256()
        count = 0
        try:
            for where, text in self._seed_lines():
                digest.update(text.encode("utf-8", "surrogateescape") + b"\n")
                count += 1
                try:
                    canonical_url(text)
                except UrlError as error:
                    if len(self.start_faults) < MOST_FAULTS:
                        self._fault(where, f"{text[:200]!r} is no seed: {error}", "write an absolute http or https URL")
        except OSError as error:
            self._fault("-a seeds", f"cannot be read: {error}", "name a file that exists, or a URL")
        else:
            if not count:
                self._fault(f"-a seeds={seeds}", "holds no URL", "write one URL a line")
        return f"sha256:{digest.hexdigest()[:16]} ({count})"

    def _seed_lines(self) -> Iterator[tuple[str, str]]:
        if self._file is None:
            yield from (("-a seeds", seed) for seed in self._seeds if seed)
            return
        with self._file.open(encoding="utf-8", errors="surrogateescape") as lines:
            for number, line in enumerate(lines, 1):
                text = line.strip()
                if text and not text.startswith("#"):
                    yield f"{self._file}:{number}", text

    # -- finding ---------------------------------------------------------------------------------------------------

    async def start(self) -> AsyncIterator[Any]:
        """The seeds, in portions.

        Raises:
            RuntimeError: the add-on is not there, and nothing would take them in.
        """
        Crawl.of(self.crawler)
        portion: list[Found] = []
        for _, text in self._seed_lines():
            url = canonical_url(text)
            portion.append(found(url, Errand(via="seed", root=origin_of(url).host)))
            if len(portion) >= _CHUNK:
                yield Links(tuple(portion))
                portion = []
        yield Links(tuple(portion))

    def sitemaps_found(self, visit: Visit, named: tuple[str, ...]) -> list[Found]:
        """The sitemaps that an origin names in robots.txt, in scope. The feeder calls it when it has learnt them."""
        if self.depth == 0:
            return []
        finder = Finder(Errand(via="sitemap", depth=visit.errand.depth, root=visit.errand.root, kind="sitemap"))
        return [item for url in named if (item := self._in_scope(url, visit.lease.url, finder))]

    def parse(self, response: Response, **_: Any) -> Iterator[Any]:
        """One item for a kept page, and the links it leads to."""
        visit = self._visit(response)
        if visit.passage is not None and visit.passage.decision.verdict is Verdict.KEPT:
            yield self._item(visit)
        if isinstance(response, TextResponse) and (self.depth is None or visit.errand.depth < self.depth):
            yield Links(tuple(self._links(response, visit)))

    def parse_sitemap(self, response: Response, **_: Any) -> Iterator[Any]:
        """The URLs of a sitemap."""
        visit = self._visit(response)
        errand = visit.errand
        onward = self._crawl.visits.onward(visit, via="sitemap", depth=errand.depth)
        pages, sitemaps = Finder(onward), Finder(msgspec.structs.replace(onward, kind="sitemap"))
        portion: list[Found] = []
        for entry in sitemap_urls(response.body):
            if entry.index and errand.src is not None:
                continue  # an index names sitemaps, and those no further ones (sitemaps.org)
            item = self._in_scope(entry.url, response.url, sitemaps if entry.index else pages)
            if item:
                portion.append(item)
        yield Links(tuple(portion))

    def _links(self, response: TextResponse, visit: Visit) -> Iterator[Found]:
        lines = [value.decode("latin-1") for value in response.headers.getlist("X-Robots-Tag")]
        links = page_links(response.body, response.encoding, nofollow_page=header_says_nofollow(lines))
        if links.nofollow:
            self._crawl.tally("nofollow", links.nofollow)
        finder = Finder(self._crawl.visits.onward(visit, via="link", depth=visit.errand.depth + 1))
        base = _base(links.base, response.url)
        seen: set[str] = set()
        for href in links.hrefs:
            item = self._in_scope(href, base, finder)
            if item and item.url not in seen:
                seen.add(item.url)
                yield item

    def _in_scope(self, reference: str, base: str, finder: Finder) -> Found | None:
        # A reference with a scheme and a host is the same from every page, and the pages of a site repeat theirs.
        place = _place(reference, "") if reference.startswith(_ABSOLUTE) else _place.__wrapped__(reference, base)
        if place is None:
            return None
        url, origin = place
        root = finder.errand.root
        if self.scope == "host":
            inside = origin.host == root
        elif self.scope == "domain":
            inside = registrable_domain(origin.host) == registrable_domain(root)
        else:
            inside = True
        if not inside:
            self._crawl.tally("out_of_scope")
            return None
        return finder.found(url, origin)

    # -- handing on ------------------------------------------------------------------------------------------------

    @functools.cached_property
    def _crawl(self) -> Crawl:
        return Crawl.of(self.crawler)

    def _visit(self, response: Response) -> Visit:
        return self._crawl.visits[response.meta["knockfirst_lease"]]

    def _item(self, visit: Visit) -> dict[str, Any]:
        passage = visit.passage
        assert passage is not None  # noqa: S101  (callbacks run after the door has answered)
        main = next(pointer for pointer in passage.warc if pointer.type == "response")
        return {
            "url": passage.url,
            "media_type": passage.media_type,
            "open": list(passage.decision.open),
            "categories": {category: str(value) for category, value in passage.decision.effective.items()},
            "warc": {"file": main.f, "offset": main.o, "length": main.l, "record_id": main.id},
            "log_entry": passage.seq,
        }


@functools.lru_cache(maxsize=8192)
def _place(reference: str, base: str) -> tuple[str, Origin] | None:
    """The URL that a reference names, and its origin; None when that is none."""
    try:
        url = canonical_url(reference, base or None)
        return url, origin_of(url)
    except UrlError:
        return None


def _base(declared: str, url: str) -> str:
    """What references of a page at `url` are resolved against (HTML 2.4.2)."""
    try:
        return canonical_url(declared, url) if declared else url
    except UrlError:
        return url
