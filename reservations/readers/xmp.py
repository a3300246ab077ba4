"""Reads properties out of XMP packets and other XML metadata (ISO 16684-1), by namespace and local name.

A property is an attribute, an element with text or `rdf:resource`, or a container of `rdf:li`. Document types are
refused, entities never expanded, and only properties of the namespaces asked for are kept, so that a packet full of
thumbnails costs no memory. What is not well-formed is read as far as it goes, for what it refuses.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from lxml import etree

from reservations.readers.pieces import Unreadable, over_budget

RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_MAX_PROPERTIES: Final = 2000
_MAX_ELEMENTS: Final = 200_000
_MAX_VALUE: Final = 4096
_END: Final = re.compile(r".*</(?:[\w.-]+:)?(?:xmpmeta|xapmeta|RDF)\s*>", re.DOTALL)
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"<\0\0\0", "utf-32-le"), (b"\0\0\0<", "utf-32-be"), (b"<\0", "utf-16-le"), (b"\0<", "utf-16-be"),
)  # fmt: skip
_DECLARATION: Final = re.compile(r"<\?xml\s[^>]*\?>")
_DESCRIPTION: Final = f"{{{RDF}}}Description"
_TRANSPARENT: Final = frozenset(f"{{{RDF}}}{name}" for name in ("Alt", "Bag", "Seq", "li", "value", "Description"))


class Property(NamedTuple):
    """One property with one value.

    Attributes:
        sound: it says something of the whole file, in a packet without faults; else only what it refuses counts.
    """

    namespace: str
    name: str
    value: str
    sound: bool = True


def text_of(data: bytes) -> str:
    """A packet's text: by byte order mark, else by its first character, else UTF-8. NUL, which pads, is left out."""
    data = data.lstrip(b" \t\r\n")
    for mark, codec in _MARKS:
        if data.startswith(mark):
            return data.decode(codec, "replace").replace("\ufeff", "").replace("\0", "")
    return data.decode("utf-8", "replace").replace("\0", "")


def read_properties(data: bytes, namespaces: Collection[str]) -> tuple[list[Property], Unreadable | None]:
    """Every property of these namespaces in an XMP packet, and why the packet could not be read to its end."""
    text = text_of(data)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return [], Unreadable("a document type in metadata")
    if not text.strip():
        return [], None
    return _collect(text, namespaces)


def read_elements(data: bytes, namespace: str) -> list[bytes]:
    """The outermost elements of a namespace in XML metadata, each as a document of its own; none when not readable."""
    text = text_of(data)
    if namespace not in text or "<!DOCTYPE" in text or "<!ENTITY" in text:
        return []
    root = None
    for attempt in (text, _to_the_end(text)):
        with suppress(Unreadable):
            root = parse(attempt)
            break
    if root is None:
        return []
    found = [element for element in root.iter(f"{{{namespace}}}*") if not _below(element, namespace)]
    return [etree.tostring(element, with_tail=False) for element in found[:_MAX_PROPERTIES]]


def parse(text: str, *, recover: bool = False) -> etree._Element:
    """A tree of XML without external parts; raises Unreadable when it is not well-formed or declares entities.

    With `recover` it is read as far as a lenient parser goes.
    """
    if "<!ENTITY" in text:
        raise Unreadable("entities in metadata")
    try:
        root = etree.fromstring(
            _DECLARATION.sub("", text, count=1).encode("utf-8", "replace"), _parser(recover=recover)
        )
    except (etree.LxmlError, ValueError):
        raise Unreadable("not well-formed") from None
    if root is None:
        raise Unreadable("not well-formed")
    return root


def _below(element: etree._Element, namespace: str) -> bool:
    return any(str(parent.tag).startswith(f"{{{namespace}}}") for parent in element.iterancestors())


def _parser(target: object = None, *, recover: bool = False) -> etree.XMLParser:
    return etree.XMLParser(
        target=target, encoding="utf-8", recover=recover, resolve_entities=False, no_network=True, load_dtd=False,
        huge_tree=False, remove_comments=True, remove_pis=True,
    )  # fmt: skip


def _collect(text: str, namespaces: Collection[str]) -> tuple[list[Property], Unreadable | None]:
    """What the text holds, whole or up to the packet's end; else what a lenient parser finds in it."""
    # Without the name of a namespace nothing can be said in it; a reference may spell the name.
    silent = "&#" not in text and not any(namespace in text for namespace in namespaces)
    collector = _Reader()
    for attempt, recover in ((text, False), (_to_the_end(text), False), (text, True)):
        collector = _Reader() if silent else _Collector(frozenset(namespaces))
        octets = _DECLARATION.sub("", attempt, count=1).encode("utf-8", "replace")
        try:
            etree.fromstring(octets, _parser(collector, recover=recover))
        except Unreadable as bound:
            return [item._replace(sound=False) for item in collector.found], bound
        except (etree.LxmlError, ValueError):
            continue
        if not recover:
            return collector.found, None
    return [item._replace(sound=False) for item in collector.found], Unreadable("not well-formed")


def _to_the_end(text: str) -> str:
    """A packet without what pads it: formats put octets behind it that are no text."""
    end = _END.match(text)
    return end[0] if end else text


class _Open(NamedTuple):
    """An element that is not closed yet; `values` gathers what it says, None when it is no property that we want."""

    tag: str
    values: list[str] | None
    text: list[str]


class _Reader:
    """Takes no event of the parser: whether the text is well-formed is all that is asked."""

    def __init__(self) -> None:
        self.found: list[Property] = []

    def close(self) -> None:
        """The document ends."""


class _Collector(_Reader):
    """Takes the parser's events and keeps the properties of some namespaces."""

    def __init__(self, namespaces: frozenset[str]) -> None:
        super().__init__()
        self._namespaces = namespaces
        self._open: list[_Open] = []
        self._left = _MAX_ELEMENTS

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        self._left -= 1
        if self._left < 0:
            raise over_budget("too many elements in metadata")
        namespace, _ = _split(tag)
        for key, value in attributes.items():
            space, name = _split(key)
            if space in self._namespaces:
                self._add(space, name, value, whole=tag == _DESCRIPTION and not self._described())
        values: list[str] | None = [] if namespace in self._namespaces else None
        if values is None and self._open and tag in _TRANSPARENT:
            values = self._open[-1].values
        if values is not None:
            values += [attributes[key] for key in (f"{{{RDF}}}resource", f"{{{RDF}}}about") if attributes.get(key)]
        self._open.append(_Open(tag, values, []))

    def data(self, text: str) -> None:
        """Text inside the element that began last."""
        if self._open and self._open[-1].values is not None and len(self._open[-1].text) < _MAX_VALUE:
            self._open[-1].text.append(text[:_MAX_VALUE])

    def end(self, tag: str) -> None:
        """An element ends."""
        values, text = self._open[-1].values, "".join(self._open[-1].text).strip()
        self._open.pop()
        if values is None:
            return
        if text:
            values.append(text)
        namespace, name = _split(tag)
        if namespace in self._namespaces:
            whole = self._described() == 1 and self._open[-1].tag == _DESCRIPTION
            for value in dict.fromkeys(values) or ("",):
                self._add(namespace, name, value, whole=whole)

    def comment(self, text: str) -> None:
        """Comments hold no statements."""

    def _add(self, namespace: str, name: str, value: str, *, whole: bool) -> None:
        if len(self.found) >= _MAX_PROPERTIES:
            raise over_budget("too many properties in metadata")
        self.found.append(Property(namespace, name, value.strip()[:_MAX_VALUE], whole))

    def _described(self) -> int:
        """How many descriptions are open: one inside another is about a part, or about another file."""
        return sum(item.tag == _DESCRIPTION for item in self._open)


def _split(tag: str) -> tuple[str, str]:
    namespace, _, name = tag[1:].partition("}") if tag.startswith("{") else ("", "", tag)
    return namespace, name


def find_packets(body: bytes) -> Iterator[tuple[int, bytes]]:
    """XMP packets anywhere in a file, by their outer tags, with their places."""
    for codec in ("ascii", "utf-16-le", "utf-16-be"):
        at = 0
        begin, end = "<x:xmpmeta".encode(codec), "</x:xmpmeta>".encode(codec)
        while (at := body.find(begin, at)) >= 0:
            stop = body.find(end, at)
            if stop < 0:
                yield at, body[at : at + (1 << 20)]
                break
            yield at, body[at : stop + len(end)]
            at = stop
