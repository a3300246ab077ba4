"""Each back end of the frontier, for the tests that hold all of them to the same promises. A new one is one line."""

from __future__ import annotations

import asyncio
import itertools
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[3]))  # for tests/support

from support.valkey import SAFE, free_port, server_program

from crawler.frontier import Frontier, Lease, open_frontier

BACK_ENDS: dict[str, Callable[[object, pytest.FixtureRequest], str]] = {
    "sqlite": lambda folder, _: f"sqlite:///{folder}/frontier.db",
    "valkey": lambda folder, request: request.getfixturevalue("valkey").crawl(folder),
}


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def frontier_at(url: str, *, now: Callable[[], float], **options) -> Frontier:
    """A frontier of which all that tells the time tells it by the test's clock."""
    frontier = open_frontier(url, now=now, **options)
    if hasattr(frontier, "servers"):
        frontier.servers.server_now = now
    return frontier


class Bench:
    """One storage, opened as often as a test likes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = Clock()

    @asynccontextmanager
    async def opened(
        self, leases: list[Lease] | None = None, *, worker: str = "one", **options: float
    ) -> AsyncIterator[Frontier]:
        frontier = frontier_at(self.url, now=self.clock, worker=worker, **options)
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


class ValkeyServer:
    """A real server on loopback, with a folder for its files."""

    def __init__(self, program: str, folder: Path, *settings: str) -> None:
        self.port = free_port()
        self.command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), *settings]
        self._names = itertools.count()
        self._crawls: dict[str, str] = {}

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        give_up_at = time.monotonic() + 20
        while not self._answers():
            assert self.process.poll() is None, "the server ended"
            assert time.monotonic() < give_up_at
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(100).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def crawl(self, folder: object) -> str:
        """The URL of a crawl that belongs to a folder."""
        name = self._crawls.setdefault(str(folder), f"test{next(self._names)}")
        return f"valkey://127.0.0.1:{self.port}/0?crawl={name}&shards=4&urls=100000"


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory) -> Callable[..., object]:
    """Starts servers: `with valkey_server("--setting", "value", safe=False) as server`."""
    program = server_program()
    if program is None:
        pytest.skip("neither Valkey nor Redis 7.2 is installed")

    @contextmanager
    def running(*settings: str, safe: bool = True) -> Iterator[ValkeyServer]:
        server = ValkeyServer(program, tmp_path_factory.mktemp("valkey"), *(SAFE if safe else ()), *settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()

    return running


@pytest.fixture(scope="session")
def valkey(valkey_server) -> Iterator[ValkeyServer]:
    with valkey_server() as server:
        yield server


@pytest.fixture(params=sorted(BACK_ENDS))
def frontier_url(request: pytest.FixtureRequest) -> Callable[[object], str]:
    """Names a frontier of its own for a folder of its own."""
    return lambda folder: BACK_ENDS[request.param](folder, request)


@pytest.fixture
def bench(frontier_url: Callable[[object], str], tmp_path: Path) -> Bench:
    return Bench(frontier_url(tmp_path))


@pytest.fixture
def opener() -> Callable[..., Frontier]:
    return frontier_at
