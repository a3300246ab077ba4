"""Is a URL on the list: the compiled build in memory, and the walk over a host's labels that looks it up.

The narrowest entry wins; an exemption counts only against its own decision, and only where it is narrower than the
entry. No substring, no pattern, no public suffix list: `a.b.c` is looked up as `a.b.c`, `b.c`, `c`, so that an entry
is found at any depth and the answer cannot drift with somebody else's data. A host that is not listed, the usual
case, costs one dictionary look-up a label.

CoP Copyright 1.2(b), https://digital-strategy.ec.europa.eu/en/policies/contents-code-gpai.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, TypeVar
from urllib.parse import unquote

import msgspec

from blocklists.model import (
    EEA,
    ENFORCED,
    OFFICIAL,
    BlocklistError,
    Exemption,
    Hit,
    ListingDecision,
    Manifest,
    Match,
    Source,
    Status,
    entry_id,
)
from reservations.model import Category, Signal, Value
from reservations.urls import canonical_url, origin_of

#: A URL in canonical form, or a bare host in it; anything else takes the long way through `canonical_url`.
_PLAIN: Final = re.compile(
    r"(?:https?://)?([a-z0-9_-]+(?:\.[a-z0-9_-]+)*)\.?(?::[0-9]{1,5})?((?:/[^?#\\\s]*)?)(?=[?#]|\Z)"
)

#: Folders of a path that an entry can name; what lies deeper belongs to them.
MAX_FOLDERS: Final = 8

#: Version of the form of both files of a build.
FORMAT: Final = 1

#: What stands around the path of a canonical URL.
_PATH: Final = re.compile(r"^[a-z]+://[^/?#]*|[?#].*", re.DOTALL)

_EXCERPT_CHARS: Final = 256


_T = TypeVar("_T")


class Key(NamedTuple):
    """What an entry covers: its address in the walk."""

    host: str
    match: Match
    path: str = ""


class _Row(msgspec.Struct, frozen=True, tag_field="t", tag="entry"):
    """The part of an entry that a look-up needs; the rest stays in the file."""

    decision: str
    host: str
    match: Match
    status: Status
    path: str = ""


_LINE: Final = msgspec.json.Decoder(_Row | ListingDecision | Exemption)
_MANIFEST: Final = msgspec.json.Decoder(Manifest)


def segments(path: str) -> tuple[str, ...]:
    """The folders of a path, percent-decoded; empty ones and dots resolved, since servers mostly do the same.

    >>> segments("/user//%70irate/./x")
    ('user', 'pirate', 'x')
    """
    kept: list[str] = []
    for part in path.split("/"):
        name = unquote(part, errors="surrogateescape")
        if name == "..":
            del kept[-1:]
        elif name not in {"", "."}:
            kept.append(name)
    return tuple(kept)


def walk(host: str, path: str = "") -> Iterator[Key]:
    """Every key that covers this place, the narrowest first.

    >>> [f"{key.match}:{key.host}{key.path}" for key in walk("a.example", "/b")]
    ['path:a.example/b', 'host:a.example', 'domain:a.example', 'domain:example']
    """
    names = segments(path)[:MAX_FOLDERS]
    for length in range(len(names), 0, -1):
        yield Key(host, Match.PATH, "/" + "/".join(names[:length]))
    yield Key(host, Match.HOST)
    while host:
        yield Key(host, Match.DOMAIN)
        host = host.partition(".")[2]


def wider(key: Key) -> Iterator[Key]:
    """Every key that covers this one and more besides, the narrowest first."""
    keys = walk(key.host, key.path)
    for other in keys:
        if other == key:
            break
    yield from keys


def locate(url_or_host: str) -> tuple[str, str]:
    """Host in canonical form (without the root dot) and path of a URL; of a bare host, itself and "".

    Raises:
        reservations.urls.UrlError: it is neither.
    """
    found = _PLAIN.match(url_or_host)
    if found is not None:
        return found[1], found[2]
    url = canonical_url(url_or_host if "://" in url_or_host else f"https://{url_or_host}")
    return origin_of(url).host, _PATH.sub("", url)


def read_manifest(manifest: bytes) -> Manifest:
    """The manifest of a build.

    Raises:
        BlocklistError: it is not one.
    """
    try:
        read = _MANIFEST.decode(manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise BlocklistError(f"This is not a manifest: {fault}.", "manifest.json", "Compile the list again.") from fault
    if read.format != FORMAT:
        raise BlocklistError(
            f"The build is of format {read.format}; this program reads format {FORMAT}.",
            "manifest.json",
            "Compile the list with the same release of the program.",
        )
    return read


def has_eu_source(manifest: Manifest) -> bool:
    """Whether a court or public authority of the EU or EEA stands behind at least one name in force."""
    return any(
        source.enforced > 0 and source.authority_type in OFFICIAL and source.country in EEA
        for source in manifest.sources
    )


class Blocklist:
    """A compiled build, ready to be asked. Immutable: a newer build is a new object."""

    def __init__(
        self,
        manifest: Manifest,
        decisions: Iterable[ListingDecision],
        rows: Iterable[_Row],
        exempt: Iterable[Exemption],
    ) -> None:
        self.manifest = manifest
        self._decisions = {decision.id: decision for decision in decisions}
        self._rows = _grouped((Key(row.host, row.match, row.path), row) for row in rows if row.status in ENFORCED)
        self._exempt = _grouped((Key(one.host, one.match, one.path), one) for one in exempt)
        self._names = {key.host for key in self._rows}
        self._with_folders = {key.host for key in (*self._rows, *self._exempt) if key.match is Match.PATH}
        strangers = {row.decision for rows in self._rows.values() for row in rows} - self._decisions.keys()
        if strangers:
            raise BlocklistError(
                f"Entries name decisions that are not there: {sorted(strangers)[:5]}.",
                "blocklist.jsonl",
                "Compile the list again.",
            )

    @classmethod
    def load(cls, jsonl: bytes, manifest: bytes) -> Blocklist:
        """The list out of its two files. Who signed them is `build.open_build`'s business.

        Raises:
            BlocklistError: the files are damaged, or do not belong together.
        """
        stated = read_manifest(manifest)
        if stated.digest != digest_of(jsonl):
            raise BlocklistError(
                "The list is not the one that its manifest describes.",
                "blocklist.jsonl",
                "Take both files from the same build.",
            )
        try:
            lines = [_LINE.decode(line) for line in jsonl.splitlines()]
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            raise BlocklistError(f"A line cannot be read: {fault}.", "blocklist.jsonl", "Compile it again.") from fault
        return cls(
            stated,
            (line for line in lines if isinstance(line, ListingDecision)),
            (line for line in lines if isinstance(line, _Row)),
            (line for line in lines if isinstance(line, Exemption)),
        )

    @property
    def version(self) -> str:
        """Date and counter of the build, "2026.11.22-1"."""
        return self.manifest.version

    @property
    def digest(self) -> str:
        """SHA-256 of blocklist.jsonl, as "sha256:<hex>"."""
        return self.manifest.digest

    @property
    def sources(self) -> tuple[Source, ...]:
        """Who decided, with country, kind and dates."""
        return self.manifest.sources

    @property
    def has_eu_source(self) -> bool:
        """Whether a court or public authority of the EU or EEA stands behind at least one name in force."""
        return has_eu_source(self.manifest)

    def match(self, url_or_host: str, on: dt.date) -> Hit | None:
        """The entry that keeps this URL (or bare host) out on that day, None when none does.

        Raises:
            reservations.urls.UrlError: it is neither a URL nor a host.
        """
        host, path = locate(url_or_host)
        names = self._names
        name = host
        while name not in names:
            name = name.partition(".")[2]
            if not name:
                return None
        return self._narrowest(host, path if host in self._with_folders else "", on)

    def _narrowest(self, host: str, path: str, on: dt.date) -> Hit | None:
        exempt: set[str] = set()
        for key in walk(host, path):
            hits = [
                self._hit(row)
                for row in self._rows.get(key, ())
                if row.decision not in exempt and not self._decisions[row.decision].lapsed(on)
            ]
            if hits:
                return min(hits, key=lambda hit: (hit.held, hit.tier, hit.date, hit.entry))
            exempt.update(one.excepts for one in self._exempt.get(key, ()) if on <= one.until)
        return None

    def _hit(self, row: _Row) -> Hit:
        decision = self._decisions[row.decision]
        return Hit(
            entry=entry_id(row.decision, row.host, row.match, row.path),
            decision=decision.id,
            host=row.host,
            match=row.match,
            path=row.path,
            authority=decision.authority,
            authority_type=decision.authority_type,
            country=decision.country,
            reference=decision.reference,
            date=decision.date,
            tier=decision.tier,
            held=row.status is Status.SUSPENDED,
        )


def signals_for(hit: Hit) -> Signal:
    """The hit as a statement beside all others: nothing of this site may be crawled."""
    closed = {Category.CRAWL: Value.DENY}
    by = ", ".join(part for part in (hit.authority, hit.country, hit.reference, hit.date.isoformat()) if part)
    return Signal(
        protocol="blocklist",
        reason="blocklist.listed",
        carrier="blocklist",
        source="url",
        locator=hit.entry,
        excerpt=f"{hit.match} {hit.host}{hit.path}, tier {hit.tier}: {by}"[:_EXCERPT_CHARS],
        strict=closed,
        effective=closed,
        issues=("suspended",) if hit.held else (),
    )


def digest_of(data: bytes) -> str:
    """The name of these bytes: "sha256:<hex>"."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _grouped(pairs: Iterable[tuple[Key, _T]]) -> dict[Key, tuple[_T, ...]]:
    groups: dict[Key, tuple[_T, ...]] = {}
    for key, value in pairs:
        groups[key] = (*groups.get(key, ()), value)
    return groups
