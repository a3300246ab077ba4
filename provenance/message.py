"""An HTTP answer read again from the block of a WARC record: head, entity, content codings removed.

RFC 9112 6-7 and RFC 9110 8.4. For replay: what the crawler decoded while it downloaded is decoded here a second time,
by code that shares nothing with it, from the bytes as received. Bounded: nothing inflates beyond `MAX_CONTENT_BYTES`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import brotli
import zstandard

from reservations.model import Head, Header

MAX_CONTENT_BYTES: Final = 256 * 1024 * 1024

_STATUS_LINE: Final = re.compile(rb"HTTP/[0-9]\.[0-9] ([0-9]{3})(?=[ \r\n])")
_END_OF_HEAD: Final = re.compile(rb"\n\r?\n")
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r?\n")
_LINE_END: Final = re.compile(rb"\r?\n")
_STEP: Final = 65_536
_MAX_CODINGS: Final = 2
_ZSTD_WINDOW: Final = 8 * 1024 * 1024  # RFC 9659
_DEFLATE_METHOD: Final = 8


class MessageError(ValueError):
    """The block is not an HTTP answer, or its body cannot be decoded."""


def read_head(block: bytes) -> tuple[Head, int]:
    """Status and header lines as they stood there, and where the body begins.

    Raises:
        MessageError: there is no whole head.
    """
    status = _STATUS_LINE.match(block)
    end = _END_OF_HEAD.search(block)
    if status is None or end is None:
        raise MessageError("no HTTP head")
    headers: list[Header] = []
    for raw in block[: end.end()].decode("latin-1").split("\n")[1:]:
        line = raw.rstrip("\r")
        if line[:1] in (" ", "\t") and headers:  # a folded line continues the one before it (RFC 9112 5.2)
            last = headers.pop()
            headers.append(Header(last.name, last.value + " " + line.strip(" \t")))
        elif line:
            name, _, value = line.partition(":")
            headers.append(Header(name, value.strip(" \t")))
    return Head(status=int(status[1]), headers=tuple(headers)), end.end()


def read_content(block: bytes, at: int, headers: Sequence[Header], *, cut: bool = False) -> bytes:
    """The entity, content codings removed. With `cut`, as much as there is of a body that was not kept whole.

    Raises:
        MessageError: framing or coding is broken, or it inflates to too much.
    """
    chunked = any(header.name.lower() == "transfer-encoding" for header in headers)
    data: Iterator[bytes] = _unchunked(block, at, cut=cut) if chunked else iter((block[at:],))
    for name in reversed(_codings(headers)):
        data = _DECODERS[name](data, cut)
    parts, size = [], 0
    try:
        for part in data:
            parts.append(part)
            size += len(part)
            if size > MAX_CONTENT_BYTES:
                raise MessageError(f"inflates to more than {MAX_CONTENT_BYTES} bytes")
    except (zlib.error, brotli.error, zstandard.ZstdError) as error:
        if not cut:
            raise MessageError(f"broken content coding ({error})") from error
    return b"".join(parts)


def _codings(headers: Sequence[Header]) -> list[str]:
    lines = (header.value for header in headers if header.name.lower() == "content-encoding")
    names = [word for line in lines for word in (part.strip().lower() for part in line.split(","))]
    codings = [name for name in names if name not in {"", "identity"}]
    if len(codings) > _MAX_CODINGS or not _DECODERS.keys() >= set(codings):
        raise MessageError(f"content coding {', '.join(codings)!r}")
    return codings


def _unchunked(block: bytes, at: int, *, cut: bool) -> Iterator[bytes]:
    """The data of a chunked body (RFC 9112 7.1), chunk by chunk."""
    while size_line := _CHUNK_SIZE.match(block, at):
        size = int(size_line[1], 16)
        if size == 0:
            return
        end = size_line.end() + min(size, len(block))
        yield block[size_line.end() : end]
        line_end = _LINE_END.match(block, end)
        if line_end is None:
            break
        at = line_end.end()
    if not cut:
        raise MessageError("broken chunk framing")


def _inflated(wbits: int, data: Iterator[bytes], *, several: bool, cut: bool) -> Iterator[bytes]:
    """Deflate streams; `several`: gzip members one behind the other, with zeros between them (RFC 1952 2.2)."""
    stream, begun = zlib.decompressobj(wbits), False
    for part in data:
        rest = part
        while rest:
            if stream.eof:
                rest = rest.lstrip(b"\0") if several else rest
                if not rest:
                    break
                if not several:
                    raise MessageError("bytes behind the compressed stream")
                stream = zlib.decompressobj(wbits)
            begun = True
            while piece := stream.decompress(rest, _STEP):
                yield piece
                rest = stream.unconsumed_tail
            rest = stream.unused_data
    if begun and not stream.eof and not cut:
        raise MessageError("the compressed stream ends before its end")


def _gzip(data: Iterator[bytes], cut: bool) -> Iterator[bytes]:  # noqa: FBT001 - one signature for all decoders
    return _inflated(31, data, several=True, cut=cut)


def _deflate(data: Iterator[bytes], cut: bool) -> Iterator[bytes]:  # noqa: FBT001
    """A zlib stream, or a raw one, as old servers send it."""
    whole = b"".join(data)
    is_zlib = bool(whole) and whole[0] & 0x0F == _DEFLATE_METHOD and int.from_bytes(whole[:2]) % 31 == 0
    return _inflated(15 if is_zlib else -15, iter((whole,) if whole else ()), several=False, cut=cut)


def _brotli(data: Iterator[bytes], cut: bool) -> Iterator[bytes]:  # noqa: FBT001
    stream, begun = brotli.Decompressor(), False
    for part in data:
        begun = begun or bool(part)
        piece = stream.process(part, output_buffer_limit=_STEP)
        while piece or not stream.can_accept_more_data():
            yield piece
            piece = stream.process(b"", output_buffer_limit=_STEP)
    if begun and not stream.is_finished() and not cut:
        raise MessageError("the compressed stream ends before its end")


def _zstd(data: Iterator[bytes], cut: bool) -> Iterator[bytes]:  # noqa: FBT001, ARG001 - the reader takes what is there
    reader = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).stream_reader(
        b"".join(data), read_across_frames=True
    )
    while piece := reader.read(_STEP):
        yield piece


_DECODERS: Final[Mapping[str, Callable[[Iterator[bytes], bool], Iterator[bytes]]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
