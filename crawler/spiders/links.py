"""The links of a page and the URLs of a sitemap, from bytes. Bounded; broken mark-up gives fewer links, never an error.

`rel=nofollow` (a link) and `nofollow` in meta robots or X-Robots-Tag (a page) are honoured: HTML 4.6.7.14 and the
robots meta convention.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import msgspec
from lxml import etree

MOST_LINKS: Final = 5_000
MOST_SITEMAP_URLS: Final = 50_000  # sitemaps.org: the limit of one file
MOST_SITEMAP_BYTES: Final = 52_428_800

_XPATH = etree.XPath("//a[@href]|//area[@href]|//iframe[@src]|//frame[@src]|//link[@rel='next'][@href]|//base[@href]")


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
    try:
        root = etree.fromstring(body, _parser(encoding))
    except (etree.LxmlError, LookupError, ValueError, AssertionError):
        return links
    if root is None:
        return links
    nofollow_page = nofollow_page or _page_says_nofollow(root)
    for element in _XPATH(root):
        if element.tag == "base":
            links.base = links.base or element.get("href", "").strip()
            continue
        if nofollow_page or "nofollow" in element.get("rel", "").lower().split():
            links.nofollow += 1
            continue
        href = (element.get("href") or element.get("src") or "").strip()
        if href and not href.startswith("#"):
            links.hrefs[href] = None
            if len(links.hrefs) >= MOST_LINKS:
                break
    return links


@lru_cache(maxsize=32)
def _parser(encoding: str) -> etree.HTMLParser:
    return etree.HTMLParser(encoding=encoding, no_network=True, remove_comments=True, remove_pis=True)


def _page_says_nofollow(root: etree._Element) -> bool:
    for meta in root.iter("meta"):
        if (meta.get("name") or "").strip().lower() == "robots":
            words = {word.strip() for word in (meta.get("content") or "").lower().split(",")}
            if words & {"nofollow", "none"}:
                return True
    return False


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
        name = etree.QName(element.tag).localname if isinstance(element.tag, str) else ""
        if name == "loc" and element.text and count < MOST_SITEMAP_URLS:
            parent = element.getparent()
            holder = etree.QName(parent.tag).localname if parent is not None and isinstance(parent.tag, str) else ""
            if holder in ("url", "sitemap"):
                count += 1
                yield SitemapUrl(element.text.strip(), holder == "sitemap")


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
