"""A report as files: JSON for programs, HTML and Markdown for people, CSV for spreadsheets.

The folder that a report is written to may be a stranger's: nothing in it is followed or written through.
"""

from __future__ import annotations

import json
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from provenance.escaping import csv_text, in_markdown
from provenance.reports.document import Cell, Document, Made, Section, Table
from provenance.reports.html import SHOWN, as_html

FORMAT: Final = 1
"""Version of the JSON form."""

_MODE: Final = 0o644


def write(document: Document, folder: Path) -> list[Path]:
    """Write every form of a report. Returns the files.

    Raises:
        OSError: the folder is none, or cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise OSError(f"{folder}: a link, not a folder. Name another one by --to")
    name = document.name
    texts = {
        f"{name}.html": as_html(document),
        f"{name}.md": as_markdown(document),
        f"{name}.json": as_json(document),
        **{f"{name}-{table.name}.csv": as_csv(table) for table in _tables(document) if table.file},
    }
    return [_replace(folder / file, text) for file, text in texts.items()]


def _replace(path: Path, text: str) -> Path:
    """Put a file in the place of another, or of a link, without following it."""
    with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(text.encode())
        except BaseException:
            temporary.unlink()
            raise
    temporary.chmod(_MODE)
    return temporary.replace(path)


def _tables(document: Document) -> Iterator[Table]:
    for section in document.sections:
        yield from section.tables


# -- JSON and CSV ------------------------------------------------------------------------------------------------------


class Field(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One field of the JSON form.

    Attributes:
        title: what it is about.
        answered_by: the log, or the provider, for whom it is left open.
        told: the answer in sentences.
        value: the answer for programs, where it is more than the sentences.
        tables: rows by table, each an object by column.
    """

    title: str
    answered_by: Literal["log", "provider"]
    told: tuple[str, ...]
    value: Any = None
    tables: dict[str, tuple[dict[str, Cell], ...]] = {}


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON form of a report; docs/schemas/report.json is made from it.

    Attributes:
        report: "summary" or "crawl".
        format: `FORMAT`.
        title, about: what it is.
        warnings: what a reader must know first.
        made_from: the signed heads of the logs.
        fields: by the template's code, or by a word.
    """

    report: str
    format: int
    title: str
    about: tuple[str, ...]
    warnings: tuple[str, ...]
    made_from: tuple[Made, ...]
    fields: dict[str, Field]


def as_json(document: Document) -> str:
    """The report for programs, in ASCII: strangers' text does nothing on a terminal either."""
    form = Form(
        report=document.name,
        format=FORMAT,
        title=document.title,
        about=document.about,
        warnings=document.warnings,
        made_from=document.made_from,
        fields={section.code: _field(section) for section in document.sections},
    )
    return json.dumps(msgspec.to_builtins(form), indent=1) + "\n"


def _field(section: Section) -> Field:
    return Field(
        title=section.title,
        answered_by=section.by,
        told=section.told,
        value=section.value,
        tables={table.name: tuple(_objects(table)) for table in section.tables},
    )


def _objects(table: Table) -> Iterator[dict[str, Cell]]:
    keys = [column.key for column in table.columns]
    return (dict(zip(keys, row, strict=True)) for row in table.rows)


def as_csv(table: Table) -> str:
    """A table for spreadsheets."""
    return csv_text([[column.key for column in table.columns], *table.rows])


# -- Markdown ----------------------------------------------------------------------------------------------------------


def as_markdown(document: Document) -> str:
    """The report for a repository or a wiki."""
    return "\n".join(_markdown(document)) + "\n"


def _markdown(document: Document) -> Iterator[str]:
    yield f"# {in_markdown(document.title)}"
    for warning in document.warnings:
        yield f"\n> **{in_markdown(warning)}**"
    for one in document.about:
        yield f"\n{in_markdown(one)}"
    yield "\n## Made from\n"
    yield from map(_made, document.made_from)
    for section in document.sections:
        code = f"{in_markdown(section.code)} " if section.code[0].isdigit() else ""
        yield f"\n## {code}{in_markdown(section.title)}"
        for one in section.told:
            yield f"\n{in_markdown(one)}"
        if section.by == "provider":
            yield "\n*For the provider to answer.*"
        for table in section.tables:
            yield from _table(table, document.name)


def _made(log: Made) -> str:
    seal = f"sealed ({in_markdown(log.end)})" if log.end else "not sealed"
    where = f"{in_markdown(log.origin)}: {log.size:,} signed entries up to {in_markdown(log.time)}, {seal}"
    source = "" if log.key_given else " (as the folder says; compare it with another source)"
    return f"- {where}; root {log.root or 'none'}; key {in_markdown(log.key)}{source}"


def _table(table: Table, name: str) -> Iterator[str]:
    if not table.rows:
        yield f"\n{in_markdown(table.title)}: none."
        return
    yield f"\n{in_markdown(table.title)}:\n"
    yield f"| {' | '.join(in_markdown(column.title) for column in table.columns)} |"
    yield f"| {' | '.join('---' if column.kind == 'words' else '--:' for column in table.columns)} |"
    for row in table.rows[:SHOWN]:
        yield f"| {' | '.join(map(_shown, row))} |"
    if len(table.rows) > SHOWN:
        where = f"; all of them are in {name}-{table.name}.csv" if table.file else ""
        yield f"\nThe first {SHOWN} of {len(table.rows):,} rows{in_markdown(where)}."


def _shown(cell: Cell) -> str:
    return f"{cell:,}" if isinstance(cell, int) else in_markdown(cell)
