"""The start tags of an HTML page with their attributes, from bytes: one pass, no tree.

Follows the tokenizer of the HTML standard (https://html.spec.whatwg.org/multipage/parsing.html#tokenization) as far as
it decides which tags there are: comments, quoted values, elements whose content is text. A tag that the end of the page
cuts off is none. The time it takes is linear in the length of the page, whatever that holds.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from html import unescape
from html.entities import html5
from typing import Final

#: Of a tag; a longer one is none.
_MOST_OCTETS: Final = 65_536

_SPACE: Final = rb"\t\n\f\r "
_NAME: Final = rb"=?+[^" + _SPACE + rb"/>=]++"
_EQUALS: Final = rb"[" + _SPACE + rb"]*+=[" + _SPACE + rb"]*+"
_BARE: Final = rb"[^" + _SPACE + rb">\"'][^" + _SPACE + rb">]*+"
#: What is taken is never given back (`++`, `*+`), so that no octet is looked at more than a few times.
_ATTRIBUTES: Final = (
    rb"(?:[" + _SPACE + rb"/]++|" + _NAME + rb"(?:" + _EQUALS + rb"(?:\"[^\"]*+\"?|'[^']*+'?|" + _BARE + rb")?)?|=)*+"
)
_ATTRIBUTE: Final = re.compile(
    rb"(" + _NAME + rb")(?:" + _EQUALS + rb"(?:\"([^\"]*+)\"?|'([^']*+)'?|(" + _BARE + rb"))?)?"
)
_TOKEN: Final = re.compile(
    rb"<(?:"
    rb"!--(?:-?>|.*?--!?>|.*)"
    rb"|[!?][^>]*+"
    # The elements asked for, and those whose content is text up to their end tag.
    rb"|(a|area|base|frame|link|meta|(iframe|noembed|noframes|plaintext|script|style|textarea|title|xmp))"
    rb"(?=[" + _SPACE + rb"/>])(" + _ATTRIBUTES + rb")>(?(2)(?:(?<=/>)|.*?</\2(?=[" + _SPACE + rb"/>])|.*))"
    rb"|/?[a-z][^" + _SPACE + rb"/>]*+" + _ATTRIBUTES + rb")",
    re.IGNORECASE | re.DOTALL,
)
_MATTERING: Final = {name.encode(): name for name in ("content", "href", "name", "rel", "src")}
_REFERENCE: Final = re.compile(
    r"&(?:#(?:[0-9]+|x[0-9a-f]+);?|([a-z0-9]++(?:;|(?![=a-z0-9]))))", re.IGNORECASE | re.ASCII
)


def start_tags(body: bytes, encoding: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Names and attributes, in lower case and document order, of the elements that lead somewhere, and of metas."""
    for match in _TOKEN.finditer(_utf8(body, encoding)):
        name, _, attributes = match.groups()
        if name is not None and 0 < len(attributes) <= _MOST_OCTETS:
            yield name.lower().decode(), _attributes(attributes)


def _attributes(text: bytes) -> dict[str, str]:
    """The values by name, of the attributes that matter; of one that stands twice, the first."""
    found: dict[str, str] = {}
    for octets, double, single, bare in _ATTRIBUTE.findall(text):
        name = _MATTERING.get(octets.lower())
        if name is not None and name not in found:
            found[name] = _value(double or single or bare)
    return found


def _value(octets: bytes) -> str:
    text = octets.decode("utf-8", "replace")
    return _REFERENCE.sub(_referenced, text) if "&" in text else text


def _referenced(match: re.Match[str]) -> str:
    """The character that a reference in a value stands for; one without semicolon only where nothing follows it."""
    return unescape(match[0]) if match[1] is None else html5.get(match[1], match[0])


def _utf8(body: bytes, encoding: str) -> bytes:
    """The page in an encoding whose octets below 128 are ASCII wherever they stand; empty where it cannot be read."""
    try:
        if codecs.lookup(encoding).name != "utf-8":
            body = body.decode(encoding, "replace").encode("utf-8", "replace")
    except LookupError:
        return b""
    return body.replace(b"\0", b"\xef\xbf\xbd")
