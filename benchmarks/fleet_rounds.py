"""Does harm to a fleet over the demo web, lets it end, and counts what was lost. One command, one table.

    python -m benchmarks.fleet_rounds [--rounds 20] [--workers 3] [--engine valkey|sqlite] [--seed N] [--out DIR]

A round is one crawl by several workers on one frontier, to which two to four harms are done at seeded moments: workers
killed (kill -9) and started again at once, later or at the end; the server killed or restarted; all of it killed; a
worker stopped for longer than its leases last and woken; the line between a worker and the server cut; a worker whose
disk is full; the server lost for good while its replica was behind, and the replica promoted; the date of all workers
set an hour forward or back. Then all workers are started once more.

Exit code 1 when any figure that must be zero is not.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.fleet import LEASE_S, Calendar, Fleet, Worker
from benchmarks.kill_audit import FAULTS, Audit, audit
from benchmarks.kill_rounds import header, row
from crawler.demo.run import crawl_command, worker_commands
from crawler.demo.server import DemoWeb
from crawler.demo.situations import Ports

#: The demo's crawl makes about a thousand requests; harm that comes after its end would be none.
_LAST_REQUEST: Final = 800
#: No file of this size fits a whole crawl of the demo web.
_SMALL_DISK: Final = 150_000
#: The harm that takes a pair of servers.
_FAILOVER: Final = "failover"
#: The harm that takes a date that can be set.
_DATE: Final = "date set"
_HOUR_S: Final = 3600


class Harm(NamedTuple):
    """One harm: when, what, to whom, and for how long."""

    request: int
    what: str
    worker: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.what} at request {self.request}"


def _kill_worker(_: Fleet, worker: Worker, harm: Harm) -> None:
    worker.kill(str(harm))
    time.sleep(harm.seconds)
    worker.start()


def _lose_worker(_: Fleet, worker: Worker, harm: Harm) -> None:
    worker.kill(str(harm))  # started again when the others have ended


def _stop_worker(_: Fleet, worker: Worker, harm: Harm) -> None:
    worker.send(signal.SIGSTOP)
    time.sleep(LEASE_S + harm.seconds)
    worker.send(signal.SIGCONT)


def _kill_server(fleet: Fleet, _: Worker, harm: Harm) -> None:
    assert fleet.server
    fleet.server.kill()
    _without_server(fleet, harm)


def _without_server(fleet: Fleet, harm: Harm) -> None:
    assert fleet.server
    for worker in fleet.workers:
        worker.may_refuse = True  # if it is only starting
    time.sleep(harm.seconds)
    fleet.server.start()


def _restart_server(fleet: Fleet, _: Worker, harm: Harm) -> None:
    assert fleet.server
    fleet.server.stop()
    _without_server(fleet, harm)


def _kill_all(fleet: Fleet, _: Worker, harm: Harm) -> None:
    for worker in fleet.workers:
        worker.kill(str(harm))
    if fleet.server:
        fleet.server.kill()
        fleet.server.start()
    time.sleep(harm.seconds)
    for worker in fleet.workers:
        worker.start()


def _cut_line(_: Fleet, worker: Worker, harm: Harm) -> None:
    assert worker.line
    worker.line.cut()
    time.sleep(LEASE_S + harm.seconds)
    worker.line.mend()


def _fill_disk(fleet: Fleet, worker: Worker, harm: Harm) -> None:
    worker.kill(str(harm))
    worker.start(most_file_bytes=_SMALL_DISK)
    fleet.until(harm.request + 150)


def _fail_over(fleet: Fleet, _: Worker, harm: Harm) -> None:
    for worker in fleet.workers:
        worker.may_refuse = True  # as in `_without_server`
    fleet.fail_over(behind_s=harm.seconds % 1, away_s=harm.seconds)


def _set_date(fleet: Fleet, _: Worker, harm: Harm) -> None:
    assert fleet.calendar
    fleet.calendar.set(_HOUR_S if harm.seconds < LEASE_S else -_HOUR_S)


_Act = Callable[[Fleet, Worker, Harm], None]
_WITHOUT_SERVER: Final[dict[str, _Act]] = {
    "worker killed": _kill_worker,
    "worker lost": _lose_worker,
    "worker stopped": _stop_worker,
    "all killed": _kill_all,
    "disk full": _fill_disk,
    _DATE: _set_date,
}
_WITH_SERVER: Final[dict[str, _Act]] = {
    **_WITHOUT_SERVER,
    "server killed": _kill_server,
    "server restarted": _restart_server,
    "line cut": _cut_line,
    _FAILOVER: _fail_over,
}


def plan(chance: random.Random, engine: str, workers: int, always: str | None = None) -> list[Harm]:
    """The harms of one round, `always` among them, in the order of their moments."""
    kinds = list(_WITH_SERVER if engine == "valkey" else _WITHOUT_SERVER)
    chosen = chance.sample(kinds, chance.randint(2, min(4, len(kinds))))
    if always and always not in chosen:
        chosen[0] = always
    harms = [
        Harm(chance.randint(5, _LAST_REQUEST), kind, chance.randrange(workers), chance.uniform(0.0, 2 * LEASE_S))
        for kind in chosen
    ]
    return sorted(harms)


def a_round(web: DemoWeb, folder: Path, harms: list[Harm], *, workers: int, engine: str) -> Audit:
    """One crawl by a fleet, harmed as planned, every worker started once more at the end. Its figures."""
    web.reset()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    settings = {"KNOCKFIRST_LEASE": str(LEASE_S), "LOG_LEVEL": "WARNING"}
    common = crawl_command(web, folder / "out", folder, settings)
    kinds = {harm.what for harm in harms}
    calendar = Calendar(folder / "date") if _DATE in kinds else None

    def command(out: Path, url: str) -> list[str]:
        return worker_commands(common, [out], url)[0]

    with Fleet(web, folder, command, workers, engine, pair=_FAILOVER in kinds, calendar=calendar) as fleet:
        for worker in fleet.workers:
            worker.start()
        for harm in harms:
            if fleet.until(harm.request):
                _WITH_SERVER[harm.what](fleet, fleet.workers[harm.worker], harm)
        fleet.until_ended()
        for worker in fleet.workers:
            worker.start()
        fleet.until_ended()
        return audit([worker.out for worker in fleet.workers], web, fleet.lives)


def rounds(web: DemoWeb, folder: Path, options: argparse.Namespace) -> Iterator[tuple[Audit, list[Harm]]]:
    """That many rounds over a running web. What a round that failed left is put beside the others."""
    for count in range(options.first, options.first + options.rounds):
        chance = random.Random(f"{options.seed} {options.engine} {count}")
        harms = plan(chance, options.engine, options.workers, options.always)
        result = a_round(web, folder / "now", harms, workers=options.workers, engine=options.engine)
        yield result, harms
        if not result.clean:
            shutil.copytree(folder / "now", folder / f"round-{count + 1}", dirs_exist_ok=True)


def main() -> int:
    """0 when every figure that must be zero is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="how many (default 20)")
    parser.add_argument("--first", type=int, default=0, help="number of the first round (default 0)")
    parser.add_argument("--workers", type=int, default=3, help="processes (default 3)")
    parser.add_argument("--engine", choices=("valkey", "sqlite"), default="valkey", help="of the frontier")
    parser.add_argument("--always", choices=_WITH_SERVER, help="a harm that every round has")
    parser.add_argument("--seed", type=int, default=1, help="the same seed chooses the same harms (default 1)")
    parser.add_argument("--out", type=Path, help="keep what the crawls leave here; rounds that failed are kept whole")
    parser.add_argument("--ports", type=int, nargs=2, default=Ports(), help="of the web's http and https servers")
    options = parser.parse_args()
    results: list[Audit] = []
    with contextlib.ExitStack() as stack:
        folder = options.out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="knockfirst-fleet-")))
        folder.mkdir(parents=True, exist_ok=True)
        web = stack.enter_context(DemoWeb.start(Ports(*options.ports)))
        print(f"{options.workers} workers on {options.engine}, seed {options.seed}; {header()}", flush=True)
        for result, harms in rounds(web, folder, options):
            results.append(result)
            print(row(str(options.first + len(results)), result, list(map(str, harms))), flush=True)
            for detail in result.details:
                print(f"    {detail}", file=sys.stderr, flush=True)
    figures = ("kills", "requests", "entries", "interrupted", "superseded", *FAULTS)
    print(f"| all | | {' | '.join(str(sum(getattr(one, name) for one in results)) for name in figures)} |")
    return 0 if all(result.clean for result in results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
