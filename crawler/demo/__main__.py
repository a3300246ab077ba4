"""`python -m crawler.demo [OUT]`: serve the demo web, crawl it, and show what came of it. `--serve` only serves."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from crawler.demo.compare import Row, compare, manners, table, trespasses, verdicts
from crawler.demo.run import DELAY_S, PROJECT, crawl_command, entered, worker_commands
from crawler.demo.server import DemoError, DemoWeb
from crawler.progress import command

_DEFAULT_OUT: Final = Path("out/demo")
_HOUR_S: Final = 3600.0

_console = Console(highlight=False, soft_wrap=True)


def demo(
    out: Annotated[
        Path | None, typer.Argument(help="Output folder. Default: out/demo, or the next free number.")
    ] = None,
    *,
    serve: Annotated[bool, typer.Option("--serve", help="Only serve the web, for crawls by hand.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the crawl, each with its own folder.")] = 1,
    frontier: Annotated[str, typer.Option(help="Frontier that they share. Default: a SQLite file beside them.")] = "",
) -> None:
    """Crawl a small web on loopback that behaves like the large one, and compare every verdict with what is expected.

    Example: python -m crawler.demo out/first
    """
    try:
        with DemoWeb.start() as web:
            if serve:
                _serve(web)
                return
            raise typer.Exit(_crawl(web, _free(out), workers, frontier))
    except DemoError as fault:
        _console.print(Text(f"demo: {fault}", "red"))
        raise typer.Exit(2) from fault


def _free(out: Path | None) -> Path:
    """The folder named, or the first of out/demo, out/demo-2, ... that is not there yet."""
    if out is not None:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise DemoError(f"{out} is there already; name a folder that is not.")
        return out
    names = (_DEFAULT_OUT if n == 1 else _DEFAULT_OUT.with_name(f"{_DEFAULT_OUT.name}-{n}") for n in count(1))
    return next(path for path in names if not path.exists())


def _serve(web: DemoWeb) -> None:
    _console.print(f"The demo web of {len(web.hosts)} hosts is running. Ctrl-C ends it.\n")
    _console.print(f"names and addresses  KNOCKFIRST_RESOLVE=@{web.resolve_file}")
    _console.print(f"its TLS authority    KNOCKFIRST_CA_FILE={web.ca_file}")
    _console.print("loopback addresses   KNOCKFIRST_ALLOW_PRIVATE_ADDRESSES=True\n\nseeds:")
    _console.print("\n".join(web.seeds), markup=False)
    try:
        while True:
            time.sleep(_HOUR_S)
    except KeyboardInterrupt:
        _console.print("\nThe demo web is closed.")


def _crawl(web: DemoWeb, out: Path, workers: int, frontier: str) -> int:
    """Crawl, then say what happened. 0 when everything went as the data file says."""
    expected = web.expected
    outs = [out] if workers == 1 else [out / f"w{number}" for number in range(1, workers + 1)]
    _console.print(f"Crawling {len(expected)} URLs on {len(web.hosts)} hosts of the demo web into {out} ...")
    with tempfile.TemporaryDirectory(prefix="knockfirst-demo-crawl-") as folder:
        command = crawl_command(web, out, Path(folder))
        began = time.monotonic()
        commands = [command] if workers == 1 else worker_commands(command, outs, frontier or _beside(out))
        codes = _until_they_end(commands)
    if any(codes):
        said = ", ".join(map(str, codes))
        _console.print(Text(f"\nThe crawl ended with exit code {said}; what it says about it stands above.", "red"))
        return 1
    rows = compare(web.web, entered(*outs))
    _console.print(table(rows))
    well = _report(web, rows, time.monotonic() - began)
    _console.rule("knockfirst verify")
    verified = _knockfirst("verify", *map(str, outs))
    _look(outs)
    return 0 if well and not verified else 1


def _beside(out: Path) -> str:
    out.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{out.absolute() / 'frontier.db'}"


def _until_they_end(commands: Sequence[Sequence[str]]) -> list[int]:
    """Run the workers, their progress on this terminal. Ctrl-C reaches them too, and they end in good order."""
    crawls = [subprocess.Popen(command, cwd=PROJECT) for command in commands]  # noqa: S603 - our own words
    try:
        return [crawl.wait() for crawl in crawls]
    except KeyboardInterrupt:
        for crawl in crawls:
            crawl.wait()
        raise


def _report(web: DemoWeb, rows: Sequence[Row], seconds: float) -> bool:
    right = sum(row.ok for row in rows)
    _console.print(f"\n{right} of {len(rows)} URLs ended as expected, after {seconds:.0f} seconds.")
    _console.print("  " + ", ".join(f"{number} {verdict}" for verdict, number in verdicts(rows).most_common()))
    facts = manners(web.web, web.access_log, DELAY_S)
    unruly = [fact.origin for fact in facts if not fact.ok]
    asked = trespasses(web.web, web.access_log)
    gaps = [fact.smallest_gap_s for fact in facts if fact.smallest_gap_s is not None]
    _console.print(
        f"The servers saw {sum(fact.requests for fact in facts)} requests, "
        f"{sum(fact.overlaps for fact in facts)} of them while another one of the same host was open, "
        f"and at least {min(gaps, default=0):.2f} s between two pages of one host."
    )
    _console.print(Text("Hosts whose pace was not kept: " + (", ".join(unruly) or "none")))
    _console.print(Text("Asked for although refused, listed or out of scope: " + (", ".join(asked) or "nothing")))
    return right == len(rows) and not unruly and not asked


def _knockfirst(*words: str) -> int:
    """Run the command that is installed beside this Python."""
    return subprocess.run([Path(sys.executable).with_name("knockfirst"), *words], check=False).returncode  # noqa: S603


def _look(outs: Sequence[Path]) -> None:
    folders = " ".join(map(str, outs))
    _console.rule("where to look")
    _console.print(f"In {folders}:", markup=False)
    for place, what in (
        ("warc/", "what was kept, WARC 1.1"),
        ("evidence/", "robots.txt and reservation files as answered, heads of what was not kept"),
        ("log/", "every attempt with its reason and all signals, signed"),
    ):
        _console.print(f"  {place}  {what}", markup=False)
    _console.print("\nTry:")
    for line in (
        f"{command()} explain {folders} http://two-trainers.example:8080/poems/1",
        f"{command()} explain {folders} https://aipref-header.example:8443/both",
        f"{command()} verify {folders}",
        "./demo --serve",
    ):
        _console.print(f"  {line}", markup=False)


if __name__ == "__main__":
    typer.run(demo)
