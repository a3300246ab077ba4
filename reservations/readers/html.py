"""Reads the `<meta>` statements of an HTML page: one bounded pass for all protocols, whatever the encoding.

A cheap scan over the tags' own octets decides whether any of them could concern us; only then is the page parsed, and
only the parser's answer counts (comments, scripts and templates hold no statements). Encoding as in the HTML standard:
byte order mark, then the Content-Type of the response, then the document's own declaration
(https://html.spec.whatwg.org/multipage/parsing.html#determining-the-character-encoding).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from functools import cached_property
from html import unescape
from itertools import chain
from typing import Final, NamedTuple

from lxml import etree

from reservations.definition import HtmlMeta
from reservations.memory import Memory
from reservations.model import Signal
from reservations.readers.needles import Needles, Places
from reservations.readers.nested import read_json
from reservations.readers.words import SYNTAX
from reservations.statement import Place, Vocabulary, distinct

#: How much of a page is looked at; the second figure when the first holds no end of the head.
_MAX_OCTETS: Final = 1 << 20
_MAX_OCTETS_LONG_HEAD: Final = 4 << 20
_PRESCAN_OCTETS: Final = 1024
_NAMING_ATTRIBUTES: Final = ("name", "property", "http-equiv")
_MAX_TAGS: Final = 2000
_LONG_TAG: Final = 65_536

_TAG: Final = re.compile(rb"<meta[\s/](?:[^>\"']|\"[^\"]*+\"|'[^']*+')*+", re.IGNORECASE)
_ATTRIBUTE: Final = rb"\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))"
_NAME: Final = re.compile(rb"(?:name|property|http-equiv)" + _ATTRIBUTE, re.IGNORECASE)
#: How an attribute begins that names a meta, as far as it is looked at; what may stand before a name, and a part of it.
_NAMING: Final = (b"name", b"property", b"http-equiv")
_VALUE: Final = re.compile(rb"[\s\"'\x80-\xff]*([^\s\"'>]*)")
_BEFORE: Final = 256
_KEYWORD: Final = len("http-equiv")
_NAME_OCTETS: Final = b"abcdefghijklmnopqrstuvwxyz0123456789_.-"
_CONTENT: Final = re.compile(rb"content" + _ATTRIBUTE, re.IGNORECASE)
_CHARSET: Final = re.compile(rb"<meta[^>]{0,512}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_MARKS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
#: Encodings of the web by the beginning of their labels; all others are read as UTF-8, which harms no ASCII octet.
_CODECS: Final = (
    ("iso-2022-jp", "iso2022_jp"), ("shift", "cp932"), ("sjis", "cp932"), ("x-sjis", "cp932"), ("windows-31j", "cp932"),
    ("euc-jp", "euc_jp"), ("euc-kr", "cp949"), ("big5", "big5hkscs"), ("gb", "gb18030"), ("x-gbk", "gb18030"),
    ("iso-8859-1", "cp1252"), ("latin1", "cp1252"), ("windows-1252", "cp1252"), ("us-ascii", "cp1252"),
    ("windows-1251", "cp1251"), ("windows-1250", "cp1250"), ("iso-8859-2", "iso8859_2"), ("koi8", "koi8_u"),
)  # fmt: skip
_JSON_LD: Final = "application/ld+json"
_MAX_SCRIPT: Final = 1 << 20
_PROPERTIES: Final = etree.XPath("descendant-or-self::*/@property", smart_strings=False)
#: What metas said that were read before, and whether; the pages of a site have most of theirs in common. A tag of more
#: characters is not worth remembering.
_READ: Final[Memory[tuple[Signal, ...]]] = Memory(2048)
_HEARD: Final[Memory[bool]] = Memory(2048)
_LONG_META: Final = 512
_HIDING: Final = frozenset({"template", "textarea", "title", "script", "style", "xmp", "iframe", "noembed", "noframes"})


#: What readers ask of every page that they read: rare attributes and tags, a reference, the signs of copyright.
HTTP_EQUIV: Final = b"http-equiv"
ITEMPROP: Final = b"itemprop"
BASE: Final = b"<base"
ROLE: Final = b"role"
REFERENCE: Final = b"&"
SIGNS: Final = ("©".encode(), "℗".encode(), b"(c) 2", b"opyright")
MARKS: Final = Needles((HTTP_EQUIV, ITEMPROP, BASE, ROLE, REFERENCE, *SIGNS))


class Meta(NamedTuple):
    """A meta that some protocol reads, with that protocol's words."""

    meta: HtmlMeta
    vocabulary: Vocabulary


#: Lower-case meta name to everything that reads it.
Metas = Mapping[str, tuple[Meta, ...]]


class Wanted(NamedTuple):
    """What is looked for: metas by every name they may have, and the product tokens, in lower case, among the names."""

    metas: Metas
    ours: frozenset[str]
    others: frozenset[str]
    names: frozenset[bytes]
    needles: Needles


class Found(NamedTuple):
    """One `<meta>` under a name we look for: name in lower case, content, its place in the page, what was odd."""

    name: str
    content: str
    number: int
    text: str
    odd: tuple[str, ...]


def look_for(metas: Metas, ours: frozenset[str], others: frozenset[str] = frozenset()) -> Wanted:
    """What to look for: a meta that is marked `tokens` under our product tokens too, and under those of others."""
    to_tokens = tuple(meta for group in metas.values() for meta in group if meta.meta.tokens)
    names = {**dict.fromkeys(ours | others, to_tokens), **metas}
    octets = frozenset(name.encode() for name in names)
    return Wanted(names, ours, others, octets, Needles((*octets, REFERENCE)))


class HtmlPage:
    """A page's octets, as far as they are looked at, and its tree, which is made when somebody needs it.

    Args:
        body: the entity; charset: that its Content-Type names, or "".
        needles: what all its readers look for together; None when there is but one.
    """

    def __init__(self, body: bytes, charset: str, needles: Needles | None = None) -> None:
        self.octets = utf8_octets(_window(body), charset)
        self._needles = needles

    @cached_property
    def lower(self) -> bytes:
        """The octets with ASCII letters in lower case, for cheap searches."""
        return self.octets.lower()

    def places(self, needles: Needles) -> Places:
        """Where a reader's needles stand, maybe with those of others: found in one pass when they were joined."""
        shared = self._needles
        if shared is not None and needles in shared.parts:
            return self._shared
        return needles.places(self.lower)

    def holds(self, *marks: bytes) -> bool:
        """Whether any of these, all of `MARKS`, stands anywhere in the octets."""
        return not self._marks.keys().isdisjoint(marks)

    @cached_property
    def _marks(self) -> Places:
        return self.places(MARKS)

    @cached_property
    def _shared(self) -> Places:
        return self._needles.places(self.lower) if self._needles is not None else {}

    @cached_property
    def root(self) -> etree._Element | None:
        """The tree; None where the page is too much for the parser."""
        try:
            root, is_whole = parse(self.octets)
        except (etree.LxmlError, ValueError):
            return None
        return root if is_whole else None

    def metas(self, names: AbstractSet[str]) -> list[tuple[int, str, str, etree._Element]]:
        """The metas of the tree under one of these names, in lower case, in document order.

        Each with its number, the attribute that names it, and the name; one that has two names stands there twice.
        """
        return [meta for meta in self._metas if meta[2] in names]

    @cached_property
    def _metas(self) -> list[tuple[int, str, str, etree._Element]]:
        named = _NAMING_ATTRIBUTES if self.holds(HTTP_EQUIV) else _NAMING_ATTRIBUTES[:2]
        found = []
        for number, element in enumerate(self.root.iter("meta") if self.root is not None else (), start=1):
            for attribute in named:
                name = element.get(attribute)
                if name:
                    found.append((number, attribute, name.strip().lower(), element))
        return found

    @cached_property
    def linked_data(self) -> list[tuple[int, object]]:
        """What the scripts of JSON-LD hold, each with its number among all scripts; broken and hidden ones left out."""
        found: list[tuple[int, object]] = []
        for number, element in enumerate(self.root.iter("script") if self.root is not None else (), start=1):
            kind = element.get("type") or ""
            if kind.partition(";")[0].strip().lower() == _JSON_LD and not is_hidden(element):
                with suppress(ValueError):
                    found.append((number, read_json((element.text or "")[:_MAX_SCRIPT])))
        return found

    @cached_property
    def properties(self) -> frozenset[str]:
        """What RDFa's attribute says anywhere in the tree, letters large or small."""
        in_metas = [name for _, attribute, name, _ in self._metas if attribute == "property"]
        if self.lower.count(b"property") == len(in_metas):  # as in most pages it stands nowhere else
            return frozenset(in_metas)
        return frozenset(_PROPERTIES(self.root)) if self.root is not None else frozenset()


def parse(octets: bytes) -> tuple[etree._Element | None, bool]:
    """The tree of a page in UTF-8, None when nothing in it is an element; and whether all of it was parsed.

    What stands behind the end of the page belongs to its body, as browsers have it; the parser leaves it beside the
    root. Here it is put into a body of its own.

    Raises:
        etree.LxmlError: it cannot be parsed.
        ValueError: there is nothing to parse.
    """
    parser = etree.HTMLParser(
        encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True, recover=True, huge_tree=True
    )
    root = etree.fromstring(octets.replace(b"\0", b"\xef\xbf\xbd"), parser)
    late = list(root.itersiblings()) if root is not None else []
    if root is not None and late:
        etree.SubElement(root, "body").extend(late)
    return root, not len(parser.error_log.filter_from_fatals())


def is_hidden(element: etree._Element) -> bool:
    """Whether an element stands where nothing is said: in a template, in text that is no markup."""
    for parent in element.iterancestors():  # noqa: SIM110 - every link of a page asks
        if parent.tag in _HIDING:
            return True
    return False


def read_html(page: HtmlPage, wanted: Wanted, media_type: str, *, embedding: bool = False) -> list[Signal]:
    """Every statement in the page's metas.

    Args:
        page: the page.
        wanted: what to look for.
        media_type: of the resource the statements are to cover.
        embedding: the page embeds the resource; only statements that extend to media count.
    """
    if not _concerns(page, wanted):
        return []
    signals: list[Signal] = []
    for found in _metas(page, wanted.metas):
        signals += _statements(found, wanted, media_type, embedding=embedding)
    return distinct(signals)


def _statements(found: Found, wanted: Wanted, media_type: str, *, embedding: bool) -> tuple[Signal, ...]:
    """What a meta says to all who read it."""

    def read() -> tuple[Signal, ...]:
        metas = wanted.metas[found.name]
        return tuple(
            chain.from_iterable(_signals(found, meta, wanted, media_type, embedding=embedding) for meta in metas)
        )

    if len(found.text) > _LONG_META:
        return read()
    return _READ.get((wanted,), (found, media_type, embedding), read)


def is_html(media_type: str, body: bytes) -> bool:
    """Whether a browser might show this as HTML; a text that begins with a tag counts, whatever it is called."""
    if media_type in ("text/html", "application/xhtml+xml"):
        return True
    if media_type.partition("/")[0] in ("image", "audio", "video", "font") or media_type == "application/pdf":
        return False
    return body[:_PRESCAN_OCTETS].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\f").startswith(b"<")


def _window(body: bytes) -> bytes:
    if len(body) <= _MAX_OCTETS:
        return body
    window = body[:_MAX_OCTETS]
    return window if b"</head" in window.lower() else body[:_MAX_OCTETS_LONG_HEAD]


def utf8_octets(body: bytes, charset: str) -> bytes:
    """The page in UTF-8, or as it is when its encoding writes tags in ASCII octets anyway."""
    for mark, name in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace").encode() if name != "utf-8" else body[len(mark) :]
    declared = charset.lower()
    if not declared and (match := _CHARSET.search(body[:_PRESCAN_OCTETS])):
        # A declaration that can be read as ASCII cannot be true when it says UTF-16: the standard reads it as UTF-8.
        declared = match[1].decode("ascii").lower().replace("utf-16", "utf-8")
    head = body[:_PRESCAN_OCTETS]
    if "utf-16" in declared or "utf16" in declared or head.count(0) * 3 > len(head):
        big = "be" in declared or ("le" not in declared and head[:1] == b"\0")
        return body.decode("utf-16-be" if big else "utf-16-le", "replace").encode("utf-8", "replace")
    return _utf8(body, declared)


def _utf8(body: bytes, declared: str) -> bytes:
    codec = next((codec for prefix, codec in _CODECS if declared.startswith(prefix)), "utf-8")
    return body if body.isascii() and codec != "iso2022_jp" else body.decode(codec, "replace").encode()


def _concerns(page: HtmlPage, wanted: Wanted) -> bool:
    """Whether any meta tag might say something that we look for. Says yes whenever in doubt."""
    if b"\0" in page.octets:
        return True
    places = page.places(wanted.needles)
    if any(_is_naming(page.lower, at) for at in places.get(REFERENCE, ())):
        return True  # a character reference may stand for any letter of a name
    told = sorted(places.keys() & wanted.names, key=lambda name: (-len(name), name))  # what is long is rarely chance
    named = [(at, name) for name in told for at in places[name]]
    return len(named) > _MAX_TAGS or any(
        (page.lower[at + len(name) : at + len(name) + 1] or b" ") not in _NAME_OCTETS
        and _is_naming(page.lower, at, whole=True)
        and _tag_concerns(page, at, wanted)
        for at, name in named
    )


def _is_naming(octets: bytes, at: int, *, whole: bool = False) -> bool:
    """Whether this place may be in the value of an attribute that names a meta. `whole`: at its beginning."""
    key, equals, value = octets[max(0, at - _BEFORE) : at].rpartition(b"=")
    key = key.rstrip()
    if equals and len(key) > _KEYWORD and not key.endswith(_NAMING):
        return False
    match = _VALUE.fullmatch(value)
    return match is not None and not (whole and match[1])


def _tag_concerns(page: HtmlPage, at: int, wanted: Wanted) -> bool:
    """Whether the meta tag that holds the attribute at a place says something; yes when no such tag is found."""
    start = page.lower.rfind(b"<meta", max(0, at - _LONG_TAG), at)
    tag = _TAG.match(page.octets, start) if start >= 0 else None
    if tag is None or tag.end() <= at or b"&" in tag[0]:
        return True
    if len(tag[0]) > _LONG_META:
        return _says_something(tag[0], wanted)
    return _HEARD.get((wanted,), tag[0], lambda: _says_something(tag[0], wanted))


def _says_something(tag: bytes, wanted: Wanted) -> bool:
    """Whether a meta tag says something to anybody."""
    names = {_value(match).lower() for match in _NAME.finditer(tag)} & wanted.metas.keys()
    readers = [meta for name in names for meta in wanted.metas[name]]
    return bool(names & wanted.others) or any(
        _speaks(_value(match), readers, wanted.ours) for match in _CONTENT.finditer(tag)
    )


def _value(match: re.Match[bytes]) -> str:
    return (match[1] or match[2] or match[3] or b"").decode("latin-1").strip()


def _speaks(content: str, readers: Iterable[Meta], tokens: frozenset[str]) -> bool:
    """Whether a content makes any statement under the name of these metas."""
    place = Place("html_meta", "body", "", "")
    return any(
        vocabulary.signal(reading, place) is not None
        for meta, vocabulary in readers
        for reading in SYNTAX[meta.syntax]([content], meta.label or meta.name, vocabulary, tokens)
    )


def _metas(page: HtmlPage, wanted: Metas) -> Iterator[Found]:
    """The metas we look for, in document order. Where the page is too much for the parser, its tags as they stand."""
    if page.root is None:
        yield from _tags(page.octets, wanted)
        return
    for number, attribute, name, element in page.metas(wanted.keys()):
        parents = {parent.tag for parent in element.iterancestors()}
        if parents.isdisjoint(_HIDING):
            content = element.get("content") or ""
            odd = (("attribute",) if attribute != "name" else ()) + (("in_body",) if "body" in parents else ())
            yield Found(name, content, number, f'<meta {attribute}="{name}" content="{content}">', odd)


def _tags(page: bytes, wanted: Metas) -> Iterator[Found]:
    """The tags as they stand, hidden or not: only refusals in them count."""
    for number, tag in enumerate(_TAG.finditer(page), start=1):
        text = unescape(tag[0].decode("utf-8", "replace")).encode()
        for name in {_value(match).lower() for match in _NAME.finditer(text)} & wanted.keys():
            for content in _CONTENT.finditer(text):
                yield Found(name, _value(content), number, text.decode(), ("unparsed",))


def _signals(found: Found, reader: Meta, wanted: Wanted, media_type: str, *, embedding: bool) -> Iterator[Signal]:
    meta, vocabulary = reader
    odd = found.odd if meta.standard else (*found.odd, "nonstandard_carrier")
    place = Place("html_meta", "body", f"meta {found.number}", found.text)
    for reading in SYNTAX[meta.syntax]([found.content], meta.label or meta.name, vocabulary, wanted.ours):
        stated = reading.weakened(*odd) if odd else reading
        addressee = meta.to.lower() or found.name
        if addressee in wanted.ours:
            stated = stated._replace(addressed_to="us")
        elif meta.to or addressee in wanted.others:
            stated = stated._replace(addressed_to="others", addressee=addressee)
        signal = vocabulary.signal(stated, place, media_type, embedding=embedding)
        if signal is not None:
            yield signal
