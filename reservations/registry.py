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

from reservations.access.head import retry_after_s
from reservations.access.reviews import Reviews
from reservations.access.tables import PAGE_TABLES, table_faults
from reservations.datafile import DefinitionError, Fault
from reservations.decide import (
    DECIDING,
    REPORTED,
    TEASER,
    Case,
    Outcome,
    Standings,
    by_the_letter,
    combine,
    decide,
    licensable,
    open_purposes,
)
from reservations.declarations import DECLARATIONS, with_declarations
from reservations.definition import Document, Protocol, digest_of, load_protocol
from reservations.grants import licensed_purposes
from reservations.model import Category, Decision, Facts, Signal, Value, Verdict, Want, Wants
from reservations.named import Missing, Named
from reservations.policy import Policy
from reservations.readers.tokens import TokenList
from reservations.sight import Seen, Sight
from reservations.urls import origin_of

#: A group for this token binds whatever token the operator chose.
HOUSE_TOKEN: Final = "KnockfirstBot"

#: Outcomes that documents named by the resource can still change.
_GOING_ON: Final = frozenset({Verdict.KEPT, Verdict.UNCHANGED})
_TOKEN_LIST: Final = re.compile(r'^token_list = "([^"]+)"', re.MULTILINE)

#: Our product token, or several that bind us, our own first.
Tokens = str | tuple[str, ...]


class Values(NamedTuple):
    """A value per category, by the letter and after careful handling."""

    strict: dict[Category, Value]
    effective: dict[Category, Value]


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
        reviews: Reviews | None = None,
    ) -> None:
        ordered = sorted(protocols, key=lambda protocol: (protocol.order, protocol.id))
        listed = dict(token_lists)
        self.protocols = tuple(ordered)
        self._by_id = {protocol.id: protocol for protocol in ordered}
        self.digest = digest
        self._tables = (listed, page_tables or {}, reviews or Reviews())
        self._sight = Sight(self.protocols, *self._tables)
        self.documents: tuple[Document, ...] = self._sight.documents
        described = [reason for protocol in ordered for reason in protocol.reasons]
        described += [reason for tokens in listed.values() for reason in tokens.reasons]
        self.reasons = {reason.code: reason.text for reason in described}
        self._unread = {reason.code: reason.unread for reason in described if reason.unread}

    @classmethod
    def load(cls, protocols: Mapping[str, str], reviews: str = "") -> Registry:
        """Reads protocol files, given by file name, and what people decided on sites.

        Raises:
            DefinitionError: all faults of all files.
        """
        faults: list[Fault] = []
        read: dict[str, Protocol] = {}
        lists: dict[str, TokenList] = {}
        listed = {match[1] for text in protocols.values() for match in _TOKEN_LIST.finditer(text)}
        page_tables = {file: text for file, text in protocols.items() if file.startswith(PAGE_TABLES)}
        declarations = {file: text for file, text in protocols.items() if file.startswith(DECLARATIONS)}
        for file in sorted(protocols.keys() - page_tables.keys() - declarations.keys()):
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
        read, wrong = with_declarations(read, declarations)
        faults.extend(wrong)
        try:
            decided = Reviews.from_toml(reviews)
        except DefinitionError as error:
            faults.extend(error.faults)
        if faults:
            raise DefinitionError(faults)
        return cls(read.values(), lists, digest_of(protocols), page_tables, decided)

    def declaring(self, files: Mapping[str, str]) -> Registry:
        """The same protocols with files of declarations on works, by name, beside their own.

        Raises:
            DefinitionError: all faults of the files.
        """
        extended, faults = with_declarations(self._by_id, files)
        if faults:
            raise DefinitionError(faults)
        lists, page_tables, reviews = self._tables
        return Registry(extended.values(), lists, digest_of({**files, "": self.digest}), page_tables, reviews)

    def examine(self, facts: Facts, policy: Policy, token: Tokens) -> Decision | Wants:
        """What follows from the facts, or what is wanted next: the origin's files, then the head, then the body."""
        seen = self._sight.see(facts, policy, _with_house(token))
        stage = "origin" if facts.head is None else "head" if facts.body is None else "body"
        case = self._case(facts, policy, seen, seen.signals, stage)
        outcome = decide(case)
        wanted = self._documents_wanted(facts, policy, seen, outcome, stage)
        if wanted:
            return msgspec.structs.replace(wanted[0], beside=wanted[1:])
        if outcome is None:
            return _want_page(facts, policy, stage)
        return self._decision(facts, policy, seen, outcome, case)

    def _documents_wanted(
        self, facts: Facts, policy: Policy, seen: Seen, outcome: Outcome | None, stage: str
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

    def _may_lift(self, facts: Facts, policy: Policy, seen: Seen, named: Named, stage: str) -> bool:
        """Whether nothing but the protocol of a policy closes the case."""
        others = tuple(item for item in seen.signals if item.protocol != named.vocabulary.protocol.id)
        outcome = decide(self._case(facts, policy, seen, others, stage))
        return outcome is None or outcome.verdict in _GOING_ON

    def conclude(
        self, facts: Facts, policy: Policy, token: Tokens, *, recorded: Iterable[Signal], stage: str
    ) -> Decision | None:
        """The decision at a stage of which not all bytes are left: on what the facts show and statements as recorded.

        None when that stage decides nothing yet. `consulted` names only what was read now.
        """
        seen = self._sight.see(facts, policy, _with_house(token))
        added = [signal for signal in recorded if signal not in seen.signals]
        seen = seen._replace(signals=tuple(sorted((*seen.signals, *added), key=self._sight.canonical_order)))
        case = self._case(facts, policy, seen, seen.signals, stage)
        outcome = decide(case)
        if outcome is None:
            return None
        return self._decision(facts, policy, seen, outcome, case)

    def values(self, facts: Facts, policy: Policy, token: Tokens, protocols: Iterable[str] | None = None) -> Values:
        """The result of the protocols named, by themselves; of all together when none is named."""
        signals = self.signals(facts, policy, token)
        if protocols is not None:
            named = frozenset(protocols)
            signals = tuple(signal for signal in signals if signal.protocol in named)
        return self._values(signals, policy)

    def standings(self, facts: Facts, policy: Policy, token: Tokens) -> Standings:
        """The value in force per category, each with the statement it comes from."""
        return combine(self._by_id, self.signals(facts, policy, token), DECIDING[policy.profile])

    def signals(self, facts: Facts, policy: Policy, token: Tokens) -> tuple[Signal, ...]:
        """Every statement in the facts, in canonical order."""
        return self._sight.see(facts, policy, _with_house(token)).signals

    def teaser(self, facts: Facts) -> str:
        """Of a page that closes a part of itself and says which: the words outside of it; "" of any other."""
        return self._sight.teaser(facts)

    def crawl_delay_s(self, facts: Facts, token: Tokens) -> float:
        """The Crawl-delay that the origin's robots.txt asks of us, in seconds; 0 when it asks for none."""
        robots = self._sight.robots(facts)
        return (robots.crawl_delay(_with_house(token)) or 0.0) if robots is not None else 0.0

    def sitemaps(self, facts: Facts) -> tuple[str, ...]:
        """The sitemaps that the origin's robots.txt names, as written."""
        robots = self._sight.robots(facts)
        return robots.sitemaps if robots is not None else ()

    def _case(self, facts: Facts, policy: Policy, seen: Seen, signals: tuple[Signal, ...], stage: str) -> Case:
        """All that a verdict depends on, as far as a stage."""
        values = DECIDING[policy.profile]
        licensed = licensed_purposes(facts, policy)
        return Case(
            stage=stage,
            standings=combine(self._by_id, signals, values),
            unread=self._unread,
            status=seen.status,
            policy=policy,
            attempt=facts.attempt,
            failure=facts.failure or "",
            location=seen.location,
            media_type=seen.media_type,
            repeats=facts.repeats is not None,
            licensed=licensed,
            lifted=combine(self._by_id, signals, licensable(self._by_id, values)) if licensed else {},
            partial=any(signal.reason == TEASER for signal in signals),
        )

    def _values(self, signals: tuple[Signal, ...], policy: Policy, reported: Standings | None = None) -> Values:
        """`reported`: what is reported as effective, where that is known already."""
        if reported is None:
            reported = combine(self._by_id, signals, REPORTED[policy.profile])
        return Values(_plain(combine(self._by_id, signals, by_the_letter)), _plain(reported))

    def _decision(self, facts: Facts, policy: Policy, seen: Seen, outcome: Outcome, case: Case) -> Decision:
        decides = REPORTED[policy.profile] is DECIDING[policy.profile]
        values = self._values(seen.signals, policy, case.standings if decides else None)
        wait = 0
        if outcome.verdict is Verdict.DEFERRED:
            wait = seen.found.retry_after_s if facts.head is None else retry_after_s(facts.head.headers)
        return Decision(
            verdict=outcome.verdict,
            reason=outcome.reason,
            gate=outcome.gate,
            strict=values.strict,
            effective=values.effective,
            open=open_purposes(case),
            signals=seen.signals,
            consulted=seen.consulted,
            retry_after_s=wait,
            location=seen.location if outcome.verdict is Verdict.REDIRECTED else None,
        )


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
