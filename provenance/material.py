"""What an attempt was decided on, read again from the bytes that were kept: documents, head, body.

Entries say where the bytes lie. They are strangers': a record counts only if its id and digest are those the entry
names. What is not there any more (a body that was discarded, a record that was erased) is named as gone, so that
the caller decides on the statements as they were recorded, and says so.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Final

import msgspec

from provenance.entry import DecisionEntry, EvidenceEntry, Pointer
from provenance.message import MessageError, read_content, read_head
from provenance.warcfile import OPEN_SUFFIX, WARC_NAME, StoredRecord, WarcFileError, digest, open_regular, read_record
from reservations.legal import is_page_key
from reservations.model import Answer, Head, Header, Hop
from reservations.readers.http_head import media_type_of
from reservations.readers.well_known import is_page

_MAX_OPEN_FILES: Final = 32
_MAX_ANSWERS: Final = 4_096
_MAX_ANSWER_BYTES: Final = 64_000_000

#: The document that is read whatever media type it is declared as.
_ROBOTS: Final = "/robots.txt"
_FRAMING: Final = "transfer-encoding"


class Gone(Exception):  # noqa: N818 - not an error: bytes may rightly be gone
    """The bytes are not there, or are not those the entry names. `record` is the record's id, "" when none was kept."""

    def __init__(self, what: str, record: str = "") -> None:
        super().__init__(what)
        self.record = record


class Records:
    """Records of an output folder by pointer, with few files open at a time."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._files: OrderedDict[str, BufferedReader] = OrderedDict()

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def read(self, pointer: Pointer) -> StoredRecord:
        """The record that the pointer names.

        Raises:
            Gone: it is not there, or has other bytes.
        """
        try:
            record = read_record(self._file(pointer.f), pointer.o)
        except (OSError, WarcFileError, OverflowError, ValueError) as error:
            raise Gone(f"{pointer.f} at {pointer.o}: {error}", pointer.id) from error
        if record.id != pointer.id or record.block_digest() != pointer.d:
            raise Gone(f"{pointer.f} at {pointer.o}: another record than the entry names", pointer.id)
        return record

    def _file(self, name: str) -> BufferedReader:
        file = self._files.get(name)
        if file is None:
            if not WARC_NAME.fullmatch(name):
                raise Gone(f"{name!r} is no WARC file of a crawl")
            try:
                file = open_regular(self._out / name)
            except FileNotFoundError:
                file = open_regular(self._out / (name + OPEN_SUFFIX))
            self._files[name] = file
            if len(self._files) > _MAX_OPEN_FILES:
                self._files.popitem(last=False)[1].close()
        self._files.move_to_end(name)
        return file


class Material(msgspec.Struct, kw_only=True):
    """What is left of one attempt.

    Attributes:
        documents: answers by key.
        head: of the resource.
        body: entity of the resource, content codings removed.
        repeats: id of the record that a revisit refers to.
        gone: what was there and is not any more: keys of documents, "head", "body"; each with the reason.
        lost: ids of the records that should be there and are not.
    """

    documents: dict[str, Answer] = {}
    head: Head | None = None
    body: bytes | None = None
    repeats: str | None = None
    gone: dict[str, str] = {}
    lost: list[str] = []

    def lose(self, what: str, why: Gone) -> None:
        """Note that something is gone."""
        self.gone[what] = str(why)
        if why.record:
            self.lost.append(why.record)


class Reader:
    """Reads the material of attempts; answers of origins are remembered, since thousands of entries name one."""

    def __init__(self, out: Path) -> None:
        self.records = Records(out)
        self._answers: OrderedDict[int, Answer | Gone] = OrderedDict()
        self._held = 0

    def read(self, entry: DecisionEntry, evidence: Mapping[str, EvidenceEntry], original: Pointer | None) -> Material:
        """What is left of an attempt.

        Args:
            entry: the attempt.
            evidence: the entries of the documents it consulted, by key.
            original: where the record lies that the attempt's revisit refers to.
        """
        found = Material(documents={}, gone={}, lost=[])
        for key, answer in evidence.items():
            try:
                found.documents[key] = self._answer(answer)
            except Gone as gone:
                found.lose(key, gone)
        main = next((pointer for pointer in entry.warc if pointer.type in {"response", "revisit"}), None)
        if main is not None:
            self._read_exchange(main, original, found)
        elif entry.http is not None:
            found.gone["head"] = "not kept"
        if entry.d:
            found.gone["body"] = "read and not kept"
        return found

    def _read_exchange(self, main: Pointer, original: Pointer | None, found: Material) -> None:
        stored = main.f.startswith("warc/")
        try:
            record = self.records.read(main)
            found.head, at = _head(record)
        except Gone as gone:
            found.lose("head", gone)
            if stored:
                found.gone["body"] = str(gone)
            return
        if not stored:
            return
        try:
            if record.type == "revisit":
                found.repeats = record.fields.get("warc-refers-to", "").removeprefix("<").removesuffix(">")
                if original is None:  # level 2 says so where no other worker can have stored it
                    found.gone["body"] = "stored by another worker of the crawl"
                    return
                found.body = self._original_body(original, found.head)
            else:
                found.body = _content(record, at, found.head.headers)
        except Gone as gone:
            found.lose("body", gone)

    def _original_body(self, original: Pointer, head: Head) -> bytes:
        """The entity of a revisit. Its own coding holds: payloads were compared as coded."""
        record = self.records.read(original)
        own, at = _head(record)
        framing = tuple(h for h in own.headers if h.name.lower() == _FRAMING)
        return _content(record, at, (*(h for h in head.headers if h.name.lower() != _FRAMING), *framing))

    def _answer(self, entry: EvidenceEntry) -> Answer:
        known = self._answers.get(entry.seq)
        if known is None:
            try:
                known = self._read_answer(entry)
            except Gone as gone:
                known = gone
            self._remember(entry.seq, known)
        if isinstance(known, Gone):
            raise known
        return known

    def _remember(self, seq: int, known: Answer | Gone) -> None:
        self._answers[seq] = known
        self._held += _size(known)
        while len(self._answers) > _MAX_ANSWERS or (self._held > _MAX_ANSWER_BYTES and len(self._answers) > 1):
            self._held -= _size(self._answers.popitem(last=False)[1])

    def _read_answer(self, entry: EvidenceEntry) -> Answer:
        headers: tuple[Header, ...] = ()
        body = b""
        if entry.st is not None:
            mains = [pointer for pointer in entry.warc if pointer.type == "response"]
            if not mains:
                raise Gone(f"entry {entry.seq}: {entry.key} was answered, and no record of it is named")
            record = self.records.read(mains[-1])
            head, at = _head(record)
            if head.status != entry.st:
                raise Gone(f"entry {entry.seq}: status {entry.st}, record {head.status}", mains[-1].id)
            headers = head.headers
            body = _document(entry, record, at, headers) if entry.d else b""
        return Answer(
            url=entry.url,
            status=entry.st,
            headers=headers,
            body=body,
            failure=entry.failure or None,
            redirects=tuple(Hop(hop.url, hop.st, hop.to) for hop in entry.redirects),
            truncated=entry.truncated,
            tries=entry.tries,
            fetched_at=entry.fetched,
        )


def _size(known: Answer | Gone) -> int:
    return len(known.body) if isinstance(known, Answer) else 0


def _head(record: StoredRecord) -> tuple[Head, int]:
    try:
        return read_head(record.block)
    except MessageError as error:
        raise Gone(f"record {record.id!r}: {error}", record.id) from error


def _content(record: StoredRecord, at: int, headers: tuple[Header, ...], *, cut: bool = False) -> bytes:
    try:
        return read_content(record.block, at, headers, cut=cut)
    except MessageError as error:
        raise Gone(f"record {record.id!r}: {error}", record.id) from error


def _document(entry: EvidenceEntry, record: StoredRecord, at: int, headers: tuple[Header, ...]) -> bytes:
    """The bytes as parsed; of what is not of the document's kind the start, which shows it."""
    partial = "warc-truncated" in record.fields
    body = _content(record, at, headers, cut=partial)
    body = body[: entry.len] if entry.truncated else body
    if digest(body) == entry.d:
        return body
    if partial and is_page(body, "" if entry.key == _ROBOTS else media_type_of(headers)) is not is_page_key(entry.key):
        return body
    raise Gone(f"entry {entry.seq}: the record holds other bytes than were parsed", record.id)
