"""The promises of `crawler.frontier.interface.Frontier` while it is open, kept by every back end."""

from __future__ import annotations

import asyncio

import pytest

from crawler.frontier import Found, Frontier, FrontierError, Outcome

A, B, C = "https://a.example", "https://b.example:8443", "http://c.example"


def page(number: int, authority: str = A, priority: int = 0, payload: str = "") -> Found:
    return Found(f"{authority}/{number}", authority, payload, priority)


async def urls(frontier: Frontier, n: int = 100) -> list[str]:
    """Claim what there is, finish it at once, and leave the clocks alone."""
    leases = await frontier.claim(n)
    await frontier.finish([Outcome(lease.id, 0) for lease in leases])
    return [lease.url for lease in leases]


def test_pushed_url_comes_back_as_it_was(bench):
    async def scenario(frontier):
        found = Found("https://a.example/%C3%A4?q=1", A, '{"depth": 3, "von": "ä"}', 7)
        assert await frontier.push([found]) == 1
        (lease,) = await frontier.claim(5)
        assert (lease.url, lease.authority, lease.payload) == (found.url, found.authority, found.payload)
        assert (lease.attempt, lease.priority) == (1, 7)

    bench.run(scenario)


def test_url_seen_before_is_not_pushed_again(bench):
    async def scenario(frontier):
        assert await frontier.push([page(1), page(2), page(1)]) == 2
        assert await frontier.push([page(2), page(3)]) == 1
        (lease,) = await frontier.claim(1)
        assert await frontier.push([page(1)]) == 0, "leased"
        await frontier.finish([Outcome(lease.id, 0)])
        assert await frontier.push([page(1)]) == 0, "done"
        assert (await frontier.counts()).seen == 3

    bench.run(scenario)


def test_higher_priority_then_earlier_insertion_comes_first(bench):
    async def scenario(frontier):
        await frontier.push([page(1), page(2, priority=5), page(3, priority=-1)])
        await frontier.push([page(4, priority=5), page(5)])
        order = [url for _ in range(5) for url in await urls(frontier)]
        assert order == [f"{A}/{number}" for number in (2, 4, 1, 5, 3)]

    bench.run(scenario)


def test_leased_authority_is_not_claimed(bench):
    async def scenario(frontier):
        await frontier.push([page(1), page(2), page(1, B)])
        first = await frontier.claim(10)
        assert {lease.authority for lease in first} == {A, B}
        await frontier.push([page(3), page(4, B)])
        assert await frontier.claim(10) == []
        assert await frontier.next_due() is None
        await frontier.finish([Outcome(lease.id, 0) for lease in first if lease.authority == B])
        assert [lease.url for lease in await frontier.claim(10)] == [f"{B}/4"]

    bench.run(scenario)


def test_authorities_differ_by_scheme_and_port(bench):
    async def scenario(frontier):
        await frontier.push([page(1, "http://a.example"), page(1, A), page(1, "https://a.example:8443")])
        assert len(await frontier.claim(10)) == 3

    bench.run(scenario)


def test_claims_made_at_once_never_share_an_authority(bench):
    async def scenario(frontier):
        await frontier.push([page(n, f"https://{n % 7}.example") for n in range(70)])
        claims = await asyncio.gather(*(frontier.claim(2) for _ in range(10)))
        leases = [lease for claim in claims for lease in claim]
        assert len(leases) == 7
        assert len({lease.authority for lease in leases}) == 7

    bench.run(scenario)


def test_claim_takes_no_more_than_asked_and_longest_free_first(bench):
    async def scenario(frontier):
        await frontier.push([page(n, site) for site in (A, B, C) for n in (1, 2)])
        now = bench.clock.now
        free = {A: now + 3, B: now + 1, C: now + 2}
        await frontier.finish([Outcome(lease.id, free[lease.authority]) for lease in await frontier.claim(3)])
        assert await frontier.claim(0) == []
        assert await frontier.claim(-1) == []
        bench.clock.now += 10
        assert [lease.authority for lease in await frontier.claim(2)] == [B, C]

    bench.run(scenario)


def test_authority_is_not_claimed_before_its_clock(bench):
    async def scenario(frontier):
        await frontier.push([page(1), page(2)])
        (lease,) = await frontier.claim(1)
        free_at = bench.clock.now + 1.25
        await frontier.finish([Outcome(lease.id, free_at)])
        assert await frontier.next_due() == free_at
        bench.clock.now = free_at - 0.001
        assert await frontier.claim(1) == []
        bench.clock.now = free_at
        assert len(await frontier.claim(1)) == 1

    bench.run(scenario)


def test_clock_never_moves_backwards(bench):
    async def scenario(frontier):
        await frontier.push([page(1), page(2), page(3)])
        (lease,) = await frontier.claim(1)
        later = bench.clock.now + 60
        await frontier.finish([Outcome(lease.id, later)])
        bench.clock.now = later
        for _ in range(2):
            (lease,) = await frontier.claim(1)
            await frontier.finish([Outcome(lease.id, later - 30)])
        await frontier.push([page(4)])
        assert await frontier.next_due() == later

    bench.run(scenario)


def test_claim_in_the_same_turn_as_finish_sees_the_new_clock(bench):
    async def scenario(frontier):
        await frontier.push([page(1), page(2), page(1, B)])
        (lease,) = [lease for lease in await frontier.claim(2) if lease.authority == A]
        _, claimed, due = await asyncio.gather(
            frontier.finish([Outcome(lease.id, bench.clock.now + 1, (page(9, C),))]),
            frontier.claim(5),
            frontier.next_due(),
        )
        assert [lease.url for lease in claimed] == [f"{C}/9"]
        assert due == bench.clock.now + 1

    bench.run(scenario)


def test_url_put_back_waits_for_its_time_and_lets_others_go_first(bench):
    async def scenario(frontier):
        await frontier.push([page(1, priority=9, payload="p"), page(2)])
        (lease,) = await frontier.claim(1)
        again = bench.clock.now + 30
        await frontier.finish([Outcome(lease.id, 0, again_at=again)])
        assert await urls(frontier) == [f"{A}/2"]
        assert await frontier.next_due() == again
        assert (await frontier.counts()).waiting == 1
        await frontier.push([page(3)])
        bench.clock.now = again
        (back,) = await frontier.claim(1)
        assert (back.url, back.attempt, back.priority, back.payload) == (f"{A}/1", 2, 9, "p")
        assert back.id > lease.id

    bench.run(scenario)


def test_url_put_back_waits_for_the_later_of_its_time_and_the_clock(bench):
    async def scenario(frontier):
        now = bench.clock.now
        await frontier.push([page(1), page(1, B)])
        offsets = {A: (10.0, 20.0), B: (20.0, 10.0)}
        for lease in await frontier.claim(2):
            free, again = offsets[lease.authority]
            await frontier.finish([Outcome(lease.id, now + free, again_at=now + again)])
        bench.clock.now = now + 19
        assert await frontier.claim(2) == []
        assert await frontier.next_due() == now + 20
        bench.clock.now = now + 20
        assert len(await frontier.claim(2)) == 2

    bench.run(scenario)


@pytest.mark.parametrize(("again_after", "due_after"), [(None, 0.0), (5.0, 5.0)])
def test_released_url_is_as_if_never_claimed(bench, again_after, due_after):
    async def scenario(frontier):
        await frontier.push([page(1)])
        (lease,) = await frontier.claim(1)
        again = None if again_after is None else bench.clock.now + again_after
        await frontier.finish([Outcome(lease.id, 0, again_at=again, counts_as_try=False)])
        bench.clock.now += due_after
        (back,) = await frontier.claim(1)
        assert (back.url, back.attempt) == (lease.url, 1)

    bench.run(scenario)


def test_finish_of_a_lease_not_open_changes_nothing(bench):
    async def scenario(frontier):
        await frontier.push([page(1), page(1, B)])
        first, second = await frontier.claim(2)
        await frontier.finish([Outcome(first.id, 0)])
        before = await frontier.counts()
        for bad in ((second.id, first.id), (second.id, second.id), (second.id, 999)):
            with pytest.raises(FrontierError, match="is not open"):
                await frontier.finish([Outcome(number, 0, (page(50 + number),)) for number in bad])
            assert await frontier.counts() == before
        await frontier.finish([Outcome(second.id, 0)])

    bench.run(scenario)


def test_one_callers_fault_leaves_the_others_of_its_turn_alone(bench):
    async def scenario(frontier):
        await frontier.push([page(1)])
        (lease,) = await frontier.claim(1)
        answers = await asyncio.gather(
            frontier.push([page(2)]),
            frontier.finish([Outcome(77, 0, (page(3),))]),
            frontier.finish([Outcome(lease.id, 0, (page(4),))]),
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers] == [int, FrontierError, type(None)]
        counts = await frontier.counts()
        assert (counts.queued, counts.leased, counts.seen) == (2, 0, 3)

    bench.run(scenario)


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (page(1, payload="x" * (16 * 1024 + 1)), "bytes of payload"),
        (page(1, payload="ä" * (8 * 1024 + 1)), "bytes of payload"),
        (page(1, payload="\ud800"), "not text"),
        (Found("https://a.example/\udfff", A), "not text"),
        (page(1, priority=2**70), "priority"),
    ],
)
def test_what_cannot_be_kept_is_refused(bench, found, fault):
    async def scenario(frontier):
        await frontier.push([page(0)])
        (lease,) = await frontier.claim(1)
        with pytest.raises(FrontierError, match=fault):
            await frontier.push([page(2), found])
        with pytest.raises(FrontierError, match=fault):
            await frontier.finish([Outcome(lease.id, 0, (page(2), found))])
        counts = await frontier.counts()
        assert (counts.queued, counts.leased, counts.seen) == (0, 1, 1)

    bench.run(scenario)


@pytest.mark.parametrize("clock", [float("nan"), float("inf"), -float("inf")])
def test_time_that_is_no_time_is_refused(bench, clock):
    async def scenario(frontier):
        await frontier.push([page(0)])
        (lease,) = await frontier.claim(1)
        for outcome in (Outcome(lease.id, clock), Outcome(lease.id, 0, again_at=clock)):
            with pytest.raises(FrontierError, match="seconds since 1970"):
                await frontier.finish([outcome])
        assert (await frontier.counts()).leased == 1

    bench.run(scenario)


def test_largest_payload_allowed_comes_back(bench):
    async def scenario(frontier):
        await frontier.push([page(1, payload="x" * 16 * 1024)])
        (lease,) = await frontier.claim(1)
        assert len(lease.payload) == 16 * 1024

    bench.run(scenario)


def test_urls_over_budget_are_dropped_and_counted(bench):
    async def main():
        async with bench.opened(max_per_host=3) as frontier:
            assert await frontier.push([page(n) for n in range(5)] + [page(1, B)]) == 4
            assert await frontier.push([page(0), page(7)]) == 0
            (lease, _) = await frontier.claim(2)
            await frontier.finish([Outcome(lease.id, 0, (page(8), page(2, B)), again_at=1.0)])
            counts = await frontier.counts()
            assert (counts.seen, counts.over_budget) == (5, 4)
        async with bench.opened(max_per_host=4) as frontier:
            assert (await frontier.counts()).over_budget == 4
            assert await frontier.push([page(8), page(9)]) == 1

    asyncio.run(main())


def test_children_of_a_finish_are_queued_with_it(bench):
    async def scenario(frontier):
        await frontier.push([page(1)])
        (lease,) = await frontier.claim(1)
        await frontier.finish([Outcome(lease.id, 0, (page(2), page(1), page(3, B), page(2)))])
        assert set(await urls(frontier)) == {f"{A}/2", f"{B}/3"}

    bench.run(scenario)


def test_counts_add_up(bench):
    async def scenario(frontier):
        await frontier.push([page(n, site) for site in (A, B) for n in range(3)])
        first, second = await frontier.claim(2)
        await frontier.finish([Outcome(first.id, bench.clock.now + 5)])
        counts = await frontier.counts()
        assert (counts.queued, counts.leased, counts.hosts, counts.seen, counts.waiting) == (4, 1, 2, 6, 1)
        await frontier.finish([Outcome(second.id, 0)])
        assert (await frontier.counts()).leased == 0

    bench.run(scenario)


def test_url_asked_for_anew_is_a_first_attempt_when_its_time_has_come(bench):
    async def scenario(frontier):
        await frontier.push([page(1)])
        (lease,) = await frontier.claim(1)
        await frontier.finish([Outcome(lease.id, 0, again_at=bench.clock.now)])
        (lease,) = await frontier.claim(1)
        assert lease.attempt == 2
        await frontier.finish([Outcome(lease.id, 0, again_at=bench.clock.now + 60, anew=True)])
        assert await frontier.claim(1) == []
        bench.clock.now += 61
        (lease,) = await frontier.claim(1)
        assert (lease.url, lease.attempt) == (page(1).url, 1)
        for wrong in (
            Outcome(lease.id, 0, anew=True),
            Outcome(lease.id, 0, again_at=1.0, anew=True, counts_as_try=False),
        ):
            with pytest.raises(FrontierError, match="anew"):
                await frontier.finish([wrong])

    bench.run(scenario)
