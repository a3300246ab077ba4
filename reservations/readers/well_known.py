"""Reads a JSON list of rules by location: `[{"location": "/", "tdm-reservation": 1}]` (TDMRep 2024 section 6.1).

By the letter the first rule that matches counts, though the text calls it the most specific one. Where the first and
the longest match disagree, the refusal counts. What is not of that form refuses only, and only when it does so plainly:
one object in place of a list, broken JSON with the word for it, a home-made file of prohibitions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final, NamedTuple

from reservations.definition import Document, ForeignWords
from reservations.model import Signal
from reservations.readers.nested import TooDeep, read_json
from reservations.readers.robots_match import Meter, Subject, TooComplex, normalise, path_matches
from reservations.readers.rsl import looks_like_rsl
from reservations.statement import Place, Reading, Vocabulary

_MAX_DEPTH: Final = 32
_MAX_NODES: Final = 100_000
_SCHEME: Final = re.compile(r"https?://[^/]*", re.IGNORECASE)

Pairs = list[tuple[str, object]]


class Rule(NamedTuple):
    """One rule of the list.

    Attributes:
        number: place in the list, from 1; 0 for what was found outside rules.
        pattern: the location's octets; head: its octets before the first wildcard, in normal form.
        readings: what it says.
        sound: by the letter it is a rule; plain: it says something, by the letter or as a plain refusal.
    """

    number: int
    pattern: bytes
    head: bytes
    readings: tuple[Reading, ...]
    sound: bool
    text: str


class Rules(NamedTuple):
    """A document, read. `unreadable` names why nothing in it can be relied on, else it is empty."""

    rules: tuple[Rule, ...] = ()
    issues: tuple[str, ...] = ()
    unreadable: str = ""


class _Number(str):
    """A number as it is spelt."""

    __slots__ = ()


def is_page(body: bytes, media_type: str) -> bool:
    """Whether this is somebody's web page in place of the document: a 404 that says 200. A licence in XML is none."""
    start = body[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    return (start == b"<" and not looks_like_rsl(body)) or (media_type == "text/html" and start not in (b"[", b"{"))


def parse_rules(body: bytes, document: Document, vocabulary: Vocabulary, *, truncated: bool) -> Rules:
    """The document's rules. Never raises; what is over a bound is `unreadable`."""
    if truncated or len(body) > document.max_bytes:
        return Rules(unreadable="too_large")
    try:
        tree = read_json(body, _PARSE)
    except TooDeep:
        return Rules(unreadable="too_deep")
    except ValueError:
        return _plain_rules(body, vocabulary)
    if isinstance(tree, _Object):
        return _from_object(tree, document, vocabulary)
    return _from_list(tree, document, vocabulary) if isinstance(tree, list) else Rules(issues=("malformed",))


class _Object(NamedTuple):
    """A JSON object with its members in order, equal keys kept apart."""

    members: Pairs


#: Members in order, numbers as they are spelt.
_PARSE: Final = partial(
    json.loads, object_pairs_hook=_Object, parse_int=_Number, parse_float=_Number, parse_constant=_Number
)


def _from_object(tree: _Object, document: Document, vocabulary: Vocabulary) -> Rules:
    """One object in place of a list: a rule that refuses counts, or a home-made file."""
    rule = _rule(tree, 1, document, vocabulary)
    if rule is not None:
        readings = tuple(reading.weakened("not_a_list") for reading in rule.readings)
        return Rules((rule._replace(readings=readings, sound=False),), ("not_a_list",))
    if document.foreign and _refuses(tree, document.foreign):
        return _foreign(document.foreign)
    return Rules(issues=("not_a_list",))


def _from_list(tree: list[object], document: Document, vocabulary: Vocabulary) -> Rules:
    """The rules of a list; a home-made file when none of its items is one."""
    if len(tree) > document.max_rules:
        return Rules(unreadable="too_many_rules")
    rules: list[Rule] = []
    issues: tuple[str, ...] = ()
    for number, item in enumerate(tree, start=1):
        rule = _rule(item, number, document, vocabulary) if isinstance(item, _Object) else None
        if rule is None:
            issues = ("malformed_rule",)
        else:
            rules.append(rule)
    if not rules and document.foreign and _refuses(tree, document.foreign):
        return _foreign(document.foreign)
    return Rules(tuple(rules), issues)


def _rule(item: _Object, number: int, document: Document, vocabulary: Vocabulary) -> Rule | None:
    """A rule, or None when the object says nothing that we know."""
    location: object = None
    readings: list[Reading] = []
    for key, value in item.members:
        if key == document.location:
            location = value
        elif vocabulary.knows(key) and not isinstance(value, list | _Object):
            readings.append(Reading(key, _spelt(value)))
    path, odd = _path(location)
    if odd:
        readings = [reading.weakened(odd) for reading in readings]
    stated = [reading for reading in readings if vocabulary.states(reading)]
    if not stated:
        return None
    pattern = path.encode("utf-8", "surrogatepass")
    return Rule(
        number=number,
        pattern=pattern,
        head=normalise(re.split(rb"[*$]", pattern, maxsplit=1)[0]),
        readings=tuple(readings),
        sound=all(reading.sound and vocabulary.states(reading, by_the_letter=True) for reading in stated),
        text=", ".join(f"{key}: {value}" for key, value in item.members if not isinstance(value, list | _Object)),
    )


def _path(location: object) -> tuple[str, str]:
    """The pattern of a rule and what was odd about it. Without one, a refusal is for the whole origin."""
    if not isinstance(location, str) or isinstance(location, _Number) or not location.strip():
        return "/", "no_location"
    path = location.strip()
    if path[0] in "/*":
        return path, ""
    if scheme := _SCHEME.match(path):
        return path[scheme.end() :] or "/", "absolute_location"
    return "/" + path, "slash_supplied"


def _spelt(value: object) -> str:
    """A JSON value as it is spelt: strings keep their quotes, so that "1" and 1 stay different."""
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else "null"


def _plain_rules(body: bytes, vocabulary: Vocabulary) -> Rules:
    """Broken JSON: a key of ours, a colon and a refusing value anywhere closes the whole origin."""
    text = body.replace(b"\0", b"").decode("utf-8", "replace")
    readings = tuple(
        Reading(match[1], match[2], sound=False, issues=("malformed",))
        for match in re.finditer(r"[\"']([A-Za-z][\w:.-]{0,63})[\"']\s{0,64}:\s{0,64}[\"']?([\w.-]{1,32})", text)
        if vocabulary.is_negative(match[1], match[2])
    )
    rule = Rule(0, b"/", b"/", readings[:1], sound=False, text="".join(f"{r.label}: {r.value}" for r in readings[:1]))
    return Rules((rule,) if readings else (), ("malformed",))


def _foreign(words: ForeignWords) -> Rules:
    """A home-made form that refuses, as one rule for the whole origin."""
    reading = Reading(words.label, words.value, sound=False, issues=("foreign_schema",))
    rule = Rule(0, b"/", b"/", (reading,), sound=False, text="a home-made form that refuses")
    return Rules((rule,), ("foreign_schema",))


def _refuses(tree: object, words: ForeignWords) -> bool:
    """Whether mining or training stands under a prohibition, or beside a denial, anywhere in the tree."""
    refusals, uses = frozenset(words.refusals), frozenset(words.uses)
    left = _MAX_NODES
    stack: list[tuple[object, bool, int]] = [(tree, False, 0)]
    while stack and left:
        left -= 1
        node, refused, depth = stack.pop()
        if isinstance(node, _Object):
            denies = any(_words(value) & refusals for _, value in node.members if isinstance(value, str))
            for key, value in node.members:
                under = refused or denies or bool(_words(key) & refusals)
                if (under and _words(key) & uses) or (_words(key) & uses and _words(value) & refusals):
                    return True
                if depth < _MAX_DEPTH:
                    stack.append((value, under, depth + 1))
        elif isinstance(node, list) and depth < _MAX_DEPTH:
            stack.extend((item, refused, depth + 1) for item in node)
        elif refused and _words(node) & uses:
            return True
    return False


def _words(value: object) -> frozenset[str]:
    """A text's words, whole and split at everything that is no letter."""
    if not isinstance(value, str):
        return frozenset()
    text = value[:1024].lower()
    return frozenset((text, *re.split(r"[^a-z]+", text)))


def matching(rules: Iterable[Rule], subject: Subject) -> Iterator[tuple[int, Rule]]:
    """The rules whose location matches, in order, with its octets. One too costly to compare counts as matching."""
    meter = Meter()
    for rule in rules:
        if b"?" not in rule.head and not subject.written.startswith(rule.head):
            continue
        try:
            octets = path_matches(rule.pattern, subject, meter)
        except TooComplex:
            readings = tuple(reading.weakened("too_complex") for reading in rule.readings)
            yield len(rule.pattern), rule._replace(readings=readings, sound=False)
            continue
        if octets is not None:
            yield octets, rule


def read_rules(rules: Rules, document: Document, vocabulary: Vocabulary, subject: Subject) -> list[Signal]:
    """What the document says of one URL."""
    found = list(matching(rules.rules, subject))
    first = next((rule for _, rule in found if rule.sound), None)
    longest = max((octets for octets, _ in found), default=0)
    chosen: list[tuple[Rule, tuple[str, ...]]] = [] if first is None else [(first, ())]
    others = [rule for octets, rule in found if rule is not first and (octets == longest or rule is found[0][1])]
    chosen += [(rule, () if first is None or _same(rule, first) else ("order_ambiguity",)) for rule in others]
    signals: list[Signal] = []
    for rule, odd in chosen:
        place = Place("well_known", document.path, f"rule {rule.number}", rule.text)
        for reading in rule.readings:
            in_force = reading if rule is first else reading.weakened(*odd)
            signal = vocabulary.signal(in_force, place)
            if signal is not None:
                signals.append(signal)
    if rules.issues and document.malformed:
        signals.append(
            Signal(
                protocol=vocabulary.protocol.id,
                reason=document.malformed,
                carrier="well_known",
                source=document.path,
                issues=rules.issues,
            )
        )
    return signals


def _same(one: Rule, other: Rule) -> bool:
    return [(r.label, r.value) for r in one.readings] == [(r.label, r.value) for r in other.readings]
