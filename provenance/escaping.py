"""Text of strangers in HTML, in Markdown and in the cells of spreadsheets: one function a medium.

Terminals have theirs in `terminal`. Each takes one line of text; line ends, controls and marks that turn the direction
of writing are shown as escapes in all of them.
"""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterable, Sequence
from typing import Final

from provenance.terminal import plain

#: What a spreadsheet takes for the beginning of a formula, in its full-width spellings too.
_FORMULA: Final = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20|%]")
#: What means something inside a line or cell of Markdown, and where a bare address would become a link.
_MARKDOWN: Final = re.compile(
    r"[\\`*_\[\]<>|~#&$!@]|(?<=www)\.|:(?=//)|^[-+=](?=\s|[-+=]|$)|(?<=^\d)[.)](?=\s|$)", re.IGNORECASE
)


def in_html(text: str) -> str:
    """The text as content or as a quoted attribute of HTML.

    >>> in_html('<b title="x">')
    '&lt;b title=&quot;x&quot;&gt;'
    """
    return html.escape(plain(text))


def in_markdown(text: str) -> str:
    r"""The text as words of a paragraph or table of Markdown; it makes no mark-up, cell or link.

    >>> in_markdown("a|b <i>")
    'a\\|b \\<i\\>'
    """
    return _MARKDOWN.sub(lambda match: "\\" + match[0], plain(text))


def in_cell(value: str | int) -> str:
    """The value as a cell of CSV that no spreadsheet executes: what would be a formula begins with an apostrophe.

    >>> in_cell("=1+1")
    "'=1+1"
    """
    if isinstance(value, int):
        return str(value)
    text = plain(value)
    return f"'{text}" if _FORMULA.match(text) else text


def csv_text(rows: Iterable[Sequence[str | int]]) -> str:
    """Rows as a CSV file (RFC 4180), each cell through `in_cell`."""
    file = io.StringIO(newline="")
    csv.writer(file).writerows([in_cell(value) for value in row] for row in rows)
    return file.getvalue()
