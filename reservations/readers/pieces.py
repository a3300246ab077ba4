"""What readers of files hand on: metadata packets, statements of the container, and what stood in the way.

A walker goes through one container format and yields pieces in the order of the file. It knows no protocol.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Final, NamedTuple

#: Most octets of metadata that are looked at in one file, and of one packet after inflation.
MAX_PACKET: Final = 8 << 20
#: Most octets that one octet may become, beyond the first MiB.
_MAX_RATIO: Final = 100
#: Most boxes, chunks, segments or objects that a walker visits in one file.
MAX_STEPS: Final = 50_000
#: Most packets of one file.
MAX_PACKETS: Final = 64


class Kind(StrEnum):
    """The syntax of a packet."""

    XMP = "xmp"
    """XML with `rdf:RDF` in it (ISO 16684-1)."""
    JUMBF = "c2pa"
    """A C2PA manifest store (ISO 19566-5 boxes)."""
    OPF = "epub_meta"
    """A package document of an EPUB."""


class Packet(NamedTuple):
    """Metadata, as octets.

    Attributes:
        locator: where in the file it stood, for people: "APP1", "caBX", "OEBPS/content.opf".
        issues: what was odd about its place; then only refusals in it count.
    """

    kind: Kind
    data: bytes
    locator: str
    issues: tuple[str, ...] = ()


class Finding(NamedTuple):
    """What the container says by itself, in the words of the tables: protection, and what could not be read.

    Attributes:
        what: "broken", "over-budget", "encrypted", "pdf-encrypt", "epub-encryption", ...
        detail: an algorithm's name, a system's id, or what went wrong.
    """

    what: str
    detail: str
    locator: str


Piece = Packet | Finding
Walker = Callable[[bytes], Iterator[Piece]]


class Unreadable(Exception):  # noqa: N818 - a finding, not a fault of ours
    """The rest of a file or packet cannot be read; `what` is "broken" or "over-budget"."""

    def __init__(self, detail: str, what: str = "broken") -> None:
        super().__init__(detail)
        self.what = what
        self.detail = detail


def over_budget(detail: str) -> Unreadable:
    """A bound was reached."""
    return Unreadable(detail, "over-budget")


def number(body: bytes, at: int, octets: int, order: str = "big") -> int:
    """The unsigned number at `at`; raises Unreadable past the end."""
    if at < 0 or at + octets > len(body):
        raise Unreadable("ends too early")
    return int.from_bytes(body[at : at + octets], "little" if order == "little" else "big")


def part(body: bytes, at: int, octets: int) -> bytes:
    """So many octets from `at`; raises Unreadable past the end, and above the bound on packets."""
    if at < 0 or octets < 0 or at + octets > len(body):
        raise Unreadable("ends too early")
    if octets > MAX_PACKET:
        raise over_budget("packet too large")
    return body[at : at + octets]


def inflate(data: bytes, limit: int = MAX_PACKET) -> bytes:
    """Decompressed zlib data; raises Unreadable when it is broken, or larger than it can honestly be."""
    stream = zlib.decompressobj()
    limit = min(limit, max(1 << 20, len(data) * _MAX_RATIO))
    try:
        content = stream.decompress(data, limit + 1)
    except zlib.error:
        raise Unreadable("cannot be inflated") from None
    if not content and not stream.eof:
        raise Unreadable("cannot be inflated")
    if len(content) > limit:
        raise over_budget("inflates beyond the bound")
    return content


class Steps:
    """Counts visits; raises Unreadable when there are too many."""

    def __init__(self, most: int = MAX_STEPS) -> None:
        self._left = most

    def take(self) -> None:
        """One more visit."""
        self._left -= 1
        if self._left < 0:
            raise over_budget("too many parts")
