"""Finds what a page links to, embeds and says of itself: `<link>`, `<a rel>`, inline licences, schema.org properties.

Searches of the octets decide whether any of it could be there; only then is the page's tree walked, once. What a node
of JSON-LD, microdata or RDFa says counts when the node is this page, not a medium, an organisation or a list on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from lxml import etree

from reservations.readers.html import BASE, ITEMPROP, HtmlPage, is_hidden
from reservations.readers.links import Link, media_type, relations
from reservations.readers.needles import Needles

_MAX_FOUND: Final = 500
_MAX_SCRIPT: Final = 1 << 20
_MAX_NODES: Final = 5_000
_MAX_DEPTH: Final = 32
_PAGES: Final = re.compile(
    r"(?:\w*(?:article|posting|webpage|page|creativework|work|book|chapter|report|dataset|thesis|review|recipe|story))"
)


class _Look(NamedTuple):
    """What stands before a word that counts; what leaves it open, when it fills all octets that are looked at."""

    counts: re.Pattern[bytes]
    unclear: re.Pattern[bytes]
    octets: int


#: For each kind of what is sought: relations count in `rel`, media types anywhere, properties where they are named.
_LOOKS: Final = (
    _Look(re.compile(rb"rel\s*=\s*(?:[\"'][^\"'>]*)?(?<![a-z0-9_])\Z"), re.compile(rb"[^\"'>]*"), 512),
    None,
    _Look(
        re.compile(rb"(?:[\"']|schema\.org/|itemprop\s*=\s*[\"']?[^\"'>]*|property\s*=\s*(?:[\w-]+:)?)(?:[a-z]+:)?\Z"),
        re.compile(rb"[a-z]*\s*=?\s*(?:[\w-]*:)?(?:[a-z]+:)?"),
        96,
    ),
)
_WORD_OCTETS: Final = b"abcdefghijklmnopqrstuvwxyz0123456789_"
_ITEM_PROPERTIES: Final = etree.XPath("descendant-or-self::*[@itemprop]")
_RDFA_PROPERTIES: Final = etree.XPath("descendant-or-self::*[@property]")
_TERM: Final = re.compile(r"(?:https?://(?:www\.)?schema\.org/|[a-z]+:)?([a-z]+)")


class Sought(NamedTuple):
    """What is looked for: relation types, media types of inline licences, names of properties, all in lower case."""

    relations: frozenset[str]
    scripts: frozenset[str]
    properties: frozenset[str]


class PageLink(NamedTuple):
    """A typed link of a page; `anchor`: it stands in the text. `odd`: what was odd about its place."""

    link: Link
    number: int
    anchor: bool
    odd: tuple[str, ...]


class Said(NamedTuple):
    """One property of the node that is this page."""

    name: str
    value: str
    place: str
    sound: bool


class Markup(NamedTuple):
    """What was found, and the URL that links are relative to, as written ("": the page's own)."""

    links: tuple[PageLink, ...] = ()
    scripts: tuple[str, ...] = ()
    said: tuple[Said, ...] = ()
    base: str = ""
    unparsed: bool = False


NOTHING: Final = Markup()


def read_markup(page: HtmlPage, sought: Sought) -> Markup:
    """Everything in a page that is looked for."""
    places = page.places(needles_of(sought))
    linked, inline, said = (
        any(_stands(page.lower, word, places[word], look) for word in words if word in places)
        for words, look in zip(_words(sought), _LOOKS, strict=True)
    )
    if not (linked or inline or said):
        return NOTHING
    root = page.root
    if root is None:
        return Markup(unparsed=inline)
    base = next((item.get("href") or "" for item in root.iter("base")), "") if page.holds(BASE) else ""
    return Markup(
        tuple(_links(root, sought.relations)) if linked else (),
        tuple(_scripts(root, sought.scripts)) if inline else (),
        tuple(_said(page, root, sought.properties)) if said else (),
        base,
    )


@lru_cache(maxsize=64)
def needles_of(sought: Sought) -> Needles:
    """What a page is searched for."""
    return Needles(word for words in _words(sought) for word in words)


@lru_cache(maxsize=64)
def _words(sought: Sought) -> tuple[tuple[bytes, ...], ...]:
    """The words of each kind of thing that is looked for, as octets."""
    return tuple(tuple(sorted(word.encode() for word in words)) for words in sought)


def _stands(octets: bytes, word: bytes, places: Sequence[int], look: _Look | None) -> bool:
    """Whether a word stands anywhere behind what makes it count; yes when in doubt."""
    if look is None or len(places) > _MAX_FOUND:
        return True
    for at in places:
        end = at + len(word)
        if (octets[end : end + 1] or b" ") not in _WORD_OCTETS:
            before = octets[max(0, at - look.octets) : at]
            if look.counts.search(before) or look.unclear.fullmatch(before):
                return True
    return False


def _links(root: etree._Element, wanted: frozenset[str]) -> Iterator[PageLink]:
    found = 0
    number = 0
    for element in root.iter("link", "a", "area"):
        rel = element.get("rel")
        if rel is None:
            continue
        number += 1
        named = relations(rel)
        if wanted.isdisjoint(named):
            continue
        href = element.get("href")
        if href is None or is_hidden(element):
            continue
        found += 1
        if found > _MAX_FOUND:
            return
        link = Link(href.strip(), named & wanted, media_type(element.get("type") or ""))
        yield PageLink(link, number, element.tag != "link", ())


def _scripts(root: etree._Element, wanted: frozenset[str]) -> Iterator[str]:
    for element in root.iter("script"):
        if media_type(element.get("type") or "") in wanted and not is_hidden(element):
            text = (element.text or "")[: _MAX_SCRIPT + 1].strip()
            yield text.removeprefix("<![CDATA[").removesuffix("]]>").strip()


def _said(page: HtmlPage, root: etree._Element, wanted: frozenset[str]) -> Iterator[Said]:
    for number, tree in page.linked_data:
        yield from _in_json(tree, number, wanted)
    for number, element in enumerate(_ITEM_PROPERTIES(root) if page.holds(ITEMPROP) else (), 1):
        names = frozenset((element.get("itemprop") or "").lower().split()[:16]) & wanted
        if names and number <= _MAX_FOUND and not is_hidden(element) and _page_scope(element):
            yield from (Said(name, _content(element), f"itemprop {number}", sound=True) for name in names)
    if wanted.isdisjoint(map(_term, page.properties)):
        return
    for number, element in enumerate(_RDFA_PROPERTIES(root), 1):
        term = _term(element.get("property") or "")
        if term in wanted and number <= _MAX_FOUND and not is_hidden(element):
            yield Said(term, _content(element), f"property {number}", sound=False)


@lru_cache(maxsize=1024)
def _term(name: str) -> str:
    match = _TERM.fullmatch(name.strip().lower())
    return match[1] if match else ""


def _content(element: etree._Element) -> str:
    named = (element.get(name) for name in ("content", "href", "resource", "src"))
    return next((value for value in named if value), "".join(element.itertext())[:1024]).strip()


def _page_scope(element: etree._Element) -> bool:
    """Whether the item that a microdata property belongs to is this page: no item inside another one."""
    scopes = [parent for parent in element.iterancestors() if parent.get("itemscope") is not None]
    if len(scopes) != 1:
        return False
    kind = (scopes[0].get("itemtype") or "").strip().lower().rpartition("/")[2]
    return _PAGES.fullmatch(kind) is not None


def _in_json(tree: object, number: int, wanted: frozenset[str]) -> Iterator[Said]:
    for node in _nodes(tree):
        kinds = node.get("@type")
        named = [kinds] if isinstance(kinds, str) else kinds if isinstance(kinds, list) else []
        if not any(isinstance(kind, str) and _PAGES.fullmatch(kind.lower().rpartition("/")[2]) for kind in named):
            continue
        for key, value in node.items():
            name = key.lower().rpartition(":")[2].rpartition("/")[2]
            if name in wanted:
                yield from (Said(name, item, f"JSON-LD {number}", sound=True) for item in _texts(value))


def _nodes(tree: object) -> Iterator[dict[str, object]]:
    """The nodes that stand for themselves: at the top, in a list, in a graph, as the main entity of another."""
    stack: list[tuple[object, int]] = [(tree, 0)]
    left = _MAX_NODES
    while stack and left:
        left -= 1
        node, depth = stack.pop()
        if depth > _MAX_DEPTH:
            continue
        if isinstance(node, list):
            stack.extend((item, depth + 1) for item in node[:_MAX_NODES])
        elif isinstance(node, dict):
            yield node
            stack.extend((node[key], depth + 1) for key in ("@graph", "mainEntity") if key in node)


def _texts(value: object) -> Iterator[str]:
    """The texts or URLs that a value is."""
    for item in (value if isinstance(value, list) else [value])[:16]:
        text = (item.get("@id") or item.get("url") or item.get("name")) if isinstance(item, dict) else item
        if isinstance(text, str):
            yield text[:4096].strip()
