"""What travels with a URL through the frontier: how it was found, and for whom. Data only: never pickle, never code."""

from __future__ import annotations

import json
from functools import lru_cache
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
#: What is in `Request.meta` for this crawl only.
_OURS: Final = frozenset({"depth", "download_slot", "knockfirst"})


def _unstorable(request: Request) -> str | None:
    if request.method != "GET":
        return f"method {request.method}: this crawler only asks (GET)"
    if request.body:
        return "a body: this crawler only asks (GET)"
    named = [name.decode() for name in _CLOSED if request.headers and name in request.headers]
    named += ["cookies"] if request.cookies else []
    if named:
        return f"{', '.join(named)}: credentials and cookies open what is closed to everybody else"
    return None


@lru_cache(maxsize=256)
def _names(spider: Spider, kind: type[Request], callback: object, errback: object) -> dict[str, str]:
    """What a request names, as Scrapy writes it down; Scrapy looks through the whole spider for it, link by link.

    Raises:
        ValueError: a callback that is no method of the spider.
        TypeError: one that has no hash, and so is none either.
    """
    data = Request("data:,", callback=callback, errback=errback).to_dict(spider=spider)  # type: ignore[arg-type]
    data["_class"] = "" if kind is Request else f"{kind.__module__}.{kind.__name__}"
    return {name: data[name] for name in ("callback", "errback", "_class") if data[name]}


def _extras(request: Request) -> dict[str, Any]:
    """What else is kept of a request, if it has any of it.

    Raises:
        RequestNotDataError: it is no plain JSON, or too long.
    """
    headers = request.headers
    extras = {
        "meta": {key: value for key, value in request.meta.items() if key not in _OURS},
        "cb_kwargs": dict(request.cb_kwargs),
        "flags": list(request.flags),
        "headers": {name.decode(): (headers[name] or b"").decode("latin-1") for name in _WISHES if name in headers}
        if headers
        else {},
    }
    extras = {key: value for key, value in extras.items() if value}
    if not extras:
        return extras
    try:
        text = json.dumps(extras, allow_nan=False)
        if (read := json.loads(text)) != extras:
            raise ValueError("a value changes when it is written as JSON and read again")  # noqa: TRY301
    except (TypeError, ValueError) as error:
        raise RequestNotDataError(
            f"{request.url}: its meta or cb_kwargs are not plain JSON ({error}); a request must outlive a crash"
        ) from None
    if len(text) > MAX_PAYLOAD_BYTES // 2:
        raise RequestNotDataError(
            f"{request.url}: its meta and cb_kwargs are larger than {MAX_PAYLOAD_BYTES // 2} bytes"
        )
    return read  # type: ignore[no-any-return]


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
        names = _names(spider, type(request), request.callback, request.errback)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise RequestNotDataError(
            f"{request.url}: its callback or errback is no method of the spider ({error}); "
            "a request must outlive a crash"
        ) from None
    data = {**names, **_extras(request)}
    url = canonical_url(request.url)
    origin = origin_of(url)
    whole = msgspec.structs.replace(errand, request=data, root=errand.root or origin.host)
    try:
        item = Finder(whole, priority=request.priority).found(url, origin)
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
