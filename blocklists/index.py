"""The compiled index: which places are listed, in a form that is loaded at once and asked without unpacking it.

A place is written with its labels reversed and a dot after each (`example.pirate.`), a folder with a slash after each
segment (`example.pirate./user/x/`). What covers a URL is then exactly what its own place begins with, and one look
into a trie of all places gives the whole chain. Beside the trie stands one small number a place, which says whose
entries and exemptions it stands for; most places of a list share the same few numbers.

Measured beside a set, a dict and sorted hashes: docs/decisions/0006. The trie is marisa-trie's,
https://github.com/pytries/marisa-trie.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import marisa_trie  # type: ignore[import-not-found]  # compiled, without types
import msgspec

from blocklists.model import ENFORCED, BlocklistError, Entry, Exemption, ListingDecision, Match, Status

MAGIC: Final = b"knockfirst blocklist index 1\n"
_SIZE_BYTES: Final = 4
#: The trie is used where it lies in the file's octets, so it has to begin at a multiple of this.
_ALIGNED: Final = 8
#: Widths of the number a place has, in octets: the narrowest that holds all.
_WIDTHS: Final[tuple[Literal["B", "H", "I"], ...]] = ("B", "H", "I")


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One entry or exemption at a place.

    Attributes:
        decision: number of the decision in the index.
        match: how far it reaches.
        held: whether the entry is suspended.
        until: last day of an exemption; None for an entry.
    """

    decision: int
    match: Match
    held: bool = False
    until: dt.date | None = None


#: What stands at a place: rows that reach the host alone, which are narrower, then all others.
Levels = tuple[tuple[Row, ...], tuple[Row, ...]]


class _Header(msgspec.Struct, frozen=True):
    """What stands before the trie: everything that is small."""

    decisions: tuple[ListingDecision, ...]
    groups: tuple[tuple[Row, ...], ...]
    folders: tuple[str, ...]
    trie: int
    width: int


_HEADER: Final = msgspec.json.Decoder(_Header)


def place_of(host: str, path: str = "") -> bytes:
    """A host, or a folder of it, as the index writes it.

    >>> place_of("www.pirate.example"), place_of("pirate.example", "/user/x")
    (b'example.pirate.www.', b'example.pirate./user/x/')
    """
    place = b".".join(host.encode().split(b".")[::-1]) + b"."
    return place + path.encode("utf-8", "surrogateescape") + b"/" if path else place


def build_index(
    decisions: Iterable[ListingDecision], entries: Iterable[Entry], exemptions: Iterable[Exemption]
) -> bytes:
    """The index of everything in force. The same lines give the same bytes.

    Raises:
        BlocklistError: an entry or exemption names a decision that is not there.
    """
    known = sorted(decisions, key=lambda one: one.id)
    numbers = {one.id: number for number, one in enumerate(known)}
    places: dict[bytes, tuple[Row, ...]] = {}
    folders: set[str] = set()
    try:
        for entry in entries:
            if entry.status in ENFORCED:
                row = Row(numbers[entry.decision], entry.match, entry.status is Status.SUSPENDED)
                _put(places, folders, entry, row)
        for one in exemptions:
            _put(places, folders, one, Row(numbers[one.excepts], one.match, until=one.until))
    except KeyError as unknown:
        raise BlocklistError(
            f"Entries name a decision that is not there: {unknown}.", "blocklist.jsonl", "Compile the list again."
        ) from None
    return _packed(tuple(known), places, folders)


def _put(places: dict[bytes, tuple[Row, ...]], folders: set[str], at: Entry | Exemption, row: Row) -> None:
    place = place_of(at.host, at.path)
    places[place] = (*places.get(place, ()), row)
    if at.path:
        folders.add(at.host)


def _packed(decisions: tuple[ListingDecision, ...], places: dict[bytes, tuple[Row, ...]], folders: set[str]) -> bytes:
    groups: dict[tuple[Row, ...], int] = {}
    # One level of trie: the fastest to ask, and at a million names 3 MB more than the smallest.
    trie = marisa_trie.BinaryTrie(sorted(places), num_tries=1, order=marisa_trie.WEIGHT_ORDER)
    found = [(trie.key_id(place), groups.setdefault(rows, len(groups))) for place, rows in places.items()]
    code = next(code for code in _WIDTHS if len(groups) < 1 << 8 * array(code).itemsize)
    numbers = array(code, bytes(len(found) * array(code).itemsize))
    for key, group in found:
        numbers[key] = group
    octets = trie.tobytes()
    header = msgspec.json.encode(
        _Header(decisions, tuple(groups), tuple(sorted(folders)), len(octets), numbers.itemsize)
    )
    header += b" " * (-(len(MAGIC) + _SIZE_BYTES + len(header)) % _ALIGNED)
    return b"".join((MAGIC, len(header).to_bytes(_SIZE_BYTES, "little"), header, octets, _little(numbers).tobytes()))


def _little(numbers: array[int]) -> array[int]:
    """The same numbers in the order of octets that the file has, and back."""
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers


def _numbers(octets: memoryview, width: int) -> Sequence[int]:
    code = next(code for code in _WIDTHS if array(code).itemsize == width)
    if sys.byteorder == "big":
        return _little(array(code, octets.tobytes()))
    in_place: Sequence[int] = octets.cast(code)
    return in_place


def _levels(rows: tuple[Row, ...]) -> Levels:
    alone = tuple(row for row in rows if row.match is Match.HOST)
    return alone, tuple(row for row in rows if row.match is not Match.HOST)


def _sole(rows: tuple[Row, ...]) -> Row | None:
    return rows[0] if len(rows) == 1 and rows[0].until is None and rows[0].match is not Match.HOST else None


class Index:
    """An index in memory, ready to be asked."""

    def __init__(self, octets: bytes) -> None:
        """Takes the index out of its octets; whoever calls has compared them with a signed digest.

        Raises:
            BlocklistError: they are not an index that this program reads.
        """
        start = len(MAGIC) + _SIZE_BYTES
        end = start + int.from_bytes(octets[len(MAGIC) : start], "little")
        try:
            if not octets.startswith(MAGIC):
                raise ValueError("it does not begin like one")  # noqa: TRY301  (one remedy for all of them)
            header = _HEADER.decode(octets[start:end])
            self._trie = marisa_trie.BinaryTrie()
            view = memoryview(octets)
            self._trie.map(view[end : end + header.trie])
            numbers = _numbers(view[end + header.trie :], header.width)
            if len(numbers) != len(self._trie):
                raise ValueError("it is cut short")  # noqa: TRY301
        except (ValueError, TypeError, RuntimeError, StopIteration, msgspec.DecodeError) as fault:
            raise BlocklistError(f"This is no index: {fault}.", "blocklist.index", "Compile the list again.") from fault
        self._octets = octets  # which the trie goes on reading
        self.decisions = header.decisions
        self.folders = frozenset(header.folders)
        self._levels = tuple(map(_levels, header.groups))
        self._sole = tuple(map(_sole, header.groups))
        self._numbers = numbers
        self.covering = self._trie.prefixes
        """The listed places that a place begins with, the widest first."""

    def __len__(self) -> int:
        return len(self._numbers)

    def rows(self, place: bytes) -> Levels:
        """The entries and exemptions at a listed place."""
        return self._levels[self._numbers[self._trie.key_id(place)]]

    def sole(self, place: bytes) -> Row | None:
        """The one entry at a listed place, where nothing else has to be weighed: nearly always there is one."""
        row: Row | None = self._sole[self._numbers[self._trie.key_id(place)]]
        return row

    def content(self) -> dict[bytes, Levels]:
        """Everything that is listed, to be compared with another index."""
        return {place: self.rows(place) for place in self._trie.iterkeys()}


def digest_of(data: bytes) -> str:
    """The name of these bytes: "sha256:<hex>"."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
