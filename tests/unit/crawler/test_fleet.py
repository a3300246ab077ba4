"""A worker's standing in its fleet: terms, hosts held besides, the run that all share, and the rules that all go by."""

import asyncio
import time
from contextlib import asynccontextmanager

import msgspec
import pytest

from crawler import fleet
from crawler.fleet import MARGIN, BusyError, LeaseLostError, Membership, announce, join, others, waits_for_list
from crawler.folder import CrawlFile
from crawler.frontier import Found, Outcome, open_frontier
from crawler.frontier.account import Told
from crawler.frontier.interface import EPOCH, Block, FrontierError, OutdatedError, WorkerStatus

HOST, OTHER = "https://a.example", "https://b.example"
TERM = 60.0
FILE = CrawlFile(run="r1", worker="w1", spider="web", arguments={"seeds": "s"}, token="KnockfirstBot", created="")


class Clock:
    """One clock for the frontier and for terms."""

    def __init__(self):
        self.now = time.time()

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def frontier(tmp_path, clock):
    """Opens the frontier of this test under a worker's name."""

    @asynccontextmanager
    async def opened(worker="w1"):
        one = open_frontier(f"sqlite:///{tmp_path}/frontier.db", now=clock, worker=worker, lease_s=TERM)
        await one.open()
        try:
            yield one
        finally:
            await one.close()

    return opened


@pytest.fixture
def run(frontier, clock):
    """Runs a scenario for one worker and its membership."""

    def main(scenario):
        async def opened():
            async with frontier() as one:
                await scenario(one, Membership(one, lease_s=TERM, clock=clock))

        asyncio.run(opened())

    return main


async def leased(one, member):
    await one.push([Found(f"{HOST}/", HOST)])
    asked_at = member.now()
    (lease,) = await one.claim(1)
    member.granted(lease.id, HOST, asked_at=asked_at)
    return lease


# -- terms -------------------------------------------------------------------------------------------------------------


def test_host_is_let_go_before_its_term_is_over_in_the_frontier(run, clock):
    async def scenario(one, member):
        await leased(one, member)
        dropped = []
        clock.now += TERM * (1 - MARGIN) - 0.1
        member.let_go(dropped.append)
        assert dropped == []
        clock.now += 0.2
        member.let_go(dropped.append)
        member.let_go(dropped.append)
        assert dropped == [HOST]
        assert await one.next_due() is None  # in the frontier the lease is still this worker's
        with pytest.raises(LeaseLostError):
            member.permit(HOST)

    run(scenario)


def test_nobody_may_ask_without_a_lease(run):
    async def scenario(_, member):
        with pytest.raises(LeaseLostError, match=r"a\.example"):
            member.permit(HOST)

    run(scenario)


def test_permit_ends_before_the_frontiers_term_does(run, clock):
    async def scenario(one, member):
        lease = await leased(one, member)
        clock.now += TERM * (1 - MARGIN) - 0.001
        member.permit(HOST)
        assert member.holds(lease)
        clock.now += 0.001
        with pytest.raises(LeaseLostError):
            member.permit(HOST)
        assert not member.holds(lease)

    run(scenario)


def test_term_counts_from_when_it_was_asked_for_and_not_from_the_answer(run, clock):
    async def scenario(one, member):
        await one.push([Found(f"{HOST}/", HOST)])
        asked_at = member.now()
        (lease,) = await one.claim(1)
        clock.now += TERM  # the answer was long on its way
        member.granted(lease.id, HOST, asked_at=asked_at)
        with pytest.raises(LeaseLostError):
            member.permit(HOST)

    run(scenario)


def test_renewal_begins_a_new_term(run, clock):
    async def scenario(one, member):
        await leased(one, member)
        clock.now += TERM / 2
        await member.renew("")
        clock.now += TERM * 0.8
        member.permit(HOST)

    run(scenario)


def test_renewal_forgets_what_somebody_else_has_by_now(frontier, clock):
    async def main():
        async with frontier() as one, frontier("w2") as two:
            member = Membership(one, lease_s=TERM, clock=clock)
            lease = await leased(one, member)
            clock.now += TERM + 1
            (taken,) = await two.claim(1)
            assert (taken.url, taken.losses, taken.lost) == (lease.url, 1, lease.id)
            await member.renew("")
            assert member.lease_on(HOST) is None
            assert fleet.lost_before(taken).id == lease.id
            assert fleet.lost_before(lease) is None

    asyncio.run(main())


def test_lease_granted_while_a_renewal_was_under_way_is_kept(run):
    async def scenario(one, member):
        class Slow:
            async def renew(self, _told):
                await leased(one, slow)
                return frozenset()

        slow = Membership(Slow(), lease_s=TERM, clock=member.now)
        await slow.renew("")
        slow.permit(HOST)

    run(scenario)


def test_end_of_an_older_lease_leaves_the_newer_one(run):
    async def scenario(one, member):
        lease = await leased(one, member)
        member.ended(HOST, lease.id - 1)
        member.permit(HOST)
        member.ended(HOST, lease.id)
        assert member.lease_on(HOST) is None

    run(scenario)


def test_frontier_out_of_reach_is_asked_again_and_the_term_says_when_to_let_go(clock):
    class Away:
        calls = 0

        async def renew(self, told):
            self.calls += 1
            assert told == "told"
            if self.calls == 3:
                raise asyncio.CancelledError
            raise FrontierError("away", where="here", remedy="wait")

    away = Away()
    member = Membership(away, lease_s=0.001, clock=clock)
    member.granted(1, HOST, asked_at=clock.now)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(member.keep_up(lambda: "told"))
    assert away.calls == 3
    assert member.lease_on(HOST) == 1


# -- hosts held besides ------------------------------------------------------------------------------------------------


def test_host_held_for_a_document_is_nobody_elses_and_free_again_when_told(frontier, clock):
    async def main():
        async with frontier() as one, frontier("w2") as two:
            member = Membership(one, lease_s=TERM, clock=clock)
            await one.push([Found(f"{OTHER}/", OTHER)])
            async with member.host(OTHER, free_at=lambda: clock.now + 5):
                member.permit(OTHER)
                assert await two.claim(1) == []
            with pytest.raises(LeaseLostError):
                member.permit(OTHER)
            assert await two.claim(1) == [], "its clock was set"
            clock.now += 5
            assert len(await two.claim(1)) == 1

    asyncio.run(main())


def test_host_is_given_back_when_what_was_done_there_fails(run, clock):
    async def scenario(one, member):
        with pytest.raises(OSError, match="wire"):
            async with member.host(OTHER, free_at=lambda: clock.now):
                raise OSError("wire")
        lease, _ = await one.hold(OTHER)
        assert lease is not None

    run(scenario)


def test_host_that_is_not_free_in_time_is_busy(run):
    async def scenario(one, member):
        await one.block(Block(OTHER, "asked by mail", 0.0))
        with pytest.raises(BusyError, match=r"b\.example"):
            async with member.host(OTHER, free_at=lambda: 0.0):
                raise AssertionError

    run(scenario)


def test_host_that_is_free_soon_is_waited_for(run):
    async def scenario(_, member):
        answers = [(None, time.time() + 0.01), (None, 0.0), (7, 0.0)]
        ended = []

        class Soon:
            async def hold(self, authority):
                assert authority == OTHER
                return answers.pop(0)

            async def finish(self, outcomes):
                ended.extend(outcomes)

        soon = Membership(Soon(), lease_s=TERM, clock=member.now)
        async with soon.host(OTHER, free_at=lambda: 3.0):
            assert soon.lease_on(OTHER) == 7
        assert ended == [Outcome(7, 3.0)]

    run(scenario)


# -- one crawl ---------------------------------------------------------------------------------------------------------


def test_first_worker_says_which_crawl_it_is_and_the_next_takes_its_run(run):
    async def scenario(one, _):
        assert await join(one, FILE, begun=False) == FILE
        second = msgspec.structs.replace(FILE, run="r2", worker="w2")
        assert await join(one, second, begun=False) == msgspec.structs.replace(second, run="r1")
        assert await join(one, FILE, begun=True) == FILE

    run(scenario)


@pytest.mark.parametrize("other", [{"spider": "own"}, {"arguments": {"seeds": "t"}}, {"token": "OtherBot"}])
def test_worker_of_another_task_is_refused(run, other):
    async def scenario(one, _):
        await join(one, FILE, begun=False)
        with pytest.raises(FrontierError, match="started for") as refused:
            await join(one, msgspec.structs.replace(FILE, worker="w2", **other), begun=False)
        assert "KNOCKFIRST_FRONTIER" in str(refused.value)

    run(scenario)


def test_folder_whose_log_began_under_another_run_is_refused(run):
    async def scenario(one, _):
        await join(one, FILE, begun=False)
        with pytest.raises(FrontierError, match="belongs to run r2"):
            await join(one, msgspec.structs.replace(FILE, run="r2", worker="w2"), begun=True)

    run(scenario)


# -- rules -------------------------------------------------------------------------------------------------------------


class Rules(msgspec.Struct):
    """What a fleet is told of rules, as they have it."""

    class Digest(msgspec.Struct):
        digest: str

    class List(msgspec.Struct):
        version: str

    digest: str
    policy: Digest
    registry: Digest
    blocklist: List | None


def rules(listed="2026.11.22-1", policy="p1", protocols="x1"):
    blocklist = Rules.List(listed) if listed else None
    return Rules(f"{policy} {protocols} {listed}", Rules.Digest(policy), Rules.Digest(protocols), blocklist)


def test_rules_of_the_first_worker_are_in_force(run):
    async def scenario(one, _):
        await announce(one, rules(), alone=True)
        assert await one.get(EPOCH) == rules().digest
        await announce(one, rules(), alone=False)

    run(scenario)


@pytest.mark.parametrize(
    ("before", "after"),
    [("2026.11.22-1", "2026.11.22-2"), ("2026.11.22-9", "2026.11.22-10"), ("2026.11.22-2", "2026.11.23-1")],
)
def test_newer_list_is_put_in_force_and_the_older_one_is_refused_from_then_on(run, before, after):
    async def scenario(one, _):
        await announce(one, rules(before), alone=True)
        await announce(one, rules(after), alone=False)
        assert await one.get(EPOCH) == rules(after).digest
        await one.push([Found(f"{HOST}/", HOST)])
        with pytest.raises(OutdatedError):
            await one.claim(1, epoch=rules(before).digest)
        assert await waits_for_list(one, rules(before))
        with pytest.raises(OutdatedError, match="Give this worker"):
            await announce(one, rules(before), alone=False)
        assert len(await one.claim(1, epoch=rules(after).digest)) == 1

    run(scenario)


@pytest.mark.parametrize(
    "other", [{"policy": "p2"}, {"protocols": "x2"}, {"listed": ""}, {"policy": "p2", "listed": "2026.11.23-1"}]
)
def test_other_policy_or_protocols_or_no_list_are_refused_beside_others_and_not_alone(run, other):
    async def scenario(one, _):
        await announce(one, rules(), alone=True)
        with pytest.raises(OutdatedError):
            await announce(one, rules(**other), alone=False)
        assert await one.get(EPOCH) == rules().digest
        assert not await waits_for_list(one, rules(**other))
        await announce(one, rules(**other), alone=True)
        assert await one.get(EPOCH) == rules(**other).digest

    run(scenario)


def test_epoch_that_nobody_explained_is_not_replaced_beside_others(run):
    async def scenario(one, _):
        await one.swap(EPOCH, None, "unknown")
        with pytest.raises(OutdatedError):
            await announce(one, rules(), alone=False)
        assert not await waits_for_list(one, rules())

    run(scenario)


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        ({}, True),
        ({"name": "me"}, False),
        ({"seen_at": 100.0}, False),
        ({"rules": "old"}, False),
        ({"ended": True}, False),
    ],
)
def test_who_lives_by_the_rules_in_force_is_another(status, counts):
    known = {"rules": "now", "ended": False, "name": "w2", "seen_at": 101.0} | status
    told = msgspec.json.encode(Told(rules=known["rules"], ended=known["ended"])).decode()
    worker = WorkerStatus(known["name"], known["seen_at"], 0, told)
    assert others([worker], me="me", since=100.0, rules="now") is counts
    assert not others([msgspec.structs.replace(worker, told="")], me="me", since=100.0, rules="now")
