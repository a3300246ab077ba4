"""Decision files as texts -> decisions, entries and exemptions, each with the place where it stands.

Three kinds of file, told apart by their names: `<slug>.toml` is one decision with its names, `<slug>.hosts.csv` beside
it holds more names of the same decision in the same columns, `exceptions.toml` holds exemptions. Reading looks at each
value alone and collects every fault; what must hold between values is `lint`'s. TOML 1.0, https://toml.io/en/v1.0.0;
CSV as RFC 4180, https://www.rfc-editor.org/rfc/rfc4180.
"""

from __future__ import annotations

import csv
import datetime as dt
import difflib
import io
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from blocklists.fields import DATE, DECISION, EXCEPTION, HISTORY, HOST, PEOPLE, Fields, shown
from blocklists.model import Entry, Exemption, Fault, Level, ListingDecision

EXCEPTIONS: Final = "exceptions.toml"
SIDECAR: Final = ".hosts.csv"

#: A decision of 20,000 names takes about 6 MB; more in one file is a mistake or an attack.
MAX_CHARS: Final = 16_000_000

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_AT_LINE: Final = re.compile(r"\(at line ([0-9]+)")
#: Strings and comments, whose insides must not be taken for keys when lines are counted.
_OPAQUE: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"""|' + r"'''.*?'''|" + r'"(?:\\.|[^"\\\n])*"|' + r"'[^'\n]*'|#[^\n]*", re.DOTALL
)
_TABLE: Final = re.compile(r"\s*\[\[?\s*([A-Za-z0-9_-]+)\s*\]")
_KEY: Final = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")


class Place(NamedTuple):
    """Where a table stands: its file, its first line, and the line of each key."""

    file: str
    line: int
    keys: Mapping[str, int]

    def fault(self, key: str, what: str, allowed: str, level: Level = Level.ERROR) -> Fault:
        """A fault at one key of this table, or at its head when the key is not there."""
        line = self.keys.get(key, self.line)
        return Fault(
            file=self.file,
            line=line,
            key=key if key.isprintable() else ascii(key),
            what=what,
            allowed=allowed,
            level=level,
        )


class PlacedEntry(NamedTuple):
    """An entry and where it stands."""

    entry: Entry
    place: Place


class PlacedExemption(NamedTuple):
    """An exemption and where it stands."""

    exemption: Exemption
    place: Place


class PlacedDecision(NamedTuple):
    """A decision, its entries, and where it stands. `decision` is None when its own fields are at fault."""

    decision: ListingDecision | None
    place: Place
    entries: tuple[PlacedEntry, ...]


class Book(NamedTuple):
    """Everything that could be read, in the order of the files' names."""

    decisions: tuple[PlacedDecision, ...]
    exemptions: tuple[PlacedExemption, ...]


class _Table(NamedTuple):
    """One table as written: its values, unchecked, and where it stands."""

    values: Mapping[str, Any]
    place: Place


def read_files(files: Mapping[str, str]) -> tuple[Book, list[Fault]]:
    """Read all files, by name, with every fault of every file."""
    reader = _Reader()
    decisions: list[PlacedDecision] = []
    exemptions: list[PlacedExemption] = []
    for name in sorted(files):
        if name.endswith(SIDECAR):
            if _owner(name) not in files:
                what = f"There is no {_owner(name)} that these names belong to."
                reader.fault(name, 0, "", what, "Name both files alike.")
        elif not name.endswith(".toml"):
            allowed = f"A file is named <decision>.toml, <decision>{SIDECAR} or {EXCEPTIONS}."
            reader.fault(name, 0, "", "The name says neither decision nor names.", allowed)
        elif name.rpartition("/")[2] == EXCEPTIONS:
            exemptions += reader.exemptions(name, files[name])
        else:
            sidecar = f"{name.removesuffix('.toml')}{SIDECAR}"
            decisions += reader.decision(name, files[name], sidecar, files.get(sidecar))
    return Book(tuple(decisions), tuple(exemptions)), reader.faults


def _owner(sidecar: str) -> str:
    return f"{sidecar.removesuffix(SIDECAR)}.toml"


class _Reader:
    """Reads one file after another and keeps the faults of all."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def fault(self, file: str, line: int, key: str, what: str, allowed: str) -> None:
        """Note one fault."""
        self.faults.append(Fault(file=file, line=line, key=key, what=what, allowed=allowed))

    def decision(self, name: str, text: str, sidecar: str, names: str | None) -> Iterator[PlacedDecision]:
        """The decision of one file with the names of its sidecar, if the file can be read at all."""
        tables = self._toml(name, text, "host")
        if tables is None:
            return
        head, rows = tables
        if names is not None:
            rows += self._csv(sidecar, names)
        values = self._checked(head, DECISION)
        decision = msgspec.convert(values, ListingDecision) if values is not None else None
        known = decision.id if decision else ""
        entries = tuple(
            PlacedEntry(msgspec.convert({**good, "decision": known}, Entry), row.place)
            for row in rows
            if (good := self._checked(row, HOST)) is not None
        )
        if not rows:
            self.faults.append(head.place.fault("host", "The decision names no host.", "Add a [[host]] table."))
        yield PlacedDecision(decision, head.place, entries)

    def exemptions(self, name: str, text: str) -> Iterator[PlacedExemption]:
        """The exemptions of one file."""
        tables = self._toml(name, text, "exception")
        if tables is None:
            return
        head, rows = tables
        self._checked(head, Fields({}, {}))
        for row in rows:
            values = self._checked(row, EXCEPTION)
            if values is not None:
                yield PlacedExemption(msgspec.convert(values, Exemption), row.place)

    def _checked(self, table: _Table, fields: Fields) -> dict[str, Any] | None:
        """The values under known keys, or None when one is missing or wrong."""
        allowed = fields.all
        before = len(self.faults)
        for key in table.values.keys() - allowed.keys():
            self.faults.append(table.place.fault(key, "This key is not known.", _did_you_mean(key, allowed)))
        unknown = len(self.faults) - before
        for key in fields.required.keys() - table.values.keys():
            self.faults.append(table.place.fault(key, "This key is missing.", allowed[key].allowed))
        good = {key: value for key, value in table.values.items() if key in allowed}
        for key, value in good.items():
            if not allowed[key].accepts(value):
                self.faults.append(table.place.fault(key, f"{shown(value)} is not allowed.", allowed[key].allowed))
        return good if len(self.faults) == before + unknown else None

    def _toml(self, name: str, text: str, rows: str) -> tuple[_Table, list[_Table]] | None:
        """The head of a TOML file and its tables called `rows`."""
        if len(text) > MAX_CHARS:
            self.fault(name, 0, "", f"The file is longer than {MAX_CHARS} characters.", "Split the decision.")
            return None
        try:
            values = tomllib.loads(text)
        except (ValueError, RecursionError) as fault:
            found = _AT_LINE.search(str(fault))
            line = int(found[1]) if found else len(text.splitlines())
            what = f"This is not TOML: {shown(str(fault))}."
            self.fault(name, line, "", what, "See docs/blocklist-format.md for an example.")
            return None
        places = _places(name, text)
        head = places.get(("", 0), Place(name, 1, {}))
        written = values.pop(rows, [])
        if not (isinstance(written, list) and all(isinstance(row, dict) for row in written)):
            self.faults.append(head.fault(rows, f"{rows} is not a table.", f"Begin each one with [[{rows}]]."))
            written = []
        tables = [_Table(row, places.get((rows, number), head)) for number, row in enumerate(written)]
        return _Table(values, head), tables

    def _csv(self, name: str, text: str) -> list[_Table]:
        """The rows of a sidecar, in the columns of a [[host]] table; an empty cell is a key that is not there."""
        if len(text) > MAX_CHARS:
            self.fault(name, 0, "", f"The file is longer than {MAX_CHARS} characters.", "Split the decision.")
            return []
        lines = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
        tables: list[_Table] = []
        try:
            columns = next(lines, [])
            if not self._columns_stand(Place(name, 1, {}), columns):
                return []
            for cells in lines:
                if len(cells) > len(columns):
                    what = f"The row has {len(cells)} cells under {len(columns)} columns."
                    self.fault(name, lines.line_num, "", what, "Put quotes around a cell that has a comma in it.")
                elif any(cells):
                    row = {column: _cell(column, cell) for column, cell in zip(columns, cells, strict=False) if cell}
                    tables.append(_Table(row, Place(name, lines.line_num, {})))
        except csv.Error as fault:
            what = f"This is not CSV: {shown(str(fault))}."
            self.fault(name, lines.line_num, "", what, "Save the file as CSV, with commas, in UTF-8.")
        return tables

    def _columns_stand(self, place: Place, columns: list[str]) -> bool:
        """Whether the first line of a sidecar names the columns of a [[host]] table."""
        before = len(self.faults)
        for column in sorted(set(columns) - HOST.all.keys()):
            self.faults.append(place.fault(column[:80], "This column is not known.", _did_you_mean(column, HOST.all)))
        for column in HOST.required:
            if column not in columns:
                self.faults.append(place.fault(column, "This column is missing.", "Name it in the first line."))
        if len(set(columns)) < len(columns):
            self.faults.append(place.fault("", "A column stands there twice.", "Name each column once."))
        return len(self.faults) == before


def _cell(column: str, cell: str) -> object:
    """A cell as the value that TOML would have given."""
    kind = HOST.all.get(column)
    if kind is DATE and _DATE.fullmatch(cell):
        try:
            return dt.date.fromisoformat(cell)
        except ValueError:
            return cell
    if kind in (PEOPLE, HISTORY):
        return [name.strip() for name in cell.split(";")]
    return cell


def _did_you_mean(key: str, allowed: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(key, allowed, n=1)
    return f'Did you mean "{near[0]}"?' if near else f"Known keys are: {', '.join(allowed)}."


def _places(file: str, text: str) -> dict[tuple[str, int], Place]:
    """Where each table and key of a TOML text stands; the top of the file is table ("", 0)."""
    plain = _OPAQUE.sub(lambda found: "\n" * found[0].count("\n"), text)
    keys: dict[str, int] = {}
    places = {("", 0): Place(file, 1, keys)}
    seen: dict[str, int] = {}
    for number, line in enumerate(plain.split("\n"), start=1):
        if table := _TABLE.match(line):
            name = table[1]
            seen[name] = seen.get(name, -1) + 1
            keys = {}
            places[name, seen[name]] = Place(file, number, keys)
        elif key := _KEY.match(line):
            keys.setdefault(key[1], number)
    return places
