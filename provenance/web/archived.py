"""What was archived, as lines of text: robots.txt and other documents, heads; with the lines that a rule stands on.

Bodies of pages are not shown, kept or not: to see a page as it was captured is a replay tool's work, and reserved pages
are nobody's to publish. Text is decoded leniently, bounded, and never rendered.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from provenance.entry import LoggedSignal
from provenance.material import Material
from reservations.model import Answer, Head

MAX_LINES: Final = 2_000
_MAX_LINE_CHARS: Final = 600
_AROUND: Final = 4
_MAX_MARKED: Final = 40
#: Comparing takes the square of it in the worst case.
_MAX_DIFF_LINES: Final = 1_000
_MAX_DIFF_SHOWN: Final = 400
_NUMBER: Final = re.compile(r"\bline (\d{1,7})\b")
_LEAST_CHARS: Final = 4


class Line(NamedTuple):
    """One line of an archived text.

    Attributes:
        number: counted from 1; 0 for a gap.
        text: the line, at most 600 characters.
        mark: numbers of the statements that stand on it; for differences "+", "-", "" in `sign`.
    """

    number: int
    text: str
    marks: tuple[int, ...] = ()
    sign: str = ""


class Text(NamedTuple):
    """An archived text, or the part of it around the marked lines.

    Attributes:
        title: what it is: "/robots.txt", "head".
        entry: `seq` of the evidence entry; None for the attempt's own head.
        lines: some or all lines.
        total: how many there are.
        why_not: why there is no text, when there is none.
    """

    title: str
    entry: int | None
    lines: tuple[Line, ...]
    total: int = 0
    why_not: str = ""


def lines_of(octets: bytes) -> list[str]:
    """The lines of a document, as readers of robots.txt count them: at CR, LF and CRLF."""
    if octets[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        octets = octets.decode("utf-16", "replace").encode()
    return [_short(line.decode("utf-8", "replace")) for line in octets.splitlines()]


def head_lines(status: int | None, answer: Head | Answer) -> list[str]:
    """Status and header fields, one a line."""
    return [f"status {status}", *(_short(f"{field.name}: {field.value}") for field in answer.headers)]


def _short(line: str) -> str:
    return line if len(line) <= _MAX_LINE_CHARS else f"{line[:_MAX_LINE_CHARS]}... ({len(line)} characters)"


def texts(signals: Sequence[LoggedSignal], consulted: dict[str, int], left: Material) -> Iterator[Text]:
    """The archived texts that statements were read from, around their lines. Statements are counted from 1."""
    sources = dict.fromkeys(signal.src for signal in signals)
    for source in sources:
        own = [(number, signal) for number, signal in enumerate(signals, 1) if signal.src == source]
        if source == "head":
            yield _around("head", None, _head(left), own, left.gone.get(source, "not kept"))
        elif source in consulted:
            answer = left.documents.get(source)
            lines = [] if answer is None else lines_of(answer.body) or head_lines(answer.status, answer)
            yield _around(source, consulted[source], lines, own, left.gone.get(source, "it had no text"))


def _head(left: Material) -> list[str]:
    return head_lines(left.head.status, left.head) if left.head else []


def _around(
    title: str, entry: int | None, lines: list[str], signals: Iterable[tuple[int, LoggedSignal]], why_not: str
) -> Text:
    """The marked lines with some around each; the beginning when none can be marked."""
    if not lines:
        return Text(title, entry, (), 0, why_not)
    marks: dict[int, list[int]] = {}
    for number, signal in signals:
        for place in _places(signal, lines):
            if len(marks) < _MAX_MARKED or place in marks:
                marks.setdefault(place, []).append(number)
    shown = sorted({at for place in marks for at in range(place - _AROUND, place + _AROUND + 1)})
    if not marks:
        shown = list(range(1, 3 * _AROUND))
    found, last = [], 0
    for number in shown:
        if 1 <= number <= len(lines):
            if number > last + 1:
                found.append(Line(0, "..."))
            found.append(Line(number, lines[number - 1], tuple(marks.get(number, ()))))
            last = number
    if last < len(lines):
        found.append(Line(0, "..."))
    return Text(title, entry, tuple(found), len(lines))


def _places(signal: LoggedSignal, lines: list[str]) -> list[int]:
    """Lines that a statement stands on: those its locator names; else those with its own words or header name."""
    if signal.loc == "status" and lines[0].startswith("status "):
        return [1]
    named = [int(number) for number in _NUMBER.findall(signal.loc)]
    if named:
        return named
    name = signal.loc.partition(" ")[0].lower()
    if signal.src == "head":
        return [number for number, line in enumerate(lines, 1) if line.partition(":")[0].lower() == name]
    words = signal.rule.strip()
    if len(words) < _LEAST_CHARS:
        return []
    found = [number for number, line in enumerate(lines, 1) if words in line]
    name, _, value = words.partition(",")[0].partition(": ")  # "location: /a, tdm-reservation: 1", read from JSON
    return found or [number for number, line in enumerate(lines, 1) if f'"{name}"' in line and f'"{value}"' in line]


def whole(title: str, entry: int, lines: list[str]) -> Text:
    """A text from its beginning."""
    found = [Line(number, line) for number, line in enumerate(lines[:MAX_LINES], 1)]
    if len(lines) > MAX_LINES:
        found.append(Line(0, f"... {len(lines) - MAX_LINES} lines more; download the text to see them"))
    return Text(title, entry, tuple(found), len(lines))


def differences(old: list[str], new: list[str]) -> list[Line]:
    """What changed from one version to the next: lines gone, lines come, three unchanged ones around."""
    old, new = old[:_MAX_DIFF_LINES], new[:_MAX_DIFF_LINES]
    found: list[Line] = []
    number = 0
    for line in difflib.unified_diff(old, new, n=3, lineterm=""):
        if line.startswith(("---", "+++")) and not found:
            continue
        if line.startswith("@@"):
            number = int(line.split("+")[1].split(",")[0].split(" ")[0])
            found.append(Line(0, "..."))
        else:
            sign = line[0].strip()
            found.append(Line(0 if sign == "-" else number, line[1:], (), sign))
            number += sign != "-"
        if len(found) >= _MAX_DIFF_SHOWN:
            found.append(Line(0, "... more lines differ"))
            break
    return found
