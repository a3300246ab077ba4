"""Is a URL on the list: the compiled index, and the walk over a host's labels that asks it.

The narrowest entry wins; an exemption counts only against its own decision, and only where it is narrower than the
entry. No substring, no pattern, no public suffix list: `a.b.c` is looked up as `a.b.c`, `b.c`, `c`, so that an entry
is found at any depth and the answer cannot drift with somebody else's data. A host that is not listed, the usual
case, costs one look into the index.

CoP Copyright 1.2(b), https://digital-strategy.ec.europa.eu/en/policies/contents-code-gpai.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import unquote

import msgspec

from blocklists.index import Index, Row, build_index, digest_of, place_of
from blocklists.model import (
    EEA,
    OFFICIAL,
    BlocklistError,
    Entry,
    Exemption,
    Hit,
    ListingDecision,
    Manifest,
    Match,
    Source,
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

#: Version of the form of a build's files.
FORMAT: Final = 2

#: What stands around the path of a canonical URL.
_PATH: Final = re.compile(r"^[a-z]+://[^/?#]*|[?#].*", re.DOTALL)

_EXCERPT_CHARS: Final = 256
#: Members of an enumeration are looked up slowly, and these for every hit.
_HOST: Final = Match.HOST
_PATH_ALONE: Final = Match.PATH


class Key(NamedTuple):
    """What an entry covers: its address in the walk."""

    host: str
    match: Match
    path: str = ""


Line = ListingDecision | Entry | Exemption
_LINE: Final = msgspec.json.Decoder(Line)
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

    def __init__(self, manifest: Manifest, index: Index) -> None:
        self.manifest = manifest
        self._index = index
        self._decisions = index.decisions

    @classmethod
    def open(cls, index: bytes, manifest: bytes) -> Blocklist:
        """The list out of its compiled index. Who signed the manifest is `build.open_build`'s business.

        Raises:
            BlocklistError: the files are damaged, or do not belong together.
        """
        stated = read_manifest(manifest)
        if stated.index != digest_of(index):
            raise BlocklistError(
                "The index is not the one that the manifest describes.",
                "blocklist.index",
                "Take all files from the same build.",
            )
        return cls(stated, Index(index))

    @classmethod
    def load(cls, jsonl: bytes, manifest: bytes) -> Blocklist:
        """The list out of its readable lines, as kept beside a log; the index is made anew.

        Raises:
            BlocklistError: the files are damaged, or do not belong together.
        """
        stated = read_manifest(manifest)
        if stated.digest != digest_of(jsonl):
            raise BlocklistError(
                "The list is not the one that its manifest describes.",
                "blocklist.jsonl",
                "Take all files from the same build.",
            )
        return cls(stated, Index(index_of(read_lines(jsonl))))

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
        place = folder = place_of(host)
        if host in self._index.folders:
            folder += b"".join(f"/{name}".encode("utf-8", "surrogateescape") for name in segments(path)[:MAX_FOLDERS])
            folder += b"/"
        covering = self._index.covering(folder)
        if not covering:
            return None
        if len(covering) == 1 and (row := self._index.sole(covering[0])) is not None:
            return None if self._decisions[row.decision].lapsed(on) else self._hit(row, host, place, covering[0])
        return self._narrowest(host, place, covering, on)

    def _narrowest(self, host: str, place: bytes, covering: list[bytes], on: dt.date) -> Hit | None:
        exempt: set[int] = set()
        for listed in reversed(covering):
            levels = self._index.rows(listed)
            for rows in levels if listed == place else levels[1:]:
                if not rows:
                    continue
                hits = [row for row in rows if row.until is None and row.decision not in exempt]
                hits = [row for row in hits if not self._decisions[row.decision].lapsed(on)]
                if hits:
                    found = hits[0] if len(hits) == 1 else min(hits, key=self._weight)
                    return self._hit(found, host, place, listed)
                exempt.update(row.decision for row in rows if row.until is not None and on <= row.until)
        return None

    def _weight(self, row: Row) -> tuple[bool, int, dt.date, str]:
        decision = self._decisions[row.decision]
        return row.held, decision.tier, decision.date, decision.id

    def _hit(self, row: Row, host: str, place: bytes, listed: bytes) -> Hit:
        decision = self._decisions[row.decision]
        path = ""
        if row.match is _PATH_ALONE:
            path = listed[len(place) : -1].decode("utf-8", "surrogateescape")
        elif row.match is not _HOST:
            host = host[len(place) - len(listed) :]
        return Hit(
            entry=entry_id(decision.id, host, row.match, path),
            decision=decision.id,
            host=host,
            match=row.match,
            path=path,
            authority=decision.authority,
            authority_type=decision.authority_type,
            country=decision.country,
            reference=decision.reference,
            date=decision.date,
            tier=decision.tier,
            held=row.held,
        )


def read_lines(jsonl: bytes) -> list[Line]:
    """Everything that a compiled list holds, with every field.

    Raises:
        BlocklistError: a line is damaged.
    """
    try:
        return [_LINE.decode(line) for line in jsonl.splitlines()]
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise BlocklistError(f"A line cannot be read: {fault}.", "blocklist.jsonl", "Compile it again.") from fault


def index_of(lines: list[Line]) -> bytes:
    """The index of these lines."""
    return build_index(
        (line for line in lines if isinstance(line, ListingDecision)),
        (line for line in lines if isinstance(line, Entry)),
        (line for line in lines if isinstance(line, Exemption)),
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
