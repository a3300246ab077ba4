"""CPU time of one keep-alive exchange: our client, decoding included, beside aiohttp, on the same local server.

    python benchmarks/bench_download.py [exchanges] [hosts]

The server runs in a process of its own and answers every request with the same 17 KB page, 7 KB as gzip. Only the
client's CPU time is counted. Rounds alternate, so that a busy machine is unfair to both.
"""

from __future__ import annotations

import asyncio
import gzip
import multiprocessing
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from multiprocessing.connection import Connection as Pipe

import aiohttp

from crawler.download.addresses import AddressGuard
from crawler.download.client import Client
from crawler.download.tls import client_context

ROUNDS = 5
EXCHANGES = 2000
HOSTS = 20
PAGE_BYTES = 17_000

Run = Callable[[list[str], int], Awaitable[None]]


def page() -> bytes:
    """Text that gzip makes 0.4 times as long, as it does with usual HTML."""
    dice = random.Random(9309)
    words = ["".join(dice.choices("etaoinshrdlucm", k=dice.randint(2, 9))) for _ in range(700)]
    text = "<html><body>"
    while len(text) < PAGE_BYTES:
        text += f"<p>{' '.join(dice.choices(words, k=12))}</p>\n"
    return text[:PAGE_BYTES].encode()


def answer() -> bytes:
    """The one answer of the server, with a head as web servers send it."""
    body = gzip.compress(page(), 6)
    head = (
        "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 22 Nov 2026 09:00:00 GMT\r\n"
        f"Content-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\nConnection: keep-alive\r\n"
        'Vary: Accept-Encoding\r\nETag: "5f1-62"\r\nCache-Control: max-age=60\r\nContent-Encoding: gzip\r\n\r\n'
    )
    return head.encode() + body


class Server(asyncio.Protocol):
    """Answers every request that ends within one segment."""

    reply = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if data.endswith(b"\r\n\r\n"):
            self.transport.write(self.reply)  # type: ignore[attr-defined]


def serve(hosts: int, pipe: Pipe) -> None:
    """Runs the server until it is killed; sends its port first."""

    async def main() -> None:
        Server.reply = answer()
        loop = asyncio.get_running_loop()
        first = await loop.create_server(Server, "127.0.1.1", 0)
        port = first.sockets[0].getsockname()[1]
        for number in range(2, hosts + 1):
            await loop.create_server(Server, f"127.0.1.{number}", port)
        pipe.send(port)
        await asyncio.Event().wait()

    asyncio.run(main())


async def each_host(urls: list[str], exchanges: int, fetch: Callable[[str], Awaitable[bytes]]) -> None:
    """Asks all hosts at once, each for its pages one after another."""

    async def one(url: str) -> None:
        for _ in range(exchanges // len(urls)):
            if len(await fetch(url)) != PAGE_BYTES:
                raise RuntimeError(f"{url}: not the page")

    await asyncio.gather(*(one(url) for url in urls))


async def with_ours(urls: list[str], exchanges: int) -> None:
    client = Client(
        user_agent="KnockfirstBot/1 (+https://example.org/bot)",
        guard=AddressGuard(allow_private=True),
        tls=client_context(),
        clock=lambda: datetime.now(UTC),
    )

    async def fetch(url: str) -> bytes:
        exchange = await client.exchange(url, headers=[("Accept", "*/*")])
        return (await exchange.read(1 << 20)).content

    await each_host(urls, exchanges, fetch)
    await client.close()


async def with_aiohttp(urls: list[str], exchanges: int) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, limit_per_host=1)) as session:

        async def fetch(url: str) -> bytes:
            async with session.get(url) as response:
                return await response.read()

        await each_host(urls, exchanges, fetch)


CLIENTS: dict[str, Run] = {"knockfirst": with_ours, "aiohttp": with_aiohttp}


def main() -> None:
    exchanges = int(sys.argv[1]) if len(sys.argv) > 1 else EXCHANGES
    hosts = int(sys.argv[2]) if len(sys.argv) > 2 else HOSTS
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(hosts, theirs), daemon=True)
    server.start()
    if not ours.poll(30):
        raise RuntimeError("the server did not start")
    port = ours.recv()
    urls = [f"http://127.0.1.{number}:{port}/page" for number in range(1, hosts + 1)]
    costs: dict[str, list[float]] = {name: [] for name in CLIENTS}
    for _ in range(ROUNDS):
        for name, run in CLIENTS.items():
            before = time.process_time()
            asyncio.run(run(urls, exchanges))
            costs[name].append((time.process_time() - before) / exchanges * 1e3)
    server.terminate()
    for name, values in costs.items():
        rounds = " ".join(f"{value:.3f}" for value in values)
        print(f"{name:12} {statistics.median(values):.3f} ms CPU an exchange (rounds: {rounds})")


if __name__ == "__main__":
    main()
