"""What a frontier keeps over restarts, cancelled callers and many clients, whichever the back end."""

from __future__ import annotations

import asyncio
import gc
import random
import sys

import pytest

from crawler.frontier import Found, Frontier, FrontierError, Lease, Outcome, open_frontier

A, B = "https://a.example", "https://b.example:8443"


def page(number: int, authority: str = A, priority: int = 0, payload: str = "") -> Found:
    return Found(f"{authority}/{number}", authority, payload, priority)


def test_url_seen_before_is_known_after_a_restart(bench):
    async def main():
        async with bench.opened() as frontier:
            assert await frontier.push([page(1)]) == 1
            await frontier.claim(1)
        async with bench.opened() as frontier:
            assert await frontier.push([page(1), page(2)]) == 1

    asyncio.run(main())


def test_clock_is_kept_while_nothing_is_queued_and_over_a_restart(bench):
    async def main():
        free_at = bench.clock.now + 60
        async with bench.opened() as frontier:
            await frontier.push([page(1)])
            (lease,) = await frontier.claim(1)
            await frontier.finish([Outcome(lease.id, free_at)])
            assert await frontier.next_due() is None
        async with bench.opened() as frontier:
            await frontier.push([page(2)])
            assert await frontier.next_due() == free_at
            assert await frontier.claim(1) == []

    asyncio.run(main())


def test_leases_of_a_closed_frontier_stay_until_finished(bench):
    async def main():
        async with bench.opened() as frontier:
            await frontier.push([page(1), page(2), page(1, B)])
            leases = await frontier.claim(2)
        for _ in range(2):
            left: list[Lease] = []
            async with bench.opened(left) as frontier:
                assert [lease.id for lease in left] == sorted(lease.id for lease in leases)
                assert await frontier.claim(9) == []
        left = []
        async with bench.opened(left) as frontier:
            await frontier.finish([Outcome(lease.id, 0) for lease in left])
            (lease,) = await frontier.claim(9)
            assert lease.url == f"{A}/2"
            assert lease.id > max(old.id for old in leases)

    asyncio.run(main())


def test_lease_ids_grow_over_restarts(bench):
    async def main():
        ids = []
        for number in range(5):
            async with bench.opened() as frontier:
                await frontier.push([page(number)])
                (lease,) = await frontier.claim(1)
                await frontier.finish([Outcome(lease.id, 0)])
                ids.append(lease.id)
        assert ids == sorted(set(ids))

    asyncio.run(main())


def test_origin_is_recalled_until_it_expires(bench):
    async def main():
        expires = bench.clock.now + 86_400
        async with bench.opened() as frontier:
            await frontier.remember_origin(A, b"old", expires - 5)
            await frontier.remember_origin(A, b"\x00\xff", expires)
            assert await frontier.recall_origin(B) is None
        async with bench.opened() as frontier:
            assert await frontier.recall_origin(A) == (b"\x00\xff", expires)
            bench.clock.now = expires
            assert await frontier.recall_origin(A) is None

    asyncio.run(main())


def test_first_payload_stays(bench):
    async def main():
        async with bench.opened() as frontier:
            await frontier.push([page(1), page(2)])
            for reference in (b"first", b"second"):
                (lease,) = await frontier.claim(1)
                await frontier.finish([Outcome(lease.id, 0, payload=(b"d" * 32, reference))])
        async with bench.opened() as frontier:
            assert await frontier.first_payload(b"d" * 32) == b"first"
            assert await frontier.first_payload(b"e" * 32) is None

    asyncio.run(main())


def test_facts_are_kept(bench):
    async def main():
        async with bench.opened() as frontier:
            assert await frontier.get("spider") is None
            await frontier.put("spider", "web")
            await frontier.put("spider", "news")
        async with bench.opened() as frontier:
            assert await frontier.get("spider") == "news"

    asyncio.run(main())


def test_cancelled_claim_gives_its_leases_back(bench):
    async def scenario(frontier):
        await frontier.push([page(1)])
        claiming = asyncio.create_task(frontier.claim(1))
        await asyncio.sleep(0)
        claiming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await claiming
        for _ in range(5):  # the answer to the claim comes, nobody takes it, the leases go back
            leased = (await frontier.counts()).leased
        assert leased == 0
        (lease,) = await frontier.claim(1)
        assert lease.attempt == 1

    bench.run(scenario)


def test_cancelled_claim_gives_its_leases_back_before_close(bench):
    async def main():
        async with bench.opened() as frontier:
            await frontier.push([page(1)])
            claiming = asyncio.create_task(frontier.claim(1))
            await asyncio.sleep(0)
            claiming.cancel()
        left: list[Lease] = []
        async with bench.opened(left):
            assert left == []

    asyncio.run(main())


def test_close_finishes_what_was_asked_for_and_then_refuses(bench):
    async def main():
        async with bench.opened() as frontier:
            pushing = asyncio.create_task(frontier.push([page(n) for n in range(500)]))
            await asyncio.sleep(0)
            await frontier.close()
            assert await pushing == 500
            with pytest.raises(FrontierError, match="not open"):
                await frontier.claim(1)
            await frontier.close()
        async with bench.opened() as frontier:
            assert (await frontier.counts()).queued == 500

    asyncio.run(main())


def test_frontier_never_opened_closes(bench):
    asyncio.run(open_frontier(bench.url, now=bench.clock).close())


def test_many_clients_at_once_lose_and_repeat_nothing(bench):
    rng = random.Random(7)
    sites = [f"https://{n}.example" for n in range(20)]
    tree = {n: [m for m in range(8 * n + 1, 8 * n + 9) if m < 2_000] for n in range(2_000)}
    asked: list[int] = []
    on_air: set[str] = set()

    def found(number: int) -> Found:
        return page(number, sites[number % 20])

    async def client(frontier: Frontier) -> None:
        while not (await frontier.counts()).seen == len(asked) == 2_000:
            for lease in await frontier.claim(rng.randrange(1, 4)):
                assert lease.authority not in on_air
                on_air.add(lease.authority)
                await asyncio.sleep(0)
                number = int(lease.url.rpartition("/")[2])
                asked.append(number)
                on_air.remove(lease.authority)
                await frontier.finish([Outcome(lease.id, 0, tuple(map(found, tree[number])))])

    async def scenario(frontier):
        await frontier.push([found(0)])
        await asyncio.gather(*(client(frontier) for _ in range(8)))
        assert sorted(asked) == list(range(2_000))

    bench.run(scenario)


def test_memory_is_flat_in_the_number_of_queued_urls(bench):
    """200,000 URLs queue up; what Python holds in the end is the bounded memory of recent URLs."""

    async def fill(frontier: Frontier, numbers: range) -> int:
        for start in range(numbers.start, numbers.stop, 5_000):
            await frontier.push([page(n, f"https://{n % 100}.example") for n in range(start, start + 5_000)])
        gc.collect()
        return sys.getallocatedblocks()

    async def scenario(frontier):
        before = await fill(frontier, range(5_000))
        after = await fill(frontier, range(5_000, 200_000))
        assert (await frontier.counts()).queued == 200_000
        assert after - before < 150_000

    bench.run(scenario)


def test_unknown_back_end_is_refused_by_name():
    for url in ("", "sqlite:///", "frontier.db", "sqlite://frontier.db", "postgres://x/y"):
        with pytest.raises(FrontierError, match="names no frontier"):
            open_frontier(url, now=lambda: 0.0)
