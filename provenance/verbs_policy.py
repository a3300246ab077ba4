"""`knockfirst lint | vectors | protocols`: verbs of the policy staff, who edit data and never Python.

Exit codes: 0 nothing wrong, 1 faults or disagreements, 2 the command was not understood or a file cannot be read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from provenance.rules import Rules, shipped_policy, shipped_protocols
from reservations.datafile import DefinitionError
from reservations.policy import Policy
from reservations.registry import Registry
from reservations.vectors import run_access, run_reservation, run_robots

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def add_to(app: typer.Typer) -> None:
    """Adds the verbs."""
    app.command(epilog="Example: knockfirst lint my-policy.toml")(lint)
    app.command(epilog="Example: knockfirst vectors tests/vectors/robots.json")(vectors)
    app.command(epilog="Example: knockfirst protocols")(protocols)


def lint(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Policy files (TOML). None: the shipped protocols and policy.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Say everything that is wrong with protocol and policy files: file, line, key, and what is allowed there."""
    faults: list[str] = []
    texts = {str(path): _read(path) for path in files or []}
    for name, text in (texts or {"eu-gpai.toml": shipped_policy()}).items():
        faults += _faults(lambda name=name, text=text: Policy.from_toml(text, file=name))
    if not texts:
        faults += _faults(lambda: Registry.load(shipped_protocols()))
    if as_json:
        typer.echo(json.dumps({"faults": faults}))
    else:
        typer.echo("\n".join(faults) or "Nothing is wrong.")
    raise typer.Exit(1 if faults else 0)


def _faults(load: Any) -> list[str]:
    try:
        load()
    except DefinitionError as error:
        return [str(fault) for fault in error.faults]
    return []


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
                failed.append({"file": str(path), "id": case.get("id", "?"), "disagreement": disagreement})
    if as_json:
        typer.echo(json.dumps({"passed": passed, "failed": failed}))
    else:
        for item in failed:
            typer.echo(f"{item['file']}: {item['id']}: {item['disagreement']}")
        typer.echo(f"{passed} passed, {len(failed)} failed")
    raise typer.Exit(1 if failed else 0)


def protocols(*, as_json: Json = False) -> None:
    """List what is read, where it can stand, in which version, and when it was last reviewed."""
    rules = Rules.load(tokens=("KnockfirstBot",))
    rows = [protocol.row() for protocol in rules.registry.protocols]
    if as_json:
        typer.echo(json.dumps({"digest": rules.registry.digest, "protocols": rows}))
        return
    table = Table(title=f"protocols in force, {rules.registry.digest[:19]}...", title_justify="left")
    for column in rows[0]:
        table.add_column(column)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)
