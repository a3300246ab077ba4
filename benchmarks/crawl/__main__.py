"""The command: rounds of all crawlers in alternating order, memory of ours with few and with many pages, the table.

    python -m benchmarks.crawl [--pages N] [--rounds N] [--latency-ms 0,50] [--memory 1000,10000] [--growing]

It takes the system's wget. The crawls run one after another, nothing else should; the table says how busy the
machine was all the same.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.crawl.crawlers import CRAWLERS, PROJECT, Crawler, Task
from benchmarks.crawl.server import HIGH_PORT, PortTakenError, Server, serving, usable_port
from benchmarks.crawl.table import Machine, Report, Run, table
from benchmarks.crawl.web import BODIES, LINKS

_PATIENCE_S = 3600
PACKAGES = ("reservations", "blocklists", "provenance", "crawler")


class CrawlFailedError(Exception):
    """A crawl did not do its work, so its figures mean nothing. The message says what is wrong and what it wrote."""


def run(crawler: Crawler, server: Server, task: Task, *, latency_s: float) -> Run:
    """Runs one crawl in its task's folder and measures it."""
    command = crawler.command(task)
    measure = [sys.executable, "-I", "-S", str(Path(__file__).parent / "measure.py")]
    server.begin(latency_s)
    done = subprocess.run(
        [*measure, *command],
        cwd=PROJECT if crawler.in_project else task.folder,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    seen = server.end()
    if done.returncode:
        raise CrawlFailedError(f"{' '.join(command)}: could not be started:\n{done.stderr[-4000:]}")
    cost = json.loads(done.stdout)
    kept = None if cost["status"] else crawler.kept(task)
    wanted = (seen.pages, None)
    whole = task.stop_at is not None or seen.pages == task.size
    if cost["status"] or not whole or kept not in wanted:
        what = f"status {cost['status']}, {seen.pages} of {task.size} pages seen by the server, kept {kept}"
        raise CrawlFailedError(f"{' '.join(command)}: {what}:\n{done.stderr[-4000:]}")
    return Run(crawler=crawler.name, latency_ms=round(latency_s * 1000), load=os.getloadavg()[0], seen=seen, **cost)


def rounds(chosen: list[Crawler], options: argparse.Namespace) -> list[Run]:
    """All crawlers on the same web, each round beginning with another one."""
    size = min(options.pages * LINKS, BODIES * LINKS) if options.growing else options.pages
    runs: list[Run] = []
    with serving(size, options.port) as server:
        for latency_ms in options.latency_ms:
            for number in range(options.rounds):
                turn = number % len(chosen)
                for crawler in chosen[turn:] + chosen[:turn]:
                    with tempfile.TemporaryDirectory(prefix="knockfirst-bench-", dir=options.folder) as folder:
                        task = Task(size, options.port, Path(folder), options.pages if options.growing else None)
                        runs.append(run(crawler, server, task, latency_s=latency_ms / 1000))
                    print(runs[-1].line(), file=sys.stderr, flush=True)
    return runs


def memory(options: argparse.Namespace) -> list[Run]:
    """Our crawler on webs of several sizes."""
    runs: list[Run] = []
    for size in options.memory:
        with serving(size, options.port) as server, tempfile.TemporaryDirectory(dir=options.folder) as folder:
            runs.append(run(CRAWLERS[0], server, Task(size, options.port, Path(folder)), latency_s=0))
        print(runs[-1].line(), file=sys.stderr, flush=True)
    return runs


def compile_sources() -> None:
    """What an installation does with every package: else only ours would be compiled again at each start."""
    for package in PACKAGES:
        compileall.compile_dir(PROJECT / package, quiet=2)


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",") if word]


def _options() -> argparse.Namespace:
    known = [crawler.name for crawler in CRAWLERS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crawl", description=__doc__.partition("\n")[0])
    parser.add_argument("--pages", type=int, default=2000, help="pages of the web (default: 2000)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each crawler (default: 3)")
    parser.add_argument("--latency-ms", type=_numbers, default=[0, 50], help="delays of each answer (default: 0,50)")
    parser.add_argument(
        "--memory", type=_numbers, default=[1000, 10_000], help="sizes for our peak memory; '' for none"
    )
    parser.add_argument("--only", default=",".join(known), help=f"crawlers to run, of {', '.join(known)}")
    parser.add_argument("--port", type=int, help="of all hosts (default: 80, or 8077 where 80 is not allowed)")
    parser.add_argument("--growing", action="store_true", help="a web 50 times as large, left after --pages pages")
    parser.add_argument("--folder", type=Path, help="where crawls write; decides the disk (default: the system's)")
    parser.add_argument("--json", type=Path, help="also write every run to this file; - for standard output, no table")
    options = parser.parse_args()
    if unknown := set(options.only.split(",")) - set(known):
        parser.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(known)}")
    return options


def main() -> int:
    """Prints the table; 1 when a crawl did not do its work."""
    options = _options()
    try:
        options.port = options.port or usable_port()
    except PortTakenError as error:
        print(error, file=sys.stderr)
        return 1
    if options.port == HIGH_PORT:
        print("port 8077: every URL names it; do not compare with figures from port 80", file=sys.stderr)
    chosen = [crawler for crawler in CRAWLERS if crawler.name in options.only.split(",")]
    compile_sources()
    try:
        machine = Machine.here()
        runs = rounds(chosen, options)
        report = Report(machine=machine, port=options.port, growing=options.growing, runs=runs, memory=memory(options))
    except CrawlFailedError as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        encoded = report.encoded()
        if str(options.json) == "-":
            print(encoded.decode())
            return 0
        options.json.write_bytes(encoded)
    print(table(report, {crawler.name: crawler.title for crawler in CRAWLERS}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
