"""Rules of robots.txt that are addressed to others: do they reserve mining against us too?

The class rule: RFC 9309 gives an unnamed crawler the rules for `*`, and fetching follows them. CDSM Art. 4(3) asks for
a reservation of the use, not for the name of each miner. So a site that refuses training crawlers by name is taken to
refuse training: `tdm` is denied, `crawl` never. Which tokens count, and whose they are, is data
(protocols/crawler-tokens.toml); how many it takes is the policy's setting `tokens`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from typing import Final, Literal

import msgspec

from reservations.datafile import DefinitionError, Source
from reservations.definition import ReasonText, Reference
from reservations.model import Category, Signal, Value
from reservations.readers.robots_txt import (
    Line,
    Meter,
    RobotsTxt,
    Subject,
    TooComplex,
    path_matches,
    shown,
    subject_of,
)
from reservations.tables import Approval

Setting = Literal["own", "class", "any"]
Class = Literal["T", "X", "S", "U", "P"]

CLASS: Final = "tokens.class"
OWN: Final = "tokens.own"

_BINDING: Final = frozenset({"T", "X", "P"})
_OPERATORS_NEEDED: Final = 2
_MOST_NAMED: Final = 8
_LINE_WORK: Final = 20_000
_OCTET_WORK: Final = 64
"""What reading one statement costs, and each of its octets, in the octet comparisons that a `Meter` counts."""


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Common options of all tables in the token file."""


class CrawlerToken(_Table, frozen=True, kw_only=True):
    """One product token of somebody else's crawler. `ours`: a group for it is read as one for us."""

    token: str
    kind: Class = msgspec.field(name="class")
    operator: str
    ours: bool = False


class Statement(_Table, frozen=True, kw_only=True):
    """A directive that speaks of training inside a group, and which of its values refuse or permit.

    Without `labels` the value is a path, and `counterpart` the directive that permits what this one refuses.
    """

    directive: str
    labels: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    permits: tuple[str, ...] = ()
    counterpart: str = ""


class TokenList(_Table, frozen=True, kw_only=True):
    """The token file."""

    id: str
    name: str
    reviewed: str
    sources: tuple[Reference, ...]
    reasons: tuple[ReasonText, ...]
    statements: tuple[Statement, ...] = ()
    tokens: tuple[CrawlerToken, ...]
    approval: Approval | None = None
    digest: str = ""

    @classmethod
    def from_toml(cls, text: str, *, file: str) -> TokenList:
        """Reads the file.

        Raises:
            DefinitionError: it has faults; all are named.
        """
        source = Source(text, file)
        tokens = source.read(cls)
        seen: dict[str, int] = {}
        faults = []
        for at, entry in enumerate(tokens.tokens):
            if seen.setdefault(entry.token.lower(), at) != at:
                faults.append(source.fault(("tokens", at, "token"), f"{entry.token!r} is listed above; keep one"))
        if faults:
            raise DefinitionError(faults)
        return msgspec.structs.replace(tokens, digest="sha256:" + hashlib.sha256(text.encode()).hexdigest())

    @property
    def binding(self) -> tuple[CrawlerToken, ...]:
        """The tokens that can say something to us under some setting."""
        return tuple(entry for entry in self.tokens if entry.kind in _BINDING)


def concludes(refused: Collection[CrawlerToken], setting: Setting) -> bool:
    """Whether a refusal of these tokens is one of us. The same on every carrier: robots.txt, a page's metas, ai.txt."""
    kinds = {entry.kind for entry in refused}
    operators = {entry.operator for entry in refused if entry.kind == "T"}
    if setting == "own":
        return False
    if any(entry.ours for entry in refused) or "X" in kinds:
        return True
    return bool(kinds & _BINDING) if setting == "any" else len(operators) >= _OPERATORS_NEEDED


class _Refusal(msgspec.Struct, frozen=True):
    """One token with the line that refuses the URL to it; number 0 when the rules are too complex to be answered."""

    entry: CrawlerToken
    number: int
    text: str
    issues: tuple[str, ...]

    @property
    def place(self) -> str:
        """Where it stands, in words."""
        where = f"line {self.number}" if self.number else "rules too complex"
        return f"{where} ({self.entry.token})"


def read_tokens(
    robots: RobotsTxt,
    url: str,
    token: str | tuple[str, ...],
    setting: Setting,
    tokens: TokenList,
    *,
    source: str = "/robots.txt",
) -> tuple[Signal, ...]:
    """What rules for others say of `url`: at most one signal for groups read as ours and one for all the rest.

    `source`: key of the file, robots.txt or one that is written like it.
    A statement from which nothing is concluded is returned all the same, with no values and the issue `not_inferred`.
    A group that names us (`token`, by the letter) is conclusive: then there are none.
    """
    if robots.named(token):
        return ()
    found = sorted(_refusals(robots, url, tokens), key=lambda refusal: (refusal.number, refusal.entry.token))
    ours = [refusal for refusal in found if refusal.entry.ours]
    others = [refusal for refusal in found if not refusal.entry.ours]
    signals = (_signal(OWN, ours, setting, source), _signal(CLASS, others, setting, source))
    return tuple(signal for signal in signals if signal is not None)


def _refusals(robots: RobotsTxt, url: str, tokens: TokenList) -> Iterable[_Refusal]:
    """The first refusal of the URL to each token that is named: by Disallow, else by another directive."""
    subject = subject_of(url)
    meter = Meter()
    named = {entry.token: entry for entry in tokens.binding if robots.mentions(entry.token)}
    refused = robots.refused(named, url) if named else {}
    statements = [statement for statement in tokens.statements if robots.has(statement.directive)]
    for token, entry in named.items():
        answer = refused.get(token)
        if answer is not None:
            yield _Refusal(entry, answer.line or 0, answer.rule or "", answer.leniencies)
            continue
        for statement in statements:
            line = _refusing_line(robots, token, statement, subject, meter)
            if line is not None:
                yield _Refusal(entry, line.number, shown(f"{line.key}: {line.value}".encode()), line.issues)
                break


def _refusing_line(robots: RobotsTxt, token: str, statement: Statement, subject: Subject, meter: Meter) -> Line | None:
    """The line that refuses the subject to a token: the longest path counts, a refusal before a permission.

    Rules that cannot be answered in time refuse.
    """
    lines = robots.lines(statement.directive, token).ours
    permits = robots.lines(statement.counterpart, token).ours if statement.counterpart else ()
    best: tuple[int, bool] = (-1, False)
    refusing: Line | None = None
    for line in (*lines, *permits):
        try:
            meter.spend(_LINE_WORK + _OCTET_WORK * len(line.raw))
            weight = _weigh(line, statement, subject, meter)
        except TooComplex:
            return line
        if weight is not None and weight > best:
            best = weight
            refusing = line if weight[1] else None
    return refusing


def _weigh(line: Line, statement: Statement, subject: Subject, meter: Meter) -> tuple[int, bool] | None:
    """Octets of the line's path, and whether it refuses; None when it says nothing of the subject."""
    path, pairs = line.raw, b""
    if statement.labels:
        path, _, pairs = line.raw.partition(b" ") if line.raw.startswith(b"/") else (b"", b"", line.raw)
        refuses = _says(pairs, statement)
    else:
        refuses = line.key == statement.directive if line.raw else None
        path = path if path.startswith((b"/", b"*")) else b"/" + path
    if refuses is None:
        return None
    octets = path_matches(path, subject, meter) if path else 0
    return None if octets is None else (octets, refuses)


def _says(pairs: bytes, statement: Statement) -> bool | None:
    """Whether `label=value, ...` refuses; None when it does neither.

    A refusal counts in any spelling that leaves no doubt (case, quotes, blanks, parameters), a permission only exactly.
    """
    permits = False
    for pair in pairs.decode("utf-8", "replace").split(","):
        label, _, value = pair.partition(";")[0].partition("=")
        if label.strip(" \t") in statement.labels and value in statement.permits:
            permits = True
        if label.strip(" \t").lower() in statement.labels and value.strip(" \t\"'()").lower() in statement.refusals:
            return True
    return False if permits else None


def _signal(reason: str, refusals: Sequence[_Refusal], setting: Setting, source: str) -> Signal | None:
    if not refusals:
        return None
    concluded = concludes([refusal.entry for refusal in refusals], setting)
    issues = dict.fromkeys(issue for refusal in refusals for issue in refusal.issues)
    places = [refusal.place for refusal in refusals[:_MOST_NAMED]]
    more = len(refusals) - len(places)
    return Signal(
        protocol="tokens",
        reason=reason,
        carrier="robots_txt" if source == "/robots.txt" else "well_known",
        source=source,
        locator=", ".join(places) + (f" and {more} more" if more else ""),
        excerpt=refusals[0].text,
        effective={Category.TDM: Value.DENY} if concluded else {},
        addressed_to="others",
        issues=(*issues, *(() if concluded else ("not_inferred",))),
    )
