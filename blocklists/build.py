"""Decision files -> the compiled build that the crawler loads, and the gate through which it loads one.

A build is three files: `blocklist.jsonl`, one line a decision, entry and exemption in canonical order and spelling;
`blocklist.index`, what of it is in force, to be loaded at once; and `manifest.json`, which names both by digest and is
signed (`signing`). The same files and day give the same bytes.
A build that is unsigned, damaged, too old, older than the one in use or suddenly much smaller is refused: the crawler
then stops rather than going on without a list.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from blocklists.decisions import Book
from blocklists.guard import Guards
from blocklists.index import digest_of
from blocklists.lint import PublicSuffix, lint
from blocklists.match import FORMAT, Blocklist, Line, index_of, read_manifest
from blocklists.model import (
    ENFORCED,
    BlocklistError,
    Entry,
    FaultsError,
    Level,
    ListingDecision,
    Manifest,
    Source,
)
from blocklists.signing import verify_manifest
from reservations.model import canonical

MAX_AGE_DAYS: Final = 30
#: A list that loses more names than this since the last one was probably compiled from half of its files.
MAX_LOSS_PERCENT: Final = 10
#: The change budget: one that gains more names than this, and than this share, may hold a file that does not belong.
MAX_GAIN: Final = 50
MAX_GAIN_PERCENT: Final = 10

_VERSION: Final = re.compile(r"[0-9]{4}\.[0-9]{2}\.[0-9]{2}-[1-9][0-9]{0,3}")


class Build(NamedTuple):
    """The files of a build, as bytes."""

    jsonl: bytes
    indexed: bytes
    manifest: bytes


def compile_build(
    files: Mapping[str, str],
    *,
    version: str,
    now: dt.datetime,
    is_public_suffix: PublicSuffix,
    suffix_list: str,
    guards: Guards | None = None,
    shrunk_because: str = "",
    grown_because: str = "",
    second: str = "",
) -> Build:
    """The build of these files.

    Args:
        files: texts by file name: decisions, sidecars, exceptions.
        version: year.month.day-counter, "2026.11.22-1".
        now: the time of compiling, aware.
        is_public_suffix: whether anybody can register names directly below a name.
        suffix_list: which list that predicate looks at, for the manifest.
        guards: names to be careful with.
        shrunk_because: why the build is much smaller than the one before, when it is.
        grown_because: why it is much larger, when it is.
        second: who else looked at a build that grew so much.

    Raises:
        FaultsError: the files have errors; all of them are named.
        BlocklistError: the version is not one.
    """
    if _VERSION.fullmatch(version) is None:
        raise BlocklistError(f"{version!r} is not a version.", "version", "Write it like 2026.11.22-1.")
    today = now.astimezone(dt.UTC).date()
    book, faults = lint(files, today=today, is_public_suffix=is_public_suffix, guards=guards)
    if errors := [fault for fault in faults if fault.level is Level.ERROR]:
        raise FaultsError(errors)
    lines = list(_ordered(book))
    jsonl = b"".join(canonical(line) + b"\n" for line in lines)
    index = index_of(lines)
    manifest = Manifest(
        format=FORMAT,
        version=version,
        created=now.astimezone(dt.UTC).replace(microsecond=0),
        digest=digest_of(jsonl),
        index=digest_of(index),
        suffix_list=suffix_list,
        counts=_counts(book, today),
        overdue=tuple(sorted(one.id for one in _decisions(book) if one.review_by < today)),
        sources=tuple(_sources(book, today)),
        inputs={name: digest_of(files[name].encode()) for name in sorted(files)},
        shrunk_because=shrunk_because,
        grown_because=grown_because,
        second=second,
        guards=dict(guards.digests) if guards else {},
    )
    return Build(jsonl, index, canonical(manifest) + b"\n")


def open_build(
    index: bytes,
    manifest: bytes,
    signature: bytes,
    *,
    keys: Iterable[str],
    today: dt.date,
    max_age_days: int = MAX_AGE_DAYS,
    previous: bytes | None = None,
) -> Blocklist:
    """The list of a build, once it has shown whose it is and that it can be relied on today.

    Args:
        index: `blocklist.index`.
        manifest: `manifest.json`.
        signature: `manifest.sig`.
        keys: the public keys of staff who may sign lists.
        today: the day of use.
        max_age_days: how old the build may be.
        previous: the manifest of the build used before, if any.

    Raises:
        BlocklistError: unsigned, signed by others, damaged, too old, a step back, or shrunken.
    """
    verify_manifest(manifest, signature, keys)
    blocklist = Blocklist.open(index, manifest)
    check_age(blocklist.manifest, today, max_age_days)
    if previous is not None:
        check_succession(read_manifest(previous), blocklist.manifest)
    return blocklist


def check_age(manifest: Manifest, today: dt.date, max_age_days: int = MAX_AGE_DAYS) -> None:
    """Whether a build may be used on that day.

    Raises:
        BlocklistError: it is too old, or made after that day.
    """
    age = (today - manifest.created.date()).days
    if age > max_age_days:
        raise BlocklistError(
            f"The list {manifest.version} is {age} days old; at most {max_age_days} are allowed.",
            "manifest.json",
            "Compile and sign a new one from the current decisions.",
        )
    if age < -1:
        raise BlocklistError(
            f"The list {manifest.version} was made on {manifest.created.date()}, after today.",
            "manifest.json",
            "Set the clock of this machine, or of the one that compiled it.",
        )


def check_succession(before: Manifest, after: Manifest) -> None:
    """Whether a build may follow another: not older, and not suddenly much smaller without a reason.

    Raises:
        BlocklistError: it may not.
    """
    if after.created < before.created:
        raise BlocklistError(
            f"The list {after.version} is older than {before.version}, which was in use.",
            "manifest.json",
            "Use the newest build.",
        )
    had, has = before.counts["enforced"], after.counts["enforced"]
    if has * 100 < had * (100 - MAX_LOSS_PERCENT) and not after.shrunk_because:
        raise BlocklistError(
            f"The list {after.version} keeps {has} names out, {before.version} kept {had}.",
            "manifest.json",
            "If so many were lifted, compile with --shrunk-because and the reason; else look for missing files.",
        )
    gained = has - had
    if gained > MAX_GAIN and gained * 100 > had * MAX_GAIN_PERCENT and not (after.grown_because and after.second):
        raise BlocklistError(
            f"The list {after.version} keeps {has} names out, {before.version} kept {had}: {gained} more at once.",
            "manifest.json",
            "Look whether a file got into the folder that does not belong there. If not, compile with --grown-because "
            "and the reason, and --second and the name of another person who has looked.",
        )


def _decisions(book: Book) -> list[ListingDecision]:
    return [one.decision for one in book.decisions if one.decision is not None]


def _ordered(book: Book) -> Iterator[Line]:
    yield from sorted(_decisions(book), key=lambda one: one.id)
    entries = (placed.entry for one in book.decisions for placed in one.entries)
    yield from sorted(entries, key=lambda one: (one.decision, one.host, one.match, one.path))
    exemptions = (placed.exemption for placed in book.exemptions)
    yield from sorted(exemptions, key=lambda one: (one.excepts, one.host, one.match, one.path))


def _in_force(decision: ListingDecision, entries: Iterable[Entry], today: dt.date) -> int:
    return 0 if decision.lapsed(today) else sum(entry.status in ENFORCED for entry in entries)


def _counts(book: Book, today: dt.date) -> dict[str, int]:
    counts = Counter(str(placed.entry.status) for one in book.decisions for placed in one.entries)
    counts["decisions"] = len(book.decisions)
    counts["exemptions"] = len(book.exemptions)
    counts["enforced"] = sum(source.enforced for source in _sources(book, today))
    return dict(sorted(counts.items()))


def _sources(book: Book, today: dt.date) -> Iterator[Source]:
    groups: dict[tuple[int, str, str, str], list[tuple[ListingDecision, list[Entry]]]] = {}
    for one in book.decisions:
        if (decision := one.decision) is not None:
            group = (decision.tier, decision.country, decision.authority, str(decision.authority_type))
            groups.setdefault(group, []).append((decision, [placed.entry for placed in one.entries]))
    for _, members in sorted(groups.items()):
        first = members[0][0]
        verified = [day for _, entries in members for entry in entries if (day := entry.verified_on) is not None]
        yield Source(
            authority=first.authority,
            authority_type=first.authority_type,
            country=first.country,
            tier=first.tier,
            decisions=len(members),
            enforced=sum(_in_force(decision, entries, today) for decision, entries in members),
            latest_decision=max(decision.date for decision, _ in members),
            latest_verified=max(verified, default=None),
        )
