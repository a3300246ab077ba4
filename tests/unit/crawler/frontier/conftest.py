"""Each back end of the frontier, for the tests that hold all of them to the same promises. A new one is one line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from crawler.frontier import Frontier, Lease, open_frontier

BACK_ENDS: dict[str, Callable[[object], str]] = {
    "sqlite": lambda folder: f"sqlite:///{folder}/frontier.db",
}


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """One storage, opened as often as a test likes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = Clock()

    @asynccontextmanager
    async def opened(
        self, leases: list[Lease] | None = None, *, worker: str = "one", **options: float
    ) -> AsyncIterator[Frontier]:
        frontier = open_frontier(self.url, now=self.clock, worker=worker, **options)
        left = await frontier.open()
        try:
            if leases is not None:
                leases += left
            yield frontier
        finally:
            await frontier.close()

    def run(self, scenario: Callable[[Frontier], Awaitable[None]], **options: float) -> None:
        async def main() -> None:
            async with self.opened(**options) as frontier:
                await scenario(frontier)

        asyncio.run(main())


@pytest.fixture(params=sorted(BACK_ENDS))
def frontier_url(request: pytest.FixtureRequest) -> Callable[[object], str]:
    """Names a frontier of its own for a folder of its own."""
    return BACK_ENDS[request.param]


@pytest.fixture
def bench(frontier_url: Callable[[object], str], tmp_path: Path) -> Bench:
    return Bench(frontier_url(tmp_path))
