"""Which rule of a robots.txt speaks for a URL: percent-encoding, wildcards, the most octets (RFC 9309 2.2.2, 2.2.3).

Does not read files and does not know groups: it is given rules and a URL and names the rule that wins.
https://www.rfc-editor.org/rfc/rfc9309

    path-pattern = "/" *( any UTF-8 character except controls, space, "#" )
    "*"          = any run of octets, also none
    "$"          = the end of the URL, as the last octet of a pattern only

Patterns and URLs are hostile. There are no regular expressions here. Patterns without a star cost one look-up for each
distinct length; patterns with stars cost finds of their parts from left to right, which never go back. What the finds
may cost is counted before they are made (`Meter`): an answer that would take too long is refused, not guessed.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import msgspec

MATCH_WORK: Final = 150_000_000
"""Octet comparisons that one answer may take: about 90 ms at the worst of what `bytes.find` does."""

_NAIVE_FIND: Final = 100
"""From this length of a needle on, `bytes.find` is linear; below it may compare length times haystack."""

_FIND_OVERHEAD: Final = 512
"""What a call of `bytes.find` costs besides, in octet comparisons."""

_KEPT_PATTERN: Final = 256
"""Longer patterns are not kept in memory for the next time."""

_UNRESERVED: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_RESERVED: Final = b":/?#@!$&'()*+,;="  # without the brackets: no path or query may hold them as they are
_PLAIN: Final = _UNRESERVED + _RESERVED

#: Every octet as it is compared when it stands unencoded. Octets that no URL may hold as they are (RFC 3986 2) count
#: as their encoding on both sides, for a client sends them so. A lone "%" stands for itself.
_ENCODED: Final = tuple(bytes((octet,)) if octet in _PLAIN + b"%" else b"%%%02X" % octet for octet in range(256))

#: Two hex digits, in any case, as they are compared: the octet when it is unreserved, else the escape in capitals.
_ESCAPES: Final = {
    bytes((high, low)): bytes((octet,)) if (octet := int(bytes((high, low)), 16)) in _UNRESERVED else b"%%%02X" % octet
    for high in b"0123456789abcdefABCDEF"
    for low in b"0123456789abcdefABCDEF"
}

#: Reserved octets that do not delimit the parts of a query: there, encoded and not they are one (RFC 9309 2.2.2, the
#: table). "&", "=", "+", ";" and "#" delimit; "*" and "$" have a meaning of their own in patterns.
_VALUE_ESCAPES: Final = tuple((b"%%%02X" % octet, bytes((octet,))) for octet in b":/?@!'(),")


class TooComplex(Exception):  # noqa: N818 - not an error of the caller: the site's rules cannot be answered in time
    """The answer would take more than `MATCH_WORK`."""


class Meter:
    """What is left of the work that one answer may take."""

    __slots__ = ("left",)

    def __init__(self, work: int = MATCH_WORK) -> None:
        self.left = work

    def spend(self, work: int) -> None:
        """Take `work` off what is left.

        Raises:
            TooComplex: not so much is left.
        """
        if work > self.left:
            raise TooComplex
        self.left -= work


class Rule(msgspec.Struct, frozen=True, gc=False):
    """One allow or disallow line. `pattern` is its path, `text` the line without comment; both as written."""

    allow: bool
    number: int
    pattern: bytes
    text: bytes
    issues: tuple[str, ...] = ()


class Subject(msgspec.Struct, frozen=True, gc=False):
    """The part of a URL that patterns are compared with.

    Attributes:
        written: path and query, percent-encoding in its normal form.
        values: the same with the values of the query decoded, or `written` itself when that changes nothing.
        settled: the path's other spelling, slashes merged and dot segments resolved, when it has one.
    """

    written: bytes
    values: bytes
    settled: Subject | None = None

    @property
    def has_query(self) -> bool:
        """Whether there is a query."""
        return b"?" in self.written


def normalise(octets: bytes) -> bytes:
    """The form of a path in which equal spellings are equal octets (RFC 9309 2.2.2). Not to be applied twice.

    >>> normalise(b"/%62%61z/%e3%83%84")
    b'/baz/%E3%83%84'
    """
    if not octets.translate(None, _PLAIN):
        return octets
    first, *rest = octets.split(b"%")
    parts = [_encode(first)]
    for piece in rest:
        escape = _ESCAPES.get(piece[:2])
        if escape is None:
            parts += (b"%", _encode(piece))
        elif len(piece) == 2:  # noqa: PLR2004 - the two hex digits and nothing behind them
            parts.append(escape)
        else:
            parts += (escape, _encode(piece[2:]))
    return b"".join(parts)


def _encode(octets: bytes) -> bytes:
    if not octets.translate(None, _PLAIN):
        return octets
    return b"".join(map(_ENCODED.__getitem__, octets))


def _with_values(octets: bytes) -> bytes:
    """`octets` (normalised) with the reserved octets of query values decoded; the very same object if none is."""
    path, mark, query = octets.partition(b"?")
    if b"%" not in query:
        return octets
    decoded = query
    for escape, octet in _VALUE_ESCAPES:
        decoded = decoded.replace(escape, octet)
    return octets if decoded == query else path + mark + decoded


@lru_cache(maxsize=256)
def subject_of(url: str) -> Subject:
    """What patterns are compared with for an absolute URL: path and query, the fragment dropped, never empty.

    >>> subject_of("https://site.example?p=1#top").written
    b'/?p=1'
    """
    octets = url.encode("utf-8", "surrogatepass").partition(b"#")[0]
    _, mark, rest = octets.partition(b"://")
    if mark:
        start = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
        octets = rest[start:]
    if not octets.startswith(b"/"):
        octets = b"/" + octets
    written = normalise(octets).replace(b"*", b"%2A").replace(b"$", b"%24")
    path, mark, query = written.partition(b"?")
    settled = _settle(path)
    return Subject(
        written=written,
        values=_with_values(written),
        settled=None if settled == path else _subject(settled + mark + query),
    )


def _subject(written: bytes) -> Subject:
    return Subject(written=written, values=_with_values(written))


def _settle(path: bytes) -> bytes:
    """`path` with runs of slashes merged and dot segments resolved (RFC 3986 5.2.4)."""
    if b"//" not in path and b"/." not in path:
        return path
    kept: list[bytes] = []
    segments = path.split(b"/")
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment not in (b"", b"."):
            kept.append(segment)
    folder = kept and segments[-1] in (b"", b".", b"..")
    return b"/" + b"/".join(kept) + (b"/" if folder else b"")


class _Star(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A pattern with a star inside: `head`, then `middles` in order, then `tail` at the very end (b"" if anywhere)."""

    rank: int
    head: bytes
    middles: tuple[bytes, ...]
    tail: bytes
    weight: int
    rule: Rule

    def work(self, size: int) -> int:
        """What matching against a subject of `size` octets costs at the worst."""
        return size * self.weight + _FIND_OVERHEAD * (len(self.middles) + 1)

    def matches(self, subject: bytes) -> bool:
        at = len(self.head)
        end = len(subject) - len(self.tail)
        for part in self.middles:
            at = subject.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return at <= end


class _Normal(msgspec.Struct, frozen=True, gc=False):
    """A pattern in its normal form. `octets` is its length as RFC 9309 2.2.2 counts it, star and dollar included."""

    text: bytes
    anchored: bool
    octets: int

    @classmethod
    def of(cls, pattern: bytes) -> _Normal:
        anchored = pattern.endswith(b"$")
        text = normalise(pattern[:-1] if anchored else pattern).replace(b"$", b"%24")
        return cls(text, anchored, len(text) + anchored)


class _Index:
    """Patterns of one form, arranged so that the best match for a subject is found without trying each."""

    __slots__ = ("exact", "lengths", "literals", "overhead", "stars", "weight")

    def __init__(self, patterns: Iterable[tuple[bytes, bool, int, Rule]]) -> None:
        self.literals: dict[bytes, tuple[int, Rule]] = {}
        self.exact: dict[bytes, tuple[int, Rule]] = {}
        self.stars: list[_Star] = []
        for text, anchored, rank, rule in patterns:
            if b"*" in text:
                head, *middles = text.split(b"*")
                tail = middles.pop()
                if not anchored and tail:
                    middles.append(tail)
                    tail = b""
                parts = tuple(filter(None, middles))
                if parts or tail:
                    weight = min(_NAIVE_FIND, max(map(len, parts), default=1))
                    self.stars.append(_Star(rank, head, parts, tail, weight, rule))
                    continue
                text, anchored = head, False  # noqa: PLW2901 - a star at the end adds octets to the count only
            table = self.exact if anchored else self.literals
            held = table.get(text)
            if held is None or held[0] < rank:
                table[text] = (rank, rule)
        self.stars.sort(key=_rank, reverse=True)
        self.lengths = sorted({len(text) for text in self.literals}, reverse=True)
        self.weight = sum(star.weight for star in self.stars)
        self.overhead = sum(star.work(0) for star in self.stars)

    def best(self, subject: bytes, meter: Meter) -> tuple[int, Rule] | None:
        """The rule with the highest rank among those that match, with its rank."""
        found = self.exact.get(subject)
        rank = -1 if found is None else found[0]
        size = len(subject)
        for length in self.lengths:
            if length <= size:
                hit = self.literals.get(subject[:length])
                if hit is not None and hit[0] > rank:
                    found = hit
                    rank = hit[0]
        if self.stars:
            return self._best_star(subject, rank, meter) or found
        return found

    def _best_star(self, subject: bytes, rank: int, meter: Meter) -> tuple[int, Rule] | None:
        """The first star rule that matches and outranks `rank`. They are sorted: it is the best of them."""
        size = len(subject)
        total = self.weight * size + self.overhead
        fits = total <= meter.left
        if fits:
            meter.left -= total
        for star in self.stars:
            if star.rank <= rank:
                break
            if subject.startswith(star.head) and subject.endswith(star.tail):
                if not fits:
                    meter.spend(star.work(size))
                if star.matches(subject):
                    return star.rank, star.rule
        return None


def _rank(star: _Star) -> int:
    return star.rank


class Matcher:
    """The rules of one crawler, merged, ready to be asked. The order of rules is without meaning (RFC 9309 2.2.2)."""

    __slots__ = ("_rules", "_values", "_values_differ", "_written")

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple((_Normal.of(rule.pattern), rule) for rule in rules if rule.pattern)
        self._written = _Index((form.text, form.anchored, _rank_of(form, rule), rule) for form, rule in self._rules)
        self._values_differ = any(
            b"?" in form.text and _with_values(form.text) is not form.text for form, _ in self._rules
        )
        self._values: _Index | None = None

    def decide(self, subject: Subject, meter: Meter) -> Rule | None:
        """The rule that speaks for `subject`: the most octets, allow before disallow; None when none matches.

        A rule matches when it does so as written, or when it does so after the values of the query were decoded on
        both sides.

        Raises:
            TooComplex: it cannot be told within the work left.
        """
        found = self._written.best(subject.written, meter)
        if subject.has_query and (self._values_differ or subject.values is not subject.written):
            if self._values is None:
                self._values = _Index(
                    (_with_values(form.text), form.anchored, _rank_of(form, rule), rule)
                    for form, rule in self._rules
                    if b"?" in form.text or b"*" in form.text
                )
            other = self._values.best(subject.values, meter)
            if other is not None and (found is None or other[0] > found[0]):
                found = other
        return None if found is None else found[1]


def _rank_of(form: _Normal, rule: Rule) -> int:
    """Octets first, then allow before disallow, in one number."""
    return form.octets * 2 + rule.allow


def _single(pattern: bytes) -> tuple[Matcher, int]:
    return Matcher((Rule(allow=False, number=0, pattern=pattern, text=b""),)), _Normal.of(pattern).octets


_kept_single = lru_cache(maxsize=2048)(_single)


def path_matches(pattern: bytes, subject: Subject, meter: Meter | None = None) -> int | None:
    """Octets of `pattern` if it matches `subject` (`subject_of(url)`), else None. An empty pattern matches nothing.

    For the paths of Content-Usage lines and of tdmrep.json, which are compared as those of Allow and Disallow are.

    Raises:
        TooComplex: it cannot be told within the work left.

    >>> path_matches(b"/img/*.png$", subject_of("https://site.example/img/a/b.png"))
    11
    """
    matcher, octets = (_kept_single if len(pattern) <= _KEPT_PATTERN else _single)(pattern)
    return None if matcher.decide(subject, meter or Meter()) is None else octets
