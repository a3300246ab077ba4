"""Finds XMP packets and C2PA manifest stores in JPEG, PNG, RIFF (WebP, WAV, AVI), GIF and TIFF files.

Each format has its own slots: XMP specification part 3 (Adobe, 2020), C2PA 2.2 appendix A. Only the structure of the
file is walked; no pixel is decoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from reservations.readers.pieces import (
    MAX_PACKET,
    Kind,
    Packet,
    Piece,
    Steps,
    Unreadable,
    inflate,
    number,
    over_budget,
    part,
)

_XMP_SEGMENT: Final = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENDED_SEGMENT: Final = b"http://ns.adobe.com/xmp/extension/\0"
_EXTENDED_HEAD: Final = 40
_APP1, _APP11, _SOS, _EOI = 0xE1, 0xEB, 0xDA, 0xD9
_BARE_MARKERS: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_PNG_KEYWORD: Final = b"XML:com.adobe.xmp\0"
_RAW_PROFILE: Final = b"Raw profile type xmp\0"
_HEX_PROFILE: Final = re.compile(rb"\s*xmp\s+\d+\s+([0-9a-fA-F\s]*)")
_RIFF_SLOTS: Final = {b"XMP ": Kind.XMP, b"_PMX": Kind.XMP, b"C2PA": Kind.JUMBF}
_GIF_SLOTS: Final = {b"XMP DataXMP": Kind.XMP, b"C2PA_GIF\x01\x00\x00": Kind.JUMBF}
_TIFF_SLOTS: Final = {700: Kind.XMP, 0xCD41: Kind.JUMBF}
_SUB_IFDS: Final = 330
_MAX_IFDS: Final = 64
_BOX_HEAD, _LONG_BOX_HEAD = 8, 16


def walk_jpeg(body: bytes) -> Iterator[Piece]:
    """APP1 holds XMP, and its extension in parts; APP11 holds JUMBF, in parts. Metadata ends where the scan begins."""
    steps = Steps()
    main: list[bytes] = []
    extended: dict[bytes, dict[int, bytes]] = {}
    sizes: dict[bytes, int] = {}
    boxes: dict[int, dict[int, bytes]] = {}
    fault = None
    try:
        for marker, data in _segments(body, steps):
            if marker == _APP1 and data.startswith(_XMP_SEGMENT):
                main.append(data)
                yield Packet(Kind.XMP, data[len(_XMP_SEGMENT) :], "APP1")
            elif marker == _APP1 and data.startswith(_EXTENDED_SEGMENT):
                rest = data[len(_EXTENDED_SEGMENT) :]
                guid = part(rest, 0, 32)
                sizes[guid] = number(rest, 32, 4)
                extended.setdefault(guid, {})[number(rest, 36, 4)] = rest[_EXTENDED_HEAD:]
            elif marker == _APP11 and data.startswith(b"JP"):
                boxes.setdefault(number(data, 2, 2), {})[number(data, 4, 4)] = data[8:]
    except Unreadable as error:
        fault = error
    yield from _jumbf_of(boxes)
    for guid, parts in extended.items():
        issues = () if any(guid in data for data in main) else ("unannounced",)
        yield Packet(Kind.XMP, _joined(parts, sizes[guid]), "APP1 extension", issues)
    if fault is not None:
        raise fault


def _segments(body: bytes, steps: Steps) -> Iterator[tuple[int, bytes]]:
    """Marker and content of every segment before the first scan."""
    at = 2
    while True:
        steps.take()
        if number(body, at, 1) != 0xFF:  # noqa: PLR2004 - every marker begins with it
            raise Unreadable("no marker where one must stand")
        marker = number(body, at + 1, 1)
        if marker == 0xFF:  # noqa: PLR2004 - a fill byte
            at += 1
        elif marker in _BARE_MARKERS:
            at += 2
        elif marker in (_SOS, _EOI):
            return
        else:
            length = number(body, at + 2, 2)
            yield marker, part(body, at + 4, length - 2)
            at += 2 + length


def _joined(parts: dict[int, bytes], size: int) -> bytes:
    """An extended packet from its parts by offset; raises Unreadable when any is missing."""
    if size > MAX_PACKET:
        raise over_budget("extended packet too large")
    whole = bytearray()
    for offset in sorted(parts):
        if offset > len(whole):
            raise Unreadable("a part of the extended packet is missing")
        whole[offset : offset + len(parts[offset])] = parts[offset]
        if len(whole) > MAX_PACKET:
            raise over_budget("extended packet too large")
    if len(whole) < size:
        raise Unreadable("a part of the extended packet is missing")
    return bytes(whole[:size])


def _jumbf_of(boxes: dict[int, dict[int, bytes]]) -> Iterator[Packet]:
    """Each box from its segments: every segment repeats the box's head, and only the first counts."""
    for parts in boxes.values():
        first, *others = (parts[sequence] for sequence in sorted(parts))
        head = _LONG_BOX_HEAD if first[:4] == b"\0\0\0\1" else _BOX_HEAD
        yield Packet(Kind.JUMBF, first + b"".join(other[head:] for other in others), "APP11")


def walk_png(body: bytes) -> Iterator[Piece]:
    """`iTXt` with the keyword of XMP, ImageMagick's raw profile, `caBX`; they may stand behind the pixels."""
    steps = Steps()
    at = 8
    while True:
        steps.take()
        length, kind = number(body, at, 4), part(body, at + 4, 4)
        start, at = at + 8, at + 12 + length
        if kind == b"IEND":
            return
        if at > len(body):
            raise Unreadable("a chunk ends too early")
        if kind == b"caBX":
            yield Packet(Kind.JUMBF, part(body, start, length), "caBX")
        elif kind in (b"iTXt", b"tEXt", b"zTXt") and body.startswith((_PNG_KEYWORD, _RAW_PROFILE), start):
            yield Packet(Kind.XMP, _png_text(kind, part(body, start, length)), kind.decode())


def _png_text(kind: bytes, chunk: bytes) -> bytes:
    """The text of a chunk: behind the keyword, behind flags and languages, inflated, out of hexadecimal."""
    keyword, _, text = chunk.partition(b"\0")
    if kind == b"iTXt":
        compressed = text[:1] == b"\1"
        text = text[2:].split(b"\0", 2)[-1]
    else:
        compressed = kind == b"zTXt"
        text = text[1:] if compressed else text
    text = inflate(text) if compressed else text
    if _RAW_PROFILE.startswith(keyword):
        profile = _HEX_PROFILE.match(text)
        digits = re.sub(rb"\s", b"", profile[1]) if profile and profile[1].strip() else b"-"
        try:
            return bytes.fromhex(digits.decode("ascii"))
        except ValueError:
            raise Unreadable("a raw profile that is no profile") from None
    return text


def walk_riff(body: bytes) -> Iterator[Piece]:
    """Chunks of the one level that RIFF files keep metadata on."""
    steps = Steps()
    at, end = 12, 8 + number(body, 4, 4, "little")
    while at + 8 <= min(end, len(body)):
        steps.take()
        kind, length = body[at : at + 4], number(body, at + 4, 4, "little")
        if kind in _RIFF_SLOTS:
            yield Packet(_RIFF_SLOTS[kind], part(body, at + 8, length), kind.decode().strip())
        at += 8 + length + (length & 1)
    if end > len(body) + 1:
        raise Unreadable("a chunk ends too early")


def walk_gif(body: bytes) -> Iterator[Piece]:
    """Application extensions; that of XMP stands in the file in one piece, the length bytes being its own text."""
    steps = Steps(200_000)
    at = 13 + _colours(number(body, 10, 1))
    while (kind := number(body, at, 1)) != 0x3B:  # noqa: PLR2004 - the trailer
        steps.take()
        if kind == 0x2C:  # noqa: PLR2004 - an image
            at = _skip(body, at + 11 + _colours(number(body, at + 9, 1)), steps)
        elif kind == 0x21:  # noqa: PLR2004 - an extension
            begin, at = at + 3, _skip(body, at + 2, steps)
            if slot := _GIF_SLOTS.get(body[begin : begin + 11]):
                content = body[begin + 11 : at]
                data = part(content, 0, len(content)) if slot is Kind.XMP else _unblocked(content)
                yield Packet(slot, data, body[begin : begin + 8].decode("latin-1"))
        else:
            raise Unreadable("no block where one must stand")


def _colours(flags: int) -> int:
    """Octets of the colour table that a flag byte announces."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _skip(body: bytes, at: int, steps: Steps) -> int:
    """The end of a row of sub-blocks."""
    while length := number(body, at, 1):
        steps.take()
        at += 1 + length
    return at + 1


def _unblocked(content: bytes) -> bytes:
    """Sub-blocks without their lengths."""
    whole, at = bytearray(), 0
    while length := number(content, at, 1):
        whole += content[at + 1 : at + 1 + length]
        at += 1 + length
    return bytes(whole)


def walk_tiff(body: bytes) -> Iterator[Piece]:
    """Tags of every directory, and of directories below; TIFF and BigTIFF, DNG among them."""
    order = "little" if body[:2] == b"II" else "big"
    big = number(body, 2, 2, order) == 43  # noqa: PLR2004 - BigTIFF's version
    word = 8 if big else 4
    count_octets, entry_octets = (8, 20) if big else (2, 12)
    steps = Steps()
    todo, seen = [number(body, 8 if big else 4, word, order)], set[int]()
    while todo and (at := todo.pop()):
        if at in seen:
            continue
        seen.add(at)
        if len(seen) > _MAX_IFDS:
            raise over_budget("too many directories")
        count = number(body, at, count_octets, order)
        at += count_octets
        for entry in range(at, at + count * entry_octets, entry_octets):
            steps.take()
            tag, size = number(body, entry, 2, order), number(body, entry + 4, word, order)
            if tag in _TIFF_SLOTS:
                yield Packet(_TIFF_SLOTS[tag], _tiff_value(body, entry, size, word, order), f"tag {tag}")
            elif tag == _SUB_IFDS:
                value = _tiff_value(body, entry, size * word, word, order)
                todo += [number(value, place, word, order) for place in range(0, min(len(value), 256), word)]
        todo.append(number(body, at + count * entry_octets, word, order))


def _tiff_value(body: bytes, entry: int, octets: int, word: int, order: str) -> bytes:
    """A value: in the entry itself when it fits, else where the entry points to."""
    place = entry + 4 + word
    return part(body, place if octets <= word else number(body, place, word, order), octets)
