"""Text of strangers on a terminal: one function, through which everything goes that a verb prints."""

from __future__ import annotations

import re
from typing import Final

#: Controls (line ends too), zero-width and bidirectional characters, separators, surrogates, tags, private use.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\ue000-\uf8ff\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)


def plain(text: str) -> str:
    r"""One line that moves no cursor, changes no colour and turns no direction of writing.

    >>> plain("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return _UNSAFE.sub(lambda match: ascii(match[0])[1:-1], text)
