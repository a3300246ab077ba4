"""HTTP/1.1 on one connection, without the connection: bytes in, one message with its exact bytes out.

h11 decides what the bytes mean (RFC 9112, https://www.rfc-editor.org/rfc/rfc9112); here is kept where each part
began and ended, which h11's public `trailing_data` tells. Nothing is rebuilt: heads and blocks are slices of what
arrived. h11 reads bare LF, missing reason phrases and folded lines as servers in the field send them; framing that
can be read in two ways (Content-Length beside Transfer-Encoding, lengths that differ) is an error.
"""

from __future__ import annotations

from io import BytesIO
from typing import Final

import h11

from crawler.download.content import Entity
from crawler.download.errors import Reason, TransferError
from crawler.download.limits import Limits
from reservations.model import Header

TOO_LARGE_HINT: Final = 431
"""The status that h11 proposes when its buffer is full."""

FRAMING: Final = frozenset({"content-length", "transfer-encoding"})


def parse_fields(head: bytes) -> tuple[Header, ...]:
    """The header lines of a head that h11 has accepted, as they stood there.

    h11's own list merges equal Content-Length lines and lower-cases Transfer-Encoding, hence this one. A folded
    line (RFC 9112 5.2) continues the one before it.
    """
    fields: list[Header] = []
    for line in head.decode("latin-1").split("\n")[1:]:
        text = line.rstrip("\r")
        if not text:
            continue
        if text[0] in " \t":
            last = fields.pop()
            fields.append(Header(last.name, last.value + " " + text.strip(" \t")))
            continue
        name, _, value = text.partition(":")
        fields.append(Header(name, value.strip(" \t")))
    return tuple(fields)


class Message:
    """One answer, as far as it has arrived.

    Attributes:
        interim: 1xx heads, each with its blank line.
        head: the final head with its blank line; empty until it is there.
        status, http_version, headers: read from `head`.
        received: bytes of any kind that came for this request.
        complete: the last byte of the block is there.
    """

    def __init__(self, limits: Limits, where: str) -> None:
        self.interim: tuple[bytes, ...] = ()
        self.head = b""
        self.status = 0
        self.http_version = ""
        self.headers: tuple[Header, ...] = ()
        self.received = 0
        self.complete = False
        self._limits = limits
        self._where = where
        self._unread = bytearray()  # bytes of a head that is not complete
        self._block = BytesIO()
        self._early: list[bytes] = []  # data that came with the head, before anybody wanted it
        self._data_bytes = 0
        self._entity: Entity | None = None

    def values(self, name: str) -> list[str]:
        """Values of all lines of one field, given in lower case."""
        return [header.value for header in self.headers if header.name.lower() == name]

    def block(self) -> bytes:
        """What followed the head, as transferred, as far as it has arrived."""
        return self._block.getvalue()

    def decode_into(self, entity: Entity) -> None:
        """Hands data on to `entity` from now on, first what came early."""
        self._entity = entity
        for data in self._early:
            entity.feed(data)
        self._early.clear()

    @property
    def wanted(self) -> bool:
        """Somebody reads the body and has not enough of it."""
        return self._entity is not None and not self._entity.truncated

    def add_bytes(self, data: bytes) -> None:
        """Keeps bytes as they arrive; h11 says later what they were."""
        self.received += len(data)
        if self.head:
            self._block.write(data)
        else:
            self._unread += data

    def end_head(self, event: h11.Response | h11.InformationalResponse, unread: int) -> None:
        """Cuts a head off: everything but the last `unread` bytes."""
        cut = len(self._unread) - unread
        head, rest = bytes(self._unread[:cut]), bytes(self._unread[cut:])
        if len(head) > self._limits.head_bytes or len(event.headers) > self._limits.head_fields:
            raise self.error("too-large", f"a head of {len(head)} bytes, {len(event.headers)} lines")
        if isinstance(event, h11.InformationalResponse):
            self._end_interim_head(head, rest)
            return
        self._unread.clear()
        self._block.write(rest)
        self.head, self.status, self.http_version = head, event.status_code, event.http_version.decode()
        self.headers = parse_fields(head)
        if len({header.name.lower() for header in self.headers} & FRAMING) > 1:
            raise self.error("protocol", "both Content-Length and Transfer-Encoding")

    def _end_interim_head(self, head: bytes, rest: bytes) -> None:
        self.interim += (head,)
        self._unread[:] = rest
        if len(self.interim) > self._limits.interim_heads:
            raise self.error("protocol", f"more than {self._limits.interim_heads} 1xx answers")

    def add_data(self, data: bytes) -> None:
        """Takes a piece of body with the framing removed."""
        self._data_bytes += len(data)
        if self._entity is None:
            self._early.append(data)
        else:
            self._entity.feed(data)

    def check_framing(self) -> None:
        """Refuses a block of countless tiny chunks or endless chunk extensions."""
        if self._block.tell() > 2 * self._data_bytes + self._limits.framing_bytes:
            raise self.error("protocol", "more chunk framing than data")

    def end_block(self, unread: int) -> None:
        """Cuts the block off: everything but the last `unread` bytes, which belong to no message."""
        self._block.truncate(self._block.tell() - unread)
        self.complete = True

    def error(self, reason: Reason, detail: str) -> TransferError:
        """A fault of this answer."""
        return TransferError(reason, self._where, detail)


class Wire:
    """The HTTP/1.1 state of one connection: request after request, one at a time.

    Attributes:
        message: the answer being received; a new object for every request.
        spoiled: something went wrong or came unasked, the connection must not be used again.
    """

    def __init__(self, limits: Limits, where: str) -> None:
        self.message = Message(limits, where)
        self.message.complete = True
        self.spoiled = False
        self._limits = limits
        self._where = where
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=limits.head_bytes)

    def start(self, request: h11.Request) -> bytes:
        """The bytes of a request without a body; `message` is its answer from now on."""
        if self._h11.our_state is h11.DONE:
            self._h11.start_next_cycle()
        self.message = Message(self._limits, self._where)
        return self._h11.send(request) + self._h11.send(h11.EndOfMessage())

    @property
    def reusable(self) -> bool:
        """Both sides have said all, and neither means to close."""
        return not self.spoiled and self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE

    def receive(self, data: bytes) -> None:
        """Takes bytes from the peer.

        Raises:
            TransferError: the answer is not what it should be; the connection is spoiled.
        """
        if self.message.complete:
            self.spoiled = True
            return
        self.message.add_bytes(data)
        self._h11.receive_data(data)
        try:
            self._take_events()
            self.message.check_framing()
        except h11.RemoteProtocolError as error:
            self.spoiled = True
            reason: Reason = "too-large" if error.error_status_hint == TOO_LARGE_HINT else "protocol"
            raise self.message.error(reason, str(error)) from error
        except TransferError:
            self.spoiled = True
            raise

    def receive_eof(self) -> None:
        """Takes the end of the peer's bytes, which may be the end of the message.

        Raises:
            TransferError: "reset" when nothing had come, "incomplete" when the answer breaks off here.
        """
        self.spoiled = True
        if self.message.complete:
            return
        self._h11.receive_data(b"")
        try:
            self._take_events()
        except h11.RemoteProtocolError as error:
            raise self.broken_off() from error

    def broken_off(self) -> TransferError:
        """The error for a connection that ended before the message did."""
        self.spoiled = True
        if self.message.received:
            return self.message.error("incomplete", f"closed after {self.message.received} bytes of the answer")
        return self.message.error("reset", "closed before an answer")

    def _take_events(self) -> None:
        while not self.message.complete:
            event = self._h11.next_event()
            if isinstance(event, h11.Data):
                self.message.add_data(event.data)
            elif isinstance(event, h11.Response | h11.InformationalResponse):
                self.message.end_head(event, len(self._h11.trailing_data[0]))
            elif isinstance(event, h11.EndOfMessage):
                self._end_message()
            else:
                return

    def _end_message(self) -> None:
        unread = len(self._h11.trailing_data[0])
        self.spoiled = self.spoiled or bool(unread)
        self.message.end_block(unread)
