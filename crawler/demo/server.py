"""The demo web, running: one small HTTP server per site of `web.toml`, each on a loopback address of its own.

Serves, misbehaves as told, and keeps an access log. The servers live on one event loop in one thread, so that a crawl
in the same process or in another can visit them. They decide nothing.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import errno
import os
import ssl
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http import HTTPMethod
from pathlib import Path
from typing import Final

import msgspec

from crawler.demo.authority import Authority
from crawler.demo.situations import Expectation, File, Page, Ports, Reply, Site, Web
from crawler.demo.wire import FAULTS, message_of

_MAX_HEAD: Final = 64 * 1024
#: Loopback networks 127.<n>.0.0 that are tried in turn, so that two demos can run beside each other.
_NETWORKS: Final = range(16, 240)
_ATTEMPTS: Final = 16
_ABSENT: Final = ("nobody", "no-name")
_NOT_FOUND: Final = Reply(status=404, title="There is no such page", text=("The address may have a typing error.",))
_NOT_ALLOWED: Final = Reply(status=405, headers=("Allow: GET",), type="", body="")
_BAD_REQUEST: Final = Reply(status=400, type="", body="", framing="close")


class DemoError(RuntimeError):
    """The demo web cannot be started. The message says why and what to do."""


class Access(msgspec.Struct):
    """One request as a server saw it.

    Attributes:
        began: monotonic seconds when its head was complete.
        ended: monotonic seconds when the answer was written or the client had gone; None while it lasts.
        origin: "https://news.example:8443".
        method: as sent.
        path: the request target.
        headers: as sent, in order.
        peer: address and port of the client.
    """

    began: float
    origin: str
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    peer: tuple[str, int]
    ended: float | None = None

    @property
    def url(self) -> str:
        """The URL that was asked for."""
        return self.origin + self.path


class DemoWeb:
    """A running demo web. Made by `DemoWeb.start()`.

    Attributes:
        web: the sites as data.
        hosts: address by name.
        resolve_file: the same as a file of `name=address` lines, for KNOCKFIRST_RESOLVE.
        ca_file: certificate of the authority to trust.
        access_log: every request, in the order of arrival; grows while the demo runs.
    """

    def __init__(self, web: Web, folder: Path, network: int) -> None:
        self.web = web
        self.hosts: Mapping[str, str] = {
            host: f"127.{network}.{1 + i // 250}.{1 + i % 250}" for i, host in enumerate(web.named_hosts)
        }
        self.access_log: list[Access] = []
        self.resolve_file = folder / "hosts"
        self.resolve_file.write_text(self.resolve_text, "utf-8")
        authority = Authority(folder, dt.datetime.now(dt.UTC))
        self.ca_file = authority.ca_file
        secure = [site.host for site in web.sites if site.scheme == "https" and not site.server]
        self._tls = {
            "": authority.server_context(*secure),
            "wrong-certificate": authority.server_context("other.example"),
        }
        self._answered: Counter[str] = Counter()

    @classmethod
    @contextmanager
    def start(cls, ports: Ports = Ports(), text: str | None = None) -> Iterator[DemoWeb]:  # noqa: B008 - immutable
        """Run the web of `web.toml` (or of `text`) until the block ends.

        Raises:
            DemoError: the ports are taken on every loopback address that was tried.
        """
        web = Web.load(ports, text)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="knockfirst-demo-")))
            yield stack.enter_context(_running(web, folder))

    @property
    def seeds(self) -> tuple[str, ...]:
        """URLs to start from."""
        return self.web.seeds

    @property
    def expected(self) -> Mapping[str, Expectation]:
        """What a finished crawl must have entered, by URL."""
        return self.web.expected

    @property
    def resolve_text(self) -> str:
        """One `name=address` a line."""
        return "".join(f"{host}={address}\n" for host, address in self.hosts.items())

    def reset(self) -> None:
        """Forget who asked for what: the access log is empty, first answers are first again."""
        self.access_log.clear()
        self._answered.clear()

    async def open(self, stack: ExitStack) -> None:
        """Listen for every site; the servers are closed with `stack`."""
        for site in self.web.sites:
            if site.server in _ABSENT:
                continue
            tls: ssl.SSLContext | None = self._tls[site.server] if site.scheme == "https" else None
            host = _Host(self, site)
            port = getattr(self.web.ports, site.scheme)
            server = await asyncio.start_server(host.serve, self.hosts[site.host], port, ssl=tls, limit=_MAX_HEAD)
            stack.callback(server.close)

    def next_reply(self, origin: str, path: str, item: File) -> Reply:
        """The answer whose turn it is."""
        key = origin + path
        turn = self._answered[key]
        self._answered[key] += 1
        return item.first[turn] if turn < len(item.first) else item


class _Host:
    """One site's server: connections are kept alive, requests on them answered in order."""

    def __init__(self, demo: DemoWeb, site: Site) -> None:
        self._demo = demo
        self._site = site
        self._origin = demo.web.url("/", site).removesuffix("/")
        self._items: dict[str, File] = {item.path: item for item in (*site.file, *site.page)}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection until either side has enough."""
        try:
            while await self._answer_one(reader, writer):
                pass
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass  # The client left, or sent what is no request: a server shrugs.
        finally:
            writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        access = _read_head(head, self._origin, writer.get_extra_info("peername"))
        self._demo.access_log.append(access)
        try:
            reply = self._choose(access)
            message = message_of(self._demo.web, self._site, access.path, reply)
            if wait := reply.delay_s or self._pace(access.path):
                await asyncio.sleep(wait)
            if reply.fault:
                await FAULTS[reply.fault](reader, writer, message)
                return False
            writer.write(message.head + message.body)
            await writer.drain()
            return message.keep_alive and ("connection", "close") not in access.headers
        finally:
            access.ended = time.monotonic()

    def _choose(self, access: Access) -> Reply:
        if not access.path.startswith("/"):
            return _BAD_REQUEST
        if access.method != HTTPMethod.GET:
            return _NOT_ALLOWED
        item = self._items.get(access.path)
        return _NOT_FOUND if item is None else self._demo.next_reply(self._origin, access.path, item)

    def _pace(self, path: str) -> float:
        return self._site.delay_s if isinstance(self._items.get(path), Page) else 0.0


def _read_head(head: bytes, origin: str, peer: tuple[str, int]) -> Access:
    request, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    method, _, rest = request.partition(" ")
    fields = [line.partition(":") for line in lines]
    headers = tuple((name.lower(), value.strip()) for name, _, value in fields)
    return Access(time.monotonic(), origin, method, rest.rpartition(" ")[0], headers, peer[:2])


@contextmanager
def _running(web: Web, folder: Path) -> Iterator[DemoWeb]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="demo-web", daemon=True)
    thread.start()
    with ExitStack() as servers:
        try:
            yield _opened(web, folder, loop, servers)
        finally:
            asyncio.run_coroutine_threadsafe(_shut(servers), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


def _opened(web: Web, folder: Path, loop: asyncio.AbstractEventLoop, servers: ExitStack) -> DemoWeb:
    first = os.getpid() % len(_NETWORKS)
    for attempt in range(_ATTEMPTS):
        demo = DemoWeb(web, folder, _NETWORKS[(first + attempt) % len(_NETWORKS)])
        try:
            asyncio.run_coroutine_threadsafe(demo.open(servers), loop).result()
        except OSError as fault:
            asyncio.run_coroutine_threadsafe(_close(servers), loop).result()
            if fault.errno != errno.EADDRINUSE:
                raise DemoError(f"the demo web cannot listen on loopback: {fault}") from fault
        else:
            return demo
    raise DemoError(
        f"the demo web needs the ports {web.ports.http} and {web.ports.https}, and another program listens on them on "
        "every address of this machine. Stop that program (`ss -ltnp` names it) and start again."
    )


async def _close(servers: ExitStack) -> None:
    servers.close()


async def _shut(servers: ExitStack) -> None:
    """Stop listening, and end every answer that is still under way."""
    servers.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
