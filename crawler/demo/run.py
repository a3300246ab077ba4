"""A crawl of the demo web as a command, and what it entered. Runs nothing itself: the demo and the tests do.

The crawl gets everything a real one needs, made for the occasion: a blocklist build, compiled from the invented
decision beside this file and signed by staff who exist for a minute, a policy with a licence, an operator's own rules
and declarations on works, and a key for the log.
"""

from __future__ import annotations

import datetime as dt
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from blocklists.signing import StaffKey
from crawler.demo.compare import Entry
from crawler.demo.server import DemoWeb
from crawler.demo.situations import Ports
from provenance import builds
from provenance.entry import DecisionEntry
from provenance.finality import superseded
from provenance.log import read_entries

#: Where `scrapy.cfg` stands in a checkout.
PROJECT: Final = Path(__file__).resolve().parents[2]

DELAY_S: Final = 0.05

#: Short waits, so that the demo is over soon; a real crawl leaves the defaults alone.
_HURRIED: Final = {
    "DOWNLOAD_DELAY": str(DELAY_S),
    "DOWNLOAD_TIMEOUT": "2",
    "KNOCKFIRST_BACKOFF": "0.6",
}
_OPERATOR: Final = {
    "KNOCKFIRST_OPERATOR": "Knockfirst demo",
    "KNOCKFIRST_CONTACT": "https://crawler.example/about",
}

_LICENCE: Final = """
[[licences]]
id = "poets-2026"
origins = ["http://licensed.example:{port}"]
purposes = ["genai-train"]
since = "2026-01-01"
until = "2099-12-31"
evidence = "invented for the demo"
"""


def crawl_command(web: DemoWeb, out: Path, folder: Path, settings: Mapping[str, str] | None = None) -> list[str]:
    """The command that crawls `web` into `out`; the same again continues it. To be run in `PROJECT`.

    Args:
        web: running.
        out: the crawl's output folder.
        folder: for what is made for the occasion (seeds, policy, rules, blocklist build, keys); outside of `out`,
            kept until the end.
        settings: Scrapy settings that replace or extend those of the demo.
    """
    seeds = folder / "seeds.txt"
    seeds.write_text("".join(f"{seed}\n" for seed in web.seeds), "utf-8")
    chosen = {
        **_HURRIED,
        **_OPERATOR,
        "KNOCKFIRST_OUT": str(out.absolute()),
        "KNOCKFIRST_KEY": str(folder / "log.key"),
        "KNOCKFIRST_RESOLVE": f"@{web.resolve_file}",
        "KNOCKFIRST_ALLOW_PRIVATE_ADDRESSES": "True",
        "KNOCKFIRST_CA_FILE": str(web.ca_file),
        "KNOCKFIRST_POLICY": str(_policy(folder / "policy.toml", web.web.ports)),
        "KNOCKFIRST_DATA": str(_rules(folder / "rules")),
        **_blocklist(folder / "blocklist"),
        **(settings or {}),
    }
    options = [word for name, value in chosen.items() for word in ("-s", f"{name}={value}")]
    return [sys.executable, "-m", "scrapy", "crawl", "web", "-a", f"seeds={seeds}", "-a", "scope=host", *options]


def worker_commands(command: Sequence[str], outs: Sequence[Path], frontier: str) -> list[list[str]]:
    """The command of a crawl once for each of its workers: one frontier, an output folder each."""
    return [
        [*command, "-s", f"KNOCKFIRST_OUT={out.absolute()}", "-s", f"KNOCKFIRST_FRONTIER={frontier}"] for out in outs
    ]


def entered(*outs: Path) -> Iterator[Entry]:
    """Every attempt that the logs of a crawl hold; an entry that another one supersedes is not final any more."""
    decisions = [
        (str(out), entry) for out in outs for _, entry in read_entries(out / "log") if isinstance(entry, DecisionEntry)
    ]
    gone = {(out, entry.supersedes) for out, entry in decisions if entry.supersedes is not None}
    if len(outs) > 1:  # in one folder an entry that replaces another has to say so
        gone |= {(one.origin, one.seq) for one in superseded(decisions)}
    for out, entry in decisions:
        yield Entry(entry.url, entry.verdict, entry.reason, final=entry.final and (out, entry.seq) not in gone)


def _policy(file: Path, ports: Ports) -> Path:
    """The default policy, asking for pictures and films besides, with one licence."""
    text = files("reservations").joinpath("policies", "eu-gpai.toml").read_text("utf-8")
    wider = text.replace("media_types = [", 'media_types = [\n  "image/*", "video/*",', 1)
    file.write_text(wider + _LICENCE.format(port=ports.http), "utf-8")
    return file


def _rules(folder: Path) -> Path:
    """A copy of the operator's own rules and declarations on works, to be looked at and changed."""
    with as_file(files("crawler.demo").joinpath("rules")) as rules:
        return Path(shutil.copytree(rules, folder, dirs_exist_ok=True))


def _blocklist(folder: Path) -> dict[str, str]:
    """The settings that put a fresh, signed build of the demo's decisions in force."""
    staff = StaffKey.new("demo.example/staff")
    now = dt.datetime.now(dt.UTC)
    with as_file(files("crawler.demo").joinpath("blocklist")) as decisions:
        build = builds.compile_folder(decisions, version=builds.next_version(folder, now.date()), now=now)
    builds.write_build(folder, build, staff)
    return {"KNOCKFIRST_BLOCKLIST": str(folder), "KNOCKFIRST_BLOCKLIST_KEYS": staff.public_text()}
