"""Every reader that the facts have something for: the origin's files, the head, the body, the page that embeds it.

Knows carriers, and no protocol by name. It decides nothing: what is seen here is all that `registry` decides on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from reservations.access.head import fields_fit, redirect_signals, status_fits, status_signal
from reservations.access.page import LABEL, Page, PageReader, is_answer, page_reader
from reservations.access.reviews import Reviews
from reservations.definition import Document, Protocol, StatusRow
from reservations.grants import OperatorTables
from reservations.legal import LegalReader
from reservations.linked import Linked, LinkTables
from reservations.model import Answer, Facts, Head, Hop, Signal
from reservations.named import Missing, Named, NamedDocuments
from reservations.origin import Asker, Found, OriginFiles, policies
from reservations.policy import Policy
from reservations.readers.asset import read_asset
from reservations.readers.embedded import FileTables
from reservations.readers.html import MARKS, HtmlPage, Meta, Wanted, is_html, look_for, read_html
from reservations.readers.http_head import Field, charset_of, first, media_type_of, read_head
from reservations.readers.needles import Needles
from reservations.readers.notices import Notices
from reservations.readers.page_tokens import conclude as conclude_for_us
from reservations.readers.robots_txt import RobotsTxt
from reservations.readers.rsl import Party
from reservations.readers.tokens import TokenList
from reservations.statement import Vocabulary
from reservations.urls import UrlError, canonical_url, origin_of

_SOURCE_RANK: Final[Mapping[str, int]] = {"url": 1, "head": 2, "body": 3}
_DIGITS: Final = re.compile(r"\d+")
_UNKNOWN_STATUS: Final = StatusRow(status=(), outcome="failed", reason="http.unexpected-status")


class Seen(NamedTuple):
    """All that the facts show so far."""

    signals: tuple[Signal, ...]
    found: Found
    missing: tuple[Missing, ...]
    consulted: dict[str, str]
    status: StatusRow | None
    media_type: str
    location: str


class Sight:
    """The readers of all protocols, with their tables.

    Args:
        protocols: in the order in which they are named as reasons.
        token_lists: by file name; page_tables: tables on access in pages, by file name.
        reviews: what people decided on sites.
    """

    def __init__(
        self,
        protocols: Sequence[Protocol],
        token_lists: Mapping[str, TokenList],
        page_tables: Mapping[str, str],
        reviews: Reviews,
    ) -> None:
        vocabularies = tuple(Vocabulary(protocol) for protocol in protocols)
        self._protocols = protocols
        self._order = {protocol.id: number for number, protocol in enumerate(protocols)}
        self._files = FileTables(vocabularies)
        self._links = LinkTables(vocabularies)
        self._notices = Notices(vocabularies)
        self._named = NamedDocuments(self._notices)
        self._legal = LegalReader(vocabularies, self._notices)
        self._operator = OperatorTables(protocols)
        self._origin = OriginFiles(vocabularies, tuple(token_lists.values()), self._notices)
        self._pages: PageReader | None = page_reader(page_tables, vocabularies)
        self._reviews = reviews
        self._reviewer = next((item for item in vocabularies if item.knows(LABEL)), None)
        self._policed = [item for item in vocabularies if item.protocol.named and item.protocol.named.policy]
        self._concluding = [(item, token_lists[item.token_list]) for item in protocols if item.token_list]
        self._others = frozenset(entry.token.lower() for tokens in token_lists.values() for entry in tokens.binding)
        self._wanted: dict[frozenset[str], tuple[Wanted, Needles]] = {}
        self._rows: dict[int, tuple[tuple[Protocol, StatusRow], ...]] = {}
        self._fields: dict[str, tuple[Field, ...]] = {}
        self._metas: dict[str, tuple[Meta, ...]] = {}
        for vocabulary in vocabularies:
            for field in vocabulary.protocol.http_fields:
                name = field.name.lower()
                self._fields[name] = (*self._fields.get(name, ()), Field(field, vocabulary))
            for meta in vocabulary.protocol.html_metas:
                name = meta.name.lower()
                self._metas[name] = (*self._metas.get(name, ()), Meta(meta, vocabulary))

    @property
    def documents(self) -> tuple[Document, ...]:
        """Files asked for at every origin, robots.txt first."""
        return self._origin.documents

    def robots(self, facts: Facts) -> RobotsTxt | None:
        """The origin's robots.txt, None when it was not read."""
        return self._origin.robots(facts)

    def see(self, facts: Facts, policy: Policy, tokens: tuple[str, ...]) -> Seen:
        """Every reader that the facts have something for."""
        found = self._origin.read(facts, Asker(tokens, policy.tokens))
        signals = [*self._operator.read(facts, policy), *found.signals]
        consulted = dict(found.consulted)
        named = list(found.named)
        party = _party(policy)
        names = _lower(tokens)
        media_type = (media_type_of(facts.head.headers) if facts.head else "") or facts.media_type or ""
        status, location = None, ""
        if facts.head is not None:
            consulted["head"] = str(facts.head.status)
            location = _location(facts.url, facts.head)
            status = self._status(facts.head, signals)
            signals += read_head(facts.head.headers, self._fields, names, media_type)
            linked = self._links.in_head(facts.head.headers, facts.url)
            signals += linked.signals
            named += linked.named
        if location or facts.redirected_from:
            signals += self._redirects(facts, location)
        html: HtmlPage | None = None
        if facts.body is not None:
            page = _page(facts, facts.body, media_type)
            consulted["body"], linked, html = self._body(page, names, party, policy)
            signals += linked.signals
            named += linked.named
            named += [item for one in self._policed for item in policies(one, signals, facts.url, source="body")]
        if facts.head is not None:
            signals += self._said_to_others(signals, policy)
        if facts.referrer is not None:
            signals += self._embedding_page(facts, facts.referrer, names, media_type)
        heard = self._named.hear(_now(named, facts), facts, party, found.may_ask)
        of_site = self._legal.hear(facts, found.robots, html, found.may_ask)
        signals += [*heard.signals, *of_site.signals]
        consulted |= {**heard.consulted, **of_site.consulted}
        signals = self._reviews.settle(facts, signals, self._reviewer)
        if len(signals) > 1:
            signals.sort(key=self.canonical_order)
        missing = (*heard.missing, *of_site.missing)
        return Seen(tuple(signals), found, missing, consulted, status, media_type, location)

    def teaser(self, facts: Facts) -> str:
        """Of a page that closes a part of itself and says which: the words outside of it."""
        return self._pages.teaser(_page(facts, facts.body or b"", "")) if self._pages is not None else ""

    def _body(
        self, page: Page, names: frozenset[str], party: Party, policy: Policy
    ) -> tuple[str, Linked, HtmlPage | None]:
        """What was looked at in the body, every statement in it, and the page: it stays one, whatever it is called."""
        body, charset, media_type, (url, *_) = page
        read: list[str] = []
        signals: list[Signal] = []
        named: list[Named] = []
        html: HtmlPage | None = None
        asset = read_asset(body, media_type)
        if asset is not None:
            read.append(" ".join((asset.media_type or media_type, *dict.fromkeys(map(str, asset.kinds)))))
            signals += self._files.read(asset)
            for space in self._links.all_namespaces():
                for element, place in asset.elements(space):
                    signals += self._links.inline(element, place, url, party, page=True)
        if is_html(media_type, body) or (asset is not None and not asset.media_type and is_html("", body)):
            read.append("html")
            wanted, needles = self._looked_for(names)
            html = HtmlPage(body, charset, needles)
            signals += read_html(html, wanted, media_type)
            linked = self._links.in_page(html, url, party, strict=policy.profile == "strict")
            signals += linked.signals
            named += linked.named
            signals += self._notices.in_page(html, url)
        signals += self._links.in_xml(body, url, party)
        if self._pages is not None and (html is not None or is_answer(page)):
            signals += self._pages.read(page, html, teasers=policy.teasers, metered=policy.metered)
        signals += self._files.read_records(body)
        signals += self._files.read_declared(body, asset)
        return ", ".join(read) or "no statements in this format", Linked(signals, named), html

    def _status(self, head: Head, signals: list[Signal]) -> StatusRow:
        """What the status means; adds the statement that it makes."""
        rows = self._rows.get(head.status)
        if rows is None:
            rows = self._rows[head.status] = tuple(
                (protocol, row)
                for protocol in self._protocols
                for row in protocol.statuses
                if status_fits(head.status, row.status)
            )
        for protocol, row in rows:
            if fields_fit(row, head.headers):
                if row.outcome == "signal":
                    signals.append(status_signal(protocol, row, head.status))
                return row
        return _UNKNOWN_STATUS

    def _redirects(self, facts: Facts, location: str) -> list[Signal]:
        """Statements of the hops that led here, and of this answer when it redirects."""
        hops = [("url", hop) for hop in facts.redirected_from]
        if facts.head is not None and location:
            hops.append(("head", Hop(facts.url, facts.head.status, location)))
        return [signal for protocol in self._protocols for signal in redirect_signals(protocol, hops)]

    def _looked_for(self, names: frozenset[str]) -> tuple[Wanted, Needles]:
        """The metas that a page is searched for, by whoever asks; and what it is searched for by all readers."""
        held = self._wanted.get(names)
        if held is None:
            wanted = look_for(self._metas, names, self._others)
            of_pages = (self._pages.needles,) if self._pages is not None else ()
            needles = Needles.together(
                MARKS, wanted.needles, *self._links.needles, *self._notices.needles, *self._legal.needles, *of_pages
            )
            held = self._wanted[names] = wanted, needles
        return held

    def _said_to_others(self, signals: list[Signal], policy: Policy) -> list[Signal]:
        """What follows from a page's statements to other crawlers."""
        return [
            concluded
            for protocol, listed in self._concluding
            for concluded in conclude_for_us(protocol.id, protocol.page_refusals, listed, signals, policy.tokens)
        ]

    def _embedding_page(self, facts: Facts, referrer: str, names: frozenset[str], media_type: str) -> list[Signal]:
        """Statements that the page which embeds this medium extends to it."""
        answer = _referring_answer(facts, referrer)
        if answer is None or not is_html(media_type_of(answer.headers), answer.body):
            return []
        charset = charset_of(answer.headers)
        wanted, needles = self._looked_for(names)
        html = HtmlPage(answer.body, charset, needles)
        signals = read_html(html, wanted, media_type, embedding=True)
        if self._pages is not None:
            signals += self._pages.read(Page(answer.body, charset, media_type, (referrer,)), html, embedding=True)
        return signals

    def canonical_order(self, signal: Signal) -> tuple[object, ...]:
        """What was known first comes first; the order in which it was read does not matter."""
        number = _DIGITS.search(signal.locator)
        return (
            self._order[signal.protocol],
            _SOURCE_RANK.get(signal.source, 0),
            signal.carrier,
            signal.source,
            int(number[0][:9]) if number else 0,
            signal.locator,
            signal.reason,
            signal.excerpt,
            signal.issues,
            sorted(signal.effective.items()),
            sorted(signal.strict.items()),
        )


@lru_cache(maxsize=64)
def _lower(tokens: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(str.lower, tokens))


def _page(facts: Facts, body: bytes, media_type: str) -> Page:
    charset = charset_of(facts.head.headers if facts.head else ())
    return Page(body, charset, media_type, (facts.url, *(hop.url for hop in facts.redirected_from)))


def _party(policy: Policy) -> Party:
    """Who we are to a licensor, by the policy."""
    return Party(frozenset(policy.users), policy.country, policy.gives_attribution)


def _now(named: Iterable[Named], facts: Facts) -> list[Named]:
    """Each document once under each statement that names it; what the resource names, when it is there."""
    return [item for item in dict.fromkeys(named) if item.source != "body" or facts.body is not None]


def _location(url: str, head: Head) -> str:
    """Absolute URL that a redirect names, "" when it names none that can be asked for."""
    value = first(head.headers, "location")
    if value is None or not 300 <= head.status < 400:  # noqa: PLR2004 the 3xx class
        return ""
    try:
        return canonical_url(value.encode("latin-1").decode("utf-8", "replace").strip(), url)
    except (UrlError, UnicodeError):
        return ""


def _referring_answer(facts: Facts, referrer: str) -> Answer | None:
    """The page that embeds this one, among the documents: by its path on the same origin, else by its URL."""
    try:
        here, there = str(origin_of(facts.url)), str(origin_of(referrer))
    except UrlError:
        return None
    if here == there and (answer := facts.documents.get(referrer[len(there) :] or "/")) is not None:
        return answer
    return facts.documents.get(referrer)
