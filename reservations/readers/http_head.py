"""Reads the fields of a response head that protocols name; knows no protocol itself.

Names are compared without regard to case. Lines of one field are kept apart, because a product-token prefix ends with
its line (X-Robots-Tag); a syntax that HTTP would join first joins them itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from reservations.definition import HttpField
from reservations.model import Header, Signal
from reservations.readers.words import SYNTAX
from reservations.statement import Place, Vocabulary, distinct

_CHARSET: Final = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)


class Field(NamedTuple):
    """A field that some protocol reads, with that protocol's words."""

    field: HttpField
    vocabulary: Vocabulary


#: Lower-case field name to everything that reads it.
Fields = Mapping[str, tuple[Field, ...]]


def read_head(headers: Iterable[Header], fields: Fields, tokens: frozenset[str], media_type: str) -> list[Signal]:
    """Every statement in a head's fields."""
    found: dict[str, list[Header]] = {}
    for header in headers:
        name = header.name.lower()
        if name in fields:
            found.setdefault(name, []).append(header)
    signals: list[Signal] = []
    for name, lines in found.items():
        for field in fields[name]:
            signals.extend(distinct(_signals(field, lines, tokens, media_type)))
    return signals


def _signals(reader: Field, lines: list[Header], tokens: frozenset[str], media_type: str) -> Iterable[Signal]:
    field, vocabulary = reader
    values = [line.value for line in lines]
    place = Place("http_field", "head", field.name, "; ".join(f"{line.name}: {line.value}" for line in lines))
    for reading in SYNTAX[field.syntax](values, field.label or field.name, vocabulary, tokens):
        stated = reading if field.standard else reading.weakened("nonstandard_carrier")
        signal = vocabulary.signal(stated, place, media_type)
        if signal is not None:
            yield signal


def first(headers: Iterable[Header], name: str) -> str | None:
    """Value of the first line of a field, or None."""
    wanted = name.lower()
    return next((header.value for header in headers if header.name.lower() == wanted), None)


def media_type_of(headers: Iterable[Header]) -> str:
    """Type and subtype in lower case, without parameters; "" when no Content-Type was sent."""
    return (first(headers, "content-type") or "").partition(";")[0].strip().lower()


def charset_of(headers: Iterable[Header]) -> str:
    """The charset that Content-Type names, "" when it names none."""
    match = _CHARSET.search(first(headers, "content-type") or "")
    return match[1] if match else ""
