"""`knockfirst manifest`: one signature over the logs of all workers of a crawl. Runs without Scrapy.

Exit codes: 0 done, 1 a log is not the one that was signed or they are not of one crawl, 2 a folder cannot be used.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from provenance.checkpoint import CheckpointError
from provenance.keys import KeyFileError, load
from provenance.manifest import Manifest, ManifestError, enter, make
from provenance.proof import ProofError, read_verifier
from provenance.segments import LogError
from provenance.terminal import plain, progress_bar

_WRONG = 1
_CANNOT = 2


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command(epilog="Example: knockfirst manifest out/w1 out/w2 --to out/all --key ~/.knockfirst/log.key")(manifest)


def manifest(
    outs: Annotated[list[Path], typer.Argument(metavar="OUT...", help="The output folder of each worker.")],
    *,
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="The run log: made there, or continued.")],
    key: Annotated[Path, typer.Option(metavar="FILE", envvar="KNOCKFIRST_KEY", help="The run log's private key.")],
    origin: Annotated[str, typer.Option(metavar="NAME", help="The run log's origin, where it is made.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of sentences.")] = False,
) -> None:
    """List what all workers of a crawl have signed, enter the list in a run log, and sign that: once for all.

    Publish the run log's checkpoint and have it stamped (`knockfirst anchor FOLDER`). Exit codes: 0 done; 1 a log is
    not the one that was signed, or they are not of one crawl; 2 a folder cannot be used.
    """
    try:
        private = load(key, outside=(*outs, to))
        with progress_bar() as tell:
            made = make(outs, now=dt.datetime.now(dt.UTC), progress=tell)
        path = enter(to, made, private, origin=origin)
        verifier = read_verifier(to / "log").line()
    except ManifestError as error:
        _give_up(str(error), _WRONG)
    except (OSError, KeyFileError, LogError, ProofError, CheckpointError) as error:
        _give_up(str(error), _CANNOT)
    if as_json:
        told = {"file": str(path), "key": verifier, "run": made.run, "superseded": len(made.superseded)}
        logs = [{"origin": one.origin, "size": one.size, "end": one.end, "root": one.root} for one in made.workers]
        typer.echo(json.dumps(told | {"logs": logs}, indent=2))
        return
    for line in _sentences(made, path, verifier):
        typer.echo(plain(line))


def _sentences(made: Manifest, path: Path, verifier: str) -> Iterator[str]:
    for worker in made.workers:
        end = f"sealed: {worker.end}" if worker.end else "NOT SEALED: at work, or broken off"
        yield f"log {worker.origin}: {worker.size} entries, {len(worker.files)} WARC files; {end}"
    yield f"{len(made.superseded)} last words are replaced by others."
    yield f"{path}: signed by {verifier}"


def _give_up(why: str, code: int) -> NoReturn:
    typer.echo(plain(why), err=True)
    raise typer.Exit(code) from None
