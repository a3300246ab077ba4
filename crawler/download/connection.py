"""One TCP or TLS connection: an asyncio protocol that reads no further than somebody wants to know.

It stops reading the socket once a head is there, until the body is asked for. One timer per exchange watches both
bounds: time between two segments, and time in all.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import Callable
from datetime import datetime
from typing import Final, cast

import h11
import msgspec

from crawler.download.content import Entity
from crawler.download.errors import TransferError
from crawler.download.limits import Limits
from crawler.download.wire import Message, Wire

READABLE: Final = select.POLLIN | select.POLLHUP | select.POLLERR


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """The other end of a connection; TLS version and cipher are None without TLS."""

    ip: str
    port: int
    tls_version: str | None
    tls_cipher: str | None


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was sent, and its answer up to the head; times are aware UTC."""

    message: Message
    request_bytes: bytes
    sent_at: datetime
    head_at: datetime


class Connection(asyncio.Protocol):
    """A connection to one authority, carrying one exchange at a time.

    Attributes:
        where: origin, for error messages.
        peer: whom it leads to.
        on_end: called once, when the exchange under way has ended, well or not; set when its head is there.
        lost: done when the transport is gone for good.
        reusable: set when an exchange has ended and left the connection fit for another.
        idle_since: event loop's time of the end of the last exchange.
    """

    def __init__(self, limits: Limits, where: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self.where = where
        self.peer = Peer(ip="", port=0, tls_version=None, tls_cipher=None)
        self.on_end: Callable[[], None] | None = None
        self._wire = Wire(limits, where)
        self._transport: asyncio.Transport | None = None
        self._awaited: asyncio.Future[None] | None = None
        self._until: Callable[[], bool] = bool
        self._error: TransferError | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._last_byte = 0.0
        self._busy = False
        self._reading = False
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self.reusable = False
        self.idle_since = 0.0

    # What the client asks for

    async def ask(self, request: h11.Request, deadline: float, clock: Callable[[], datetime]) -> Answered:
        """Sends a request and waits for the final head.

        Args:
            request: what to send.
            deadline: event loop's time at which the whole exchange must be over.
            clock: tells when it was sent and answered.
        """
        transport = self._live_transport()
        self._busy = True
        self._deadline = deadline
        self.reusable = False
        request_bytes = self._wire.start(request)
        message = self._wire.message
        sent_at = clock()
        transport.write(request_bytes)
        await self._wait(until=lambda: bool(message.head))
        return Answered(message=message, request_bytes=request_bytes, sent_at=sent_at, head_at=clock())

    async def read(self, entity: Entity) -> None:
        """Reads the body of the answer into `entity`: all of it, or as much as the entity wants."""
        message = self._wire.message
        try:
            message.decode_into(entity)
            if message.wanted and not message.complete:
                self._live_transport().resume_reading()
                self._reading = True
                await self._wait(until=lambda: message.complete or not message.wanted)
            if message.complete:
                entity.finish()
        except TransferError as error:
            self.fail(error)
            raise
        self.end()

    def end(self) -> None:
        """Ends the exchange: nobody wants more of the answer. What is not read yet is never read."""
        if not self._busy:
            return
        self._busy = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._reading = False
        self.reusable = self._error is None and self._wire.reusable
        self.idle_since = self._loop.time()
        if not self.reusable:
            self.abort()
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end()

    def fail(self, error: TransferError) -> None:
        """Ends the exchange with an error, and the connection with it."""
        self._error = self._error or error
        self._wake()
        self.end()
        self.abort()

    def abort(self) -> None:
        """Closes the connection at once."""
        self._wire.spoiled = True
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    def is_quiet(self) -> bool:
        """Tells whether the idle connection is open and nothing has come in.

        The event loop may not have seen yet what the kernel has: bytes that would be taken for the next answer, or
        the peer's farewell. (On TLS it may be a late session ticket; then a good connection is given up.)
        """
        if not self.reusable or self._transport is None:
            return False
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), READABLE)
        return not poll.poll(0)

    # What the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)
        ip, port, *_ = transport.get_extra_info("peername") or ("", 0)
        secured = cast("ssl.SSLObject | None", transport.get_extra_info("ssl_object"))
        version, cipher = (secured.version(), secured.cipher()) if secured else (None, None)
        self.peer = Peer(ip=ip, port=port, tls_version=version, tls_cipher=cipher[0] if cipher else None)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._last_byte = self._loop.time()
        try:
            self._wire.receive(data)
        except TransferError as error:
            self.fail(error)
            return
        if not self._busy:
            self.abort()  # bytes that no request asked for
            return
        message = self._wire.message
        if message.head and not message.complete and not self._reading:
            self._live_transport().pause_reading()
        self._wake_if_done()

    def eof_received(self) -> None:
        """See asyncio.Protocol; the transport closes itself."""
        self.reusable = False
        try:
            self._wire.receive_eof()
        except TransferError as error:
            self.fail(error)
            return
        self._wake_if_done()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if isinstance(exc, ssl.SSLError):
            self.fail(TransferError("tls", self.where, str(exc)))
        elif exc is None and not self._wire.spoiled:
            self.eof_received()  # TLS ended without a farewell
        elif not self._wire.message.complete:
            self.fail(self._wire.broken_off())
        self._transport = None
        self.abort()
        self.lost.set_result(None)

    # Inside

    def _live_transport(self) -> asyncio.Transport:
        if self._error is not None:
            raise self._error
        if self._transport is None:
            raise self._wire.broken_off()
        return self._transport

    async def _wait(self, until: Callable[[], bool]) -> None:
        """Waits for the event loop to bring what is wanted, or an error."""
        if self._error is None and not until():
            self._last_byte = self._loop.time()
            self._until = until
            self._awaited = self._loop.create_future()
            if self._timer is None:
                self._watch()
            try:
                await self._awaited
            except asyncio.CancelledError:
                self.fail(TransferError("reset", self.where, "cancelled by us"))
                raise
            finally:
                self._awaited = None
        if self._error is not None:
            raise self._error

    def _wake_if_done(self) -> None:
        if self._awaited is not None and self._until():
            self._wake()

    def _wake(self) -> None:
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_result(None)

    def _watch(self) -> None:
        """Fails the exchange when it is due, else looks again when it may be."""
        now = self._loop.time()
        due = self._deadline
        if self._awaited is not None:  # else it is we who keep the server waiting
            due = min(due, self._last_byte + self._limits.idle_s)
        if now >= due:
            kind = "in all" if now >= self._deadline else "of silence"
            self.fail(TransferError("timeout", self.where, f"gave up after too long a time {kind}"))
            return
        self._timer = self._loop.call_at(due, self._watch)
