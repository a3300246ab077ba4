"""The links of a page and the URLs of a sitemap, from bytes. Bounded; broken mark-up gives fewer links, never an error.

`rel=nofollow` (a link) and `nofollow` in meta robots or X-Robots-Tag (a page) are honoured: HTML 4.6.7.14 and the
robots meta convention.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

import msgspec
from lxml import etree

from crawler.spiders.tags import start_tags

MOST_LINKS: Final = 5_000
MOST_SITEMAP_URLS: Final = 50_000  # sitemaps.org: the limit of one file
MOST_SITEMAP_BYTES: Final = 52_428_800

#: Which attribute of which element leads somewhere; a `link` does when it names the next page.
_LEADING: Final = {"a": "href", "area": "href", "frame": "src", "iframe": "src", "link": "href"}


class PageLinks(msgspec.Struct):
    """What a page leads to.

    Attributes:
        base: value of `base href`, or empty.
        hrefs: references as written, in document order, each once.
        nofollow: how many were left out because the page asked for it.
    """

    base: str = ""
    hrefs: dict[str, None] = {}
    nofollow: int = 0


def page_links(body: bytes, encoding: str, *, nofollow_page: bool) -> PageLinks:
    """The references of an HTML page. `nofollow_page`: a header already asked not to follow any."""
    links = PageLinks()
    leading = 0
    for name, attributes in start_tags(body, encoding):
        if name in _LEADING:
            reference = attributes.get(_LEADING[name])
            if reference is None or (name == "link" and attributes.get("rel") != "next"):
                continue
            leading += 1
            reference = reference.strip()
            if "nofollow" in attributes.get("rel", "").lower().split():
                links.nofollow += 1
            elif reference and not reference.startswith("#") and len(links.hrefs) < MOST_LINKS:
                links.hrefs[reference] = None
        elif name == "base":
            links.base = links.base or attributes.get("href", "").strip()
        elif name == "meta":
            nofollow_page = nofollow_page or _says_nofollow(attributes)
    if nofollow_page:
        links.hrefs, links.nofollow = {}, leading
    return links


def _says_nofollow(meta: dict[str, str]) -> bool:
    return meta.get("name", "").strip().lower() == "robots" and header_says_nofollow([meta.get("content", "")])


def header_says_nofollow(values: list[str]) -> bool:
    """Whether an X-Robots-Tag line without a crawler's name asks not to follow links."""
    return any({word.strip() for word in value.lower().split(",")} & {"nofollow", "none"} for value in values)


class SitemapUrl(msgspec.Struct, frozen=True):
    """One `loc` of a sitemap; `index` when it names another sitemap."""

    url: str
    index: bool


def sitemap_urls(body: bytes) -> Iterator[SitemapUrl]:
    """The `loc`s of a sitemap or sitemap index, XML or one URL a line; gzip too. Stops quietly where it breaks off."""
    if body[:2] == b"\x1f\x8b":
        body = _gunzip(body)
    if not body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        yield from _text_sitemap(body)
        return
    parser = etree.XMLPullParser(
        events=("end",), resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=True
    )
    try:
        parser.feed(body[:MOST_SITEMAP_BYTES])
    except etree.LxmlError:
        return
    count = 0
    for _, element in parser.read_events():
        name = _local(element.tag)
        if name == "loc" and element.text and count < MOST_SITEMAP_URLS:
            parent = element.getparent()
            holder = _local(parent.tag) if parent is not None else ""
            if holder in ("url", "sitemap"):
                count += 1
                yield SitemapUrl(element.text.strip(), holder == "sitemap")


def _local(tag: object) -> str:
    """A tag without its namespace; "" of a comment. Names that XML forbids are what broken files hold."""
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _text_sitemap(body: bytes) -> Iterator[SitemapUrl]:
    for count, line in enumerate(body.decode("utf-8-sig", "replace").splitlines()):
        if count >= MOST_SITEMAP_URLS:
            return
        if line.strip().startswith(("http://", "https://")):
            yield SitemapUrl(line.strip(), index=False)


def _gunzip(body: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(body, MOST_SITEMAP_BYTES)
    except zlib.error:
        return b""
