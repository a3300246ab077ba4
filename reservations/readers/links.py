"""Reads typed links: the `Link` field (RFC 8288 section 3, appendix B) and the relations of HTML's `rel` attribute.

By the letter a link that is not well-formed is no link; what follows it on the line is read again after the next comma.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote

_MAX_OCTETS: Final = 16_384
_MAX_LINKS: Final = 100
_TARGET: Final = re.compile(r"[\s,]*<([^<>]{0,4096})>")
_PARAMETER: Final = re.compile(
    r"\s*;\s*([A-Za-z0-9!#$&+.^_`|~*-]+)(?:\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s\",;<>]*)))?", re.DOTALL
)
_NEXT: Final = re.compile(r"\s*(?:,|$)")
_EXTENDED: Final = re.compile(r"([\w-]+)'[\w-]*'(.*)")


class Link(NamedTuple):
    """One link: its target as written, relation types and media type in lower case, and whether it has an anchor.

    A link with an `anchor` is about another resource than the one it came with.
    """

    target: str
    relations: frozenset[str]
    media_type: str
    elsewhere: bool = False


@lru_cache(maxsize=1024)
def relations(text: str) -> frozenset[str]:
    """The relation types of a `rel` value."""
    return frozenset(text[:1024].lower().split())


def media_type(text: str) -> str:
    """Type and subtype of a `type` value, without parameters."""
    return text.partition(";")[0].strip().lower()


def read_links(lines: Iterable[str]) -> Iterator[Link]:
    """The links of all lines of a field, at most a hundred."""
    text = ", ".join(lines)[:_MAX_OCTETS]
    at = 0
    for _ in range(_MAX_LINKS):
        target = _TARGET.match(text, at)
        if target is None:
            at = text.find(",", at) + 1
            if at == 0:
                return
            continue
        at, parameters = _parameters(text, target.end())
        end = _NEXT.match(text, at)
        if end is None:
            at = text.find(",", at) + 1 or len(text)
            continue
        at = end.end()
        yield Link(
            target[1].strip(),
            relations(parameters.get("rel*") or parameters.get("rel") or ""),
            media_type(parameters.get("type*") or parameters.get("type") or ""),
            "anchor" in parameters,
        )


def _parameters(text: str, at: int) -> tuple[int, dict[str, str]]:
    """The parameters from `at` on, of equal ones the first (RFC 8288 3.3), and where they end."""
    found: dict[str, str] = {}
    while match := _PARAMETER.match(text, at):
        at = match.end()
        name = match[1].lower()
        value = re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3] or ""
        if name.endswith("*") and (extended := _EXTENDED.fullmatch(value)):
            value = unquote(extended[2], errors="replace")
        found.setdefault(name, value)
    return at, found
