"""A compiled list -> the formats of other programs. Each says in its head what it is, of which build, and who answers.

What the others cannot say is left out and counted: folders, terms, suspended names (`held`). Tiers 3 and 4 are sites
that somebody excludes by policy; no head calls any name infringing.
"""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from blocklists.match import Line
from blocklists.model import ENFORCED, BlocklistError, Entry, ListingDecision, Manifest, Match, Status


class Exported(NamedTuple):
    """The text, the number of names in it, and the number of entries that the format cannot express."""

    text: str
    names: int
    left_out: int


class _Listed(NamedTuple):
    host: str
    match: Match
    tier: int
    decision: str


Writer = Callable[[Sequence[_Listed], Sequence[str]], str]


def export(name: str, lines: Iterable[Line], manifest: Manifest, *, on: dt.date, tiers: Iterable[int]) -> Exported:
    """The names in force on a day, in a format.

    Raises:
        BlocklistError: there is no such format.
    """
    writer = FORMATS.get(name)
    if writer is None:
        raise BlocklistError(f'There is no format "{name}".', "format", f"Name one of {', '.join(FORMATS)}.")
    kept = list(lines)
    decisions = {one.id: one for one in kept if isinstance(one, ListingDecision)}
    wanted = frozenset(tiers)
    entries = [
        entry
        for entry in kept
        if isinstance(entry, Entry)
        and entry.status in ENFORCED
        and decisions[entry.decision].tier in wanted
        and not decisions[entry.decision].lapsed(on)
    ]
    listed: dict[tuple[str, Match], _Listed] = {}
    for entry in entries:
        if entry.match is not Match.PATH and entry.status is Status.ACTIVE:
            one = _Listed(entry.host, entry.match, decisions[entry.decision].tier, entry.decision)
            listed.setdefault((entry.host, entry.match), one)
    left_out = sum(entry.match is Match.PATH or entry.status is not Status.ACTIVE for entry in entries)
    names = sorted(listed.values())
    return Exported(writer(names, _head(manifest, len(names), left_out, on)), len(names), left_out)


def _head(manifest: Manifest, names: int, left_out: int, on: dt.date) -> list[str]:
    return [
        "Title: Sites that are not crawled",
        "Description: Names of a signed list of excluded sites. Being listed here is no statement by this program;",
        "             decisions, tiers and terms are in the list itself.",
        f"Version: {manifest.version}, {manifest.digest}",
        f"Names in force on: {on}",
        f"Number of entries: {names} (left out, for this format cannot express them: {left_out})",
    ]


def _remarked(mark: str, head: Sequence[str], lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in (*(f"{mark} {line}" for line in head), *lines))


def _plain(names: Sequence[_Listed], head: Sequence[str]) -> str:
    return _remarked("#", head, dict.fromkeys(one.host for one in names))


def _hosts(names: Sequence[_Listed], head: Sequence[str]) -> str:
    return _remarked("#", head, (f"0.0.0.0 {host}" for host in dict.fromkeys(one.host for one in names)))


def _adblock(names: Sequence[_Listed], head: Sequence[str]) -> str:
    rules = (f"||{one.host}^" if one.match is Match.DOMAIN else f"|https://{one.host}/" for one in names)
    return "[Adblock Plus]\n" + _remarked("!", head, rules)


def _dnsmasq(names: Sequence[_Listed], head: Sequence[str]) -> str:
    return _remarked("#", head, (f"local=/{one.host}/" for one in names if one.match is Match.DOMAIN))


def _wildcard(names: Sequence[_Listed], head: Sequence[str]) -> str:
    return _remarked("#", head, (f"*.{one.host}" if one.match is Match.DOMAIN else one.host for one in names))


def _rpz(names: Sequence[_Listed], head: Sequence[str]) -> str:
    rules = [f"{one.host} CNAME ." for one in names]
    rules += [f"*.{one.host} CNAME ." for one in names if one.match is Match.DOMAIN]
    zone = ("$TTL 3600", "@ SOA localhost. root.localhost. 1 3600 600 86400 3600", "@ NS localhost.")
    return _remarked(";", head, (*zone, *sorted(rules)))


def _csv(names: Sequence[_Listed], _: Sequence[str]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_Listed._fields)
    writer.writerows(names)
    return out.getvalue()


def _json(names: Sequence[_Listed], head: Sequence[str]) -> str:
    return json.dumps({"about": list(head), "names": [one._asdict() for one in names]}, indent=1) + "\n"


def _misp(names: Sequence[_Listed], head: Sequence[str]) -> str:
    version = "".join(filter(str.isdigit, head[3].partition(",")[0]))
    listed = {
        "name": head[0].partition(": ")[2],
        "description": " ".join(line.partition(":")[2].strip() or line.strip() for line in head[1:4]),
        "version": int(version),
        "type": "hostname",
        "matching_attributes": ["hostname", "domain", "url"],
        "list": sorted({one.host for one in names}),
    }
    return json.dumps(listed, indent=2) + "\n"


def _hashed(names: Sequence[_Listed], head: Sequence[str]) -> str:
    """Names that can be looked up and not read: for publication, so that the list is no directory of such sites."""
    digests = sorted(hashlib.sha256(one.host.encode()).hexdigest() for one in names)
    return _remarked("#", (*head, "Each line: SHA-256 of a name"), digests)


FORMATS: Final[Mapping[str, Writer]] = {
    "plain": _plain,
    "hosts": _hosts,
    "adblock": _adblock,
    "dnsmasq": _dnsmasq,
    "wildcard": _wildcard,
    "rpz": _rpz,
    "csv": _csv,
    "json": _json,
    "misp": _misp,
    "hashed": _hashed,
}
"""By name: those of `importers`, without pasted text, and digests of names for publication."""
