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
#: Sources of statements that are neither a file of the origin nor the resource itself.
RULES: Final = "rules"
NAMED: Final = "named"
DECLARED: Final = "declarations"
ROBOTS: Final = "/robots.txt"
_SHUT: Final = CLOSING | {Value.UNDETERMINABLE}


class Carrier(NamedTuple):
    """One place where a protocol's statements are read.

    Attributes:
        place: in words.
        obeyed: how early what stands there is obeyed.
        source: what must be at hand, as `Decision.consulted` names it: the path of a file of the origin, "head",
            "body"; `RULES` for the operator's own files; `DECLARED` for declarations that it keeps, compared with a
            body; `NAMED` for documents that others name.
        form: of a body, which kind of it: "html", "file"; "" for any.
    """

    place: str
    obeyed: str
    source: str
    form: str = ""


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
        yield from (Carrier(f"`{path}`", _BEFORE, path) for path in (document.path, *document.also_at))
    for line in protocol.robots_lines:
        place = f"robots.txt `{line.name}:`" + (", the document it names" if line.document else "")
        yield Carrier(place, _BEFORE, ROBOTS)
    if protocol.token_list:
        yield Carrier("robots.txt and ai.txt groups for other crawlers", _BEFORE, ROBOTS)
        yield Carrier("headers and metas for other crawlers", f"{_AT_HEAD}, {_IN_BODY}", "head")
    if protocol.restrictions or protocol.grants:
        yield Carrier("the operator's own files", _BEFORE, RULES)
    if protocol.named is not None and protocol.named.policy is not None:
        yield Carrier("the policy that a statement names", f"{_BEFORE}, {_IN_BODY}", NAMED)


def _at_the_head(protocol: Protocol) -> Iterator[Carrier]:
    yield from (Carrier(f"header `{field.name}`", _AT_HEAD, "head") for field in protocol.http_fields)
    if protocol.statuses:
        yield Carrier("status", _AT_HEAD, "head")
    if protocol.redirects:
        yield Carrier("target of a redirect", _AT_HEAD, "head")


def _links(link: LinkRelation) -> Iterator[Carrier]:
    named = ", the document it names" if link.document else ", that origin's file" if link.elsewhere else ""
    types = f" ({', '.join(link.types)})" if link.types else ""
    place = f"link `rel={link.rel}`{types}{named}"
    if not link.elsewhere:
        yield Carrier(f"header `Link`, {place}", _IN_BODY if link.document else _AT_HEAD, "head")
    yield Carrier(f"HTML {place}", _IN_BODY, "body", "html")


def _in_the_body(protocol: Protocol) -> Iterator[Carrier]:
    in_page, in_file = ("body", "html"), ("body", "file")
    yield from (Carrier(f'HTML `<meta name="{meta.name}">`', _IN_BODY, *in_page) for meta in protocol.html_metas)
    yield from (Carrier(f"JSON-LD, microdata, RDFa `{item.name}`", _IN_BODY, *in_page) for item in protocol.properties)
    if protocol.inline is not None:
        yield Carrier(f"inline `{protocol.inline.type}` in HTML, feeds, XMP, EPUB", _IN_BODY, "body")
    yield from (Carrier(f"file property `{item.name}`", _IN_BODY, *in_file) for item in protocol.file_properties)
    for assertion in protocol.assertions:
        yield Carrier(f"C2PA assertion `{', '.join(assertion.names)}`", _IN_BODY, *in_file)
    yield from (Carrier(f"XML `{record.elements[0]}`", _IN_BODY, "body") for record in protocol.xml_records)
    if protocol.declarations is not None or any(record.about for record in protocol.xml_records):
        yield Carrier("declarations on the work, from the operator's `declarations/`", _IN_BODY, DECLARED)
    if protocol.file_findings:
        yield Carrier("form of the file", _IN_BODY, *in_file)
    if protocol.language is not None:
        yield Carrier("sentences in comments of robots.txt and ai.txt", _BEFORE, ROBOTS)
        yield Carrier("sentences in metadata and notices of a page", _IN_BODY, *in_page)
        if protocol.language.linked is not None:
            yield Carrier("the site's own terms that robots.txt and pages link to", f"{_BEFORE}, {_IN_BODY}", NAMED)
