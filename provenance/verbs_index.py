"""`knockfirst index OUT...`: the index that the auditors' pages look things up in. Runs without Scrapy."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from provenance.index import index_path, update
from provenance.lookup import Lookup
from provenance.segments import LogError
from provenance.terminal import plain, progress_bar

_INCOMPLETE = 1
_CANNOT = 2

Outs = Annotated[list[Path], typer.Argument(metavar="OUT...", help="Output folders of crawls: those that hold log/.")]
Folder = Annotated[
    Path | None,
    typer.Option("--index", metavar="FOLDER", help="Where indexes lie. Default: knockfirst/ in the user's cache."),
]


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command(epilog="Example: knockfirst index out/web")(index)


def index(
    outs: Outs,
    *,
    folder: Folder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of sentences.")] = False,
) -> None:
    """Make the index of a log for `knockfirst serve`, or bring it up to date; also while a crawl writes the log.

    It is derived and lies outside of OUT: nothing under examination is changed, and no index found there is used. Exit
    codes: 0 done, 1 a log cannot be read to its end and is indexed as far as it can be, 2 there is no log, or the
    index cannot be written.
    """
    told = []
    for out in outs:
        try:
            told.append(_made(out, folder))
        except (OSError, LogError) as error:
            typer.echo(plain(str(error)), err=True)
            raise typer.Exit(_CANNOT) from None
    if as_json:
        typer.echo(json.dumps(told, indent=2))
    else:
        for one in told:
            typer.echo(plain(f"{one['out']}: {one['new']} new entries, {one['entries']} in all, {one['seconds']} s"))
            typer.echo(plain(f"  {one['index']}"))
            if one["fault"]:
                typer.echo(plain(f"  not read to its end: {one['fault']}"))
    raise typer.Exit(_INCOMPLETE if any(one["fault"] for one in told) else 0)


def _made(out: Path, folder: Path | None) -> dict[str, str | int | float]:
    path = index_path(out, folder)
    began = time.monotonic()
    before = _size(out, path)
    with progress_bar() as tell:
        if not update(out, path, partial(tell, "log") if tell else None):
            raise OSError(f"{path}: another process is making this index. Wait for it")
    with Lookup.open(out, path) as look:
        size, fault = look.size, look.fault
    new = size - before if size >= before else size
    seconds = round(time.monotonic() - began, 1)
    return {"out": str(out), "index": str(path), "entries": size, "new": new, "seconds": seconds, "fault": fault}


def _size(out: Path, path: Path) -> int:
    """Entries in an index as it is; 0 where there is none."""
    try:
        with Lookup.open(out, path) as look:
            return look.size
    except OSError:
        return 0
