"""What the demo's servers put on the wire: replies as octets, and everything that can go wrong with them.

HTTP/1.1 as far as a misbehaving origin needs it (RFC 9112). Octets are written one by one on purpose: a library would
mend them.
"""

from __future__ import annotations

import asyncio
import gzip
import html
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from importlib.resources import files
from typing import Final

import brotli
import msgspec
import zstandard

from crawler.demo.situations import Fault, Reply, Site, Web

_CHUNK: Final = 1000
_BLOCK: Final = 1 << 20
#: 4 GiB of zeros in 4 MiB: past every sensible bound, and nobody has to hold it.
_BOMB_BLOCKS: Final = 4096


class Message(msgspec.Struct, frozen=True):
    """A reply as octets: the head with its blank line, the body with its framing."""

    head: bytes
    body: bytes
    keep_alive: bool


def page_of(web: Web, site: Site, path: str, reply: Reply) -> str:
    """The HTML of a small, plain page."""
    title = reply.title or f"{site.host}{path}"
    links = [(link, "") for link in reply.links] + [(link, ' rel="nofollow"') for link in reply.nofollow]
    items = "".join(
        f'<li><a href="{html.escape(_href(web, link))}"{rel}>{html.escape(link)}</a></li>\n' for link, rel in links
    )
    home = '<p><a href="/">Home</a></p>\n' if any(p.path == "/" for p in site.page) else ""
    prose = "".join(f"<p>{html.escape(text)}</p>\n" for text in reply.text or web.prose(site.host + path))
    meta = "".join(f"{line}\n" for line in reply.meta)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<title>{html.escape(title)}</title>\n{meta}</head>\n<body>\n{home}'
        f"<h1>{html.escape(title)}</h1>\n{prose}" + (f"<ul>\n{items}</ul>\n" if items else "") + "</body>\n</html>\n"
    )


def message_of(web: Web, site: Site, path: str, reply: Reply) -> Message:
    """The octets of a reply."""
    bodyless = reply.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
    entity = b"" if bodyless else _CODINGS[reply.coding](_entity(web, site, path, reply))
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}", "Server: demo"]
    if reply.type and not bodyless:
        lines.append(f"Content-Type: {reply.type}")
    if reply.coding or reply.fault in _CODED:
        lines.append(f"Content-Encoding: {reply.coding or _CODED[reply.fault]}")
    lines += [web.fill(line) for line in reply.headers]
    if not bodyless:
        lines += _FRAMINGS[reply.framing](entity)
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n" if reply.early_hints else b""
    head = early + "\r\n".join([*lines, "", ""]).encode("latin-1")
    return Message(head, _chunked(entity) if reply.framing == "chunked" else entity, reply.framing != "close")


def _href(web: Web, link: str) -> str:
    return link if link.startswith("/") else web.url(link)


def _entity(web: Web, site: Site, path: str, reply: Reply) -> bytes:
    if reply.asset:
        return files("crawler.demo").joinpath("assets", reply.asset).read_bytes()
    text = page_of(web, site, path, reply) if reply.body is None else web.fill(reply.body)
    line = "# " + "the gardens open early and close late, " * 2 + "\n"
    return text.replace("{pad}", line * (reply.pad // len(line))).encode(reply.charset)


def _chunked(entity: bytes) -> bytes:
    pieces = (entity[at : at + _CHUNK] for at in range(0, len(entity), _CHUNK))
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


_CODINGS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "": bytes,
    "gzip": lambda entity: gzip.compress(entity, mtime=0),
    "br": brotli.compress,
    "zstd": lambda entity: zstandard.ZstdCompressor().compress(entity),
}
#: Faults of a coded body announce the coding that they abuse.
_CODED: Final[Mapping[Fault | None, str]] = {"bomb": "gzip", "bad-coding": "gzip"}
_FRAMINGS: Final[Mapping[str, Callable[[bytes], list[str]]]] = {
    "length": lambda entity: [f"Content-Length: {len(entity)}"],
    "chunked": lambda _: ["Transfer-Encoding: chunked"],
    "close": lambda _: ["Connection: close"],
}


async def _until_the_client_leaves(reader: asyncio.StreamReader) -> None:
    while await reader.read(4096):
        pass


async def _never(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter, _message: Message) -> None:
    await _until_the_client_leaves(reader)


async def _reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _message: Message) -> None:
    # Lingering for no time turns the close into an RST.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _break_off(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: Message) -> None:
    writer.write(message.head + message.body[: len(message.body) // 2])
    await writer.drain()


async def _stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: Message) -> None:
    await _break_off(reader, writer, message)
    await _until_the_client_leaves(reader)


async def _garbage(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _message: Message) -> None:
    writer.write(b"220 mail.example ready and waiting\r\nfor something else\r\n\r\n")
    await writer.drain()


async def _endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: Message) -> None:
    writer.write(message.head)
    line = b"<p>And then the river went on, and on, and on.</p>\n"
    piece = line * (_BLOCK // len(line))
    while not writer.is_closing():
        writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        await writer.drain()


async def _bomb(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: Message) -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    zeros = bytes(_BLOCK)
    # After a full flush a block stands alone, so that one of them can be sent again and again.
    first, again = (deflate.compress(zeros) + deflate.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    writer.write(message.head)
    for piece in (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff" + first, *[again] * _BOMB_BLOCKS):
        writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        await writer.drain()


async def _bad_coding(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: Message) -> None:
    writer.write(message.head + message.body)
    await writer.drain()


Misbehave = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Message], Awaitable[None]]

#: After each of them the connection is closed.
FAULTS: Final[Mapping[Fault, Misbehave]] = {
    "bad-coding": _bad_coding,
    "bomb": _bomb,
    "break-off": _break_off,
    "endless": _endless,
    "garbage": _garbage,
    "never": _never,
    "reset": _reset,
    "stall": _stall,
}
