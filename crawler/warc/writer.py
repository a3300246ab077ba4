"""The file side of WARC: one gzip member a record, rotation, names, durability.

A file is called `<name>.open` from its first byte until the decision log covers everything in it; then it gets its
own name, for good. So whatever a crash leaves uncovered lies in `.open` files and nowhere else (`recover`).

    write(capture) ... write(capture)   each capture's entry joins the caller's next group before the next capture
    sync()                              captures are durable: the group's entries may be written and synced
    settle()                            the group's entries are durable: full files get their names
    close()                             all entries are durable and nothing follows: all files get their names

While a group is written, the next one gathers, and its captures may fill a file. So a file is named only by the
`settle` of the group after the one that found it full: by then everything in it belongs to a group that is durable.

`write` touches the disk only to create a file and when much is pending; `sync` and `settle` belong in a worker
thread. After the first error of the disk the writer refuses everything: what is not written must not be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias

import msgspec
from isal import igzip_lib

from crawler.warc.records import (
    CONFORMS_TO,
    Original,
    Record,
    WarcError,
    header,
    new_record_id,
    warc_fields,
    warcinfo_record,
)
from provenance.entry import Pointer

OPEN_SUFFIX: Final = ".open"
"""What the name of a file ends with while the log does not cover all of it."""

Copied: TypeAlias = tuple[tuple[Pointer, bytes], ...]
"""Records as they stand in another writer's file: what pointed to each, and its gzip member."""

DigestName: TypeAlias = Literal["sha1", "sha256"]

_HEAD_END: Final = b"\r\n\r\n"
_WARCINFO: Final = re.compile(rb"WARC-Warcinfo-ID: <[^>]*>")
_RECORD_END: Final = b"\r\n\r\n"
_MAX_PENDING_BYTES: Final = 8 * 1024 * 1024
_LEVELS: Final = range(4)
_PREFIX: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_NOT_A_HOST: Final = re.compile(r"[^A-Za-z0-9.]+")


class RawFile(Protocol):
    """What the writer asks of a file: unbuffered, so that an error belongs to the write that caused it."""

    def write(self, data: memoryview, /) -> int | None: ...  # noqa: D102
    def fileno(self) -> int: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class _File:
    """One `.open` file: what was added to it and has not reached the disk, and how long it will be."""

    def __init__(self, name: str, path: Path, raw: RawFile, warcinfo_id: str) -> None:
        self.name = name
        self.path = path
        self.warcinfo_id = warcinfo_id
        self.size = 0
        self.pending_bytes = 0
        self.listed = False  # whether its folder is known to hold it
        self._pending: list[bytes] = []
        self._raw = raw
        self._unsynced = False

    def add(self, member: bytes) -> int:
        """Append a member; its offset."""
        offset = self.size
        self._pending.append(member)
        self.size += len(member)
        self.pending_bytes += len(member)
        return offset

    def take(self) -> list[bytes]:
        """What is pending, for `write_out`; the writer's lock is held."""
        taken, self._pending, self.pending_bytes = self._pending, [], 0
        return taken

    def write_out(self, members: list[bytes]) -> None:
        left = memoryview(b"".join(members))
        self._unsynced = self._unsynced or bool(left)
        while left:
            written = self._raw.write(left)
            if not written:
                raise OSError(f"wrote nothing of {len(left)} bytes")
            left = left[written:]

    def sync(self) -> None:
        if self._unsynced:
            os.fsync(self._raw.fileno())
            self._unsynced = False

    def close(self) -> None:
        self._raw.close()


class WarcWriter:
    """Writes captures into the WARC files of one folder.

    Args:
        folder: made when the first capture is written. Its name begins the file names in pointers.
        prefix: begins every file name.
        info: fields of the warcinfo record (`records.crawl_info`), `hostname` among them.
        clock: aware UTC time.
        max_bytes: a file at least this long takes no further capture.
        new_id: makes the ids of warcinfo records.
        level: of the compression (ISA-L), 0 to 3. 1 is within a per cent of zlib's 6 in size, at half its time.
        digest: algorithm of the digest fields in WARC headers. Pointers have SHA-256 always.
        create: opens a new file, and fails when it exists.

    Raises:
        WarcError: an argument cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        prefix: str,
        *,
        info: Mapping[str, str],
        clock: Callable[[], datetime],
        max_bytes: int = 10**9,
        new_id: Callable[[], str] = new_record_id,
        level: int = 1,
        digest: DigestName = "sha1",
        create: Callable[[Path], RawFile] | None = None,
    ) -> None:
        if not _PREFIX.fullmatch(prefix):
            raise WarcError(f"file prefix {prefix!r}: use up to 64 letters, digits, '-' and '_'")
        if "hostname" not in info:
            raise WarcError("the warcinfo fields lack `hostname`; name the machine that writes the files")
        if level not in _LEVELS:
            raise WarcError(f"compression level {level}: use 0 to 3")
        self._info = {
            "format": "WARC File Format 1.1",
            "conformsTo": CONFORMS_TO,
            **info,
            "digest-encoding": f"in WARC headers {digest} as base32; in the decision log sha256 as hexadecimal",
            "payload-digest": "in WARC headers of the message body as stored, in the log of the entity",
        }
        warc_fields(self._info)  # a field that cannot be written is an error of the start, not of the first page
        self._folder, self._prefix, self._clock, self._new_id = folder, prefix, clock, new_id
        self._host = _NOT_A_HOST.sub("-", info["hostname"])[:63].strip("-.") or "host"
        self._max_bytes, self._level, self._digest = max_bytes, level, digest
        self._create = create or _create
        self._serial = count()
        self._lock = threading.Lock()  # who is current, what is pending; held for no longer than a capture takes
        self._io = threading.Lock()  # taken before `_lock`: bytes reach files in the order they were added
        self._file: _File | None = None
        self._full: list[_File] = []
        self._found_full: list[_File] = []  # by the last sync
        self._covered: list[_File] = []  # found full by an earlier sync
        self._warcinfo_id = new_id()
        self._payload_of: tuple[Record | None, str] = None, ""  # the record encoded last, of those that have a payload
        self._failure: WarcError | None = None
        self._closed = False

    def write(self, records: Sequence[Record]) -> tuple[Pointer, ...]:
        """Add the records of one capture, all to the same file, none if one of them cannot be written.

        Returns:
            Where each record lies, in order. The file has the name in the pointer once it is settled; until then
            `OPEN_SUFFIX` follows it.

        Raises:
            WarcError: a value cannot stand in a record, or the disk failed now or before.
        """
        with self._lock:
            self._require_working()
            self._rotate()
            encoded = [self._encode(record) for record in records]
            file = self._current()
            pointers = tuple(
                self._pointer(file, record, member, digest)
                for record, (member, digest) in zip(records, encoded, strict=True)
            )
            crowded = file.pending_bytes > _MAX_PENDING_BYTES
        if crowded:
            with self._io:
                self._write_out()
        return pointers

    def members(self, pointers: Sequence[Pointer]) -> Copied:
        """Records that are durable in this writer's files, as they stand there.

        Raises:
            WarcError: they cannot be read.
        """
        with self._failing("read"):
            return tuple((pointer, self._member(pointer)) for pointer in pointers)

    def _member(self, pointer: Pointer) -> bytes:
        name = Path(pointer.f).name
        with self._io:  # so that the file keeps the name under which it is found
            path = next(p for p in (self._folder / name, self._folder / (name + OPEN_SUFFIX)) if p.exists())
            with path.open("rb") as file:
                return os.pread(file.fileno(), pointer.l, pointer.o)

    def copy(self, copied: Copied) -> tuple[Pointer, ...]:
        """Add the records of a capture that another writer made: the same blocks and dates, under ids of their own.

        Raises:
            WarcError: the disk failed now or before.
        """
        with self._lock:
            self._require_working()
            self._rotate()
            file = self._current()
            ids = {pointer.id: new_record_id() for pointer, _ in copied}
            renamed = [(pointer, self._renamed(member, ids)) for pointer, member in copied]
            name = f"{self._folder.name}/{file.name}"
            return tuple(
                msgspec.structs.replace(pointer, f=name, o=file.add(member), l=len(member), id=ids[pointer.id])
                for pointer, member in renamed
            )

    def _renamed(self, member: bytes, ids: Mapping[str, str]) -> bytes:
        head, end, block = igzip_lib.decompress(member, flag=igzip_lib.DECOMP_GZIP).partition(_HEAD_END)
        for old, new in ids.items():
            head = head.replace(old.encode(), new.encode())
        head = _WARCINFO.sub(f"WARC-Warcinfo-ID: <{self._warcinfo_id}>".encode(), head)
        return igzip_lib.compress(head + end + block, self._level, flag=igzip_lib.COMP_GZIP)

    def original(self, response: Record) -> Original:
        """What a later revisit must know of a response that this writer wrote."""
        if response.target_uri is None or response.payload_at is None:
            raise WarcError(f"a {response.type} record without payload digest cannot be revisited; pass a response")
        return Original(response.record_id, response.target_uri, response.date, self._payload_field(response))

    def sync(self) -> None:
        """Make durable what was written before the call. May run in a worker thread while `write` goes on.

        Raises:
            WarcError: the disk failed, now or before.
        """
        with self._io:
            full, current = self._write_out()
            self._covered += self._found_full
            self._found_full = []
            with self._failing("sync"):
                for file in (*full, *current):
                    file.sync()
                self._list([file for file in (*full, *current) if not file.listed])
                for file in full:
                    file.close()
            with self._lock:
                self._full = [file for file in self._full if file not in full]
            self._found_full = full

    def settle(self) -> None:
        """Name the files that were full by the sync before the last. Call it when the last group's entries are durable.

        Raises:
            WarcError: the disk failed, now or before.
        """
        with self._io:
            self._require_working()
            self._name(self._covered)
            self._covered = []

    def close(self) -> None:
        """Finish all files. Call it when the log entries of everything that was written are durable.

        After a failure it only lets go of the files, as they are: `recover` finishes them.

        Raises:
            WarcError: the disk failed now.
        """
        with self._lock:
            if self._closed:
                return
            if self._failure is None and self._file is not None:
                self._full.append(self._file)
                self._file = None
        try:
            if self._failure is None:
                self.sync()
                with self._io:
                    self._name([*self._covered, *self._found_full])
        finally:
            with self._lock:
                self._closed = True
                left = [*self._full, *([self._file] if self._file else [])]
            for file in left:
                file.close()

    def abandon(self) -> None:
        """Let go of the files as they are, for `recover` to finish: the log failed, and covers no more of them."""
        with self._lock:
            self._failure = self._failure or WarcError(f"the WARC writer of {self._folder} was given up")
        self.close()

    def _name(self, files: Sequence[_File]) -> None:
        if not files:
            return
        with self._failing("rename"):
            for file in files:
                file.path.rename(self._folder / file.name)
            sync_folder(self._folder)

    def _require_working(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise WarcError(f"the WARC writer of {self._folder} is closed; open another one")

    @contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        # After a failed fsync the kernel may have dropped the pages: trying again would report a success that is none.
        try:
            yield
        except OSError as error:
            self._failure = WarcError(
                f"cannot {what} WARC files in {self._folder}: {error}. Nothing more is written;"
                " make room or mend the disk, then start the crawl again: it repairs what was left"
            )
            raise self._failure from error

    def _rotate(self) -> None:
        if self._file is not None and self._file.size >= self._max_bytes:
            self._full.append(self._file)
            self._file, self._warcinfo_id = None, self._new_id()

    def _current(self) -> _File:
        """The file that takes the next capture."""
        if self._file is None:
            self._file = self._open()
        return self._file

    def _open(self) -> _File:
        with self._failing("create"):
            self._folder.mkdir(parents=True, exist_ok=True)
            name = self._free_name()
            path = self._folder / (name + OPEN_SUFFIX)
            file = _File(name, path, self._create(path), self._warcinfo_id)
        info = warcinfo_record(self._info, filename=name, record_id=self._warcinfo_id, date=self._clock())
        file.add(self._encode(info)[0])
        return file

    def _free_name(self) -> str:
        stamp = f"{self._clock():%Y%m%d%H%M%S}"
        while True:
            name = f"{self._prefix}-{stamp}-{next(self._serial):05d}-{self._host}.warc.gz"
            if not any((self._folder / taken).exists() for taken in (name, name + OPEN_SUFFIX)):
                return name

    def _encode(self, record: Record) -> tuple[bytes, str]:
        """The record's gzip member, and the payload's digest for the log ("" without payload)."""
        digests = [("WARC-Block-Digest", self._field_digest(record.block))]
        if record.payload_at is not None:
            digests.append(("WARC-Payload-Digest", self._payload_field(record)))
        head = header(
            record,
            digests=tuple(digests),
            warcinfo_id=None if record.type == "warcinfo" else self._warcinfo_id,
        )
        member = igzip_lib.compress(head + record.block + _RECORD_END, self._level, flag=igzip_lib.COMP_GZIP)
        return member, "" if record.payload is None else log_digest(record.payload)

    def _payload_field(self, record: Record) -> str:
        last, field = self._payload_of
        if last is not record:
            field = self._field_digest(memoryview(record.block)[record.payload_at :])
            self._payload_of = record, field
        return field

    def _field_digest(self, data: bytes | memoryview) -> str:
        octets = hashlib.new(self._digest, data, usedforsecurity=False).digest()
        return f"{self._digest}:{base64.b32encode(octets).decode()}"

    def _list(self, files: list[_File]) -> None:
        """Make durable that the files exist, and that their folder does."""
        if not files:
            return
        sync_folder(self._folder)
        sync_folder(self._folder.parent)
        for file in files:
            file.listed = True

    def _pointer(self, file: _File, record: Record, member: bytes, payload_digest: str) -> Pointer:
        return Pointer(
            f=f"{self._folder.name}/{file.name}",
            o=file.add(member),
            l=len(member),
            id=record.record_id,
            type=record.type,
            d=log_digest(record.block),
            pd=payload_digest or None,
        )

    def _write_out(self) -> tuple[list[_File], list[_File]]:
        """Hand pending bytes to the operating system; which files were full, and which is current (none or one)."""
        with self._lock:
            self._require_working()
            full = list(self._full)
            current = [] if self._file is None else [self._file]
            jobs = [(file, file.take()) for file in (*full, *current)]
        with self._failing("write"):
            for file, members in jobs:
                file.write_out(members)
        return full, current


def log_digest(data: bytes) -> str:
    """A digest as the log writes it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def sync_folder(folder: Path) -> None:
    """Make creations, renames and removals in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create(path: Path) -> RawFile:
    return io.FileIO(path, "x")
