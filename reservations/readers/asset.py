"""From a file's octets to its metadata packets: which format it is, and the walker that knows its slots.

The octets decide, not what the server calls them. Where a format has no packet in its own slot, packets are looked
for anywhere in the file; what is found there only refuses. Reading never raises; what stood in the way is a finding.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection, Iterator
from typing import Final, NamedTuple

from reservations.readers.bmff import walk_bmff
from reservations.readers.epub import is_epub, walk_epub
from reservations.readers.image import walk_gif, walk_jpeg, walk_png, walk_riff, walk_tiff
from reservations.readers.pdf import walk_pdf
from reservations.readers.pieces import MAX_PACKET, MAX_PACKETS, Finding, Kind, Packet, Piece, Unreadable, Walker
from reservations.readers.playlist import is_dash, is_hls, walk_dash, walk_hls
from reservations.readers.xmp import find_packets, read_elements, text_of

_MAX_METADATA: Final = 4 * MAX_PACKET
_SVG: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*+(?:<\?[^>]*+>\s*+|<!--(?:[^-]|-(?!->))*+-->\s*+|<!DOCTYPE\s+svg[^>\[]*+(?:\[[^\]]*+\]\s*+)?>\s*+)*+"
    rb"<(?:svg:)?svg[\s>/]"
)
_PLAIN_DOCTYPE: Final = re.compile(r"<!DOCTYPE[^>\[]*>")
_SVG_MANIFEST: Final = re.compile(
    rb"<(?:\w{1,20}:)?manifest[^>]{0,200}>\s*([A-Za-z0-9+/=\s]+)</(?:\w{1,20}:)?manifest>"
)
_STORE: Final = b"jumdc2pa"
_STORE_HEAD: Final = 12


class Asset(NamedTuple):
    """A file that may carry metadata of its own.

    Attributes:
        media_type: what its octets say it is, "" when they do not say.
        packets: metadata, in the order of the file.
        findings: protection, and what could not be read.
        body: the whole file.
    """

    media_type: str
    packets: tuple[Packet, ...] = ()
    findings: tuple[Finding, ...] = ()
    body: bytes = b""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Of which kinds packets were found where they belong."""
        return tuple(packet.kind for packet in self.packets if "outside_slot" not in packet.issues)

    def elements(self, namespace: str) -> list[tuple[bytes, str]]:
        """The outermost XML elements of a namespace in its metadata, each with the place of its packet."""
        return [
            (element, packet.locator)
            for packet in self.packets
            if packet.kind in (Kind.XMP, Kind.OPF)
            for element in read_elements(packet.data, namespace)
        ]


class _Format(NamedTuple):
    """A format.

    Attributes:
        media_type: its name; fits: how it is known; walk: who goes through it.
        anywhere: packets may be looked for outside of its slots.
        markup: it begins with a tag. Nothing else does, so that no page is taken for a medium.
    """

    media_type: str
    fits: Callable[[bytes], bool]
    walk: Walker
    anywhere: bool = True
    markup: bool = False


def _walk_svg(body: bytes) -> Iterator[Piece]:
    """SVG is XML itself. A document type without entities is usual there and says nothing."""
    if b"rdf-syntax-ns#" in body or b"<!ENTITY" in body:
        yield Packet(Kind.XMP, _PLAIN_DOCTYPE.sub("", text_of(body), count=1).encode("utf-8", "replace"), "svg")
    for match in _SVG_MANIFEST.finditer(body):
        try:
            yield Packet(Kind.JUMBF, base64.b64decode(match[1]), "svg manifest")
        except binascii.Error:
            raise Unreadable("a manifest that is no base64") from None


def _walk_nothing(body: bytes) -> Iterator[Piece]:
    """A format without slots that we know."""
    del body
    return iter(())


def _starts(*marks: bytes) -> Callable[[bytes], bool]:
    return lambda body: body.startswith(marks)


_FORMATS: Final = (
    _Format("image/jpeg", _starts(b"\xff\xd8\xff"), walk_jpeg),
    _Format("image/png", _starts(b"\x89PNG\r\n\x1a\n"), walk_png),
    _Format("image/gif", _starts(b"GIF87a", b"GIF89a"), walk_gif),
    _Format("image/webp", lambda body: body[:4] == b"RIFF" and body[8:12] == b"WEBP", walk_riff),
    _Format("audio/wav", lambda body: body[:4] == b"RIFF" and body[8:12] == b"WAVE", walk_riff),
    _Format("video/x-msvideo", lambda body: body[:4] == b"RIFF" and body[8:12] == b"AVI ", walk_riff),
    _Format("image/tiff", _starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), walk_tiff),
    _Format("image/heif", lambda body: body[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1"), walk_bmff),
    _Format("image/avif", lambda body: body[4:12] in (b"ftypavif", b"ftypavis"), walk_bmff),
    _Format("image/jxl", _starts(b"\0\0\0\x0cJXL \r\n\x87\n"), walk_bmff),
    _Format("video/mp4", lambda body: body[4:8] in (b"ftyp", b"moov", b"styp", b"moof"), walk_bmff),
    _Format("application/pdf", lambda body: b"%PDF-" in body[:1024], walk_pdf, anywhere=False),
    _Format("application/epub+zip", is_epub, walk_epub, anywhere=False),
    _Format("application/vnd.apple.mpegurl", is_hls, walk_hls, anywhere=False),
    _Format("application/dash+xml", is_dash, walk_dash, anywhere=False, markup=True),
    _Format("image/svg+xml", lambda body: _SVG.match(body[:8192]) is not None, _walk_svg, anywhere=False, markup=True),
)
_OPAQUE: Final = ("application/octet-stream", "application/ogg", "application/x-photoshop", "application/postscript")


def is_file(body: bytes, media_type: str = "") -> bool:
    """Whether it has a format of its own: then what is packed in it decides how long reading takes, not its size."""
    return _format_of(body, media_type) is not None


def _format_of(body: bytes, media_type: str) -> _Format | None:
    # A server's warning may stand before a PDF.
    markup = body[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") and media_type != "application/pdf"
    return next((form for form in _FORMATS if form.markup is markup and form.fits(body)), None)


def read_asset(body: bytes, media_type: str) -> Asset | None:
    """What a file carries by itself; None when it is no document or medium whose metadata stand inside.

    Args:
        body: the entity.
        media_type: as declared; only counts when the octets do not say it.
    """
    form = _format_of(body, media_type)
    if form is None:
        if media_type.partition("/")[0] not in ("image", "audio", "video") and media_type not in _OPAQUE:
            return None
        form = _Format("", lambda _: True, _walk_nothing)
    packets: list[Packet] = []
    findings: list[Finding] = []
    left = _MAX_METADATA
    try:
        for piece in form.walk(body):
            if isinstance(piece, Finding):
                findings.append(piece)
                continue
            packets.append(piece)
            left -= len(piece.data)
            if left < 0 or len(packets) >= MAX_PACKETS:
                raise Unreadable("too much metadata", "over-budget")  # noqa: TRY301 - as a walker would
    except Unreadable as fault:
        findings.append(Finding(fault.what, fault.detail, form.media_type or media_type))
    if form.anywhere:
        packets += _anywhere(body, {packet.kind for packet in packets})
    return Asset(form.media_type, tuple(packets), tuple(dict.fromkeys(findings)), body)


def _anywhere(body: bytes, found: Collection[Kind]) -> Iterator[Packet]:
    """Packets outside of slots, of the kinds of which none was found in one."""
    issues = ("outside_slot",)
    if Kind.XMP not in found:
        for (at, data), _ in zip(find_packets(body), range(MAX_PACKETS), strict=False):
            yield Packet(Kind.XMP, data[:MAX_PACKET], f"octet {at}", issues)
    at = body.find(_STORE) - _STORE_HEAD
    if Kind.JUMBF not in found and at >= 0 and body[at + 4 : at + 8] == b"jumb":
        size = int.from_bytes(body[at : at + 4], "big")
        yield Packet(Kind.JUMBF, body[at : at + min(size, MAX_PACKET)], f"octet {at}", issues)
