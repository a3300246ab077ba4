"""What each protocol answered, as a table for a terminal: `explain` and `check` print this one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from rich.table import Table

from provenance.terminal import plain
from reservations.answers import Answered, Said, Weight

_MOST_FOUND: Final = 8


def answers_table(answers: Iterable[Answered]) -> Table:
    """One row a protocol: where it was looked for, what was found there, and what it came to."""
    table = Table(title="What each protocol answered", title_justify="left")
    for column in ("protocol", "looked at", "found", "says", "weight"):
        table.add_column(column, overflow="fold")
    for answer in answers:
        table.add_row(answer.protocol, _looked(answer), _found(answer), answer.says, _weight(answer))
    return table


def _looked(answer: Answered) -> str:
    """Each source once, with what came of it where it applies; the places in it are in the JSON."""
    outcomes: dict[str, str] = {}
    for item in answer.looked:
        if item.applies or item.source not in outcomes:
            outcomes[item.source] = item.outcome
    return "\n".join(plain(f"{source}: {outcome}") for source, outcome in outcomes.items())


def _found(answer: Answered) -> str:
    told = [plain(line) for line in map(_told, answer.found[:_MOST_FOUND])]
    left = len(answer.found) - _MOST_FOUND
    return "\n".join([*told, *([f"and {left} more"] if left > 0 else [])])


def _told(said: Said) -> str:
    return ", ".join(_parts(said))


def _parts(said: Said) -> Iterator[str]:
    yield f'{said.where}: "{said.text}"' if said.text else said.where
    if said.to != "all":
        yield f"to {said.to}"
    if said.issues:
        yield f"odd: {', '.join(said.issues)}"


def _weight(answer: Answered) -> str:
    return "" if answer.weight is Weight.SILENT else answer.weight
