"""Transferred bytes to the entity: content codings removed step by step, bounded while they are removed.

RFC 9110 8.4 (https://www.rfc-editor.org/rfc/rfc9110#section-8.4): gzip and deflate (RFC 1952, 1950, 1951), br
(RFC 7932), zstd (RFC 8878, window bound of RFC 9659). Every decoder gives its output in pieces of at most about
`STEP` bytes, so that a bomb costs its cap and no more, however many codings are stacked.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import Final, Protocol, cast

import brotli
from isal import isal_zlib

from crawler.download.errors import Reason, TransferError
from crawler.download.limits import KIB, Limits

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STEP: Final = 64 * KIB
"""Output of one decoding step."""

MAX_CODINGS: Final = 2
"""Codings on top of each other; `gzip, gzip` does happen, more is an attack."""

GZIP: Final = 31
ZLIB: Final = 15
RAW_DEFLATE: Final = -15
"""Values of zlib's `wbits` for the three containers of one algorithm."""

DEFLATE_METHOD: Final = 8
"""Low half of the first byte of every zlib stream (RFC 1950 2.2)."""

ZSTD_WINDOW_LOG: Final = 23
"""8 MiB: what RFC 9659 allows to the content coding."""


class Decoder(Protocol):
    """One content coding being removed."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Gives what `data` decodes to, in bounded pieces; raises one of `FAULTS`, or ValueError."""

    def is_whole(self) -> bool:
        """Tells whether the stream may end here."""


class _Inflate:
    """One deflate stream in one of its containers."""

    def __init__(self, wbits: int) -> None:
        self._stream = isal_zlib.decompressobj(wbits)

    def decode(self, data: bytes) -> Iterator[bytes]:
        if self._stream.eof and data:
            raise ValueError("bytes after the end of the compressed stream")
        piece = b""
        # A full piece may leave output inside the decoder even when all input is consumed.
        while (data or len(piece) == STEP) and not self._stream.eof:
            piece = self._stream.decompress(data, STEP)
            data = self._stream.unconsumed_tail
            if piece:
                yield piece

    @property
    def ended(self) -> bool:
        return bool(self._stream.eof)

    @property
    def rest(self) -> bytes:
        """What followed the end of the stream."""
        return bytes(self._stream.unused_data)

    def is_whole(self) -> bool:
        return self.ended and not self.rest


class Gzip:
    """A gzip file: one member or several (RFC 1952 2.2), zero padding after any."""

    def __init__(self) -> None:
        self._member = _Inflate(GZIP)

    def decode(self, data: bytes) -> Iterator[bytes]:
        """See `Decoder`."""
        while data:
            if self._member.ended:
                data = data.lstrip(b"\0")
                if not data:
                    return
                self._member = _Inflate(GZIP)
            yield from self._member.decode(data)
            data = self._member.rest if self._member.ended else b""

    def is_whole(self) -> bool:
        """See `Decoder`."""
        return self._member.ended


class Deflate:
    """A zlib stream, as RFC 9110 8.4.1.2 says, or a raw deflate stream, as old servers send it."""

    def __init__(self) -> None:
        self._start = b""
        self._stream: _Inflate | None = None

    def decode(self, data: bytes) -> Iterator[bytes]:
        """See `Decoder`."""
        if self._stream is None:
            data = self._start + data
            if len(data) < 2:  # noqa: PLR2004 - the two octets of a zlib header
                self._start = data
                return
            is_zlib = data[0] & 0x0F == DEFLATE_METHOD and int.from_bytes(data[:2]) % 31 == 0
            self._stream = _Inflate(ZLIB if is_zlib else RAW_DEFLATE)
        yield from self._stream.decode(data)

    def is_whole(self) -> bool:
        """See `Decoder`."""
        return self._stream is not None and self._stream.is_whole()


class Brotli:
    """A brotli stream. Its window, up to 16 MiB by the format, comes on top of a piece."""

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    def decode(self, data: bytes) -> Iterator[bytes]:
        """See `Decoder`."""
        piece = self._stream.process(data, output_buffer_limit=STEP)
        while piece or not self._stream.can_accept_more_data():
            yield piece
            piece = self._stream.process(b"", output_buffer_limit=STEP)

    def is_whole(self) -> bool:
        """See `Decoder`."""
        return bool(self._stream.is_finished())


class Zstd:
    """Zstandard frames, one or several, each with a window of 8 MiB at most."""

    def __init__(self) -> None:
        self._frame = self._new_frame()

    @staticmethod
    def _new_frame() -> zstd.ZstdDecompressor:
        return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG})

    def decode(self, data: bytes) -> Iterator[bytes]:
        """See `Decoder`."""
        while data:
            if self._frame.eof:
                self._frame = self._new_frame()
            while not self._frame.eof:
                piece = self._frame.decompress(data, STEP)
                data = b""
                if piece:
                    yield piece
                if self._frame.needs_input:
                    break
            data = self._frame.unused_data

    def is_whole(self) -> bool:
        """See `Decoder`."""
        return self._frame.eof


DECODERS: Final[Mapping[str, Callable[[], Decoder]]] = {
    "gzip": Gzip,
    "x-gzip": Gzip,
    "deflate": Deflate,
    "br": Brotli,
    "zstd": Zstd,
}

ACCEPT_ENCODING: Final = "gzip, deflate, br, zstd"
"""What every request offers."""

# Cast: brotli's stub declares an instance where there is a class.
FAULTS: Final = cast(
    "tuple[type[Exception], ...]", (isal_zlib.error, brotli.error, zstd.ZstdError, ValueError, EOFError)
)


def _codings(content_encoding: Sequence[str]) -> list[str]:
    """The codings named by all Content-Encoding lines, in the order in which they were applied."""
    words = (word.strip().lower() for line in content_encoding for word in line.split(","))
    return [word for word in words if word not in {"", "identity"}]


class Entity:
    """The decoded body of one answer, as far as it has come.

    Args:
        content_encoding: values of the answer's Content-Encoding lines.
        max_bytes: decoded size that may be reached.
        truncate: beyond `max_bytes`, cut (and set `truncated`) instead of raising "too-large".
        limits: bounds on inflation.
        where: origin, for error messages.
    """

    def __init__(
        self, content_encoding: Sequence[str], *, max_bytes: int, truncate: bool, limits: Limits, where: str
    ) -> None:
        self.truncated = False
        self._max_bytes = max_bytes
        self._truncate = truncate
        self._limits = limits
        self._where = where
        self._content = BytesIO()
        self._transferred = 0
        self._codings = _codings(content_encoding)
        self._decoders: list[Decoder] = []

    def feed(self, data: bytes) -> None:
        """Adds transferred bytes (chunk framing removed)."""
        if self._codings and not self._decoders:
            self._decoders = self._open_decoders()
        self._transferred += len(data)
        if self._transferred > self._max_bytes + STEP and self._decoders:
            raise self._error("too-large", f"more than {self._max_bytes} bytes of compressed body")
        try:
            for piece in self._decoded(data, 0):
                self._add(piece)
                if self.truncated:
                    return
        except FAULTS as error:
            raise self._error("encoding", f"broken content coding: {error}") from error

    def finish(self) -> None:
        """Checks that nothing is missing at the end of the transfer."""
        # An empty body under `Content-Encoding: gzip` is common on redirects and harmless.
        if self.truncated or not self._transferred:
            return
        if not all(decoder.is_whole() for decoder in self._decoders):
            raise self._error("encoding", "the compressed stream ends before its end")

    def content(self) -> bytes:
        """The entity as decoded so far."""
        return self._content.getvalue()

    def _open_decoders(self) -> list[Decoder]:
        if len(self._codings) > MAX_CODINGS or not DECODERS.keys() >= set(self._codings):
            raise self._error("encoding", f"content coding {', '.join(self._codings)!r}; known are {ACCEPT_ENCODING}")
        return [DECODERS[word]() for word in reversed(self._codings)]

    def _decoded(self, data: bytes, stage: int) -> Iterator[bytes]:
        if stage == len(self._decoders):
            yield data
            return
        for piece in self._decoders[stage].decode(data):
            yield from self._decoded(piece, stage + 1)

    def _add(self, piece: bytes) -> None:
        room = self._max_bytes - self._content.tell()
        if len(piece) > room:
            if not self._truncate:
                raise self._error("too-large", f"more than {self._max_bytes} bytes of body")
            self.truncated = True
        size = self._content.tell() + len(piece)
        if size > self._limits.inflation_floor and size > self._limits.inflation * self._transferred:
            raise self._error("inflation", f"{self._transferred} bytes became {size}")
        self._content.write(piece[:room])

    def _error(self, reason: Reason, detail: str) -> TransferError:
        return TransferError(reason, self._where, detail)
