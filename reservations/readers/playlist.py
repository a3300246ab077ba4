"""Finds protection that a playlist announces: HLS (RFC 8216 section 4.3.2.4) and DASH (ISO/IEC 23009-1, 5.8.4.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from reservations.readers.pieces import Finding, Piece

_KEY: Final = re.compile(rb"^#EXT-X-(?:SESSION-)?KEY:[^\r\n]{0,200}?METHOD=([A-Z0-9-]{1,40})", re.MULTILINE)
_PROTECTION: Final = re.compile(
    rb"<(?:\w{1,20}:)?ContentProtection\b[^>]{0,300}?schemeIdUri\s*=\s*[\"']([^\"']{0,200})"
)
_ROOT: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*+(?:<\?[^>]*+>\s*+|<!--(?:[^-]|-(?!->))*+-->\s*+)*+<(?:\w{1,20}:)?MPD[\s>]"
)
_MAX_FOUND: Final = 64


def is_hls(body: bytes) -> bool:
    """Whether this is an HLS playlist."""
    return body.startswith((b"#EXTM3U", b"\xef\xbb\xbf#EXTM3U"))


def is_dash(body: bytes) -> bool:
    """Whether this is a DASH manifest."""
    return _ROOT.match(body[:4096]) is not None


def walk_hls(body: bytes) -> Iterator[Piece]:
    """Methods of encryption; NONE is none."""
    methods = dict.fromkeys(match[1] for match, _ in zip(_KEY.finditer(body), range(_MAX_FOUND), strict=False))
    yield from (Finding("media-encryption", name.decode(), "EXT-X-KEY") for name in methods if name != b"NONE")


def walk_dash(body: bytes) -> Iterator[Piece]:
    """Schemes of protection."""
    schemes = dict.fromkeys(match[1] for match, _ in zip(_PROTECTION.finditer(body), range(_MAX_FOUND), strict=False))
    yield from (Finding("media-encryption", name.decode("latin-1"), "ContentProtection") for name in schemes)
