"""What an origin's own files say of a URL: robots.txt first, then every reservation file that robots.txt lets us read.

Each file's table says what a status means; a reader takes what is left. Files are read once and remembered by the
answer they came from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from reservations.access.head import retry_after_s, status_fits
from reservations.decide import is_condition
from reservations.definition import Document
from reservations.memory import Memory
from reservations.model import Answer, Facts, Signal
from reservations.named import MOST_NAMED, Named, name
from reservations.readers.http_head import media_type_of
from reservations.readers.name_values import Pair, parse_name_values, read_name_values
from reservations.readers.notices import Notices
from reservations.readers.robots_lines import Lines, choose, read_lines
from reservations.readers.robots_match import subject_of
from reservations.readers.robots_txt import Answered, RobotsTxt
from reservations.readers.tokens import Setting, TokenList, read_tokens
from reservations.readers.usage_rules import UsageFile, parse_usage_file, read_usage_file
from reservations.readers.well_known import Rules, is_page, parse_rules, read_rules
from reservations.statement import Place, Reading, Vocabulary
from reservations.tables import Consequence, LegalPages
from reservations.urls import origin_of

_REMEMBERED_FILES: Final = 4096
_REMEMBERED_URLS: Final = 1024
#: Lines of robots.txt that name documents, all of which are entered; of more, what names another document.
_MOST_LICENCES: Final = 100


class Found(NamedTuple):
    """What the files say.

    Attributes:
        signals: every statement, in no order.
        consulted: outcome per file.
        missing: the files that can be asked for now, with the protocol that wants each: robots.txt alone, then all.
        named: the documents that the files name.
        retry_after_s: the longest wait that a file's failed answer asks for.
        may_ask: whether robots.txt opens another path of its origin to us.
        robots: robots.txt, None when it was not read.
    """

    signals: tuple[Signal, ...]
    consulted: dict[str, str]
    missing: tuple[tuple[str, Document], ...]
    named: tuple[Named, ...]
    retry_after_s: int
    may_ask: Callable[[str], bool]
    robots: RobotsTxt | None


class Asker(NamedTuple):
    """Who asks: our product tokens, our own first, and whose rules bind besides ("own", "class", "any")."""

    tokens: tuple[str, ...]
    setting: Setting


class _Robots(NamedTuple):
    """A robots.txt read: what was odd besides, and the lists of others' tokens of which it names any."""

    text: RobotsTxt
    odd: tuple[str, ...]
    lists: tuple[TokenList, ...]


class OriginFiles:
    """The files that protocols want from every origin."""

    def __init__(self, vocabularies: Sequence[Vocabulary], token_lists: Sequence[TokenList], notices: Notices) -> None:
        wanted = [
            (vocabulary, msgspec.structs.replace(document, path=path))
            for vocabulary in vocabularies
            for document in vocabulary.protocol.documents
            for path in (document.path, *document.also_at)
        ]
        # robots.txt first: it says which of the others may be asked for.
        self._wanted = sorted(wanted, key=lambda item: item[1].format != "robots_txt")
        self._vocabularies = vocabularies
        self._token_lists = token_lists
        self._notices = notices
        self._robots: Memory[_Robots] = Memory(_REMEMBERED_FILES)
        self._rules: Memory[Rules] = Memory(_REMEMBERED_FILES)
        self._usage: Memory[UsageFile] = Memory(_REMEMBERED_FILES)
        self._sentences: Memory[list[Signal]] = Memory(_REMEMBERED_FILES)
        self._pairs: Memory[tuple[Pair, ...]] = Memory(_REMEMBERED_FILES)
        self._found: Memory[Found] = Memory(_REMEMBERED_URLS)

    @property
    def documents(self) -> tuple[Document, ...]:
        """What is asked for, in order."""
        return tuple(document for _, document in self._wanted)

    def read(self, facts: Facts, asker: Asker) -> Found:
        """What the files among the facts say of the URL."""
        answers = [facts.documents.get(document.path) for _, document in self._wanted]
        return self._found.get(answers, (facts.url, asker), lambda: self._read(facts, asker, answers))

    def robots(self, facts: Facts) -> RobotsTxt | None:
        """The origin's robots.txt, None when it was not read."""
        for _, document in self._wanted:
            answer = facts.documents.get(document.path)
            if document.format == "robots_txt" and answer is not None and meaning(document, answer)[0] == "read":
                return self._parsed(answer).text
        return None

    def _parsed(self, answer: Answer) -> _Robots:
        return self._robots.get((answer,), "", lambda: _parse_robots(answer, self._token_lists))

    def _read(self, facts: Facts, asker: Asker, answers: Sequence[Answer | None]) -> Found:
        signals: list[Signal] = []
        consulted: dict[str, str] = {}
        missing: list[tuple[str, Document]] = []
        named: list[Named] = []
        wait = 0
        robots: RobotsTxt | None = None
        may_ask = _may_ask(None, asker, facts.url)
        for (vocabulary, document), given in zip(self._wanted, answers, strict=True):
            answer = given if given is not None or may_ask(document.path) else FORBIDDEN
            if answer is None:
                missing.append((vocabulary.protocol.id, document))
                continue
            means, row = meaning(document, answer)
            consulted[document.path] = outcome(answer, means)
            if means == "unread":
                wait = max(wait, retry_after_s(answer.headers))
            if row is not None:
                signals.append(_consequence(vocabulary, document, row, consulted[document.path]))
            if means != "read":
                continue
            if document.format == "robots_txt":
                robots = self._parsed(answer).text
                may_ask = _may_ask(robots, asker, facts.url)
                signals += self._robots_signals(vocabulary, document, answer, asker, facts.url)
                named += self._licences(answer, asker, document.path, facts.url)
            elif is_page(answer.body, media_type_of(answer.headers)):
                consulted[document.path] = "soft-404"
            else:
                stated = self._stated(vocabulary, document, answer, asker, facts.url)
                signals += stated
                named += policies(vocabulary, stated, facts.url)
        if missing and missing[0][1].format == "robots_txt":
            missing = missing[:1]
        return Found(tuple(signals), consulted, tuple(missing), tuple(named), wait, may_ask, robots)

    def _licences(self, answer: Answer, asker: Asker, path: str, url: str) -> list[Named]:
        """The documents that robots.txt names, to us or to all."""
        robots, tokens = self._parsed(answer).text, asker.tokens
        base = f"{origin_of(url)}{path}"
        found: list[Named] = []
        known: set[str] = set()
        for vocabulary in self._vocabularies:
            for directive in vocabulary.protocol.robots_lines:
                if not directive.document or not robots.has(directive.name):
                    continue
                lines = choose(robots.lines(directive.name.lower(), tokens), named=robots.named(tokens))
                # A licence outside of groups is for everyone, beside what our own group names.
                in_force = frozenset((*lines.binding, *robots.lines(directive.name.lower(), tokens).outside))
                for line in (*lines.binding, *lines.careful):
                    item = name(
                        vocabulary,
                        line.value,
                        base,
                        source=path,
                        place=f"{path} line {line.number}",
                        text=f"{line.key}: {line.value}",
                    )
                    if len(found) >= _MOST_LICENCES and (item.url in known or len(known) > MOST_NAMED):
                        continue  # what is one document too many stands for all others
                    known.add(item.url)
                    odd = (*line.issues, *(() if line in in_force else ("group",)))
                    found.append(item._replace(issues=(*item.issues, *odd)))
        return found

    def _stated(
        self, vocabulary: Vocabulary, document: Document, answer: Answer, asker: Asker, url: str
    ) -> list[Signal]:
        """What a file other than robots.txt says, by its format."""
        match document.format:
            case "usage_rules":
                return self._usage_signals(vocabulary, document, answer, asker, url)
            case "name_values":
                pairs = self._pairs.get(
                    (answer,), document.path, lambda: parse_name_values(answer.body, document, vocabulary)
                )
                return read_name_values(pairs, document, vocabulary)
            case _:
                return self._rules_signals(vocabulary, document, answer, url)

    def _usage_signals(
        self, vocabulary: Vocabulary, document: Document, answer: Answer, asker: Asker, url: str
    ) -> list[Signal]:
        """What a file of rules for uses says, to us and to others, and what it says in other protocols' words."""
        file = self._usage.get(
            (answer,),
            document.path,
            lambda: parse_usage_file(answer.body, vocabulary, truncated=answer.truncated),
        )
        subject = subject_of(url)
        signals = read_usage_file(file, document, vocabulary, asker.tokens, subject)
        signals += self._sentences.get(
            (answer,), document.path, lambda: self._notices.in_file(answer.body, document.path)
        )
        for listed in self._token_lists:
            signals += read_tokens(file.robots, url, asker.tokens, asker.setting, listed, source=document.path)
        names = frozenset(map(str.lower, asker.tokens))
        for other in self._vocabularies:
            directives = [item for item in other.protocol.robots_lines if not item.document]
            chosen = []
            for directive in directives:
                lines = file.robots.lines(directive.name.lower(), asker.tokens)
                chosen.append((directive, Lines((), (*lines.ours, *lines.star, *lines.outside))))
            if any(lines.careful for _, lines in chosen):
                signals += read_lines(chosen, other, names, subject, document.path)
        return signals

    def _robots_signals(
        self, vocabulary: Vocabulary, document: Document, answer: Answer, asker: Asker, url: str
    ) -> list[Signal]:
        """What robots.txt says: its rules, the directives of other protocols, rules for others, what was odd."""
        robots, odd, lists = self._parsed(answer)
        tokens = asker.tokens
        answered = robots.ask(tokens, url)
        signals = _rule_signals(vocabulary, document, answered, too_complex=robots.too_complex)
        named = robots.named(tokens)
        subject = subject_of(url)
        for other in self._vocabularies:
            directives = [directive for directive in other.protocol.robots_lines if not directive.document]
            chosen = [
                (directive, choose(robots.lines(directive.name.lower(), tokens), named=named))
                for directive in directives
                if answered.allowed or not directive.crawlable_only
            ]
            if any(lines.binding or lines.careful for _, lines in chosen):
                signals += read_lines(chosen, other, frozenset(map(str.lower, tokens)), subject, document.path)
        for listed in lists:
            signals += read_tokens(robots, url, tokens, asker.setting, listed)
        signals += self._sentences.get(
            (answer,), document.path, lambda: self._notices.in_comments(robots.comments, document.path, "robots_txt")
        )
        rules = vocabulary.protocol.robots_rules
        issues = (*odd, *robots.issues, *(("truncated",) if robots.truncated else ()))
        if rules is not None and issues:
            signals.append(
                Signal(
                    protocol=vocabulary.protocol.id,
                    reason=rules.note,
                    carrier="robots_txt",
                    source=document.path,
                    issues=tuple(dict.fromkeys(issues)),
                )
            )
        return signals

    def _rules_signals(self, vocabulary: Vocabulary, document: Document, answer: Answer, url: str) -> list[Signal]:
        """What a list of rules says."""
        rules = self._rules.get(
            (answer,),
            document.path,
            lambda: parse_rules(answer.body, document, vocabulary, truncated=answer.truncated),
        )
        if rules.unreadable:
            return [_consequence(vocabulary, document, document.unread, rules.unreadable)]
        return read_rules(rules, document, vocabulary, subject_of(url))


def policies(vocabulary: Vocabulary, stated: Iterable[Signal], base: str, *, source: str = "") -> list[Named]:
    """The documents that statements name as their conditions. `source`: "body" for what came with the resource."""
    named = vocabulary.protocol.named
    if named is None or named.policy is None:
        return []
    return [
        name(
            vocabulary,
            signal.conditions[0],
            base,
            source=source or signal.source,
            place=signal.locator,
            text=signal.excerpt,
            page=bool(source),
        )
        for signal in stated
        if is_condition(signal) and signal.protocol == vocabulary.protocol.id
    ]


def _may_ask(robots: RobotsTxt | None, asker: Asker, url: str) -> Callable[[str], bool]:
    """Whether robots.txt lets us fetch another file of its origin."""
    origin = origin_of(url)
    return lambda path: robots is None or robots.ask(asker.tokens, f"{origin}{path}").allowed


#: What the caller would report of a file that robots.txt forbids us.
FORBIDDEN: Final = Answer(url="", failure="robots")


def meaning(document: Document | LegalPages, answer: Answer) -> tuple[str, Consequence | None]:
    """What an answer means, and the statement that comes with it, if any."""
    if answer.failure == "robots" and document.forbidden is not None:
        return "forbidden", document.forbidden
    if answer.status is not None:
        for row in document.answers:
            if status_fits(answer.status, row.status):
                if row.means == "unread" or (row.means == "read" and answer.failure):
                    break
                return row.means, row if row.means == "denied" else None
    return "unread", document.unread


def outcome(answer: Answer, means: str) -> str:
    """An answer in one word, for the log."""
    if means == "forbidden":
        return means
    if answer.failure:
        return answer.failure
    return str(answer.status)


def _consequence(vocabulary: Vocabulary, document: Document, row: Consequence, excerpt: str) -> Signal:
    carrier = "robots_txt" if document.format == "robots_txt" else "well_known"
    return consequence(vocabulary, carrier, document.path, row, excerpt)


def consequence(vocabulary: Vocabulary, carrier: str, source: str, row: Consequence, excerpt: str) -> Signal:
    """The statement that an answer makes by what it is, not by what it holds."""
    return Signal(
        protocol=vocabulary.protocol.id,
        reason=row.reason,
        carrier=carrier,
        source=source,
        locator="status",
        excerpt=excerpt,
        strict=row.strict,
        effective=row.effective,
        vendor=row.vendor,
    )


def _parse_robots(answer: Answer, token_lists: Iterable[TokenList]) -> _Robots:
    """The file, read; a web page in its place is an empty file (RFC 9309 2.3.1.5 leaves it open)."""
    if is_page(answer.body, ""):
        return _Robots(RobotsTxt.parse(b""), ("html_robots",), ())
    robots = RobotsTxt.parse(answer.body, truncated=answer.truncated)
    lists = (listed for listed in token_lists if any(robots.mentions(entry.token) for entry in listed.binding))
    return _Robots(robots, (), tuple(lists))


def _rule_signals(vocabulary: Vocabulary, document: Document, answered: Answered, *, too_complex: bool) -> list[Signal]:
    """What the rules of robots.txt say of the URL."""
    rules = vocabulary.protocol.robots_rules
    if rules is None or answered.allowed:
        return []
    if too_complex or answered.too_complex:
        row = Consequence(reason=rules.too_complex, strict=document.unread.strict, effective=document.unread.effective)
        return [_consequence(vocabulary, document, row, "too complex")]
    reading = Reading(rules.disallowed, "", addressed_to="all" if answered.group == "*" else "us")
    if answered.strict_allowed:
        reading = reading.weakened(*answered.leniencies)
    place = Place("robots_txt", document.path, f"line {answered.line}", answered.rule or "")
    signal = vocabulary.signal(reading, place)
    return [] if signal is None else [signal]
