"""Serves the local web from a process of its own, and sees who asked for what: a witness that belongs to no crawler."""

from __future__ import annotations

import asyncio
import errno
import math
import multiprocessing
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe

import msgspec

from benchmarks.crawl.web import HOSTS, HTTP, ROBOTS_TXT, Web, address

_HEAD = (
    "HTTP/1.1 {}\r\nServer: nginx\r\nDate: Sun, 22 Nov 2026 09:00:00 GMT\r\nContent-Type: {}\r\nContent-Length: {}\r\n"
    "Connection: keep-alive\r\nVary: Accept-Encoding\r\nCache-Control: max-age=60\r\n{}\r\n"
)


#: Where hosts listen when 80 is for the administrator only.
HIGH_PORT = 8077


class PortTakenError(Exception):
    """Somebody else listens where the web should. The message says what to do."""


def usable_port() -> int:
    """80, as nearly everywhere on the web; 8077 where that is not ours to take, and then every URL names it.

    Figures with and without a port in the URLs are no figures of the same thing: a taken port is an error, not a
    reason to take the other one.
    """
    try:
        _try_port(HTTP)
    except PermissionError:
        _try_port(HIGH_PORT)
        return HIGH_PORT
    return HTTP


def _try_port(port: int) -> None:
    try:
        socket.create_server((address(0), port)).close()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortTakenError(
            f"{address(0)}:{port} is taken, probably by another benchmark. Wait for its end: two at once measure "
            "each other (`ss -ltnp` names the process)"
        ) from error


class Seen(msgspec.Struct):
    """What the server saw of one crawl.

    Attributes:
        pages: different pages that were asked for.
        again: requests for a page that had been asked for before.
        documents: requests for robots.txt and the like.
        absent: among these, the ones answered 404.
        gzip: answers that went out compressed.
        cpu_s: processor time of the server.
    """

    pages: int = 0
    again: int = 0
    documents: int = 0
    absent: int = 0
    gzip: int = 0
    cpu_s: float = 0.0


class Hit(msgspec.Struct):
    """One request, as a host saw it.

    Attributes:
        host: the address that was asked.
        target: for what.
        asked: when, in seconds of the system's monotonic clock.
        answered: when the answer began to leave; infinite when nobody was there any more.
    """

    host: str
    target: str
    asked: float
    answered: float = math.inf


class _State:
    def __init__(self, size: int, port: int, hosts: int) -> None:
        self.webs = {named: Web(size, port, named=named, hosts=hosts) for named in (True, False)}
        self.latency_s = 0.0
        self.begin(0.0)

    def begin(self, latency_s: float) -> None:
        self.latency_s = latency_s
        self.asked: set[int] = set()
        self.seen = Seen()
        self.hits: list[Hit] = []
        self.cpu = time.process_time()

    def end(self) -> Seen:
        self.seen.pages = len(self.asked)
        self.seen.cpu_s = time.process_time() - self.cpu
        return self.seen

    def answer(self, request: bytes) -> bytes:
        target = request.split(b" ", 2)[1]
        lower = request.lower()
        if target.startswith(b"/articles/"):
            number = int(target[10:])
            self.seen.again += number in self.asked
            self.asked.add(number)
            page = self.webs[b"\r\nhost: h" in lower].page(number)
            if b"gzip" in lower:
                self.seen.gzip += 1
                return _message(page.gzip, "text/html; charset=utf-8", extra="Content-Encoding: gzip\r\n")
            return _message(page.identity, "text/html; charset=utf-8")
        self.seen.documents += 1
        if target == b"/robots.txt":
            return _message(ROBOTS_TXT, "text/plain; charset=utf-8")
        self.seen.absent += 1
        return _message(b"There is no such page.\n", "text/plain; charset=utf-8", status="404 Not Found")


def _message(body: bytes, media_type: str, *, status: str = "200 OK", extra: str = "") -> bytes:
    return _HEAD.format(status, media_type, len(body), extra).encode() + body


class _Connection(asyncio.Protocol):
    def __init__(self, state: _State) -> None:
        self._state = state
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._host = transport.get_extra_info("sockname")[0]

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._received.endswith(b"\r\n\r\n"):
            return
        hit = Hit(self._host, self._received.split(b" ", 2)[1].decode(), time.monotonic())
        self._state.hits.append(hit)
        answer, self._received = self._state.answer(self._received), b""
        if self._state.latency_s:
            asyncio.get_running_loop().call_later(self._state.latency_s, self._write, answer, hit)
        else:
            self._write(answer, hit)

    def _write(self, answer: bytes, hit: Hit) -> None:
        if not self._transport.is_closing():
            hit.answered = time.monotonic()
            self._transport.write(answer)


def _serve(size: int, port: int, hosts: int, pipe: Pipe) -> None:
    async def main() -> None:
        state = _State(size, port, hosts)
        for web in state.webs.values():
            web.build()
        loop = asyncio.get_running_loop()
        for host in range(HOSTS):
            await loop.create_server(lambda: _Connection(state), address(host), port, backlog=512)
        ended = asyncio.Event()

        def command() -> None:
            try:
                word, value = pipe.recv()
            except EOFError:
                ended.set()
                return
            if word == "begin":
                state.begin(value)
            pipe.send(state.hits if word == "hits" else state.end())

        loop.add_reader(pipe.fileno(), command)
        pipe.send(None)
        await ended.wait()

    asyncio.run(main())


class Server:
    """The running server."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def begin(self, latency_s: float) -> None:
        """Forgets what it saw; answers take `latency_s` from now on."""
        self._pipe.send(("begin", latency_s))
        self._pipe.recv()

    def hits(self) -> list[Hit]:
        """Every request since `begin`, in the order of arrival."""
        self._pipe.send(("hits", None))
        hits: list[Hit] = self._pipe.recv()
        return hits

    def end(self) -> Seen:
        """What it saw since `begin`, so far."""
        self._pipe.send(("end", None))
        seen = self._pipe.recv()
        assert isinstance(seen, Seen)
        return seen


@contextmanager
def serving(size: int, port: int, hosts: int = HOSTS) -> Iterator[Server]:
    """Runs the server of a web of `size` pages on that many hosts until the block ends."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(size, port, hosts, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        ours.recv()  # EOFError: it could not listen, and has said why
        yield Server(ours)
    finally:
        ours.close()
        process.join(5)
        process.terminate()
