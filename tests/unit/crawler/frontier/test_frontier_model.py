"""Any sequence of calls by two workers, against a model of a frontier that fits on a page."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from crawler.frontier import Counts, Found, Frontier, FrontierError, Outcome
from crawler.frontier.interface import Block, State

BUDGET = 12
TERM = 5.0
NAMES = ("one", "two")
SITES = [f"https://{name}.example" for name in "abcd"]

founds = st.builds(
    lambda site, number, priority: Found(f"{site}/{number}", site, f"{number}", priority),
    st.sampled_from(SITES),
    st.integers(0, 20),
    st.integers(-1, 1),
)
delays = st.sampled_from([-50.0, 0.0, 0.5, 1.0, 7.0])
names = st.sampled_from(NAMES)


@dataclass(frozen=True)
class Waiting:
    found: Found
    number: int
    due: float = 0.0
    attempt: int = 1
    losses: int = 0
    lost: int | None = None


@dataclass
class Host:
    free_at: float = 0.0
    blocked_until: float = 0.0
    leased: int | None = None
    queue: list[Waiting] = field(default_factory=list)
    pages: int = 0
    last_id: int = 0

    def ready_at(self) -> float | None:
        if self.leased is not None or not self.queue or self.blocked_until == float("inf"):
            return None
        return max(self.free_at, self.blocked_until, min(one.due for one in self.queue))

    def best(self, now: float) -> Waiting:
        return min((one for one in self.queue if one.due <= now), key=lambda one: (-one.found.priority, one.number))


@dataclass
class Held:
    """`one` is None for a hold."""

    worker: str
    authority: str
    expires_at: float
    one: Waiting | None


class Model:
    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        self.seen: set[str] = set()
        self.leases: dict[int, Held] = {}
        self.gone: list[tuple[str, int]] = []
        self.state = State.RUN
        self.items = self.over_budget = self.lost = 0
        self.dead: set[str] = set()

    def host(self, authority: str) -> Host:
        return self.hosts.setdefault(authority, Host())

    def enqueue(self, found: Found) -> None:
        self.items += 1
        self.host(found.authority).queue.append(Waiting(found, self.items))

    def push(self, found: list[Found]) -> int:
        new = 0
        for one in found:
            host = self.host(one.authority)
            if one.url in self.seen:
                continue
            if host.pages >= BUDGET:
                self.over_budget += 1
                continue
            self.seen.add(one.url)
            host.pages += 1
            new += 1
            self.enqueue(one)
        return new

    def requeue(self, found: list[Found]) -> int:
        taken = {one.found.url for host in self.hosts.values() for one in host.queue}
        taken |= {held.one.found.url for held in self.leases.values() if held.one}
        new = 0
        for one in found:
            host = self.host(one.authority)
            if one.url in taken:
                continue
            taken.add(one.url)
            new += 1
            host.pages += one.url not in self.seen
            self.seen.add(one.url)
            self.dead.discard(one.url)
            self.enqueue(one)
        return new

    def expire(self, worker: str, now: float) -> None:
        for number, held in list(self.leases.items()):
            if held.worker != worker and held.expires_at <= now:
                self.end(number)
                self.lost += 1
                if held.one:
                    again = replace(held.one, due=0.0, losses=held.one.losses + 1, lost=number)
                    self.host(held.authority).queue.append(again)

    def end(self, number: int) -> Held:
        held = self.leases.pop(number)
        self.host(held.authority).leased = None
        self.gone.append((held.worker, number))
        return held

    def lease(self, number: int, held: Held) -> None:
        host = self.host(held.authority)
        assert number > host.last_id
        host.leased = host.last_id = number
        self.leases[number] = held

    def ready(self, now: float) -> dict[str, float]:
        times = {name: host.ready_at() for name, host in self.hosts.items()}
        return {name: at for name, at in times.items() if at is not None and at <= now}

    def counts(self, now: float) -> Counts:
        times = [host.ready_at() for host in self.hosts.values()]
        return Counts(
            queued=sum(len(host.queue) for host in self.hosts.values()),
            leased=sum(held.one is not None for held in self.leases.values()),
            hosts=len(self.hosts),
            seen=len(self.seen),
            waiting=sum(at is not None and at > now for at in times),
            over_budget=self.over_budget,
            blocked=sum(host.blocked_until > now for host in self.hosts.values()),
            dead=len(self.dead),
            lost=self.lost,
        )


class FrontierMachine(RuleBasedStateMachine):
    frontier_url: Callable[[object], str]
    opener: Callable[..., Frontier]

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.now = 1_000_000.0
        self.model = Model()
        self.workers: dict[str, Frontier] = {}
        for name in NAMES:
            assert self._open(name) == []

    def _open(self, name: str) -> list:
        url = self.frontier_url(self.folder.name)
        options = {"worker": name, "lease_s": TERM, "max_per_host": BUDGET}
        self.workers[name] = self.opener(url, now=lambda: self.now, **options)
        return self.loop.run_until_complete(self.workers[name].open())

    def _run(self, *calls) -> list:
        async def together() -> list:
            return await asyncio.gather(*calls)

        return self.loop.run_until_complete(together())

    def teardown(self) -> None:
        if hasattr(self, "workers"):
            self._run(*(frontier.close() for frontier in self.workers.values()))
            self.loop.close()
            self.folder.cleanup()

    def _mine(self, name: str) -> list[int]:
        return sorted(number for number, held in self.model.leases.items() if held.worker == name)

    def _outcome(self, data: st.DataObject, name: str) -> Outcome:
        """One open lease comes to its end, in the model too."""
        number = data.draw(st.sampled_from(self._mine(name)), label="lease")
        again, counts = data.draw(st.none() | delays, label="again"), data.draw(st.booleans(), label="counts")
        dead = again is None and counts and data.draw(st.booleans(), label="dead")
        free_at = self.now + data.draw(delays, label="free")
        children = tuple(data.draw(st.lists(founds, max_size=4), label="children"))
        self.model.push(list(children))
        held = self.model.end(number)
        host = self.model.host(held.authority)
        host.free_at = max(host.free_at, free_at)
        if held.one and dead:
            self.model.dead.add(held.one.found.url)
        elif held.one and (again is not None or not counts):
            due, lost = 0.0 if again is None else self.now + again, None if counts else held.one.lost
            host.queue.append(replace(held.one, due=due, attempt=held.one.attempt + counts, lost=lost))
        return Outcome(number, free_at, children, None if again is None else self.now + again, counts, dead=dead)

    def _check_claim(self, name: str, n: int, leases: list) -> None:
        if self.model.state != State.RUN or n == 0:
            assert leases == []
            return
        self.model.expire(name, self.now)
        ready = self.model.ready(self.now)
        claimed = [lease.authority for lease in leases]
        assert len(set(claimed)) == len(claimed) == min(n, len(ready))
        assert sorted(ready[name] for name in claimed) == sorted(ready.values())[:n]
        for lease in leases:
            host = self.model.hosts[lease.authority]
            best = host.best(self.now)
            assert (lease.url, lease.payload) == (best.found.url, best.found.payload)
            assert (lease.priority, lease.attempt) == (best.found.priority, best.attempt)
            assert (lease.losses, lease.lost) == (best.losses, best.lost)
            host.queue.remove(best)
            self.model.lease(lease.id, Held(name, lease.authority, self.now + TERM, best))

    @rule(name=names, found=st.lists(founds, max_size=6))
    def push(self, name, found) -> None:
        assert self._run(self.workers[name].push(found)) == [self.model.push(found)]

    @rule(name=names, found=st.lists(founds, max_size=3))
    def requeue(self, name, found) -> None:
        assert self._run(self.workers[name].requeue(found)) == [self.model.requeue(found)]

    @rule(name=names, n=st.integers(0, 5))
    def claim(self, name, n) -> None:
        (leases,) = self._run(self.workers[name].claim(n))
        self._check_claim(name, n, leases)

    @rule(name=names, site=st.sampled_from(SITES))
    def hold(self, name, site) -> None:
        ((number, at),) = self._run(self.workers[name].hold(site))
        self.model.expire(name, self.now)
        host = self.model.host(site) if number is not None else self.model.hosts.get(site, Host())
        closed = max(host.free_at, host.blocked_until)
        assert (number is None) == (host.leased is not None or closed > self.now)
        if number is not None:
            self.model.lease(number, Held(name, site, self.now + TERM, None))
        elif host.leased is None:
            assert at == closed

    @rule(data=st.data(), name=names, n=st.integers(1, 3))
    def finish(self, data, name, n) -> None:
        if outcomes := [self._outcome(data, name) for _ in range(min(n, len(self._mine(name))))]:
            self._run(self.workers[name].finish(outcomes))

    @rule(data=st.data(), name=names, found=st.lists(founds, max_size=3))
    def finish_too_late(self, data, name, found) -> None:
        foreign = [number for number, held in self.model.leases.items() if held.worker != name]
        gone = [number for _, number in self.model.gone] + foreign
        if gone:
            outcome = Outcome(data.draw(st.sampled_from(gone), label="gone"), self.now + 99, tuple(found))
            with pytest.raises(FrontierError, match="is not open"):
                self._run(self.workers[name].finish([outcome]))

    @rule(data=st.data(), name=names, n=st.integers(1, 4), found=st.lists(founds, max_size=3))
    def one_turn(self, data, name, n, found) -> None:
        frontier = self.workers[name]
        calls = [frontier.finish([self._outcome(data, name)]) for _ in range(min(2, len(self._mine(name))))]
        new = self.model.push(found)
        *_, pushed, leases = self._run(*calls, frontier.push(found), frontier.claim(n))
        assert pushed == new
        self._check_claim(name, n, leases)

    @rule(name=names)
    def renew(self, name) -> None:
        (kept,) = self._run(self.workers[name].renew())
        assert kept == set(self._mine(name))
        for number in kept:
            self.model.leases[number].expires_at = self.now + TERM

    @rule(by=st.sampled_from([0.25, 1.0, 10.0]))
    def time_passes(self, by) -> None:
        self.now += by

    @rule(state=st.sampled_from([State.RUN, State.RUN, State.PAUSE]))
    def steer(self, state) -> None:
        self._run(self.workers["one"].steer(state))
        self.model.state = state

    @rule(site=st.sampled_from(SITES), until=st.none() | st.sampled_from([1.0, 7.0]))
    def block(self, site, until) -> None:
        end = None if until is None else self.now + until
        self._run(self.workers["two"].block(Block(site, "so", self.now, end)))
        self.model.host(site).blocked_until = float("inf") if end is None else end

    @rule(site=st.sampled_from(SITES))
    def unblock(self, site) -> None:
        host = self.model.hosts.get(site, Host())
        blocked = host.blocked_until > self.now
        assert self._run(self.workers["one"].unblock(site)) == [blocked]
        if blocked:
            host.blocked_until = 0.0

    @rule(name=names)
    def restart(self, name) -> None:
        self._run(self.workers[name].close())
        left = self._open(name)
        for number in self._mine(name):
            held = self.model.leases[number]
            if held.one is None:
                host = self.model.host(held.authority)
                host.free_at = max(host.free_at, held.expires_at)
                self.model.end(number)
            else:
                held.expires_at, held.one = self.now + TERM, replace(held.one, losses=held.one.losses + 1)
        held = {number: self.model.leases[number].one for number in self._mine(name)}
        assert {lease.id: (lease.url, lease.losses, lease.lost) for lease in left} == {
            number: (one.found.url, one.losses, one.lost) for number, one in held.items()
        }

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "workers"):
            return
        for name, frontier in self.workers.items():
            due, counts = self._run(frontier.next_due(), frontier.counts())
            times = [at for host in self.model.hosts.values() if (at := host.ready_at()) is not None]
            times += [held.expires_at for held in self.model.leases.values() if held.worker != name]
            assert due == min(times, default=None)
            assert counts == self.model.counts(self.now)


def test_any_sequence_of_calls_agrees_with_the_model(frontier_url, opener):
    members = {"frontier_url": staticmethod(frontier_url), "opener": staticmethod(opener)}
    run_state_machine_as_test(
        type("Machine", (FrontierMachine,), members),
        settings=settings(max_examples=25, stateful_step_count=40, deadline=None, derandomize=True, database=None),
    )
