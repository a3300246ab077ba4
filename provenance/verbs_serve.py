"""`knockfirst serve OUT...`: the auditors' pages on loopback. Runs without Scrapy; needs the extra `pages`."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from provenance.proof import ProofError
from provenance.segments import LogError
from provenance.terminal import plain, progress_bar
from provenance.verbs_index import Folder, Outs

if TYPE_CHECKING:
    from provenance.web.shelf import Shelf

_CANNOT = 2
#: Addresses may name URLs of 8 KB, which percent-encoding makes three times as long.
_MAX_HEAD_BYTES: Final = 65_536


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command(epilog="Example: knockfirst serve out/web out/last-year --port 8800")(serve)


def serve(
    outs: Outs,
    *,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 for one that is free.")] = 8800,
    bind: Annotated[
        str, typer.Option(help="Address to listen on. Beyond loopback, put a login in front.")
    ] = "127.0.0.1",
    host_name: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Another name that browsers may ask under.")
    ] = None,
    folder: Folder = None,
) -> None:
    """Show logs as pages: look up a URL or site, see why it was decided so, verify it, take a proof along.

    Reads, and changes nothing in OUT; follows a crawl that runs. Exit codes: 0 ended by Ctrl-C, 2 it cannot serve.
    """
    try:
        import uvicorn  # noqa: PLC0415 - the extra `pages` may be missing

        from provenance.web.app import application  # noqa: PLC0415
        from provenance.web.shelf import Shelf  # noqa: PLC0415
    except ModuleNotFoundError as error:
        _give_up(f"{error.name} is not installed. Install the pages with: pip install 'knockfirst[pages]'")
    try:
        shelf = Shelf(outs, folder)
        _index(shelf)
    except (OSError, LogError, ProofError) as error:
        _give_up(str(error))
    app = application(shelf, hosts=host_name or [])
    config = uvicorn.Config(
        app, host=bind, port=port, http="h11", log_level="warning", access_log=False, proxy_headers=False,
        server_header=False, h11_max_incomplete_event_size=_MAX_HEAD_BYTES, ws="none",
    )  # fmt: skip
    try:
        socket = config.bind_socket()
    except SystemExit:
        raise typer.Exit(_CANNOT) from None
    socket.listen()  # from here on a browser that comes too early waits
    for book in shelf:
        typer.echo(plain(f"{book.out}: index in {book.index}"), err=True)
    logs = "1 log" if len(shelf) == 1 else f"{len(shelf)} logs"
    typer.echo(plain(f"{logs} at http://{_shown(bind)}:{socket.getsockname()[1]}/  (Ctrl-C ends)"))
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[socket])


def _shown(bind: str) -> str:
    return f"[{bind}]" if ":" in bind else bind


def _index(shelf: Shelf) -> None:
    with progress_bar() as tell:
        for book in shelf:
            book.update(partial(tell, book.name) if tell else None)


def _give_up(why: str) -> NoReturn:
    typer.echo(plain(why), err=True)
    raise typer.Exit(_CANNOT) from None
