"""The client against raw servers: exact bytes, kept connections, answers never mixed up, the stop at the head."""

import asyncio
import contextlib
import gzip
from datetime import UTC, datetime, timedelta

import pytest
import uvloop

START = datetime(2026, 11, 22, tzinfo=UTC)
OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"Content-Length: 5\r\n\r\nhello"

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
def test_every_transfer_gives_the_bytes_that_went_over_the_wire(loopback, name, step, new_loop):
    head, block, content = TRANSFERS[name]
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"

    async def main() -> None:
        async with (
            loopback.serving(loopback.answering(interim + head + block, step=step)) as server,
            loopback.client_for() as client,
        ):
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
def test_header_that_the_client_sets_itself_is_refused(loopback, header: str):
    async def main() -> None:
        async with loopback.client_for() as client:
            with pytest.raises(ValueError, match=header):
                await client.exchange("http://127.0.0.1:1/", headers=[(header, "x")])

    loopback.run(main())


@pytest.mark.parametrize(
    ("url", "headers"),
    [("ftp://127.0.0.1/", []), ("file:///etc/passwd", []), ("http://127.0.0.1:1/", [("X", "a\r\nInjected: b")])],
)
def test_request_that_cannot_be_made_is_refused_before_connecting(loopback, url, headers):
    async def main() -> None:
        async with loopback.client_for() as client:
            with pytest.raises(ValueError, match=r"http|Illegal|illegal"):
                await client.exchange(url, headers=headers)

    loopback.run(main())


def test_fifty_tasks_on_one_authority_share_one_connection_and_get_their_own_answers(loopback):
    async def main() -> None:
        served = [0]
        async with loopback.serving(loopback.numbered(served)) as server, loopback.client_for() as client:

            async def one(number: int) -> None:
                exchange, block, _ = await loopback.fetch(client, f"{server.url}/{number}")
                assert exchange.headers[0].value.encode() == block == b"/%d" % number

            await asyncio.gather(*(one(number) for number in range(50)))
            assert served == [1]
            assert not client._turns

    loopback.run(main())


def test_many_authorities_are_served_at_once_over_bounded_idle_connections(loopback):
    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            counts = [[0] for _ in range(10)]
            servers = [await stack.enter_async_context(loopback.serving(loopback.numbered(count))) for count in counts]
            client = await stack.enter_async_context(loopback.client_for(keep_alive_connections=3))

            async def one(server, number: int) -> None:
                _, block, _ = await loopback.fetch(client, f"{server.url}/{number}")
                assert block == b"/%d" % number

            await asyncio.gather(*(one(server, number) for server in servers for number in range(10)))
            assert len(client._idle) == 3
            assert counts[-1] == [1]

    loopback.run(main())


@pytest.mark.parametrize("step", [None, 30])
def test_reuse_within_one_loop_turn_mixes_no_answers(loopback, step: int | None):
    """Each request goes out as soon as the answer before it has ended, and before anybody looks at that answer."""

    async def main() -> None:
        answers = [HELLO.replace(b"hello", b"body%d" % number) for number in range(9)]
        async with loopback.serving(loopback.answering(*answers, step=step)) as server, loopback.client_for() as client:
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

    loopback.run(main())


def test_bytes_after_the_end_are_never_taken_for_the_next_answer(loopback):
    poison = HELLO.replace(b"hello", b"EVIL!")

    async def main() -> None:
        async with (
            loopback.serving(loopback.answering(HELLO + poison, HELLO)) as server,
            loopback.client_for() as client,
        ):
            for _ in range(2):
                _, block, _ = await loopback.fetch(client, server.url)
                assert block == b"hello"
            assert len(server.received) == 2

    loopback.run(main())


def test_bytes_that_come_unasked_on_an_idle_connection_close_it(loopback):
    async def main() -> None:
        async def chatty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await loopback.request(reader)
            writer.write(HELLO)
            await go_on.wait()
            writer.write(HELLO)
            await reader.read()

        go_on = asyncio.Event()
        async with loopback.serving(chatty) as server, loopback.client_for() as client:
            await loopback.fetch(client, server.url)
            (kept,) = client._open
            go_on.set()
            await kept.lost
            assert not client._idle

    loopback.run(main())


def test_bytes_that_come_unasked_just_before_the_next_request_are_not_its_answer(loopback):
    """They lie in the kernel's buffer, unseen by the event loop, when the next request comes."""

    async def main() -> None:
        writers = []

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            while True:
                await loopback.request(reader)
                writer.write(HELLO)

        async with loopback.serving(handler) as server, loopback.client_for() as client:
            await loopback.fetch(client, server.url)
            writers[0].write(HELLO.replace(b"hello", b"EVIL!"))
            _, block, _ = await loopback.fetch(client, server.url)
            assert (block, len(server.received)) == (b"hello", 2)

    loopback.run(main())


def test_kept_connection_lost_under_a_request_is_reset_and_not_tried_again(loopback):
    async def main() -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await loopback.request(reader)
            writer.write(HELLO)
            if len(server.received) == 1:
                await loopback.request(reader)  # closes without an answer

        async with loopback.serving(handler) as server, loopback.client_for() as client:
            await loopback.fetch(client, server.url)
            assert await loopback.failure(client.exchange(server.url)) == "reset"
            assert len(server.received) == 1
            _, block, _ = await loopback.fetch(client, server.url)
            assert (block, len(server.received)) == (b"hello", 2)

    loopback.run(main())


def test_fresh_connection_closed_before_an_answer_is_reset_and_not_tried_again(loopback):
    async def main() -> None:
        async def abort(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await loopback.request(reader)
            writer.transport.abort()

        for handler in (abort, loopback.answering(b"")):
            async with loopback.serving(handler) as server, loopback.client_for() as client:
                assert await loopback.failure(client.exchange(server.url)) == "reset"
                assert len(server.received) == 1

    loopback.run(main())


def test_refused_connection_is_reset(loopback):
    async def main() -> None:
        async with loopback.serving(loopback.answering(HELLO)) as server:
            pass
        async with loopback.client_for() as client:
            assert await loopback.failure(client.exchange(server.url)) == "reset"

    loopback.run(main())


def test_stop_at_the_head_reads_no_further(loopback):
    async def main() -> None:
        async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await loopback.request(reader)
            writer.write(OK + b"Content-Encoding: br\r\n\r\n")
            while True:
                writer.write(b"x" * 100_000)
                await writer.drain()

        async with loopback.serving(endless) as server, loopback.client_for() as client:
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

    loopback.run(main())


def test_stop_where_the_whole_answer_came_with_the_head_keeps_the_connection(loopback):
    async def main() -> None:
        nothing = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
        async with loopback.serving(loopback.answering(nothing, HELLO)) as server, loopback.client_for() as client:
            (await client.exchange(server.url)).stop()
            await loopback.fetch(client, server.url)
            assert len(server.received) == 1

    loopback.run(main())


def test_body_that_never_ends_is_cut_or_refused_at_the_bound(loopback):
    async def main() -> None:
        async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await loopback.request(reader)
            writer.write(OK + b"Transfer-Encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
                await writer.drain()

        async with loopback.serving(endless) as server, loopback.client_for() as client:
            exchange = await client.exchange(server.url)
            assert await loopback.failure(exchange.read(2_000_000)) == "too-large"
            body = await (await client.exchange(server.url)).read(500_000, truncate=True)
            assert (body.content, body.truncated) == (b"x" * 500_000, True)
            assert body.block_bytes.startswith(b"400\r\nxxx")

    loopback.run(main())
