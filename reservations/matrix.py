"""Which uses each protocol can close, and on which carriers it is read: tables for people, made from the files.

`B`: binds by default; `b`: binds in profile `strict` only; `-`: silent. What a protocol closes above a use in the tree
of uses closes the use too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from reservations.decide import line_of
from reservations.definition import CLOSING, Protocol
from reservations.model import Category, Value
from reservations.tables import LinkRelation

BINDS: Final = "B"
BINDS_STRICT: Final = "b"
SILENT: Final = "-"
_SHUT: Final = CLOSING | {Value.UNDETERMINABLE}


class Carrier(NamedTuple):
    """One place where a protocol's statements are read, and how early what stands there is obeyed."""

    place: str
    obeyed: str


def matrix(protocol: Protocol) -> dict[Category, str]:
    """Each use with how the protocol binds on it."""
    effective: set[Category] = set()
    vendor: set[Category] = set()
    for column, values in _values(protocol):
        closed = {category for category, value in values.items() if value in CLOSING}
        (effective if column == "effective" else vendor).update(closed)
    if protocol.token_list:
        effective.add(Category.TDM)
    return {
        category: BINDS if effective & set(line) else BINDS_STRICT if vendor & set(line) else SILENT
        for category in Category
        for line in (line_of(category),)
    }


def _values(protocol: Protocol) -> Iterator[tuple[str, Mapping[Category, Value]]]:
    """Every mapping of values that a statement of the protocol can have, with its column."""
    rows = [meaning for label in protocol.labels for meaning in label.values]
    rows += [*protocol.statuses, *protocol.redirects, *protocol.file_findings]  # type: ignore[list-item]
    for document in protocol.documents:
        rows += [*document.answers]  # type: ignore[list-item]
    for row in rows:
        yield "effective", row.effective
        yield "vendor", row.vendor
    for restriction in protocol.restrictions:
        yield "effective", restriction.values
    if protocol.named is not None and protocol.named.offers is not None:
        for categories in protocol.named.offers.uses.values():
            yield "effective", dict.fromkeys(categories, Value.DENY)


_BEFORE: Final = "before the request"
_AT_HEAD: Final = "at the head"
_IN_BODY: Final = "with the body"


def carriers(protocol: Protocol) -> Iterator[Carrier]:
    """Every place where the protocol is read."""
    yield from _at_the_origin(protocol)
    yield from _at_the_head(protocol)
    for link in protocol.links:
        yield from _links(link)
    yield from _in_the_body(protocol)


def _at_the_origin(protocol: Protocol) -> Iterator[Carrier]:
    for document in protocol.documents:
        yield from (Carrier(f"`{path}`", _BEFORE) for path in (document.path, *document.also_at))
    for line in protocol.robots_lines:
        place = f"robots.txt `{line.name}:`" + (", the document it names" if line.document else "")
        yield Carrier(place, _BEFORE)
    if protocol.token_list:
        yield Carrier("robots.txt and ai.txt groups for other crawlers", _BEFORE)
        yield Carrier("headers and metas for other crawlers", f"{_AT_HEAD}, {_IN_BODY}")
    if protocol.restrictions or protocol.grants:
        yield Carrier("the operator's own files", _BEFORE)
    if protocol.named is not None and protocol.named.policy is not None:
        yield Carrier("the policy that a statement names", f"{_BEFORE}, {_IN_BODY}")


def _at_the_head(protocol: Protocol) -> Iterator[Carrier]:
    yield from (Carrier(f"header `{field.name}`", _AT_HEAD) for field in protocol.http_fields)
    if protocol.statuses:
        yield Carrier("status", _AT_HEAD)
    if protocol.redirects:
        yield Carrier("target of a redirect", _AT_HEAD)


def _links(link: LinkRelation) -> Iterator[Carrier]:
    named = ", the document it names" if link.document else ", that origin's file" if link.elsewhere else ""
    types = f" ({', '.join(link.types)})" if link.types else ""
    place = f"link `rel={link.rel}`{types}{named}"
    if not link.elsewhere:
        yield Carrier(f"header `Link`, {place}", _IN_BODY if link.document else _AT_HEAD)
    yield Carrier(f"HTML {place}", _IN_BODY)


def _in_the_body(protocol: Protocol) -> Iterator[Carrier]:
    yield from (Carrier(f'HTML `<meta name="{meta.name}">`', _IN_BODY) for meta in protocol.html_metas)
    yield from (Carrier(f"JSON-LD, microdata, RDFa `{item.name}`", _IN_BODY) for item in protocol.properties)
    if protocol.inline is not None:
        yield Carrier(f"inline `{protocol.inline.type}` in HTML, feeds, XMP, EPUB", _IN_BODY)
    yield from (Carrier(f"file property `{item.name}`", _IN_BODY) for item in protocol.file_properties)
    for assertion in protocol.assertions:
        yield Carrier(f"C2PA assertion `{', '.join(assertion.names)}`", _IN_BODY)
    yield from (Carrier(f"XML `{record.elements[0]}`", _IN_BODY) for record in protocol.xml_records)
    if protocol.file_findings:
        yield Carrier("form of the file", _IN_BODY)
    if protocol.language is not None:
        yield Carrier("sentences in comments of robots.txt and ai.txt", _BEFORE)
        yield Carrier("sentences in metadata and notices of a page", _IN_BODY)
