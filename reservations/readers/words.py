"""Reads values made of words: one value, `key=value` pairs, and lists of directives with product-token prefixes.

`pairs` is Content Signals (contentsignals.org, 2025), `directives` is X-Robots-Tag and meta robots as Google and Bing
document them and draft-illyes-repext-00 writes them (";" between tokens, "=" after one).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from reservations.readers.structured_fields import read_dictionary
from reservations.statement import Reading, Vocabulary

#: lines of one field or one meta, the label that a bare value has, the vocabulary, our product tokens in lower case
Reader = Callable[[Sequence[str], str, Vocabulary, frozenset[str]], list[Reading]]

#: Prefixes that address everyone; "*" is the draft's, the others are what people write.
_EVERYONE: Final = frozenset({"*", "all", "robots"})
_SCHEME: Final = re.compile(r"^(?:https?:)?//(?:www\.)?")
_PREFIX: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9_.-]*|\*)\s*[:=]\s*(.*)", re.DOTALL)


def read_value(lines: Sequence[str], label: str, vocabulary: Vocabulary, tokens: frozenset[str]) -> list[Reading]:
    """Each line is the value of `label`."""
    del vocabulary, tokens
    return [Reading(label, line.strip(" \t\r\n\f")) for line in lines]


def as_url(text: str) -> str:
    """A URL as labels spell it: lower case, without scheme, "www." and fragment; a text in lower case."""
    url = text.strip(" \t\r\n\f").lower().partition("#")[0]
    return _SCHEME.sub("", url)


def _read_url(lines: Sequence[str], label: str, vocabulary: Vocabulary, tokens: frozenset[str]) -> list[Reading]:
    """Each line is a URL, the value of `label`."""
    del vocabulary, tokens
    return [Reading(label, as_url(line)) for line in lines]


def read_pairs(lines: Sequence[str], label: str, vocabulary: Vocabulary, tokens: frozenset[str]) -> list[Reading]:
    """`search=yes, ai-train=no`; a key without a value has the value ""."""
    del label, tokens
    readings: dict[Reading, None] = {}
    for line in lines:
        for part in re.split(r"[,;]", line):
            key, equals, value = part.partition("=")
            if not equals:
                key, _, value = part.partition(":")
            if vocabulary.knows(key.strip()):
                sound = bool(equals)
                reading = Reading(key.strip(), value.strip(" \t\"'"), sound, () if sound else ("value",))
                readings[reading] = None
    return list(readings)


def read_directives(lines: Sequence[str], label: str, vocabulary: Vocabulary, tokens: frozenset[str]) -> list[Reading]:
    """`otherbot: noindex, noai`: a prefix addresses what follows on its line, until another prefix."""
    del label
    readings: dict[Reading, None] = {}
    for line in lines:
        addressed_to, addressee = "all", ""
        for part in re.split(r"[,;]", line):
            word, value = part.strip(), ""
            if (prefix := _PREFIX.fullmatch(word)) and not vocabulary.knows(prefix[1]):
                name = prefix[1].lower()
                addressed_to = "all" if name in _EVERYONE else "us" if name in tokens else "others"
                addressee = name if addressed_to == "others" else ""
                word = prefix[2].strip()
                prefix = _PREFIX.fullmatch(word)
            if prefix:
                word, value = prefix[1], prefix[2].strip()
            if vocabulary.knows(word):
                readings[Reading(word, value, addressed_to=addressed_to, addressee=addressee)] = None
    return list(readings)


def _read_dictionary(lines: Sequence[str], label: str, vocabulary: Vocabulary, tokens: frozenset[str]) -> list[Reading]:
    del label, tokens
    return read_dictionary(lines, vocabulary)


def _read_path(lines: Sequence[str], label: str, vocabulary: Vocabulary, tokens: frozenset[str]) -> list[Reading]:
    """The value is a path and has been looked at; what is said is the label itself."""
    del vocabulary, tokens
    return [Reading(label, "") for _ in lines]


#: One reader a syntax of `definition.Syntax`.
SYNTAX: Final[dict[str, Reader]] = {
    "value": read_value,
    "url": _read_url,
    "dictionary": _read_dictionary,
    "pairs": read_pairs,
    "directives": read_directives,
    "path": _read_path,
}
