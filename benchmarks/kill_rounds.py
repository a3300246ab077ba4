"""Kills crawls of the demo web at seeded moments, lets them end, and counts what was lost. One command, two tables.

    python -m benchmarks.kill_rounds [--rounds 20] [--torn 2] [--seed N] [--out DIR]

A round is one crawl whose process is killed (kill -9) again and again and started with the same command each time,
once more even after it had ended. Then folders of killed crawls are injured as a loss of power might do it
(`kill_torn`). Exit code 1 when any figure that must be zero is not.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.kill_audit import FAULTS, Audit, audit
from benchmarks.kill_torn import INJURIES, Torn, tear
from benchmarks.killing import Killer, Moment, afterthought, moments
from crawler.demo.run import crawl_command
from crawler.demo.server import DemoWeb
from crawler.demo.situations import Ports

_FIGURES: Final = ("kills", "requests", "entries", "interrupted", "superseded", *FAULTS)


def a_round(
    web: DemoWeb, command: Sequence[str], folder: Path, plan: Iterable[Moment], after: Moment | None = None
) -> tuple[Audit, list[str]]:
    """One crawl, killed as planned, and then once more `after` it had ended. Its figures, and when it was killed."""
    web.reset()
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    (folder / "log.key").unlink(missing_ok=True)
    with Killer(web, command, out) as killer:
        for moment in plan:
            killer.run(moment)
        killer.run()
        if after:
            killer.run(after)
            killer.run()
        return audit([out], web, killer.lives), [str(life.moment) for life in killer.lives if life.killed]


def rounds(web: DemoWeb, folder: Path, number: int, seed: int) -> Iterator[tuple[Audit, list[str]]]:
    """That many rounds over a running web. What a round that failed left is put beside the others."""
    command = crawl_command(web, folder / "out", folder)
    for count in range(number):
        chance = random.Random(f"{seed} {count}")
        result = a_round(web, command, folder, tuple(moments(chance)), afterthought(chance))
        yield result
        if not result[0].clean:
            shutil.copytree(folder / "out", folder / f"round-{count + 1}", dirs_exist_ok=True)


def torn(web: DemoWeb, folder: Path, number: int, seed: int) -> Iterator[Torn]:
    """Every injury that many times."""
    command = crawl_command(web, folder / "out", folder)
    for count in range(number):
        yield from tear(web, command, folder, random.Random(f"{seed} torn {count}"))


def row(name: str, result: Audit, moments: Sequence[str]) -> str:
    """One line of the table."""
    cells = [name, ", ".join(moments), *(str(getattr(result, figure)) for figure in _FIGURES)]
    return f"| {' | '.join(cells)} |"


def header() -> str:
    """The table's head, with the machine and the day."""
    machine = (
        f"{os.cpu_count()} processors, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    )
    names = ("round", "killed at", *_FIGURES)
    return f"{time.strftime('%Y-%m-%d')}, {machine}\n\n| {' | '.join(names)} |\n|{' --- |' * len(names)}"


def _tell(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {total} ", end="" if done < total else "\n", file=sys.stderr, flush=True)


def _print_rounds(web: DemoWeb, folder: Path, options: argparse.Namespace) -> bool:
    results: list[Audit] = []
    print(f"seed {options.seed}; {header()}", flush=True)
    for result, killed_at in rounds(web, folder, options.rounds, options.seed):
        results.append(result)
        print(row(str(len(results)), result, killed_at), flush=True)
        for detail in result.details:
            print(f"    {detail}", file=sys.stderr, flush=True)
        _tell(len(results), options.rounds)
    sums = (sum(getattr(result, figure) for result in results) for figure in _FIGURES)
    print(f"| all | | {' | '.join(map(str, sums))} |")
    return all(result.clean for result in results)


def _print_torn(web: DemoWeb, folder: Path, options: argparse.Namespace) -> bool:
    outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    clean = True
    for number, result in enumerate(torn(web, folder, options.torn, options.seed), 1):
        outcomes[result.injury][result.outcome] += 1
        clean = clean and result.clean
        if not result.clean:
            print(f"    {result.injury}: {result.outcome}\n{result.said}", file=sys.stderr, flush=True)
        _tell(number, options.torn * len(INJURIES))
    print("\n| injury | the next start |\n| --- | --- |")
    for injury, counts in outcomes.items():
        print(f"| {injury} | {', '.join(f'{outcome} {number} times' for outcome, number in counts.items())} |")
    return clean


def main() -> int:
    """0 when every figure that must be zero is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="how many (default 20)")
    parser.add_argument("--torn", type=int, default=2, help="how often each injury is done (default 2)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed chooses the same moments (default 1)")
    parser.add_argument("--out", type=Path, help="keep what the crawls leave here; rounds that failed are kept whole")
    parser.add_argument("--ports", type=int, nargs=2, default=Ports(), help="of the web's http and https servers")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = options.out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="knockfirst-kill-")))
        folder.mkdir(parents=True, exist_ok=True)
        web = stack.enter_context(DemoWeb.start(Ports(*options.ports)))
        well = [_print_rounds(web, folder, options), _print_torn(web, folder, options)]
    return 0 if all(well) else 1


if __name__ == "__main__":
    raise SystemExit(main())
