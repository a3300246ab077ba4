"""The promises of `crawler.frontier.interface.Frontier` to several workers and their operator, by every back end."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager

import pytest

from crawler.frontier import Found, FrontierError, Lease, Outcome
from crawler.frontier.interface import EPOCH, HOLD_RETRY_S, Block, OutdatedError, State

A, B, C = "https://a.example", "https://b.example:8443", "http://c.example"
TERM = 60.0


def page(number: int, authority: str = A, priority: int = 0, payload: str = "") -> Found:
    return Found(f"{authority}/{number}", authority, payload, priority)


@asynccontextmanager
async def two_workers(bench, **options):
    async with bench.opened(**options) as one, bench.opened(worker="two", **options) as two:
        yield one, two


def fleet(bench, scenario, **options) -> None:
    async def main():
        async with two_workers(bench, **options) as (one, two):
            await scenario(one, two)

    asyncio.run(main())


# -- leases ------------------------------------------------------------------------------------------------------------


def test_two_workers_never_hold_one_authority(bench):
    async def scenario(one, two):
        await one.push([page(n, f"https://{n % 9}.example") for n in range(90)])
        claims = await asyncio.gather(*(worker.claim(2) for _ in range(6) for worker in (one, two)))
        leases = [lease for claim in claims for lease in claim]
        assert len(leases) == len({lease.authority for lease in leases}) == 9
        assert len({lease.id for lease in leases}) == 9

    fleet(bench, scenario)


def test_url_that_one_worker_pushed_is_seen_for_the_other(bench):
    async def scenario(one, two):
        assert await one.push([page(1), page(2)]) == 2
        assert await two.push([page(2), page(3)]) == 1
        assert await one.push([page(3)]) == 0
        assert await one.counts() == await two.counts()

    fleet(bench, scenario)


def test_lease_of_a_lost_worker_goes_to_the_next_with_its_history(bench):
    async def scenario(one, two):
        await one.push([page(1, payload="p", priority=3)])
        (old,) = await one.claim(1)
        assert await two.next_due() == bench.clock.now + TERM
        bench.clock.now += TERM - 1
        assert await two.claim(1) == []
        bench.clock.now += 1
        (new,) = await two.claim(1)
        assert (new.url, new.payload, new.priority, new.attempt) == (old.url, "p", 3, 1)
        assert (new.losses, new.lost) == (1, old.id)
        assert new.id > old.id
        assert (await two.counts()).lost == 1

    fleet(bench, scenario)


def test_late_outcome_is_refused_and_changes_nothing(bench):
    async def scenario(one, two):
        await one.push([page(1)])
        (old,) = await one.claim(1)
        bench.clock.now += TERM
        (new,) = await two.claim(1)
        before = await two.counts()
        with pytest.raises(FrontierError, match="is not open"):
            await one.finish([Outcome(old.id, bench.clock.now + 99, (page(2), page(3, B)), payload=(b"d", b"r"))])
        assert await two.counts() == before
        assert await two.first_payload(b"d") is None
        with pytest.raises(FrontierError, match="is not open"):
            await one.finish([Outcome(new.id, 0)])
        await two.finish([Outcome(new.id, 0, (page(4),))])
        assert len(await one.claim(1)) == 1, "the clock was left alone"

    fleet(bench, scenario)


def test_lease_past_its_term_that_nobody_took_still_counts(bench):
    async def scenario(one, two):
        await one.push([page(1)])
        (lease,) = await one.claim(1)
        bench.clock.now += 10 * TERM
        assert await one.claim(1) == [], "nobody is lost to himself"
        assert await one.renew() == {lease.id}
        assert await two.claim(1) == []
        await one.finish([Outcome(lease.id, 0)])

    fleet(bench, scenario)


def test_renewed_lease_has_a_new_term(bench):
    async def scenario(one, two):
        await one.push([page(1), page(1, B)])
        leases = await one.claim(2)
        for _ in range(4):
            bench.clock.now += TERM / 2
            assert await one.renew() == {lease.id for lease in leases}
            assert await two.claim(2) == []
        await one.finish([Outcome(leases[0].id, 0)])
        assert await one.renew() == {leases[1].id}
        bench.clock.now += TERM
        (taken,) = await two.claim(2)
        assert taken.lost == leases[1].id
        assert await one.renew() == frozenset()

    fleet(bench, scenario)


def test_term_is_the_claimers_own(bench):
    async def main():
        async with bench.opened(lease_s=5) as one, bench.opened(worker="two") as two:
            await one.push([page(1)])
            await one.claim(1)
            bench.clock.now += 5
            assert len(await two.claim(1)) == 1

    asyncio.run(main())


def test_losses_add_up_and_the_last_holder_is_named(bench):
    async def scenario(one, two):
        await one.push([page(1)])
        held = None
        for losses, worker in enumerate((one, two, one, two)):
            (lease,) = await worker.claim(1)
            assert (lease.losses, lease.lost) == (losses, held)
            held = lease.id
            bench.clock.now += TERM

    fleet(bench, scenario)


def test_worker_that_comes_back_has_its_leases_with_a_loss_each(bench):
    async def main():
        async with bench.opened() as one:
            await one.push([page(1), page(1, B)])
            old = sorted(await one.claim(2), key=lambda lease: lease.id)
        bench.clock.now += TERM / 2
        left: list[Lease] = []
        async with bench.opened(left) as one, bench.opened(worker="two") as two:
            assert [(lease.id, lease.losses, lease.lost) for lease in left] == [(lease.id, 1, None) for lease in old]
            bench.clock.now += TERM - 1
            assert await two.claim(9) == [], "their term began anew"
            bench.clock.now += 1
            assert len(await two.claim(9)) == 2
        left = []
        async with bench.opened(left):
            assert left == []

    asyncio.run(main())


def test_what_was_lost_goes_with_a_url_given_back_but_not_with_one_tried(bench):
    async def scenario(one, two):
        await one.push([page(1)])
        (old,) = await one.claim(1)
        bench.clock.now += TERM
        (lease,) = await two.claim(1)
        await two.finish([Outcome(lease.id, 0, counts_as_try=False)])
        (lease,) = await two.claim(1)
        assert (lease.losses, lease.lost) == (1, old.id)
        await two.finish([Outcome(lease.id, 0, again_at=bench.clock.now)])
        (lease,) = await two.claim(1)
        assert (lease.losses, lease.lost, lease.attempt) == (1, None, 2)

    fleet(bench, scenario)


def test_lost_authority_keeps_its_clock_and_its_order(bench):
    async def scenario(one, two):
        await one.push([page(1), page(2, priority=5), page(3)])
        (first,) = await one.claim(1)
        assert first.url == f"{A}/2"
        bench.clock.now += TERM
        assert [lease.url for lease in await two.claim(5)] == [first.url]

    fleet(bench, scenario)


# -- holds -------------------------------------------------------------------------------------------------------------


def test_held_authority_is_nobody_elses(bench):
    async def scenario(one, two):
        await one.push([page(1)])
        number, _ = await one.hold(A)
        assert number is not None
        assert await two.claim(1) == await one.claim(1) == []
        refused, again = await two.hold(A)
        assert refused is None
        assert bench.clock.now <= again <= bench.clock.now + TERM
        assert (await one.counts()).leased == 0
        free_at = bench.clock.now + 3
        await one.finish([Outcome(number, free_at)])
        assert await one.hold(A) == (None, free_at)
        assert await one.next_due() == free_at
        bench.clock.now = free_at
        (lease,) = await two.claim(1)
        assert lease.url == f"{A}/1"
        assert (await one.hold(A))[0] is None

    fleet(bench, scenario)


def test_authority_never_met_is_held(bench):
    async def scenario(one, two):
        number, _ = await one.hold(C)
        assert (await two.hold(C))[0] is None
        assert (await one.renew()) == {number}
        await one.finish([Outcome(number, bench.clock.now + 5, again_at=1.0)])
        assert (await one.counts()).queued == 0, "there is nothing to put back"
        await two.push([page(1, C)])
        assert await two.next_due() == bench.clock.now + 5

    fleet(bench, scenario)


def test_hold_of_a_lost_worker_frees_the_authority(bench):
    async def scenario(one, two):
        await one.push([page(1)])
        number, _ = await one.hold(A)
        bench.clock.now += TERM
        (lease,) = await two.claim(1)
        assert (lease.url, lease.losses, lease.lost) == (f"{A}/1", 0, None)
        with pytest.raises(FrontierError, match="is not open"):
            await one.finish([Outcome(number, 0)])

    fleet(bench, scenario)


def test_hold_of_an_earlier_process_closes_the_authority_for_its_term(bench):
    async def main():
        async with bench.opened() as one:
            await one.push([page(1)])
            await one.hold(A)
        left: list[Lease] = []
        async with bench.opened(left) as one:
            assert left == []
            assert await one.claim(1) == []
            assert await one.next_due() == bench.clock.now + TERM
            bench.clock.now += TERM
            assert len(await one.claim(1)) == 1

    asyncio.run(main())


# -- blocks ------------------------------------------------------------------------------------------------------------


def test_blocked_authority_is_left_alone_until_it_is_unblocked(bench):
    async def scenario(one, two):
        block = Block(A, "asked us to stay away", since=bench.clock.now)
        await one.push([page(1), page(1, B)])
        await two.block(block)
        await one.push([page(2), page(3)])
        assert [lease.authority for lease in await one.claim(9)] == [B]
        assert await one.hold(A) == (None, math.inf)
        assert await two.blocks() == [block]
        counts = await one.counts()
        assert (counts.blocked, counts.queued) == (1, 3)
        assert await two.unblock(A)
        assert not await two.unblock(A)
        assert not await two.unblock(C)
        assert await one.blocks() == []
        assert len(await one.claim(9)) == 1

    fleet(bench, scenario)


def test_block_ends_by_itself(bench):
    async def scenario(one, _):
        until = bench.clock.now + 100
        await one.push([page(1)])
        await one.block(Block(A, "rest", since=bench.clock.now, until=until))
        assert await one.next_due() == until
        bench.clock.now = until - 1
        assert await one.claim(1) == []
        bench.clock.now = until
        assert await one.blocks() == []
        assert not await one.unblock(A)
        assert len(await one.claim(1)) == 1

    fleet(bench, scenario)


def test_block_of_an_authority_never_met_holds_for_what_comes(bench):
    async def scenario(one, two):
        await two.block(Block(A, "first", since=1.0))
        await two.block(Block(A, "second", since=2.0))
        await one.push([page(1)])
        assert await one.claim(1) == []
        assert await one.next_due() is None
        assert [block.reason for block in await one.blocks()] == ["second"]

    fleet(bench, scenario)


def test_block_of_a_leased_authority_holds_from_the_next_claim_on(bench):
    async def scenario(one, two):
        await one.push([page(1), page(2)])
        (lease,) = await one.claim(1)
        await two.block(Block(A, "now", since=bench.clock.now))
        await one.finish([Outcome(lease.id, 0, (page(3),), again_at=bench.clock.now)])
        assert await one.claim(1) == []
        assert (await one.counts()).queued == 3

    fleet(bench, scenario)


def test_blocks_outlive_a_restart(bench):
    async def main():
        async with bench.opened() as one:
            await one.push([page(1)])
            await one.block(Block(A, "kept", since=1.0))
        async with bench.opened() as one:
            assert [block.reason for block in await one.blocks()] == ["kept"]
            assert await one.claim(1) == []

    asyncio.run(main())


# -- states and epochs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.PAUSE, State.DRAIN])
def test_nothing_is_claimed_unless_the_state_is_run(bench, state):
    async def main():
        async with two_workers(bench) as (one, two):
            await one.push([page(1), page(1, B)])
            (lease,) = await one.claim(1)
            await two.steer(state)
            assert await one.claim(5) == []
            await one.finish([Outcome(lease.id, 0, (page(2),))])
            number, _ = await one.hold(C)
            await one.finish([Outcome(number, 0)])
        async with bench.opened() as one:
            assert await one.state() == state
            await one.steer(State.RUN)
            assert len(await one.claim(5)) == 2

    asyncio.run(main())


def test_state_is_run_at_first(bench):
    async def scenario(one, two):
        assert await one.state() == await two.state() == State.RUN

    fleet(bench, scenario)


def test_claim_under_older_rules_is_refused(bench):
    async def scenario(one, two):
        await one.push([page(1), page(2)])
        assert len(await one.claim(1, epoch="any")) == 1, "no epoch is set"
        assert await two.swap(EPOCH, None, "1")
        for old in ("", "0"):
            with pytest.raises(OutdatedError):
                await one.claim(1, epoch=old)
        assert await one.claim(1, epoch="1") == []
        assert (await one.counts()).leased == 1

    fleet(bench, scenario)


def test_swap_is_won_by_one(bench):
    async def scenario(one, two):
        won = await asyncio.gather(*(worker.swap(EPOCH, None, f"{n}") for n, worker in enumerate((one, two, one, two))))
        assert sorted(won) == [False, False, False, True]
        now = await one.get(EPOCH)
        assert now == f"{won.index(True)}"
        assert not await two.swap(EPOCH, "other", "new")
        assert await two.swap(EPOCH, now, "new")
        assert await one.get(EPOCH) == "new"

    fleet(bench, scenario)


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_address_takes_no_more_leases_than_its_cap(bench):
    """Four authorities at one address, known since their first pages; two may be asked at a time."""
    sites = [f"https://{n}.example" for n in range(4)]

    async def scenario(one, two):
        await one.push([page(n, site) for site in sites for n in (1, 2, 3)])
        first = await one.claim(9)
        assert len(first) == 4, "nobody knows addresses yet"
        await one.finish([Outcome(lease.id, 0, address="192.0.2.1") for lease in first])
        mine = await one.claim(1)
        theirs = await two.claim(9)
        assert (len(mine), len(theirs)) == (1, 1)
        assert await one.claim(9) == await two.claim(9) == []
        idle = next(site for site in sites if site not in {lease.authority for lease in mine + theirs})
        assert (await one.hold(idle))[0] is None
        await two.push([page(1, C)])
        assert [lease.authority for lease in await two.claim(9)] == [C]
        await one.finish([Outcome(mine[0].id, 0, address="192.0.2.2")])
        bench.clock.now += HOLD_RETRY_S
        assert len(await two.claim(9)) == 2, "one took the slot, one has moved to another address"

    fleet(bench, scenario, max_per_address=2)


def test_address_that_is_full_does_not_say_it_is_due(bench):
    async def scenario(one, two):
        await one.push([page(n, site) for site in (A, B) for n in (1, 2)])
        await one.finish([Outcome(lease.id, 0, address="192.0.2.1") for lease in await one.claim(2)])
        (lease,) = await one.claim(2)
        assert await one.claim(2) == await two.claim(2) == []
        assert (await one.next_due() or math.inf) > bench.clock.now
        assert await two.next_due() > bench.clock.now
        await one.finish([Outcome(lease.id, 0)])
        bench.clock.now += HOLD_RETRY_S
        assert await two.next_due() <= bench.clock.now

    fleet(bench, scenario, max_per_address=1)


def test_urls_over_the_budget_of_a_site_are_dropped_and_counted(bench):
    sites = ["https://www.site.co.uk", "http://site.co.uk:8080", "https://other.co.uk"]

    async def main():
        async with bench.opened(max_per_site=3) as one:
            assert await one.push([page(n, sites[0]) for n in range(2)]) == 2
            assert await one.push([page(n, sites[1]) for n in range(2)]) == 1
            assert await one.push([page(n, sites[2]) for n in range(5)]) == 3
            assert await one.push([page(0, sites[0]), page(9, sites[0])]) == 0
            assert (await one.counts()).over_budget == 4
        async with bench.opened(max_per_site=4) as one:
            assert await one.push([page(7, sites[1]), page(8, sites[1])]) == 1

    asyncio.run(main())


# -- dead, queued, workers ---------------------------------------------------------------------------------------------


def test_url_given_up_is_on_the_dead_list_until_it_is_queued_again(bench):
    async def scenario(one, two):
        lost = page(1, payload="p", priority=4)
        await one.push([lost, page(1, B)])
        await one.finish([Outcome(lease.id, 0, dead=True) for lease in await one.claim(2)])
        dead = [found async for found in two.dead()]
        assert sorted(found.url for found in dead) == [f"{A}/1", f"{B}/1"]
        assert lost in dead
        assert await one.push([lost]) == 0
        assert (await one.counts()).dead == 2
        assert await two.requeue([lost]) == 1
        assert [found.url async for found in one.dead()] == [f"{B}/1"]
        counts = await one.counts()
        assert (counts.dead, counts.queued, counts.seen) == (1, 1, 2)
        (lease,) = await one.claim(2)
        assert (lease.url, lease.attempt, lease.losses, lease.payload, lease.priority) == (f"{A}/1", 1, 0, "p", 4)

    fleet(bench, scenario)


def test_requeue_brings_back_what_is_done_and_leaves_what_waits(bench):
    async def scenario(one, two):
        await one.push([page(1)])
        (lease,) = await one.claim(1)
        assert await two.requeue([page(1)]) == 0, "leased"
        await one.finish([Outcome(lease.id, 0, again_at=bench.clock.now + 9)])
        assert await two.requeue([page(1)]) == 0, "put back"
        bench.clock.now += 9
        (lease,) = await one.claim(1)
        await one.finish([Outcome(lease.id, 0)])
        assert await two.requeue([page(1), page(1), page(2)]) == 2
        assert await one.push([page(2)]) == 0
        counts = await one.counts()
        assert (counts.queued, counts.seen) == (2, 2)
        assert await two.requeue([page(2)]) == 0

    fleet(bench, scenario)


def test_requeue_minds_no_budget_but_refuses_what_cannot_be_kept(bench):
    async def scenario(one, _):
        assert await one.push([page(1), page(2)]) == 1
        assert await one.requeue([page(3)]) == 1
        with pytest.raises(FrontierError, match="bytes of payload"):
            await one.requeue([page(4, payload="x" * 20_000)])
        assert (await one.counts()).queued == 2

    fleet(bench, scenario, max_per_host=1)


def test_outcome_that_gives_up_and_puts_back_is_refused(bench):
    async def scenario(one, _):
        await one.push([page(1)])
        (lease,) = await one.claim(1)
        for outcome in (
            Outcome(lease.id, 0, dead=True, again_at=bench.clock.now),
            Outcome(lease.id, 0, dead=True, counts_as_try=False),
        ):
            with pytest.raises(FrontierError, match="gives a URL up and puts it back"):
                await one.finish([outcome])
        assert (await one.counts()).leased == 1

    fleet(bench, scenario)


def test_every_queued_url_is_listed_and_no_other(bench):
    async def scenario(one, two):
        pages = [page(n, f"https://{n % 30}.example", priority=n % 3, payload=f"{n}") for n in range(2_500)]
        await one.push(pages)
        gone = {lease.url for lease in await one.claim(5)}
        (back, *_) = await two.claim(1)
        await two.finish([Outcome(back.id, 0, again_at=bench.clock.now + 5)])
        listed = [found async for found in two.queued()]
        assert sorted(listed, key=repr) == sorted((one for one in pages if one.url not in gone), key=repr)

    fleet(bench, scenario)


def test_workers_are_listed_with_what_they_told(bench):
    async def main():
        async with two_workers(bench) as (one, two):
            await one.push([page(1), page(1, B), page(1, C)])
            await one.claim(2)
            bench.clock.now += 10
            await two.claim(1)
            await two.renew('{"pages": 7}')
        async with bench.opened(worker="") as onlooker:
            told = [(one.name, one.seen_at, one.leases, one.told) for one in await onlooker.workers()]
            now = bench.clock.now
            assert told == [("one", now - 10, 2, ""), ("two", now, 1, '{"pages": 7}')]

    asyncio.run(main())


def test_onlooker_sees_and_steers_but_claims_nothing(bench):
    async def main():
        left: list[Lease] = []
        async with bench.opened() as one, bench.opened(left, worker="") as onlooker:
            assert await onlooker.push([page(1), page(2)]) == 2
            (lease,) = await one.claim(1)
            assert left == []
            for call in (
                onlooker.claim(1),
                onlooker.hold(B),
                onlooker.renew(),
                onlooker.finish([Outcome(lease.id, 0)]),
            ):
                with pytest.raises(FrontierError, match="onlooker"):
                    await call
            counts = await onlooker.counts()
            assert (counts.leased, counts.queued) == (1, 1)
            assert [worker.name for worker in await onlooker.workers()] == ["one"]

    asyncio.run(main())
