"""Reads WARC files strictly, record by record: WARC 1.1 clauses 4, 5 and annex D (a gzip member per record).

Standard: https://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/. Decides nothing. It is an
auditor's reader: it knows the exact place and stored length of each record, and whatever is not exactly one record in
one gzip member is an error with its offset, also at the end of a file, where lenient readers stop without a word.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import zlib
from io import BufferedReader, FileIO
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

MAX_RECORD_BYTES: Final = 512 * 1024 * 1024
"""A record that inflates to more is not looked at: it would take the reader's memory."""

OPEN_SUFFIX: Final = ".open"
"""Behind the name of a file that is still written, or that a crash left."""

WARC_NAME: Final = re.compile(r"(?:warc|evidence)/[A-Za-z0-9][A-Za-z0-9._-]*\.warc\.gz")
"""Names of WARC files relative to the output folder; entries that name anything else lead nowhere."""

_FIRST_BYTES: Final = 2_048
_READ_BYTES: Final = 65_536
_MAX_HEADER_BYTES: Final = 262_144
_GZIP: Final = 31
_REPEATABLE: Final = frozenset({"warc-concurrent-to", "warc-protocol"})
_CONTENT_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r?\n")
_TRANSFER_ENCODING: Final = re.compile(rb"^transfer-encoding[ \t]*:", re.IGNORECASE | re.MULTILINE)
_END_OF_HEAD: Final = re.compile(rb"\r?\n\r?\n")


class WarcFileError(Exception):
    """What lies at this place is not one whole WARC record."""


class StoredRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record as it lies in a file.

    Attributes:
        offset: where its gzip member begins.
        length: stored length of the member.
        fields: header fields by lower-case name; the first one of those that may repeat.
        block: what follows the header.
    """

    offset: int
    length: int
    fields: dict[str, str]
    block: bytes

    @property
    def type(self) -> str:
        """WARC-Type."""
        return self.fields["warc-type"]

    @property
    def id(self) -> str:
        """WARC-Record-ID without angle brackets."""
        return self.fields["warc-record-id"].removeprefix("<").removesuffix(">")

    @property
    def target_uri(self) -> str:
        """WARC-Target-URI, empty when there is none."""
        return self.fields.get("warc-target-uri", "")

    def block_digest(self) -> str:
        """Digest of the block, as pointers write it."""
        return digest(self.block)

    def payload_digest(self) -> str | None:
        """Digest of the HTTP entity in the block after transfer decoding; None when its framing is broken."""
        head = _END_OF_HEAD.search(self.block)
        if head is None:
            return None
        body = memoryview(self.block)[head.end() :]
        if not _TRANSFER_ENCODING.search(self.block, 0, head.end()):
            return digest(body)
        return _unchunked_digest(self.block, head.end())


def digest(octets: bytes | memoryview) -> str:
    """SHA-256 as the log writes it."""
    return f"sha256:{hashlib.sha256(octets).hexdigest()}"


def file_digest(path: Path) -> tuple[int, str]:
    """Size and digest of a whole file, as `file` entries write them."""
    with open_regular(path) as file:
        return os.fstat(file.fileno()).st_size, f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading; a link, pipe or device in its place is refused.

    Raises:
        OSError: it is none or cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return BufferedReader(FileIO(descriptor, "rb"), 1 << 20)


def read_record(file: BinaryIO, offset: int) -> StoredRecord:
    """The record whose gzip member begins at `offset`.

    Raises:
        WarcFileError: there is no whole, well-formed record.
    """
    whole, length = _inflate(file, offset)
    header, blank, rest = whole.partition(b"\r\n\r\n")
    if not blank or len(header) > _MAX_HEADER_BYTES:
        raise WarcFileError("no WARC header")
    fields = _fields(header)
    size = fields["content-length"]
    if not _CONTENT_LENGTH.fullmatch(size) or rest[int(size) :] != b"\r\n\r\n" or len(rest) != int(size) + 4:
        raise WarcFileError("Content-Length is not the length of the block")
    return StoredRecord(offset=offset, length=length, fields=fields, block=rest[: int(size)])


def _inflate(file: BinaryIO, offset: int) -> tuple[bytes, int]:
    file.seek(offset)
    member, parts, left = zlib.decompressobj(_GZIP), [], MAX_RECORD_BYTES
    step = _FIRST_BYTES  # most records are small, and what is read too much is copied twice
    while not member.eof:
        stored = member.unconsumed_tail or file.read(step)
        step = _READ_BYTES
        if not stored:
            raise WarcFileError("the file ends inside a record")
        try:
            part = member.decompress(stored, left)
        except zlib.error as error:
            raise WarcFileError(f"damaged ({error})") from error
        parts.append(part)
        left -= len(part)
        if left <= 0:
            raise WarcFileError(f"inflates to more than {MAX_RECORD_BYTES} bytes")
    return b"".join(parts), file.tell() - len(member.unused_data) - offset


def _fields(header: bytes) -> dict[str, str]:
    try:
        version, *lines = header.decode().split("\r\n")
    except UnicodeDecodeError:
        raise WarcFileError("the WARC header is not UTF-8") from None
    if version not in {"WARC/1.0", "WARC/1.1"}:
        raise WarcFileError("does not begin with WARC/1.1")
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        key = name.lower()
        if not colon or not name or name != name.strip():
            raise WarcFileError("a line of the WARC header is no field")
        if key in fields and key not in _REPEATABLE:
            raise WarcFileError(f"WARC header field {name!r} stands there twice")
        fields.setdefault(key, value.strip())
    missing = {"warc-type", "warc-record-id", "content-length"} - fields.keys()
    if missing:
        raise WarcFileError(f"the WARC header lacks {', '.join(sorted(missing))}")
    return fields


def _unchunked_digest(block: bytes, at: int) -> str | None:
    """Digest of the data of a chunked body that begins at `at` (RFC 9112 7.1); None where its framing is broken."""
    total, view = hashlib.sha256(), memoryview(block)
    while size_line := _CHUNK_SIZE.match(block, at):
        start, size = size_line.end(), int(size_line[1], 16)
        if size == 0:
            return f"sha256:{total.hexdigest()}"
        total.update(view[start : start + size])
        at = start + size
        line_end = next((end for end in (b"\r\n", b"\n") if block.startswith(end, at)), None)
        if line_end is None:
            return None
        at += len(line_end)
    return None
