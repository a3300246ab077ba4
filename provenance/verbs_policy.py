"""`knockfirst lint | vectors | protocols`: verbs of the policy staff, who edit data and never Python.

Exit codes: 0 nothing wrong, 1 faults or disagreements, 2 the command was not understood or a file cannot be read.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from blocklists.model import BlocklistError
from provenance.lint import UnreadableError, lint_paths, lint_shipped
from provenance.rules import added_protocols, shipped_policy, shipped_protocols
from provenance.terminal import plain
from reservations.datafile import DefinitionError
from reservations.definition import Protocol
from reservations.matrix import matrix
from reservations.overlay import merge
from reservations.policy import Policy
from reservations.registry import Registry
from reservations.vectors import run_access, run_reservation, run_robots

#: Kinds of carriers of which a protocol may have many, each with a name.
_KINDS: Final = frozenset({"header", "meta", "link", "schema", "property", "assertion", "file", "XML", "robots.txt"})
#: Columns that are not broken.
_WHOLE: Final = frozenset({"id", "protocol", "reviewed"})

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def add_to(app: typer.Typer) -> None:
    """Adds the verbs."""
    app.command(epilog="Example: knockfirst lint my-policy.toml my-protocols/")(lint)
    app.command(epilog="Example: knockfirst vectors tests/vectors/robots.json")(vectors)
    app.command(epilog="Example: knockfirst protocols --matrix")(protocols)


def lint(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Files, or folders of them: protocols, token lists, policies, decisions. None: ours."),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Say everything that is wrong with data files: file, line, key, and what is allowed there."""
    try:
        found = lint_paths(paths, dt.datetime.now(dt.UTC).date()) if paths else lint_shipped()
    except (UnreadableError, BlocklistError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    if as_json:
        weaker = [item._asdict() for item in found.weaker]
        typer.echo(json.dumps({"faults": found.faults, "weaker": weaker}))
    else:
        for item in found.weaker:
            told = f"{item.rule} (approved by {item.approver}: {item.reason})"
            typer.echo(plain(f"WEAKER THAN THE SHIPPED FLOOR: {told}"))
        typer.echo("\n".join(plain(fault) for fault in found.faults) or "Nothing is wrong.")
    raise typer.Exit(1 if found.faults else 0)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        typer.echo(f"{path}: cannot be read: {error}", err=True)
        raise typer.Exit(2) from None


def vectors(
    files: Annotated[list[Path], typer.Argument(help="Suites of cases, JSON.")],
    *,
    as_json: Json = False,
) -> None:
    """Run suites of cases against the shipped rules; print each case that disagrees, and count."""
    registry = Registry.load(shipped_protocols())
    policy = Policy.from_toml(shipped_policy(), file="eu-gpai.toml")
    runs: dict[str, Callable[[dict[str, Any]], str | None]] = {
        "robots": run_robots,
        "reservation": lambda case: run_reservation(case, registry, policy),
        "access": lambda case: run_access(case, registry, policy),
    }
    passed, failed = 0, []
    for path in files:
        try:
            suite = json.loads(_read(path))
            kind, cases = suite["kind"], suite["cases"]
        except (ValueError, KeyError, TypeError) as error:
            typer.echo(f"{path}: is no suite of cases: {error!r}", err=True)
            raise typer.Exit(2) from None
        if kind not in runs:
            typer.echo(f"{path}: kind {kind!r} is not run here; {', '.join(runs)} are", err=True)
            raise typer.Exit(2)
        for case in cases:
            disagreement = runs[kind](case)
            if disagreement is None:
                passed += 1
            else:
                told = {"id": case.get("id", "?"), "why": case.get("why", ""), "disagreement": disagreement}
                failed.append({"file": str(path), **told})
    if as_json:
        typer.echo(json.dumps({"passed": passed, "failed": failed}))
    else:
        for item in failed:
            typer.echo(plain(f"{item['file']}: {item['id']}" + (f" ({item['why']})" if item["why"] else "")))
            typer.echo("".join(f"  {plain(line)}\n" for line in item["disagreement"].split("; ")), nl=False)
        typer.echo(f"{passed} passed, {len(failed)} failed")
    raise typer.Exit(1 if failed else 0)


def protocols(
    *,
    data: Annotated[
        Path | None, typer.Option(envvar="KNOCKFIRST_DATA", help="Folder with protocol files of your own.")
    ] = None,
    as_matrix: Annotated[bool, typer.Option("--matrix", help="Which uses each protocol can close.")] = False,
    stale_after: Annotated[int, typer.Option(help="Days after which a review is named as stale.")] = 180,
    as_json: Json = False,
) -> None:
    """List what is read, where it can stand, in which version, and when it was last reviewed; name stale reviews."""
    try:
        registry = Registry.load(merge(shipped_protocols(), added_protocols(data)))
    except (DefinitionError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    today = dt.datetime.now(dt.UTC).date()
    stale = {
        item.id for item in registry.protocols if (today - dt.date.fromisoformat(item.reviewed)).days > stale_after
    }
    binds = {item.id: {str(use): cell for use, cell in matrix(item).items()} for item in registry.protocols}
    if as_json:
        rows = [{**item.row(), "stale": item.id in stale, "binds": binds[item.id]} for item in registry.protocols]
        typer.echo(json.dumps({"digest": registry.digest, "protocols": rows}))
        return
    title = f"protocols in force, {registry.digest[:19]}..."
    if as_matrix:
        narrow = {name: {use.replace("-", "-\n"): cell for use, cell in cells.items()} for name, cells in binds.items()}
        _print(title, [{"id": name, **cells} for name, cells in narrow.items()])
        typer.echo("B: binds by default; b: binds in profile strict only; -: silent")
    else:
        _print(title, [_listed(item, stale=item.id in stale) for item in registry.protocols])
    if stale:
        typer.echo(f"Not reviewed for more than {stale_after} days: {', '.join(sorted(stale))}")


def _listed(protocol: Protocol, *, stale: bool) -> dict[str, str]:
    """A protocol in as few columns as a terminal has room for; carriers of one kind after its name."""
    kinds: dict[str, list[str]] = {}
    for carrier in protocol.carriers():
        kind, _, name = carrier.partition(" ")
        if kind in _KINDS:
            kinds.setdefault(kind, []).append(name)
        else:
            kinds[carrier] = []
    return {
        "protocol": protocol.id,
        "version": f"{protocol.name}: {protocol.version}, {protocol.date}",
        "read in": "\n".join(f"{kind} {', '.join(names)}".strip() for kind, names in kinds.items()),
        "reviewed": protocol.reviewed + "\n(stale)" * stale,
    }


def _print(title: str, rows: list[dict[str, str]]) -> None:
    """A table of which nothing is cut off."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in rows[0]:
        table.add_column(column, overflow="fold", no_wrap=column in _WHOLE)
    for row in rows:
        table.add_row(*("\n".join(map(plain, value.split("\n"))) for value in row.values()))
    Console().print(table, highlight=False)
