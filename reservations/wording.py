"""Tables of a protocol file about sentences: the words in which rights are reserved, by language, and where they count.

A phrase is written in lower case: a blank stands for any run of blanks, hyphens and punctuation between words, `*` for
the rest of a word, `...` for up to eight words between, `(a|b)` for either. Nothing else is special, so that whoever
knows the language can keep the table.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Annotated, Final, NamedTuple

import msgspec

from reservations.datafile import Day
from reservations.tables import Consequence, LegalPages, Table

Phrase = Annotated[str, msgspec.Meta(min_length=2, max_length=160)]
Words = tuple[Phrase, ...]

#: What a sentence is about; the labels of the protocol that carries the tables.
TDM: Final = "tdm"
TRAINING: Final = "training"
ACCESS: Final = "access"
OBJECTS: Final = (TDM, TRAINING, ACCESS)

#: A shorter run of ASCII letters and digits would be found on every page.
_LEAST_RUN: Final = 3
_NEEDS_RUN: Final = f"needs {_LEAST_RUN} plain letters or digits in a row, or every page is searched"
_BRACKETS: Final = re.compile(r"[^()|]*(?:\([^()]+\)[^()|]*)*")
_PIECES: Final = re.compile(r"\s*\.\.\.\s*|\*|[(|)]|\s+|[^\W_]+|.", re.DOTALL)
_GROUP: Final = re.compile(r"\([^)]*\)")
_RUN: Final = re.compile(r"[a-z0-9]+")
_GAP: Final = r"(?:\W{1,3}+\w++){0,8}?\W{1,3}+"


class Anchor(Table, frozen=True, kw_only=True):
    """A provision of statute that lets rights be reserved: all of these stand in one sentence."""

    law: str
    country: str
    all: Annotated[Words, msgspec.Meta(min_length=1)]


class Wording(Table, frozen=True, kw_only=True):
    """How one language speaks of it.

    Attributes:
        language: ISO 639-1; source, date: where the words were taken from, and when.
        tdm, training, access: what a sentence is about.
        refusals: what refuses or reserves.
        permissions: what permits; they turn a sentence when nearer to its object than a refusal.
        negated: refusals that are denied themselves ("not prohibited"): they permit.
        terms: permission that must be asked for: a refusal.
        non_commercial: limits to uses that are not ours.
        idle: the general formula of reserved rights, which says nothing of mining, unless one of `including` follows.
        traps: the sentence is about something else: what the site does with its readers' data.
    """

    language: Annotated[str, msgspec.Meta(pattern=r"^[a-z]{2}$")]
    source: str
    date: Day
    tdm: Words
    training: Words
    access: Words = ()
    refusals: Words
    permissions: Words = ()
    negated: Words = ()
    terms: Words = ()
    non_commercial: Words = ()
    idle: Words = ()
    including: Words = ()
    traps: Words = ()


class Language(Table, frozen=True, kw_only=True):
    """The sentences that a protocol reads, and the places of a page where they count.

    Attributes:
        metas: names of `<meta>`; properties: of schema.org.
        notices: words of class and id of an element that speaks for the site; in_articles: those that do so even
            inside of an article.
        outside: words of class and id of an element that does not, wherever it stands.
        legal: words, joined by hyphens, in the path of a page that is a notice as a whole, or in a link to it, the most
            telling first; not_legal: words that make it another one.
        linked: how such pages are asked for when a page links to them; None: they are not.
        over_budget: meaning of text, where sentences count, that is more than we read; None: nothing follows.
    """

    metas: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    in_articles: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    legal: tuple[str, ...] = ()
    not_legal: tuple[str, ...] = ()
    linked: LegalPages | None = None
    over_budget: Consequence | None = None
    anchors: tuple[Anchor, ...] = ()
    words: Annotated[tuple[Wording, ...], msgspec.Meta(min_length=1)]


def expression_of(phrase: str) -> str:
    """A phrase as a part of a regular expression over text that `language.plain` made."""
    pieces = _PIECES.findall(phrase)
    parts = []
    for at, piece in enumerate(pieces):
        if piece.strip() == "...":
            parts.append(_GAP)
        elif piece.isspace():
            both = _is_word(pieces[at - 1]) and _is_word(pieces[at + 1])
            parts.append(r"\W{1,3}" if both else r"\W{0,3}")
        else:
            parts.append({"*": r"\w*+", "(": "(?:", ")": ")", "|": "|"}.get(piece) or re.escape(piece))
    return "".join(parts)


def any_of(phrases: Iterable[Phrase]) -> str:
    """Any of the phrases, each as whole words, as a regular expression; without one, nothing."""
    return rf"(?<!\w)(?:{'|'.join(map(expression_of, phrases)) or '(?!)'})(?!\w)"


class Mark(NamedTuple):
    """Octets without which a phrase is not there: one needle, and near it one of each of the others."""

    needles: frozenset[str]
    beside: tuple[frozenset[str], ...]


def mark_of(phrase: str) -> Mark | None:
    """What every text that fits holds in any encoding: runs of ASCII. None where there is too little of it."""
    choices = [frozenset({run}) for run in _RUN.findall(_GROUP.sub(" ", phrase))]
    choices += [frozenset(map(_longest_run, group[1:-1].split("|"))) for group in _GROUP.findall(phrase)]
    best = max(reversed(choices), key=_shortest, default=frozenset[str]())
    if _shortest(best) < _LEAST_RUN:
        return None
    return Mark(best, tuple(choice for choice in choices if choice != best and "" not in choice))


def marks(language: Language) -> frozenset[Mark]:
    """What every sentence that says something holds."""
    phrases = [phrase for item in language.words for kind in OBJECTS for phrase in getattr(item, kind)]
    found = [mark for phrase in phrases if (mark := mark_of(phrase))]
    for anchor in language.anchors:
        of_phrases = filter(None, map(mark_of, anchor.all))
        found += [max(of_phrases, key=lambda mark: _shortest(mark.needles))]
    return frozenset(found)


def _longest_run(text: str) -> str:
    return max(_RUN.findall(text), key=len, default="")


def _shortest(runs: frozenset[str]) -> int:
    return min(map(len, runs), default=0)


def faults_of(language: Language | None) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What the types cannot say of the tables."""
    if language is None:
        return
    for at, anchor in enumerate(language.anchors):
        yield from _phrase_faults(("anchors", at, "all"), anchor.all)
        if not any(map(mark_of, anchor.all)):
            yield ("anchors", at, "all"), _NEEDS_RUN
    for at, words in enumerate(language.words):
        for kind in msgspec.structs.fields(words):
            if kind.name in ("language", "source", "date"):
                continue
            phrases = getattr(words, kind.name)
            yield from _phrase_faults(("words", at, kind.name), phrases)
            for index, phrase in enumerate(phrases if kind.name in OBJECTS else ()):
                if mark_of(phrase) is None:
                    yield ("words", at, kind.name, index), _NEEDS_RUN


#: Lists that make a sentence count for less; in all others, what is missing does.
_LOOSENING: Final = frozenset({"permissions", "negated", "idle", "traps", "outside", "not_legal"})


def lost(before: Language | None, after: Language | None) -> Iterator[str]:
    """What would be read less, or count for less, by other tables; in words."""
    if before is None:
        return
    if after is None:
        yield "language: no sentence would be read"
        return
    yield from _lost_words("language", before, after)
    for name in ("linked", "over_budget"):
        if getattr(before, name) not in (None, getattr(after, name)):
            yield f"language.{name} is missing or changed"
    yield from (
        f"language: {anchor.law} is missing or changed" for anchor in before.anchors if anchor not in after.anchors
    )
    tongues = {words.language: words for words in after.words}
    for words in before.words:
        if words.language in tongues:
            yield from _lost_words(f"language {words.language}", words, tongues[words.language])
        else:
            yield f"language {words.language} is missing"
    known = {words.language for words in before.words}
    for words in after.words:
        if words.language not in known:
            empty = Wording(language=words.language, source="", date=words.date, tdm=(), training=(), refusals=())
            yield from _lost_words(f"language {words.language}", empty, words)


def _lost_words(name: str, before: Language | Wording, after: Language | Wording) -> Iterator[str]:
    for field in msgspec.structs.fields(before):
        was, now = getattr(before, field.name), getattr(after, field.name)
        if not isinstance(was, tuple) or field.name in ("anchors", "words"):
            continue
        if field.name in _LOOSENING:
            was, now = now, was
        if odd := sorted(set(was) - set(now)):
            yield f"{name}, {field.name}: {'new' if field.name in _LOOSENING else 'missing'}: {', '.join(odd)}"


def _phrase_faults(path: tuple[str | int, ...], phrases: Words) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for index, phrase in enumerate(phrases):
        if phrase != unicodedata.normalize("NFKC", phrase).lower().strip():
            yield (*path, index), "must be in lower case, in the normal form NFKC, without blanks around it"
        elif phrase.startswith(("...", "*")) or phrase.endswith("..."):
            yield (*path, index), "must begin and end with a word"
        elif not _BRACKETS.fullmatch(phrase):
            yield (*path, index), "brackets must be closed, and not be nested"


def _is_word(piece: str) -> bool:
    return piece in ("*", "(", ")") or piece[-1:].isalnum()
