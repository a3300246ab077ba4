"""The values of the blocklist: a decision, the names it covers, exemptions, a compiled build's manifest, a hit.

A decision is one ruling of one court or authority (or of the operator), kept by policy staff in one TOML file. What
the fields mean is told in `docs/blocklist-format.md`; which combinations are allowed is told in `lint`. Basis: Code
of Practice for General-Purpose AI Models, Copyright chapter, Measure 1.2(b),
https://digital-strategy.ec.europa.eu/en/policies/contents-code-gpai (CoP Copyright 1.2(b)).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

#: ISO 3166-1 codes of the European Economic Area; "EU" stands for bodies of the Union itself.
EEA: Final = frozenset(
    "AT BE BG CY CZ DE DK EE ES EU FI FR GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK".split()  # noqa: SIM905 -- 31 lines otherwise
)


class AuthorityType(StrEnum):
    """Who decided."""

    COURT = "court"
    PUBLIC_AUTHORITY = "public_authority"
    OTHER = "other"


#: Only these can recognise a site as infringing (tiers 1 and 2).
OFFICIAL: Final = frozenset({AuthorityType.COURT, AuthorityType.PUBLIC_AUTHORITY})


class Match(StrEnum):
    """How far an entry reaches: the host with everything below it, the host alone, one folder of the host."""

    DOMAIN = "domain"
    HOST = "host"
    PATH = "path"


class Role(StrEnum):
    """What the name is to the site that was decided about."""

    PRIMARY = "primary"
    MIRROR = "mirror"
    PROXY = "proxy"
    SUCCESSOR = "successor"


class Status(StrEnum):
    """Where an entry stands. Only `ENFORCED` ones keep the crawler out; the others stay on file as history."""

    PROPOSED = "proposed"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    EXPIRED = "expired"
    REMOVED = "removed"


ENFORCED: Final = frozenset({Status.ACTIVE, Status.SUSPENDED})
"""Suspended names stay out of the crawl (held) until somebody has decided: doubt lifts the label, not the caution."""

CLOSED: Final = frozenset({Status.SUSPENDED, Status.EXPIRED, Status.REMOVED})
"""Whoever suspends or ends an entry says when, who, and why."""


class Cause(StrEnum):
    """Why an entry was suspended, expired or removed."""

    ORDER_LIFTED = "order-lifted"
    ORDER_EXPIRED = "order-expired"
    OBJECTION = "objection"
    WRONG_HOST = "wrong-host"
    SHARED_HOST = "shared-host"
    SITE_CHANGED = "site-changed"


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="t", tag="entry"):
    """One name (or one folder of a name) that a decision covers, with who proposed, approved and verified it."""

    decision: str
    host: str
    match: Match
    path: str = ""
    role: Role
    of: str = ""
    status: Status
    added: dt.date
    added_by: str
    approved_by: tuple[str, ...] = ()
    verified_on: dt.date | None = None
    changed_on: dt.date | None = None
    changed_by: str = ""
    change_cause: Cause | None = None
    change_reference: str = ""
    override: str = ""
    history: tuple[str, ...] = ()
    note: str = ""


class ListingDecision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="t", tag="decision"):
    """One decision by which sites are listed: who decided what, when, on which basis, and for how long."""

    id: str
    authority: str
    authority_type: AuthorityType
    country: str
    reference: str = ""
    date: dt.date
    legal_basis: str
    finding: str
    document_sha256: str = ""
    document_url: str = ""
    language: str
    tier: int
    live_sport: bool = False
    in_force_until: dt.date | None = None
    open_ended: bool = False
    review_by: dt.date

    def lapsed(self, on: dt.date) -> bool:
        """Whether the decision's own term was over on that day (its last day still counts)."""
        return self.in_force_until is not None and self.in_force_until < on


class Exemption(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="t", tag="exemption"):
    """A narrower part of what one decision lists that may be crawled after all, until a date."""

    excepts: str
    host: str
    match: Match
    path: str = ""
    reason: str
    added: dt.date
    added_by: str
    approved_by: tuple[str, ...]
    until: dt.date


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """All decisions of one authority at one tier, summed up for the manifest and the reports."""

    authority: str
    authority_type: AuthorityType
    country: str
    tier: int
    decisions: int
    enforced: int
    latest_decision: dt.date
    latest_verified: dt.date | None


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a compiled build says of itself. Its signed bytes vouch for both other files.

    Attributes:
        format: version of this file format.
        version: date and counter of the build, "2026.11.22-1".
        created: when it was compiled.
        digest: "sha256:<hex>" of blocklist.jsonl.
        index: the same of blocklist.index.
        suffix_list: which public suffix list the lint looked at.
        counts: entries by status, and "decisions", "exemptions", "enforced" (in force on the day of compiling).
        overdue: ids of decisions whose review is late; they are enforced all the same.
        sources: who decided, with dates.
        inputs: digest of each file that was compiled.
        shrunk_because: staff's reason when this build lists far fewer names than the one before; else empty.
        grown_because: the same when it lists far more.
        second: who, besides the signer, looked at a build that grew so much.
        guards: digest of each file of names to be careful with.
    """

    format: int
    version: str
    created: dt.datetime
    digest: str
    index: str
    suffix_list: str
    counts: dict[str, int]
    overdue: tuple[str, ...]
    sources: tuple[Source, ...]
    inputs: dict[str, str]
    shrunk_because: str
    grown_because: str = ""
    second: str = ""
    guards: dict[str, str] = {}


class Hit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The entry that keeps a URL out, and the decision behind it.

    Attributes:
        entry: the entry's stable id: decision, host and path.
        decision: id of the decision.
        host: the listed name that matched, which may be a parent of the URL's host.
        held: True while the entry is suspended: still not crawled, but not called infringing either.
    """

    entry: str
    decision: str
    host: str
    match: Match
    path: str
    authority: str
    authority_type: AuthorityType
    country: str
    reference: str
    date: dt.date
    tier: int
    held: bool


class Level(StrEnum):
    """How grave a fault is. An error stops the build; an overdue review must be seen to but never opens a site."""

    ERROR = "error"
    OVERDUE = "overdue"
    WARNING = "warning"


class Fault(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One thing that is wrong with one file: where it stands, what it is, what is allowed instead."""

    file: str
    line: int
    key: str
    what: str
    allowed: str
    level: Level = Level.ERROR

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        key = f" {self.key}:" if self.key else ""
        return f"{place}: {self.level}:{key} {self.what} {self.allowed}".rstrip()


class BlocklistError(Exception):
    """The blocklist cannot be used as it is: what is wrong, where, and what to do about it."""

    def __init__(self, what: str, where: str, remedy: str) -> None:
        super().__init__(f"{where}: {what} {remedy}")
        self.what = what
        self.where = where
        self.remedy = remedy


class FaultsError(BlocklistError):
    """Faults in the files of decisions, all of them, in the order of the files."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        where = faults[0].file if faults else "blocklist"
        listed = "\n".join(str(fault) for fault in faults)
        super().__init__(f"{len(faults)} fault(s) in the decisions.\n{listed}\n", where, "Correct them and try again.")
        self.faults = tuple(faults)


def entry_id(decision: str, host: str, match: Match, path: str = "") -> str:
    """The stable name of an entry: `decision/domain:host` or `decision/path:host/folder`.

    >>> entry_id("lg-example-2026-1", "pirate.example", Match.DOMAIN)
    'lg-example-2026-1/domain:pirate.example'
    """
    return f"{decision}/{match}:{host}{path}"
