"""Texts of decisions -> texts with something changed, and nothing else touched: remarks, order and layout stay.

Every verb that writes goes through here. A change is a set of keys of some rows (`[[host]]` tables or lines of a
sidecar); what the result means is for the lint to say, before anything is written.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import tomlkit
from tomlkit.items import AoT

from blocklists.decisions import SIDECAR, PlacedDecision, PlacedEntry
from blocklists.fields import DECISION, HOST
from blocklists.model import CLOSED, BlocklistError, Cause, Entry, Status

#: More names than this go into a sidecar, where they can be read as a table.
MAX_TABLES: Final = 200

#: In which order the keys of a new row stand.
_ORDER: Final = tuple(HOST.all)
_FIRST: Final = ("host", "match", "path", "role", "of", "status", "added", "added_by", "approved_by", "verified_on")

Changes = Mapping[str, object]


class Texts:
    """The files of a folder, some of them changed."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.before = dict(texts)
        self.texts = dict(texts)

    def changed(self) -> dict[str, tuple[str, str]]:
        """Old and new text of every file that differs; a new file was empty."""
        names = sorted(self.texts)
        return {
            name: (self.before.get(name, ""), self.texts[name])
            for name in names
            if self.before.get(name) != self.texts[name]
        }

    def change(self, decision: PlacedDecision, rows: Sequence[PlacedEntry], changes: Sequence[Changes]) -> None:
        """Sets keys of rows of one decision, the first changes on the first row, and so on."""
        by_place = {(row.place.file, row.place.line): new for row, new in zip(rows, changes, strict=True)}
        for file in sorted({row.place.file for row in rows}):
            here = {line: new for (name, line), new in by_place.items() if name == file}
            if file.endswith(SIDECAR):
                self.texts[file] = _csv_changed(self.texts[file], here)
            else:
                lines = [row.place.line for row in _in_tables(decision)]
                self.texts[file] = _toml_changed(self.texts[file], lines, here)

    def set_head(self, decision: PlacedDecision, changes: Changes) -> None:
        """Sets keys of the decision itself."""
        file = decision.place.file
        document = tomlkit.parse(self.texts[file])
        for key, value in changes.items():
            document[key] = value
        self.texts[file] = tomlkit.dumps(document)

    def add_rows(self, decision: PlacedDecision, rows: Sequence[Changes]) -> None:
        """Appends names to a decision: tables as long as they are few, else lines of its sidecar."""
        file = decision.place.file
        sidecar = f"{file.removesuffix('.toml')}{SIDECAR}"
        if sidecar in self.texts or len(decision.entries) + len(rows) > MAX_TABLES:
            self.texts[sidecar] = _csv_appended(self.texts.get(sidecar, ""), rows)
        else:
            self.texts[file] = self.texts[file].rstrip("\n") + "\n" + "".join(map(_table, rows))

    def add_decision(self, file: str, head: Changes, rows: Sequence[Changes]) -> None:
        """A new file, with its names in it or beside it.

        Raises:
            BlocklistError: there is such a file.
        """
        if file in self.texts:
            raise BlocklistError("There is such a file already.", file, "Give the decision another id.")
        document = tomlkit.document()
        for key in DECISION.all:
            if key in head:
                document[key] = _item(key, head[key])
        self.texts[file] = tomlkit.dumps(document)
        if len(rows) > MAX_TABLES:
            self.texts[f"{file.removesuffix('.toml')}{SIDECAR}"] = _csv_appended("", rows)
        else:
            self.texts[file] += "".join(map(_table, rows))


def step(entry: Entry, status: Status, today: dt.date, by: str, why: str) -> Changes:
    """What changes with the status of an entry, with everything it went through before on record."""
    past = list(entry.history)
    if not past:
        past.append(f"{entry.added} {Status.PROPOSED} by {_plain(entry.added_by)}")
        if entry.changed_on and entry.status is not Status.PROPOSED:
            reason = f"{entry.change_cause}, {entry.change_reference}"
            past.append(f"{entry.changed_on} {entry.status} by {_plain(entry.changed_by)}: {_plain(reason)}")
    past.append(f"{today} {status} by {_plain(by)}" + (f": {_plain(why)}" if why else ""))
    return {"status": str(status), "history": past}


def closing(entry: Entry, status: Status, today: dt.date, *, by: str, cause: Cause, reference: str) -> Changes:
    """What changes when an entry is suspended, expired or removed."""
    assert status in CLOSED  # noqa: S101  (a fault of ours)
    return {
        **step(entry, status, today, by, f"{cause}, {reference}"),
        "changed_on": today,
        "changed_by": by,
        "change_cause": str(cause),
        "change_reference": reference,
    }


def status_on(entry: Entry, day: dt.date) -> tuple[Status | None, bool]:
    """The status of an entry on a day (None: it was not on file yet), and whether that stands on record.

    Without steps on record, a status that changed later is taken to have been active before.
    """
    if entry.history:
        past = [record.split()[1] for record in entry.history if record[:10] <= str(day)]
        return (Status(past[-1]) if past else None), True
    if day < entry.added:
        return None, True
    if entry.changed_on is not None and day < entry.changed_on:
        return Status.ACTIVE, False
    return entry.status, entry.status in CLOSED or day >= (entry.verified_on or entry.added)


def _plain(text: str) -> str:
    return " ".join(text.replace(";", ",").split())


def _in_tables(decision: PlacedDecision) -> list[PlacedEntry]:
    return [row for row in decision.entries if row.place.file == decision.place.file]


def _item(key: str, value: object) -> Any:
    if key == "finding":
        return tomlkit.string(str(value), multiline="\n" in str(value))
    return tomlkit.item(value)


def _table(row: Changes) -> str:
    table = tomlkit.table()
    for key in _sorted(row):
        table[key] = tomlkit.item(row[key])
    return "\n[[host]]\n" + table.as_string()


def _sorted(keys: Iterable[str]) -> list[str]:
    order = [*_FIRST, *(key for key in _ORDER if key not in _FIRST)]
    return sorted(keys, key=order.index)


def _toml_changed(text: str, lines: Sequence[int], here: Mapping[int, Changes]) -> str:
    document = tomlkit.parse(text)
    tables = document["host"]
    if not isinstance(tables, AoT) or len(tables) != len(lines):
        raise BlocklistError("Its tables cannot be told apart.", "host", "Correct what the lint says first.")
    for table, line in zip(tables, lines, strict=True):
        for key, value in here.get(line, {}).items():
            table[key] = value
    return tomlkit.dumps(document)


def _csv_changed(text: str, here: Mapping[int, Changes]) -> str:
    """The sidecar with some lines written anew, the others as they were."""
    end = "\r\n" if "\r\n" in text else "\n"
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    columns = next(reader)
    needed = {key for changes in here.values() for key in changes}
    fresh = columns + _sorted(needed - set(columns))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=end)
    writer.writerow(fresh)
    for cells in reader:
        row = dict(zip(columns, cells, strict=False))
        row |= {key: _cell(value) for key, value in here.get(reader.line_num, {}).items()}
        writer.writerow([row.get(column, "") for column in fresh])
    return out.getvalue()


def _csv_appended(text: str, rows: Sequence[Changes]) -> str:
    keys = {key for row in rows for key in row}
    if not text:
        text = ",".join(_sorted(keys | {"verified_on", "approved_by"})) + "\n"
    text = _csv_changed(text, {0: dict.fromkeys(keys, "")})  # with all the columns that are needed
    columns = next(csv.reader(io.StringIO(text, newline="")))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n" if "\r\n" in text else "\n")
    for row in rows:
        writer.writerow([_cell(row[column]) if column in row else "" for column in columns])
    return text + out.getvalue()


def _cell(value: object) -> str:
    return ";".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
