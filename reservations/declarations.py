"""Files of declarations on works, in an operator's folder: snapshots of registries, and ONIX records of books.

A snapshot is JSON lines: the first says whose words it speaks and when it was taken, every other is one `Declared`. An
ONIX message is read as it is. Either becomes rows of the protocol that it belongs to, and all faults are named at once.
The text stands in the rules' bundle, so that every decision can be made again from the same snapshot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Final

import msgspec

from reservations.datafile import Fault
from reservations.definition import Protocol
from reservations.file_tables import Declared
from reservations.readers.books import read_books
from reservations.readers.declared import identifier_fault
from reservations.tables import Table

#: What the names of such files begin with among the rules, and the folder that holds them.
DECLARATIONS: Final = "declarations/"
#: How they end: snapshots, ONIX messages.
SNAPSHOT: Final = ".jsonl"
ONIX: Final = ".xml"
_MOST_ROWS: Final = 100_000
_MOST_BYTES: Final = 8 << 20
_MOST_FAULTS: Final = 100


class SnapshotHead(Table, frozen=True, kw_only=True):
    """The first line of a snapshot.

    Attributes:
        protocol: id of the protocol whose words the rows speak.
        source: where they come from; taken: the day on which they were, "" when that has no day.
    """

    protocol: str
    source: str
    taken: Annotated[str, msgspec.Meta(pattern=r"^(\d{4}-\d{2}-\d{2})?$")]


def with_declarations(
    protocols: Mapping[str, Protocol], files: Mapping[str, str]
) -> tuple[dict[str, Protocol], list[Fault]]:
    """The protocols, by id, with the rows of the files, and everything that is wrong with the files."""
    rows: dict[str, list[Declared]] = {}
    faults: list[Fault] = []
    for file, text in sorted(files.items()):
        read = _read_onix if file.endswith(ONIX) else _read_snapshot
        for item in read(file, text, protocols):
            if isinstance(item, Fault):
                faults.append(item)
            else:
                name, row = item
                rows.setdefault(name, []).append(row)
    extended = dict(protocols)
    for name, added in rows.items():
        extended[name] = msgspec.structs.replace(extended[name], declared=(*extended[name].declared, *added))
    faults += [
        Fault(name, 1, f"declared[{number}]", problem)
        for name, protocol in protocols.items()
        for number, row in enumerate(protocol.declared)
        if (problem := identifier_fault(row))
    ]
    return extended, faults[:_MOST_FAULTS]


_Read = Iterator[tuple[str, Declared] | Fault]
_HEAD: Final = msgspec.json.Decoder(SnapshotHead)
_ROW: Final = msgspec.json.Decoder(Declared)


def _read_snapshot(file: str, text: str, protocols: Mapping[str, Protocol]) -> _Read:
    lines = text.splitlines()
    if len(text) > _MOST_BYTES or len(lines) > _MOST_ROWS:
        yield Fault(file, 1, "(file)", f"more than {_MOST_ROWS} lines or {_MOST_BYTES} characters")
        return
    try:
        head = _HEAD.decode(lines[0] if lines else "")
    except msgspec.DecodeError as error:
        yield Fault(file, 1, "(line)", f"the first line must be {{protocol, source, taken}}: {error}")
        return
    protocol = protocols.get(head.protocol)
    if protocol is None:
        yield Fault(file, 1, "protocol", f"there is no protocol {head.protocol!r}")
        return
    labels = {label.name for label in protocol.labels}
    for number, line in enumerate(lines[1:], 2):
        try:
            row = _ROW.decode(line)
        except msgspec.DecodeError as error:
            yield Fault(file, number, "(line)", str(error))
            continue
        problem = identifier_fault(row)
        if row.label not in labels:
            yield Fault(
                file, number, "label", f"there is no label {row.label!r}; there are: {', '.join(sorted(labels))}"
            )
        elif problem:
            yield Fault(file, number, "(line)", problem)
        else:
            yield head.protocol, row


def _read_onix(file: str, text: str, protocols: Mapping[str, Protocol]) -> _Read:
    if len(text) > _MOST_BYTES:
        yield Fault(file, 1, "(file)", f"more than {_MOST_BYTES} characters")
        return
    known = [(name, record) for name, protocol in protocols.items() for record in protocol.xml_records if record.about]
    for name, record in known:
        labels = {label.name for label in protocols[name].labels}
        books, fault = read_books(text.encode(), record)
        if fault is not None:
            yield Fault(file, 1, "(file)", f"cannot be read as a list of records: {fault.detail}")
        for book in books:
            for label, value in book.said:
                if label in labels:
                    for isbn in book.isbns:
                        yield name, Declared(isbn=isbn, label=label, value=value, declarant=file)


def snapshots_beside(protocols: Iterable[Protocol], message: bytes, body: bytes, name: str) -> dict[str, str]:
    """What the records of a message say of the file that it lies beside, as snapshots about that file's octets.

    Whoever puts a message beside a file says that its records are about it, whatever they call their book.

    Raises:
        ValueError: the message is no list of records that can be read.
    """
    digest = hashlib.sha256(body).hexdigest()
    snapshots = {}
    for protocol in protocols:
        labels = {label.name for label in protocol.labels}
        rows: list[Table] = []
        for record in protocol.xml_records:
            books, fault = read_books(message[: _MOST_BYTES + 1], record)
            if fault is not None or len(message) > _MOST_BYTES:
                raise ValueError(f"cannot be read as a list of records: {fault.detail if fault else 'too large'}")
            said = (pair for book in books for pair in book.said if pair[0] in labels)
            rows += [Declared(sha256=digest, label=label, value=value, declarant=name) for label, value in said]
        if rows:
            head = SnapshotHead(protocol=protocol.id, source=name, taken="")
            lines = [msgspec.json.encode(line).decode() for line in (head, *rows)]
            snapshots[f"{DECLARATIONS}beside-{protocol.id}{SNAPSHOT}"] = "\n".join(lines)
    return snapshots
