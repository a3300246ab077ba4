"""Reads a TOML file of ours into a value, or names every fault in it at once: file, line, key, what is allowed.

Policy staff edit these files and never see Python; one fault a run would send them round in circles.
"""

from __future__ import annotations

import datetime as dt
import difflib
import json
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Final, TypeVar

import msgspec

_T = TypeVar("_T")
Path = tuple[str | int, ...]
#: A day of the calendar, as text.
Day = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", description="A day, YYYY-MM-DD.")]


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong in a data file.

    Attributes:
        file: the file's name as the caller gave it.
        line: 1-based; 1 when the key is missing altogether.
        key: where it stands, for example `labels[2].values[0].strict`.
        problem: what is wrong and what is allowed there.
    """

    file: str
    line: int
    key: str
    problem: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.key}: {self.problem}"


class DefinitionError(ValueError):
    """A data file cannot be used. `faults` holds everything that is wrong with it."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


class Source:
    """A TOML text with its name, able to say on which line a key stands."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file

    def fault(self, path: Path, problem: str) -> Fault:
        """A fault at `path`, with the line of the nearest key that the text holds."""
        return Fault(self.file, _line(self.text, path), _spell(path), problem)

    def read(self, kind: type[_T]) -> _T:
        """The text as a `kind` (a msgspec Struct); raises DefinitionError with all faults."""
        try:
            table = tomllib.loads(self.text)
        except (ValueError, RecursionError) as error:  # numbers without end, tables in tables without end, too
            line = re.search(r"line (\d+)", str(error))
            problem = f"not valid TOML: {error}"
            raise DefinitionError([Fault(self.file, int(line[1]) if line else 1, "(file)", problem)]) from None
        faults = [self.fault(path, problem) for path, problem in _faults(table, kind, ())]
        if faults:
            raise DefinitionError(faults)
        return msgspec.convert(table, kind)


def _faults(value: object, kind: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Every place where `value` is not a `kind`, depth first."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind == Day:
        if not _is_day(value):
            yield path, f"{_told(value)} is no day of the calendar; it must be {_allowed(kind)}"
    elif origin is typing.Annotated and typing.get_origin(arguments[0]) is tuple:
        inner = list(_faults(value, arguments[0], path))
        yield from inner or _leaf_faults(value, kind, path)
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield from _struct_faults(value, kind, path)
    elif origin is tuple and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _faults(item, arguments[0], (*path, index))
    elif origin in (dict, Mapping) and isinstance(value, dict):
        for key, item in value.items():
            yield from _leaf_faults(key, arguments[0], (*path, key))
            yield from _faults(item, arguments[1], (*path, key))
    elif origin in (typing.Union, types.UnionType) and type(None) in arguments:
        yield from _faults(value, next(item for item in arguments if item is not type(None)), path)
    else:
        yield from _leaf_faults(value, kind, path)


def _struct_faults(value: object, kind: type[msgspec.Struct], path: Path) -> Iterator[tuple[Path, str]]:
    if not isinstance(value, dict):
        yield path, "must be a table"
        return
    fields = _fields(kind)
    for key, item in value.items():
        if key in fields:
            yield from _faults(item, fields[key].type, (*path, key))
        else:
            close = difflib.get_close_matches(key, fields, n=1)
            meant = f"did you mean {close[0]!r}? " if close else ""
            yield (*path, key), f"unknown key; {meant}allowed: {', '.join(sorted(fields))}"
    for key, field in fields.items():
        if field.required and key not in value:
            yield (*path, key), f"missing; it must be {_allowed(field.type)}"


@lru_cache(maxsize=256)
def _fields(kind: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.encode_name: field for field in msgspec.structs.fields(kind)}


def _leaf_faults(value: object, kind: Any, path: Path) -> Iterator[tuple[Path, str]]:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        yield path, f"{_told(value)} is not allowed; it must be {_allowed(kind)}"


def _is_day(value: object) -> bool:
    try:
        msgspec.convert(value, Day)
        dt.date.fromisoformat(str(value))
    except ValueError:  # a ValidationError is one
        return False
    return True


def _told(value: object) -> str:
    """A value as it may stand in the file, shortened; kinds that need more than a line by their names."""
    if isinstance(value, list | dict):
        return ("a list" if isinstance(value, list) else "a table") if value else "nothing"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str | int | float) else str(value)
    return text if len(text) <= _LONGEST_TOLD else f"{text[:_LONGEST_TOLD]}..."


_LONGEST_TOLD: Final = 60
_NAMES: Final[Mapping[object, str]] = {
    str: "text", int: "a whole number", bool: "true or false", Day: 'a day, "YYYY-MM-DD"'
}  # fmt: skip


def _allowed(kind: Any) -> str:
    """What may stand in a place of this type, in words."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return "one of " + ", ".join(str(item) for item in arguments)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return "one of " + ", ".join(kind)
    if origin is tuple:
        return f"a list, each item {_allowed(arguments[0])}"
    if origin is typing.Annotated and kind not in _NAMES:
        what, comma, items = _allowed(arguments[0]).partition(",")
        limits = ", ".join(f"{name} {bound}" for name, bound in _bounds(arguments[1:]))
        return what + (f" ({limits})" if limits else "") + comma + items
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return f"a table of {', '.join(_fields(kind))}"
    return _NAMES.get(kind, "a table")


def _bounds(metas: tuple[Any, ...]) -> Iterator[tuple[str, object]]:
    words = {"ge": "at least", "le": "at most", "gt": "above", "lt": "below", "pattern": "of the form"}
    words |= {"min_length": "of length at least", "max_length": "of length at most"}
    for meta in metas:
        for name, word in words.items():
            if getattr(meta, name, None) is not None:
                yield word, getattr(meta, name)


def _spell(path: Path) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text or "(file)"


_HEADER: Final = re.compile(r"^\s*\[(\[?)\s*([^\]]+?)\s*\]")
_KEY: Final = re.compile(r"^\s*([A-Za-z0-9_-]+|\"[^\"]*\")\s*=")


def _line(text: str, path: Path) -> int:
    """Line of the deepest key on `path`; an item of an array in brackets gets the line of its array."""
    best, best_depth = 1, 0
    at: Path = ()
    counts: dict[Path, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            at = _resolve(header[2], is_array=bool(header[1]), counts=counts)
            here = at
        elif key := _KEY.match(line):
            here = (*at, key[1].strip('"'))
        else:
            continue
        if here == path[: len(here)] and len(here) > best_depth:
            best, best_depth = number, len(here)
    return best


def _resolve(header: str, *, is_array: bool, counts: dict[Path, int]) -> Path:
    """`[[labels.values]]` to ("labels", 2, "values", 0): which item of each array the header is in now."""
    path: Path = ()
    names = [name.strip().strip('"') for name in header.split(".")]
    for depth, name in enumerate(names):
        path = (*path, name)
        if is_array and depth == len(names) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path
