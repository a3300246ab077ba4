"""Finds the document's XMP packet, C2PA manifest store and encryption in a PDF file (ISO 32000-2).

Only the way to the catalog is read: cross-reference tables and streams, object streams, every one of them within
bounds. No page, font or image is looked at, so a large file costs as little as a small one. A file whose
cross-references are broken is searched for its catalog. Metadata of single images and of earlier revisions are not
the document's own.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import accumulate, islice
from typing import Final, NamedTuple, Protocol

from reservations.readers.pieces import (
    MAX_PACKET,
    Finding,
    Kind,
    Packet,
    Piece,
    Steps,
    Unreadable,
    inflate,
    over_budget,
)

_MAX_DEPTH: Final = 32
_MAX_SECTIONS: Final = 256
_MAX_OBJECTS: Final = 128
_MAX_HEADS: Final = 300_000
#: Octets of cross-references and object streams after inflation: of one, of all.
_MAX_TABLE: Final = 8 << 20
_MAX_INFLATED: Final = 64 << 20
_ENTRY: Final = 20
_UP: Final = 2

_SPACE: Final = re.compile(rb"(?:[\0\t\n\f\r ]++|%[^\r\n]*+)*+")
_TOKEN: Final = re.compile(
    rb"(?P<open><<|\[)|(?P<close>>>|\])|(?P<name>/[^\0\t\n\f\r ()<>\[\]{}/%]*+)"
    rb"|(?P<ref>\d{1,10}[\0\t\n\f\r ]++\d{1,5}[\0\t\n\f\r ]++R(?![A-Za-z]))|(?P<number>[+-]?(?:\d++\.?\d*+|\.\d++))"
    rb"|(?P<hex><[^>]*+>)|(?P<string>\()|(?P<word>[A-Za-z]++)"
)
_STRING: Final = re.compile(rb"(?:[^()\\]++|\\.)*+", re.DOTALL)
_OBJECT: Final = re.compile(rb"[\0\t\n\f\r ]*(\d{1,10})[\0\t\n\f\r ]+\d{1,5}[\0\t\n\f\r ]+obj")
_STREAM: Final = re.compile(rb"[\0\t\n\f\r ]*stream(?:\r\n|\n|\r)")
_START: Final = re.compile(rb"startxref[\0\t\n\f\r ]+(\d{1,12})")
_SUBSECTION: Final = re.compile(rb"[\0\t\n\f\r ]*(\d{1,10}) +(\d{1,10})[\0\t\f ]*(?:\r\n|\n|\r)")
_TABLE_ENTRY: Final = re.compile(rb"(\d{10}) \d{5} ([nf])")
_CATALOG: Final = (b"/Type /Catalog", b"/Type/Catalog")
_XREF: Final = re.compile(rb"/Type[\0\t\n\f\r ]*/XRef(?![A-Za-z])")
_TRAILER: Final = re.compile(rb"trailer(?=[\0\t\n\f\r ]*<<)")
_HEAD: Final = re.compile(rb"(?<![0-9])(\d{1,10})[\0\t\n\f\r ]+\d{1,5}[\0\t\n\f\r ]+$")
_ESCAPE: Final = re.compile(rb"#([0-9A-Fa-f]{2})")


class Name(bytes):
    """A name, with its slash and without escapes."""

    __slots__ = ()


class Ref(NamedTuple):
    """A reference to another object."""

    number: int


Dictionary = dict[bytes, object]


class Stream(NamedTuple):
    """A stream: its dictionary, and its octets as they stand in the file."""

    dictionary: Dictionary
    raw: bytes


class _Section(Protocol):
    """A part of the cross-references: where the object of a number stands, None when this part does not say."""

    def find(self, number: int) -> tuple[int, int, int] | None: ...


class _Table(NamedTuple):
    """A cross-reference table: first number, count and place of the entries of each subsection."""

    data: bytes
    subsections: tuple[tuple[int, int, int], ...]

    def find(self, number: int) -> tuple[int, int, int] | None:
        for first, count, place in self.subsections:
            if first <= number < first + count:
                entry = _TABLE_ENTRY.match(self.data, place + (number - first) * _ENTRY)
                if entry is None:
                    raise Unreadable("a cross-reference is malformed")
                return (1, int(entry[1]), 0) if entry[2] == b"n" else (0, 0, 0)
        return None


class _Rows(NamedTuple):
    """A cross-reference stream: fixed-width rows of three numbers."""

    rows: bytes
    widths: tuple[int, int, int]
    subsections: tuple[tuple[int, int], ...]

    def find(self, number: int) -> tuple[int, int, int] | None:
        row = 0
        for first, count in self.subsections:
            if first <= number < first + count:
                return self._row(row + number - first)
            row += count
        return None

    def _row(self, row: int) -> tuple[int, int, int]:
        at = row * sum(self.widths)
        if at + sum(self.widths) > len(self.rows):
            raise Unreadable("a cross-reference stream is too short")
        fields = []
        for width in self.widths:
            fields.append(int.from_bytes(self.rows[at : at + width], "big"))
            at += width
        return (fields[0] if self.widths[0] else 1, fields[1], fields[2])


def walk_pdf(body: bytes) -> Iterator[Piece]:
    """The document's own metadata, and whether it is encrypted."""
    try:
        pieces = list(_pieces(_Document(body)))
    except Unreadable as fault:
        if fault.what != "broken":
            raise
        yield from _pieces(_Document(body, search=True))
    else:
        yield from pieces


def _pieces(document: _Document) -> Iterator[Piece]:
    if b"/Encrypt" in document.trailer:
        yield Finding("pdf-encrypt", _security(document), "trailer")
    catalog = document.resolve(document.trailer.get(b"/Root"))
    if not isinstance(catalog, dict):
        raise Unreadable("encrypted" if b"/Encrypt" in document.trailer else "no catalog")
    metadata = document.resolve(catalog.get(b"/Metadata"))
    if isinstance(metadata, Stream):
        try:
            packet = document.decoded(metadata)
        except Unreadable:
            if b"/Encrypt" not in document.trailer:
                raise
            packet = b""
        if b"/Encrypt" in document.trailer and b"<" not in packet[:64].replace(b"\0", b""):
            yield Finding("encrypted", "metadata stream", "/Metadata")
        else:
            yield Packet(Kind.XMP, packet, "/Metadata")
    yield from _manifests(document, catalog)


def _security(document: _Document) -> str:
    """Name and version of the security handler."""
    try:
        handler = document.resolve(document.trailer.get(b"/Encrypt"))
    except Unreadable:
        return ""
    if not isinstance(handler, dict):
        return ""
    named, version = handler.get(b"/Filter"), handler.get(b"/V")
    return (
        f"{named.decode('latin-1') if isinstance(named, Name) else ''} V{version if isinstance(version, int) else ''}"
    )


def _manifests(document: _Document, catalog: Dictionary) -> Iterator[Packet]:
    """C2PA manifest stores: files that the catalog associates as such (C2PA 2.2, A.4.4)."""
    associated = document.resolve(catalog.get(b"/AF"))
    for item in associated[:32] if isinstance(associated, list) else ():
        file = document.resolve(item)
        if isinstance(file, dict) and file.get(b"/AFRelationship") == b"/C2PA_Manifest":
            embedded = document.resolve(file.get(b"/EF"))
            stream = document.resolve(embedded.get(b"/F")) if isinstance(embedded, dict) else None
            if not isinstance(stream, Stream):
                raise Unreadable("an associated manifest is missing")
            yield Packet(Kind.JUMBF, document.decoded(stream), "/AF")


class _Document:
    """A file, its cross-references and its trailer. The newest section that knows an object counts."""

    def __init__(self, body: bytes, *, search: bool = False) -> None:
        self.body = body
        self.trailer: Dictionary = {}
        self._steps = Steps()
        self._objects = Steps(_MAX_OBJECTS)
        self._inflated = 0
        self._sections: list[_Section] = []
        self._shift = max(body.find(b"%PDF-", 0, 1024), 0)
        self._searched: dict[int, int] | None = None
        if search:
            self.trailer = self._search()
        else:
            self._read_sections()

    def resolve(self, value: object) -> object:
        """The object that a reference leads to; anything else as it is. None when there is none."""
        for _ in range(_MAX_DEPTH):
            if not isinstance(value, Ref):
                return value
            value = self._object(value.number)
        raise Unreadable("references lead in a circle")

    def decoded(self, stream: Stream) -> bytes:
        """The content of a stream without filters or with Flate."""
        filters = self.resolve(stream.dictionary.get(b"/Filter"))
        names = filters if isinstance(filters, list) else [] if filters is None else [filters]
        data = stream.raw
        for name in names:
            if name == b"/FlateDecode":
                data = inflate(data, _MAX_TABLE)
                self._inflated += len(data)
            elif name != b"/Crypt":
                raise Unreadable("a filter that is not read")
        if self._inflated > _MAX_INFLATED:
            raise over_budget("inflates beyond the bound")
        parameters = self.resolve(stream.dictionary.get(b"/DecodeParms"))
        if isinstance(parameters, list):
            parameters = self.resolve(parameters[0]) if parameters else None
        return _unpredicted(data, parameters) if isinstance(parameters, dict) else data

    def _object(self, number: int) -> object:
        self._objects.take()
        if self._searched is not None:
            return self._at(self._searched[number], number) if number in self._searched else None
        for section in self._sections:
            found = section.find(number)
            if found is not None:
                kind, place, index = found
                if kind == 1:
                    return self._at(self._shift + place, number)
                return self._packed(place, index, number) if kind == 2 else None  # noqa: PLR2004 - in a stream
        return None

    def _at(self, place: int, number: int) -> object:
        """The object that begins at a place."""
        head = _OBJECT.match(self.body, place)
        if head is None or int(head[1]) != number:
            raise Unreadable("a cross-reference leads nowhere")
        value, end = _value(self.body, head.end(), self._steps)
        begin = _STREAM.match(self.body, end)
        if begin is None or not isinstance(value, dict):
            return value
        length = self.resolve(value.get(b"/Length"))
        stop = begin.end() + length if isinstance(length, int) and length >= 0 else -1
        if not 0 <= stop <= len(self.body) or b"endstream" not in self.body[stop : stop + 32]:
            stop = self.body.find(b"endstream", begin.end(), begin.end() + MAX_PACKET)
        if stop < 0:
            raise Unreadable("a stream without an end")
        return Stream(value, self.body[begin.end() : stop])

    def _packed(self, container: int, index: int, number: int) -> object:
        """An object inside an object stream."""
        stream = self._object(container)
        if not isinstance(stream, Stream):
            raise Unreadable("an object stream is missing")
        data = self.decoded(stream)
        first = stream.dictionary.get(b"/First")
        heads = data[: first if isinstance(first, int) else 0].split()
        if (
            2 * index + 1 >= len(heads)
            or heads[2 * index] != str(number).encode()
            or not heads[2 * index + 1].isdigit()
        ):
            raise Unreadable("an object stream lacks what it should hold")
        return _value(data, (first if isinstance(first, int) else 0) + int(heads[2 * index + 1]), self._steps)[0]

    def _read_sections(self) -> None:
        start = None
        for start in _START.finditer(self.body, max(0, len(self.body) - 4096)):  # noqa: B007 - the last counts
            pass
        if start is None:
            raise Unreadable("no cross-references")
        todo, seen = [int(start[1])], set[int]()
        while todo:
            place = todo.pop()
            if place in seen:
                continue
            seen.add(place)
            if len(seen) > _MAX_SECTIONS:
                raise over_budget("too many revisions")
            trailer = self._section(self._shift + place)
            self.trailer = {**trailer, **self.trailer}
            # A hybrid file's stream (read next) belongs to its table and comes before the previous revision.
            todo += [item for key in (b"/Prev", b"/XRefStm") if isinstance(item := trailer.get(key), int)]
        if b"/Root" not in self.trailer:
            raise Unreadable("no catalog")

    def _section(self, place: int) -> Dictionary:
        """Reads a table or a stream of cross-references; its trailer."""
        at = _skip(self.body, place)
        if self.body.startswith(b"xref", at):
            return self._table(at + 4)
        head = _OBJECT.match(self.body, at)
        stream = self._at(at, int(head[1])) if head else None
        if not isinstance(stream, Stream):
            raise Unreadable("no cross-references where they should be")
        one, two, three, *_ = _numbers(stream.dictionary.get(b"/W"), 3)
        index = _numbers(stream.dictionary.get(b"/Index", [0, stream.dictionary.get(b"/Size")]))
        pairs = tuple(zip(index[::2], index[1::2], strict=False))
        self._sections.append(_Rows(self.decoded(stream), (one, two, three), pairs))
        return stream.dictionary

    def _table(self, at: int) -> Dictionary:
        subsections = []
        while head := _SUBSECTION.match(self.body, at):
            self._steps.take()
            subsections.append((int(head[1]), int(head[2]), head.end()))
            at = head.end() + int(head[2]) * _ENTRY
        at = _skip(self.body, at)
        if not self.body.startswith(b"trailer", at):
            raise Unreadable("a cross-reference table without a trailer")
        trailer, _ = _value(self.body, at + len(b"trailer"), self._steps)
        if not isinstance(trailer, dict):
            raise Unreadable("a cross-reference table without a trailer")
        self._sections.append(_Table(self.body, tuple(subsections)))
        return trailer

    def _search(self) -> Dictionary:
        """Without cross-references: every object by its own head, then the last trailer and the last catalog."""
        heads = list(self._heads())
        self._searched = {number: place for place, number in heads}
        found: Dictionary = {}
        for place in islice(_TRAILER.finditer(self.body), _MAX_SECTIONS):
            with suppress(Unreadable):
                value, _ = _value(self.body, place.end(), self._steps)
                found.update(value if isinstance(value, dict) else {})
        for place in islice(_XREF.finditer(self.body), _MAX_OBJECTS // 2):
            with suppress(Unreadable):
                stream = self.resolve(_holder(heads, place.start()))
                found.update(stream.dictionary if isinstance(stream, Stream) else {})
        catalog = max(self.body.rfind(spelt) for spelt in _CATALOG)
        if catalog >= 0 and b"/Root" not in found:
            found[b"/Root"] = _holder(heads, catalog)
        if found.get(b"/Root") is None:
            raise Unreadable("no catalog")
        return found

    def _heads(self) -> Iterator[tuple[int, int]]:
        """Place and number of everything that looks like the head of an object."""
        steps = Steps(_MAX_HEADS)
        at = self.body.find(b"obj")
        while at >= 0:
            steps.take()
            if head := _HEAD.search(self.body, max(0, at - 24), at):
                yield head.start(), int(head[1])
            at = self.body.find(b"obj", at + 3)


def _holder(heads: list[tuple[int, int]], place: int) -> Ref | None:
    """The object that a place lies in."""
    before = bisect(heads, (place, 0))
    return Ref(heads[before - 1][1]) if before else None


def _numbers(value: object, least: int = 2) -> list[int]:
    """A list of plain numbers; raises Unreadable when it is none."""
    items = value if isinstance(value, list) else []
    numbers = [item for item in items if isinstance(item, int) and 0 <= item < 1 << 32]
    if len(numbers) < max(least, len(items)):
        raise Unreadable("a cross-reference stream is malformed")
    return numbers


def _skip(data: bytes, at: int) -> int:
    """The place behind white space and comments."""
    match = _SPACE.match(data, at)
    return match.end() if match else at


def _value(data: bytes, at: int, steps: Steps, depth: int = 0) -> tuple[object, int]:
    """The object at a place and where it ends. Strings are passed over: nothing in them concerns us."""
    steps.take()
    if depth > _MAX_DEPTH:
        raise over_budget("objects too deep")
    at = _skip(data, at)
    token = _TOKEN.match(data, at)
    if token is None:
        raise Unreadable("no object where one should be")
    text, end = token[0], token.end()
    match token.lastgroup:
        case "open":
            return (_dictionary if text == b"<<" else _array)(data, end, steps, depth + 1)
        case "name":
            return Name(_ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), text)), end
        case "ref":
            return Ref(int(text.split()[0])), end
        case "number":
            return (int(text) if text.lstrip(b"+-").isdigit() else 0.0), end
        case "string":
            return b"", _string_end(data, end, steps)
        case "close":
            raise Unreadable("an object ends too early")
        case _:
            return {b"true": True, b"false": False}.get(text), end


def _closes(data: bytes, at: int, mark: bytes) -> bool:
    return data.startswith(mark, at)


def _array(data: bytes, at: int, steps: Steps, depth: int) -> tuple[object, int]:
    items: list[object] = []
    while not _closes(data, at := _skip(data, at), b"]"):
        item, at = _value(data, at, steps, depth)
        items.append(item)
    return items, at + 1


def _dictionary(data: bytes, at: int, steps: Steps, depth: int) -> tuple[object, int]:
    items: Dictionary = {}
    while not _closes(data, at := _skip(data, at), b">>"):
        key, at = _value(data, at, steps, depth)
        if not isinstance(key, Name):
            raise Unreadable("a dictionary is malformed")
        items[bytes(key)], at = _value(data, at, steps, depth)
    return items, at + 2


def _string_end(data: bytes, at: int, steps: Steps) -> int:
    """The place behind a literal string; parentheses in it are balanced or escaped."""
    depth = 1
    while depth:
        steps.take()
        match = _STRING.match(data, at)
        at = match.end() if match else at
        if at >= len(data):
            raise Unreadable("a string without an end")
        depth += 1 if data[at : at + 1] == b"(" else -1
        at += 1
    return at


def _unpredicted(data: bytes, parameters: Mapping[bytes, object]) -> bytes:
    """Rows as they were before prediction. Only PNG's filters None and Up occur in cross-references."""
    predictor, columns = parameters.get(b"/Predictor", 1), parameters.get(b"/Columns", 1)
    if predictor == 1:
        return data
    if not isinstance(columns, int) or not 1 <= columns <= 64:  # noqa: PLR2004 - three numbers of at most 8 octets
        raise Unreadable("a prediction that is not read")
    width = columns + 1
    filters = set(data[::width])
    rows = len(data) // width
    if filters <= {0}:
        return b"".join(data[row * width + 1 : (row + 1) * width] for row in range(rows))
    if filters != {_UP}:
        raise Unreadable("a prediction that is not read")
    plain = bytearray(rows * columns)
    for column in range(columns):
        sums = accumulate(data[column + 1 : rows * width : width], lambda above, octet: (above + octet) & 0xFF)
        plain[column::columns] = bytes(sums)
    return bytes(plain)
