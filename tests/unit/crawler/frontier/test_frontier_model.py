"""Any sequence of calls, against a model of a frontier that fits on a page."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from crawler.frontier import Counts, Found, Outcome, open_frontier

BUDGET = 12
SITES = [f"https://{name}.example" for name in "abcd"]

founds = st.builds(
    lambda site, number, priority: Found(f"{site}/{number}", site, f"{number}", priority),
    st.sampled_from(SITES),
    st.integers(0, 20),
    st.integers(-1, 1),
)
delays = st.sampled_from([-50.0, 0.0, 0.5, 1.0, 7.0])


@dataclass(frozen=True)
class Waiting:
    found: Found
    number: int
    due: float = 0.0
    attempt: int = 1


@dataclass
class Host:
    free_at: float = 0.0
    leased: int | None = None
    queue: list[Waiting] = field(default_factory=list)
    pages: int = 0

    def ready_at(self) -> float | None:
        if self.leased is not None or not self.queue:
            return None
        return max(self.free_at, min(one.due for one in self.queue))

    def best(self, now: float) -> Waiting:
        return min((one for one in self.queue if one.due <= now), key=lambda one: (-one.found.priority, one.number))


class Model:
    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        self.seen: set[str] = set()
        self.leases: dict[int, Waiting] = {}
        self.last_id = 0
        self.over_budget = 0

    def push(self, found: list[Found]) -> int:
        new = 0
        for one in found:
            host = self.hosts.setdefault(one.authority, Host())
            if one.url in self.seen:
                continue
            if host.pages >= BUDGET:
                self.over_budget += 1
                continue
            self.seen.add(one.url)
            host.pages += 1
            new += 1
            host.queue.append(Waiting(one, len(self.seen)))
        return new

    def ready(self, now: float) -> dict[str, float]:
        times = {name: host.ready_at() for name, host in self.hosts.items()}
        return {name: at for name, at in times.items() if at is not None and at <= now}

    def counts(self, now: float) -> Counts:
        times = [host.ready_at() for host in self.hosts.values()]
        return Counts(
            queued=sum(len(host.queue) for host in self.hosts.values()),
            leased=len(self.leases),
            hosts=len(self.hosts),
            seen=len(self.seen),
            waiting=sum(at is not None and at > now for at in times),
            over_budget=self.over_budget,
        )


class FrontierMachine(RuleBasedStateMachine):
    frontier_url: Callable[[object], str]

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.now = 1_000_000.0
        self.model = Model()
        assert self._open() == []

    def _open(self) -> list:
        url = self.frontier_url(self.folder.name)
        self.frontier = open_frontier(url, now=lambda: self.now, worker="one", max_per_host=BUDGET)
        return self.loop.run_until_complete(self.frontier.open())

    def _run(self, *calls) -> list:
        async def together() -> list:
            return await asyncio.gather(*calls)

        return self.loop.run_until_complete(together())

    def teardown(self) -> None:
        if hasattr(self, "frontier"):
            self.loop.run_until_complete(self.frontier.close())
            self.loop.close()
            self.folder.cleanup()

    def _outcome(self, data: st.DataObject) -> Outcome:
        """One open lease comes to its end, in the model too."""
        number = data.draw(st.sampled_from(sorted(self.model.leases)), label="lease")
        again, counts = data.draw(st.none() | delays, label="again"), data.draw(st.booleans(), label="counts")
        free_at = self.now + data.draw(delays, label="free")
        children = tuple(data.draw(st.lists(founds, max_size=4), label="children"))
        self.model.push(list(children))
        one = self.model.leases.pop(number)
        host = self.model.hosts[one.found.authority]
        host.leased, host.free_at = None, max(host.free_at, free_at)
        if again is not None or not counts:
            due = 0.0 if again is None else self.now + again
            host.queue.append(replace(one, due=due, attempt=one.attempt + counts))
        return Outcome(number, free_at, children, None if again is None else self.now + again, counts)

    def _check_claim(self, n: int, leases: list) -> None:
        ready = self.model.ready(self.now)
        claimed = [lease.authority for lease in leases]
        assert len(set(claimed)) == len(claimed) == min(n, len(ready))
        assert sorted(ready[name] for name in claimed) == sorted(ready.values())[:n]
        for lease in leases:
            host = self.model.hosts[lease.authority]
            best = host.best(self.now)
            assert (lease.url, lease.payload) == (best.found.url, best.found.payload)
            assert (lease.priority, lease.attempt) == (best.found.priority, best.attempt)
            assert lease.id > self.model.last_id
            self.model.last_id = lease.id
            host.queue.remove(best)
            host.leased = lease.id
            self.model.leases[lease.id] = best

    @rule(found=st.lists(founds, max_size=6))
    def push(self, found) -> None:
        assert self._run(self.frontier.push(found)) == [self.model.push(found)]

    @rule(n=st.integers(0, 5))
    def claim(self, n) -> None:
        (leases,) = self._run(self.frontier.claim(n))
        self._check_claim(n, leases)

    @rule(data=st.data(), n=st.integers(1, 3))
    def finish(self, data, n) -> None:
        if outcomes := [self._outcome(data) for _ in range(min(n, len(self.model.leases)))]:
            self._run(self.frontier.finish(outcomes))

    @rule(data=st.data(), n=st.integers(1, 4), found=st.lists(founds, max_size=3))
    def one_turn(self, data, n, found) -> None:
        calls = [self.frontier.finish([self._outcome(data)]) for _ in range(min(2, len(self.model.leases)))]
        new = self.model.push(found)
        *_, pushed, leases = self._run(*calls, self.frontier.push(found), self.frontier.claim(n))
        assert pushed == new
        self._check_claim(n, leases)

    @rule(by=st.sampled_from([0.25, 1.0, 10.0]))
    def time_passes(self, by) -> None:
        self.now += by

    @rule()
    def restart(self) -> None:
        self._run(self.frontier.close())
        left = self._open()
        assert {lease.id: lease.url for lease in left} == {
            number: one.found.url for number, one in self.model.leases.items()
        }

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "frontier"):
            return
        due, counts = self._run(self.frontier.next_due(), self.frontier.counts())
        times = [at for host in self.model.hosts.values() if (at := host.ready_at()) is not None]
        assert due == min(times, default=None)
        assert counts == self.model.counts(self.now)


def test_any_sequence_of_calls_agrees_with_the_model(frontier_url):
    machine = type("Machine", (FrontierMachine,), {"frontier_url": staticmethod(frontier_url)})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=40, stateful_step_count=40, deadline=None, derandomize=True, database=None),
    )
