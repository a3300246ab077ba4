"""What must hold after a crawl that was killed: counted from its log, its files and the servers' access log.

The access log is the witness here: it is kept by the demo web's servers, in another process than the crawl's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from benchmarks.killing import Life
from crawler.demo.compare import Entry, compare, manners, trespasses
from crawler.demo.run import DELAY_S
from crawler.demo.server import Access, DemoWeb
from provenance.entry import DecisionEntry
from provenance.log import read_entries
from provenance.verify import verify

_SECRET: Final = "url.secret"
#: What a step that was broken off leaves beside the file it was making.
_UNFINISHED: Final = (".open", ".new", ".tmp", "-journal")


class Audit(NamedTuple):
    """One round. Every figure of `faults` must be zero; the others only say what happened.

    Attributes:
        kills: processes that were killed.
        requests: seen by the servers, of all processes.
        entries: decisions in the log.
        interrupted: attempts that a crash left open, entered as such.
        superseded: final entries that a later one replaced, because a crash had lost the page's links.
        lost: URLs of the web without a final entry.
        duplicate: URLs with two final entries of which neither supersedes the other.
        wrong: URLs that ended otherwise than the demo's data file expects, or are not of it.
        unaccounted: requests for pages beyond the attempts that are entered for them.
        unclean: differences that `knockfirst verify` finds, a missing seal among them.
        leftover: files that were begun and never finished.
        impolite: requests that came too early after another one of their host, or while it was open, or must not
            have been made.
        broken: processes that ended with an error.
        details: each fault in words.
    """

    kills: int
    requests: int
    entries: int
    interrupted: int
    superseded: int
    lost: int
    duplicate: int
    wrong: int
    unaccounted: int
    unclean: int
    leftover: int
    impolite: int
    broken: int
    details: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """True when nothing is amiss."""
        return not any(getattr(self, name) for name in FAULTS)


FAULTS: Final = ("lost", "duplicate", "wrong", "unaccounted", "unclean", "leftover", "impolite", "broken")


def audit(out: Path, web: DemoWeb, lives: Sequence[Life]) -> Audit:
    """Look at everything that one crawl left, after its last process ended by itself."""
    decisions = [entry for _, entry in read_entries(out / "log") if isinstance(entry, DecisionEntry)]
    accesses = _as_seen(web.access_log, lives)
    found = {
        **_endings(web, decisions),
        "unaccounted": _unaccounted(web, decisions, accesses),
        "unclean": _unclean(out),
        "leftover": [f"{path.relative_to(out)} was left over" for path in out.rglob("*") if _is_unfinished(path)],
        "impolite": list(_impolite(web, accesses, lives)),
        "broken": [
            f"process {number} ended with {life.status}: {life.said[-1500:]}"
            for number, life in enumerate(lives)
            if life.status and not life.killed
        ],
    }
    return Audit(
        kills=sum(life.killed for life in lives),
        requests=len(accesses),
        entries=len(decisions),
        interrupted=sum(entry.reason == "crawl.interrupted" for entry in decisions),
        superseded=sum(entry.supersedes is not None for entry in decisions),
        **{name: len(found[name]) for name in FAULTS},
        details=tuple(f"{name}: {detail}" for name in FAULTS for detail in found[name]),
    )


def _as_seen(log: Sequence[Access], lives: Sequence[Life]) -> list[Access]:
    """The access log, its requests ended at the latest with the process that sent them.

    A server that is still thinking about an answer for a dead client does not know that nobody waits any more.
    """
    ends = [life.ended for life in lives]
    seen = []
    for access in log:
        end = next(end for end in ends if access.began <= end)
        ended = end if access.ended is None else min(access.ended, end)
        seen.append(msgspec.structs.replace(access, ended=ended))
    return seen


def _endings(web: DemoWeb, decisions: Sequence[DecisionEntry]) -> dict[str, list[str]]:
    superseded = {entry.supersedes for entry in decisions}
    finals = Counter(entry.url for entry in decisions if entry.final and entry.seq not in superseded)
    entries = [
        Entry(entry.url, entry.verdict, entry.reason, final=entry.final and entry.seq not in superseded)
        for entry in decisions
        if not (entry.masked and not entry.final)  # of what is entered masked, only the last word is comparable
    ]
    # Which attempts came before the last one is not compared: a kill may have taken the place of any of them.
    entries += [
        Entry(url, outcome.verdict, outcome.reason, final=False)
        for url, item in web.expected.items()
        for outcome in item.before
    ]
    rows = [row for row in compare(web.web, entries) if not row.ok]
    lost = [row for row in rows if row.got == "no entry" or row.got.endswith("nothing final")]
    return {
        "lost": [f"{row.url}: {row.got}" for row in lost],
        "duplicate": [f"{url}: {number} final entries" for url, number in finals.items() if number > 1],
        "wrong": [f"{row.url}: {row.got} instead of {row.expected}" for row in rows if row not in lost],
    }


def _unaccounted(web: DemoWeb, decisions: Sequence[DecisionEntry], accesses: Sequence[Access]) -> list[str]:
    attempts = Counter(entry.url for entry in decisions)
    asked = Counter(access.url for access in accesses if access.url in web.expected)
    return [
        f"{url}: asked for {number} times, {attempts[url]} entries"
        for url, number in asked.items()
        for _ in range(number - attempts[url])
    ]


def _unclean(out: Path) -> list[str]:
    report = verify(out)
    found = [f"verify: {difference}" for level in report.levels for difference in level.differences]
    return found + ([] if report.seal == "finished" else [f"the seal is {report.seal!r}"])


def _is_unfinished(path: Path) -> bool:
    return path.name.endswith(_UNFINISHED)


def _impolite(web: DemoWeb, accesses: Sequence[Access], lives: Sequence[Life]) -> Iterator[str]:
    for url in trespasses(web.web, accesses):
        yield f"{url} was asked for"
    for fact in manners(web.web, accesses, DELAY_S):
        yield from [f"{fact.origin}: a request while another one was open"] * fact.overlaps
        if fact.smallest_gap_s is not None and fact.smallest_gap_s < fact.least_gap_s:
            yield f"{fact.origin}: {fact.smallest_gap_s:.3f} s between two pages instead of {fact.least_gap_s}"
    visits: defaultdict[str, list[Access]] = defaultdict(list)
    for access in accesses:
        visits[access.origin].append(access)
    ends = [life.ended for life in lives if life.killed]
    for origin, of_origin in visits.items():
        for one, two in pairwise(of_origin):
            over_restart = any(one.began <= end < two.began for end in ends)
            if over_restart and two.began - one.began < DELAY_S:
                yield f"{origin}: {two.began - one.began:.3f} s between two requests over a restart"
