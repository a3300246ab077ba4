"""One leased URL on its way through the house, from the claim to its last word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from scrapy import Request
from scrapy.exceptions import IgnoreRequest

from crawler.archive import Fetched
from crawler.frontier.errand import Errand
from crawler.frontier.interface import Found, Lease
from crawler.origins import Known
from provenance.entry import DecisionEntry, Pointer
from provenance.rules import Rules
from reservations.model import Decision, Facts, Wants

_DAY_MS: Final = 86_400_000


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """How the door answered for one URL: the decision, where it is logged, where the bytes are.

    Attributes:
        url: the URL asked for.
        decision: what was decided, and why.
        seq: index of its entry in the decision log.
        warc: the records written.
        fetched: the exchange; None when nothing was sent or no head came.
        media_type: of the resource, without parameters.
        crawl_delay_s: the Crawl-delay that the origin's robots.txt asks for.
        remember: of a kept payload, its key and what later revisits refer to.
    """

    url: str
    decision: Decision
    seq: int
    warc: tuple[Pointer, ...]
    fetched: Fetched | None
    media_type: str = ""
    crawl_delay_s: float = 0.0
    remember: tuple[bytes, bytes] | None = None


class NotKeptError(IgnoreRequest):
    """The page was not kept; `passage` says why. Scrapy takes it for an ignored request and calls the errback."""

    def __init__(self, passage: Passage) -> None:
        self.passage = passage
        super().__init__(f"{passage.decision.verdict}: {passage.decision.reason} <{passage.url}>")


class Foreseen(msgspec.Struct, frozen=True):
    """What the rules wanted of these facts when the origin had been heard: as good an answer to the same facts."""

    rules: Rules
    facts: Facts
    wants: Wants

    def holds(self, rules: Rules, facts: Facts) -> bool:
        """Whether the question is the same: rules, facts, and the day, as of which dates in rules are read."""
        same_day = facts.at // _DAY_MS == self.facts.at // _DAY_MS
        return rules is self.rules and same_day and msgspec.structs.replace(facts, at=self.facts.at) == self.facts


class Visit:
    """A lease and what has become of it so far.

    Attributes:
        lease: the right to ask for the URL.
        errand: how the URL was found.
        request: what Scrapy carries out for it.
        passage: set when the door has answered and the entry is durable.
        children: URLs found on the page.
        known: what the origin answered, where that decided already before the page was asked for.
        foreseen: what the rules want next, where the origin left it open.
        host_free_at: when the authority may be asked again because its own files were asked for on this visit, in
            seconds since 1970; 0 when they were not.
        supersedes: an earlier final entry on the URL whose links a crash lost, or None.
        due: of a lease that goes on after a crash, when its host may be asked again (seconds since 1970); else None.
    """

    def __init__(self, lease: Lease, errand: Errand) -> None:
        self.lease, self.errand = lease, errand
        self.request: Request | None = None
        self.errback: Callable[..., Any] | None = None
        self.passage: Passage | None = None
        self.children: list[Found] = []
        self.known: dict[str, Known] = {}
        self.foreseen: Foreseen | None = None
        self.host_free_at = 0.0
        self.supersedes: DecisionEntry | None = None
        self.due: float | None = None
        self.items_out = 0
        self.output_done = False
        self.ending = False

    def once_more(self) -> Visit:
        """A further attempt at the same URL under the same lease."""
        again = Visit(msgspec.structs.replace(self.lease, attempt=self.lease.attempt + 1), self.errand)
        again.supersedes = self.supersedes
        return again
