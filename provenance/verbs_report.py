"""`knockfirst report OUT...`: reports from sealed logs. Runs without Scrapy.

Exit codes: 0 written, 1 a log is not sealed or not what was signed, 2 a log cannot be read or a file not written.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from provenance.checkpoint import CheckpointError, Verifier
from provenance.entry import Entry
from provenance.finality import superseded
from provenance.kept_rules import RulesError, load_rules
from provenance.proof import ProofError, read_verifier
from provenance.reports import files
from provenance.reports.crawl import crawl
from provenance.reports.document import Document
from provenance.reports.summary import summary
from provenance.reports.tally import Progress, Tally, read_log
from provenance.rules import Rules
from provenance.segments import LogError, read_entries, segments
from provenance.terminal import plain, progress_bar
from provenance.verbs import Keys

_NOT_SIGNED: Final = 1
_UNREADABLE: Final = 2
_TELL_EVERY: Final = 4_096


class Kind(StrEnum):
    """The reports there are."""

    SUMMARY = "summary"
    CRAWL = "crawl"


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command(epilog="Example: knockfirst report out/web --kind summary")(report)


def report(
    out: Annotated[list[Path], typer.Argument(metavar="OUT...", help="Output folders: all logs of one crawl.")],
    *,
    kind: Annotated[
        Kind, typer.Option(help="summary: for the public, on training content; crawl: for the data team.")
    ] = Kind.SUMMARY,
    to: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write it there; default: OUT/reports.")] = None,
    sme: Annotated[
        bool, typer.Option("--sme", help="List domains by the rule for small and medium enterprises.")
    ] = False,
    key: Keys = None,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Also on a log that is not sealed or not signed; the report says so.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of sentences.")] = False,
) -> None:
    """Report on what crawls kept and refused, from their sealed logs: JSON, HTML, Markdown, and CSV.

    Exit codes: 0 written, 1 a log is not sealed or not what was signed, 2 it cannot be read or not be written.
    """
    if to is None and len(out) > 1:
        _give_up("Name a folder by --to: there is more than one log.")
    try:
        with progress_bar() as tell:
            tallies = _read(out, key or [], tell)
        rules = _rules(tallies)
    except (OSError, LogError, ProofError, CheckpointError) as error:
        _give_up(str(error))
    faults = [f"log {tally.origin} in {tally.out}: {fault}" for tally in tallies for fault in tally.faults]
    if faults and not as_is:
        for fault in faults:
            typer.echo(plain(fault), err=True)
        typer.echo("Nothing was written. `knockfirst verify` says more; --as-is reports all the same.", err=True)
        raise typer.Exit(_NOT_SIGNED)
    document = summary(tallies, rules, "sme" if sme else "all") if kind is Kind.SUMMARY else crawl(tallies, rules)
    try:
        written = files.write(document, to or out[0] / "reports")
    except OSError as error:
        _give_up(str(error))
    _tell(document, tallies, written, as_json=as_json)


def _read(folders: Sequence[Path], keys: Sequence[str], tell: Progress | None) -> list[Tally]:
    dropped = _dropped(folders, tell) if len(folders) > 1 else {}
    tallies: dict[str, Tally] = {}
    for folder in folders:
        key = _key_of(folder, keys)
        tally = read_log(folder, key=key, dropped=dropped.get(str(folder), ()), progress=tell)
        if tally.origin in tallies:
            raise LogError(f"{folder}: the log {tally.origin} was named already, and would count twice")
        tallies[tally.origin] = tally
    return list(tallies.values())


def _key_of(folder: Path, keys: Sequence[str]) -> str:
    """The key given for the log; where there are keys and none is for it, the first, which it will not agree with."""
    name = read_verifier(folder / "log").name
    return next((key for key in keys if Verifier.parse(key.strip()).name == name), keys[0] if keys else "")


def _dropped(folders: Sequence[Path], tell: Progress | None) -> dict[str, list[int]]:
    """Of several logs, the last words that a last word in another one replaces."""
    found: dict[str, list[int]] = defaultdict(list)
    for one in superseded((str(folder), entry) for folder in folders for entry in _entries(folder, tell)):
        found[one.origin].append(one.seq)
    return found


def _entries(folder: Path, tell: Progress | None) -> Iterator[Entry]:
    total = sum(path.stat().st_size for path in segments(folder / "log"))
    done = 0
    for number, (line, entry) in enumerate(read_entries(folder / "log"), 1):
        done += len(line)
        if tell is not None and not number % _TELL_EVERY:
            tell(f"last words of {folder.name}", min(done, total), total)
        yield entry


def _rules(tallies: Sequence[Tally]) -> list[Rules]:
    """Every set of rules that was in force. One that cannot be read is a fault of the log."""
    found: dict[str, Rules] = {}
    for tally in tallies:
        for config in tally.configs:
            try:
                found.setdefault(config.rules, load_rules(Path(tally.out) / "log" / "rules", config))
            except RulesError as error:
                tally.faults.append(f"the rules of entry {config.seq} cannot be read: {error}")
    return list(found.values())


def _tell(document: Document, tallies: Sequence[Tally], written: Sequence[Path], *, as_json: bool) -> None:
    if as_json:
        told = {
            "report": document.name,
            "logs": [{"origin": one.origin, "size": one.size, "root": one.root} for one in document.made_from],
            "warnings": document.warnings,
            "urls": sum(row.urls for tally in tallies for row in tally.rows),
            "files": [str(path) for path in written],
        }
        typer.echo(json.dumps(told, indent=2))
        return
    for warning in document.warnings:
        typer.echo(plain(warning))
    for made in document.made_from:
        typer.echo(plain(f"Log {made.origin}: {made.size} signed entries up to {made.time}, root {made.root}"))
    urls, sites = _figures(tallies)
    typer.echo(f"{urls} URLs of {sites} sites. Written to {plain(str(written[0].parent))}/:")
    typer.echo("  " + ", ".join(path.name for path in written))


def _figures(tallies: Sequence[Tally]) -> tuple[int, int]:
    rows = [row for tally in tallies for row in tally.rows]
    return sum(row.urls for row in rows), len({row.site for row in rows if row.site})


def _give_up(why: str) -> NoReturn:
    typer.echo(plain(why), err=True)
    raise typer.Exit(_UNREADABLE) from None
