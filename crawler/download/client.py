"""The download client: one GET, one answer, byte for byte, and nothing that nobody decided.

One connection per origin, one exchange on it at a time, so that answers cannot be mixed up. No redirects, cookies,
caches, proxies or second tries, not even on a fresh connection when a kept one is lost: what was asked for must be
accounted for, so each request is an attempt of its own with an entry of its own.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache, partial
from typing import Final

import h11
import msgspec

from crawler.download.addresses import Address, AddressGuard, peer_address
from crawler.download.connection import Answered, Connection
from crawler.download.content import ACCEPT_ENCODING, Entity
from crawler.download.errors import TransferError
from crawler.download.limits import Limits
from reservations.urls import Origin, origin_of, request_target

DEFAULT_LIMITS: Final = Limits()
IPV4: Final = 4

OURS: Final = frozenset(
    {"host", "user-agent", "accept-encoding", "connection", "content-length", "transfer-encoding", "upgrade", "expect"}
)
"""Header fields that the client alone sets, in lower case."""


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """The body of an answer.

    Attributes:
        block_bytes: as transferred after the head, chunk framing and codings included.
        content: the entity, framing and codings removed.
        truncated: `content` was cut at the size asked for, and `block_bytes` ends soon after.
    """

    block_bytes: bytes
    content: bytes
    truncated: bool = False


@lru_cache(maxsize=4096)
def _request_to(fields: tuple[tuple[str, str], ...]) -> h11.Request:
    """A request with these fields, which h11 has looked through: they are the same each time for one origin."""
    return h11.Request(method="GET", target="/", headers=[*fields, ("Accept-Encoding", ACCEPT_ENCODING)])


class Exchange:
    """A request that was sent, and its answer up to the head. End it with `read` or `stop`.

    Until then its origin's connection is taken, at most for `Limits.total_s`.

    Attributes:
        url: as asked for.
        request_bytes: as sent.
        head_bytes: the final head as received, with its blank line.
        interim_heads: 1xx heads that came before, likewise.
        status, headers, http_version: read from the head; header lines in the sender's case and order.
        ip, port, tls_version, tls_cipher: whom we talked to, and how.
        sent_at, head_at: aware UTC.
    """

    def __init__(
        self,
        url: str,
        connection: Connection,
        answer: Answered,
        *,
        limits: Limits,
    ) -> None:
        message, peer = answer.message, connection.peer
        self.url = url
        self.request_bytes = answer.request_bytes
        self.head_bytes = message.head
        self.interim_heads = message.interim
        self.status = message.status
        self.headers = message.headers
        self.http_version = message.http_version
        self.ip, self.port = peer.ip, peer.port
        self.tls_version, self.tls_cipher = peer.tls_version, peer.tls_cipher
        self.sent_at, self.head_at = answer.sent_at, answer.head_at
        self._connection = connection
        self._message = message
        self._limits = limits
        self._over = False

    async def read(self, max_bytes: int, *, truncate: bool = False) -> Body:
        """Reads the body.

        Args:
            max_bytes: bound on the entity.
            truncate: cut there instead of raising "too-large".

        Raises:
            TransferError: "too-large", "inflation", "encoding", "timeout", "incomplete", "protocol".
            RuntimeError: the exchange is over already.
        """
        if self._over:
            raise RuntimeError(f"{self.url}: the body was read or given up before")
        self._over = True
        entity = Entity(
            self._message.values("content-encoding"),
            max_bytes=max_bytes,
            truncate=truncate,
            limits=self._limits,
            where=self._connection.where,
        )
        await self._connection.read(entity)
        return Body(block_bytes=self._message.block(), content=entity.content(), truncated=entity.truncated)

    def stop(self) -> None:
        """Gives up the body. The connection is closed, unless the whole answer came together with its head."""
        if not self._over:
            self._over = True
            self._connection.end()


class _Turn:
    """Whose turn it is at one origin. Lives while somebody is there or waits."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0


class Client:
    """Asks one URL at a time of each origin, over connections that are kept a while.

    Args:
        user_agent: sent with every request.
        guard: says which addresses may be connected to.
        tls: how servers prove who they are (`tls.client_context`).
        limits: bounds of every exchange.
        permit: called with the origin ("https://host[:port]") right before a request leaves; what it raises is raised.
        clock: gives aware UTC times for `sent_at` and `head_at`; time-outs use the event loop's own clock.
    """

    def __init__(
        self,
        *,
        user_agent: str,
        guard: AddressGuard,
        tls: ssl.SSLContext,
        clock: Callable[[], datetime],
        limits: Limits = DEFAULT_LIMITS,
        permit: Callable[[str], None] = lambda _origin: None,
    ) -> None:
        self._permit = permit
        self._user_agent = user_agent
        self._guard = guard
        self._tls = tls
        self._limits = limits
        self._clock = clock
        self._turns: dict[Origin, _Turn] = {}
        self._idle: OrderedDict[Origin, Connection] = OrderedDict()  # least recently used first
        self._open: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def exchange(self, url: str, *, headers: Sequence[tuple[str, str]] = ()) -> Exchange:
        """Asks for a URL and returns when the final head of the answer is there.

        Waits while another exchange with the same origin is not over.

        Args:
            url: an absolute http or https URL in canonical form.
            headers: further header fields, none of those in `OURS`.

        Raises:
            TransferError: no head: "dns", "tls", "timeout", "reset", "incomplete", "protocol", "too-large".
            AddressForbidden: the name leads inside.
            ValueError: the request cannot be made: no http or https URL (`UrlError`), a header field is not allowed.
        """
        origin = origin_of(url)
        request = self._request(url, origin, headers)
        await self._enter(origin)
        try:
            exchange = await self._exchange(url, origin, request)
        except BaseException:
            self._leave(origin)
            raise
        return exchange

    def drop(self, origin: str) -> None:
        """Breaks off whatever is under way with an origin ("https://host[:port]"), which fails as "reset"."""
        for connection in tuple(self._open):
            if connection.where == origin:
                connection.fail(TransferError("reset", origin, "the right to ask it is over"))

    async def close(self) -> None:
        """Closes all connections; exchanges under way fail."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        connections = tuple(self._open)
        for connection in connections:
            connection.fail(TransferError("reset", connection.where, "the client is closing"))
        await asyncio.gather(*(connection.lost for connection in connections))
        self._guard.close()

    def _request(self, url: str, origin: Origin, headers: Sequence[tuple[str, str]]) -> h11.Request:
        taken = sorted(name for name, _ in headers if name.lower() in OURS)
        if taken:
            raise ValueError(f"{url}: the client itself sets {', '.join(taken)}")
        fields = (("Host", origin.authority), ("User-Agent", self._user_agent), *headers)
        try:
            return h11.Request(method="GET", target=request_target(url), headers=_request_to(fields).headers)
        except h11.LocalProtocolError as error:
            raise ValueError(f"{url}: cannot be asked for: {error}") from error

    # Turns and kept connections

    async def _enter(self, origin: Origin) -> None:
        turn = self._turns.setdefault(origin, _Turn())
        turn.users += 1
        try:
            await turn.lock.acquire()
        except asyncio.CancelledError:
            self._step_back(origin, turn)
            raise

    def _leave(self, origin: Origin, connection: Connection | None = None) -> None:
        if connection is not None and connection.reusable and not self._closed:
            self._keep(origin, connection)
        turn = self._turns[origin]
        turn.lock.release()
        self._step_back(origin, turn)

    def _step_back(self, origin: Origin, turn: _Turn) -> None:
        turn.users -= 1
        if not turn.users:
            del self._turns[origin]

    def _keep(self, origin: Origin, connection: Connection) -> None:
        self._idle[origin] = connection
        if len(self._idle) > self._limits.keep_alive_connections:
            self._idle.popitem(last=False)[1].abort()
        if self._sweeper is None:
            self._sweep()

    def _sweep(self) -> None:
        """Closes connections that were idle too long, and comes back when the next one will be."""
        self._sweeper = None
        loop = asyncio.get_running_loop()
        while self._idle:
            origin, oldest = next(iter(self._idle.items()))
            due = oldest.idle_since + self._limits.keep_alive_s
            if due > loop.time():
                self._sweeper = loop.call_at(due, self._sweep)
                return
            self._idle.pop(origin).abort()

    def _take_kept(self, origin: Origin) -> Connection | None:
        connection = self._idle.pop(origin, None)
        if connection is not None and not connection.is_quiet():
            connection.abort()
            return None
        return connection

    def _forget(self, origin: Origin, connection: Connection) -> None:
        self._open.discard(connection)
        if self._idle.get(origin) is connection:
            del self._idle[origin]

    # One exchange

    async def _exchange(self, url: str, origin: Origin, request: h11.Request) -> Exchange:
        deadline = asyncio.get_running_loop().time() + self._limits.total_s
        connection = self._take_kept(origin) or await self._connect(origin, deadline)
        try:
            self._permit(str(origin))
        except BaseException:
            connection.abort()
            raise
        answer = await connection.ask(request, deadline, self._clock)
        connection.on_end = partial(self._leave, origin, connection)
        return Exchange(url, connection, answer, limits=self._limits)

    async def _connect(self, origin: Origin, deadline: float) -> Connection:
        """Connects to the first address that answers."""
        where = str(origin)
        try:
            async with self._bounded(deadline):
                addresses = await self._guard.addresses(origin.host)
        except TimeoutError as error:
            raise TransferError("timeout", where, "no answer from the name server in time") from error
        failure = TransferError("dns", where, "the name has no address")
        for address in addresses[: self._limits.addresses]:
            try:
                return await self._connect_to(origin, address, deadline)
            except TransferError as error:
                if error.reason not in {"reset", "timeout"}:
                    raise
                failure = error
        raise failure

    async def _connect_to(self, origin: Origin, address: Address, deadline: float) -> Connection:
        where = f"{origin} ({address})"
        if self._closed:
            raise TransferError("reset", where, "the client is closing")
        try:
            async with self._bounded(deadline):
                sock = await self._connected_socket(origin, address)
                connection = await self._connection(origin, sock)
        except TimeoutError as error:
            raise TransferError("timeout", where, "no connection in time") from error
        except ssl.SSLError as error:
            raise TransferError("tls", where, str(error)) from error
        except OSError as error:
            raise TransferError("reset", where, f"no connection: {error}") from error
        self._open.add(connection)
        connection.lost.add_done_callback(lambda _: self._forget(origin, connection))
        return connection

    async def _connected_socket(self, origin: Origin, address: Address) -> socket.socket:
        """A socket that is connected to `address` and to nothing else."""
        family = socket.AF_INET if address.version == IPV4 else socket.AF_INET6
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, (str(address), origin.port))
            self._guard.check_peer(origin.host, peer_address(sock), address)
        except BaseException:
            sock.close()
            raise
        return sock

    async def _connection(self, origin: Origin, sock: socket.socket) -> Connection:
        """The socket made ready for HTTP; the transport owns it from here on."""
        is_https = origin.scheme == "https"
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(self._limits, str(origin)),
            sock=sock,
            ssl=self._tls if is_https else None,
            server_hostname=origin.host.strip("[]").removesuffix(".") if is_https else None,
        )
        return connection

    def _bounded(self, deadline: float) -> asyncio.Timeout:
        """A time-out for one step of connecting."""
        return asyncio.timeout_at(min(deadline, asyncio.get_running_loop().time() + self._limits.connect_s))
