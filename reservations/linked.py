"""What a resource links to and holds besides statements of its own: typed links, inline licences, properties.

Heads and pages say the same things in two syntaxes; the tables of the protocols make no difference between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from reservations.model import Header, Signal
from reservations.named import Named, name, offer_signals, unread_inline
from reservations.readers.html import HtmlPage
from reservations.readers.links import Link, read_links
from reservations.readers.markup import Markup, Sought, needles_of, read_markup
from reservations.readers.needles import Needles
from reservations.readers.robots_match import subject_of
from reservations.readers.rsl import Found, Party, Unreadable, parse_rsl
from reservations.readers.words import as_url
from reservations.statement import Place, Reading, Vocabulary, distinct
from reservations.tables import LinkRelation
from reservations.urls import UrlError, canonical_url, origin_of

_MAX_INLINE: Final = 16
_PROLOG: Final = 8192
#: XML declaration, if there is one, and the name of the first element.
_ROOT: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(<\?xml\s)?(?:(?<=<\?xml\s)[^>]{0,200}>)?(?:\s|<!--.{0,4096}?-->|<[?!][^>]{0,512}>)*+"
    rb"<(?:[\w.-]{1,64}:)?([\w.-]{1,64})",
    re.DOTALL,
)
_FEEDS: Final = frozenset({b"rss", b"feed", b"rdf"})
#: Roots whose statements other readers find, or that are about other things.
_READ_ELSEWHERE: Final = frozenset({b"html", b"svg", b"xmpmeta", b"rsl"})


class Linked(NamedTuple):
    """What was found: statements, and documents that are named."""

    signals: list[Signal]
    named: list[Named]


class LinkTables:
    """The tables of all protocols about links, inline licences and schema.org properties."""

    def __init__(self, vocabularies: Iterable[Vocabulary]) -> None:
        self._links: dict[str, list[tuple[LinkRelation, Vocabulary]]] = {}
        self._inline: list[Vocabulary] = []
        self._properties: dict[str, list[tuple[str, Vocabulary]]] = {}
        for vocabulary in vocabularies:
            protocol = vocabulary.protocol
            for link in protocol.links:
                self._links.setdefault(link.rel.lower(), []).append((link, vocabulary))
            for item in protocol.properties:
                self._properties.setdefault(item.name.lower(), []).append((item.label, vocabulary))
            if protocol.inline is not None and protocol.named is not None and protocol.named.offers is not None:
                self._inline.append(vocabulary)
        scripts = frozenset(item.protocol.inline.type for item in self._inline if item.protocol.inline)
        careful = frozenset(self._links)
        usual = frozenset(rel for rel, rows in self._links.items() if not all(row.elsewhere for row, _ in rows))
        properties = frozenset(self._properties)
        self._sought = {strict: Sought(careful if strict else usual, scripts, properties) for strict in (True, False)}

    @property
    def needles(self) -> tuple[Needles, ...]:
        """What pages are searched for."""
        return tuple(needles_of(sought) for sought in self._sought.values())

    def in_head(self, headers: Iterable[Header], url: str) -> Linked:
        """What `Link` fields say and name."""
        lines = [header.value for header in headers if header.name.lower() == "link"]
        signals: list[Signal] = []
        named: list[Named] = []
        for link in read_links(lines) if lines else ():
            if not link.elsewhere:
                place = Place("http_field", "head", "Link", f"<{link.target}>; rel={' '.join(sorted(link.relations))}")
                for row, vocabulary in self._rows(link):
                    if row.document:
                        named.append(_name(vocabulary, link.target, url, place))
                    signals += _signal(row, vocabulary, link, place)
        return Linked(distinct(signals), named)

    def in_page(self, page: HtmlPage, url: str, party: Party, *, strict: bool) -> Linked:
        """What a page says and names in its markup."""
        markup = read_markup(page, self._sought[strict])
        base = _base(markup.base, url)
        signals: list[Signal] = []
        named: list[Named] = []
        for found in markup.links:
            text = f'rel="{" ".join(sorted(found.link.relations))}" href="{found.link.target}"'
            place = Place("html_link", "body", f"link {found.number}", text)
            for row, vocabulary in self._rows(found.link):
                if found.anchor and not row.anchors:
                    continue
                if row.document:
                    named.append(_name(vocabulary, found.link.target, base, place))
                if row.elsewhere and strict:
                    named += _same_work(vocabulary, found.link.target, url, base, place)
                signals += _signal(row, vocabulary, found.link, place, scope_unclear=found.anchor)
        signals += self._said(markup)
        for text in markup.scripts[:_MAX_INLINE]:
            signals += self.inline(text.encode("utf-8", "replace"), "script", url, party, page=True)
        if markup.unparsed:
            signals += [
                signal for vocabulary in self._inline for signal in unread_inline(vocabulary, "page", "unparsed")
            ]
        return Linked(distinct(signals), named)

    def in_xml(self, body: bytes, url: str, party: Party) -> list[Signal]:
        """Licences inside a feed or another XML; one that is a licence document itself is about other things."""
        signals: list[Signal] = []
        root = _ROOT.match(body[:_PROLOG])
        if root is None or root[2].lower() in _READ_ELSEWHERE or not (root[1] or root[2].lower() in _FEEDS):
            return signals
        for vocabulary in self._inline:
            if any(space.encode() in body for space in self.namespaces(vocabulary)):
                signals += self._offers(
                    vocabulary, body, "XML", Found(url, subject_of(url), inside=True, part=True), party
                )
        return signals

    def inline(self, text: bytes, locator: str, url: str, party: Party, *, page: bool) -> list[Signal]:
        """What a licence inside the resource says of it."""
        found = Found(url, subject_of(url), page=page, inside=True)
        return [
            signal for vocabulary in self._inline for signal in self._offers(vocabulary, text, locator, found, party)
        ]

    def namespaces(self, vocabulary: Vocabulary) -> tuple[str, ...]:
        """Of the elements of a protocol's licences."""
        named = vocabulary.protocol.named
        return named.offers.namespaces if named is not None and named.offers is not None else ()

    def all_namespaces(self) -> tuple[str, ...]:
        """Of the elements of all licences that can stand inside a resource."""
        return tuple(dict.fromkeys(space for vocabulary in self._inline for space in self.namespaces(vocabulary)))

    def _offers(self, vocabulary: Vocabulary, text: bytes, locator: str, found: Found, party: Party) -> list[Signal]:
        named = vocabulary.protocol.named
        if named is None or named.offers is None:
            return []
        try:
            contents = parse_rsl(text, named.offers)
        except Unreadable as fault:
            return unread_inline(vocabulary, locator, str(fault))
        return offer_signals(contents, vocabulary, found, party, Place("inline", "body", f"{locator}, ", ""))

    def _rows(self, link: Link) -> Iterator[tuple[LinkRelation, Vocabulary]]:
        for relation in sorted(link.relations):
            for row, vocabulary in self._links.get(relation, ()):
                if (not row.types or link.media_type in row.types) and link.media_type not in row.not_types:
                    yield row, vocabulary

    def _said(self, markup: Markup) -> Iterator[Signal]:
        for said in markup.said:
            for label, vocabulary in self._properties[said.name]:
                reading = Reading(label, as_url(said.value), sound=said.sound)
                place = Place("schema", "body", said.place, f"{said.name}: {said.value}")
                signal = vocabulary.signal(reading if said.sound else reading.weakened("scope_unclear"), place)
                if signal is not None:
                    yield signal


def _signal(
    row: LinkRelation, vocabulary: Vocabulary, link: Link, place: Place, *, scope_unclear: bool = False
) -> list[Signal]:
    if not row.label:
        return []
    reading = Reading(row.label, as_url(link.target))
    signal = vocabulary.signal(reading.weakened("scope_unclear") if scope_unclear else reading, place)
    return [] if signal is None else [signal]


def _name(vocabulary: Vocabulary, target: str, base: str, place: Place) -> Named:
    return name(vocabulary, target, base, source="body", place=place.locator, text=place.text, page=True)


def _same_work(vocabulary: Vocabulary, target: str, url: str, base: str, place: Place) -> list[Named]:
    """The reservation file of the origin where a page says that its work belongs."""
    item = _name(vocabulary, target, base, place)
    documents = vocabulary.protocol.documents
    if not item.url or not documents or origin_of(item.url) == origin_of(url):
        return []
    return [item._replace(elsewhere=item.url, url=f"{origin_of(item.url)}{documents[0].path}")]


def _base(href: str, url: str) -> str:
    try:
        return canonical_url(href, url) if href.strip() else url
    except UrlError:
        return url
