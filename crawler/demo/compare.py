"""Whether a crawl of the demo web did what it should: its entries against the data file, its manners by the access log.

Compares and prints; reads no files. What a crawl asked for is judged by what the servers saw, not by what it says.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec
from rich.table import Table
from rich.text import Text

from crawler.demo.server import Access
from crawler.demo.situations import Expectation, Outcome, Site, Web

_LISTED: Final = "blocklist.listed"
_SECRET: Final = "url.secret"
_ROBOTS: Final = "/robots.txt"
_NOTHING: Final = "no entry"


class Entry(NamedTuple):
    """One attempt as the crawl entered it."""

    url: str
    verdict: str
    reason: str
    final: bool


class Row(msgspec.Struct, frozen=True):
    """One URL: what was expected of the crawl, and what it did."""

    host: str
    situation: str
    url: str
    expected: str
    got: str
    ok: bool


class Manners(msgspec.Struct, frozen=True):
    """How one origin was treated, by its own access log.

    Attributes:
        origin: "http://slow.example:8080".
        requests: all of them.
        robots_requests: those for its robots.txt.
        overlaps: requests that began while another had not ended.
        smallest_gap_s: between the beginnings of two requests for pages; None with fewer than two.
        least_gap_s: what its robots.txt asks for, or the crawl's own delay.
    """

    origin: str
    requests: int
    robots_requests: int
    overlaps: int
    smallest_gap_s: float | None
    least_gap_s: float

    @property
    def ok(self) -> bool:
        """True when one request was in flight at a time, and the asked-for gap was kept."""
        return not self.overlaps and (self.smallest_gap_s is None or self.smallest_gap_s >= self.least_gap_s)


def compare(web: Web, entries: Iterable[tuple[str, str, str, bool]]) -> list[Row]:
    """One row for each URL of the web, and one for each URL that was entered and is not of it."""
    found: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in map(Entry._make, entries):
        found[_key(entry.url, entry.reason)].append(entry)
    rows = []
    for item in web.expected.values():
        reason = item.outcome.reason if item.outcome else ""
        rows.append(_row(item, found.pop(_key(item.url, reason), [])))
    looked_at = {web.url(file.path, site) for site in web.sites for file in site.file}
    for url, extra in found.items():
        if url not in looked_at:
            host = urlsplit(url).hostname or ""
            rows.append(Row(host, "A URL that is not of the demo.", url, _NOTHING, _words(extra), ok=False))
    return rows


def trespasses(web: Web, log: Iterable[Access]) -> list[str]:
    """URLs that a server was asked for and must not have been, in order."""
    forbidden = {item.url for item in web.expected.values() if not item.may_be_asked_for}
    closed = {_origin(web, site) for site in web.sites if _is_closed(web, site)}
    return [access.url for access in log if access.url in forbidden or access.origin in closed]


def manners(web: Web, log: Sequence[Access], delay_s: float = 0.0) -> list[Manners]:
    """How each origin was treated, in the order of the data file, by a crawl that promised `delay_s`."""
    by_origin: defaultdict[str, list[Access]] = defaultdict(list)
    for access in log:
        by_origin[access.origin].append(access)
    facts = []
    for site in web.sites:
        visits = sorted(by_origin[_origin(web, site)], key=lambda access: access.began)
        pages = {page.path for page in site.page}
        begun = [access.began for access in visits if access.path in pages]
        facts.append(
            Manners(
                origin=_origin(web, site),
                requests=len(visits),
                robots_requests=sum(access.path == _ROBOTS for access in visits),
                overlaps=sum(one.ended is None or two.began < one.ended for one, two in pairwise(visits)),
                smallest_gap_s=min((two - one for one, two in pairwise(begun)), default=None),
                least_gap_s=max(site.crawl_delay_s, delay_s),
            )
        )
    return facts


def table(rows: Iterable[Row]) -> Table:
    """The rows for people, site by site; URLs of one site with one outcome share a line."""
    # One name may be two sites (http and https), hence two situations.
    sites: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        sites[row.host, row.situation].append(row)
    drawn = Table(title="The demo web, site by site", expand=True)
    for heading, ratio in (("Site", 9), ("URLs", 5), ("Expected", 6), ("Got", 5)):
        drawn.add_column(heading, ratio=ratio, overflow="fold")
    for (host, why), group in sites.items():
        site = Text.assemble((host, "bold"), "\n", why)
        for line in _lines(group):
            drawn.add_row(site, *line)
            site = Text()
        drawn.add_section()
    return drawn


def _lines(rows: Iterable[Row]) -> Iterator[tuple[Text, Text, Text]]:
    shared: defaultdict[tuple[str, str, bool], list[str]] = defaultdict(list)
    for row in rows:
        shared[row.expected, row.got, row.ok].append(row.url)
    for (expected, got, ok), urls in shared.items():
        path = "/" + urls[0].partition("://")[2].partition("/")[2]
        more = f" and {len(urls) - 1} more" if len(urls) > 1 else ""
        yield Text(path + more), Text(expected), Text("as expected", "green") if ok else Text(f"NO: {got}", "bold red")


def verdicts(rows: Iterable[Row]) -> Counter[str]:
    """How many URLs ended with which verdict."""
    return Counter(row.got.partition(" ")[0] for row in rows if row.got != _NOTHING)


def _row(item: Expectation, entries: Sequence[Entry]) -> Row:
    finals = [entry for entry in entries if entry.final]
    before = {Outcome(entry.verdict, entry.reason) for entry in entries if not entry.final}
    missing = [outcome for outcome in item.before if outcome not in before]
    expected = str(item.outcome) if item.outcome else _NOTHING
    got = _words(finals) if finals or not entries else f"{_words(entries)}, nothing final"
    ok = got == expected and not missing
    if got == expected and missing:
        got += f", without {missing[0]} before it"
    return Row(item.host, item.why, item.url, expected, got, ok)


def _words(entries: Sequence[Entry]) -> str:
    return ", then ".join(f"{entry.verdict} {entry.reason}" for entry in entries) or _NOTHING


def _key(url: str, reason: str) -> str:
    """The URL; of one that carries a secret, and is entered masked, only what is no secret."""
    if reason != _SECRET:
        return url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path} {_SECRET}"


def _origin(web: Web, site: Site) -> str:
    return web.url("/", site).removesuffix("/")


def _is_closed(web: Web, site: Site) -> bool:
    """True for a site that must not notice the crawl at all."""
    outcomes = (web.expected[web.url(page.path, site)].outcome for page in site.page)
    return all(outcome is None or outcome.reason == _LISTED for outcome in outcomes)
