"""Documents that statements name by URL: licences (RSL) with their terms, policies (ODRL), files of another origin.

What was named and cannot be read is neither a permission nor an absence: it is `undeterminable` where the protocol's
table says so. No document is asked for that robots.txt closes to us, none twice, and no more than ten for one URL. What
a licence names is looked at (its terms, where it permits anything), and nothing that is named there: two levels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from reservations.definition import CLOSING, Document
from reservations.memory import Memory
from reservations.model import Answer, Category, Facts, Signal, Value
from reservations.readers.html import HtmlPage
from reservations.readers.http_head import charset_of, media_type_of
from reservations.readers.notices import Notices
from reservations.readers.odrl import read_policy
from reservations.readers.robots_match import subject_of
from reservations.readers.rsl import VALUES, Content, Found, Party, Unreadable, narrowest, offers, parse_rsl
from reservations.readers.well_known import Rules, is_page, parse_rules, read_rules
from reservations.statement import Place, Vocabulary, clean
from reservations.tables import Consequence, NamedDocument, OfferWords, PolicyWords
from reservations.urls import UrlError, canonical_url, origin_of

MOST_NAMED: Final = 10
#: Behind the key of the answer that a licence names as its terms.
TERMS: Final = "#terms"
_TERMS_ACCEPT: Final = "text/html,application/xhtml+xml;q=0.9"
_REMEMBERED: Final = 1024


class Named(NamedTuple):
    """One document that somebody names.

    Attributes:
        vocabulary: whose statement names it.
        url: absolute, canonical; "" when what stood there is no URL that can be asked for.
        source: what named it: key of an answer, or "body" for what came with the resource itself.
        place: where in it, in words; text: the statement's own words.
        issues: what was odd about the naming; then only what the document refuses counts.
        page: it was named for this resource alone.
        elsewhere: the URL is another address of the same work; its origin's file is what is to be read.
        terms: it is the page of terms under which a licence permits what it permits.
    """

    vocabulary: Vocabulary
    url: str
    source: str
    place: str
    text: str
    issues: tuple[str, ...] = ()
    page: bool = False
    elsewhere: str = ""
    terms: bool = False

    @property
    def table(self) -> NamedDocument | None:
        """What the document is."""
        return self.vocabulary.protocol.named

    @property
    def lifts(self) -> bool:
        """Whether it can only make milder what is known already."""
        return self.table is not None and self.table.policy is not None and not self.elsewhere


class Missing(NamedTuple):
    """A named document that is still to be asked for; `key` is where its answer belongs."""

    named: Named
    key: str
    url: str
    max_bytes: int
    accept: str


class Heard(NamedTuple):
    """What the named documents say, the outcome of each, and which are still to be asked for."""

    signals: tuple[Signal, ...]
    consulted: dict[str, str]
    missing: tuple[Missing, ...]


def name(
    vocabulary: Vocabulary, target: str, base: str, *, source: str, place: str, text: str, page: bool = False
) -> Named:
    """A document named by `target`, which may be relative to `base`: then only its refusals count."""
    target = target.strip()
    url = "" if any(map(str.isspace, target)) else _absolute(target, base)
    issues = ("value",) if not url else () if page or "://" in target[:16] else ("relative",)
    return Named(vocabulary, url, source, place, clean(text), issues, page)


def _absolute(target: str, base: str) -> str:
    """The absolute URL, "" when it is none that can be asked for."""
    try:
        url = canonical_url(target, base) if target else ""
    except UrlError:
        return ""
    return url if url.startswith(("http://", "https://")) else ""


def key_of(url: str, page: str) -> str:
    """Where the answer for a document belongs: under its path for one of the page's own origin, else its URL."""
    origin = str(origin_of(page))
    return url[len(origin) :] or "/" if str(origin_of(url)) == origin else url


class NamedDocuments:
    """Reads named documents; what was read once is remembered by the answer it came from."""

    def __init__(self, notices: Notices) -> None:
        self._notices = notices
        self._sentences: Memory[list[Signal]] = Memory(_REMEMBERED)
        self._licences: Memory[tuple[Content, ...] | str] = Memory(_REMEMBERED)
        self._rules: Memory[Rules] = Memory(_REMEMBERED)

    def hear(self, named: Iterable[Named], facts: Facts, party: Party, may_ask: Callable[[str], bool]) -> Heard:
        """What all of them say. `may_ask`: whether robots.txt of the page's own origin opens a path to us."""
        signals: list[Signal] = []
        consulted: dict[str, str] = {}
        missing: dict[str, Missing] = {}
        seen: set[str] = set()
        items = list(named)
        for item in items:
            wanted = _wanted(item, facts)
            if wanted is None:
                signals += _unread(item, item.place, "not a URL that can be asked for")
                continue
            seen.add(wanted.key)
            answer = facts.documents.get(wanted.key)
            if len(seen) > MOST_NAMED:
                answer = Answer(url=wanted.url, failure="too-many-documents")
            elif answer is None and wanted.key.startswith("/") and not may_ask(wanted.key.removesuffix(TERMS)):
                answer = Answer(url=wanted.url, failure="robots")
            if answer is None:
                missing.setdefault(wanted.key, wanted)
                continue
            consulted[wanted.key] = _outcome(answer)
            signals += self._read(item, wanted.key, answer, facts, party)
            items += self._terms_of(item, wanted.key, answer, facts, party)
        return Heard(tuple(signals), consulted, tuple(missing.values()))

    def _read(self, item: Named, key: str, answer: Answer, facts: Facts, party: Party) -> list[Signal]:
        place = f"{item.place}: {key}" if item.source == "body" else ""
        if item.elsewhere:
            return self._elsewhere(item, answer, place)
        table = item.table
        if table is None or not _is_whole(answer, table):
            return _unread(item, place or key, _outcome(answer), key)
        if item.terms:
            return self._notice(item, key, answer)
        if table.offers is not None:
            return self._offers(item, table.offers, (key, answer), facts, party)
        if table.policy is not None and not is_page(answer.body, media_type_of(answer.headers)):
            return _terms(item, table.policy, key, answer, party)
        return []

    def _notice(self, item: Named, key: str, answer: Answer) -> list[Signal]:
        """What the terms of a licence say, which only refuses more."""
        if not is_page(answer.body, media_type_of(answer.headers)):
            return _unread(item, item.place, "no-page", key)
        page = HtmlPage(answer.body, charset_of(answer.headers))
        return self._sentences.get((answer,), key, lambda: self._notices.in_legal_page(page, key))

    def _terms_of(self, item: Named, key: str, answer: Answer, facts: Facts, party: Party) -> Iterator[Named]:
        """The terms that a licence names for this URL, where it permits anything."""
        table = item.table
        if item.terms or item.elsewhere or table is None or table.offers is None or not _is_whole(answer, table):
            return
        contents = self._contents(answer, table.offers)
        if isinstance(contents, str):
            return
        covering, _ = narrowest(contents, Found(facts.url, subject_of(facts.url), page=item.page))
        if all(VALUES[offer.outcome] in CLOSING for offer in offers(covering, table.offers, party)):
            return
        for content in covering:
            for target in content.terms:
                url = _absolute(target, facts.url)
                if url and url != facts.url:
                    place = f"{key}, content {content.number}, terms"
                    yield Named(item.vocabulary, url, item.source, place, clean(target), page=item.page, terms=True)

    def _contents(self, answer: Answer, words: OfferWords) -> tuple[Content, ...] | str:
        return self._licences.get((answer, words), "", lambda: _parsed(answer.body, words))

    def _offers(
        self, item: Named, words: OfferWords, answered: tuple[str, Answer], facts: Facts, party: Party
    ) -> list[Signal]:
        key, answer = answered
        contents = self._contents(answer, words)
        place = f"{item.place}: {key}, " if item.source == "body" else ""
        if isinstance(contents, str):
            return _unread(item, place.rstrip(", ") or key, contents, key)
        found = Found(facts.url, subject_of(facts.url), page=item.page)
        where = Place("named", "body" if item.source == "body" else key, place, item.text)
        return offer_signals(contents, item.vocabulary, found, party, where, issues=item.issues)

    def _elsewhere(self, item: Named, answer: Answer, place: str) -> list[Signal]:
        """What the file of another origin refuses for the same work; a note in all profiles but `strict`."""
        document = item.vocabulary.protocol.documents[0]
        if answer.failure or answer.status != 200 or is_page(answer.body, media_type_of(answer.headers)):  # noqa: PLR2004
            return []
        rules = self._rules.get(
            (answer, document),
            "",
            lambda: parse_rules(answer.body, document, item.vocabulary, truncated=answer.truncated),
        )
        return [
            msgspec.structs.replace(
                signal,
                source="body",
                locator=f"{place}, {signal.locator}",
                strict={},
                effective={},
                vendor={c: v for c, v in {**signal.vendor, **signal.effective}.items() if v in CLOSING},
                issues=(*signal.issues, "canonical"),
            )
            for signal in read_rules(rules, document, item.vocabulary, subject_of(item.elsewhere))
        ]


def offer_signals(
    contents: Sequence[Content],
    vocabulary: Vocabulary,
    found: Found,
    party: Party,
    place: Place,
    *,
    issues: tuple[str, ...] = (),
) -> list[Signal]:
    """The statements of a licence that makes offers, one for each outcome and set of issues.

    Words of drafts say nothing by the letter; a document that was named or fits oddly only refuses.
    """
    named = vocabulary.protocol.named
    words = named.offers if named is not None else None
    if words is None:
        return []
    covering, odd = narrowest(contents, found)
    grouped: dict[tuple[object, ...], list[Signal]] = {}
    for offer in offers(covering, words, party):
        value = VALUES[offer.outcome]
        doubts = (*issues, *odd)
        if doubts and value not in CLOSING and not (set(doubts) <= {"other_origin"} and found.inside):
            value = Value.UNSET
        said = () if value is Value.UNSET else words.uses[offer.use]
        values: dict[Category, Value] = dict.fromkeys(said, value)
        all_issues = tuple(dict.fromkeys((*doubts, *offer.issues)))
        signal = Signal(
            protocol=vocabulary.protocol.id,
            reason=getattr(words, offer.outcome.replace("-", "_")),
            carrier=place.carrier,
            source=place.source,
            locator=f"{place.locator}content {offer.content.number}",
            excerpt=offer.text or place.text,
            strict={} if {"draft_words", *doubts} & set(all_issues) else values,
            effective=values,
            issues=all_issues,
            conditions=offer.conditions,
        )
        key = (signal.reason, signal.locator, signal.excerpt, all_issues, offer.conditions, bool(signal.strict))
        grouped.setdefault(key, []).append(signal)
    return [_merged(group) for group in grouped.values()]


def _merged(group: list[Signal]) -> Signal:
    return msgspec.structs.replace(
        group[0],
        strict={category: value for signal in group for category, value in signal.strict.items()},
        effective={category: value for signal in group for category, value in signal.effective.items()},
    )


def _parsed(body: bytes, words: OfferWords) -> tuple[Content, ...] | str:
    """The licences of a document; a word for why there are none that can be relied on."""
    if is_page(body, ""):
        return "no_licence"
    try:
        return parse_rsl(body, words)
    except Unreadable as fault:
        return str(fault)


def _terms(item: Named, words: PolicyWords, key: str, answer: Answer, party: Party) -> list[Signal]:
    """On which terms a policy lifts a reservation."""
    value = read_policy(answer.body, words, party.users)
    if value is None:
        return []
    values = dict.fromkeys(words.categories, value)
    return [
        Signal(
            protocol=item.vocabulary.protocol.id,
            reason=words.reason,
            carrier="terms",
            source="body" if item.source == "body" else key,
            locator=f"{item.place}: {key}" if item.source == "body" else "policy",
            strict=values,
            effective=values,
        )
    ]


def _unread(item: Named, place: str, why: str, key: str = "") -> list[Signal]:
    """The statement that an unreadable document makes by having been announced."""
    row: Consequence | None = item.table.unread if item.table is not None and not item.elsewhere else None
    if row is None:
        return []
    return [
        Signal(
            protocol=item.vocabulary.protocol.id,
            reason=row.reason,
            carrier="named",
            source=item.source if item.source == "body" or not key else key,
            locator=place,
            excerpt=item.text,
            strict=row.strict if item.url else {},
            effective=row.effective if item.url else {},
            vendor=row.vendor if item.url else {},
            issues=(*item.issues, clean(why)),
        )
    ]


def unread_inline(vocabulary: Vocabulary, place: str, why: str) -> list[Signal]:
    """The statement that a licence inside a resource makes by being there, when it cannot be read."""
    named = vocabulary.protocol.named
    row = named.unread if named is not None else None
    if row is None:
        return []
    return [
        Signal(
            protocol=vocabulary.protocol.id,
            reason=row.reason,
            carrier="inline",
            source="body",
            locator=place,
            strict=row.strict,
            effective=row.effective,
            vendor=row.vendor,
            issues=(clean(why),),
        )
    ]


def _wanted(item: Named, facts: Facts) -> Missing | None:
    """What to ask for; None when there is nothing that can be asked for."""
    if not item.url or item.url == facts.url:
        return None
    if item.elsewhere:
        document: Document = item.vocabulary.protocol.documents[0]
        return Missing(item, item.url, item.url, document.max_bytes, document.accept)
    table = item.table
    if table is None:
        return None
    if item.terms:
        return Missing(item, key_of(item.url, facts.url) + TERMS, item.url, table.max_bytes, _TERMS_ACCEPT)
    return Missing(item, key_of(item.url, facts.url), item.url, table.max_bytes, table.accept)


def _is_whole(answer: Answer, table: NamedDocument) -> bool:
    """Whether the document came, and all of it."""
    readable = not answer.failure and answer.status in (*range(200, 300), 304)
    return readable and not answer.truncated and len(answer.body) <= table.max_bytes


def _outcome(answer: Answer) -> str:
    return answer.failure or str(answer.status)
