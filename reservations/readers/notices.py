"""Finds where sentences count, and hands them to the reader of language: comments of files, metas, notices of a page.

What stands in an article, in a listing or in a quotation speaks of reservations, and makes none. A page counts where it
speaks for the site: footer, notices by class or id, the line with the sign of copyright, a page of terms as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final, NamedTuple

from lxml import etree

from reservations.model import Signal
from reservations.readers.html import REFERENCE, ROLE, SIGNS, HtmlPage, is_hidden
from reservations.readers.language import LanguageReader
from reservations.readers.legal_links import LegalWords
from reservations.readers.markup import Sought, needles_of, read_markup
from reservations.readers.needles import Needles
from reservations.readers.robots_txt import Line
from reservations.statement import Place, Reading, Vocabulary, distinct

_MOST_ELEMENTS: Final = 200_000
_MOST_CHARACTERS: Final = 1 << 17
#: Characters of sentences that are judged, which costs a microsecond or two each; every sentence counts for a few more.
_MOST_JUDGED: Final = 12_000
_SENTENCE: Final = 32
_SILENT: Final = frozenset({
    "script", "style", "template", "textarea", "title", "iframe", "noembed", "noframes", "svg", "select", "option",
    "pre", "code", "samp", "kbd", "blockquote", "q", "head",
})  # fmt: skip
_INLINE: Final = frozenset({
    "a", "abbr", "b", "bdi", "bdo", "big", "br", "cite", "del", "dfn", "em", "font", "i", "ins", "mark", "s", "small",
    "span", "strong", "sub", "sup", "time", "tt", "u", "wbr", "img",
})  # fmt: skip
_ARTICLES: Final = frozenset({"article", "main"})
_WHOLE: Final = frozenset({"html", "body", *_ARTICLES})
_SIGNS: Final = ("©", "℗", "(c) 2", "(C) 2", "opyright", "OPYRIGHT")
_TEXT: Final = etree.XPath("string()", smart_strings=False)
_CLASSES, _IDS, _ROLES = (
    etree.XPath(f"descendant-or-self::*/@{name}", smart_strings=False) for name in ("class", "id", "role")
)
_COUNT: Final = etree.XPath("count(descendant-or-self::*)")
#: What is looked at whatever its class or id.
_SPEAKING: Final = ("footer", "body")
_SEPARATOR: Final = re.compile(r"[\s_-]+")
_NO_WORDS: Final = frozenset[str]()


class Text(NamedTuple):
    """A text that counts, and where it stood."""

    carrier: str
    place: str
    text: str


#: What stands for the elements of a page that are not looked at.
_BEYOND: Final = Text("html_text", f"beyond element {_MOST_ELEMENTS}", "")


class Notices:
    """The protocols that read sentences."""

    def __init__(self, vocabularies: Iterable[Vocabulary]) -> None:
        self._readers = [
            _Notices(vocabulary, LanguageReader(vocabulary.protocol.language))
            for vocabulary in vocabularies
            if vocabulary.protocol.language is not None
        ]

    @property
    def needles(self) -> tuple[Needles, ...]:
        """What pages are searched for."""
        return tuple(reader.needles for reader in self._readers)

    def in_comments(self, lines: Iterable[Line], source: str, carrier: str) -> list[Signal]:
        """What the comments of a file say, of all its origin; comments on successive lines are one text."""
        texts = [Text(carrier, f"line {number}", text) for number, text in _paragraphs(lines)]
        return [signal for reader in self._readers for signal in reader.heard(texts, source)]

    def in_file(self, body: bytes, source: str) -> list[Signal]:
        """What a file says that may be prose, comments or rules."""
        text = body[:_MOST_CHARACTERS].decode("utf-8", "replace")
        lines = [Line(number, "#", line.lstrip("#>*- \t"), b"") for number, line in enumerate(text.splitlines(), 1)]
        return self.in_comments((line for line in lines if line.value.strip()), source, "well_known")

    def in_page(self, page: HtmlPage, url: str) -> list[Signal]:
        """What a page says for its site."""
        return [signal for reader in self._readers for signal in reader.in_page(page, url)]

    def in_legal_page(self, page: HtmlPage, source: str, vocabulary: Vocabulary | None = None) -> list[Signal]:
        """What a page says that is a notice as a whole, in the words of one protocol or all.

        `source`: key of its answer.
        """
        readers = (reader for reader in self._readers if vocabulary in (None, reader.vocabulary))
        return [signal for reader in readers for signal in reader.in_page(page, "", source=source)]


#: What becomes of what stands inside of an element: nothing counts, notices of articles do, all notices do.
_CLOSED: Final = "closed"
_ARTICLE: Final = "article"
_OPEN: Final = "open"


class _Ways:
    """What stands inside of what, as far as was asked: each element is looked at once."""

    def __init__(self) -> None:
        self._inside: dict[etree._Element, str] = {}

    def to(self, element: etree._Element) -> str:
        """Where an element stands, by its ancestors and by what it is itself."""
        line: list[etree._Element] = []
        at: etree._Element | None = element
        while at is not None and at not in self._inside:
            line.append(at)
            at = at.getparent()
        way = outer = _OPEN if at is None else self._inside[at]
        for one in reversed(line):
            outer = way
            if way == _CLOSED or one.tag in _SILENT:
                way = _CLOSED
            elif one.tag in _ARTICLES:
                way = _ARTICLE
            self._inside[one] = way
        return way if way == _CLOSED else outer

    def close(self, element: etree._Element) -> None:
        """Nothing inside of it counts from now on."""
        self._inside[element] = _CLOSED


class _Notices:
    """One protocol's tables."""

    def __init__(self, vocabulary: Vocabulary, reader: LanguageReader) -> None:
        self.vocabulary = vocabulary
        self._reader = reader
        language = reader.language
        self._metas = frozenset(language.metas)
        self._sought = Sought(frozenset(), frozenset(), frozenset(language.properties))
        self.needles = Needles.together(reader.needles, needles_of(self._sought))
        self._notices, self._in_articles, self._outside = (
            frozenset(words) for words in (language.notices, language.in_articles, language.outside)
        )
        self._places = self._notices | self._in_articles | self._outside
        self._legal = LegalWords(language)

    def heard(self, texts: Iterable[Text], source: str) -> list[Signal]:
        """The statements in some texts, within bounds; what might be one beyond them is a statement of its own."""
        signals: list[Signal] = []
        left, to_judge = _MOST_CHARACTERS, _MOST_JUDGED
        for text in texts:
            beyond = text.text[max(0, left) :]
            over = text.place == _BEYOND.place or (bool(beyond) and self._reader.may_hold(beyond))
            for start, end, sentence in self._reader.candidates(text.text[:left]) if left > 0 else ():
                to_judge -= len(sentence) + _SENTENCE
                over = over or to_judge < 0
                if over:
                    break
                signals += self._judged(text, source, f"{text.place}, {start}-{end}", sentence)
            if over:
                return distinct((*signals, *self._over_budget(text, source)))
            left -= len(text.text)
        return distinct(signals)

    def _judged(self, text: Text, source: str, locator: str, sentence: str) -> list[Signal]:
        said = self._reader.judge(sentence)
        if said is None:
            return []
        tongue = f" ({said.language})" if said.language else ""
        place = Place(text.carrier, source, locator + tongue, sentence)
        signal = self.vocabulary.signal(Reading(said.about, said.sure), place)
        return [] if signal is None else [signal]

    def _over_budget(self, text: Text, source: str) -> list[Signal]:
        row = self._reader.language.over_budget
        if row is None:
            return []
        return [
            Signal(
                protocol=self.vocabulary.protocol.id,
                reason=row.reason,
                carrier=text.carrier,
                source=source,
                locator=text.place,
                strict=row.strict,
                effective=row.effective,
                vendor=row.vendor,
                issues=("over_budget",),
            )
        ]

    def in_page(self, page: HtmlPage, url: str, *, source: str = "body") -> list[Signal]:
        """What a page says; one that was asked for as a source of its own is a notice as a whole."""
        if not self._reader.may_speak(page.lower, page.places(self.needles)):
            return []
        root = page.root
        if root is None:
            return []
        whole = source != "body" or self._legal.is_legal(url)
        texts: Iterable[Text] = chain(self._of_head(page), self._of_body(page, root, whole=whole))
        if source != "body":
            texts = (text._replace(carrier="named") for text in texts)
        return self.heard(texts, source)

    def _of_head(self, page: HtmlPage) -> Iterator[Text]:
        for number, attribute, _, element in page.metas(self._metas):
            first = attribute == "name" or (attribute == "property" and not element.get("name"))
            if first and not is_hidden(element):
                yield Text("html_meta", f"meta {number}", element.get("content") or "")
        yield from (Text("schema", said.place, said.value) for said in read_markup(page, self._sought).said)

    def _of_body(self, page: HtmlPage, root: etree._Element, *, whole: bool) -> Iterator[Text]:
        for number, element in enumerate(self._speaking(page, root, whole=whole), 1):
            if element is root:
                yield _BEYOND
                return
            for block in _blocks(element, self._outside):
                yield Text("html_text", f"{element.tag} {number}", block)

    def _speaking(self, page: HtmlPage, root: etree._Element, *, whole: bool) -> Iterator[etree._Element]:
        """The elements that speak for the site, none inside of another; the root, when there are too many to tell."""
        signs = _signs(page, root)
        ways = _Ways()
        kinds = ("*",) if signs or self._is_marked(page, root) else _SPEAKING
        parts = (part.iter(*kinds) for part in root if part.tag != "head")
        for number, element in enumerate(chain((root,), *parts)):
            if number >= _MOST_ELEMENTS:
                yield root
                return
            tag, words = element.tag, _words_of(element)
            signed = bool(signs) and tag not in _WHOLE and _signed(element, signs)
            if not (words or signed or tag in _SPEAKING):
                continue
            way = ways.to(element)
            if way == _CLOSED or (words & self._outside and tag not in _WHOLE):
                ways.close(element)
                continue
            notices = self._notices if way == _OPEN else self._in_articles
            speaks = tag == "footer" or signed or not words.isdisjoint(notices)
            if (speaks and tag not in _WHOLE) or (whole and tag == "body"):
                ways.close(element)
                yield element

    def _is_marked(self, page: HtmlPage, root: etree._Element) -> bool:
        """Whether a class, id or role might say where something stands; if none does, tags alone do."""
        if (page.holds(ROLE) and _ROLES(root)) or (
            len(page.octets) >= _MOST_ELEMENTS and _COUNT(root) >= _MOST_ELEMENTS
        ):
            return True
        return not all(self._places.isdisjoint(_split(said)) for said in {*_CLASSES(root), *_IDS(root)})


def _signs(page: HtmlPage, root: etree._Element) -> Sequence[str]:
    """The signs of copyright that stand in the page's text."""
    if not page.holds(REFERENCE, *SIGNS):
        return ()
    shown = _TEXT(root)
    return [sign for sign in _SIGNS if sign in shown]


def _words_of(element: etree._Element) -> frozenset[str]:
    """Words of class and id; the role of a footer makes one."""
    kind, name, role = element.get("class"), element.get("id"), element.get("role")
    if not (kind or name or role):
        return _NO_WORDS
    return _split(kind or "", name or "", "footer" if role == "contentinfo" else "")


@lru_cache(maxsize=4096)
def _split(*said: str) -> frozenset[str]:
    return frozenset(_SEPARATOR.split(" ".join(text[:512] for text in said).lower()))


def _signed(element: etree._Element, signs: Sequence[str]) -> bool:
    """Whether a sign of copyright stands in the element's own text."""
    texts = (element.text, *(child.tail for child in element))
    return any(sign in text for text in texts if text for sign in signs)


def _blocks(element: etree._Element, outside: frozenset[str]) -> Iterator[str]:
    """The texts of an element, one for each run without a new block."""
    parts: list[str] = []
    stack: list[etree._Element | str | None] = [element]
    while stack:
        item = stack.pop()
        if item is None or isinstance(item, str):
            if item is not None:
                parts.append(item)
            else:
                yield from filter(None, ["".join(parts).strip()])
                parts = []  # blank ones too, or they are joined again at every block
            continue
        silent = item.tag in _SILENT or not isinstance(item.tag, str)
        if silent or (item is not element and _words_of(item) & outside):
            stack.append(item.tail or " ")
            continue
        inline = item.tag in _INLINE
        if item is not element:
            stack.append(item.tail or "")
        if not inline:
            stack.append(None)
        elif item.tag == "br":
            parts.append(" ")
        stack.extend(reversed(item))
        stack.append(item.text or "")
        if not inline:
            stack.append(None)


def _paragraphs(lines: Iterable[Line]) -> Iterator[tuple[int, str]]:
    """Comments on successive lines together, with the number of the first."""
    first, last, parts = 0, -1, list[str]()
    for line in lines:
        if line.number != last + 1 and parts:
            yield first, " ".join(parts)
            parts = []
        if not parts:
            first = line.number
        parts.append(line.value.strip("#*-=> \t"))
        last = line.number
    if parts:
        yield first, " ".join(parts)
