"""The download handler: the only component that every request of a Scrapy project passes. It is the door's doorstep."""

from __future__ import annotations

import logging
from typing import Any, Final

from scrapy import Request
from scrapy.core.downloader.handlers.base import BaseDownloadHandler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Headers, Response, TextResponse, XmlResponse
from scrapy.responsetypes import responsetypes
from w3lib.encoding import html_body_declared_encoding, http_content_type_encoding, read_bom

from crawler.crawl import Crawl
from crawler.download.client import Body, Exchange
from crawler.fleet import LeaseLostError
from crawler.frontier.interface import FrontierError
from crawler.recorder import RecorderBrokenError
from crawler.visit import NotKeptError, Visit
from reservations.decide import TEASER
from reservations.model import Verdict

logger = logging.getLogger(__name__)

LEASE_KEY: Final = "knockfirst_lease"
_WISHES: Final = ("Accept", "Accept-Language")


class NotLeasedError(IgnoreRequest):
    """A request that did not come out of the frontier: it has no durable intent, so it is not sent."""


class NotRecordedError(IgnoreRequest):
    """The page was dropped: log or frontier failed, and the crawl stops, or its host is another worker's by now."""


class DoorHandler(BaseDownloadHandler):
    """Hands every http and https request to the door, and what may be kept to the spider."""

    lazy = False

    async def download_request(self, request: Request) -> Response:
        """The kept page.

        Raises:
            NotKeptError: it was not kept; the entry in the log says why.
            NotLeasedError: the request came by another way than the frontier.
            NotRecordedError: log, WARC file or frontier failed, or the lease ran out; it has been said where.
        """
        crawl = Crawl.of(self.crawler)
        visit = crawl.visits.get(request.meta.get(LEASE_KEY, -1))
        if visit is None or visit.lease.url != request.url or visit.passage is not None:
            crawl.tally("not_leased")
            raise NotLeasedError(
                f"<{request.url}> did not come from the frontier (engine.download, a media pipeline, or a middleware "
                "that changed its URL), so it is not sent: yield it as a Request from a callback instead"
            )
        try:
            passage = await crawl.visits.attend(visit, _wishes(visit))
        except (FrontierError, LeaseLostError, RecorderBrokenError) as error:
            raise NotRecordedError(str(error)) from error
        stored = passage.decision.verdict in (Verdict.KEPT, Verdict.UNCHANGED) and passage.decision.reason != TEASER
        if stored and passage.fetched is not None and passage.fetched.body is not None:
            return response_of(request, passage.fetched.exchange, passage.fetched.body)
        if visit.request is not None and passage.decision.verdict not in (Verdict.REDIRECTED, Verdict.DEFERRED):
            visit.request.errback = visit.errback  # only the last word on a URL is an error to a spider
        try:
            await crawl.visits.finish(visit)
        except FrontierError as error:
            logger.warning("%s: entered, and its lease is open still: %s", request.url, error)
        raise NotKeptError(passage)


def _wishes(visit: Visit) -> tuple[tuple[str, str], ...]:
    """What a foreign spider would like to read. Every other header is ours."""
    asked = (visit.errand.request or {}).get("headers", {})
    return tuple((name, asked[name]) for name in _WISHES if name in asked)


def response_of(request: Request, exchange: Exchange, body: Body) -> Response:
    """The page as Scrapy knows it: body decoded, content and transfer codings gone from its headers."""
    content = body.content
    headers = Headers()
    for header in exchange.headers:
        if header.name.lower() not in ("content-encoding", "transfer-encoding", "content-length"):
            headers.appendlist(header.name, header.value.encode("latin-1"))
    kind = responsetypes.from_args(headers=headers, url=request.url, body=content[:512])
    arguments: dict[str, Any] = {}
    if issubclass(kind, TextResponse):
        arguments["encoding"] = encoding_of(headers.get("Content-Type"), content, html=kind is not XmlResponse)
    return kind(
        url=request.url,
        status=exchange.status,
        headers=headers,
        body=content,
        flags=["knockfirst"],
        ip_address=None,
        protocol=f"HTTP/{exchange.http_version}",
        request=request,
        **arguments,
    )


def encoding_of(content_type: bytes | None, content: bytes, *, html: bool = True) -> str:
    """The encoding of a text by byte order mark, header, declaration, else UTF-8 or Windows-1252 (HTML 13.2.3.2).

    Named here so that nobody guesses from letter frequencies: that costs more than the download.
    """
    by_mark, _ = read_bom(content[:4])
    declared = by_mark or http_content_type_encoding(content_type.decode("latin-1") if content_type else None)
    if declared is None and html:
        declared = html_body_declared_encoding(content[:4096])
    if declared is not None:
        return declared
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"
