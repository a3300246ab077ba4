"""The pages on which a site sets out its terms: found by the links of its pages, read once for the whole host.

CDSM recital 18: terms and conditions of a website may be the means by which rights are reserved. No more than a few
of one host are asked for (`LegalPages.most`); those known already count for every URL, before it is asked for. What
cannot be read is what a reservation file that cannot be read is: nothing was announced, but a reservation may stand in
it; a page that is not there, or is no page, says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from reservations.memory import Memory
from reservations.model import Answer, Facts, Signal
from reservations.named import TERMS, Heard, Missing, Named, key_of
from reservations.origin import FORBIDDEN, consequence, meaning, outcome
from reservations.readers.html import HtmlPage
from reservations.readers.http_head import charset_of, media_type_of
from reservations.readers.legal_links import LegalLink, LegalWords
from reservations.readers.needles import Needles
from reservations.readers.notices import Notices
from reservations.readers.robots_txt import RobotsTxt
from reservations.readers.well_known import is_page
from reservations.statement import Vocabulary, clean
from reservations.tables import LegalPages

#: Behind the key of such a page's answer: it was asked for on behalf of its host.
MARK: Final = "#legal"
_REMEMBERED: Final = 1024


def is_legal_key(key: str) -> bool:
    """Whether an answer is a legal page of the site itself."""
    return key.endswith(MARK)


def is_page_key(key: str) -> bool:
    """Whether a web page is what is expected as the answer."""
    return key.endswith((MARK, TERMS))


class _Row(NamedTuple):
    """One protocol that reads such pages."""

    vocabulary: Vocabulary
    table: LegalPages
    words: LegalWords


class LegalReader:
    """Finds and reads the legal pages of hosts."""

    def __init__(self, vocabularies: Iterable[Vocabulary], notices: Notices) -> None:
        self._rows = [
            _Row(vocabulary, language.linked, LegalWords(language))
            for vocabulary in vocabularies
            if (language := vocabulary.protocol.language) is not None and language.linked is not None
        ]
        self._notices = notices
        self._read_already: Memory[list[Signal]] = Memory(_REMEMBERED)
        self._commented: Memory[list[LegalLink]] = Memory(_REMEMBERED)

    @property
    def needles(self) -> tuple[Needles, ...]:
        """What pages are searched for."""
        return tuple(row.words.needles for row in self._rows)

    def hear(
        self, facts: Facts, robots: RobotsTxt | None, page: HtmlPage | None, may_ask: Callable[[str], bool]
    ) -> Heard:
        """What the host's legal pages say, the outcome of each, and which are still to be asked for.

        Args:
            facts: with the answers of those known already.
            robots: the origin's robots.txt, whose comments may link to one.
            page: the resource, when it is there and is a page.
            may_ask: whether robots.txt of the URL's own origin opens a path to us.
        """
        known = {key: facts.documents[key] for key in facts.documents if key.endswith(MARK)}
        signals: list[Signal] = []
        consulted: dict[str, str] = {}
        missing: dict[str, Missing] = {}
        for row in self._rows:
            answers = dict(known)
            for named in self._named(row, facts, robots, page) if len(known) < row.table.most else ():
                key = key_of(named.url, facts.url) + MARK
                if key in answers or len(answers) >= row.table.most:
                    continue
                if key.startswith("/") and not may_ask(key.removesuffix(MARK)):
                    answers[key] = FORBIDDEN
                elif len({*answers, *missing}) < row.table.most:
                    missing[key] = Missing(named, key, named.url, row.table.max_bytes, row.table.accept)
            for key, answer in sorted(answers.items()):
                signals += self._read(row, key, answer, consulted)
        return Heard(tuple(signals), consulted, tuple(missing.values()))

    def _named(self, row: _Row, facts: Facts, robots: RobotsTxt | None, page: HtmlPage | None) -> Iterator[Named]:
        """What robots.txt and the resource link to, the surest first."""
        found: list[tuple[str, Sequence[LegalLink]]] = []
        if robots is not None and robots.comments:
            comments = robots.comments
            text = self._commented.get(
                (robots, row),
                facts.url,
                lambda: row.words.in_text("\n".join(line.value for line in comments), facts.url),
            )
            found.append(("/robots.txt", text))
        if page is not None:
            found.append(("body", row.words.in_page(page, facts.url)))
        for source, links in found:
            for link in links:
                yield Named(row.vocabulary, link.url, source, "link", clean(link.text), page=source == "body")

    def _read(self, row: _Row, key: str, answer: Answer, consulted: dict[str, str]) -> list[Signal]:
        """What one answer says; notes its outcome."""
        means, said = meaning(row.table, answer)
        consulted[key] = outcome(answer, means)
        if said is not None:
            return [consequence(row.vocabulary, "named", key, said, consulted[key])]
        if means != "read":
            return []
        if not is_page(answer.body, media_type_of(answer.headers)):
            consulted[key] = "no-page"
            return []
        return self._read_already.get((answer, row), key, lambda: self._sentences(row, key, answer))

    def _sentences(self, row: _Row, key: str, answer: Answer) -> list[Signal]:
        page = HtmlPage(answer.body, charset_of(answer.headers))
        return self._notices.in_legal_page(page, key, row.vocabulary)
