"""`knockfirst policy diff RULES --against OUT`: what a change of rules would do, before anyone enforces it.

Exit codes: 0 nothing would change, 1 something would, 2 rules or log cannot be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from provenance.diff import Diff, DiffError, diff
from provenance.segments import LogError
from provenance.terminal import plain

_CHANGES = 1
_UNREADABLE = 2
_SITES = 20

app = typer.Typer(name="policy", help="Rules as a whole.", no_args_is_help=True)


def add_to(parent: typer.Typer) -> None:
    """Adds the verbs."""
    parent.add_typer(app)


@app.command("diff", epilog="Example: knockfirst policy diff strict.toml --against out/web")
def policy_diff(
    rules: Annotated[
        Path, typer.Argument(metavar="RULES", help="Policy file, folder of protocol files, blocklist build, or bundle.")
    ],
    *,
    against: Annotated[Path, typer.Option(metavar="OUT", help="Output folder of a crawl.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of sentences.")] = False,
) -> None:
    """Say which URLs of a crawl would be decided otherwise by other rules: by reason, by site, with samples.

    Exit codes: 0 nothing would change, 1 something would, 2 rules or log cannot be read.
    """
    try:
        found = diff(against, rules)
    except (DiffError, LogError, OSError) as error:
        for line in str(error).splitlines():
            typer.echo(plain(line), err=True)
        raise typer.Exit(_UNREADABLE) from None
    if as_json:
        typer.echo(json.dumps(_as_json(found), indent=2))
    else:
        for line in _lines(found):
            typer.echo(plain(line))
    raise typer.Exit(_CHANGES if found.changes else 0)


def _as_json(found: Diff) -> dict[str, Any]:
    kinds = [
        {**msgspec.to_builtins(change), "urls": number, "samples": found.samples[change]}
        for change, number in found.changes.most_common()
    ]
    told = {"rules": found.rules, "urls": found.urls, "same": found.same, "from_signals": found.from_signals}
    return {**told, "changes": kinds, "sites": dict(found.sites.most_common())}


def _lines(found: Diff) -> Iterator[str]:
    differing = sum(found.changes.values())
    yield f"{differing} of {found.urls} URLs would be decided otherwise by rules {found.rules[:19]}..."
    if found.from_signals:
        yield f"  {found.from_signals} were decided on statements as recorded, for their bytes were not kept."
    for change, number in found.changes.most_common():
        yield ""
        yield f"{number}: {change.was}, {change.reason_was} -> {change.now}, {change.reason_now}"
        for url in found.samples[change]:
            yield f"    {url}"
        if number > len(found.samples[change]):
            yield f"    ... and {number - len(found.samples[change])} more"
    if found.sites:
        yield ""
        yield "By site:"
        for site, number in found.sites.most_common(_SITES):
            yield f"  {number:6} {site}"
