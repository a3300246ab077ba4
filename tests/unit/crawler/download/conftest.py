"""Raw servers on loopback that keep every byte they receive and send exactly what a test says; a client for them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from crawler.download.addresses import AddressGuard
from crawler.download.client import Client, Exchange
from crawler.download.errors import TransferError
from crawler.download.limits import Limits
from crawler.download.tls import client_context

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

TLS = client_context()
START = datetime(2026, 11, 22, tzinfo=UTC)
OK = b"HTTP/1.1 200 OK\r\n"


class Server:
    """A raw server. `received` has the bytes of each connection, in order of acceptance."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.received: list[bytearray] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        captured = bytearray()
        self.received.append(captured)
        feed = reader.feed_data
        reader.feed_data = lambda data: (captured.extend(data), feed(data))[1]  # type: ignore[method-assign]
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await self.handler(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def serving(handler: Handler, host: str = "127.0.0.1") -> AsyncIterator[Server]:
    server = Server(handler)
    listener = await asyncio.start_server(server.accept, host, 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await asyncio.gather(*server.tasks)


@contextlib.asynccontextmanager
async def client_for(**limits: float) -> AsyncIterator[Client]:
    ticks = iter(range(1_000_000))
    client = Client(
        user_agent="KnockfirstBot/1.0 (+https://operator.example/bot)",
        guard=AddressGuard(allow_private=True),
        tls=TLS,
        limits=Limits(**limits),  # type: ignore[arg-type]
        clock=lambda: START + timedelta(seconds=next(ticks)),
    )
    try:
        yield client
    finally:
        await client.close()


async def request(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


def answering(*answers: bytes, step: int | None = None) -> Handler:
    """Answers the requests of a connection one after another, each in pieces of `step` bytes, then closes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await request(reader)
            size = step or len(answer) or 1
            for start in range(0, len(answer), size):
                writer.write(answer[start : start + size])
                await writer.drain()
                await asyncio.sleep(0)

    return handler


async def until_closed(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


def run(main: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 20))


async def failure(of: Awaitable[object]) -> str:
    with pytest.raises(TransferError) as caught:
        await of
    return caught.value.reason


async def fetch(client: Client, url: str, **options: bool) -> tuple[Exchange, bytes, bytes]:
    exchange = await client.exchange(url)
    body = await exchange.read(1 << 20, **options)
    return exchange, body.block_bytes, body.content


def numbered(served: list[int]) -> Handler:
    """Answers with the path of the request; fails the test when a request comes before the last answer is out."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served[0] += 1
        while True:
            head = await request(reader)
            assert not reader._buffer, "a second request on top of the first"  # type: ignore[attr-defined]
            path = head.split(b" ")[1]
            writer.write(OK + b"X-Path: %b\r\nContent-Length: %d\r\n\r\n" % (path, len(path)))
            await asyncio.sleep(0)
            writer.write(path)

    return handler


@pytest.fixture
def loopback() -> SimpleNamespace:
    parts = (serving, client_for, request, answering, until_closed, run, failure, fetch, numbered)
    return SimpleNamespace(**{part.__name__: part for part in parts})
