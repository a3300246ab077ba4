"""Names to be careful with: platforms that many share, and sites that very many visit.

A decision may name one; whoever lists it says in writing why (`override`), and two others approve. Denmark in 2012 and
Italy in 2024 shut out large platforms by a file in the wrong folder and by a wrong name.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from blocklists.hosts import host_fault
from blocklists.model import BlocklistError

#: Lines of a snapshot of frequently visited sites that are read; more is a mistake.
MAX_TOP: Final = 1_000_000


class Platform(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A host that many share, why, and where that can be read."""

    host: str
    why: str
    source: str


class PlatformFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of platforms, whose names they are, and of which day."""

    name: str
    source: str
    dated: dt.date
    platform: tuple[Platform, ...]


class Guards(msgspec.Struct, frozen=True):
    """All names to be careful with.

    Attributes:
        platforms: by host.
        ranks: sites that very many visit, with their place in the snapshot.
        above: names that have a platform somewhere below them.
        digests: of the files they came from, for the manifest.
    """

    platforms: Mapping[str, Platform] = {}
    ranks: Mapping[str, int] = {}
    above: frozenset[str] = frozenset()
    digests: Mapping[str, str] = {}

    def why(self, host: str, registrable: str) -> str | None:
        """What is to be considered before this name is listed; None when nothing is."""
        for name in (host, registrable):
            if name in self.platforms:
                return f"{name} is shared by many: {self.platforms[name].why}"
            if name in self.ranks:
                return f"{name} is visited by very many: number {self.ranks[name]} of the snapshot."
        return f"Below {host} lies a platform that many share." if host in self.above else None


def read_platforms(text: str, *, file: str) -> PlatformFile:
    """A file of platforms.

    Raises:
        BlocklistError: it is not one.
    """
    try:
        found = msgspec.convert(tomllib.loads(text), PlatformFile)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as fault:
        raise BlocklistError(
            f"This is no file of platforms: {fault}.",
            file,
            "It has name, source, dated, and [[platform]] tables with host, why and source.",
        ) from fault
    for one in found.platform:
        if (wrong := host_fault(one.host)) is not None:
            raise BlocklistError(wrong[0], file, wrong[1])
    return found


def read_top_sites(text: str) -> dict[str, int]:
    """Ranks by host out of a snapshot: a host or "rank,host" a line, the most visited first; "#" begins a remark."""
    ranks: dict[str, int] = {}
    for line in text.splitlines()[:MAX_TOP]:
        host = line.partition("#")[0].rpartition(",")[2].strip().strip('"').lower()
        if host and host_fault(host) is None:
            ranks.setdefault(host, len(ranks) + 1)
    return ranks


def guards(platforms: Iterable[PlatformFile], ranks: Mapping[str, int], digests: Mapping[str, str]) -> Guards:
    """The guards out of the files that there are; of two entries for one host the later one stands."""
    known = {one.host: one for file in platforms for one in file.platform}
    above = {host.split(".", cut)[cut] for host in known for cut in range(1, host.count("."))}
    return Guards(known, ranks, frozenset(above), digests)


def registrable(host: str, is_public_suffix: Callable[[str], bool]) -> str:
    """The name that somebody registered: one label more than the public suffix that the host lies below.

    >>> registrable("a.b.example.co.uk", lambda name: name in {"co.uk", "uk"})
    'example.co.uk'
    """
    name = host
    while (parent := name.partition(".")[2]) and not is_public_suffix(parent):
        name = parent
    return name if parent else host
