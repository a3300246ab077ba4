"""What people decided on sites that could not be judged by rule: `open` or `closed`, by whom, why, and until when.

A decision settles one reason code on the site it names, and nothing else: it turns what is undeterminable there into
nothing said, or refuses the site. It never lifts a refusal or a condition. Expired decisions say nothing.
Signed statements of the sites' operators stand in the same file and count as `open`; staff's `closed` outranks them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec

from reservations.access.statements import SETTLES, Filed, open_statement
from reservations.datafile import Day, DefinitionError, Fault, Source
from reservations.model import Category, Facts, Signal, Value
from reservations.signed_note import NoteError
from reservations.statement import Place, Reading, Vocabulary
from reservations.urls import UrlError, origin_of

#: Where the decisions lie in an operator's folder.
REVIEWS_FILE: Final = "reviews/sites.toml"
#: After this a site has to be looked at again.
MOST_DAYS: Final = 366

_LABEL: Final = "page"


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Common options of all tables in the file."""


class SiteReview(_Table, frozen=True, kw_only=True):
    """One decision.

    Attributes:
        host: exactly this one, in lower case, as A-labels.
        path: only URLs at or below it.
        reason: the reason code that it settles.
        finding: "open": there is no such restriction; "closed": there is, and the site is refused.
        by: who decided; why: in words.
        decided, expires: first and last day on which it counts.
        evidence: the log and the entry that were looked at.
    """

    host: str
    path: Annotated[str, msgspec.Meta(pattern=r"^/\S*$")] = "/"
    reason: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]+\.[a-z0-9-]+$")]
    finding: Literal["open", "closed"]
    by: Annotated[str, msgspec.Meta(min_length=1)]
    why: Annotated[str, msgspec.Meta(min_length=10)]
    decided: Day
    expires: Day
    evidence: Annotated[str, msgspec.Meta(min_length=1)]

    def covers(self, path: str, day: str) -> bool:
        """Whether it counts for a path of its host on a day."""
        below = self.path if self.path.endswith("/") else self.path + "/"
        return self.decided <= day <= self.expires and (path == self.path or path.startswith(below))


class _File(_Table, frozen=True, kw_only=True):
    sites: tuple[SiteReview, ...] = ()
    statements: tuple[Filed, ...] = ()


class Reviews:
    """The decisions in force.

    Attributes:
        sites: of each site, path and reason the last one in the file, those above it being its history; then what
            operators of sites stated.
    """

    def __init__(self, sites: Iterable[SiteReview] = (), stated: Iterable[SiteReview] = ()) -> None:
        self.sites = (*{(site.host, site.path, site.reason): site for site in sites}.values(), *stated)
        self._by_host: dict[str, list[SiteReview]] = {}
        for site in self.sites:
            self._by_host.setdefault(site.host, []).append(site)

    @classmethod
    def from_toml(cls, text: str, *, file: str = REVIEWS_FILE) -> Reviews:
        """Reads the file and checks all signatures in it; raises DefinitionError with all faults.

        An empty text holds no decisions.
        """
        source = Source(text, file)
        read = source.read(_File)
        faults = [
            source.fault(("sites", at, key), problem)
            for at, site in enumerate(read.sites)
            for key, problem in _contradictions(site)
        ]
        stated: list[SiteReview] = []
        for at, filed in enumerate(read.statements):
            try:
                stated.append(stated_review(filed))
            except NoteError as error:
                faults.append(source.fault(("statements", at, "note"), f"the statement does not count: {error}"))
        if faults:
            raise DefinitionError(faults)
        return cls(read.sites, stated)

    def settle(self, facts: Facts, signals: list[Signal], speaker: Vocabulary | None) -> list[Signal]:
        """The statements, those that a person has settled for this site without what they left unknown."""
        if not self._by_host or speaker is None:
            return signals
        parts = urlsplit(facts.url)
        listed = self._by_host.get(parts.hostname or "", ())
        day = datetime.fromtimestamp(facts.at / 1000, UTC).date().isoformat()
        in_force = [site for site in listed if site.covers(parts.path or "/", day)]
        settled = list(signals)
        for site in in_force:
            if site.finding == "closed":
                settled.extend(_told(site, "refused-by-review", "url", speaker))
                continue
            doubts = {signal.source: signal for signal in signals if signal.reason == site.reason and _doubts(signal)}
            settled = [_without_doubt(signal) if signal.reason == site.reason else signal for signal in settled]
            for where in sorted(doubts):
                settled.extend(_told(site, "settled", where, speaker))
        return settled


def stated_review(filed: Filed) -> SiteReview:
    """What the operator of a site signed, as a decision on that site.

    Raises:
        NoteError: it does not count, and why: its signature, its key, its site, or what it says.
    """
    try:
        statement = open_statement(filed)
    except DefinitionError as error:
        raise NoteError("; ".join(str(fault) for fault in error.faults)) from error
    review = SiteReview(
        host=statement.site,
        path=statement.path,
        reason=SETTLES,
        finding=statement.says,
        by=f"the site itself (signed by {filed.signer}; key from {filed.key_from}; filed by {filed.by})",
        why=statement.because,
        decided=statement.date,
        expires=statement.expires,
        evidence=f"note signed by {filed.key}",
    )
    problems = [f"{key}: {problem}" for key, problem in _contradictions(review)]
    if problems:
        raise NoteError("; ".join(problems))
    return review


def review_faults(text: str, file: str) -> tuple[Fault, ...]:
    """What is wrong with the file."""
    try:
        Reviews.from_toml(text, file=file)
    except DefinitionError as error:
        return error.faults
    return ()


def _told(site: SiteReview, value: str, source: str, speaker: Vocabulary) -> Iterator[Signal]:
    """The decision itself, as a statement."""
    text = f"{site.finding}, by {site.by} on {site.decided}, until {site.expires}: {site.why}"
    place = Place("review", source, f"{site.reason} on {site.host}{site.path}", text)
    signal = speaker.signal(Reading(_LABEL, value), place)
    if signal is not None:
        yield signal


def _doubts(signal: Signal) -> bool:
    return Value.UNDETERMINABLE in (*signal.strict.values(), *signal.effective.values(), *signal.vendor.values())


def _without_doubt(signal: Signal) -> Signal:
    if not _doubts(signal):
        return signal
    strict, effective, vendor = map(_known, (signal.strict, signal.effective, signal.vendor))
    issues = (*signal.issues, "reviewed")
    return msgspec.structs.replace(signal, strict=strict, effective=effective, vendor=vendor, issues=issues)


def _known(values: dict[Category, Value]) -> dict[Category, Value]:
    return {category: value for category, value in values.items() if value is not Value.UNDETERMINABLE}


def _contradictions(site: SiteReview) -> Iterator[tuple[str, str]]:
    """What the types cannot say, by key."""
    try:
        canonical = origin_of(f"https://{site.host}/").host
    except UrlError:
        canonical = ""
    if canonical != site.host:
        wanted = f"; write {canonical}" if canonical else ""
        yield "host", f"{site.host!r} is no host name in lower case without port{wanted}"
    try:
        days = (date.fromisoformat(site.expires) - date.fromisoformat(site.decided)).days
    except ValueError:
        yield "expires", "first and last day must be days of the calendar"
        return
    if not 0 <= days <= MOST_DAYS:
        yield "expires", f"must be within {MOST_DAYS} days after decided: sites change"
