"""Books by their ISBN: the records of an ONIX message, and the ISBNs that a file's own metadata name."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from lxml import etree

from reservations.file_tables import XmlRecord
from reservations.readers.pieces import Unreadable

_MAX_RECORDS: Final = 100_000
_ENTITIES_WITHIN: Final = 65_536
_ISBN: Final = re.compile(r"(?<![\d-])(?:97[89][- ]?)?(?:\d[- ]?){9}[\dXx](?![\d])")
_MOST_NAMED: Final = 64


class Book(NamedTuple):
    """One record: the book's ISBNs of 13 digits, and what is said of it as pairs of label and value."""

    isbns: tuple[str, ...]
    said: tuple[tuple[str, str], ...]


def isbn13(text: str) -> str:
    """An ISBN of 10 or 13 digits as its 13 digits; "" when its check digit is wrong (ISO 2108).

    >>> isbn13("3-16-148410-0")
    '9783161484100'
    """
    digits = re.sub(r"[^0-9Xx]", "", text).upper()
    if re.fullmatch(r"[0-9]{9}[0-9X]", digits):
        weighed = sum((10 - at) * (10 if char == "X" else int(char)) for at, char in enumerate(digits))
        return _with_check("978" + digits[:9]) if weighed % 11 == 0 else ""
    if re.fullmatch(r"97[89][0-9]{10}", digits) and _with_check(digits[:12]) == digits:
        return digits
    return ""


def _with_check(twelve: str) -> str:
    weighed = sum(int(char) * (3 if at % 2 else 1) for at, char in enumerate(twelve))
    return f"{twelve}{-weighed % 10}"


def named_isbns(text: str) -> list[str]:
    """The ISBNs in a text, as 13 digits."""
    found = (isbn13(match[0]) for match in _ISBN.finditer(text))
    return list(dict.fromkeys(isbn for isbn in found if isbn))[:_MOST_NAMED]


def read_books(message: bytes, record: XmlRecord) -> tuple[list[Book], Unreadable | None]:
    """The records of a message as far as it is well-formed, and what stood in the way."""
    about = record.about
    if about is None:
        return [], None
    if b"<!ENTITY" in message[:_ENTITIES_WITHIN]:
        return [], Unreadable("entities in metadata")
    events = etree.iterparse(
        io.BytesIO(message), tag=[f"{{*}}{name}" for name in about.record],
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True,
    )  # fmt: skip
    books: list[Book] = []
    try:
        for _, element in events:
            if len(books) >= _MAX_RECORDS:
                return books, Unreadable("too many records", "over-budget")
            ids = _pairs(_children(element, about.identifier), about.type, about.value)
            isbns = dict.fromkeys(isbn13(value) for kind, value in ids if kind in about.isbn)
            constraints = element.iter(*(f"{{*}}{name}" for name in record.elements))
            said = _pairs(constraints, record.label, record.value)
            books.append(Book(tuple(isbn for isbn in isbns if isbn), tuple(said)))
            element.clear()
    except (etree.LxmlError, ValueError):
        return books, Unreadable("not well-formed")
    return books, None


def _children(element: etree._Element, names: Iterable[str]) -> Iterator[etree._Element]:
    yield from element.iterchildren(*(f"{{*}}{name}" for name in names))


def _pairs(elements: Iterable[etree._Element], first: Iterable[str], second: Iterable[str]) -> list[tuple[str, str]]:
    """Of each element the texts of two children; "" for one that is not there."""
    return [(_text(element, first), _text(element, second)) for element in elements]


def _text(element: etree._Element, names: Iterable[str]) -> str:
    return next(((child.text or "").strip() for child in _children(element, names)), "")
