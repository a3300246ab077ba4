"""An entry as a line of the log, and back. A leaf is the line as it was written, without its newline.

RFC 6962 hashes those bytes, and nobody serialises twice. So that a line stays harmless wherever it is shown, it is
printable ASCII throughout: JSON escapes stand for everything else, line separators and bidirectional controls too.
"""

from __future__ import annotations

import hashlib
import re
from itertools import islice
from typing import Any, Final

import msgspec

from provenance.entry import Entry

MAX_LINE_BYTES: Final = 65_535
"""An entry is at most this long: the tlog-tiles format counts an entry's bytes in 16 bits."""

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final[msgspec.json.Decoder[Entry]] = msgspec.json.Decoder(Entry)
_NOT_PRINTABLE: Final = re.compile(r"[^\x20-\x7e]+")

#: Characters per text and elements per list, tried in turn until the line fits.
_LADDER: Final = ((8_192, 10_000), (256, 10_000), (64, 10_000), (64, 64), (64, 8), (64, 1))
_UNTOUCHED: Final = frozenset({"v", "t", "seq", "n", "ts", "run", "warc"})
_MARK: Final = "...sha256:"
_MARK_ROOM: Final = 80  # a text is only shortened when that makes it shorter: the mark and the digest need as much


def to_line(entry: Entry) -> bytes:
    """The leaf: one line of printable ASCII without its newline, never longer than `MAX_LINE_BYTES`.

    An entry that would be longer is shortened (`cut` says where) rather than lost: a log that refuses a hostile
    page's statement would lose the reason for refusing the page.
    """
    try:
        line = _ascii(_ENCODER.encode(entry))
    except UnicodeEncodeError:  # lone surrogates, from a page that was decoded leniently
        return _shortened(entry)
    return line if len(line) <= MAX_LINE_BYTES else _shortened(entry)


def from_line(line: bytes) -> Entry:
    """The entry of one line.

    Raises:
        msgspec.ValidationError, msgspec.DecodeError: the line is no entry of this schema; both are ValueErrors.
    """
    return _DECODER.decode(line)


def to_text(text: str) -> bytes:
    """A text as it stands in a line, quotation marks included: what to search for."""
    return _ascii(_ENCODER.encode(text))


def _ascii(line: bytes) -> bytes:
    if line.isascii() and b"\x7f" not in line:
        return line
    return _NOT_PRINTABLE.sub(_escape, line.decode()).encode("ascii")


def _escape(match: re.Match[str]) -> str:
    return "\\u" + match[0].encode("utf-16-be").hex("-", 2).replace("-", "\\u")


def _shortened(entry: Entry) -> bytes:
    tree: dict[str, Any] = msgspec.to_builtins(entry)
    for chars, items in _LADDER:
        cut: dict[str, int] = {}
        small = {}
        for name, value in tree.items():
            small[name] = value if name in _UNTOUCHED else _fit(value, chars, items)
            if small[name] != value:
                cut[name] = len(value) - len(small[name]) if isinstance(value, dict | list | tuple) else 0
        line = _ascii(_ENCODER.encode(small | {"cut": cut}))
        if len(line) <= MAX_LINE_BYTES:
            break
    return line


def _fit(value: Any, chars: int, items: int) -> Any:
    """The value with texts of at most about `chars` characters and at most `items` elements a list or mapping."""
    if isinstance(value, str):
        octets = value.encode("utf-8", "replace")
        clean = octets.decode()
        if len(clean) <= chars + _MARK_ROOM:
            return clean
        return f"{clean[:chars]}{_MARK}{hashlib.sha256(octets).hexdigest()}"
    if isinstance(value, dict):
        return {_fit(key, chars, items): _fit(item, chars, items) for key, item in islice(value.items(), items)}
    if isinstance(value, list | tuple):
        return type(value)(_fit(item, chars, items) for item in value[:items])
    return value
