"""Finds XMP packets, C2PA manifest stores and protection in ISO base media files: HEIF, AVIF, MP4, QuickTime, JPEG XL.

ISO/IEC 14496-12 for the boxes, 23008-12 for items, 18181-2 for JPEG XL. Protection as 14496-12 section 8.12 and the
Common Encryption of 23001-7 mark it; nothing is decrypted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import brotli

from reservations.readers.pieces import (
    MAX_PACKET,
    Finding,
    Kind,
    Packet,
    Piece,
    Steps,
    Unreadable,
    number,
    over_budget,
    part,
)

_XMP_UUID: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
C2PA_UUID: Final = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_PARENTS: Final = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"udta", b"moof", b"traf"})
_PROTECTED_ENTRIES: Final = frozenset({b"encv", b"enca", b"encs", b"enct", b"encu", b"drms", b"drmi"})
_XMP_TYPE: Final = b"application/rdf+xml"
_MAX_DEPTH: Final = 12


class _Box(NamedTuple):
    """A box: its type, and where its content begins and ends."""

    kind: bytes
    start: int
    end: int


def walk_bmff(body: bytes) -> Iterator[Piece]:
    """Every box that may hold metadata or say that the media are protected."""
    yield from _walk(body, 0, len(body), Steps(), 0)


def top_boxes(body: bytes) -> Iterator[tuple[bytes, int, int, int]]:
    """The type of each outermost box, and where it, its content and the next one begin; raises Unreadable."""
    at = 0
    for box in _boxes(body, 0, len(body), Steps()):
        yield box.kind, at, box.start, box.end
        at = box.end
    if at != len(body):
        raise Unreadable("a box ends too early")


def _boxes(body: bytes, at: int, end: int, steps: Steps) -> Iterator[_Box]:
    while at + 8 <= end:
        steps.take()
        size, kind, head = number(body, at, 4), body[at + 4 : at + 8], 8
        if size == 1:
            size, head = number(body, at + 8, 8), 16
        elif size == 0:
            size = end - at
        if size < head or at + size > end:
            raise Unreadable("a box ends too early")
        yield _Box(kind, at + head, at + size)
        at += size


def _walk(body: bytes, at: int, end: int, steps: Steps, depth: int) -> Iterator[Piece]:
    if depth > _MAX_DEPTH:
        raise over_budget("boxes too deep")
    for box in _boxes(body, at, end, steps):
        if box.kind in _PARENTS:
            yield from _walk(body, box.start, box.end, steps, depth + 1)
        else:
            yield from _slot(body, box, steps)


def _slot(body: bytes, box: _Box, steps: Steps) -> Iterator[Piece]:
    content = box.end - box.start
    if box.kind == b"uuid" and body.startswith((_XMP_UUID, C2PA_UUID), box.start):
        yield from _named(part(body, box.start, content))
    elif box.kind in (b"XMP_", b"xml "):
        yield Packet(Kind.XMP, part(body, box.start, content), box.kind.decode().strip())
    elif box.kind == b"jumb":
        yield Packet(Kind.JUMBF, part(body, box.start - 8, content + 8), "jumb")
    elif box.kind == b"brob":
        yield from _compressed(part(body, box.start, content))
    elif box.kind == b"meta":
        yield from _items(body, box, steps)
    elif box.kind == b"pssh":
        yield Finding("media-encryption", part(body, box.start + 4, 16).hex(), "pssh")
    elif box.kind == b"stsd":
        for entry in _boxes(body, box.start + 8, box.end, steps):
            if entry.kind in _PROTECTED_ENTRIES:
                yield Finding("media-encryption", entry.kind.decode(), "stsd")


def _named(content: bytes) -> Iterator[Piece]:
    """A `uuid` box. C2PA's has version and flags, a purpose, and for manifests an offset before the store."""
    if content.startswith(_XMP_UUID):
        yield Packet(Kind.XMP, content[16:], "uuid")
    purpose, _, rest = content[20:].partition(b"\0")
    if content.startswith(C2PA_UUID) and purpose in (b"manifest", b"original", b"update"):
        yield Packet(Kind.JUMBF, rest[8:], "uuid")


def _compressed(content: bytes) -> Iterator[Piece]:
    """A box of JPEG XL compressed with Brotli."""
    kind = content[:4]
    if kind not in (b"xml ", b"jumb"):
        return
    data = unbrotli(content[4:])
    if kind == b"jumb":
        yield Packet(Kind.JUMBF, (len(data) + 8).to_bytes(4, "big") + b"jumb" + data, "brob")
    else:
        yield Packet(Kind.XMP, data, "brob")


def unbrotli(data: bytes) -> bytes:
    """Decompressed Brotli; raises Unreadable when it is broken or too large."""
    stream = brotli.Decompressor()
    content: bytes = b""
    try:
        content = stream.process(data, output_buffer_limit=MAX_PACKET)
        while len(content) <= MAX_PACKET and not stream.is_finished() and not stream.can_accept_more_data():
            content += stream.process(b"", output_buffer_limit=MAX_PACKET)
    except brotli.error:
        raise Unreadable("cannot be decompressed") from None
    if len(content) > MAX_PACKET:
        raise over_budget("decompresses beyond the bound")
    if not stream.is_finished():
        raise Unreadable("compressed data end too early")
    return content


def _items(body: bytes, meta: _Box, steps: Steps) -> Iterator[Piece]:
    """Items whose type is XMP. QuickTime's `meta` lacks the version that others begin with."""
    full = body[meta.start + 4 : meta.start + 8] not in (b"hdlr", b"keys", b"ilst")
    parts = {box.kind: box for box in _boxes(body, meta.start + (4 if full else 0), meta.end, steps)}
    if xml := parts.get(b"xml "):
        yield Packet(Kind.XMP, part(body, xml.start + 4, xml.end - xml.start - 4), "meta xml")
    if b"iinf" not in parts:
        return
    wanted = set(_xmp_items(body, parts[b"iinf"], steps))
    if wanted and b"iloc" not in parts:
        raise Unreadable("items without a place")
    for number_of, data in _located(body, parts, wanted, steps) if wanted else ():
        yield Packet(Kind.XMP, data, f"item {number_of}")


def _xmp_items(body: bytes, box: _Box, steps: Steps) -> Iterator[int]:
    """Numbers of the items that hold XMP."""
    counted = 2 if number(body, box.start, 1) == 0 else 4
    for item in _boxes(body, box.start + 4 + counted, box.end, steps):
        version = number(body, item.start, 1)
        if item.kind != b"infe" or version not in (2, 3):
            continue
        width = 2 if version == 2 else 4  # noqa: PLR2004 - versions of the box
        text = body[item.start + 4 + width + 2 : item.end]
        if text[:4] == b"mime" and _XMP_TYPE in text[4:].split(b"\0")[1:2]:
            yield number(body, item.start + 4, width)


def _located(body: bytes, parts: dict[bytes, _Box], wanted: set[int], steps: Steps) -> Iterator[tuple[int, bytes]]:
    """The wanted items' octets, by the location box: in the file, or in the box of item data."""
    at = parts[b"iloc"].start
    version, sizes = number(body, at, 1), number(body, at + 4, 2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version else 0
    width = 2 if version < 2 else 4  # noqa: PLR2004 - versions of the box
    count, at = number(body, at + 6, width), at + 6 + width
    for _ in range(count):
        steps.take()
        item, at = number(body, at, width), at + width
        method = number(body, at, 2) & 15 if version else 0
        at += 4 if version else 2
        base, at = number(body, at, base_size), at + base_size
        extents, at = number(body, at, 2), at + 2
        if method == 1:
            base += parts[b"idat"].start if b"idat" in parts else len(body)
        data = b""
        for _ in range(extents):
            steps.take()
            at += index_size
            start, length = number(body, at, offset_size), number(body, at + offset_size, length_size)
            at += offset_size + length_size
            if item in wanted:
                data += part(body, base + start, length or len(body) - base - start)
                if len(data) > MAX_PACKET:
                    raise over_budget("item too large")
        if item in wanted:
            if method > 1:
                raise Unreadable("an item made of other items")
            yield item, data
