"""How fast the default frontier is: `python benchmarks/bench_frontier.py [--urls N] [folder]`.

Every figure includes its fsyncs. The folder decides the disk; a memory file system would measure something else.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from crawler.frontier import Found, Frontier, Outcome, open_frontier

BATCH = 50
"""Links of a page."""

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


async def timed(label: str, unit: str, goal: int, work: Callable[[], Awaitable[int]]) -> None:
    cpu, start = time.process_time(), time.perf_counter()
    done = await work()
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    target = f"goal {goal:>7,}" if goal else ""
    print(f"{label:<44}{done / wall:>10,.0f} {unit}/s  {cpu / done * 1e6:>6.0f} us CPU each  {target}")


def size(path: Path) -> int:
    return path.stat().st_size


async def measure(path: Path, urls: int, hosts: int) -> None:
    frontier = open_frontier(f"sqlite:///{path}", now=time.time, worker="bench")
    await frontier.open()
    batches = [[found(n, hosts) for n in range(start, start + BATCH)] for start in range(0, urls, BATCH)]

    async def push(first: int = 0) -> int:
        for batch in batches[first:]:
            await frontier.push(batch)
        return len(batches[first:]) * BATCH

    await timed(f"new URLs pushed, {BATCH} a call", "URL ", 10_000, push)
    await frontier.close()
    print(f"{'file while all are queued':<44}{size(path) / urls:>10,.0f} B/URL")
    frontier = open_frontier(f"sqlite:///{path}", now=time.time, worker="bench")  # with nothing in memory
    await frontier.open()
    await timed("seen URLs pushed, met in the file", "URL ", 20_000, push)
    await timed("seen URLs pushed, met in memory", "URL ", 20_000, lambda: push(-1_000))
    await timed(f"claim+finish, {IN_FLIGHT} a call", "pair", 2_000, lambda: pairs_in_batches(frontier, 8_000))
    await timed(
        f"claim+finish, {IN_FLIGHT} tasks, one a call", "pair", 2_000, lambda: pairs_one_by_one(frontier, 8_000)
    )
    await timed("claim+finish with 50 links, 5 new", "page", 0, lambda: pages_with_links(frontier, 8_000, urls, hosts))
    await frontier.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", default=tempfile.gettempdir(), help="where the file lies while measured")
    parser.add_argument("--urls", type=int, default=100_000)
    parser.add_argument("--hosts", type=int, default=500)
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {os.cpu_count()} cores,", end=" ")
    print(f"load {os.getloadavg()[0]:.1f}, {arguments.urls:,} URLs on {arguments.hosts:,} hosts")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        asyncio.run(measure(Path(folder) / "frontier.db", arguments.urls, arguments.hosts))


if __name__ == "__main__":
    main()
