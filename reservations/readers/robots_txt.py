"""What a robots.txt says: octets in, and for a crawler and a URL the rule that decides, with its line (RFC 9309).

https://www.rfc-editor.org/rfc/rfc9309 . The grammar is in `robots_groups`, comparing paths in `robots_match`. Fetching,
status codes and caching (RFC 9309 2.3, 2.4) are the caller's.

A file is read twice when it is odd: by the letter, and a second time with the leniencies of `LENIENCIES`. The second
reading can only close what the first leaves open. So a slip of the pen never becomes a permission, and what the letter
says stays visible beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from reservations.readers.robots_groups import LENIENCIES, TOKEN, WS, AgentLine, Reading, has_odd_blanks, identifier
from reservations.readers.robots_match import Meter, Rule, Subject, TooComplex, path_matches, subject_of

__all__ = [
    "LENIENCIES", "MAX_OCTETS", "AgentLine", "Answered", "Group", "GroupLines", "Line", "Meter", "RobotsTxt", "Rule",
    "Subject", "TooComplex", "path_matches", "product_token", "shown", "subject_of",
]  # fmt: skip

MAX_OCTETS: Final = 512_000
"""RFC 9309 2.5: at least 500 KiB must be read. What comes after is not."""

MAX_SELECTED_RULES: Final = 200_000
"""Rules, counted once for each distinct set of groups that some crawler obeys. A file over it multiplies crawlers by
groups; no honest one does, for its own rules fit into `MAX_OCTETS` some 60,000 times at the most."""

MAX_COMMENT_OCTETS: Final = 65_536
MAX_EXCERPT: Final = 256

#: Products in a User-Agent header that name a browser imitated, not the crawler.
_IMITATED: Final = frozenset({
    "mozilla", "compatible", "applewebkit", "khtml", "like", "gecko", "chrome", "chromium", "safari", "version",
    "mobile", "firefox", "msie", "edge", "edg", "opera", "trident", "macintosh", "windows", "linux", "android",
})  # fmt: skip
_WORDS: Final = bytes.maketrans(b"();,", b"    ")


class Line(msgspec.Struct, frozen=True, gc=False):
    """One `key: value` line, or a comment (key "#"). `key` is lower-case; `raw` the value's octets."""

    number: int
    key: str
    value: str
    raw: bytes
    issues: tuple[str, ...] = ()


class Group(msgspec.Struct, frozen=True):
    """Crawlers, and the rules that they share. `lines` holds the other directives inside, which are no rules."""

    agents: tuple[AgentLine, ...]
    rules: tuple[Rule, ...]
    lines: tuple[Line, ...]


class GroupLines(msgspec.Struct, frozen=True):
    """Lines of one directive by whom they address.

    `ours` are those in groups that name us, `star` those in groups for all, `outside` those before any group. A line
    that only the lenient reading places there carries the leniency among its issues.
    """

    ours: tuple[Line, ...] = ()
    star: tuple[Line, ...] = ()
    outside: tuple[Line, ...] = ()


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a URL may be asked for, and which line says so.

    Attributes:
        allowed: after careful handling: both readings allow it.
        strict_allowed: by the letter.
        group: the product token whose group was obeyed, "*", or "" when no group is for us.
        line: number of the deciding line, None when no rule matches.
        rule: that line's own text, at most 256 characters.
        leniencies: names from `LENIENCIES` without which the line would not decide.
        too_complex: the rules cannot be answered in time, hence denied.
        digest: of the octets read.
    """

    allowed: bool
    strict_allowed: bool
    group: str = ""
    line: int | None = None
    rule: str | None = None
    leniencies: tuple[str, ...] = ()
    too_complex: bool = False
    digest: str = ""


def product_token(user_agent: str) -> str:
    """The product token of a crawler, from its User-Agent header (RFC 9309 2.2.1) or from the bare token.

    >>> product_token("Mozilla/5.0 (compatible; ExampleBot/2.1; +https://bot.example/)")
    'ExampleBot'
    """
    octets = user_agent.encode("ascii", "replace")
    words = octets.translate(_WORDS).split()
    products = [word.partition(b"/") for word in words]
    with_version = [name.decode() for name, slash, _ in products if slash and not name.translate(None, TOKEN)]
    without = [name.decode() for name, slash, _ in products if not slash and not name.translate(None, TOKEN)]
    crawlers = (name for name in (*with_version, *without) if name and name.lower() not in _IMITATED)
    return next(crawlers, identifier(octets).decode())


def shown(octets: bytes) -> str:
    """Octets of somebody else's file as text that is safe to log and print, at most `MAX_EXCERPT` characters."""
    text = octets[: MAX_EXCERPT * 4].decode("utf-8", "replace")[:MAX_EXCERPT].replace("\t", " ")
    return text if text.isprintable() else "".join(char if char.isprintable() else "\ufffd" for char in text)


class RobotsTxt:
    """A robots.txt, read once, to be asked often. Equal octets give equal answers.

    Where a token is asked for, several may be given: the first is our own, the others bind besides it where a group
    names them, and the strictest answer counts.

    Attributes:
        digest: "sha256:..." of the octets read.
        truncated: there was more than was read; a line cut in two was dropped.
        too_complex: crawlers times groups is over budget: everything is denied.
        issues: what was odd about the file as a whole.
        sitemaps: URLs of sitemaps as written; they belong to no group.
        comments: comments (key "#"), at most 64 KiB of them, for a reader of natural language.
    """

    __slots__ = (
        "_letter",
        "_memo",
        "_readings",
        "comments",
        "digest",
        "issues",
        "sitemaps",
        "too_complex",
        "truncated",
    )

    def __init__(self, octets: bytes, *, truncated: bool) -> None:
        self.digest = "sha256:" + hashlib.sha256(octets).hexdigest()
        self.truncated = truncated
        text, issues = _prepare(octets, truncated=truncated)
        lines = text.splitlines()  # of bytes: at CR, LF and CRLF, and nowhere else
        self._letter = Reading(lenient=False)
        self._letter.read(lines)
        self._readings = [self._letter]
        if self._letter.odd or "utf_16" in issues or has_odd_blanks(text):
            self._readings.append(_lenient_reading(text, lines))
            issues += self._readings[-1].issues
        self.too_complex = any(reading.selected_rules() > MAX_SELECTED_RULES for reading in self._readings)
        self.issues = tuple(dict.fromkeys((*issues, *self._letter.issues)))
        self.sitemaps = tuple(value.decode("utf-8", "replace") for value in self._readings[-1].sitemaps)
        self.comments = _comments(lines) if b"#" in text else ()
        self._memo: dict[tuple[str, tuple[str, ...]], GroupLines] = {}

    @classmethod
    def parse(cls, body: bytes, *, truncated: bool = False) -> RobotsTxt:
        """Read a file. Never raises, whatever the octets.

        Args:
            body: the entity as received, content codings removed.
            truncated: somebody cut the end of it off already.
        """
        return cls(body[:MAX_OCTETS], truncated=truncated or len(body) > MAX_OCTETS)

    def named(self, token: str | tuple[str, ...]) -> bool:
        """Whether some group names the crawler, by the letter: a misspelt group must not count as our own."""
        return any(token.lower().encode() in self._letter.named for token in _tokens(token))

    def mentions(self, token: str) -> bool:
        """Whether some group names the crawler in either reading."""
        return any(reading.groups_naming(token) for reading in self._readings)

    def has(self, directive: str) -> bool:
        """Whether there is any line of this directive."""
        return any(directive.lower().encode() in reading.directives for reading in self._readings)

    def ask(self, token: str | tuple[str, ...], url: str) -> Answered:
        r"""Whether the crawler may ask for `url`, and which line says so. /robots.txt itself is always open.

        >>> RobotsTxt.parse(b"User-agent: *\nDisallow: /a").ask("ExampleBot", "https://site.example/a/1").line
        2
        """
        subject = subject_of(url)
        if subject.written == b"/robots.txt":
            return Answered(allowed=True, strict_allowed=True, digest=self.digest)
        meter = Meter()
        own, *others = _tokens(token)
        answers = [self._answer(own, subject, meter, only_named=False)]
        answers += [self._answer(other, subject, meter, only_named=True) for other in others]
        return min(filter(None, answers), key=lambda answer: (answer.strict_allowed, answer.allowed))

    def refused(self, tokens: Iterable[str], url: str) -> dict[str, Answered]:
        """Those of `tokens` that are named in a group and by it denied `url`, each with its answer."""
        subject = subject_of(url)
        meter = Meter()
        known: dict[tuple[tuple[int, ...] | None, ...], Answered | None] = {}
        refused = {}
        for token in tokens:
            groups = tuple(reading.groups_naming(token) for reading in self._readings)
            if any(groups):
                if groups not in known:
                    known[groups] = self._answer(token, subject, meter, only_named=True)
                answer = known[groups]
                if answer is not None and not answer.allowed:
                    refused[token] = msgspec.structs.replace(answer, group=token)
        return refused

    def _answer(self, token: str, subject: Subject, meter: Meter, *, only_named: bool) -> Answered | None:
        """The answer for one token: the first denial on the way from the letter to the most lenient reading."""
        first: Answered | None = None
        if self.too_complex:
            return self._denied_as_too_complex()
        try:
            for reading in self._readings:
                if only_named and reading.groups_naming(token) is None:
                    continue
                for spelling in filter(None, (subject, subject.settled)):
                    group, rule = reading.decide(token, spelling, meter)
                    answer = self._answered(reading, group, rule, settled=spelling is not subject)
                    if not answer.allowed:
                        return answer
                    first = first or answer
        except TooComplex:
            return self._denied_as_too_complex()
        return first

    def _answered(self, reading: Reading, group: str, rule: Rule | None, *, settled: bool) -> Answered:
        if rule is None:
            return Answered(allowed=True, strict_allowed=True, group=group, digest=self.digest)
        leniencies: tuple[str, ...] = ("other_spelling",) if settled else ()
        if reading.lenient:
            leniencies += rule.issues or tuple(issue for issue in self.issues if issue in LENIENCIES)
        return Answered(
            allowed=rule.allow,
            strict_allowed=rule.allow or settled or reading.lenient,
            group=group,
            line=rule.number,
            rule=shown(rule.text.strip()),
            leniencies=tuple(dict.fromkeys(leniencies)),
            digest=self.digest,
        )

    def _denied_as_too_complex(self) -> Answered:
        return Answered(allowed=False, strict_allowed=False, too_complex=True, digest=self.digest)

    def rules(self, token: str | tuple[str, ...]) -> tuple[Rule, ...]:
        """The rules of the groups obeyed, for a caller that weighs them by other rules than those of RFC 9309."""
        own, *others = _tokens(token)
        found: dict[int, Rule] = {}
        for reading in self._readings:
            groups = set(reading.selection(own)[1]).union(*(reading.groups_naming(other) or () for other in others))
            for at in sorted(groups):
                for rule in reading.groups[at].rules:
                    if rule.number not in found or not found[rule.number].pattern:
                        found[rule.number] = rule
        return tuple(found.values())

    def crawl_delay(self, token: str | tuple[str, ...]) -> float | None:
        """The longest `Crawl-delay` among the groups obeyed, in seconds. Not in the RFC; a courtesy. Not capped."""
        own, *others = _tokens(token)
        delays = []
        for reading in self._readings:
            groups = set(reading.selection(own)[1]).union(*(reading.groups_naming(other) or () for other in others))
            delays += [_seconds(value) for _, _, value in reading.lines(groups, b"crawl-delay")]
        return max((delay for delay in delays if delay is not None), default=None)

    def lines(self, directive: str, token: str | tuple[str, ...]) -> GroupLines:
        """Every line of a directive that is no rule ("content-usage", "license", ...), by whom it addresses."""
        key = (directive.lower(), _tokens(token))
        found = self._memo.get(key)
        if found is None:
            found = self._memo[key] = self._find_lines(*key)
        return found

    def _find_lines(self, directive: str, tokens: tuple[str, ...]) -> GroupLines:
        key = directive.encode()
        buckets: tuple[dict[int, Line], ...] = ({}, {}, {})
        for reading in self._readings:
            naming = sorted({at for token in tokens for at in reading.groups_naming(token) or ()})
            outside = [line for line in reading.outside if line[1] == key]
            places = (reading.lines(naming, key), reading.lines(reading.groups_naming("*") or (), key), outside)
            issues = tuple(issue for issue in reading.issues if issue in LENIENCIES) if reading.lenient else ()
            for bucket, lines in zip(buckets, places, strict=True):
                for number, _, value in lines:
                    if number not in bucket:
                        bucket[number] = _line(number, directive, value, issues)
        ours, star, outside_lines = (tuple(bucket[number] for number in sorted(bucket)) for bucket in buckets)
        return GroupLines(ours, star, outside_lines)

    def groups(self) -> tuple[Group, ...]:
        """The groups by the letter, in the order of the file."""
        return tuple(
            Group(
                tuple(group.agents),
                tuple(group.rules),
                tuple(_line(number, key.decode("utf-8", "replace"), value) for number, key, value in group.lines),
            )
            for group in self._letter.groups
        )


def _tokens(token: str | tuple[str, ...]) -> tuple[str, ...]:
    return (token,) if isinstance(token, str) else token


def _line(number: int, key: str, value: bytes, issues: tuple[str, ...] = ()) -> Line:
    return Line(number, key, value.decode("utf-8", "replace"), value, issues)


def _prepare(octets: bytes, *, truncated: bool) -> tuple[bytes, list[str]]:
    """The lines to be read, without byte order mark and without a line cut in two, and what was odd."""
    issues = []
    if truncated:
        issues.append("truncated")
        octets = octets[: max(octets.rfind(b"\n"), octets.rfind(b"\r")) + 1]
    if octets.startswith((b"\xff\xfe", b"\xfe\xff")):
        issues.append("utf_16")
    elif octets.startswith(b"\xef\xbb"):  # some editors write but the first two of the mark's three octets
        issues.append("bom")
        octets = octets[2:].removeprefix(b"\xbf")
    if octets.lstrip()[:1] == b"<":
        issues.append("html_robots")
    return octets, issues


def _lenient_reading(text: bytes, lines: Sequence[bytes]) -> Reading:
    reading = Reading(lenient=True)
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        lines = text.decode("utf-16", "replace").encode("utf-8", "replace").splitlines()
        reading.issues["utf_16"] = None
    reading.read(lines)
    return reading


def _comments(lines: Iterable[bytes]) -> tuple[Line, ...]:
    kept = []
    left = MAX_COMMENT_OCTETS
    for number, line in enumerate(lines, 1):
        _, mark, comment = line.partition(b"#")
        comment = comment.strip(WS)[:left]
        if mark and comment:
            kept.append(_line(number, "#", comment))
            left -= len(comment)
    return tuple(kept)


def _seconds(value: bytes) -> float | None:
    """A number of seconds written with digits and at most one point, else None."""
    whole, _, part = value.partition(b".")
    digits = whole + part
    return float(value) if digits.isdigit() and len(digits) <= 9 else None  # noqa: PLR2004 - thirty years
