"""Reads what a page says of access to it: challenges, declarations, walls, vendors' scripts, words for readers.

One pass over the octets says which rows of the tables could match at all; a page with no marker costs nothing more.
Only then is it parsed, and only the parser's answer counts. A declaration that the page is free cancels hints, and
never another declaration. Never raises: what is too much for the parser is held for a person, if a marker stands in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final, NamedTuple

from lxml import etree

from reservations.access import schema_org
from reservations.access.document import Document, Finding, is_hidden, is_inert, told
from reservations.access.selectors import SelectorError, xpath_of
from reservations.access.tables import Pattern, Tables, Tier, expression_of, load_tables
from reservations.model import Signal
from reservations.readers.html import HtmlPage, utf8_octets
from reservations.readers.needles import Needles, Places
from reservations.readers.nested import read_json
from reservations.statement import Place, Reading, Vocabulary, distinct

#: The label of the protocol that says what follows from a finding.
LABEL: Final = "page"

#: How much of a page is parsed; markers are looked for in all of it.
_MOST_PARSED: Final = 4 << 20
_MOST_JSON: Final = 1 << 16
_MOST_FINDINGS: Final = 32
_QUOTES: Final = "\"'“”„‟«»‘’‚‛ \t\r\n"  # noqa: RUF001  (typographic quotes come with content that was pasted)
_SIZED: Final = 1024


def page_reader(texts: Mapping[str, str], vocabularies: Iterable[Vocabulary]) -> PageReader | None:
    """The reader by tables given by file name, for the protocol that knows the label `page`; None without either."""
    speaker = next((vocabulary for vocabulary in vocabularies if vocabulary.knows(LABEL)), None)
    return PageReader(load_tables(texts), speaker) if texts and speaker else None


class Page(NamedTuple):
    """What is known of the page.

    Attributes:
        body: the entity; charset: that its Content-Type names, or "".
        media_type: of the resource that the statements are to cover.
        urls: the URL asked for, then those that redirected to it.
    """

    body: bytes
    charset: str
    media_type: str
    urls: Sequence[str]


def is_answer(page: Page) -> bool:
    """Whether this is an answer in JSON, in place of a page."""
    return page.media_type.endswith("json") or page.body[:1] == b"{"


class PageReader:
    """The tables, ready to be asked.

    Args:
        tables: all of them.
        vocabulary: of the protocol that knows what follows.

    Attributes:
        needles: octets without one of which a page says nothing of access.
    """

    def __init__(self, tables: Tables, vocabulary: Vocabulary) -> None:
        self._patterns = [_Compiled(pattern) for pattern in tables.patterns]
        self._tiers = {tier.name.lower(): tier for tier in tables.metas}
        self._words = schema_org.Words(tables.schema) if tables.schema else None
        self._answers = tables.answers
        self._vocabulary = vocabulary
        rows: dict[bytes, list[int]] = {}
        for number, compiled in enumerate(self._patterns):
            for literal in compiled.pattern.literals():
                rows.setdefault(literal.encode(), []).append(number)
        for literal in (*schema_org.LITERALS, *self._tiers):
            rows.setdefault(literal.encode(), []).append(_DECLARED)
        self._rows = rows
        self.needles = Needles(rows)

    def read(
        self,
        page: Page,
        html: HtmlPage | None = None,
        *,
        embedding: bool = False,
        teasers: bool = False,
        metered: bool = False,
    ) -> list[Signal]:
        """Every statement on access in a page or an answer in JSON.

        Args:
            page: the page.
            html: the same, as other readers see it; None when it is not at hand.
            embedding: the page embeds the resource; only statements that extend to media count.
            teasers: where the page says which part of it is closed, what stands outside is taken for open.
            metered: that free visits are counted is noted, and restricts nothing.
        """
        if is_answer(page):
            return self._answer(page)
        if html is not None and html.octets == page.body:
            live = self._rows_of(html.places(self.needles))
        else:
            live = self._live(utf8_octets(page.body, page.charset) if b"\0" in page.body[:_SIZED] else page.body)
        if not live:
            return []
        found = self.findings(page, live, html)
        if teasers and self.teaser(page):
            found = [finding._replace(says=_OUTSIDE.get(finding.says, finding.says)) for finding in found]
        if metered:
            found = [finding._replace(says=_COUNTED.get(finding.says, finding.says)) for finding in found]
        return self._signals(found, page.media_type, embedding=embedding)

    def teaser(self, page: Page) -> str:
        """The words outside of the part that the page declares closed; "" where it does not say which part that is."""
        found = self.findings(page)
        if not schema_org.all_closed_parts_delimited(found) or any(item.says in _WHOLE for item in found):
            return ""
        document = Document(utf8_octets(page.body, page.charset)[:_MOST_PARSED], page.urls)
        try:
            closed = [document.find(xpath_of(selector)) for finding in found for selector in finding.delimits]
        except SelectorError:
            return ""
        return "\n\n".join(document.without(chain.from_iterable(closed))) if all(closed) else ""

    def _answer(self, page: Page) -> list[Signal]:
        """What a small JSON answer says: an error about subscriptions with status 200, or an offer."""
        table = self._answers
        if table is None or len(page.body) > _MOST_JSON:
            return []
        lowered = page.body.lower()
        if b"x402version" not in lowered and not any(word.encode() in lowered for word in table.words):
            return []
        try:
            said = read_json(page.body)
        except ValueError:
            return []
        found: list[Finding] = []
        if isinstance(said, dict):
            if "x402Version" in said and "accepts" in said:
                found.append(Finding("payment", "json", "x402Version", "an offer of x402"))
            found.extend(_errors(said, frozenset(table.errors), table.words))
        return self._signals(found, page.media_type, embedding=False)

    def findings(self, page: Page, live: frozenset[int] | None = None, html: HtmlPage | None = None) -> list[Finding]:
        """What the page holds, before it is weighed. `live`: rows that could match; `html`: as other readers see it."""
        octets = utf8_octets(page.body, page.charset)
        live = self._live(octets) if live is None else live
        found: list[Finding] = []
        try:
            parsed = html is not None and len(octets) <= _MOST_PARSED and html.octets == octets
            document = Document(octets[:_MOST_PARSED], page.urls, html.root if html is not None and parsed else None)
            found.extend(self._declared(document) if _DECLARED in live else ())
            for number in sorted(live - {_DECLARED}):
                found.extend(self._patterns[number].match(document))
        except (etree.LxmlError, ValueError, RecursionError, MemoryError):
            found = schema_org.read_plain(octets[:_MOST_PARSED].decode("utf-8", "replace"))
            found = found or [Finding("unclear", "octets", "page", "markers that cannot be parsed", ("unparsed",))]
        if not found and len(octets) > _MOST_PARSED and self._live(octets[_MOST_PARSED:]):
            found.append(Finding("unclear", "octets", "page", "markers beyond what is parsed", ("too-large",)))
        return found[:_MOST_FINDINGS]

    def _live(self, octets: bytes) -> frozenset[int]:
        """Rows of the tables that could match: `_DECLARED` stands for declarations."""
        return self._rows_of(self.needles.places(octets.lower()))

    def _rows_of(self, places: Places) -> frozenset[int]:
        return frozenset(number for literal in places.keys() & self._rows.keys() for number in self._rows[literal])

    def _declared(self, document: Document) -> Iterator[Finding]:
        if self._words is not None:
            yield from schema_org.read_structured(document, self._words)
        for number, element in enumerate(document.find("//meta"), start=1):
            for attribute in ("property", "name"):
                tier = self._tiers.get((element.get(attribute) or "").strip().lower())
                if tier is not None:
                    yield _tier(tier, element.get("content") or "", number)

    def _signals(self, found: Iterable[Finding], media_type: str, *, embedding: bool) -> list[Signal]:
        signals = []
        for finding in weighed(list(found)):
            reading = Reading(LABEL, finding.says, issues=finding.issues)
            place = Place(finding.carrier, "body", finding.locator, " ".join(finding.text.split()))
            signal = self._vocabulary.signal(reading, place, media_type, embedding=embedding)
            if signal is not None:
                signals.append(signal)
        return distinct(signals)


#: In the place of a row's number: structured data and metas.
_DECLARED: Final = -1


def weighed(found: Sequence[Finding]) -> list[Finding]:
    """Findings beside each other: "free" cancels hints; where it contradicts a declaration, both say so."""
    free = any(finding.says == "free" for finding in found)
    closed = any(finding.says in _DECLARATIONS for finding in found)
    result = []
    for finding in found:
        hint = finding.says == "unclear" or (finding.says == "metered" and finding.carrier == "text")
        if free and hint:
            result.append(finding._replace(says="note", issues=(*finding.issues, "declared-free")))
        elif free and closed and finding.says in (*_DECLARATIONS, "free"):
            result.append(finding._replace(issues=(*finding.issues, "conflict")))
        else:
            result.append(finding)
    return result


_DECLARATIONS: Final = ("closed", "metered")

#: What closes all of a page, wherever it says that a part is closed.
_WHOLE: Final = frozenset({"metered", "challenge", "payment"})
#: What findings come to for the words outside of a part that is closed: the hint has found what it hinted at.
_OUTSIDE: Final = {"closed": "teaser", "unclear": "note"}
#: What they come to where the policy keeps pages that count free visits.
_COUNTED: Final = {"metered": "counted"}


#: Carrier, place, and the page's own words there.
_Place = tuple[str, str, str]


class _Compiled:
    """One row of the tables."""

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self._elements = tuple((text, etree.XPath(xpath_of(text))) for text in pattern.elements)
        self._phrases = (
            re.compile("|".join(map(expression_of, pattern.phrases)), re.IGNORECASE) if pattern.phrases else None
        )

    def match(self, document: Document) -> Iterator[Finding]:
        """The row's finding in a page, when all of its conditions hold."""
        row = self.pattern
        if row.most_text and len(document.shown) >= row.most_text:
            return
        if row.titles and not document.title.startswith(row.titles):
            return
        found: list[_Place] = []
        for wanted, look in (
            (row.inline, self._inline),
            (row.hosts, self._host),
            (row.loads, self._load),
            (row.elements, self._element),
            (row.phrases, self._phrase),
        ):
            if not wanted:
                continue
            place = look(document)
            if place is None:
                return
            found.append(place)
        carrier, where, text = found[0]
        # A script may show what is hidden, or may never: a hidden wall hints.
        says = "unclear" if row.says == "closed" and carrier == "hidden_element" else row.says
        yield Finding(says, carrier, f"{row.name}: {where}", text, (), row.delimits if says == "closed" else ())

    def _inline(self, document: Document) -> _Place | None:
        return next((("script", text, text) for text in self.pattern.inline if text.lower() in document.inline), None)

    def _host(self, document: Document) -> _Place | None:
        for host in sorted(document.hosts):
            if any(host == domain or host.endswith("." + domain) for domain in self.pattern.hosts):
                return "script", host, next(src for src in document.loads if host in src)
        return None

    def _load(self, document: Document) -> _Place | None:
        wanted = [text.lower() for text in self.pattern.loads]
        return next((("script", text, load) for text in wanted for load in document.loads if text in load), None)

    def _element(self, document: Document) -> _Place | None:
        hidden: _Place | None = None
        for selector, xpath in self._elements:
            for element in xpath(document.root)[:200]:
                if is_inert(element):
                    continue
                if not is_hidden(element):
                    return "html_element", selector, told(element)
                hidden = ("hidden_element", selector, told(element))
        return hidden

    def _phrase(self, document: Document) -> _Place | None:
        if self._phrases is None:
            return None
        most = self.pattern.most_block
        texts = [block for block in document.blocks if len(block) <= most] if most else [document.shown]
        for text in texts:
            if match := self._phrases.search(text):
                return "text", match[0], text[max(0, match.start() - 60) : match.end() + 60]
        return None


def _tier(tier: Tier, content: str, number: int) -> Finding:
    word = content.strip(_QUOTES).lower()
    says = tier.values.get(word) or tier.values.get("*", "note")
    if not word:
        says = "note"
    return Finding(says, "html_meta", f"meta {number}", f'<meta property="{tier.name}" content="{content}">')


def _errors(
    node: Mapping[str, object], keys: frozenset[str], words: Sequence[str], depth: int = 0
) -> Iterator[Finding]:
    """Words of an error under the keys of an error."""
    for key, value in list(node.items())[:50]:
        if key.lower() not in keys:
            continue
        values = value if isinstance(value, list) else [value]
        for item in values[:10]:
            if isinstance(item, dict) and depth < 3:  # noqa: PLR2004  errors are nested once or twice
                yield from _errors(item, keys, words, depth + 1)
            elif isinstance(item, str) and any(word in item.lower() for word in words):
                yield Finding("unclear", "json", key, item)
