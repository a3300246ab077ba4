"""`knockfirst key new | rotate`: the keys that sign logs. Run without Scrapy.

Exit codes: 0 done, 2 it cannot be done.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from provenance.handover import rotate
from provenance.keys import KeyFileError, generate, load
from provenance.proof import ProofError
from provenance.segments import LogError
from provenance.terminal import plain

_CANNOT = 2

app = typer.Typer(name="key", help="The keys that sign logs.", no_args_is_help=True)


@app.command("new", epilog="Example: knockfirst key new ~/.knockfirst/log.key")
def key_new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The key file, outside of every output folder.")],
) -> None:
    """Make a private key in a new file that only its owner can read. A crawl does so itself, where there is none.

    Exit codes: 0 done, 2 it cannot be done.
    """
    try:
        generate(file)
    except KeyFileError as error:
        _give_up(str(error))
    typer.echo(plain(f"{file}: made. Whoever reads it can sign in your name."))


@app.command("rotate", epilog="Example: knockfirst key rotate out/web --key old.key --to new.key --why 'yearly'")
def key_rotate(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Output folder of a crawl that is not running.")],
    *,
    key: Annotated[Path, typer.Option(metavar="FILE", envvar="KNOCKFIRST_KEY", help="The key that signs it now.")],
    to: Annotated[Path, typer.Option(metavar="FILE", help="The new key; made where there is none.")],
    why: Annotated[str, typer.Option(metavar="TEXT", help="The cause; it stays in the log.")] = "",
) -> None:
    """Have a log signed by another key from here on; the old key vouches for the new one in the log itself.

    Publish the line that is printed where the old one stands. Exit codes: 0 done, 2 it cannot be done.
    """
    try:
        old = load(key, outside=(out,))
        new = load(to, outside=(out,)) if to.exists() else generate(to, outside=(out,))
        verifier = rotate(out / "log", old, new, why, now=dt.datetime.now(dt.UTC))
    except (OSError, KeyFileError, LogError, ProofError) as error:
        _give_up(str(error))
    typer.echo(plain(verifier.line()))


def _give_up(why: str) -> NoReturn:
    typer.echo(plain(why), err=True)
    raise typer.Exit(_CANNOT) from None
