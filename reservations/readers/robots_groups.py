"""The lines of a robots.txt, sorted into groups: by the letter of RFC 9309 2.1 to 2.2.4, or with leniencies.

https://www.rfc-editor.org/rfc/rfc9309

    file          = *( group / emptyline )
    group         = startline *( startline / emptyline ) *( rule / emptyline )
    startline     = *WS "user-agent" *WS ":" *WS product-token EOL
    rule          = *WS ( "allow" / "disallow" ) *WS ":" *WS ( path-pattern / empty ) EOL
    product-token = 1*( "-" / A-Z / "_" / a-z ) / "*"
    EOL           = *WS [ "#" comment ] ( CR / LF / CRLF )          WS = SP / HTAB

Lines that are neither (sitemaps, crawl delays, usage preferences, anything unknown) are kept where they stand and leave
the groups as they are (RFC 9309 2.2.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from reservations.readers.robots_match import Matcher, Meter, Rule, Subject

LONG_LINE: Final = 16_664
"""Widespread parsers cut lines here (2,083 characters of 8 octets); see `long_line`. Counted on the pattern."""

MAX_LITERAL_AGENT: Final = 64

TOKEN: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
WS: Final = b" \t"

#: What only the second reading does, and why.
LENIENCIES: Final[Mapping[str, str]] = {
    "missing_colon": "`Disallow /a` and `User-agent *` with a blank for the colon leave no doubt what is meant.",
    "key_spelling": "`Dissallow`, `Useragent` and the like occur on real sites; no other directive has these names.",
    "odd_blank": "`User-agent: *` with a no-break space behind it, pasted from a web page, looks right to its author.",
    "slash_supplied": "`Disallow: private` is outside the grammar; whoever wrote it meant /private.",
    "other_spelling": "`//a` and `/./a` reach the same page as `/a` on most servers.",
    "long_line": "A Disallow cut at 16,664 octets closes more than the whole, an Allow cut there is not trusted.",
    "utf_16": "The file must be UTF-8; one that begins with the mark of UTF-16 is legible all the same.",
}

_SPELLINGS: Final[Mapping[bytes, bytes]] = {
    b"useragent": b"user-agent",
    b"user agent": b"user-agent",
    b"dissallow": b"disallow",
    b"dissalow": b"disallow",
    b"disalow": b"disallow",
    b"diasllow": b"disallow",
    b"disallaw": b"disallow",
}
#: What looks like nothing at either end of a key or value, and how to tell quickly that a file may hold any of it.
_BLANKS: Final = " \t\v\f\x85\xa0\u200b\u200c\u200d\u2028\u2029\u202f\u2060\u3000\ufeff"
_BLANK_OCTETS: Final = (b"\v", b"\f", b"\x85", b"\xa0", b"\xe2\x80", b"\xe2\x81\xa0", b"\xe3\x80\x80", b"\xef\xbb\xbf")

_RULES: Final = frozenset({b"allow", b"disallow"})
_ODD: Final = frozenset({b"", *_SPELLINGS})
_WITHOUT_COLON: Final = frozenset({b"user-agent", b"disallow", *_SPELLINGS})

#: Keys in the spellings that nearly all files use, so that most lines need no lower-casing.
_KEYS: Final[Mapping[bytes, bytes]] = {
    spelling: spelling.lower() for spelling in (b"User-agent", b"User-Agent", b"Disallow", b"Allow", b"Sitemap")
}


def has_odd_blanks(octets: bytes) -> bool:
    """Whether the lenient reading may trim something that the letter does not."""
    return any(blank in octets for blank in _BLANK_OCTETS)


def _trim(line: bytes) -> bytes:
    """The line without odd blanks around its key and its value; the very same object if there are none.

    A line that is no UTF-8 is taken for Latin-1.
    """
    if line.isascii() and b"\v" not in line and b"\f" not in line:
        return line
    try:
        text, encoding = line.decode(), "utf-8"
    except UnicodeDecodeError:
        text, encoding = line.decode("latin-1"), "latin-1"
    trimmed = [part.strip(_BLANKS) for part in text.partition(":")]
    if trimmed == [part.strip(" \t") for part in text.partition(":")]:
        return line
    return "".join(trimmed).encode(encoding)


class AgentLine(msgspec.Struct, frozen=True, gc=False):
    """One user-agent line. `value` is as written."""

    number: int
    value: bytes
    issues: tuple[str, ...] = ()


def identifier(value: bytes) -> bytes:
    """`value` up to the first octet that no product token has."""
    return value[: len(value) - len(value.lstrip(TOKEN))]


class OpenGroup:
    """A group while its lines are read. `issues` are those of its user-agent lines."""

    __slots__ = ("agents", "issues", "lines", "rules")

    def __init__(self) -> None:
        self.agents: list[AgentLine] = []
        self.rules: list[Rule] = []
        self.lines: list[tuple[int, bytes, bytes]] = []
        self.issues: tuple[str, ...] = ()


class Reading:
    """The groups of a file under one reading.

    Attributes:
        lenient: whether the leniencies apply.
        groups: in the order of the file.
        directives: lower-case keys of all lines.
        named: places in `groups` by the lower-case name of a crawler, or "*".
        sound: those names that some well-formed user-agent line gives.
        outside: lines of other directives before any group.
        sitemaps: values of sitemap lines, wherever they stand.
        odd: something was seen that the lenient reading takes otherwise.
        issues: words for what was odd, in the order seen.
    """

    __slots__ = (
        "_group",
        "_matchers",
        "directives",
        "groups",
        "issues",
        "lenient",
        "named",
        "odd",
        "outside",
        "sitemaps",
        "sound",
    )

    def __init__(self, *, lenient: bool) -> None:
        self.lenient = lenient
        self.groups: list[OpenGroup] = []
        self.directives: frozenset[bytes] = frozenset()
        self.named: dict[bytes, list[int]] = {}
        self.sound: set[bytes] = set()
        self.outside: list[tuple[int, bytes, bytes]] = []
        self.sitemaps: list[bytes] = []
        self.odd = False
        self.issues: dict[str, None] = {}
        self._group: OpenGroup | None = None
        self._matchers: dict[tuple[int, ...], Matcher] = {}

    def read(self, lines: Iterable[bytes]) -> None:
        """Take in the lines of a file."""
        keys = dict(_KEYS)
        for number, line in enumerate(lines, 1):
            text = line.partition(b"#")[0] if b"#" in line else line
            if not text:
                continue
            issues: tuple[str, ...] = ()
            if self.lenient and (trimmed := _trim(text)) is not text:
                text, issues = trimmed, ("odd_blank",)
                self.issues["odd_blank"] = None
            written, colon, value = text.partition(b":")
            key = keys.get(written) if colon else b""
            if key is None:
                key = keys[written] = written.strip(WS).lower()
            value = value.strip(WS)
            if key in _ODD:
                self._take_odd(key, value, number, text)
            else:
                self._take(key, value, number, text, issues)
        self.directives = frozenset(keys.values())

    def _take(self, key: bytes, value: bytes, number: int, text: bytes, issues: tuple[str, ...]) -> None:
        """Put a line where it belongs. What is neither rule nor user-agent line leaves the groups as they are."""
        group = self._group
        if key in _RULES:
            if group is not None:  # rules before any group are ignored
                group.rules.append(self._rule(key == b"allow", value, number, text, (*group.issues, *issues)))
        elif key == b"user-agent":
            if group is None or group.rules:
                self._group = group = OpenGroup()
                self.groups.append(group)
            self._agent(group, value, number, issues)
        elif key == b"sitemap":
            self.sitemaps.append(value)
        else:
            (self.outside if group is None else group.lines).append((number, key, value))

    def _take_odd(self, key: bytes, value: bytes, number: int, text: bytes) -> None:
        """A line whose key is misspelt or has no colon."""
        issue = "key_spelling"
        if not key:
            issue = "missing_colon"
            words = text.split(None, 2)
            if b":" in text or len(words) != 2 or words[0].lower() not in _WITHOUT_COLON:  # noqa: PLR2004 - key and value
                return
            key, value = words[0].lower(), words[1]
        self.odd = True
        self.issues[issue] = None
        if self.lenient:
            self._take(_SPELLINGS.get(key, key), value, number, text, (issue,))
        elif issue == "key_spelling":
            self._take(key, value, number, text, ())

    def _rule(self, allow: bool, value: bytes, number: int, text: bytes, issues: tuple[str, ...]) -> Rule:  # noqa: FBT001
        """A rule. One with an empty or foreign pattern matches nothing, but ends the user-agent lines all the same.

        So does an Allow in a group that only the lenient reading knows: nothing malformed opens a path.
        """
        if allow and issues:
            value = b""
        if len(value) > LONG_LINE:
            self.odd = True
            self.issues["long_line"] = None
            if self.lenient:
                issues = (*issues, "long_line")
                value = b"" if allow else value[:LONG_LINE]
        if value and value[0] not in b"/*":
            self.odd = True
            self.issues["slash_supplied"] = None
            if self.lenient and not allow:
                issues = (*issues, "slash_supplied")
                value = b"/" + value
            else:
                value = b""
        return Rule(allow, number, value, text, issues)

    def _agent(self, group: OpenGroup, value: bytes, number: int, issues: tuple[str, ...]) -> None:
        """Add a crawler to its group, under each name by which it can be asked for."""
        lower = value.lower()
        names: Iterable[bytes] = (lower,)
        if not lower or lower.translate(None, TOKEN):
            names = self._names(lower)
        at = len(self.groups) - 1
        for name in names:
            held = self.named.setdefault(name, [])
            if not held or held[-1] != at:
                held.append(at)
        if not issues:
            self.sound.update(names)
        else:
            group.issues = tuple(dict.fromkeys((*group.issues, *issues)))
        group.agents.append(AgentLine(number, value, issues))

    def _names(self, value: bytes) -> Iterable[bytes]:
        """The names in a value that is no product token: `*` with words, `ExampleBot/2.1`, `Example Bot`.

        Widespread practice, Google's among it, cuts at the first octet outside the grammar. The value as it stands is
        a name too, so that crawlers whose own name is outside the grammar can be found.
        """
        if value.startswith(b"*"):
            return (b"*",) if value[1:2] in (b"", b" ", b"\t") else ()
        name = identifier(value)
        if value[len(name) : len(name) + 1] == b"*":
            self.issues["wildcard_token"] = None
        literal = value if len(value) <= MAX_LITERAL_AGENT else b""
        return dict.fromkeys(filter(None, (name, literal, literal.partition(b"/")[0].rstrip(WS))))

    def selection(self, token: str) -> tuple[str, tuple[int, ...]]:
        """The groups a crawler obeys: all that name it, else all for `*`, else none (RFC 9309 2.2.1).

        A misspelt user-agent line adds its group to those for `*`; it does not silence them.
        """
        named = self.groups_naming(token)
        star = self.groups_naming("*")
        if named is None:
            return ("", ()) if star is None else ("*", star)
        if star is not None and token.lower().encode() not in self.sound:
            named = tuple(sorted({*named, *star}))
        return token, named

    def groups_naming(self, token: str) -> tuple[int, ...] | None:
        """The groups that name `token`, None if none does."""
        groups = self.named.get(token.lower().encode())
        return None if groups is None else tuple(groups)

    def selected_rules(self) -> int:
        """How many rules must be arranged to answer every crawler that the file names."""
        sizes = [len(group.rules) for group in self.groups]
        selections = {tuple(groups) for groups in self.named.values()}
        doubtful = len(self.named) - len(self.sound)
        to_all = sum(sizes[at] for at in self.groups_naming("*") or ()) if doubtful else 0
        return sum(sizes[at] for groups in selections for at in groups) + doubtful * to_all

    def decide(self, token: str, subject: Subject, meter: Meter) -> tuple[str, Rule | None]:
        """Whose groups were obeyed, and the rule in them that speaks for `subject`."""
        name, groups = self.selection(token)
        if not groups:
            return name, None
        matcher = self._matchers.get(groups)
        if matcher is None:
            matcher = self._matchers[groups] = Matcher(rule for at in groups for rule in self.groups[at].rules)
        return name, matcher.decide(subject, meter)

    def lines(self, groups: Iterable[int], key: bytes) -> list[tuple[int, bytes, bytes]]:
        """The lines of one directive in the groups given."""
        return [line for at in groups for line in self.groups[at].lines if line[1] == key]
