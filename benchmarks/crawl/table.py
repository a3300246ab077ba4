"""What was measured, as a table and as JSON."""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import msgspec

from benchmarks.crawl.server import Seen

OURS = "knockfirst"


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One crawl.

    Attributes:
        load: the machine's load average at the end.
        seen: what the server saw.
    """

    crawler: str
    latency_ms: int
    status: int
    wall_s: float
    user_s: float
    system_s: float
    peak_mb: float
    load: float
    seen: Seen

    @property
    def cpu_s(self) -> float:
        """Processor seconds, user and system, per 1000 pages."""
        return (self.user_s + self.system_s) / self.seen.pages * 1000

    @property
    def rate(self) -> float:
        """Pages a second, from the start of the process to its end."""
        return self.seen.pages / self.wall_s

    @property
    def server_busy(self) -> float:
        """Share of the time that the server was at work: near 1, it would be the server that was measured."""
        return self.seen.cpu_s / self.wall_s

    def line(self) -> str:
        """The run in one line, for whoever waits."""
        seen = self.seen
        return (
            f"{self.crawler:10} {self.latency_ms:3} ms: {seen.pages} pages ({seen.again} again, {seen.documents} other,"
            f" {seen.gzip} gzip) {self.wall_s:6.1f} s, {self.cpu_s:6.2f} CPU s/1000, {self.rate:6.1f} pages/s,"
            f" {self.peak_mb:5.0f} MB, server {self.server_busy:.0%}, load {self.load:.1f}"
        )


class Machine(msgspec.Struct, frozen=True):
    """Where and when: without it a figure means nothing."""

    date: str
    processor: str
    cores: int
    system: str
    loops_per_s: float
    versions: dict[str, str]

    @classmethod
    def here(cls) -> Machine:
        """This machine now."""
        info = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in info if line.startswith("model name")]
        versions = {package: version(package) for package in ("knockfirst", "Scrapy", "Twisted", "lxml")}
        versions["Python"] = platform.python_version()
        versions["wget"] = subprocess.run(
            ["wget", "--version"], capture_output=True, text=True, check=True
        ).stdout.split()[2]
        return cls(
            date=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
            processor=names[0] if names else platform.machine(),
            cores=os.cpu_count() or 1,
            system=f"{platform.system()} {platform.release()}",
            loops_per_s=_loops_per_s(),
            versions=versions,
        )


def _loops_per_s() -> float:
    """Empty Python loops a processor second, by which figures of two machines can roughly be told apart."""
    began = time.process_time()
    for _ in range(5_000_000):
        pass
    return 5_000_000 / (time.process_time() - began)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was measured."""

    machine: Machine
    port: int
    growing: bool
    runs: list[Run]
    memory: list[Run]

    def encoded(self) -> bytes:
        """As JSON: every run, and medians and ratios beside them."""
        medians = [
            {"crawler": name, "latency_ms": latency} | {title: _median(runs, value) for title, _, value in _COLUMNS}
            for latency, by_name in self.by_latency()
            for name, runs in by_name.items()
        ]
        ratios = [
            {"ours_to": name, "latency_ms": latency, "cpu": cpu, "rate": rate, "peak": peak}
            for latency, by_name in self.by_latency()
            for name, (cpu, rate, peak) in _ratios(by_name).items()
        ]
        whole = {**msgspec.to_builtins(self), "medians": medians, "ratios": ratios}
        return msgspec.json.format(msgspec.json.encode(whole), indent=2)

    def by_latency(self) -> Iterator[tuple[int, dict[str, list[Run]]]]:
        """The runs of each crawler, latency by latency."""
        for latency in dict.fromkeys(run.latency_ms for run in self.runs):
            by_name: dict[str, list[Run]] = {}
            for run in self.runs:
                if run.latency_ms == latency:
                    by_name.setdefault(run.crawler, []).append(run)
            yield latency, dict(sorted(by_name.items(), key=lambda item: item[0] != OURS))


_COLUMNS: tuple[tuple[str, str, Callable[[Run], float]], ...] = (
    ("CPU s/1000 pages", ".2f", lambda run: run.cpu_s),
    ("pages/s", ".0f", lambda run: run.rate),
    ("peak MB", ".0f", lambda run: run.peak_mb),
    ("server busy %", ".0f", lambda run: run.server_busy * 100),
)


def _median(runs: list[Run], value: Callable[[Run], float]) -> float:
    return statistics.median(map(value, runs))


def _cell(runs: list[Run], spec: str, value: Callable[[Run], float]) -> str:
    values = sorted(map(value, runs))
    spread = f" ({values[0]:{spec}}-{values[-1]:{spec}})" if len(values) > 1 else ""
    return f"{statistics.median(values):{spec}}{spread}"


def _ratios(by_name: dict[str, list[Run]]) -> dict[str, tuple[float, ...]]:
    """Ours divided by each other's: CPU, pages/s, peak."""
    if OURS not in by_name:
        return {}
    return {
        name: tuple(_median(by_name[OURS], value) / _median(runs, value) for _, _, value in _COLUMNS[:3])
        for name, runs in by_name.items()
        if name != OURS
    }


def table(report: Report, titles: dict[str, str]) -> str:
    """The report in Markdown: medians, and in brackets the least and the most."""
    machine = report.machine
    known = ", ".join(f"{package} {number}" for package, number in machine.versions.items())
    load = max(run.load for run in [*report.runs, *report.memory])
    lines = [
        f"{machine.date}; {machine.processor}, {machine.cores} cores, {machine.system}; {known};",
        f"{machine.loops_per_s / 1e6:.0f} million empty Python loops a second; load average up to {load:.1f};",
        f"all hosts on port {report.port}.",
    ]
    for latency, by_name in report.by_latency():
        pages = max(run.seen.pages for runs in by_name.values() for run in runs)
        lines += ["", f"{pages} pages, {latency} ms latency, {max(map(len, by_name.values()))} rounds:", ""]
        lines += ["| | " + " | ".join(title for title, _, _ in _COLUMNS) + " |", "|---" * (len(_COLUMNS) + 1) + "|"]
        for name, runs in by_name.items():
            cells = (_cell(runs, spec, value) for _, spec, value in _COLUMNS)
            lines.append(f"| {titles[name]} | " + " | ".join(cells) + " |")
        for name, (cpu, rate, peak) in _ratios(by_name).items():
            lines.append(f"| **ours : {name}** | **{cpu:.2f}** | **{rate:.2f}** | **{peak:.2f}** | |")
    if report.memory:
        peaks = ", ".join(f"{run.peak_mb:.0f} MB with {run.seen.pages} pages" for run in report.memory)
        lines += ["", f"Peak memory of knockfirst: {peaks}."]
    return "\n".join(lines)
