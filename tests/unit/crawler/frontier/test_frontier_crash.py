"""kill -9 of real processes: at every statement of one transaction, and anywhere in a crawl of a made-up web."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

from msgspec.structs import replace

import crawler
from crawler.frontier import Found, Lease, open_frontier

ROOT = Path(crawler.__file__).parents[1]

PAGES = 400

#: A crawl of a tree of pages. "S n" is said before a page's finish, "F n" after it.
CRAWL = f"""
import asyncio, sys
from crawler.frontier import Found, Outcome, open_frontier

def found(n):
    site = f"https://{{n % 9}}.example"
    return Found(f"{{site}}/{{n}}", site, "x" * 500)

def children(n):
    return [found(m) for m in range(7 * n + 1, 7 * n + 8) if m < {PAGES}]

async def end(frontier, lease):
    n = int(lease.url.rpartition("/")[2])
    print("S", n, flush=True)
    await frontier.finish([Outcome(lease.id, 0, tuple(children(n)))])
    print("F", n, flush=True)

async def main():
    frontier = open_frontier(sys.argv[1], now=lambda: 1000.0, worker='one')
    left = await frontier.open()
    await frontier.push([found(0)])
    await asyncio.gather(*(end(frontier, lease) for lease in left))
    while leases := await frontier.claim(4):
        await asyncio.gather(*(end(frontier, lease) for lease in leases))
    await frontier.close()

asyncio.run(main())
"""

#: One finish with children; the process kills itself before statement number argv[2] of the transaction.
SUICIDE = """
import asyncio, os, signal, sys
from crawler.frontier import Found, Outcome, open_frontier

async def main():
    frontier = open_frontier(sys.argv[1], now=lambda: 1000.0, worker='one')
    (lease,) = await frontier.open()
    statements = 0
    def trace(statement):
        nonlocal statements
        if statements == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        statements += 1
    frontier._thread.submit(lambda: frontier._store._file._db.set_trace_callback(trace)).result()
    children = tuple(Found(f"https://{n % 2}.example/{n}", f"https://{n % 2}.example", "x" * 5000) for n in range(2))
    await frontier.finish([Outcome(lease.id, 2000.0, children, payload=(b"d", b"r"))])
    print("finished", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def spawn(script: str, *args: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, args)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_killed_crawls_lose_no_page_and_end_none_twice(frontier_url, tmp_path):
    url = frontier_url(tmp_path)
    rng = random.Random(9309)
    said: list[str] = []
    rounds = 0
    while True:
        rounds += 1
        lines_to_live = rng.randrange(1, 90)
        with spawn(CRAWL, url) as process:
            for line in process.stdout:
                if not line.endswith("\n"):
                    break  # killed in the middle of a word
                said.append(line.strip())
                lines_to_live -= 1
                if lines_to_live == 0:
                    process.kill()
        if process.returncode == 0:
            break
        assert process.returncode == -9
    assert rounds > 5
    assert {line for line in said if line[0] == "S"} == {f"S {n}" for n in range(PAGES)}
    ended: set[str] = set()
    for line in said:
        kind, number = line.split()
        assert number not in ended, "a page that was done was asked for again"
        if kind == "F":
            ended.add(number)


def test_finish_killed_at_any_statement_is_whole_or_not_at_all(tmp_path):
    """Children, clock, payload and the end of the lease stand or fall together."""
    outcomes = []
    for statement in range(100):
        path = tmp_path / f"{statement}.db"
        lease = asyncio.run(lease_one(path))
        with spawn(SUICIDE, f"sqlite:///{path}", statement) as process:
            finished = "finished" in process.stdout.read()
        assert process.returncode == -9
        left, seen, due, payload = asyncio.run(look(path))
        after = ([], 3, 2000.0, b"r")
        before = ([replace(lease, losses=2)], 1, None, None)
        assert (left, seen, due, payload) in (before, after)
        outcomes.append(left == [])
        if finished:
            assert outcomes[-1]
            break
    assert outcomes == sorted(outcomes)
    assert len(outcomes) > 10


async def lease_one(path: Path) -> Lease:
    frontier = open_frontier(f"sqlite:///{path}", now=lambda: 1000.0, worker="one")
    await frontier.open()
    await frontier.push([Found("https://0.example/start", "https://0.example")])
    (lease,) = await frontier.claim(1)
    await frontier.close()
    return lease


async def look(path: Path) -> tuple[list[Lease], int, float | None, bytes | None]:
    frontier = open_frontier(f"sqlite:///{path}", now=lambda: 1000.0, worker="one")
    left = await frontier.open()
    counts = await frontier.counts()
    payload = await frontier.first_payload(b"d")
    await frontier.close()
    with sqlite3.connect(path) as db:
        (due,) = db.execute("SELECT ready_at FROM host WHERE authority = 'https://0.example'").fetchone()
    db.close()
    return left, counts.seen, due, payload
