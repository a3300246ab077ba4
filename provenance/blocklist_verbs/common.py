"""What the verbs share: options, how answers and faults are shown, and a folder of decisions that can be changed."""

from __future__ import annotations

import datetime as dt
import difflib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from blocklists.decisions import PlacedDecision, PlacedEntry
from blocklists.edit import Texts
from blocklists.lint import lint
from blocklists.model import BlocklistError, Fault, FaultsError, Level
from provenance import builds, keys
from provenance.terminal import plain
from reservations.urls import UrlError

app: Final = typer.Typer(name="blocklist", help="The list of sites that are not crawled.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="DECISIONS", help="Folder with the decisions.")]
Build = Annotated[Path, typer.Argument(metavar="BUILD", help="Folder of a build.")]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
By = Annotated[str, typer.Option("--by", envvar="KNOCKFIRST_STAFF", help="Who does this: your name in the files.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be written, and write nothing.")]
Keys = Annotated[str, typer.Option("--keys", envvar="KNOCKFIRST_BLOCKLIST_KEYS", help="Public keys, by commas.")]

_MOST_LINES: Final = 40


def now() -> dt.datetime:
    """The time, which tests replace."""
    return dt.datetime.now(dt.UTC)


def today() -> dt.date:
    """The day, UTC."""
    return now().date()


def day_of(text: str, option: str) -> dt.date:
    """A day as people write it.

    Raises:
        BlocklistError: it is none.
    """
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise BlocklistError(f"{text!r} is not a day.", option, "Write it like 2026-11-22.") from None


def words(text: str) -> tuple[str, ...]:
    """Words between commas or blanks."""
    return tuple(word for word in re.split(r"[\s,]+", text) if word)


def show(value: Any, lines: Sequence[str], *, as_json: bool, wrong: bool = False) -> None:
    """Prints an answer, as JSON or as lines, without anything that a terminal would act on."""
    if as_json:
        typer.echo(msgspec.json.encode(value, order="sorted").decode())
        return
    for line in lines:
        for part in line.split("\n"):
            typer.echo(plain(part), err=wrong)


@contextmanager
def told(*, as_json: bool) -> Iterator[None]:
    """Turns what is wrong into words and exit code 1."""
    try:
        yield
    except FaultsError as wrong:
        show({"faults": wrong.faults}, [str(fault) for fault in wrong.faults], as_json=as_json, wrong=True)
        raise typer.Exit(1) from None
    except BlocklistError as wrong:
        error = {"what": wrong.what, "where": wrong.where, "remedy": wrong.remedy}
        show({"error": error}, [str(wrong)], as_json=as_json, wrong=True)
        raise typer.Exit(1) from None
    except (keys.KeyFileError, UrlError, OSError) as wrong:
        show({"error": {"what": str(wrong)}}, [str(wrong)], as_json=as_json, wrong=True)
        raise typer.Exit(1) from None


class Desk:
    """A folder of decisions, read, to be changed on paper and then written, if the lint has nothing new to say."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.today = folder, today()
        texts, self.book, self._known = (
            builds.read_book(folder, self.today) if any_file(folder) else ({}, builds.EMPTY, [])
        )
        self.paper = Texts(texts)

    def decision(self, name: str) -> PlacedDecision:
        """The decision with this id.

        Raises:
            BlocklistError: there is none.
        """
        for placed in self.book.decisions:
            if placed.decision is not None and placed.decision.id == name:
                return placed
        known = ", ".join(one.decision.id for one in self.book.decisions if one.decision) or "none"
        raise BlocklistError(f'There is no decision "{name}".', str(self.folder), f"Known are: {known}.")

    def entry(self, host: str, decision: str = "") -> tuple[PlacedDecision, PlacedEntry]:
        """The entry of a host.

        Raises:
            BlocklistError: there is none, or several decisions list it and none was named.
        """
        found = [
            (placed, row)
            for placed in self.book.decisions
            for row in placed.entries
            if f"{row.entry.host}{row.entry.path}" == host and decision in ("", row.entry.decision)
        ]
        if not found:
            near = difflib.get_close_matches(host, [r.entry.host for p in self.book.decisions for r in p.entries], n=3)
            remedy = f"Did you mean {' or '.join(near)}?" if near else "Look for it with `blocklist explain`."
            raise BlocklistError(f'No decision lists "{host}".', str(self.folder), remedy)
        if len(found) > 1:
            listed = ", ".join(sorted(row.entry.decision for _, row in found))
            remedy = "Name one with --decision."
            raise BlocklistError(f'"{host}" is listed more than once: {listed}.', str(self.folder), remedy)
        return found[0]

    def write(
        self, done: list[str], value: dict[str, Any], *, dry_run: bool, as_json: bool, difference: bool = True
    ) -> None:
        """Writes what changed on paper, unless the lint finds an error in it that was not there before.

        Raises:
            FaultsError: it does; nothing is written.
        """
        changed = self.paper.changed()
        guards = builds.read_guards(self.folder)
        faults = lint(self.paper.texts, today=self.today, is_public_suffix=builds.is_public_suffix, guards=guards)[1]
        if fresh := [fault for fault in faults if fault.level is Level.ERROR and not self._was_there(fault)]:
            raise FaultsError(fresh)
        if not dry_run:
            for name, (_, text) in changed.items():
                write_text(self.folder / name, text)
        lines = done
        if dry_run and difference:
            lines = [line for name, both in changed.items() for line in _difference(name, *both)]
        wrote = f"{'Nothing was' if dry_run else 'Was'} written: {', '.join(changed) or 'nothing changed'}"
        show({**value, "files": sorted(changed), "written": not dry_run}, [*lines, wrote], as_json=as_json)

    def _was_there(self, fault: Fault) -> bool:
        return any((known.file, known.key, known.what) == (fault.file, fault.key, fault.what) for known in self._known)


def any_file(folder: Path) -> bool:
    """Whether a folder holds a decision already; it is made when the first one is added."""
    return folder.is_dir() and any(path.suffix in {".toml", ".csv"} for path in folder.rglob("*"))


def write_text(path: Path, text: str) -> None:
    """Writes a file as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _difference(name: str, before: str, after: str) -> Iterator[str]:
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, lineterm="", n=1))
    yield from lines[:_MOST_LINES]
    if len(lines) > _MOST_LINES:
        yield f"... and {len(lines) - _MOST_LINES} lines more"
