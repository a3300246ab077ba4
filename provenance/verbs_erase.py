"""`knockfirst erase | seal | anchor`: verbs that change an output folder. Run without Scrapy, and with the log's key.

Exit codes: 0 done, or nothing to do; 1 only shown, `--yes` was not given; 2 it cannot be done.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, NoReturn
from urllib.request import Request, urlopen

import typer

from provenance.anchors import AnchorError, stamp
from provenance.entry import DecisionEntry
from provenance.erase import EraseError, Eraser, Plan
from provenance.keys import KeyFileError, load
from provenance.proof import ProofError
from provenance.seal import seal as seal_log
from provenance.segments import LogError
from provenance.terminal import plain, progress_bar
from reservations.urls import UrlError, canonical_url

_SHOWN_ONLY = 1
_CANNOT = 2
_PATIENCE_S = 30.0
_MAX_REPLY_BYTES = 65_536

Out = Annotated[Path, typer.Argument(metavar="OUT", help="Output folder of a crawl that is not running.")]


After = Callable[[Path, str], str]
"""Erases a URL from something else in an output folder, and says so in a sentence. Raises EraseError, OSError."""

_AFTERWARDS: list[After] = []


def add_to(app: typer.Typer, *afterwards: After) -> None:
    """Adds the verbs; `afterwards`: what `erase URL` does besides, while nobody writes the log."""
    _AFTERWARDS[:] = afterwards
    app.command(epilog="Example: knockfirst erase out/web https://example.org/page --why 'complaint 7' --yes")(erase)
    app.command(epilog="Example: knockfirst seal out/web")(seal)
    app.command(epilog="Example: knockfirst anchor out/web --tsa https://tsa.example/")(anchor)


def erase(
    out: Out,
    url: Annotated[str, typer.Argument(metavar="[URL]", help="The URL whose records are to go.")] = "",
    *,
    key: Annotated[Path, typer.Option(metavar="FILE", envvar="KNOCKFIRST_KEY", help="The log's private key.")],
    why: Annotated[str, typer.Option(metavar="TEXT", help="The cause, without personal data; it stays.")] = "",
    text: Annotated[bool, typer.Option("--text", help="Erase the text of its entries, too: the URL itself.")] = False,
    expired: Annotated[bool, typer.Option("--expired", help="Remove files whose retention period has passed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without, it is only shown what would go.")] = False,
) -> None:
    """Erase the bytes of a URL, or what the policy's retention periods no longer cover; hashes and proofs stay.

    Exit codes: 0 done, or nothing to erase; 1 only shown; 2 it cannot be done.
    """
    if bool(url) == expired or (url and not why):
        _give_up("Name a URL and --why, or --expired.")
    told: list[str] = []
    try:
        name = canonical_url(url) if url else ""
        now = dt.datetime.now(dt.UTC)
        private = load(key, outside=(out,))
        with progress_bar() as tell, closing(Eraser(out, private, url=name, now=now, progress=tell)) as eraser:
            plan = eraser.plan_expired() if expired else eraser.plan_url(text=text)
            for line in _plan_lines(plan, name):
                typer.echo(plain(line))
            if yes:
                eraser.carry_out(plan, why)
                told = [after(out, name) for after in _AFTERWARDS] if name else []
    except (OSError, EraseError, KeyFileError, LogError, ProofError, UrlError) as error:
        _give_up(str(error))
    for line in told:
        typer.echo(plain(line))
    if not (plan.entries or plan.files):
        return
    if not yes:
        typer.echo("Nothing was changed. Give --yes to erase it; it cannot be brought back.")
        raise typer.Exit(_SHOWN_ONLY)
    typer.echo(
        "Erased, and entered in the log. Reports, indexes, a frontier outside of the folder, and copies elsewhere are "
        "not touched by this."
    )


def _plan_lines(plan: Plan, url: str) -> Iterator[str]:
    for entry in plan.entries:
        what = "records and text" if plan.text else "records"
        yield f"entry {entry.seq} ({entry.verdict}, {entry.ts}): {what}, {len(entry.warc)} records"
    for other in plan.naming:
        erasable = isinstance(other, DecisionEntry)
        remedy = f"knockfirst erase OUT {other.url} --text" if erasable else "evidence cannot be erased"
        yield f"entry {other.seq} on {other.url} names the URL in a redirect, and stays: {remedy}"
    for file, period in plan.files:
        yield f"{file.f}: {file.size} bytes, finished {file.ts} ({period})"
    if not (plan.entries or plan.files):
        yield f"The log has no entry on {url}." if url else "No retention period has passed."


def seal(out: Out) -> None:
    """Compress the segments of a log that nobody writes, and write its tree as tiles.

    Exit codes: 0 done, 2 it cannot be done.
    """
    try:
        sealed = seal_log(out / "log")
    except (OSError, LogError) as error:
        _give_up(str(error))
    for path in sealed:
        typer.echo(plain(f"{path}: {path.stat().st_size} bytes"))


def anchor(
    out: Out, *, tsa: Annotated[str, typer.Option(metavar="URL", help="The time stamping authority (RFC 3161).")]
) -> None:
    """Have the newest checkpoint time-stamped by an authority; only its hash is sent.

    Exit codes: 0 done, 2 it cannot be done.
    """

    def send(query: bytes) -> bytes:
        if not tsa.startswith(("https://", "http://")):
            raise AnchorError(f"{tsa} is no address of an authority: https://...")
        request = Request(tsa, query, {"Content-Type": "application/timestamp-query"})  # noqa: S310 - looked at above
        with urlopen(request, timeout=_PATIENCE_S) as reply:  # noqa: S310
            return bytes(reply.read(_MAX_REPLY_BYTES))

    try:
        path, response = stamp(out / "log", send)
    except (OSError, AnchorError, ProofError) as error:
        _give_up(str(error))
    typer.echo(plain(f"{path}: stamped at {response.tst_info.gen_time.isoformat()}"))


def _give_up(why: str) -> NoReturn:
    typer.echo(plain(why), err=True)
    raise typer.Exit(_CANNOT) from None
