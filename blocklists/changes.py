"""What differs between two lists, what is due, and what a list is made of, in numbers."""

from __future__ import annotations

import datetime as dt
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from blocklists.decisions import Book
from blocklists.match import Line
from blocklists.model import ENFORCED, Entry, Exemption, ListingDecision, Status, entry_id
from blocklists.objections import CONFIRM_DAYS


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One entry that differs.

    Attributes:
        what: "added", "removed" (from what is kept out), or "changed".
        entry: its id.
        tier: of its decision.
        fields: what differs, old and new.
        rank: its place among frequently visited sites, 0 when it has none.
    """

    what: str
    entry: str
    tier: int
    fields: dict[str, tuple[str, str]] = {}
    rank: int = 0


class Review(NamedTuple):
    """Something that somebody has to look at by a day."""

    day: dt.date
    what: str
    where: str


def id_of(entry: Entry) -> str:
    """The stable id of an entry."""
    return entry_id(entry.decision, entry.host, entry.match, entry.path)


def diff(old: Iterable[Line], new: Iterable[Line], ranks: Mapping[str, int]) -> list[Change]:
    """What a reviewer wants to see: names that come in, that go out, and what changed on those that stay."""
    before, after = _entries(old), _entries(new)
    tiers = {one.id: one.tier for one in [*old, *new] if isinstance(one, ListingDecision)}
    changes: list[Change] = []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        was_in, is_in = _in(was), _in(now)
        one = now or was
        assert one is not None  # noqa: S101  (the name came from one of the two)
        fields = _fields(was, now) if was and now else {}
        if was_in == is_in and not fields and (was is None) == (now is None):
            continue
        what = "added" if is_in and not was_in else "removed" if was_in and not is_in else "changed"
        rank = ranks.get(one.host, 0)
        changes.append(Change(what=what, entry=name, tier=tiers[one.decision], fields=fields, rank=rank))
    return changes


def due(book: Book, until: dt.date) -> Iterator[Review]:
    """Reviews, terms and exemptions that are due by a day, the most urgent first."""
    found: list[Review] = []
    for placed in book.decisions:
        decision = placed.decision
        if decision is None:
            continue
        live = [row.entry for row in placed.entries if row.entry.status in ENFORCED]
        where = placed.place.file
        if live and decision.review_by <= until:
            found.append(Review(decision.review_by, f"review {len(live)} names of {decision.id}", where))
        if live and decision.in_force_until and decision.in_force_until <= until:
            found.append(Review(decision.in_force_until, f"the term of {decision.id} ends", where))
        proposed = [row.entry.added for row in placed.entries if row.entry.status is Status.PROPOSED]
        if proposed:
            found.append(Review(min(proposed), f"approve or remove {len(proposed)} names of {decision.id}", where))
        for row in placed.entries:
            if row.entry.status is Status.SUSPENDED and row.entry.changed_on is not None:
                day = row.entry.changed_on + dt.timedelta(days=CONFIRM_DAYS)
                found.append(Review(day, f"decide on {row.entry.host}, which is suspended", where))
    for one in book.exemptions:
        if one.exemption.until <= until:
            what = f"the exception for {one.exemption.host} ends"
            found.append(Review(one.exemption.until, what, one.place.file))
    yield from sorted(found)


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """A list in numbers, for reports.

    Attributes:
        by_status: entries by status.
        by_tier: entries in force by tier.
        decisions: number of decisions.
        exemptions: number of exemptions.
        overrides: entries that name something to be careful with, with a reason.
        verified_days: median age of the last look at entries in force, in days; None without any.
        overdue: ids of decisions whose review is late.
    """

    by_status: dict[str, int]
    by_tier: dict[int, int]
    decisions: int
    exemptions: int
    overrides: int
    verified_days: int | None
    overdue: tuple[str, ...]


def numbers(lines: Iterable[Line], today: dt.date) -> Numbers:
    """The numbers of a compiled list."""
    kept = list(lines)
    decisions = {one.id: one for one in kept if isinstance(one, ListingDecision)}
    entries = [one for one in kept if isinstance(one, Entry)]
    live = [one for one in entries if one.status in ENFORCED and not decisions[one.decision].lapsed(today)]
    ages = [(today - one.verified_on).days for one in live if one.verified_on is not None]
    return Numbers(
        by_status=dict(sorted(Counter(str(one.status) for one in entries).items())),
        by_tier=dict(sorted(Counter(decisions[one.decision].tier for one in live).items())),
        decisions=len(decisions),
        exemptions=sum(isinstance(one, Exemption) for one in kept),
        overrides=sum(bool(one.override) for one in live),
        verified_days=round(statistics.median(ages)) if ages else None,
        overdue=tuple(sorted({one.decision for one in live if decisions[one.decision].review_by < today})),
    )


def _entries(lines: Iterable[Line]) -> dict[str, Entry]:
    return {id_of(one): one for one in lines if isinstance(one, Entry)}


def _in(entry: Entry | None) -> bool:
    return entry is not None and entry.status in ENFORCED


def _fields(was: Entry, now: Entry) -> dict[str, tuple[str, str]]:
    names = (name for name in Entry.__struct_fields__ if name != "history")
    both = ((name, getattr(was, name), getattr(now, name)) for name in names)
    return {name: (_shown(old), _shown(new)) for name, old, new in both if old != new}


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)
