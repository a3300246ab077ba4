"""The clock that goes on while the date is set, and is the same for all processes of a machine."""

import asyncio

import pytest

from crawler.clock import Setting, SteadyClock, since_boot, steady, this_boot
from crawler.frontier import Found, Outcome, open_frontier

A = "https://a.example"


class Machine:
    """Its date, which somebody may set, and the time since its start, which nobody can."""

    def __init__(self, boot="b1", date=1000.0, up=10.0):
        self.boot, self.date, self.up = boot, date, up

    def clock(self):
        return SteadyClock(date=lambda: self.date, passed=lambda: self.up, boot=lambda: self.boot)

    def sleep(self, seconds):
        self.date += seconds
        self.up += seconds


def frontier(tmp_path, worker, clock):
    return open_frontier(f"sqlite:///{tmp_path}/frontier.db", now=clock, worker=worker, lease_s=60)


def test_date_set_forward_or_back_does_not_move_the_clock():
    machine = Machine()
    clock = machine.clock()
    for step in (3600.0, -7200.0):
        machine.date += step
        machine.sleep(5)
    assert clock() == 1010


def test_clock_of_this_machine_goes_on_and_knows_its_start():
    assert since_boot() > 0
    assert this_boot()
    before = steady()
    assert steady() >= before
    assert steady.setting.boot == this_boot()


@pytest.mark.parametrize(
    ("other", "agrees"), [(Setting("b1", 5.0), True), (Setting("b0", 5.0), False), (Setting("", 5.0), False)]
)
def test_setting_of_another_start_of_the_machine_is_not_gone_by(other, agrees):
    clock = Machine().clock()
    assert clock.agree(other) is agrees
    assert clock() == (15.0 if agrees else 1000.0)


def test_system_without_an_id_of_its_start_agrees_with_nobody():
    assert not Machine(boot="").clock().agree(Setting("", 5.0))


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_worker_that_starts_after_the_date_was_set_leaves_leases_and_hosts_of_the_others(tmp_path, step):
    async def scenario():
        machine = Machine()
        one = frontier(tmp_path, "one", machine.clock())
        await one.open()
        await one.push([Found(f"{A}/{n}", A) for n in range(2)])
        (lease,) = await one.claim(1)
        machine.date += step
        two = frontier(tmp_path, "two", (clock := machine.clock()))
        await two.open()
        assert await two.claim(1) == []
        await one.finish([Outcome(lease.id, clock() + 30)])
        machine.sleep(29)
        assert await two.claim(1) == []
        machine.sleep(1)
        assert len(await two.claim(1)) == 1
        await one.close()
        await two.close()

    asyncio.run(scenario())


def test_onlooker_goes_by_the_clock_of_the_workers_and_sets_none(tmp_path):
    async def scenario():
        machine = Machine()
        watcher = frontier(tmp_path, "", machine.clock())
        await watcher.open()
        assert await watcher.get("clock") is None
        one = frontier(tmp_path, "one", machine.clock())
        await one.open()
        machine.date += 3600
        late = frontier(tmp_path, "", (clock := machine.clock()))
        await late.open()
        assert clock() == 1000
        for opened in (watcher, one, late):
            await opened.close()

    asyncio.run(scenario())


def test_machine_that_was_started_again_has_a_new_setting(tmp_path):
    async def scenario():
        first = frontier(tmp_path, "one", Machine().clock())
        await first.open()
        await first.close()
        machine = Machine(boot="b2", date=2000.0, up=1.0)
        again = frontier(tmp_path, "one", (clock := machine.clock()))
        await again.open()
        assert clock() == 2000
        machine.date += 3600
        third = frontier(tmp_path, "two", (other := machine.clock()))
        await third.open()
        assert other() == 2000
        await again.close()
        await third.close()

    asyncio.run(scenario())
