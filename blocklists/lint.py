"""What must hold between the values of a decision file, one rule a function, in tables by what the rule looks at.

A rule yields faults; it never stops the others. The rules need no network and no data but the files, the day, and a
predicate for public suffixes (https://publicsuffix.org/list/), which the caller brings because the package reads no
files. Basis: CoP Copyright 1.2(b), https://digital-strategy.ec.europa.eu/en/policies/contents-code-gpai: listed is
what a court or public authority of the EU or EEA has recognised as persistently infringing on a commercial scale.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from blocklists.decisions import Book, Place, PlacedDecision, PlacedEntry, PlacedExemption, read_files
from blocklists.guard import Guards, registrable
from blocklists.hosts import host_fault, mixed_scripts
from blocklists.match import MAX_FOLDERS, Key, segments, wider
from blocklists.model import CLOSED, EEA, ENFORCED, OFFICIAL, Entry, Fault, Level, ListingDecision, Match, Role, Status

#: Longest time between a check of a name and the next review, in days.
REVIEW_DAYS: Final[Mapping[int, int]] = {1: 366, 2: 92, 3: 366, 4: 366}
REVIEW_DAYS_LIVE_SPORT: Final = 31
#: How long before a review is due the lint begins to say so.
NOTICE_DAYS: Final = 30
#: Tiers that rest on an official decision of the EU or EEA.
OFFICIAL_TIERS: Final = (1, 2)

PublicSuffix = Callable[[str], bool]


class Context(NamedTuple):
    """What the rules may look at besides the one value they judge."""

    today: dt.date
    is_public_suffix: PublicSuffix
    primaries: frozenset[str]
    covered: Mapping[str, Mapping[Key, Status]]
    """By decision: the keys of its entries."""
    guards: Guards


def lint(
    files: Mapping[str, str], *, today: dt.date, is_public_suffix: PublicSuffix, guards: Guards | None = None
) -> tuple[Book, list[Fault]]:
    """Everything that can be read from these files, and everything that is wrong with them.

    Args:
        files: texts by file name, as `decisions.read_files` takes them.
        today: the day on which terms and reviews are judged.
        is_public_suffix: whether anybody can register names directly below a name ("co.uk", "github.io").
        guards: names to be careful with.
    """
    book, faults = read_files(files)
    covered: dict[str, dict[Key, Status]] = {}
    for one in book.decisions:
        if one.decision is not None:
            statuses = covered.setdefault(one.decision.id, {})
            statuses.update((key_of(placed.entry), placed.entry.status) for placed in one.entries)
    primaries = (
        placed.entry.host for one in book.decisions for placed in one.entries if placed.entry.role is Role.PRIMARY
    )
    context = Context(today, is_public_suffix, frozenset(primaries), covered, guards or Guards())
    faults += _unique(book)
    for one in book.decisions:
        faults += _decision_faults(one, context)
    for exemption in book.exemptions:
        faults += (fault for rule in EXEMPTION_RULES for fault in rule(exemption, context))
    return book, sorted(set(faults))


def key_of(entry: Entry) -> Key:
    """What an entry covers."""
    return Key(entry.host, entry.match, entry.path)


def _decision_faults(placed: PlacedDecision, context: Context) -> Iterator[Fault]:
    for entry in placed.entries:
        for rule in ENTRY_RULES:
            yield from rule(entry, context)
    if placed.decision is not None:
        for check in DECISION_RULES:
            yield from check(placed.decision, placed, context)


# --- the decision ---------------------------------------------------------------------------------------------------


def _basis(decision: ListingDecision, placed: PlacedDecision, _: Context) -> Iterator[Fault]:
    if decision.tier not in OFFICIAL_TIERS:
        return
    fault = placed.place.fault
    if decision.country not in EEA:
        yield fault(
            "country",
            f'Tier {decision.tier} rests on a decision from the EU or EEA; "{decision.country}" is outside.',
            "Correct the country, or make it tier 3.",
        )
    if decision.authority_type not in OFFICIAL:
        yield fault(
            "authority_type",
            f"Tier {decision.tier} rests on a court or public authority.",
            'Write "court" or "public_authority", or make it tier 3 or 4.',
        )
    for key in ("reference", "document_sha256", "document_url"):
        if not getattr(decision, key):
            yield fault(
                key,
                f"Tier {decision.tier} needs {key}.",
                "Name the docket, the document's address and its SHA-256, so that others can look it up.",
            )


def _term(decision: ListingDecision, placed: PlacedDecision, context: Context) -> Iterator[Fault]:
    fault = placed.place.fault
    until = decision.in_force_until
    if (until is None) != decision.open_ended:
        yield fault(
            "in_force_until",
            "The decision must say how long it is in force.",
            "Write either in_force_until with a date or open_ended = true, not both.",
        )
    if until is not None and until < decision.date:
        yield fault("in_force_until", "The term ends before the decision was made.", "Correct one of the dates.")
    if decision.date > context.today:
        yield fault("date", f"The decision is dated after today, {context.today}.", "Correct the date.")
    if decision.lapsed(context.today) and any(one.entry.status in ENFORCED for one in placed.entries):
        yield fault(
            "in_force_until",
            "The term is over; the names are no longer kept out.",
            'Set their status to "expired", or enter the new term.',
            Level.WARNING,
        )


def _review(decision: ListingDecision, placed: PlacedDecision, context: Context) -> Iterator[Fault]:
    verified = [
        one.entry.verified_on for one in placed.entries if one.entry.status in ENFORCED and one.entry.verified_on
    ]
    days = REVIEW_DAYS_LIVE_SPORT if decision.live_sport else REVIEW_DAYS[decision.tier]
    if not verified or decision.lapsed(context.today):
        return
    fault = placed.place.fault
    if decision.review_by > (latest := min(verified) + dt.timedelta(days=days)):
        yield fault(
            "review_by",
            f"The review is too far off: the oldest verified_on among the names is {min(verified)}.",
            f"Write {latest} or earlier ({days} days), or verify the names anew.",
        )
    if decision.review_by < context.today:
        yield fault(
            "review_by",
            f"The review was due on {decision.review_by}. The names are kept out all the same.",
            "Look at each name again, then set verified_on and review_by.",
            Level.OVERDUE,
        )
    elif decision.review_by <= context.today + dt.timedelta(days=NOTICE_DAYS):
        yield fault("review_by", f"The review is due on {decision.review_by}.", "Plan it.", Level.WARNING)


def _approved_by_others(decision: ListingDecision, placed: PlacedDecision, _: Context) -> Iterator[Fault]:
    """Without a court behind it, a listing needs two people besides the one who proposed it."""
    if decision.tier == 1:
        return
    for entry, place in placed.entries:
        if entry.status in ENFORCED and _name(entry.added_by) in set(map(_name, entry.approved_by)):
            yield place.fault(
                "approved_by",
                f'"{entry.added_by}" proposed this name and cannot approve it (tier {decision.tier}).',
                "Name two other people.",
            )


def _shadowed(decision: ListingDecision, placed: PlacedDecision, context: Context) -> Iterator[Fault]:
    keys = context.covered[decision.id]
    for entry, place in placed.entries:
        above = next((key for key in wider(key_of(entry)) if keys.get(key) is entry.status), None)
        if above is not None:
            yield place.fault(
                "host",
                f"{entry.host}{entry.path} is covered already by {above.match} {above.host}{above.path}.",
                "Leave one of the two out.",
            )


# --- one entry ------------------------------------------------------------------------------------------------------


def _host(placed: PlacedEntry | PlacedExemption, context: Context) -> Iterator[Fault]:
    host = placed[0].host
    wrong = host_fault(host)
    if wrong is not None:
        yield placed.place.fault("host", *wrong)
    elif context.is_public_suffix(host):
        yield placed.place.fault(
            "host",
            f'"{host}" is a public suffix: sites of many owners lie below it.',
            "List the one site below it that the decision names.",
        )
    elif mixed_scripts(host):
        yield placed.place.fault(
            "host",
            f'"{host}" mixes alphabets within a word; it may imitate another name.',
            "Compare it with the document, letter by letter.",
            Level.WARNING,
        )


def _path(placed: PlacedEntry | PlacedExemption, _: Context) -> Iterator[Fault]:
    one, place = placed
    if (one.match is Match.PATH) != bool(one.path):
        yield place.fault("path", 'A path goes with match = "path", and only with it.', "Add one or drop the other.")
    elif one.path:
        folders = segments(one.path)
        plain = "/" + "/".join(folders)
        if plain != one.path or not folders or {"?", "#", "\\"} & set(plain):
            yield place.fault(
                "path",
                f'"{one.path}" is not a folder of the host in plain form.',
                'Write it from the first slash, without a slash at the end, "?", "#" or "%": "/user/name".',
            )
        elif len(folders) > MAX_FOLDERS:
            yield place.fault("path", "The path is too deep.", f"Name at most {MAX_FOLDERS} folders.")


def _of(placed: PlacedEntry, context: Context) -> Iterator[Fault]:
    entry, place = placed
    if entry.role is Role.PRIMARY:
        if entry.of:
            yield place.fault("of", "A primary name belongs to no other.", "Leave it out, or correct the role.")
    elif not entry.of:
        yield place.fault("of", f"A {entry.role} needs the name that it stands for.", 'Write of = "<primary host>".')
    elif entry.of not in context.primaries:
        yield place.fault(
            "of", f'"{entry.of}" is not listed as a primary name.', "List the primary name, in this file or another."
        )


def _approval(placed: PlacedEntry, _: Context) -> Iterator[Fault]:
    entry, place = placed
    if entry.status in ENFORCED and len(set(map(_name, entry.approved_by))) < 2:  # noqa: PLR2004 -- four eyes
        yield place.fault(
            "approved_by",
            "Two different people must have approved the name.",
            'Name them, or set the status to "proposed".',
        )


def _days(placed: PlacedEntry, context: Context) -> Iterator[Fault]:
    entry, place = placed
    if entry.status in ENFORCED and entry.verified_on is None:
        yield place.fault(
            "verified_on",
            "It is not said when somebody last looked whether the site is still what was decided about.",
            "Write the date of the last look.",
        )
    for key in ("added", "verified_on", "changed_on"):
        day: dt.date | None = getattr(entry, key)
        if day is not None and day > context.today:
            yield place.fault(key, f"{day} is after today, {context.today}.", "Correct the date.")


def _change(placed: PlacedEntry, _: Context) -> Iterator[Fault]:
    entry, place = placed
    if entry.status not in CLOSED:
        return
    for key in ("changed_on", "changed_by", "change_cause", "change_reference"):
        if not getattr(entry, key):
            yield place.fault(
                key,
                f"A name that is {entry.status} needs {key}.",
                "Say when, who, why, and where it can be looked up.",
            )


def _guarded(placed: PlacedEntry, context: Context) -> Iterator[Fault]:
    entry, place = placed
    guards = context.guards
    if entry.status in (Status.EXPIRED, Status.REMOVED) or not guards.platforms or host_fault(entry.host):
        return
    owned = registrable(entry.host, context.is_public_suffix)
    why = guards.why(entry.host, owned)
    if entry.match is Match.PATH:
        if why is None:
            yield place.fault(
                "match",
                f"Folders are listed on platforms that many share; {entry.host} is not known as one.",
                "List the host, or add the platform to guards/shared-platforms.toml with its source.",
            )
    elif why is not None and not entry.override:
        yield place.fault(
            "override",
            f"{why} To list {entry.host} may shut out people whom no decision names.",
            'List one folder of it (match = "path"), or write in override why the whole of it is meant.',
        )


def _history(placed: PlacedEntry, context: Context) -> Iterator[Fault]:
    entry, place = placed
    days = [step[:10] for step in entry.history]
    if days != sorted(days) or (days and days[-1] > str(context.today)):
        yield place.fault("history", "The steps are not in the order of their days.", "Put the oldest first.")
    if entry.history and entry.history[-1].split()[1] != entry.status:
        yield place.fault(
            "history",
            f'The last step is not the status, "{entry.status}".',
            "Change a status with the verbs, or add the step: date, status, by whom, why.",
        )


# --- one exemption --------------------------------------------------------------------------------------------------


def _narrower(placed: PlacedExemption, context: Context) -> Iterator[Fault]:
    one, place = placed
    keys = context.covered.get(one.excepts)
    if keys is None:
        yield place.fault("excepts", f'There is no decision "{one.excepts}".', "Write the id of a decision.")
    elif not any(key in keys for key in wider(Key(one.host, one.match, one.path))):
        yield place.fault(
            "host",
            f"{one.match} {one.host}{one.path} is not narrower than any entry of {one.excepts}.",
            "An exception opens a part of what a decision lists. To lift an entry, change its status.",
        )


def _exemption_terms(placed: PlacedExemption, context: Context) -> Iterator[Fault]:
    one, place = placed
    if not set(map(_name, one.approved_by)) - {_name(one.added_by)}:
        yield place.fault("approved_by", "Nobody but the proposer approved it.", "Name another person.")
    if one.added > context.today:
        yield place.fault("added", f"{one.added} is after today, {context.today}.", "Correct the date.")
    if one.until < context.today:
        yield place.fault("until", f"The exception ran out on {one.until}.", "Drop it, or decide anew.", Level.WARNING)


# --- across files ---------------------------------------------------------------------------------------------------


def _unique(book: Book) -> Iterator[Fault]:
    ids: dict[str, Place] = {}
    for one in book.decisions:
        if one.decision is not None:
            first = ids.setdefault(one.decision.id, one.place)
            if first is not one.place:
                yield one.place.fault(
                    "id", f'"{one.decision.id}" is the id of {first.file} too.', "Give each decision its own id."
                )
        keys: dict[Key, Place] = {}
        for entry, place in one.entries:
            earlier = keys.setdefault(key_of(entry), place)
            if earlier is not place:
                where = f"{earlier.file}:{earlier.line}"
                yield place.fault("host", f"{entry.host}{entry.path} stands in {where} too.", "Keep one of the two.")
    exempt: dict[tuple[str, Key], Place] = {}
    for exemption, place in book.exemptions:
        key = Key(exemption.host, exemption.match, exemption.path)
        earlier = exempt.setdefault((exemption.excepts, key), place)
        if earlier is not place:
            yield place.fault("host", f"The exception stands in line {earlier.line} too.", "Keep one of the two.")


def _name(person: str) -> str:
    return " ".join(person.split()).casefold()


DECISION_RULES: Final[tuple[Callable[[ListingDecision, PlacedDecision, Context], Iterator[Fault]], ...]] = (
    _basis,
    _term,
    _review,
    _approved_by_others,
    _shadowed,
)
ENTRY_RULES: Final[tuple[Callable[[PlacedEntry, Context], Iterator[Fault]], ...]] = (
    _host,
    _path,
    _of,
    _approval,
    _days,
    _change,
    _guarded,
    _history,
)
EXEMPTION_RULES: Final[tuple[Callable[[PlacedExemption, Context], Iterator[Fault]], ...]] = (
    _host,
    _path,
    _narrower,
    _exemption_terms,
)
