"""`knockfirst frontier ...`: how a fleet stands, and what its operator has it do. Beside running workers, at any time.

Exit codes: 0 done, 1 there was nothing to do, 2 the frontier cannot be used or the command was not understood.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Annotated, Final, NoReturn, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.live import Live

from crawler.clock import steady
from crawler.frontier import Found, Frontier, FrontierError, open_frontier
from crawler.frontier.account import Account, account, shown
from crawler.frontier.errand import Errand, found
from crawler.frontier.interface import Block, State
from crawler.frontier.metrics import metrics
from provenance.terminal import plain, progress_bar
from reservations.urls import UrlError, canonical_url, origin_of

_NOTHING: Final = 1
_CANNOT: Final = 2
_WATCH_S: Final = 1.0
_PORTION: Final = 1000
_SQLITE: Final = "sqlite:///"

T = TypeVar("T")

app = typer.Typer(
    name="frontier",
    help="How a fleet stands, and what its operator has it do.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Where = Annotated[
    str,
    typer.Argument(
        metavar="FRONTIER", envvar="KNOCKFIRST_FRONTIER", help="Its URL (KNOCKFIRST_FRONTIER), or an output folder."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def _give_up(why: str, code: int = _CANNOT) -> NoReturn:
    typer.echo(plain(why), err=True)
    raise typer.Exit(code) from None


def _url(where: str) -> str:
    """The URL of a frontier that is there: to look at one must not make one."""
    url = where if "://" in where else f"{_SQLITE}{Path(where).absolute() / 'frontier.db'}"
    file = url.removeprefix(_SQLITE)
    if file != url and not Path(file).exists():
        raise FrontierError("is not there", where=file, remedy="Name the output folder of a crawl, or its frontier.")
    return url


@asynccontextmanager
async def _looking_at(where: str) -> AsyncIterator[Frontier]:
    frontier = open_frontier(_url(where), now=steady)
    await frontier.open()
    try:
        yield frontier
    finally:
        await frontier.close()


def _on(where: str, act: Callable[[Frontier], Awaitable[T]]) -> T:
    """Does something with the frontier; a frontier that cannot be used is told in words."""

    async def main() -> T:
        async with _looking_at(where) as frontier:
            return await act(frontier)

    try:
        return asyncio.run(main())
    except FrontierError as error:
        _give_up(str(error))


async def _account(frontier: Frontier) -> Account:
    return await account(frontier, now=steady())


@app.command(epilog="Example: knockfirst frontier stats valkey://10.0.0.5:6379/0?crawl=autumn --watch")
def stats(
    frontier: Where,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C, anew each second.")] = False,
    prometheus: Annotated[bool, typer.Option("--prometheus", help="Print metrics in Prometheus' text format.")] = False,
    as_json: Json = False,
) -> None:
    """Show what is queued, which workers are there and what they hold, who is blocked."""
    if watch:
        _on(frontier, _watch)
        return
    one = _on(frontier, _account)
    if prometheus:
        typer.echo(metrics(one), nl=False)
    elif as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(one), indent=2))
    else:
        Console().print(shown(one))


async def _watch(frontier: Frontier) -> None:
    with Live(shown(await _account(frontier)), console=Console(), auto_refresh=False) as live:
        while True:
            try:
                await asyncio.sleep(_WATCH_S)
            except asyncio.CancelledError:  # Ctrl-C
                return
            live.update(shown(await _account(frontier)), refresh=True)


@app.command("metrics", epilog="Example: knockfirst frontier metrics out/web --listen 127.0.0.1:9108")
def serve_metrics(
    frontier: Where,
    listen: Annotated[str, typer.Option(metavar="ADDRESS:PORT", help="Where Prometheus asks.")] = "127.0.0.1:9108",
) -> None:
    """Serve metrics to Prometheus under /metrics until Ctrl-C."""
    _on(frontier, _account)  # a frontier that cannot be used is known now, not at the first scrape
    address, _, port = listen.rpartition(":")
    if not port.isdecimal():
        _give_up(f"--listen {listen}: write ADDRESS:PORT")

    class Handler(BaseHTTPRequestHandler):
        """One page; everything else is 404."""

        def do_GET(self) -> None:
            if self.path != "/metrics":
                self.send_error(404)
                return
            try:
                body = metrics(asyncio.run(_scrape(frontier)))
            except FrontierError as error:
                self.send_error(503, plain(str(error))[:200])
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=1.0.0; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing: it is asked every few seconds."""

    try:
        with ThreadingHTTPServer((address.strip("[]"), int(port)), Handler) as server:
            typer.echo(f"metrics on http://{address}:{server.server_port}/metrics", err=True)
            server.serve_forever()
    except OSError as error:
        _give_up(f"--listen {listen}: {error}")
    except KeyboardInterrupt:
        return


async def _scrape(where: str) -> Account:
    async with _looking_at(where) as frontier:
        return await _account(frontier)


def _steer(where: str, state: State, said: str, *, as_json: bool) -> None:
    _on(where, lambda frontier: frontier.steer(state))
    typer.echo(json.dumps({"state": state}) if as_json else said)


@app.command(epilog="Example: knockfirst frontier pause out/web")
def pause(frontier: Where, *, as_json: Json = False) -> None:
    """Have all workers claim nothing more, finish what they hold, and wait."""
    _steer(frontier, State.PAUSE, "paused: workers finish what they hold, and wait for `resume`", as_json=as_json)


@app.command(epilog="Example: knockfirst frontier resume out/web")
def resume(frontier: Where, *, as_json: Json = False) -> None:
    """Have all workers go on after `pause` or `drain`."""
    _steer(frontier, State.RUN, "workers claim again; those that ended are to be started again", as_json=as_json)


@app.command(epilog="Example: knockfirst frontier drain out/web")
def drain(frontier: Where, *, as_json: Json = False) -> None:
    """Have all workers claim nothing more, finish what they hold, seal their logs, and end."""
    _steer(frontier, State.DRAIN, "draining: workers end when what they hold is done", as_json=as_json)


@app.command(epilog="Example: knockfirst frontier block out/web example.org --reason 'asked by mail, ticket 12'")
def block(
    frontier: Where,
    host: Annotated[str, typer.Argument(help="A host, or an origin such as https://example.org:8443.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; shown by `stats`.")],
    hours: Annotated[float | None, typer.Option(help="For how long. Default: until `unblock`.")] = None,
    as_json: Json = False,
) -> None:
    """Have a host left alone from the next claim on. Its URLs stay queued."""
    names = _authorities(host)

    async def act(open_one: Frontier) -> None:
        now = steady()
        until = None if hours is None else now + hours * 3600
        for name in names:
            await open_one.block(Block(name, reason, now, until))

    _on(frontier, act)
    typer.echo(json.dumps({"blocked": names}) if as_json else f"blocked from the next claim on: {', '.join(names)}")


@app.command(epilog="Example: knockfirst frontier unblock out/web example.org")
def unblock(
    frontier: Where, host: Annotated[str, typer.Argument(help="As blocked.")], *, as_json: Json = False
) -> None:
    """Lift the block of a host."""

    async def act(open_one: Frontier) -> list[str]:
        return [one for one in _authorities(host) if await open_one.unblock(one)]

    names = _on(frontier, act)
    typer.echo(
        json.dumps({"unblocked": names}) if as_json else f"unblocked: {', '.join(names) or 'nothing was blocked'}"
    )
    if not names:
        raise typer.Exit(_NOTHING)


def _authorities(host: str) -> list[str]:
    """The origins that a host or an origin names."""
    urls = [host] if "://" in host else [f"https://{host}", f"http://{host}"]
    try:
        return [str(origin_of(canonical_url(url))) for url in urls]
    except UrlError as error:
        _give_up(f"{host}: {error}; name a host, or an origin such as https://example.org:8443")


@app.command(epilog="Example: knockfirst frontier requeue out/web --dead")
def requeue(
    frontier: Where,
    urls: Annotated[list[str] | None, typer.Argument(metavar="[URL...]", help="URLs to be asked for again.")] = None,
    *,
    dead: Annotated[bool, typer.Option("--dead", help="Every URL that was given up without an answer.")] = False,
    as_json: Json = False,
) -> None:
    """Have URLs asked for again, seen or not; the newest answer is the one that counts."""
    if bool(urls) == dead:
        _give_up("name URLs, or --dead")

    async def act(open_one: Frontier) -> int:
        again = [one async for one in open_one.dead()] if dead else [_seed(url) for url in urls or ()]
        return sum([await open_one.requeue(portion) for portion in _portions(again)])

    number = _on(frontier, act)
    typer.echo(json.dumps({"requeued": number}) if as_json else f"{number:,} URLs are queued again")
    if not number:
        raise typer.Exit(_NOTHING)


def _seed(url: str) -> Found:
    try:
        whole = canonical_url(url)
        return found(whole, Errand(via="seed", root=origin_of(whole).host))
    except UrlError as error:
        _give_up(f"{url}: {error}; write an absolute http or https URL")


@app.command("export", epilog="Example: knockfirst frontier export out/web --to queue.jsonl")
def export_queue(
    frontier: Where, to: Annotated[Path | None, typer.Option(metavar="FILE", help="Default: standard output.")] = None
) -> None:
    """Write every queued URL as a JSON line, with all that travels with it: `import` reads it."""

    async def act(open_one: Frontier) -> int:
        total, written = (await open_one.counts()).queued, 0
        with to.open("wb") if to else nullcontext(sys.stdout.buffer) as file, progress_bar() as tell:
            async for one in open_one.queued():
                file.write(msgspec.json.encode(one) + b"\n")
                written += 1
                if tell and not written % _PORTION:
                    tell("the queue", written, total)
        return written

    try:
        number = _on(frontier, act)
    except OSError as error:
        _give_up(f"{to}: {error}")
    typer.echo(f"{number:,} URLs", err=True)


@app.command("import", epilog="Example: knockfirst frontier import valkey://10.0.0.5/0?crawl=autumn queue.jsonl")
def import_queue(
    frontier: Where,
    file: Annotated[Path, typer.Argument(help="As `export` writes it.")],
    *,
    as_json: Json = False,
) -> None:
    """Queue the URLs of a file that were never seen before. All lines are looked at first."""
    try:
        items = list(_lines(file))
    except OSError as error:
        _give_up(f"{file}: {error}")

    async def act(open_one: Frontier) -> int:
        new = 0
        with progress_bar() as tell:
            for number, portion in enumerate(_portions(items)):
                new += await open_one.push(portion)
                if tell:
                    tell("the file", number * _PORTION, len(items))
        return new

    new = _on(frontier, act)
    told = {"new": new, "seen": len(items) - new}
    typer.echo(json.dumps(told) if as_json else f"{new:,} new URLs are queued, {len(items) - new:,} were seen before")


def _lines(file: Path) -> Iterator[Found]:
    decode = msgspec.json.Decoder(Found).decode
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                one = decode(line)
                if (one.url, one.authority) != (canonical_url(one.url), str(origin_of(one.url))):
                    raise ValueError("its url or authority is not in canonical form")  # noqa: TRY301
            except (msgspec.DecodeError, ValueError) as error:
                _give_up(f"{file}:{number}: {error}; nothing was queued")
            yield one


def _portions(items: Iterable[Found]) -> Iterator[list[Found]]:
    left = iter(items)
    while portion := list(islice(left, _PORTION)):
        yield portion
