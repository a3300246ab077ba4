"""Signals and a policy in, a verdict with its reason out: a table of precedence, and no protocol's name anywhere.

Inside a protocol its own precedence holds; across protocols the most restrictive value wins. A use is open when neither
it nor an ancestor is denied, conditional without a licence, or undeterminable. CDSM Art. 4(3): one reservation is
enough, and a second, milder statement elsewhere does not cure it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Final, NamedTuple

from reservations.definition import CLOSING, Protocol, StatusRow
from reservations.model import PARENT, RESTRICTIVENESS, Category, Signal, Value, Verdict
from reservations.policy import Policy

Standings = dict[Category, "Standing"]


class Standing(NamedTuple):
    """The value that stands for a category, and the statement it comes from."""

    value: Value
    signal: Signal


class Case(NamedTuple):
    """All that a verdict depends on.

    Attributes:
        stage: "origin" before the request, "head" before the body, "body" with it.
        standings: the value in force per category, under the policy's profile.
        licensed: uses for which the operator holds a licence; lifted: what stands when it is applied.
        unread: reason code to its row of `UNREAD`.
        status: what the status means, None before the head.
        failure: why the exchange broke, "" when it did not.
        location: absolute URL of a redirect's target, "" when there is none.
        media_type: of the answer; repeats: the payload was kept before.
        partial: of the page only what it leaves open may be kept.
    """

    stage: str
    standings: Standings
    unread: Mapping[str, str]
    status: StatusRow | None
    policy: Policy
    attempt: int
    failure: str
    location: str
    media_type: str
    repeats: bool
    licensed: frozenset[Category] = frozenset()
    lifted: Mapping[Category, Standing] = MappingProxyType({})
    partial: bool = False

    def closing(self, purpose: Category) -> Standing | None:
        """The statement that closes a declared use, None when it is open."""
        return closing(self.lifted if purpose in self.licensed else self.standings, purpose)


class Outcome(NamedTuple):
    """A verdict and its reason code; `gate` is the step that decided."""

    verdict: Verdict
    reason: str
    gate: str


#: Reason of a page of which only the words that it leaves open are kept.
TEASER: Final = "access.teaser"

#: Carrier of what a policy says that a refusal names: its terms, which count only for that refusal.
TERMS: Final = "terms"

#: What a closed case becomes, by how far it got.
CLOSED: Final[Mapping[str, Verdict]] = {
    "origin": Verdict.REFUSED,
    "head": Verdict.ABORTED,
    "body": Verdict.DISCARDED,
}

#: What becomes of what could not be read: while tries remain, and after the last. REFUSED stands for `CLOSED`. There is
#: no row for `letter` where the letter says nothing: the value is then not among those in force.
UNREAD: Final[Mapping[tuple[str, str], tuple[Verdict, Verdict]]] = {
    ("robots", "strict"): (Verdict.DEFERRED, Verdict.REFUSED),
    ("robots", "standard"): (Verdict.DEFERRED, Verdict.REFUSED),
    ("robots", "letter"): (Verdict.DEFERRED, Verdict.REFUSED),
    ("reservation-file", "strict"): (Verdict.REFUSED, Verdict.REFUSED),
    ("reservation-file", "standard"): (Verdict.DEFERRED, Verdict.HELD),
    ("announced", "strict"): (Verdict.REFUSED, Verdict.REFUSED),
    ("announced", "standard"): (Verdict.HELD, Verdict.HELD),
    ("asset", "strict"): (Verdict.REFUSED, Verdict.REFUSED),
    ("asset", "standard"): (Verdict.HELD, Verdict.HELD),
}

#: How a broken exchange ends: while tries remain, and after the last.
TRANSFER: Final[Mapping[str, tuple[Verdict, Verdict, str]]] = {
    **{
        word: (Verdict.DEFERRED, Verdict.FAILED, f"transfer.{word}")
        for word in ("timeout", "reset", "dns", "tls", "incomplete", "protocol")
    },
    **{word: (Verdict.FAILED, Verdict.FAILED, f"transfer.{word}") for word in ("too-large", "inflation", "encoding")},
    "address": (Verdict.REFUSED, Verdict.REFUSED, "address.forbidden"),
    "blocklisted": (Verdict.REFUSED, Verdict.REFUSED, "blocklist.listed"),
    "interrupted": (Verdict.FAILED, Verdict.FAILED, "crawl.interrupted"),
}


def resolve(protocol: Protocol, stated: Iterable[tuple[Signal, Mapping[Category, Value]]]) -> Standings:
    """One protocol's value per category: its own precedence, then the most restrictive.

    A refusal that comes with conditions is conditional; where its terms could be read, it is what they say.
    """
    terms: list[tuple[Signal, Mapping[Category, Value]]] = []
    conditional = False
    standings: Standings = {}
    for signal, values in stated:
        if signal.carrier == TERMS:
            terms.append((signal, values))
            continue
        conditional = conditional or is_condition(signal)
        for category, value in values.items():
            held = standings.get(category)
            if held is None or _outdoes(protocol.supersedes, (signal, value), held):
                standings[category] = Standing(value, signal)
    if conditional:
        for category, (value, signal) in standings.items():
            if value is Value.DENY:
                standings[category] = _on_terms(category, signal, terms)
    return standings


def _on_terms(
    category: Category, refusal: Signal, terms: Iterable[tuple[Signal, Mapping[Category, Value]]]
) -> Standing:
    """What a refusal with conditions comes to: the least that any of its terms allows, else conditional."""
    said = [Standing(values[category], signal) for signal, values in terms if category in values]
    return min(said, key=lambda one: RESTRICTIVENESS[one.value], default=Standing(Value.CONDITIONAL, refusal))


def _outdoes(supersedes: Sequence[str], new: tuple[Signal, Value], held: Standing) -> bool:
    """Whether a statement takes the place of the one held. Equal ones do not: the first in canonical order stays."""
    newer, older = _rank(supersedes, new[0].carrier), _rank(supersedes, held.signal.carrier)
    if newer != older:
        return newer > older
    return RESTRICTIVENESS[new[1]] < RESTRICTIVENESS[held.value]


def _rank(supersedes: Sequence[str], carrier: str) -> int:
    return supersedes.index(carrier) if carrier in supersedes else -1


def is_condition(signal: Signal) -> bool:
    """Whether a statement only names a condition: the terms of a refusal that stands elsewhere."""
    silent = not (signal.strict or signal.effective or signal.vendor)
    return silent and bool(signal.conditions) and signal.addressed_to != "others"


def by_the_letter(signal: Signal) -> Mapping[Category, Value]:
    """What a statement says strictly."""
    return signal.strict


def in_effect(signal: Signal) -> Mapping[Category, Value]:
    """What a statement says after careful handling."""
    return signal.effective


def with_vendors(signal: Signal) -> Mapping[Category, Value]:
    """The same, with what only a vendor's reading of it adds; a category keeps its more restrictive value."""
    if not signal.vendor:
        return signal.effective
    values = dict(signal.effective)
    for category, value in signal.vendor.items():
        if category not in values or RESTRICTIVENESS[value] < RESTRICTIVENESS[values[category]]:
            values[category] = value
    return values


#: Which values of a statement decide, and which are reported as effective, by profile.
DECIDING: Final = {"strict": with_vendors, "standard": in_effect, "letter": by_the_letter}
REPORTED: Final = {"strict": with_vendors, "standard": in_effect, "letter": in_effect}


def combine(
    protocols: Mapping[str, Protocol],
    signals: Sequence[Signal],
    values: Callable[[Signal], Mapping[Category, Value]],
) -> Standings:
    """The value per category over all protocols. `signals` are in canonical order; the first of equals is named."""
    groups: dict[str, list[Signal]] = {}
    for signal in signals:
        groups.setdefault(signal.protocol, []).append(signal)
    combined: Standings = {}
    for name, group in groups.items():
        stated = [(signal, said) for signal in group if (said := values(signal)) or signal.conditions]
        for category, standing in resolve(protocols[name], stated).items() if stated else ():
            held = combined.get(category)
            if held is None or RESTRICTIVENESS[standing.value] < RESTRICTIVENESS[held.value]:
                combined[category] = standing
    return combined


@cache
def line_of(category: Category) -> tuple[Category, ...]:
    """A category and its ancestors, the root first."""
    line: tuple[Category, ...] = (category,)
    while line[0] in PARENT:
        line = (PARENT[line[0]], *line)
    return line


def licensable(
    protocols: Mapping[str, Protocol], values: Callable[[Signal], Mapping[Category, Value]]
) -> Callable[[Signal], Mapping[Category, Value]]:
    """The values of a statement under a licence: without what a licence lifts."""

    def kept(signal: Signal) -> Mapping[Category, Value]:
        said = values(signal)
        if not protocols[signal.protocol].licensable:
            return said
        return {category: value for category, value in said.items() if value not in CLOSING}

    return kept


def closing(standings: Mapping[Category, Standing], category: Category) -> Standing | None:
    """The statement that closes a category: a refusal before what is undeterminable, the root first."""
    found = [standings[item] for item in line_of(category) if item in standings] if standings else ()
    for standing in found:
        if standing.value in CLOSING:
            return standing
    return next((standing for standing in found if standing.value is Value.UNDETERMINABLE), None)


def open_purposes(case: Case) -> tuple[Category, ...]:
    """The declared uses that nothing closes, in the policy's order."""
    return tuple(purpose for purpose in case.policy.purposes if case.closing(purpose) is None)


def decide(case: Case) -> Outcome | None:
    """The verdict of the first row of `PRECEDENCE` that has one; None when the next stage must be looked at."""
    for row in PRECEDENCE:
        outcome = row(case)
        if outcome is not None:
            return outcome
    return None


def _tries_remain(case: Case) -> bool:
    return case.attempt < case.policy.tries


def _crawl_refused(case: Case) -> Outcome | None:
    """Access itself is refused, before anything that the status says besides."""
    standing = case.standings.get(Category.CRAWL)
    if standing is None or standing.value not in CLOSING:
        return None
    return Outcome(CLOSED[case.stage], standing.signal.reason, case.stage)


#: What a challenge may be written in.
_PAGES: Final = ("", "text/html", "application/xhtml+xml", "application/json")


def _status_is_final(case: Case) -> Outcome | None:
    """The status says that there is no page to speak of."""
    if case.status is None or case.status.outcome not in ("absent", "deferred", "failed"):
        return None
    verdict = Verdict(case.status.outcome)
    if verdict is Verdict.DEFERRED and case.stage != "body" and not case.failure and case.media_type in _PAGES:
        return None  # whoever comes back to a challenge tries a denied door again: it is looked at first
    if verdict is Verdict.DEFERRED and not _tries_remain(case):
        verdict = Verdict.FAILED
    return Outcome(verdict, case.status.reason, "head")


def _no_use_open(case: Case) -> Outcome | None:
    """Every declared use is closed. One that might still open when more can be read keeps the case from being final."""
    standings = [case.closing(purpose) for purpose in case.policy.purposes]
    closed = [standing for standing in standings if standing is not None]
    if len(closed) < len(standings):
        return None
    unread = next((standing for standing in closed if standing.value is Value.UNDETERMINABLE), None)
    if unread is None:
        return Outcome(CLOSED[case.stage], closed[0].signal.reason, case.stage)
    row = case.unread.get(unread.signal.reason, "announced")
    passing, final = UNREAD.get((row, case.policy.profile), (Verdict.HELD, Verdict.HELD))
    verdict = passing if _tries_remain(case) else final
    return Outcome(CLOSED[case.stage] if verdict is Verdict.REFUSED else verdict, unread.signal.reason, case.stage)


def _moved(case: Case) -> Outcome | None:
    """A redirect to a URL of its own, or no news."""
    if case.status is None or case.status.outcome not in ("redirected", "unchanged"):
        return None
    if case.status.outcome == "redirected" and not case.location:
        return Outcome(Verdict.FAILED, "http.unexpected-status", "head")
    return Outcome(Verdict(case.status.outcome), case.status.reason, "head")


def _exchange_broke(case: Case) -> Outcome | None:
    """No usable answer came."""
    if not case.failure:
        return None
    passing, final, reason = TRANSFER.get(case.failure, TRANSFER["protocol"])
    return Outcome(passing if _tries_remain(case) else final, reason, "transfer")


def _type_not_wanted(case: Case) -> Outcome | None:
    """The head says a media type that was not asked for."""
    if case.status is None or case.policy.wants_media_type(case.media_type):
        return None
    return Outcome(CLOSED[case.stage], "scope.media-type", case.stage)


def _whole(case: Case) -> Outcome | None:
    """Everything was looked at and a use is open."""
    if case.stage != "body":
        return None
    if case.partial:
        return Outcome(Verdict.KEPT, TEASER, "body")
    if case.repeats:
        return Outcome(Verdict.UNCHANGED, "payload.identical", "body")
    return Outcome(Verdict.KEPT, "policy.open", "body")


#: What is asked first decides first.
PRECEDENCE: Final[tuple[Callable[[Case], Outcome | None], ...]] = (
    _crawl_refused,
    _status_is_final,
    _no_use_open,
    _moved,
    _exchange_broke,
    _type_not_wanted,
    _whole,
)
