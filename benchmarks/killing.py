"""Starts crawls and kills them at chosen moments: at the n-th request a server sees, or the n-th change to a file.

Nothing here waits for time. A moment is counted in what the crawl itself does, so that a slow machine is hit in the
same places as a fast one: while it starts, recovers, fetches, writes or closes. Linux only (inotify, pidfd).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import re
import selectors
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

from crawler.demo.run import PROJECT
from crawler.demo.server import Access, DemoWeb

PATIENCE_S: Final = 120.0
"""A crawl of the demo web that takes longer hangs."""

_MODIFY, _MOVED_TO, _CREATE, _DELETE, _IS_FOLDER = 0x2, 0x80, 0x100, 0x200, 0x40000000
_KINDS: Final = {_MODIFY: "write", _MOVED_TO: "name", _CREATE: "create", _DELETE: "delete"}
_EVENT: Final = struct.Struct("iIII")
_REQUEST: Final = "request"


class Moment(NamedTuple):
    """When to kill: at the `nth` event that `what` matches, counted from the first one that `after` matches.

    Events read "request", "create crawl.json.new", "write log/seg-00000000.jsonl", "name warc/web-....warc.gz",
    "delete frontier.db-wal".
    """

    what: str
    nth: int
    after: str = ""

    def __str__(self) -> str:
        since = " of closing" if self.after else ""
        return f"{'request' if self.what == _REQUEST else 'change'} {self.nth}{since}"


#: Changes to files, of any kind.
_CHANGE: Final = "(create|write|name|delete) "
_OFTEN: Final = 0.6
#: WARC files get their names when nothing but the last entries and the signature is left to do.
_CLOSING: Final = r"name (warc|evidence)/.*\.warc\.gz"


def moments(chance: random.Random) -> Iterator[Moment]:
    """Moments for one round: a crawl's life is cut at each of them in turn, early, in the middle and late."""
    yield chance.choice((Moment(_CHANGE, chance.randint(1, 30)), Moment(_REQUEST, chance.randint(1, 90))))
    for _ in range(chance.randint(1, 3)):
        yield chance.choice((Moment(_REQUEST, chance.randint(1, 150)), Moment(_CHANGE, chance.randint(40, 250))))
        if chance.random() < _OFTEN:
            yield Moment(_CHANGE, chance.randint(1, 40))  # while it recovers from that
    if chance.random() < _OFTEN:
        yield Moment(_CHANGE, chance.randint(1, 8), after=_CLOSING)


def afterthought(chance: random.Random) -> Moment:
    """A moment in a crawl that had nothing left to do."""
    return Moment(_CHANGE, chance.randint(1, 20))


class Life(NamedTuple):
    """One process of a crawl.

    Attributes:
        moment: when it was to be killed, as text or `Moment`; None for one that was left alone.
        ended: monotonic seconds of its end.
        status: what it ended with; -9 when it was killed, anything else when it ended before the moment came.
        said: its standard output and error.
        agent: what its User-Agent holds and that of no other worker's process.
        may_refuse: whether its disk or its server failed it, so that it might refuse to start, saying why.
        stops: monotonic seconds at which it was stopped (SIGSTOP).
    """

    moment: object
    ended: float
    status: int
    said: str
    agent: str = ""
    may_refuse: bool = False
    stops: tuple[float, ...] = ()

    @property
    def killed(self) -> bool:
        """True when the moment came."""
        return self.status == -9


class _AccessLog(list[Access]):
    """An access log that tells at once about each request."""

    def __init__(self, told: int) -> None:
        super().__init__()
        self._told = told

    def append(self, access: Access) -> None:
        super().append(access)
        os.eventfd_write(self._told, 1)


class Killer:
    """Runs one command again and again over one web, and kills it when told.

    Args:
        web: running.
        command: the crawl.
        out: its output folder; made when missing, so that it can be watched from the first byte.
    """

    def __init__(self, web: DemoWeb, command: Sequence[str], out: Path) -> None:
        self._command, self._out = command, out
        self._requests = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        web.access_log = _AccessLog(self._requests)
        self.lives: list[Life] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._requests)

    def run(self, moment: Moment | None = None) -> Life:
        """One process, until it ends by itself or the moment comes.

        Raises:
            TimeoutError: neither happened.
        """
        self._out.mkdir(parents=True, exist_ok=True)
        said = self._out.with_name(f"{self._out.name}-life-{len(self.lives)}.txt")
        with _Watch(self._out) as watch, said.open("wb") as output:
            self._drain()
            process = subprocess.Popen(self._command, cwd=PROJECT, stdout=output, stderr=subprocess.STDOUT)
            try:
                self._wait(process, watch, moment)
            finally:
                process.kill()
                process.wait()
        ended = time.monotonic()
        self.lives.append(Life(moment, ended, process.returncode, said.read_text("utf-8", "replace")))
        return self.lives[-1]

    def _wait(self, process: subprocess.Popen[bytes], watch: _Watch, moment: Moment | None) -> None:
        deadline = time.monotonic() + PATIENCE_S
        counted, begun = 0, not (moment and moment.after)
        with contextlib.ExitStack() as stack:
            exited = os.pidfd_open(process.pid)
            stack.callback(os.close, exited)
            selector = stack.enter_context(selectors.DefaultSelector())
            for source in (exited, watch.descriptor, self._requests):
                selector.register(source, selectors.EVENT_READ)
            while process.poll() is None:
                ready = {key.fd for key, _ in selector.select(max(0.0, deadline - time.monotonic()))}
                if not ready:
                    raise TimeoutError(f"neither the end nor {moment} came within {PATIENCE_S:.0f} s")
                for event in self._events(ready, watch):
                    begun = begun or bool(moment and re.match(moment.after, event))
                    counted += bool(moment and begun and re.match(moment.what, event))
                    if moment and counted >= moment.nth:
                        return

    def _events(self, ready: set[int], watch: _Watch) -> Iterator[str]:
        if self._requests in ready:
            yield from [_REQUEST] * self._drain()
        if watch.descriptor in ready:
            yield from watch.read()

    def _drain(self) -> int:
        try:
            return os.eventfd_read(self._requests)
        except BlockingIOError:
            return 0


class _Watch:
    """Changes to the files of a folder and of the folders in it, as the kernel tells them."""

    def __init__(self, folder: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor: int = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify is needed to watch the crawl")
        self._root = folder
        self._folders: dict[int, Path] = {}
        for one in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            self._add(one)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def _add(self, folder: Path) -> None:
        mask = _MODIFY | _MOVED_TO | _CREATE | _DELETE
        number = self._libc.inotify_add_watch(self.descriptor, os.fsencode(folder), mask)
        if number < 0:
            raise OSError(ctypes.get_errno(), f"{folder} cannot be watched")
        self._folders[number] = folder

    def read(self) -> Iterator[str]:
        """What has happened since the last call: "write log/seg-00000000.jsonl"."""
        with contextlib.suppress(BlockingIOError):
            data = os.read(self.descriptor, 1 << 16)
            offset = 0
            while offset < len(data):
                number, mask, _, length = _EVENT.unpack_from(data, offset)
                offset += _EVENT.size
                path = self._folders[number] / os.fsdecode(data[offset : offset + length].rstrip(b"\0"))
                offset += length
                if mask & _IS_FOLDER:
                    if mask & _CREATE:
                        self._add(path)
                    continue
                kind = next((name for bit, name in _KINDS.items() if mask & bit), "")
                if kind:
                    yield f"{kind} {path.relative_to(self._root)}"
