"""Reads the boxes of a C2PA manifest store (ISO 19566-5) and the CBOR or JSON in them (RFC 8949, RFC 8259).

Of every box only its label and content matter here. Maps are kept as lists of pairs, because of two equal keys one
may refuse. Everything is bounded: boxes, depth, items.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

from reservations.readers.nested import TooDeep, read_json
from reservations.readers.pieces import Steps, Unreadable, number, over_budget, part

_MAX_DEPTH: Final = 32
_MAX_BOXES: Final = 10_000
_MAX_CBOR_DEPTH: Final = 64
_MAX_CBOR_ITEMS: Final = 100_000
_LABELLED: Final = 3
_INDEFINITE: Final = 31
_FLOATS: Final = {25: ">e", 26: ">f", 27: ">d"}


class Pairs(NamedTuple):
    """A map with its pairs in order, equal keys kept apart."""

    pairs: tuple[tuple[object, object], ...]


_PARSE: Final = partial(json.loads, object_pairs_hook=lambda pairs: Pairs(tuple(pairs)))


class Content(NamedTuple):
    """A content box: the labels of the superboxes around it from the outside in, its type, and its octets."""

    labels: tuple[str, ...]
    kind: str
    data: bytes


class Span(NamedTuple):
    """A superbox: its label, and where its content stands (description box and all) without its own header."""

    label: str
    start: int
    stop: int


def read_boxes(data: bytes) -> Iterator[Content]:
    """Every content box of a store. Raises Unreadable where the boxes are broken or too many."""
    yield from _walk(data, 0, len(data), (), Steps(_MAX_BOXES))


def superboxes(data: bytes, start: int, stop: int) -> Iterator[Span]:
    """The superboxes that stand directly in a stretch. Raises Unreadable as `read_boxes` does."""
    steps = Steps(_MAX_BOXES)
    for kind, at, end in _boxes(data, start, stop, steps):
        if kind == b"jumb":
            first = next(_boxes(data, at, end, steps), None)
            yield Span(_label(data[first[1] : first[2]]) if first and first[0] == b"jumd" else "", at, end)


def _walk(data: bytes, at: int, end: int, labels: tuple[str, ...], steps: Steps) -> Iterator[Content]:
    if len(labels) > _MAX_DEPTH:
        raise over_budget("boxes too deep")
    label = ""
    for kind, start, stop in _boxes(data, at, end, steps):
        if kind == b"jumb":
            yield from _walk(data, start, stop, (*labels, label) if label else labels, steps)
        elif kind == b"jumd":
            label = _label(part(data, start, stop - start))
        else:
            yield Content((*labels, label), kind.decode("latin-1"), part(data, start, stop - start))


def _boxes(data: bytes, at: int, end: int, steps: Steps) -> Iterator[tuple[bytes, int, int]]:
    """The type of each box in a stretch, and where its content begins and ends."""
    while at + 8 <= end:
        steps.take()
        size, kind, head = number(data, at, 4), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = number(data, at + 8, 8), 16
        elif size == 0:
            size = end - at
        if size < head or at + size > end:
            raise Unreadable("a box ends too early")
        yield kind, at + head, at + size
        at += size
    if at < end and any(data[at:end]):
        raise Unreadable("a box ends too early")


def _label(description: bytes) -> str:
    """The label in a description box: a type of 16 octets, flags, then the label when the flags say so."""
    if len(description) < 17 or description[16] & _LABELLED != _LABELLED:  # noqa: PLR2004 - type and flags
        return ""
    return description[17:].partition(b"\0")[0].decode("utf-8", "replace")


def decode(kind: str, data: bytes) -> object:
    """The value of a content box; raises Unreadable when it is none, or out of bounds."""
    if kind == "cbor":
        value, _ = _cbor(data, 0, 0, Steps(_MAX_CBOR_ITEMS))
        return value
    try:
        value = read_json(data, _PARSE)
    except TooDeep:
        raise over_budget("values too deep") from None
    except ValueError:
        raise Unreadable("no JSON") from None
    return value


def _cbor(data: bytes, at: int, depth: int, steps: Steps) -> tuple[object, int]:
    """A data item and where it ends."""
    steps.take()
    if depth > _MAX_CBOR_DEPTH:
        raise over_budget("values too deep")
    first = number(data, at, 1)
    major, low = first >> 5, first & 31
    if major == 7:  # noqa: PLR2004 - simple values and floats
        return _simple(data, at, low)
    argument, at = _argument(data, at, low)
    if major in (0, 1):
        return (argument if major == 0 else -1 - argument) if argument is not None else None, at
    if major == 6:  # noqa: PLR2004 - a tag: what it says of the value does not matter here
        return _cbor(data, at, depth + 1, steps)
    if major in (2, 3):
        octets, at = _string(data, at, argument, steps)
        return (octets if major == 2 else octets.decode("utf-8", "replace")), at  # noqa: PLR2004 - bytes
    items: list[object] = []
    wanted = None if argument is None else argument * (major - 3)
    while len(items) != wanted:
        if wanted is None and data[at : at + 1] == b"\xff":
            at += 1
            break
        item, at = _cbor(data, at, depth + 1, steps)
        items.append(item)
    return (items if major == 4 else Pairs(tuple(zip(items[::2], items[1::2], strict=False)))), at  # noqa: PLR2004


def _argument(data: bytes, at: int, low: int) -> tuple[int | None, int]:
    """The number in an item's head, None when the length is open."""
    if low < 24:  # noqa: PLR2004 - RFC 8949 section 3
        return low, at + 1
    if low == _INDEFINITE:
        return None, at + 1
    if low > 27:  # noqa: PLR2004 - RFC 8949 section 3
        raise Unreadable("no CBOR")
    octets = 1 << (low - 24)
    return number(data, at + 1, octets), at + 1 + octets


def _string(data: bytes, at: int, length: int | None, steps: Steps) -> tuple[bytes, int]:
    """A string of octets, in one piece or in several."""
    if length is not None:
        return part(data, at, length), at + length
    pieces: list[bytes] = []
    while number(data, at, 1) != 0xFF:  # noqa: PLR2004 - the end of an open length
        steps.take()
        size, at = _argument(data, at, data[at] & 31)
        if size is None:
            raise Unreadable("no CBOR")
        pieces.append(part(data, at, size))
        at += size
    return b"".join(pieces), at + 1


def _simple(data: bytes, at: int, low: int) -> tuple[object, int]:
    if low in _FLOATS:
        octets = 1 << (low - 24)
        return struct.unpack(_FLOATS[low], part(data, at + 1, octets))[0], at + 1 + octets
    return {20: False, 21: True}.get(low), at + (2 if low == 24 else 1)  # noqa: PLR2004 - RFC 8949 section 3.3
