"""Octets that readers look for in pages, all of them in one pass: a page that holds none costs nothing more.

Each reader names what it looks for; whoever has several readers joins their needles (`together`), and each reader is
served from the same pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Final

from ahocorasick_rs import BytesAhoCorasick, Implementation

#: How much is searched at once: what is found takes memory while it is counted.
_CHUNK: Final = 1 << 18

#: Where each needle begins, in ascending order; needles that are not there are left out.
Places = Mapping[bytes, list[int]]


class Needles:
    """Octets to look for, not empty; ASCII letters in lower case.

    Attributes:
        words: all of them.
        parts: those of which they were joined.
        most: places of one needle that are told; a reader that finds as many had better look itself.
    """

    most: Final = 2001

    def __init__(self, words: Iterable[bytes], parts: tuple[Needles, ...] = ()) -> None:
        self.words = frozenset(words)
        self.parts = parts
        self._ordered = sorted(self.words)
        self._overlap = max(map(len, self._ordered), default=1) - 1

    @classmethod
    def together(cls, *parts: Needles) -> Needles:
        """The needles of all parts."""
        inner = (part for one in parts for part in one.parts)
        return cls((word for part in parts for word in part.words), (*parts, *inner))

    @cached_property
    def _scan(self) -> BytesAhoCorasick:
        return BytesAhoCorasick(self._ordered, implementation=Implementation.DFA)

    def places(self, octets: bytes) -> Places:
        """Where they stand in octets whose ASCII letters are in lower case."""
        found: dict[bytes, list[int]] = {}
        for start in range(0, len(octets), _CHUNK):
            begin = max(0, start - self._overlap)
            chunk = octets if len(octets) <= _CHUNK else octets[begin : start + _CHUNK]
            for number, at, end in self._scan.find_matches_as_indexes(chunk, overlapping=True):
                if begin + end <= start:
                    continue  # seen in the chunk before
                places = found.setdefault(self._ordered[number], [])
                if len(places) < self.most:
                    places.append(begin + at)
        return found
