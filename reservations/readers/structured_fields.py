"""Reads a Structured Fields Dictionary of labels: `train-ai=n, search=y` (RFC 9651 section 3.2).

By the letter one fault voids the whole value and the last of two equal keys wins. A rightsholder's typing error is no
consent, so every `label=value` that stands there plainly is also found, and counts when it refuses (`statement.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, cast

import http_sf

from reservations.statement import Reading, Vocabulary

#: Value and parameters of one member; an inner list is a list of such pairs.
Member = tuple[object, dict[str, object]]

_MAX_OCTETS: Final = 8192
#: A label, "=" or ":", quotes or a bracket perhaps, and a word: what a person would read as "label is value". Else a
#: run of a label's characters as a whole, so that none is looked at again from each of its characters.
_PLAIN: Final = re.compile(
    r"(?=[\w.*-])(?:(?![A-Za-z*])[\w.-])*+"
    r"(?:([A-Za-z*][\w.*-]*+)[ \t]*+[=:][\"'( \t]*+(\?[01]|[A-Za-z0-9_+-]+)|[\w.*-]*+)"
)


def read_dictionary(lines: Sequence[str], vocabulary: Vocabulary) -> list[Reading]:
    """Readings of all lines of one field: joined as HTTP joins them, then what each line refuses by itself."""
    joined = ", ".join(lines)
    sound = _parse(joined)
    readings = [] if sound is None else [item for item in sound if vocabulary.knows(item.label)]
    seen = {(item.label.lower(), item.value.lower()) for item in readings}
    issues = _why_plain(joined, parsed=sound is not None, lines=len(lines))
    for match in _PLAIN.finditer(joined):
        if not match[1]:
            continue
        key = (match[1].lower(), match[2].lower())
        if key not in seen and vocabulary.is_negative(*key):
            seen.add(key)
            readings.append(Reading(match[1], match[2], sound=False, issues=issues))
    return readings


def _why_plain(joined: str, *, parsed: bool, lines: int) -> tuple[str, ...]:
    """Why a refusal is not in force by the letter: another line or member overrides it, or the value is void."""
    if len(joined) > _MAX_OCTETS:
        return ("too_long",)
    if not parsed:
        return ("malformed",)
    return ("conflicting_lines",) if lines > 1 else ("duplicate",)


def _parse(text: str) -> list[Reading] | None:
    """The dictionary by the letter; None when it is not one."""
    if len(text) > _MAX_OCTETS:
        return None
    try:
        members = http_sf.parse(text.encode("ascii"), tltype="dictionary")
    except (ValueError, OverflowError, RecursionError, OSError):
        return None
    return [_reading(key, *member) for key, member in cast("dict[str, Member]", members).items()]


def _reading(label: str, value: object, parameters: dict[str, object]) -> Reading:
    conditions = tuple(f"{name}={_text(item)}" for name, item in parameters.items())
    if isinstance(value, http_sf.Token | bool | int):
        return Reading(label, _text(value), conditions=conditions)
    if isinstance(value, list) and len(value) == 1:
        value = value[0][0]
    return Reading(label, _text(value), sound=False, issues=("value",), conditions=conditions)


def _text(value: object) -> str:
    """A bare item as it is written, a string without its quotes."""
    if isinstance(value, bool):
        return f"?{int(value)}"
    return str(value)
