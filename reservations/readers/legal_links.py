"""Finds the pages on which a site sets out its terms: by the words of a link's path and of its text.

A page is searched for the words as octets, and only the tags around them are looked at. What a link leads to is named
by a part of its path ("/legal/terms-of-use") or by the few words it shows ("Terms of use"); a headline has more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from html import unescape
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from reservations.readers.html import BASE, HtmlPage
from reservations.readers.needles import Needles, Places
from reservations.urls import UrlError, canonical_url, origin_of
from reservations.wording import Language

#: Links of a page that are looked at, and the octets within which one ends.
_MOST_LINKS: Final = 400
_LONG_LINK: Final = 2048
_LEAST_RUN: Final = 3
_RUN: Final = re.compile(rb"[a-z0-9\x80-\xff]+")
_STARTS: Final = (b"<link ", b"<a ", b"<a\n", b"<area ")
_LINK: Final = re.compile(
    rb"<(a|area|link)\s((?:[^>\"']|\"[^\"]*+\"|'[^']*+')*+)>(?:([^<]*(?:<(?!/a\b|a\s)[^<]*)*))?", re.IGNORECASE
)
_ATTRIBUTE: Final = re.compile(rb"(?<![\w-])(href|rel)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", re.IGNORECASE)
_BASE: Final = re.compile(rb"<base\s[^>]{0,512}?href\s*=\s*[\"']?\s*([^\s\"'>]+)", re.IGNORECASE)
_TAG: Final = re.compile(r"<[^>]*>?")
#: How a target begins of which no more than the site of its page counts.
_FROM_ROOT: Final = ("/", "http://", "https://")
_WORD: Final = re.compile(r"[^\W\d_]+")
_URL: Final = re.compile(r"https?://[^\s<>\"')\]]{1,512}")


class LegalLink(NamedTuple):
    """A link to such a page; ordered: the surest first."""

    rank: tuple[int, int]
    url: str
    text: str


class _Shown(NamedTuple):
    """A link as it stands: the tag's name, target, relation, and the text of an anchor."""

    tag: str
    href: str
    relation: str
    text: str


class LegalWords:
    """The words by which such pages are known, of one protocol.

    Attributes:
        needles: what a page is searched for.
    """

    def __init__(self, language: Language) -> None:
        self._numbers = {word: number for number, word in enumerate(language.legal)}
        self._ours, self._not = _any(language.legal), _any(language.not_legal)
        self._most_words = language.linked.words if language.linked is not None else 0
        self._leads = lru_cache(maxsize=1024)(self._link)
        self.needles = Needles({run for word in language.legal if (run := _longest_run(word))})

    def is_legal(self, url: str) -> bool:
        """Whether a page is a notice as a whole, by its path."""
        parts = [_joined(part) for part in _segments(url)]
        return any(map(self._ours.search, parts)) and not any(map(self._not.search, parts))

    def in_page(self, page: HtmlPage, url: str) -> list[LegalLink]:
        """The links of a page to such pages of its host, the surest first, each once."""
        places = page.places(self.needles)
        if places.keys().isdisjoint(self.needles.words):
            return []
        base = _base(page, url) if page.holds(BASE) else url
        return self._chosen(_links(page, self.needles, places), base, url)

    def in_text(self, text: str, url: str) -> list[LegalLink]:
        """The same among the URLs that stand in a text."""
        shown = (_Shown("a", match[0].rstrip(".,;"), "", "") for match in _URL.finditer(text))
        return self._chosen(shown, url, url)

    def _chosen(self, links: Iterable[_Shown], base: str, url: str) -> list[LegalLink]:
        """Those that lead to such pages of the URL's own host, each once; the resource itself is none."""
        host, best, root = _host(url), dict[str, LegalLink](), _root(base)
        for link in sorted(found for shown in links if (found := self._leads(shown, _below(shown, base, root), host))):
            if link.url != url:
                best.setdefault(link.url, link)
        return list(best.values())

    def _link(self, link: _Shown, base: str, host: str) -> LegalLink | None:
        """What a link leads to, when it is such a page of a host; what `<link>` loads is none by its path alone."""
        try:
            url = canonical_url(link.href, base)
        except UrlError:
            return None
        if _host(url) != host:
            return None
        shown = _joined(link.text)
        if shown.count("-") >= self._most_words:
            shown = ""
        path = [joined for part in _segments(url) if (joined := _joined(part))]
        if any(map(self._not.search, (*path, shown))):
            return None
        by_path = [number for part in path if part.count("-") < self._most_words for number in self._found(part)]
        by_text = [*self._found(shown), *self._found(_joined(link.relation))]
        if not by_text and (link.tag == "link" or not by_path):
            return None
        how = 0 if by_path and by_text else 1 if by_path else 2
        return LegalLink((how, min((*by_path, *by_text))), url, f"{link.text.strip()} {link.href}".strip())

    def _found(self, joined: str) -> Iterator[int]:
        return (self._numbers[match] for match in self._ours.findall(joined))


def _links(page: HtmlPage, needles: Needles, places: Places) -> Iterator[_Shown]:
    """The links around the places where words stand."""
    octets, seen = page.lower, set[int]()
    for at in sorted(at for word in needles.words & places.keys() for at in places[word]):
        start = -1
        for begin in _STARTS:  # the nearest of all
            start = max(start, octets.rfind(begin, max(0, at - _LONG_LINK, start), at))
        if start < 0 or start in seen:
            continue
        seen.add(start)
        if len(seen) > _MOST_LINKS:
            return
        link = _LINK.match(page.octets, start, start + _LONG_LINK)
        if link is None or link.end() <= at:
            continue
        yield _shown(*link.groups())


@lru_cache(maxsize=1024)
def _shown(name: bytes, attributes: bytes, text: bytes | None) -> _Shown:
    """A link, from the name of its tag, the attributes, and the text behind them."""
    said = {match[1].lower(): match[2] or match[3] or match[4] or b"" for match in _ATTRIBUTE.finditer(attributes)}
    tag, href, relation = name.lower().decode(), _text(said.get(b"href", b"")), _text(said.get(b"rel", b""))
    return _Shown(tag, href.strip(), relation, _TAG.sub(" ", _text(text or b"")) if tag == "a" else "")


def _root(base: str) -> str:
    """The root of a base URL's site, "" where it has no plain one."""
    try:
        return f"{origin_of(base)}/" if "@" not in base else ""
    except UrlError:
        return ""


def _below(link: _Shown, base: str, root: str) -> str:
    """What a link is relative to: mostly no more than the site, so that what is told of it holds for all its pages."""
    return root if root and link.href.startswith(_FROM_ROOT) else base


def _host(url: str) -> str:
    try:
        return origin_of(url).host.removeprefix("www.")
    except UrlError:
        return ""


def _base(page: HtmlPage, url: str) -> str:
    match = _BASE.search(page.octets)
    try:
        return canonical_url(_text(match[1]), url) if match else url
    except UrlError:
        return url


def _text(octets: bytes) -> str:
    return unescape(octets.decode("utf-8", "replace"))


def _segments(url: str) -> list[str]:
    """The parts of a URL's path, file suffixes cut."""
    parts = unquote(urlsplit(url).path).split("/")
    return [part.rpartition(".")[0] or part for part in parts]


def _joined(text: str) -> str:
    """The words of a text in lower case with hyphens between them."""
    return "-".join(_WORD.findall(text.lower()))


def _any(words: tuple[str, ...]) -> re.Pattern[str]:
    """Any of some words, whole, in words that are joined by hyphens; the longest first."""
    listed = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    return re.compile(rf"(?<![^-])(?:{listed or '(?!)'})(?![^-])")


def _longest_run(word: str) -> bytes:
    """The octets by which a word is searched for; none when every page would hold them."""
    run = max(_RUN.findall(word.encode()), key=len, default=b"")
    return run if len(run) >= _LEAST_RUN else b""
