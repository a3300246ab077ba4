"""The terminal: one function through which all text of strangers goes that a verb prints, and bars for long work."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import Progress

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


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None] | None]:
    """A bar per step on a terminal's error stream; nothing elsewhere. Told what is read, how far it is, and of what."""
    if not sys.stderr.isatty():
        yield None
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        tasks = {}

        def tell(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(f"reading {plain(step)}", total=total)
            bar.update(tasks[step], completed=done)

        yield tell
