"""JSON from others, read to a fixed depth: how deep the parser itself could go depends on where it is called from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import accumulate
from typing import Any, Final

#: Most lists and objects inside of one another. Honest documents stay below ten.
MAX_DEPTH: Final = 64

#: Everything but brackets; a text that is not ended reaches to the end.
_OTHER: Final = re.compile(r'(?:"(?:[^"\\]|\\.)*+"?|[^"\[\]{}]++)++', re.DOTALL)
_STEP: Final = {"[": 1, "{": 1, "]": -1, "}": -1}


class TooDeep(ValueError):  # noqa: N818 - a finding, not a fault of ours
    """A document is nested beyond `MAX_DEPTH`."""


def read_json(text: str | bytes, parse: Callable[[str], Any] = json.loads) -> Any:
    """The value of a document whose depth is bounded.

    Args:
        text: the document; octets in one of Unicode's encodings.
        parse: what reads it.

    Raises:
        TooDeep: it is nested too deeply, whatever else is wrong with it.
        ValueError: it is no JSON.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    if text.count("[") + text.count("{") > MAX_DEPTH:
        brackets = _OTHER.sub("", text)
        if max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > MAX_DEPTH:
            raise TooDeep
    return parse(text)
