"""The client when things go wrong: broken answers, silence, cancelling, closing, addresses; and in Scrapy's reactor."""

import asyncio
import gzip
import subprocess
import sys
import textwrap

import pytest

from crawler.download.addresses import AddressGuard
from crawler.download.errors import AddressForbidden
from reservations.urls import origin_of

OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"Content-Length: 5\r\n\r\nhello"
PACKED = gzip.compress(b"hello" * 1000)


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
def test_broken_body_fails_and_the_next_exchange_works(loopback, answer: bytes, reason: str, step: int | None):
    async def main() -> None:
        async with loopback.serving(loopback.answering(answer, step=step)) as server, loopback.client_for() as client:

            async def broken() -> None:
                exchange = await client.exchange(server.url)
                await exchange.read(10_000)

            assert await loopback.failure(broken()) == reason
            server.handler = loopback.answering(HELLO)
            _, block, _ = await loopback.fetch(client, server.url)
            assert block == b"hello"

    loopback.run(main())


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200", OK + b"Content-Length: 9\r\n\r\nhello"])
@pytest.mark.parametrize("limits", [{"idle_s": 0.05}, {"total_s": 0.05}])
def test_silent_server_times_out(loopback, start: bytes, limits: dict[str, float]):
    async def main() -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await loopback.request(reader)
            writer.write(start)
            await reader.read()

        async with loopback.serving(handler) as server, loopback.client_for(**limits) as client:
            assert await loopback.failure(loopback.fetch(client, server.url)) == "timeout"
            assert not client._turns

    loopback.run(main())


def test_kept_connection_that_falls_silent_times_out_and_is_not_tried_again(loopback):
    async def main() -> None:
        async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await loopback.request(reader)
            writer.write(HELLO)
            await reader.read()

        async with loopback.serving(once) as server, loopback.client_for(idle_s=0.05) as client:
            await loopback.fetch(client, server.url)
            assert await loopback.failure(client.exchange(server.url)) == "timeout"
            assert len(server.received) == 1

    loopback.run(main())


def test_tls_that_is_not_answered_times_out(loopback):
    async def main() -> None:
        async with (
            loopback.serving(loopback.until_closed) as server,
            loopback.client_for(connect_s=0.05) as client,
        ):
            assert await loopback.failure(client.exchange(f"https://127.0.0.1:{server.port}/")) == "timeout"
            assert not client._turns

    loopback.run(main())


def test_name_server_that_does_not_answer_times_out(loopback):
    class Silent(AddressGuard):
        async def addresses(self, host):
            await asyncio.Event().wait()

    async def main() -> None:
        async with loopback.client_for(connect_s=0.05) as client:
            client._guard = Silent()
            assert await loopback.failure(client.exchange("http://site.example/")) == "timeout"

    loopback.run(main())


def test_server_that_drips_is_stopped_by_the_total_time(loopback):
    async def main() -> None:
        async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await loopback.request(reader)
            writer.write(OK + b"\r\n")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.005)

        async with loopback.serving(drip) as server, loopback.client_for(idle_s=5, total_s=0.1) as client:
            assert await loopback.failure(loopback.fetch(client, server.url)) == "timeout"

    loopback.run(main())


def test_caller_that_never_reads_loses_its_turn_after_the_total_time(loopback):
    async def main() -> None:
        broken = OK + b"Content-Length: 9\r\n\r\nhello"
        async with loopback.serving(loopback.answering(broken)) as server, loopback.client_for(total_s=0.05) as client:
            forgotten = await client.exchange(server.url)
            await client.exchange(server.url)
            assert await loopback.failure(forgotten.read(100)) == "timeout"

    loopback.run(main())


def test_cancelled_exchange_gives_its_turn_on(loopback):
    async def main() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await loopback.request(reader)
            asked.set()
            await reader.read()

        asked = asyncio.Event()
        async with loopback.serving(silent) as server, loopback.client_for() as client:
            first = asyncio.create_task(client.exchange(server.url))
            await asked.wait()
            (cancelled,) = client._open
            second, third = (asyncio.create_task(client.exchange(server.url)) for _ in range(2))
            await asyncio.sleep(0)
            server.handler = loopback.answering(HELLO)
            second.cancel()
            first.cancel()
            exchange = await third
            assert (await exchange.read(100)).content == b"hello"
            assert [task.cancelled() for task in (first, second)] == [True, True]
            assert len(server.received) == 2
            assert cancelled not in client._open
            assert not client._turns

    loopback.run(main())


def test_idle_connection_is_closed_after_its_time(loopback):
    async def main() -> None:
        async with loopback.serving(loopback.numbered([0])) as server, loopback.client_for(keep_alive_s=0.02) as client:
            await loopback.fetch(client, server.url)
            (kept,) = client._open
            await kept.lost
            assert not client._idle
            assert not client._open

    loopback.run(main())


def test_dropped_origin_fails_what_is_under_way_there_and_nothing_else(loopback):
    async def main() -> None:
        async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await loopback.request(reader)
            writer.write(OK + b"Content-Length: 9\r\n\r\nhello")
            closed.append(await reader.read())

        closed: list[bytes] = []
        async with (
            loopback.serving(half) as one,
            loopback.serving(loopback.answering(OK + b"Content-Length: 2\r\n\r\nok")) as two,
            loopback.client_for() as client,
        ):
            body = asyncio.ensure_future((await client.exchange(one.url)).read(100))
            other = await client.exchange(two.url)
            client.drop(str(origin_of(one.url)))
            assert await loopback.failure(body) == "reset"
            assert (await other.read(100)).content == b"ok"
        assert closed == [b""]

    loopback.run(main())


def test_close_fails_what_is_under_way(loopback):
    async def main() -> None:
        asked = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await loopback.request(reader)
            asked.set()
            await reader.read()

        async with loopback.serving(silent) as server, loopback.client_for() as client:
            exchange = asyncio.create_task(client.exchange(server.url))
            await asked.wait()
            await client.close()
            assert await loopback.failure(exchange) == "reset"
            assert await loopback.failure(client.exchange(server.url)) == "reset"

    loopback.run(main())


def test_second_address_is_tried_when_the_first_refuses(loopback):
    class Two(AddressGuard):
        async def addresses(self, host):
            return (*await super().addresses("127.0.0.9"), *await super().addresses(host))

    async def main() -> None:
        async with loopback.serving(loopback.answering(HELLO)) as server, loopback.client_for() as client:
            client._guard = Two(allow_private=True)
            exchange, block, _ = await loopback.fetch(client, server.url)
            assert (exchange.ip, block) == ("127.0.0.1", b"hello")

    loopback.run(main())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"])
def test_address_that_points_inside_is_not_connected_to(loopback, host: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    async def main() -> None:
        async with loopback.serving(loopback.answering(HELLO)) as server, loopback.client_for() as client:
            client._guard = AddressGuard()
            with pytest.raises(AddressForbidden):
                await client.exchange(f"http://{host}:{server.port}/")
            assert not server.received

    loopback.run(main())


def test_proxy_of_the_environment_is_not_used(loopback, monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def main() -> None:
        async with loopback.serving(loopback.answering(HELLO)) as server, loopback.client_for() as client:
            exchange, *_ = await loopback.fetch(client, server.url)
            assert exchange.port == server.port

    loopback.run(main())


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
