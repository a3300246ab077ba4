"""Objections to entries: who objects on which grounds, what was done by when, and what is due next.

An objection is one TOML file, changed by verbs. The deadlines are promises of OBJECTIONS.md: acknowledged within two
working days, decided within ten, within one where much depends on it (`urgent`). Saturdays and Sundays are no working
days; holidays, which differ from place to place, are counted as if they were, so a deadline here is never too late.
"""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec
import tomlkit

from blocklists.model import BlocklistError

ACKNOWLEDGE_DAYS: Final = 2
DECIDE_DAYS: Final = 10
URGENT_DAYS: Final = 1
CONFIRM_DAYS: Final = 5
"""Days within which a second person looks at what one person suspended."""

_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,60}")
_WEEKEND: Final = (5, 6)


class Outcome(StrEnum):
    """What was decided."""

    UPHELD = "upheld"
    REJECTED = "rejected"


class Objection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One objection. `contact` says where to find the objector's address; the address itself is not for this file."""

    id: str
    host: str
    entries: tuple[str, ...]
    grounds: str
    contact: str
    received: dt.date
    opened_by: str
    urgent: bool = False
    acknowledged_on: dt.date | None = None
    acknowledged_by: str = ""
    suspended_on: dt.date | None = None
    suspended_by: str = ""
    decided_on: dt.date | None = None
    decided_by: tuple[str, ...] = ()
    outcome: Outcome | None = None
    reasons: str = ""
    closed_on: dt.date | None = None
    closed_by: str = ""


class Due(NamedTuple):
    """What has to be done by which day."""

    day: dt.date
    what: str


def read_objection(text: str, *, file: str) -> Objection:
    """An objection out of its file.

    Raises:
        BlocklistError: it is not one.
    """
    try:
        found = msgspec.convert(tomllib.loads(text), Objection)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as fault:
        raise BlocklistError(
            f"This is no objection: {fault}.", file, "Change objections with `blocklist objection`."
        ) from fault
    if found.decided_on is not None and (found.outcome is None or len(set(found.decided_by)) < 2):  # noqa: PLR2004 -- four eyes
        raise BlocklistError("It is decided without an outcome by two people.", file, "Name both, and the outcome.")
    return found


def write_objection(objection: Objection) -> str:
    """The file of an objection."""
    document = tomlkit.document()
    values: dict[str, Any] = msgspec.to_builtins(objection, builtin_types=(dt.date,))
    for key, value in values.items():
        document[key] = value
    return tomlkit.dumps(document)


def check_id(name: str) -> str:
    """The id of an objection, which is its file's name, too.

    Raises:
        BlocklistError: it cannot be one.
    """
    if _ID.fullmatch(name) is None:
        raise BlocklistError(f"{name!r} cannot be an id.", "id", "Use small letters, digits and hyphens: o-2026-7.")
    return name


def working_days_after(day: dt.date, count: int) -> dt.date:
    """The day that many working days later.

    >>> working_days_after(dt.date(2026, 11, 20), 2)
    datetime.date(2026, 11, 24)
    """
    while count:
        day += dt.timedelta(days=1)
        count -= day.weekday() not in _WEEKEND
    return day


def due(objection: Objection) -> Iterator[Due]:
    """What is still to be done, with the last day for it."""
    after = objection.received
    if objection.closed_on is not None:
        return
    if objection.acknowledged_on is None:
        yield Due(working_days_after(after, URGENT_DAYS if objection.urgent else ACKNOWLEDGE_DAYS), "acknowledge")
    if objection.decided_on is None:
        yield Due(working_days_after(after, URGENT_DAYS if objection.urgent else DECIDE_DAYS), "decide")
        if objection.suspended_on is not None:
            yield Due(objection.suspended_on + dt.timedelta(days=CONFIRM_DAYS), "have the suspension confirmed")
    else:
        yield Due(working_days_after(objection.decided_on, ACKNOWLEDGE_DAYS), "tell the objector, and close")


def statement(objection: Objection, version: str) -> list[str]:
    """The statement of reasons for the objector.

    Args:
        objection: decided.
        version: of the build in which the decision is or will be in force; empty when none is known.
    """
    outcome = {
        Outcome.UPHELD: "Your objection is upheld. The entries below are taken out with the next build of the list.",
        Outcome.REJECTED: "Your objection is rejected. The entries below stay in force.",
    }
    assert objection.outcome is not None  # noqa: S101  (the caller has looked)
    lines = [
        f"Objection {objection.id}, received on {objection.received}, about {objection.host}",
        outcome[objection.outcome],
        f"Decided on {objection.decided_on} by {len(objection.decided_by)} people. Reasons: {objection.reasons}",
        *(f"- entry {entry}" for entry in objection.entries),
    ]
    if version:
        lines.append(f"The list when this was written: {version}")
    lines.append("What was not crawled because of an entry can be crawled once it is out of the list.")
    lines.append("If new facts come up, object again and name this number.")
    return lines
