"""What travels with a URL through the frontier: how it was found, and for whom. Data only: never pickle, never code."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec
from scrapy import Request, Spider
from scrapy.utils.request import request_from_dict

from crawler.frontier.interface import MAX_PAYLOAD_BYTES, Found, FrontierError, check_found
from reservations.model import Hop
from reservations.urls import Origin, canonical_url, origin_of

#: A chain of redirects longer than this leads nowhere (browsers stop at 20).
MOST_HOPS: Final = 10

_PAGE_PRIORITY: Final = {"seed": 1_000_000, "sitemap": 500_000}


class Errand(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a URL came to be asked for.

    Attributes:
        via: "seed", "sitemap", "link", "redirect" or "request" (of a foreign spider).
        depth: links followed from a seed.
        root: host that the seed named or redirected to: what scope is measured by.
        kind: "page" or "sitemap": which callback of the web spider reads it.
        src: `seq` of the decision on the page that named it.
        log: the worker in whose log that is.
        hops: redirects that led here, oldest first.
        request: a foreign spider's request as data (`Request.to_dict` without its URL).
    """

    via: str
    depth: int = 0
    root: str = ""
    kind: str = "page"
    src: int | None = None
    log: str = ""
    hops: tuple[Hop, ...] = ()
    request: dict[str, Any] | None = None


_encode = msgspec.json.Encoder().encode
decode_errand = msgspec.json.Decoder(Errand).decode


class RequestNotDataError(ValueError):
    """A request that cannot be stored as data, so that it would be lost on a crash. Says which part and why."""


class Finder:
    """Makes frontier entries of URLs that were found on one errand. Breadth first: what is deeper comes later."""

    def __init__(self, errand: Errand, *, priority: int = 0) -> None:
        self.errand = errand
        self._payload = _encode(errand).decode()
        self._rank = priority + _PAGE_PRIORITY.get(errand.via, 0) - errand.depth

    def found(self, url: str, origin: Origin) -> Found:
        """The entry of a URL in canonical form, and its origin."""
        return Found(url, str(origin), self._payload, self._rank)


def found(url: str, errand: Errand, *, priority: int = 0) -> Found:
    """The entry of one URL in canonical form."""
    return Finder(errand, priority=priority).found(url, origin_of(url))


#: Headers of a foreign request that say what it would like to read. All others are ours alone to set.
_WISHES: Final = (b"Accept", b"Accept-Language")
_CLOSED: Final = (b"Authorization", b"Proxy-Authorization", b"Cookie")


def _unstorable(request: Request) -> str | None:
    if request.method != "GET":
        return f"method {request.method}: this crawler only asks (GET)"
    if request.body:
        return "a body: this crawler only asks (GET)"
    named = [name.decode() for name in _CLOSED if name in request.headers] + (["cookies"] if request.cookies else [])
    if named:
        return f"{', '.join(named)}: credentials and cookies open what is closed to everybody else"
    return None


def found_from_request(request: Request, spider: Spider, errand: Errand) -> Found:
    """A foreign spider's request as the frontier takes it.

    Raises:
        RequestNotDataError: it cannot be stored, or asks for what this crawler does not do.
        reservations.urls.UrlError: its URL is none that can be asked for.
    """
    problem = _unstorable(request)
    if problem:
        raise RequestNotDataError(f"{request.url}: refused for {problem}")
    try:
        data = request.to_dict(spider=spider)
    except ValueError as error:
        raise RequestNotDataError(
            f"{request.url}: its callback or errback is no method of the spider ({error}); "
            "a request must outlive a crash"
        ) from None
    kept = {
        "callback": data["callback"],
        "errback": data["errback"],
        "meta": {
            key: value for key, value in request.meta.items() if key not in ("depth", "download_slot", "knockfirst")
        },
        "cb_kwargs": dict(request.cb_kwargs),
        "flags": list(request.flags),
        "headers": {
            name.decode(): (request.headers[name] or b"").decode("latin-1")
            for name in _WISHES
            if name in request.headers
        },
    }
    if "_class" in data:
        kept["_class"] = data["_class"]
    try:
        text = json.dumps({key: value for key, value in kept.items() if value}, allow_nan=False)
        if json.loads(text) != {key: value for key, value in kept.items() if value}:
            raise ValueError("a value changes when it is written as JSON and read again")  # noqa: TRY301
    except (TypeError, ValueError) as error:
        raise RequestNotDataError(
            f"{request.url}: its meta or cb_kwargs are not plain JSON ({error}); a request must outlive a crash"
        ) from None
    if len(text) > MAX_PAYLOAD_BYTES // 2:
        raise RequestNotDataError(
            f"{request.url}: its meta and cb_kwargs are larger than {MAX_PAYLOAD_BYTES // 2} bytes"
        )
    url = canonical_url(request.url)
    whole = msgspec.structs.replace(errand, request=json.loads(text), root=errand.root or origin_of(url).host)
    try:
        item = found(url, whole, priority=request.priority)
        check_found(item)
    except (FrontierError, UnicodeEncodeError) as error:
        raise RequestNotDataError(f"{request.url}: cannot be stored ({error})") from None
    return item


def request_for(url: str, errand: Errand, spider: Spider) -> Request:
    """The request that Scrapy is to carry out for a leased URL."""
    if errand.request is not None:
        request = request_from_dict({**errand.request, "url": url}, spider=spider)
    elif errand.kind == "sitemap":
        request = Request(url, callback=spider.parse_sitemap)  # type: ignore[attr-defined]
    else:
        request = Request(url)
    request.meta["depth"] = errand.depth
    return request
