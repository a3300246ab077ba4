"""The protocols in force and their readers: facts in, every statement in them out, and what is still wanted.

Protocols are data; nothing here knows one by name. What was read once is remembered by the answer it came from, within
a bound; remembering changes no answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from reservations.access.head import fields_fit, redirect_signals, retry_after_s, status_fits, status_signal
from reservations.access.page import Page, PageReader, is_answer, page_reader
from reservations.access.tables import PAGE_TABLES, table_faults
from reservations.datafile import DefinitionError, Fault
from reservations.decide import (
    DECIDING,
    REPORTED,
    Case,
    Outcome,
    Standings,
    by_the_letter,
    combine,
    decide,
    open_purposes,
)
from reservations.definition import Document, Protocol, StatusRow, digest_of, load_protocol
from reservations.linked import Linked, LinkTables
from reservations.model import Answer, Category, Decision, Facts, Head, Header, Hop, Signal, Value, Verdict, Want, Wants
from reservations.named import Missing, Named, NamedDocuments
from reservations.origin import Asker, Found, OriginFiles, policies
from reservations.policy import Policy
from reservations.readers.asset import read_asset
from reservations.readers.embedded import FileTables
from reservations.readers.html import HtmlPage, Meta, Wanted, is_html, look_for, read_html
from reservations.readers.http_head import Field, first, media_type_of, read_head
from reservations.readers.page_tokens import conclude as conclude_for_us
from reservations.readers.rsl import Party
from reservations.readers.tokens import TokenList
from reservations.statement import Vocabulary
from reservations.urls import UrlError, canonical_url, origin_of

#: A group for this token binds whatever token the operator chose.
HOUSE_TOKEN: Final = "KnockfirstBot"

#: Outcomes that documents named by the resource can still change.
_GOING_ON: Final = frozenset({Verdict.KEPT, Verdict.UNCHANGED})
_SOURCE_RANK: Final[Mapping[str, int]] = {"url": 1, "head": 2, "body": 3}
_TOKEN_LIST: Final = re.compile(r'^token_list = "([^"]+)"', re.MULTILINE)
_CHARSET: Final = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_DIGITS: Final = re.compile(r"\d+")
_UNKNOWN_STATUS: Final = StatusRow(status=(), outcome="failed", reason="http.unexpected-status")


#: Our product token, or several that bind us, our own first.
Tokens = str | tuple[str, ...]


class Values(NamedTuple):
    """A value per category, by the letter and after careful handling."""

    strict: dict[Category, Value]
    effective: dict[Category, Value]


class _Seen(NamedTuple):
    """All that the facts show so far."""

    signals: tuple[Signal, ...]
    found: Found
    missing: tuple[Missing, ...]
    consulted: dict[str, str]
    status: StatusRow | None
    media_type: str
    location: str


class Registry:
    """Protocols and their readers.

    Attributes:
        protocols: in the order in which they are named as reasons.
        digest: "sha256:..." over all files.
        documents: files asked for at every origin, robots.txt first.
        reasons: every reason code of the protocols with its sentence.
    """

    def __init__(
        self,
        protocols: Iterable[Protocol],
        token_lists: Mapping[str, TokenList],
        digest: str,
        page_tables: Mapping[str, str] | None = None,
    ) -> None:
        ordered = sorted(protocols, key=lambda protocol: (protocol.order, protocol.id))
        listed = dict(token_lists)
        self.protocols = tuple(ordered)
        self._by_id = {protocol.id: protocol for protocol in ordered}
        self.digest = digest
        self._vocabularies = {protocol.id: Vocabulary(protocol) for protocol in ordered}
        self._files = FileTables(self._vocabularies.values())
        self._links = LinkTables(self._vocabularies.values())
        self._named = NamedDocuments()
        self._origin = OriginFiles(tuple(self._vocabularies.values()), tuple(listed.values()))
        self.documents: tuple[Document, ...] = self._origin.documents
        described = [reason for protocol in ordered for reason in protocol.reasons]
        described += [reason for tokens in listed.values() for reason in tokens.reasons]
        self.reasons = {reason.code: reason.text for reason in described}
        self._unread = {reason.code: reason.unread for reason in described if reason.unread}
        self._order = {protocol.id: number for number, protocol in enumerate(ordered)}
        self._policed = [
            item for item in self._vocabularies.values() if item.protocol.named and item.protocol.named.policy
        ]
        self._concluding = [(item, listed[item.token_list]) for item in ordered if item.token_list]
        self._others = frozenset(entry.token.lower() for tokens in listed.values() for entry in tokens.binding)
        self._pages: PageReader | None = page_reader(page_tables or {}, self._vocabularies.values())
        self._wanted: dict[frozenset[str], Wanted] = {}
        self._rows: dict[int, tuple[tuple[Protocol, StatusRow], ...]] = {}
        self._fields: dict[str, tuple[Field, ...]] = {}
        self._metas: dict[str, tuple[Meta, ...]] = {}
        for vocabulary in self._vocabularies.values():
            for field in vocabulary.protocol.http_fields:
                name = field.name.lower()
                self._fields[name] = (*self._fields.get(name, ()), Field(field, vocabulary))
            for meta in vocabulary.protocol.html_metas:
                name = meta.name.lower()
                self._metas[name] = (*self._metas.get(name, ()), Meta(meta, vocabulary))

    @classmethod
    def load(cls, protocols: Mapping[str, str]) -> Registry:
        """Reads protocol files, given by file name; raises DefinitionError with all faults of all files."""
        faults: list[Fault] = []
        read: dict[str, Protocol] = {}
        lists: dict[str, TokenList] = {}
        listed = {match[1] for text in protocols.values() for match in _TOKEN_LIST.finditer(text)}
        page_tables = {file: text for file, text in protocols.items() if file.startswith(PAGE_TABLES)}
        for file in sorted(protocols.keys() - page_tables.keys()):
            try:
                if file in listed:
                    lists[file] = TokenList.from_toml(protocols[file], file=file)
                else:
                    protocol = load_protocol(protocols[file], file)
                    faults.extend(_clashes(protocol, file, read, protocols))
                    read[protocol.id] = protocol
            except DefinitionError as error:
                faults.extend(error.faults)
        faults.extend(table_faults(page_tables))
        if faults:
            raise DefinitionError(faults)
        return cls(read.values(), lists, digest_of(protocols), page_tables)

    def examine(self, facts: Facts, policy: Policy, token: Tokens) -> Decision | Wants:
        """What follows from the facts, or what is wanted next: the origin's files, then the head, then the body."""
        seen = self._see(facts, policy, token)
        standings = combine(self._by_id, seen.signals, DECIDING[policy.profile])
        stage = "origin" if facts.head is None else "head" if facts.body is None else "body"
        outcome = self._outcome(facts, policy, seen, standings, stage)
        wanted = self._documents_wanted(facts, policy, seen, outcome, stage)
        if wanted:
            return msgspec.structs.replace(wanted[0], beside=wanted[1:])
        if outcome is None:
            return _want_page(facts, policy, stage)
        return self._decision(facts, policy, seen, outcome, open_purposes(standings, policy))

    def _documents_wanted(
        self, facts: Facts, policy: Policy, seen: _Seen, outcome: Outcome | None, stage: str
    ) -> tuple[Wants, ...]:
        """The documents that are missing and could change what follows, all that can be asked for in one visit.

        What the resource itself names is asked for when it is whole: before that, its connection is taken. A policy,
        which can only make things milder, is asked for when nothing else closes the case.
        """
        files = seen.found.missing if outcome is None or stage != "origin" else ()
        wanted = [_want_document(facts, policy, name, document) for name, document in files]
        is_open = outcome is None or outcome.verdict in _GOING_ON
        for item in seen.missing:
            in_time = stage == "body" if item.named.source == "body" else stage != "origin" or is_open
            if in_time and (is_open or item.named.source != "body") and not item.named.lifts:
                wanted.append(_want_named(policy, item))
        if not wanted and outcome is not None and stage != "head":
            lifting = [item for item in seen.missing if item.named.lifts]
            wanted = [
                _want_named(policy, item) for item in lifting if self._may_lift(facts, policy, seen, item.named, stage)
            ]
        return tuple(wanted)

    def _may_lift(self, facts: Facts, policy: Policy, seen: _Seen, named: Named, stage: str) -> bool:
        """Whether nothing but the protocol of a policy closes the case."""
        others = tuple(item for item in seen.signals if item.protocol != named.vocabulary.protocol.id)
        standings = combine(self._by_id, others, DECIDING[policy.profile])
        outcome = self._outcome(facts, policy, seen, standings, stage)
        return outcome is None or outcome.verdict in _GOING_ON

    def conclude(
        self, facts: Facts, policy: Policy, token: Tokens, *, recorded: Iterable[Signal], stage: str
    ) -> Decision | None:
        """The decision at a stage of which not all bytes are left: on what the facts show and statements as recorded.

        None when that stage decides nothing yet. `consulted` names only what was read now.
        """
        seen = self._see(facts, policy, token)
        added = [signal for signal in recorded if signal not in seen.signals]
        seen = seen._replace(signals=tuple(sorted((*seen.signals, *added), key=self._canonical_order)))
        standings = combine(self._by_id, seen.signals, DECIDING[policy.profile])
        outcome = self._outcome(facts, policy, seen, standings, stage)
        if outcome is None:
            return None
        return self._decision(facts, policy, seen, outcome, open_purposes(standings, policy))

    def values(self, facts: Facts, policy: Policy, token: Tokens, protocols: Iterable[str] | None = None) -> Values:
        """The result of the protocols named, by themselves; of all together when none is named."""
        signals = self.signals(facts, policy, token)
        if protocols is not None:
            named = frozenset(protocols)
            signals = tuple(signal for signal in signals if signal.protocol in named)
        return self._values(signals, policy)

    def protocol_values(self, facts: Facts, policy: Policy, token: Tokens) -> dict[str, Values]:
        """Each protocol's own result."""
        return {name: self.values(facts, policy, token, (name,)) for name in self._by_id}

    def standings(self, facts: Facts, policy: Policy, token: Tokens) -> Standings:
        """The value in force per category, each with the statement it comes from."""
        return combine(self._by_id, self.signals(facts, policy, token), DECIDING[policy.profile])

    def signals(self, facts: Facts, policy: Policy, token: Tokens) -> tuple[Signal, ...]:
        """Every statement in the facts, in canonical order."""
        return self._see(facts, policy, token).signals

    def crawl_delay_s(self, facts: Facts, token: Tokens) -> float:
        """The Crawl-delay that the origin's robots.txt asks of us, in seconds; 0 when it asks for none."""
        robots = self._origin.robots(facts)
        return (robots.crawl_delay(_with_house(token)) or 0.0) if robots is not None else 0.0

    def sitemaps(self, facts: Facts) -> tuple[str, ...]:
        """The sitemaps that the origin's robots.txt names, as written."""
        robots = self._origin.robots(facts)
        return robots.sitemaps if robots is not None else ()

    def _outcome(self, facts: Facts, policy: Policy, seen: _Seen, standings: Standings, stage: str) -> Outcome | None:
        return decide(
            Case(
                stage=stage,
                standings=standings,
                unread=self._unread,
                status=seen.status,
                policy=policy,
                attempt=facts.attempt,
                failure=facts.failure or "",
                location=seen.location,
                media_type=seen.media_type,
                repeats=facts.repeats is not None,
            )
        )

    def _values(self, signals: tuple[Signal, ...], policy: Policy) -> Values:
        return Values(
            _plain(combine(self._by_id, signals, by_the_letter)),
            _plain(combine(self._by_id, signals, REPORTED[policy.profile])),
        )

    def _decision(
        self, facts: Facts, policy: Policy, seen: _Seen, outcome: Outcome, still_open: tuple[Category, ...]
    ) -> Decision:
        values = self._values(seen.signals, policy)
        wait = 0
        if outcome.verdict is Verdict.DEFERRED:
            wait = seen.found.retry_after_s if facts.head is None else retry_after_s(facts.head.headers)
        return Decision(
            verdict=outcome.verdict,
            reason=outcome.reason,
            gate=outcome.gate,
            strict=values.strict,
            effective=values.effective,
            open=still_open,
            signals=seen.signals,
            consulted=seen.consulted,
            retry_after_s=wait,
            location=seen.location if outcome.verdict is Verdict.REDIRECTED else None,
        )

    def _see(self, facts: Facts, policy: Policy, token: Tokens) -> _Seen:
        """Every reader that the facts have something for."""
        tokens = _with_house(token)
        found = self._origin.read(facts, Asker(tokens, policy.tokens))
        signals = list(found.signals)
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
        if facts.body is not None:
            charset = _charset(facts.head.headers if facts.head else ())
            page = Page(facts.body, charset, media_type, (facts.url, *(hop.url for hop in facts.redirected_from)))
            consulted["body"], linked = self._body(page, names, party, policy)
            signals += linked.signals
            named += linked.named
            named += [item for one in self._policed for item in policies(one, signals, facts.url, source="body")]
        if facts.head is not None:
            signals += self._said_to_others(signals, policy)
        if facts.referrer is not None:
            signals += self._embedding_page(facts, facts.referrer, names, media_type)
        heard = self._named.hear(_now(named, facts), facts, party, found.may_ask)
        signals += heard.signals
        consulted |= heard.consulted
        if len(signals) > 1:
            signals.sort(key=self._canonical_order)
        return _Seen(tuple(signals), found, heard.missing, consulted, status, media_type, location)

    def _body(self, page: Page, names: frozenset[str], party: Party, policy: Policy) -> tuple[str, Linked]:
        """What was looked at in the body, and every statement in it. A page stays one, whatever it is called."""
        body, charset, media_type, (url, *_) = page
        read: list[str] = []
        signals: list[Signal] = []
        named: list[Named] = []
        asset = read_asset(body, media_type)
        if asset is not None:
            read.append(" ".join((asset.media_type or media_type, *dict.fromkeys(map(str, asset.kinds)))))
            signals += self._files.read(asset)
            for space in self._links.all_namespaces():
                for element, place in asset.elements(space):
                    signals += self._links.inline(element, place, url, party, page=True)
        if is_html(media_type, body) or (asset is not None and not asset.media_type and is_html("", body)):
            read.append("html")
            html = HtmlPage(body, charset)
            signals += read_html(html, self._looked_for(names), media_type)
            linked = self._links.in_page(html, url, party, strict=policy.profile == "strict")
            signals += linked.signals
            named += linked.named
        elif asset is None:
            signals += self._links.in_xml(body, url, party)
        if self._pages is not None and (read[-1:] == ["html"] or is_answer(page)):
            signals += self._pages.read(page)
        signals += self._files.read_records(body)
        return ", ".join(read) or "no statements in this format", Linked(signals, named)

    def _status(self, head: Head, signals: list[Signal]) -> StatusRow:
        """What the status means; adds the statement that it makes."""
        rows = self._rows.get(head.status)
        if rows is None:
            rows = self._rows[head.status] = tuple(
                (protocol, row)
                for protocol in self.protocols
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
        return [signal for protocol in self.protocols for signal in redirect_signals(protocol, hops)]

    def _looked_for(self, names: frozenset[str]) -> Wanted:
        """The metas that a page is searched for, by whoever asks."""
        wanted = self._wanted.get(names)
        if wanted is None:
            wanted = self._wanted[names] = look_for(self._metas, names, self._others)
        return wanted

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
        charset = _charset(answer.headers)
        signals = read_html(HtmlPage(answer.body, charset), self._looked_for(names), media_type, embedding=True)
        if self._pages is not None:
            signals += self._pages.read(Page(answer.body, charset, media_type, (referrer,)), embedding=True)
        return signals

    def _canonical_order(self, signal: Signal) -> tuple[object, ...]:
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


@lru_cache(maxsize=64)
def _with_house(tokens: Tokens) -> tuple[str, ...]:
    """The tokens that bind us, our own first, `HOUSE_TOKEN` among them."""
    named = (tokens,) if isinstance(tokens, str) else tokens
    return named if HOUSE_TOKEN.lower() in map(str.lower, named) else (*named, HOUSE_TOKEN)


def _plain(standings: Standings) -> dict[Category, Value]:
    return {category: standing.value for category, standing in standings.items()}


def _clashes(protocol: Protocol, file: str, read: Mapping[str, Protocol], files: Mapping[str, str]) -> Iterator[Fault]:
    """What is wrong with a protocol beside those that were read before it."""
    if protocol.id in read:
        yield Fault(file, 1, "id", f"another file has the id {protocol.id!r} already")
    if protocol.token_list and protocol.token_list not in files:
        yield Fault(file, 1, "token_list", f"there is no file {protocol.token_list!r} beside this one")
    paths = {path for other in read.values() for path in _paths(other)}
    for path in _paths(protocol):
        if path in paths:
            yield Fault(file, 1, "documents", f"another protocol reads {path!r} already")


def _paths(protocol: Protocol) -> Iterator[str]:
    for document in protocol.documents:
        yield from (document.path, *document.also_at)


def _party(policy: Policy) -> Party:
    """Who we are to a licensor, by the policy."""
    return Party(frozenset(policy.users), policy.country, policy.gives_attribution)


def _now(named: Iterable[Named], facts: Facts) -> list[Named]:
    """Each document once under each statement that names it; what the resource names, when it is there."""
    return [item for item in dict.fromkeys(named) if item.source != "body" or facts.body is not None]


def _want_named(policy: Policy, item: Missing) -> Wants:
    return Wants(
        what=Want.DOCUMENT,
        url=item.url,
        key=item.key,
        why=item.named.vocabulary.protocol.id,
        max_bytes=item.max_bytes,
        max_redirects=policy.limits.redirects,
        accept=item.accept,
    )


def _want_document(facts: Facts, policy: Policy, protocol: str, document: Document) -> Wants:
    return Wants(
        what=Want.DOCUMENT,
        url=f"{origin_of(facts.url)}{document.path}",
        key=document.path,
        why=protocol,
        max_bytes=document.max_bytes,
        max_redirects=policy.limits.redirects,
        accept=document.accept,
    )


def _want_page(facts: Facts, policy: Policy, stage: str) -> Wants:
    return Wants(
        what=Want.HEAD if stage == "origin" else Want.BODY,
        url=facts.url,
        max_bytes=policy.limits.page_bytes,
        max_redirects=0,
        accept=",".join(policy.media_types),
    )


def _location(url: str, head: Head) -> str:
    """Absolute URL that a redirect names, "" when it names none that can be asked for."""
    value = first(head.headers, "location")
    if value is None or not 300 <= head.status < 400:  # noqa: PLR2004 the 3xx class
        return ""
    try:
        return canonical_url(value.encode("latin-1").decode("utf-8", "replace").strip(), url)
    except (UrlError, UnicodeError):
        return ""


def _charset(headers: Iterable[Header]) -> str:
    """The charset that Content-Type names, "" when it names none."""
    match = _CHARSET.search(first(headers, "content-type") or "")
    return match[1] if match else ""


def _referring_answer(facts: Facts, referrer: str) -> Answer | None:
    """The page that embeds this one, among the documents: by its path on the same origin, else by its URL."""
    try:
        here, there = str(origin_of(facts.url)), str(origin_of(referrer))
    except UrlError:
        return None
    if here == there and (answer := facts.documents.get(referrer[len(there) :] or "/")) is not None:
        return answer
    return facts.documents.get(referrer)
