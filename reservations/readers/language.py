"""Reads sentences: whether one reserves rights, how surely, and of what. Matching only: no text instructs anybody.

CDSM Art. 4(3), recital 18: metadata and terms of a website may be the means by which rights are reserved. Stage 1: a
provision of statute and a word that refuses, in one sentence: sure. Stage 2: an object and a word that refuses, and
nothing nearer that permits: likely. Access alone, and what only resembles a reservation, is noted.

Compared is the normal form NFKC without format characters, in lower case. A long sentence is read in overlapping pieces
of sixty words. How much is read is the caller's to bound.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from ahocorasick_rs import BytesAhoCorasick

from reservations.readers.needles import Needles, Places
from reservations.wording import ACCESS, OBJECTS, TDM, TRAINING, Language, Phrase, Wording, any_of, marks

#: Places in a page, beyond which it is looked at anyway.
_MOST_NEEDLES: Final = 200
_MOST_SWOLLEN: Final = 2
_WORDS_OF_A_SENTENCE: Final = 60
#: Octets within which the words of a phrase stand, tags and character references among them.
_NEAR: Final = 400
#: Runs up to this length are looked for as words, longer ones anywhere.
_SHORT: Final = 3

#: Characters of Unicode's category Cf: they show nothing, and may stand inside of a word.
_FORMAT: Final = re.compile(
    "[\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890-\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f]+"
)
#: As much as is normalized at once, which nothing interrupts; it ends between words.
_SLICE: Final = re.compile(r".{1,8192}(?=\s|\Z)|.{1,8192}", re.DOTALL)
_BLANKS: Final = re.compile(r"\s+")
#: The end of a sentence: not behind an abbreviation or a single letter, not before a number or a section sign.
_END: Final = re.compile(
    r"(?=[.!?])(?<!\b\w)(?<!\bart)(?<!\babs)(?<!\bsec)(?<!\bnr)(?<!\bno)(?<!\bust)(?<!\bgem)(?<!\bsog)(?<!\bpara)"
    r"(?<=[^\s.!?])[.!?]+[\"'”»)]*\s+(?![\d§(])|[?]\s+|\s[|•·]\s",
    re.IGNORECASE,
)
#: Octets of what may stand inside of a word unseen: then the octets' own words are not compared.
_UNSEEN: Final = (
    b"\xe2\x80\x8b", b"\xe2\x80\x8c", b"\xe2\x80\x8d", b"\xe2\x81\xa0", b"\xc2\xad", b"\xef\xbb\xbf", b"\xef\xbc",
    b"\xef\xbd", b"&shy;", b"&zwnj;", b"&zwj;", b"&#173;", b"&#xad;", b"&#820", b"&#x200", b"\\u00ad", b"\\u200",
)  # fmt: skip

Span = tuple[int, int]
#: Runs of octets of which one each is there, and the same as expressions.
_Beside = tuple[tuple[tuple[bytes, ...], ...], tuple[re.Pattern[bytes], ...]]


class Said(NamedTuple):
    """What a sentence says.

    Attributes:
        about: "tdm", "training" or "access".
        sure: "high", "medium", "non-commercial" or "low".
        language: of the word that decided, "" when none did.
    """

    about: str
    sure: str
    language: str


class LanguageReader:
    """The tables, ready to be asked.

    Attributes:
        language: the tables; needles: octets without one of which a text says nothing.
    """

    def __init__(self, language: Language) -> None:
        self.language = language
        words = language.words
        self._anchors = [tuple(_any((phrase,)) for phrase in item.all) for item in language.anchors]
        self._objects = [
            (about, _any(phrase for item in words for phrase in getattr(item, about))) for about in OBJECTS
        ]
        self._refusals = [(item.language, _any((*item.refusals, *item.terms))) for item in words]
        self._permissions, self._negated, self._terms, self._limits, self._traps = (
            _any(phrase for item in words for phrase in getattr(item, kind))
            for kind in ("permissions", "negated", "terms", "non_commercial", "traps")
        )
        self._idle = re.compile("|".join(map(_idle, words)))
        self._marks: dict[bytes, list[_Beside]] = {}
        for mark in sorted(marks(language), key=repr):
            runs = tuple(tuple(run.encode() for run in sorted(some)) for some in mark.beside)
            for needle in mark.needles:
                self._marks.setdefault(needle.encode(), []).append((runs, tuple(map(_octets, runs))))
        self.needles = Needles((*self._marks, *_UNSEEN))
        self._scan = BytesAhoCorasick(tuple(self.needles.words))

    def may_speak(self, octets: bytes, places: Places | None = None) -> bool:
        """Whether a text in UTF-8, its ASCII letters in lower case, could hold a sentence; says yes when in doubt.

        Args:
            octets: the text.
            places: of the needles, perhaps of others too; None: they are still to be looked for.
        """
        places = self.needles.places(octets) if places is None else places
        left = _MOST_NEEDLES
        for needle in self.needles.words & places.keys():
            for others in self._live(needle, octets):
                for start in places[needle]:
                    near = octets[max(0, start - _NEAR) : start + len(needle) + _NEAR]
                    left -= 1
                    if left == 0 or all(other.search(near) for other in others):
                        return True
        return False

    def _live(self, needle: bytes, octets: bytes) -> list[tuple[re.Pattern[bytes], ...]]:
        """Of the phrases with a needle, what they have besides: those of which all is somewhere in the text."""
        marks = self._marks.get(needle, [((), ())])
        return [others for runs, others in marks if all(any(run in octets for run in some) for some in runs)]

    def candidates(self, text: str) -> Iterator[tuple[int, int, str]]:
        """The sentences, or pieces of long ones, that hold a word of what is looked for, with their places."""
        for start, end, sentence in _pieces(plain(text)):
            if self._scan.find_matches_as_indexes(sentence.lower().encode("utf-8", "replace")):
                yield start, end, sentence

    def may_hold(self, text: str) -> bool:
        """Whether a text holds a word of what is looked for."""
        return bool(self._scan.find_matches_as_indexes(text.lower().encode("utf-8", "replace")))

    def judge(self, sentence: str) -> Said | None:
        """What one sentence says."""
        text = self._idle.sub(" ", sentence.lower())
        anchored = [spans for phrases in self._anchors if (spans := _all(phrases, text))]
        topics = {about: found for about, regex in self._objects if (found := _spans(regex, text))}
        if not (anchored or topics) or text.endswith("?"):
            return None
        about = TDM if anchored or TDM in topics else TRAINING if TRAINING in topics else ACCESS
        objects = [span for spans in (*anchored, *(topics.get(item, ()) for item in (TDM, TRAINING))) for span in spans]
        allowed = _spans(self._negated, text)
        refusing = [
            (language, span)
            for language, regex in self._refusals
            for span in _spans(regex, text)
            if not _overlaps(span, allowed)
        ]
        refused = [span for _, span in refusing]
        if not self._terms.search(text):
            allowed += [span for span in _spans(self._permissions, text) if not _overlaps(span, refused)]
        return self._weigh(text, about, objects, refusing, allowed, anchored=bool(anchored))

    def _weigh(
        self,
        text: str,
        about: str,
        objects: list[Span],
        refusing: list[tuple[str, Span]],
        allowed: list[Span],
        *,
        anchored: bool,
    ) -> Said | None:
        """Which of the words found count: the table of confidence."""
        limited = allowed and self._limits.search(text)
        if not refusing and not limited:
            return None
        language = refusing[0][0] if refusing else ""
        if about == ACCESS:
            return Said(about, "low", language)
        if self._traps.search(text):
            return Said(about, "medium" if anchored else "low", language)
        if not refusing:
            return Said(about, "non-commercial", "")
        nearer = allowed and _distance(objects, allowed) < _distance(objects, [span for _, span in refusing])
        if nearer:
            return Said(about, "non-commercial" if limited else "medium" if anchored else "low", language)
        return Said(about, "high" if anchored else "medium", language)


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text)[: _MOST_SWOLLEN * len(text)]


def plain(text: str) -> str:
    """The form in which texts are compared, but for the case of letters; one that swells on the way is cut."""
    normal = text if text.isascii() else "".join(map(_normal, _SLICE.findall(text)))
    return _BLANKS.sub(" ", _FORMAT.sub("", normal)).strip()


def _pieces(text: str) -> Iterator[tuple[int, int, str]]:
    """The sentences with their places; a long one in pieces that overlap by half."""
    at = 0
    for end in (*(match.end() for match in _END.finditer(text)), len(text)):
        sentence = text[at:end]
        if sentence.count(" ") < _WORDS_OF_A_SENTENCE:
            yield at, end, sentence.strip()
        else:
            starts = [at, *(at + match.end() for match in _BLANKS.finditer(sentence))]
            half = _WORDS_OF_A_SENTENCE // 2
            for first in range(0, max(1, len(starts) - half), half):
                last = first + _WORDS_OF_A_SENTENCE
                stop = starts[last] if last < len(starts) else end
                yield starts[first], stop, text[starts[first] : stop].strip()
        at = end


def _any(phrases: Iterable[Phrase]) -> re.Pattern[str]:
    return re.compile(any_of(phrases))


def _idle(words: Wording) -> str:
    """The general formula, unless it goes on to what it includes."""
    return rf"{any_of(words.idle)}(?!\W{{1,3}}{any_of(words.including)})"


def _spans(regex: re.Pattern[str], text: str) -> list[Span]:
    return [match.span() for match in regex.finditer(text)]


def _octets(runs: Iterable[bytes]) -> re.Pattern[bytes]:
    """Any of some runs of ASCII; short ones not inside of a word. Letters come first: by them it is searched."""
    whole = rb"%s(?<![a-z0-9]%s)(?![a-z0-9])"
    return re.compile(b"|".join(whole % (run, run) if len(run) <= _SHORT else run for run in runs))


def _all(phrases: Iterable[re.Pattern[str]], text: str) -> list[Span]:
    """The places of all phrases of an anchor; none when one is missing."""
    found = [regex.search(text) for regex in phrases]
    return [match.span() for match in found if match] if all(found) else []


def _overlaps(span: Span, others: Iterable[Span]) -> bool:
    return any(span[0] < end and start < span[1] for start, end in others)


def _distance(objects: Iterable[Span], words: Iterable[Span]) -> int:
    """Characters between the nearest two, 0 when they touch."""
    return min(max(start - right, left - end, 0) for left, right in objects for start, end in words)
