"""A parsed page, as far as it tells of access: scripts, what is loaded, what is shown, which URLs are this page's.

Inert parts (`<template>`) and hidden ones show nothing. Everything is bounded; the page is a stranger's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

from lxml import etree

from reservations.readers.html import parse

Element = Any

_MOST_SHOWN: Final = 4000
_MOST_BLOCKS: Final = 20_000
_MOST_SCRIPTS: Final = 2000
_SILENT: Final = frozenset({"script", "style", "template", "noscript", "head", "svg", "iframe", "textarea", "select"})
_INLINE: Final = frozenset({
    "a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "em", "font", "i", "kbd", "mark", "q", "s", "small", "span",
    "strong", "sub", "sup", "time", "u", "var", "wbr",
})  # fmt: skip


class Script(NamedTuple):
    """A script of the page: address and media type in lower case, its own text."""

    number: int
    src: str
    kind: str
    text: str


class Finding(NamedTuple):
    """One thing that a page says of access to it.

    Attributes:
        says: what, in the words of `tables.Says`.
        carrier: where such a thing stands: "json_ld", "html_element", "text", ...
        locator: the place in the page; text: the words themselves.
        issues: what was odd.
        delimits: selectors of the part that is closed; empty: the whole page.
    """

    says: str
    carrier: str
    locator: str
    text: str
    issues: tuple[str, ...] = ()
    delimits: tuple[str, ...] = ()


class Document:
    """One page.

    Args:
        octets: in UTF-8.
        urls: the URL asked for, and those that redirected to it.
        root: its tree, when it is parsed already.
    """

    def __init__(self, octets: bytes, urls: Iterable[str], root: Element | None = None) -> None:
        if root is None:
            root, _ = parse(octets)
        if root is None:
            raise ValueError("nothing in the page is an element")
        self.root: Element = root
        self._asked = tuple(urls)

    @property
    def url(self) -> str:
        """The URL asked for."""
        return self._asked[0]

    @cached_property
    def scripts(self) -> tuple[Script, ...]:
        """Scripts that are not inert, in document order."""
        found = []
        for number, element in enumerate(self.root.iter("script"), start=1):
            if number > _MOST_SCRIPTS:
                break
            if not is_inert(element):
                kind = (element.get("type") or "").partition(";")[0].strip().lower()
                found.append(Script(number, (element.get("src") or "").strip(), kind, element.text or ""))
        return tuple(found)

    @cached_property
    def inline(self) -> str:
        """The text of all scripts, in lower case."""
        return "\n".join(script.text for script in self.scripts).lower()

    @cached_property
    def hosts(self) -> frozenset[str]:
        """Hosts that scripts are loaded from."""
        return frozenset(filter(None, (_host(script.src, self.url) for script in self.scripts)))

    @cached_property
    def loads(self) -> tuple[str, ...]:
        """Addresses of what the page loads by itself, in lower case."""
        found = [script.src.lower() for script in self.scripts if script.src]
        for tag, attribute in (("iframe", "src"), ("img", "src"), ("link", "href")):
            found += [
                (element.get(attribute) or "").strip().lower()
                for element in self.root.iter(tag)
                if tag != "link" or "stylesheet" in (element.get("rel") or "").lower()
            ]
        return tuple(found)

    @cached_property
    def title(self) -> str:
        """The page's title, in lower case."""
        element = next(self.root.iter("title"), None)
        return " ".join((element.text or "").split()).lower() if element is not None else ""

    @cached_property
    def blocks(self) -> tuple[str, ...]:
        """What is shown, paragraph by paragraph."""
        return tuple(filter(None, (" ".join("".join(block).split()) for block in _blocks(self.root))))

    @cached_property
    def shown(self) -> str:
        """The beginning of what is shown, in lower case: as much as it takes to know whether it is little."""
        told: list[str] = []
        length = 0
        for block in _blocks(self.root):
            words = " ".join("".join(block).split())
            told.append(words)
            length += len(words) + bool(words)
            if length > _MOST_SHOWN:
                break
        return " ".join(filter(None, told)).lower()

    @cached_property
    def names(self) -> frozenset[tuple[str, str, str]]:
        """The URLs that are this page's: as asked for, and as the page itself says."""
        said = [element.get("href") for element in self.root.iter("link") if _is_canonical(element)]
        said += [
            element.get("content")
            for element in self.root.iter("meta")
            if (element.get("property") or "").strip().lower() == "og:url"
        ]
        joined = [urljoin(self.url, text.strip()) for text in said[:8] if text]
        return frozenset(filter(None, (_key(url) for url in (*self._asked, *joined))))

    def is_this(self, reference: str) -> bool:
        """Whether a URL, absolute or not, names this page. A query that one of both lacks makes no difference."""
        try:
            key = _key(urljoin(self.url, reference.strip()))
        except ValueError:
            return False
        return key is not None and any(
            key[:2] == known[:2] and (key[2] == known[2] or not (key[2] and known[2])) for known in self.names
        )

    def without(self, parts: Iterable[Element]) -> tuple[str, ...]:
        """What is shown, paragraph by paragraph, when these parts are cut out. The document is of no use afterwards."""
        for part in parts:
            for inner in list(part):
                part.remove(inner)
            part.text = None
        return tuple(filter(None, (" ".join("".join(block).split()) for block in _blocks(self.root))))

    def find(self, xpath: str) -> list[Element]:
        """Elements that are not inert."""
        return [element for element in self.root.xpath(xpath)[:200] if not is_inert(element)]


def is_inert(element: Element) -> bool:
    """Whether an element stands in a template and is no part of the page."""
    return next(element.iterancestors("template"), None) is not None


def told(element: Element) -> str:
    """An element as people recognise it: its start tag and the words after it."""
    attributes = "".join(f' {name}="{value}"' for name, value in element.items()[:8])
    return f"<{element.tag}{attributes}> {' '.join(''.join(element.itertext())[:200].split())}"


def is_hidden(element: Element) -> bool:
    """Whether the page as sent does not show an element; a script may."""
    return any(_hides(item) for item in (element, *element.iterancestors()))


def _hides(element: Element) -> bool:
    if element.get("hidden") is not None:
        return True
    style = "".join((element.get("style") or "").split()).lower()
    return "display:none" in style


def _is_canonical(element: Element) -> bool:
    return "canonical" in (element.get("rel") or "").lower().split()


def _host(src: str, base: str) -> str:
    try:
        return (urlsplit(urljoin(base, src)).hostname or "") if src else ""
    except ValueError:
        return ""


def _key(url: str) -> tuple[str, str, str] | None:
    """What two URLs of one page have in common: host without "www.", path without its last slash, query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https"):
        return None
    return (parts.hostname or "").removeprefix("www."), unquote(parts.path).rstrip("/"), parts.query


def _blocks(root: Element) -> Iterator[list[str]]:
    """Text that is shown, a list of pieces for each block. No recursion: depth is a stranger's choice."""
    block: list[str] = []
    walk = etree.iterwalk(root, events=("start", "end"))
    for count, (event, element) in enumerate(walk):
        tag = element.tag
        if count > _MOST_BLOCKS:
            break
        if event == "start":
            # What stands behind the end of a page makes it no longer: a short page with words on access is a hint.
            silent = tag in _SILENT or (tag == "html" and element is not root) or _hides(element)
            if silent:
                walk.skip_subtree()
            if tag not in _INLINE and block:
                yield block
                block = []
            if not silent and element.text:
                block.append(element.text)
        else:
            if tag not in _INLINE and block:
                yield block
                block = []
            if element.tail:
                block.append(element.tail)
    if block:
        yield block
