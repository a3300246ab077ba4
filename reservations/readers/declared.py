"""What rightsholders declared of the very octets at hand: by SHA-256, by ISCC (ISO 24138), by ISBN.

An equal Instance-Code or digest is the work. A Data-Code that is nearly equal may be: then a refusal is for a person to
see. An ISBN that the file's metadata name is the work's as far as refusals go. Content-Codes (of pixels, of words)
are not computed: they depend on decoders, and two versions of one would decide differently.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from reservations.definition import CLOSING
from reservations.file_tables import DeclarationWords, Declared
from reservations.model import Signal, Value
from reservations.readers.asset import Asset
from reservations.readers.books import named_isbns
from reservations.readers.pieces import Kind
from reservations.statement import Place, Reading, Vocabulary

try:
    import iscc_lib
except ImportError:
    _HAS_ISCC = False
else:
    _HAS_ISCC = True

_DATA, _INSTANCE = 3, 4
_UNIT_BITS: Final = 64
_MOST_SIGNALS: Final = 64
_NEEDS: Final = "names an ISCC, and the package iscc-lib is not installed: pip install 'knockfirst[iscc]'"


class _Row(NamedTuple):
    row: Declared
    vocabulary: Vocabulary


class _Near(NamedTuple):
    code: int
    words: DeclarationWords
    row: _Row


class Units(NamedTuple):
    """The codes in an ISCC that octets alone have: body of the Instance-Code, 64 bits of the Data-Code."""

    instance: bytes
    data: int | None


def identifier_fault(row: Declared) -> str:
    """What is wrong with how a declaration names its work; "" when nothing."""
    if not (row.iscc or row.sha256 or row.isbn):
        return "names no work: iscc, sha256 or isbn is needed"
    if not row.iscc:
        return ""
    if not _HAS_ISCC:
        return _NEEDS
    try:
        units = units_of(row.iscc)
    except ValueError as error:
        return f"iscc: {error}"
    if not units.instance and units.data is None and not (row.sha256 or row.isbn):
        return "iscc has neither an Instance-Code nor a Data-Code, so it cannot be compared with octets"
    return ""


def units_of(iscc: str) -> Units:
    """The codes of an ISCC; raises ValueError when it is none."""
    instance, data = b"", None
    for unit in iscc_lib.iscc_decompose(iscc):
        kind, _, _, _, body = iscc_lib.iscc_decode(unit)
        if int(kind) == _INSTANCE:
            instance = body
        elif int(kind) == _DATA:
            data = int.from_bytes(body[: _UNIT_BITS // 8].ljust(_UNIT_BITS // 8, b"\0"), "big")
    return Units(instance, data)


class Declarations:
    """The declarations of all protocols, by what identifies a work."""

    def __init__(self, vocabularies: Iterable[Vocabulary]) -> None:
        self._digests: dict[str, list[_Row]] = {}
        self._instances: dict[bytes, list[_Row]] = {}
        self._books: dict[str, list[_Row]] = {}
        self._near: list[_Near] = []
        for vocabulary in vocabularies:
            for declared in vocabulary.protocol.declared:
                self._add(_Row(declared, vocabulary), vocabulary.protocol.declarations)
        self._is_empty = not (self._digests or self._instances or self._books or self._near)
        self._lengths = sorted({len(body) for body in self._instances})

    def _add(self, row: _Row, words: DeclarationWords | None) -> None:
        if row.row.sha256:
            self._digests.setdefault(row.row.sha256, []).append(row)
        if row.row.isbn:
            self._books.setdefault(row.row.isbn, []).append(row)
        if row.row.iscc:
            units = units_of(row.row.iscc)
            if units.instance:
                self._instances.setdefault(units.instance, []).append(row)
            if units.data is not None and words is not None:
                self._near.append(_Near(units.data, words, row))

    def on(self, body: bytes, asset: Asset | None) -> list[Signal]:
        """Every statement on the octets of a resource; `asset` when it is a document or medium of its own."""
        if self._is_empty:
            return []
        exact = list(self._exact(body))
        found = [(row, _signal(row)) for row in exact]
        if asset is not None:
            found += [(row, _signal(row, by_isbn=True)) for row in self._by_isbn(asset)]
            found += [(near.row, _similar(near)) for near in self._similar(body) if near.row not in exact]
        signals = [signal for _, signal in found if signal is not None]
        signals.sort(key=lambda signal: not any(value in CLOSING for value in signal.effective.values()))
        return list({msgspec.json.encode(signal): signal for signal in signals[:_MOST_SIGNALS]}.values())

    def _exact(self, body: bytes) -> Iterator[_Row]:
        if self._digests:
            yield from self._digests.get(hashlib.sha256(body).hexdigest(), ())
        if self._instances:
            # "1e20", the multihash prefix of BLAKE3 with 32 octets, then the digest.
            digest = bytes.fromhex(iscc_lib.gen_instance_code_v0(body, _UNIT_BITS)["datahash"][4:])
            for length in self._lengths:
                yield from self._instances.get(digest[:length], ())

    def _by_isbn(self, asset: Asset) -> Iterator[_Row]:
        if self._books:
            for packet in asset.packets:
                if packet.kind is not Kind.JUMBF:
                    for isbn in named_isbns(packet.data.decode("utf-8", "replace")):
                        yield from self._books.get(isbn, ())

    def _similar(self, body: bytes) -> Iterator[_Near]:
        if self._near:
            code = units_of(iscc_lib.gen_data_code_v0(body, _UNIT_BITS)["iscc"]).data or 0
            yield from (near for near in self._near if (near.code ^ code).bit_count() <= near.words.near)


def _signal(row: _Row, *, by_isbn: bool = False) -> Signal | None:
    """The statement of a declaration. What it permits counts when its signature was found valid."""
    declared = row.row
    is_signed = declared.signature == "valid"
    issues = (*(() if is_signed else (f"signature-{declared.signature}",)), *(("by-isbn",) if by_isbn else ()))
    sound = (is_signed and not by_isbn) or _refuses(row)
    reading = Reading(declared.label, declared.value, sound=sound, issues=issues)
    who = declared.iscc or (f"isbn {declared.isbn}" if by_isbn else f"sha256 {declared.sha256}")
    said = f"{declared.label}: {declared.value}"
    text = ", ".join(part for part in (said, declared.declarant, declared.at) if part)
    return row.vocabulary.signal(reading, Place("declaration", "body", who, text))


def _refuses(row: _Row) -> bool:
    return row.vocabulary.is_negative(row.row.label, row.row.value)


def _similar(near: _Near) -> Signal | None:
    """A refusal that the resource may fall under."""
    signal = _signal(near.row)
    closed = [category for category, value in signal.effective.items() if value in CLOSING] if signal else []
    if signal is None or not closed:
        return None
    unknown = dict.fromkeys(closed, Value.UNDETERMINABLE)
    return msgspec.structs.replace(
        signal, reason=near.words.similar, strict={}, effective=unknown, vendor={}, issues=(*signal.issues, "similar")
    )
