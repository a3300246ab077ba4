"""A report as a value: what it was made from, what it must say about itself, sections with sentences and tables.

Whoever writes it out (JSON, HTML, Markdown, CSV) knows no report, and a report knows no medium.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from provenance.reports.tally import Tally

Cell: TypeAlias = str | int


class Column(msgspec.Struct, frozen=True):
    """A column of a table.

    Attributes:
        key: name in JSON and CSV.
        title: for people.
        kind: whether its cells are words, numbers, or numbers whose sizes compare well as bars.
    """

    key: str
    title: str
    kind: Literal["words", "number", "bar"] = "words"


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of equal cells.

    Attributes:
        name: key in JSON and, behind the report's name, the name of its CSV file.
        title: what it shows, in words.
        columns, rows: as many cells a row as there are columns.
        file: whether it is a CSV file, too.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    file: bool = True


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a template, or one subject.

    Attributes:
        code: the template's field code, "2.3.vii"; or a word.
        title: what it is about.
        by: who answers: the log, or the provider, for whom the report leaves the answer blank.
        told: sentences.
        value: the answer for programs, where it is more than the sentences.
        tables: figures.
    """

    code: str
    title: str
    by: Literal["log", "provider"] = "log"
    told: tuple[str, ...] = ()
    value: Any = None
    tables: tuple[Table, ...] = ()


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """One log that a report was made from, as its signed head stood.

    Attributes:
        origin: the log.
        size: entries under the head; 0 when its lines agree with no head.
        root: root hash of the tree over them, hexadecimal.
        time: of the newest entry, RFC 3339.
        end: how the log ends: "finished", "stopped", "crashed"; empty: not sealed.
        key: the verifier line that the head was checked with.
        key_given: whether it came from elsewhere than the folder.
    """

    origin: str
    size: int
    root: str
    time: str
    end: str
    key: str
    key_given: bool


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A report.

    Attributes:
        name: "summary" or "crawl"; its files' first word.
        title: for people.
        about: what the report is, in sentences.
        warnings: what every reader must see first: weaker rules, no blocklist, logs that are not sealed.
        made_from: the logs.
        sections: in order.
    """

    name: str
    title: str
    about: tuple[str, ...]
    warnings: tuple[str, ...]
    made_from: tuple[Made, ...]
    sections: tuple[Section, ...]


def made_from(tallies: list[Tally]) -> tuple[Made, ...]:
    """The logs as a report names them."""
    return tuple(
        Made(
            origin=tally.origin,
            size=tally.size,
            root=tally.root,
            time=tally.until,
            end=tally.end,
            key=tally.key,
            key_given=tally.key_given,
        )
        for tally in tallies
    )


def warnings(tallies: list[Tally]) -> tuple[str, ...]:
    """What stands at the head of each report on these logs."""
    told: dict[str, None] = {}
    for tally in tallies:
        for fault in tally.faults:
            told[f"NOT TO BE RELIED ON: log {tally.origin}: {fault}."] = None
    for tally in tallies:
        for config in tally.configs:
            for weaker in config.weaker:
                told[
                    "Rules weaker than the shipped floor were in force: "
                    f"{weaker.rule} (approved by {weaker.approver}: {weaker.reason})."
                ] = None
        for run in tally.runs:
            if run.no_blocklist:
                told[f"No blocklist was in force: {run.no_blocklist}"] = None
            if run.private:
                told["Private addresses were allowed, so this may not be the public web alone."] = None
    return tuple(told)
