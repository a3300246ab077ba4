"""Crawls as people start them: a command in a process of its own, and what it left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from provenance.entry import DecisionEntry
from provenance.log import read_entries
from provenance.verify import verify

PROJECT = Path(__file__).parents[2]
TIMEOUT_S = 90.0
WHO = {"KNOCKFIRST_OPERATOR": "Test Lab", "KNOCKFIRST_CONTACT": "https://crawler.example/about"}
NO_LIST = {"KNOCKFIRST_NO_BLOCKLIST": "a test on loopback"}
ADDONS = {"ADDONS": json.dumps({"crawler.addon.Addon": 100})}


class Crawling:
    """Commands of one test: same output folder, same key, same web.

    Attributes:
        folder: everything of this test.
        out: the crawl's output folder.
        settings: of every command; a value of None leaves a setting out.
    """

    def __init__(self, folder: Path, *, resolve: str = "") -> None:
        self.folder = folder
        self.out = folder / "out"
        self.key = folder / "key" / "log.key"
        self._started: list[subprocess.Popen[str]] = []
        self.settings: dict[str, Any] = {
            **WHO,
            **NO_LIST,
            "KNOCKFIRST_OUT": self.out,
            "KNOCKFIRST_KEY": self.key,
            "KNOCKFIRST_ALLOW_PRIVATE_ADDRESSES": True,
            "KNOCKFIRST_BACKOFF": 0.05,
            "DOWNLOAD_DELAY": 0,
        }
        if resolve:
            self.settings["KNOCKFIRST_RESOLVE"] = resolve
        home = folder / "home"
        home.mkdir(exist_ok=True)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("KNOCKFIRST_")},
            "HOME": str(home),
            "COLUMNS": "160",
        }

    def web(self, seeds: str | Sequence[str], *words: str, **settings: Any) -> list[str]:
        """`scrapy crawl web`, to be run in the project."""
        listed = seeds if isinstance(seeds, str) else ",".join(seeds)
        return [*_SCRAPY, "crawl", "web", "-a", f"seeds={listed}", *words, *self._options(settings)]

    def spider(self, source: str, *words: str, name: str = "foreign", **settings: Any) -> list[str]:
        """`scrapy runspider`, with the add-on."""
        path = self.folder / f"{name}.py"
        path.write_text(source, "utf-8")
        return [*_SCRAPY, "runspider", str(path), *words, *self._options({**ADDONS, **settings})]

    def _options(self, settings: Mapping[str, Any]) -> list[str]:
        chosen = {**self.settings, **settings}
        return [word for name, value in chosen.items() if value is not None for word in ("-s", f"{name}={value}")]

    def run(self, command: Sequence[str], *, cwd: Path = PROJECT, **how: Any) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            command,
            cwd=cwd,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            **how,
        )

    def start(self, command: Sequence[str], *, cwd: Path = PROJECT) -> subprocess.Popen[str]:
        """Start a command; `finish` waits for it, `end` ends what is still running."""
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, cwd=cwd, env=self.environment, stdout=pipe, stderr=pipe, text=True)
        self._started.append(process)
        return process

    def end(self) -> None:
        """Ends what a failing test left running."""
        for process in self._started:
            process.kill()
            process.communicate()

    def finish(self, process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
        """Wait for a started command."""
        out, err = process.communicate(timeout=TIMEOUT_S)
        self._started.remove(process)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    # -- what it left ----------------------------------------------------------------------------------------------

    def entries(self) -> list[Any]:
        """Every entry of the log."""
        return [entry for _, entry in read_entries(self.out / "log")]

    def decisions(self) -> list[DecisionEntry]:
        """Every decision of the log."""
        return [entry for entry in self.entries() if isinstance(entry, DecisionEntry)]

    def finals(self) -> dict[str, str]:
        """The last word on each URL: "verdict reason". More than one is an error."""
        decisions = self.decisions()
        superseded = {entry.supersedes for entry in decisions}
        finals: dict[str, str] = {}
        for entry in decisions:
            if entry.final and entry.seq not in superseded:
                assert entry.url not in finals, f"two last words on {entry.url}"
                finals[entry.url] = f"{entry.verdict} {entry.reason}"
        return finals

    def seals(self) -> list[str]:
        """How each process that sealed the log ended."""
        return [entry.end for entry in self.entries() if type(entry).__name__ == "SealEntry"]

    def verified(self) -> bool:
        """Whether `knockfirst verify` finds nothing wrong."""
        report = verify(self.out)
        assert report.clean, [str(found) for level in report.levels for found in level.differences]
        return True


_SCRAPY = (sys.executable, "-m", "scrapy")
