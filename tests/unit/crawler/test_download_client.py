"""The client against raw servers on loopback that keep every byte they receive and send exactly what a test says."""

import asyncio
import contextlib
import gzip
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta

import pytest
import uvloop

from crawler.download.addresses import AddressGuard
from crawler.download.client import Client, Exchange
from crawler.download.errors import AddressForbidden, TransferError
from crawler.download.limits import Limits
from crawler.download.tls import client_context

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

TLS = client_context()
START = datetime(2026, 11, 22, tzinfo=UTC)
OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"Content-Length: 5\r\n\r\nhello"


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


async def until_closed(reader: asyncio.StreamReader) -> None:
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


PACKED = gzip.compress(b"hello" * 1000)
CHUNKS = b"".join(b"%X;q=1\r\n%b\r\n" % (len(PACKED[i : i + 9]), PACKED[i : i + 9]) for i in range(0, len(PACKED), 9))

#: head, block, content
TRANSFERS = {
    "content-length": (OK + b"cOnTeNt-LeNgTh: 5\r\nX: 1\r\nx: 2\r\n\r\n", b"hello", b"hello"),
    "chunked gzip": (
        OK + b"Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n",
        CHUNKS + b"0\r\nDigest: x\r\n\r\n",
        b"hello" * 1000,
    ),
    "close-delimited": (OK + b"Connection: close\r\n\r\n", b"hello", b"hello"),
    "HTTP/1.0": (b"HTTP/1.0 200\n\n", b"hello", b"hello"),
    "not found": (b"HTTP/1.1 404 Nicht da \xe4\r\nContent-Length: 0\r\n\r\n", b"", b""),
    "not modified": (b'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: "x"\r\n\r\n', b"", b""),
}


@pytest.mark.parametrize("name", TRANSFERS)
@pytest.mark.parametrize("step", [None, 5])
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_every_transfer_gives_the_bytes_that_went_over_the_wire(name, step, new_loop):
    head, block, content = TRANSFERS[name]
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"

    async def main() -> None:
        async with serving(answering(interim + head + block, step=step)) as server, client_for() as client:
            exchange = await client.exchange(f"{server.url}/a%20b?c=d#e", headers=[("Accept", "text/html")])
            body = await exchange.read(1 << 20)
            assert exchange.interim_heads == (interim,)
            assert (exchange.head_bytes, body.block_bytes, body.content) == (head, block, content)
            assert [exchange.request_bytes] == server.received
            assert exchange.request_bytes == (
                b"GET /a%%20b?c=d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                b"User-Agent: KnockfirstBot/1.0 (+https://operator.example/bot)\r\nAccept: text/html\r\n"
                b"Accept-Encoding: gzip, deflate, br, zstd\r\n\r\n" % server.port
            )
            assert (exchange.ip, exchange.port) == ("127.0.0.1", server.port)
            assert (exchange.tls_version, exchange.tls_cipher) == (None, None)
            assert (exchange.sent_at, exchange.head_at) == (START, START + timedelta(seconds=1))

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(asyncio.wait_for(main(), 20))


@pytest.mark.parametrize("header", ["Host", "user-agent", "Accept-Encoding", "Connection", "Transfer-Encoding"])
def test_header_that_the_client_sets_itself_is_refused(header: str):
    async def main() -> None:
        async with client_for() as client:
            with pytest.raises(ValueError, match=header):
                await client.exchange("http://127.0.0.1:1/", headers=[(header, "x")])

    run(main())


@pytest.mark.parametrize(
    ("url", "headers"),
    [("ftp://127.0.0.1/", []), ("file:///etc/passwd", []), ("http://127.0.0.1:1/", [("X", "a\r\nInjected: b")])],
)
def test_request_that_cannot_be_made_is_refused_before_connecting(url, headers):
    async def main() -> None:
        async with client_for() as client:
            with pytest.raises(ValueError, match="."):
                await client.exchange(url, headers=headers)

    run(main())


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


def test_fifty_tasks_on_one_authority_share_one_connection_and_get_their_own_answers():
    async def main() -> None:
        served = [0]
        async with serving(numbered(served)) as server, client_for() as client:

            async def one(number: int) -> None:
                exchange, block, _ = await fetch(client, f"{server.url}/{number}")
                assert exchange.headers[0].value.encode() == block == b"/%d" % number

            await asyncio.gather(*(one(number) for number in range(50)))
            assert served == [1]
            assert not client._turns

    run(main())


def test_many_authorities_are_served_at_once_over_bounded_idle_connections():
    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            counts = [[0] for _ in range(10)]
            servers = [await stack.enter_async_context(serving(numbered(count))) for count in counts]
            client = await stack.enter_async_context(client_for(keep_alive_connections=3))

            async def one(server: Server, number: int) -> None:
                _, block, _ = await fetch(client, f"{server.url}/{number}")
                assert block == b"/%d" % number

            await asyncio.gather(*(one(server, number) for server in servers for number in range(10)))
            assert len(client._idle) == 3
            assert counts[-1] == [1]

    run(main())


@pytest.mark.parametrize("step", [None, 30])
def test_reuse_within_one_loop_turn_mixes_no_answers(step: int | None):
    """Each request goes out as soon as the answer before it has ended, and before anybody looks at that answer."""

    async def main() -> None:
        answers = [HELLO.replace(b"hello", b"body%d" % number) for number in range(9)]
        async with serving(answering(*answers, step=step)) as server, client_for() as client:
            exchanges = [await client.exchange(f"{server.url}/0")]
            waiting = [asyncio.create_task(client.exchange(f"{server.url}/{n}")) for n in range(1, 9)]
            await asyncio.sleep(0)
            readings = []
            for task in waiting:
                readings.append(asyncio.create_task(exchanges[-1].read(100)))
                exchanges.append(await task)
            readings.append(asyncio.create_task(exchanges[-1].read(100)))
            assert [(await reading).content for reading in readings] == [b"body%d" % number for number in range(9)]
            assert len(server.received) == 1
            assert bytes(server.received[0]) == b"".join(exchange.request_bytes for exchange in exchanges)

    run(main())


def test_bytes_after_the_end_are_never_taken_for_the_next_answer():
    poison = HELLO.replace(b"hello", b"EVIL!")

    async def main() -> None:
        async with serving(answering(HELLO + poison, HELLO)) as server, client_for() as client:
            for _ in range(2):
                _, block, _ = await fetch(client, server.url)
                assert block == b"hello"
            assert len(server.received) == 2

    run(main())


def test_bytes_that_come_unasked_on_an_idle_connection_close_it():
    """They lie in the kernel's buffer, unseen by the event loop, when the next request comes."""

    async def main() -> None:
        writers = []

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            while True:
                await request(reader)
                writer.write(HELLO)

        async with serving(handler) as server, client_for() as client:
            await fetch(client, server.url)
            writers[0].write(HELLO.replace(b"hello", b"EVIL!"))
            exchange, block, _ = await fetch(client, server.url)
            assert (block, exchange.reconnected, len(server.received)) == (b"hello", False, 2)

    run(main())


def test_kept_connection_found_closed_is_replaced_once_and_says_so():
    async def main() -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request(reader)
            writer.write(HELLO)
            if len(server.received) == 1:
                await request(reader)  # closes without an answer

        async with serving(handler) as server, client_for() as client:
            first, *_ = await fetch(client, server.url)
            second, block, _ = await fetch(client, server.url)
            assert (first.reconnected, second.reconnected, block) == (False, True, b"hello")
            assert [bytes(data) for data in server.received] == [second.request_bytes * 2, second.request_bytes]

    run(main())


def test_fresh_connection_closed_before_an_answer_is_reset_and_not_tried_again():
    async def main() -> None:
        async def abort(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request(reader)
            writer.transport.abort()

        for handler in (abort, answering(b"")):
            async with serving(handler) as server, client_for() as client:
                assert await failure(client.exchange(server.url)) == "reset"
                assert len(server.received) == 1

    run(main())


def test_refused_connection_is_reset():
    async def main() -> None:
        async with serving(answering(HELLO)) as server:
            pass
        async with client_for() as client:
            assert await failure(client.exchange(server.url)) == "reset"

    run(main())


def test_stop_at_the_head_reads_no_further():
    async def main() -> None:
        async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request(reader)
            writer.write(OK + b"Content-Encoding: br\r\n\r\n")
            while True:
                writer.write(b"x" * 100_000)
                await writer.drain()

        async with serving(endless) as server, client_for() as client:
            exchange = await client.exchange(server.url)
            (connection,) = client._open
            came_with_head = exchange._message.received
            assert not connection._transport.is_reading()
            exchange.stop()
            exchange.stop()
            with pytest.raises(RuntimeError):
                await exchange.read(100)
            await connection.lost
            assert exchange._message.received == came_with_head <= 1 << 18
            assert not client._idle
            assert not client._turns

    run(main())


def test_stop_where_the_whole_answer_came_with_the_head_keeps_the_connection():
    async def main() -> None:
        async with serving(answering(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", HELLO)) as server:
            async with client_for() as client:
                (await client.exchange(server.url)).stop()
                await fetch(client, server.url)
                assert len(server.received) == 1

    run(main())


def test_body_that_never_ends_is_cut_or_refused_at_the_bound():
    async def main() -> None:
        async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request(reader)
            writer.write(OK + b"Transfer-Encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
                await writer.drain()

        async with serving(endless) as server, client_for() as client:
            exchange = await client.exchange(server.url)
            assert await failure(exchange.read(2_000_000)) == "too-large"
            body = await (await client.exchange(server.url)).read(500_000, truncate=True)
            assert (body.content, body.truncated) == (b"x" * 500_000, True)
            assert body.block_bytes.startswith(b"400\r\nxxx")

    run(main())


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (OK + b"Content-Length: 9\r\n\r\nhello", "incomplete"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "incomplete"),
        (OK + b"Content-Encoding: gzip\r\n\r\n" + PACKED[:-9], "encoding"),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello", "encoding"),
        (OK + b"Content-Encoding: rot13\r\nContent-Length: 5\r\n\r\nhello", "encoding"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "protocol"),
    ],
)
@pytest.mark.parametrize("step", [None, 4])
def test_broken_body_fails_and_the_next_exchange_works(answer: bytes, reason: str, step: int | None):
    async def main() -> None:
        async with serving(answering(answer, step=step)) as server, client_for() as client:

            async def broken() -> None:
                exchange = await client.exchange(server.url)
                await exchange.read(10_000)

            assert await failure(broken()) == reason
            server.handler = answering(HELLO)
            _, block, _ = await fetch(client, server.url)
            assert block == b"hello"

    run(main())


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200", OK + b"Content-Length: 9\r\n\r\nhello"])
@pytest.mark.parametrize("limits", [{"idle_s": 0.05}, {"total_s": 0.05}])
def test_silent_server_times_out(start: bytes, limits: dict[str, float]):
    async def main() -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request(reader)
            writer.write(start)
            await until_closed(reader)

        async with serving(handler) as server, client_for(**limits) as client:
            assert await failure(fetch(client, server.url)) == "timeout"
            assert not client._turns

    run(main())


def test_server_that_drips_is_stopped_by_the_total_time():
    async def main() -> None:
        async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request(reader)
            writer.write(OK + b"\r\n")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.005)

        async with serving(drip) as server, client_for(idle_s=5, total_s=0.1) as client:
            assert await failure(fetch(client, server.url)) == "timeout"

    run(main())


def test_caller_that_never_reads_loses_its_turn_after_the_total_time():
    async def main() -> None:
        async with serving(answering(OK + b"Content-Length: 9\r\n\r\nhello")) as server:
            async with client_for(total_s=0.05) as client:
                forgotten = await client.exchange(server.url)
                await client.exchange(server.url)
                assert await failure(forgotten.read(100)) == "timeout"

    run(main())


def test_cancelled_exchange_gives_its_turn_on():
    async def main() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request(reader)
            asked.set()
            await until_closed(reader)

        asked = asyncio.Event()
        async with serving(silent) as server, client_for() as client:
            first = asyncio.create_task(client.exchange(server.url))
            await asked.wait()
            second, third = (asyncio.create_task(client.exchange(server.url)) for _ in range(2))
            await asyncio.sleep(0)
            server.handler = answering(HELLO)
            second.cancel()
            first.cancel()
            exchange = await third
            assert (await exchange.read(100)).content == b"hello"
            assert [task.cancelled() for task in (first, second)] == [True, True]
            assert not client._turns

    run(main())


def test_idle_connection_is_closed_after_its_time():
    async def main() -> None:
        async with serving(numbered([0])) as server, client_for(keep_alive_s=0.02) as client:
            await fetch(client, server.url)
            (kept,) = client._open
            await kept.lost
            assert not client._idle
            assert not client._open

    run(main())


def test_close_fails_what_is_under_way():
    async def main() -> None:
        async with serving(until_request_then_silent) as server, client_for() as client:
            exchange = asyncio.create_task(client.exchange(server.url))
            while not server.received or not server.received[0]:
                await asyncio.sleep(0)
            await client.close()
            assert await failure(exchange) == "reset"
            assert await failure(client.exchange(server.url)) == "reset"

    run(main())


async def until_request_then_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request(reader)
    await until_closed(reader)


def test_second_address_is_tried_when_the_first_refuses():
    class Two(AddressGuard):
        async def addresses(self, host):
            return (*await super().addresses("127.0.0.9"), *await super().addresses(host))

    async def main() -> None:
        async with serving(answering(HELLO)) as server, client_for() as client:
            client._guard = Two(allow_private=True)
            exchange, block, _ = await fetch(client, server.url)
            assert (exchange.ip, block) == ("127.0.0.1", b"hello")

    run(main())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"])
def test_address_that_points_inside_is_not_connected_to(host: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    async def main() -> None:
        async with serving(answering(HELLO)) as server, client_for() as client:
            client._guard = AddressGuard()
            with pytest.raises(AddressForbidden):
                await client.exchange(f"http://{host}:{server.port}/")
            assert not server.received

    run(main())


def test_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def main() -> None:
        async with serving(answering(HELLO)) as server, client_for() as client:
            exchange, *_ = await fetch(client, server.url)
            assert exchange.port == server.port

    run(main())


@pytest.mark.parametrize("loop_path", ["", "uvloop.Loop"])
def test_client_works_under_scrapys_reactor_and_needs_no_loop_to_be_made(loop_path: str):
    script = f"""
        from scrapy.utils.reactor import install_reactor
        install_reactor("twisted.internet.asyncioreactor.AsyncioSelectorReactor", {loop_path!r} or None)
        import asyncio, datetime
        from twisted.internet import defer, reactor
        from crawler.download.addresses import AddressGuard
        from crawler.download.client import Client
        from crawler.download.tls import client_context
        client = Client(user_agent="KnockfirstBot", guard=AddressGuard(allow_private=True), tls=client_context(),
                        clock=lambda: datetime.datetime.now(datetime.UTC))

        async def handler(reader, writer):
            await reader.readuntil(b"\\r\\n\\r\\n")
            writer.write({HELLO!r})
            writer.close()

        async def main():
            server = await asyncio.start_server(handler, "127.0.0.1", 0)
            exchange = await client.exchange("http://127.0.0.1:%d/" % server.sockets[0].getsockname()[1])
            print((await exchange.read(100)).content.decode())
            await client.close()
            server.close()

        done = defer.Deferred.fromFuture(asyncio.ensure_future(main(), loop=reactor._asyncioEventloop))
        done.addBoth(lambda result: (result and result.printTraceback(), reactor.stop()))
        reactor.run()
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.stdout, ran.stderr) == ("hello\n", "")
