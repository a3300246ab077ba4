"""The three crawlers as commands. What each is given, and what it is not, stands here and nowhere else."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path

import msgspec

from benchmarks.crawl.web import HOSTS, PAGE_BYTES, Web, address, name
from blocklists.signing import StaffKey
from provenance import builds
from provenance.entry import SealEntry
from provenance.log import read_entries
from reservations.model import Verdict

PROJECT = Path(__file__).resolve().parents[2]
#: URLs under way at once, for both that know the notion.
CONCURRENCY = 64


class Task(msgspec.Struct, frozen=True):
    """One crawl to do: the web, a fresh folder for all it leaves, and after how many pages to stop (None: at all)."""

    size: int
    port: int
    folder: Path
    stop_at: int | None = None

    def seed(self, *, named: bool) -> str:
        """Where the crawl starts."""
        return Web(self.size, self.port, named=named).seed


class Crawler(msgspec.Struct, frozen=True):
    """One of the three.

    Attributes:
        command: makes the command, and what it reads.
        kept: how many pages the crawl itself says it kept, where it can say.
        in_project: whether it runs in the project's folder, with the project's settings.
    """

    name: str
    title: str
    command: Callable[[Task], list[str]]
    kept: Callable[[Task], int | None] = lambda _task: None
    in_project: bool = False


def _settings(settings: dict[str, object]) -> list[str]:
    return [word for key, value in settings.items() for word in ("-s", f"{key}={value}")]


def _scrapy(task: Task) -> dict[str, object]:
    """What both Scrapy crawls are given."""
    stop = {"CLOSESPIDER_PAGECOUNT": task.stop_at} if task.stop_at else {}  # stock Scrapy counts robots.txt as well
    idle = {"TELNETCONSOLE_ENABLED": False, "REMOTE_CONTROL_ENABLED": False, "LOG_LEVEL": "WARNING"}
    return {"CONCURRENT_REQUESTS": CONCURRENCY, "DOWNLOAD_DELAY": 0, **idle, **stop}


def ours(task: Task) -> list[str]:
    """This crawler with everything on: gates, blocklist, evidence, WARC, log."""
    blocklist, staff = task.folder / "blocklist", StaffKey.new("bench.example/staff")
    now = dt.datetime.now(dt.UTC)
    with as_file(files("crawler.demo").joinpath("blocklist")) as decisions:
        build = builds.compile_folder(decisions, version=builds.next_version(blocklist, now.date()), now=now)
    builds.write_build(blocklist, build, staff)
    hosts = task.folder / "hosts.txt"
    hosts.write_text("".join(f"{name(host)}={address(host)}\n" for host in range(HOSTS)), "utf-8")
    settings = {
        **_scrapy(task),
        "KNOCKFIRST_OUT": task.folder / "out",
        "KNOCKFIRST_KEY": task.folder / "log.key",
        "KNOCKFIRST_OPERATOR": "Knockfirst benchmark",
        "KNOCKFIRST_CONTACT": "https://crawler.example/about",
        "KNOCKFIRST_RESOLVE": f"@{hosts}",
        "KNOCKFIRST_ALLOW_PRIVATE_ADDRESSES": True,
        "KNOCKFIRST_BLOCKLIST": blocklist,
        "KNOCKFIRST_BLOCKLIST_KEYS": staff.public_text(),
    }
    spider = ["crawl", "web", "-a", f"seeds={task.seed(named=True)}", "-a", "scope=any"]
    return [sys.executable, "-m", "scrapy", *spider, *_settings(settings)]


def ours_kept(task: Task) -> int:
    """How many pages our log says were kept."""
    entries = (entry for _, entry in read_entries(task.folder / "out" / "log"))
    return next(seal for seal in entries if isinstance(seal, SealEntry)).counts.get(Verdict.KEPT, 0)


def stock_scrapy(task: Task) -> list[str]:
    """Stock Scrapy: its robots middleware, its LinkExtractor, no WARC."""
    settings = {**_scrapy(task), "ROBOTSTXT_OBEY": True}
    spider = ["runspider", str(PROJECT / "benchmarks/crawl/stock_spider.py"), "-a", f"seed={task.seed(named=False)}"]
    return [sys.executable, "-m", "scrapy", *spider, *_settings(settings)]


def wget(task: Task) -> list[str]:
    """GNU wget with a WARC file; it keeps the pages as files besides, and takes one after another."""
    stop = [f"--quota={task.stop_at * PAGE_BYTES}"] if task.stop_at else []
    files = ["--directory-prefix", str(task.folder / "pages"), "--warc-file", str(task.folder / "wget")]
    recurse = ["--recursive", "--level=inf", "--span-hosts", *stop, task.seed(named=False)]
    return ["wget", "--no-verbose", "--output-file", str(task.folder / "wget.log"), *files, *recurse]


CRAWLERS = (
    Crawler("knockfirst", "knockfirst, everything on", ours, ours_kept, in_project=True),
    Crawler("scrapy", "stock Scrapy, no WARC", stock_scrapy),
    Crawler("wget", "wget -r --warc-file", wget),
)
