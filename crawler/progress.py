"""What people see of a crawl: a live line on a terminal, a summary at the end, and where to look next."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text
from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.logformatter import LogFormatter, LogFormatterResult

from crawler.crawl import Crawl
from reservations.model import Verdict

REFRESH_S = 0.5
_SHOWN = (
    Verdict.KEPT,
    Verdict.REFUSED,
    Verdict.ABORTED,
    Verdict.DISCARDED,
    Verdict.HELD,
    Verdict.ABSENT,
    Verdict.FAILED,
)


def command() -> str:
    """How the command can be called from here: by name where it is on the path, else by where it lies."""
    if shutil.which("knockfirst"):
        return "knockfirst"
    return os.path.relpath(Path(sys.executable).with_name("knockfirst"))


class Lines(LogFormatter):
    """Scrapy's lines for its own log, but the two for each page only when some handler is there to show them."""

    def crawled(self, *page: Any, **named: Any) -> LogFormatterResult | None:  # type: ignore[override]
        """See LogFormatter; None is no line."""
        return super().crawled(*page, **named) if _is_heard() else None

    def scraped(self, *item: Any, **named: Any) -> LogFormatterResult | None:  # type: ignore[override]
        """See LogFormatter; None is no line."""
        return super().scraped(*item, **named) if _is_heard() else None


def _is_heard() -> bool:
    return any(handler.level <= logging.DEBUG for handler in logging.root.handlers)


class Progress:
    """Scrapy extension. Writes to the terminal's error stream; silent where there is none, but for the summary."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawl = Crawl.of(crawler)
        self.console = Console(stderr=True)
        self._began = time.monotonic()
        self._live: Live | None = None
        self._task: asyncio.Task[None] | None = None
        crawler.signals.connect(self.spider_opened, signals.spider_opened)
        crawler.signals.connect(self.spider_closed, signals.spider_closed)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way of making one."""
        return cls(crawler)

    def spider_opened(self) -> None:
        """Begins the live line."""
        self._began = time.monotonic()
        if self.console.is_terminal:
            self._live = Live(Text(""), console=self.console, auto_refresh=False, transient=True)
            self._live.start()
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._live:
            try:
                self._live.update(await self._line(), refresh=True)
            except Exception:  # noqa: BLE001  (a progress line must never end a crawl)
                return
            await asyncio.sleep(REFRESH_S)

    async def _line(self) -> Text:
        crawl = self.crawl
        counts = await crawl.frontier.counts()
        took = max(time.monotonic() - self._began, 0.001)
        done = sum(crawl.visits.finals.values())
        finals = crawl.visits.finals
        parts = [f"{verdict} {finals[verdict]:,}" for verdict in _SHOWN if finals.get(verdict)]
        line = f"{done:,} decided ({done / took:.1f}/s)  " + "  ".join(parts)
        line += f"  | {counts.queued:,} waiting on {counts.hosts:,} hosts, {len(crawl.visits)} under way"
        return Text(line, no_wrap=True, overflow="ellipsis")

    def spider_closed(self, reason: str) -> None:
        """Prints what came of it and where to look."""
        if self._task:
            self._task.cancel()
        if self._live:
            self._live.stop()
            self._live = None
        if self.crawl.opened:
            self._summary(reason)
        sys.stderr.flush()

    def _summary(self, reason: str) -> None:
        crawl = self.crawl
        out = crawl.options.out
        took = time.monotonic() - self._began
        title = f"crawl {crawl.file.spider} {crawl.file.run}: {reason} after {took:.0f} s"
        self.console.print(title, markup=False, highlight=False)
        table = Table()
        table.add_column("verdict")
        table.add_column("URLs", justify="right")
        for verdict in Verdict:
            if crawl.visits.finals.get(verdict):
                table.add_row(str(verdict), f"{crawl.visits.finals[verdict]:,}")
        for what, number in sorted(crawl.visits.counted.items()):
            table.add_row(f"({what.replace('_', ' ')}, not entered)", f"{number:,}")
        self.console.print(table)
        if not crawl.options.blocklist:
            self.console.print(f"No blocklist is in force: {crawl.options.no_blocklist}", markup=False)
        if reason != "finished":
            self.console.print("Not everything is done: the same command continues this crawl.")
        self.console.print(
            f"pages: {out}/warc/   evidence: {out}/evidence/   decisions: {out}/log/\n"
            f"next:  {command()} verify {out}\n       {command()} explain {out} URL",
            markup=False,
            highlight=False,
        )
