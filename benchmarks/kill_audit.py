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
from crawler.demo.compare import Entry, Row, compare, manners, trespasses
from crawler.demo.run import DELAY_S
from crawler.demo.server import Access, DemoWeb
from provenance.entry import DecisionEntry, EvidenceEntry
from provenance.finality import superseded
from provenance.log import read_entries
from provenance.together import verify_together

_SECRET: Final = "url.secret"
_REFUSAL: Final = "the crawl was not started, nothing was fetched"
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
        unaccounted: requests for pages beyond the attempts and documents that are entered for them.
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


def audit(outs: Sequence[Path], web: DemoWeb, lives: Sequence[Life]) -> Audit:
    """Look at everything that the workers of one crawl left, after the last process of each ended by itself."""
    entries = [(str(out), entry) for out in outs for _, entry in read_entries(out / "log")]
    logged = [(out, entry) for out, entry in entries if isinstance(entry, DecisionEntry)]
    documents = Counter(entry.url for _, entry in entries if isinstance(entry, EvidenceEntry) and not entry.taken)
    gone = {(out, entry.supersedes) for out, entry in logged if entry.supersedes is not None}
    if len(outs) > 1:  # in one folder an entry that replaces another has to say so
        gone |= {(one.origin, one.seq) for one in superseded(logged)}
    decisions = [
        msgspec.structs.replace(entry, final=entry.final and (out, entry.seq) not in gone) for out, entry in logged
    ]
    accesses = _as_seen(web.access_log, lives)
    found = {
        **_endings(web, decisions),
        "unaccounted": _unaccounted(web, Counter(entry.url for entry in decisions) + documents, accesses),
        "unclean": list(_unclean(outs)),
        "leftover": [f"{path} was left over" for out in outs for path in out.rglob("*") if _is_unfinished(path)],
        "impolite": list(_impolite(web, accesses, lives)),
        "broken": [
            f"process {number} ended with {life.status}: {life.said[-1500:]}"
            for number, life in enumerate(lives)
            if life.status and not life.killed and not (life.may_refuse and _REFUSAL in life.said)
        ],
    }
    return Audit(
        kills=sum(life.killed for life in lives),
        requests=len(accesses),
        entries=len(decisions),
        interrupted=sum(entry.reason == "crawl.interrupted" for entry in decisions),
        superseded=len(gone),
        **{name: len(found[name]) for name in FAULTS},
        details=tuple(f"{name}: {detail}" for name in FAULTS for detail in found[name]),
    )


def _as_seen(log: Sequence[Access], lives: Sequence[Life]) -> list[Access]:
    """The access log, its requests ended at the latest with the process that sent them.

    A server that is still thinking about an answer for a dead client does not know that nobody waits any more; nor
    for one that was stopped, which can neither read nor hang up until it is woken.
    """
    seen = []
    for access in log:
        life = _life(access, lives)
        end = next((stop for stop in life.stops if stop >= access.began), life.ended)
        ended = end if access.ended is None else min(access.ended, end)
        seen.append(msgspec.structs.replace(access, ended=ended))
    return seen


def _life(access: Access, lives: Sequence[Life]) -> Life:
    """The process that sent a request."""
    agent = next(value for name, value in access.headers if name.lower() == "user-agent")
    return next(life for life in lives if life.agent in agent and access.began <= life.ended)


def _endings(web: DemoWeb, decisions: Sequence[DecisionEntry]) -> dict[str, list[str]]:
    finals = Counter(entry.url for entry in decisions if entry.final)
    entries = [
        Entry(entry.url, entry.verdict, entry.reason, final=entry.final)
        for entry in decisions
        if not (entry.masked and not entry.final)  # of what is entered masked, only the last word is comparable
    ]
    # Which attempts came before the last one is not compared: a kill may have taken the place of any of them.
    entries += [
        Entry(url, outcome.verdict, outcome.reason, final=False)
        for url, item in web.expected.items()
        for outcome in item.before
    ]
    rows = [row for row in compare(web.web, entries) if not row.ok and not _is_known_already(row)]
    lost = [row for row in rows if row.got == "no entry" or row.got.endswith("nothing final")]
    return {
        "lost": [f"{row.url}: {row.got}" for row in lost],
        "duplicate": [f"{url}: {number} final entries" for url, number in finals.items() if number > 1],
        "wrong": [f"{row.url}: {row.got} instead of {row.expected}" for row in rows if row not in lost],
    }


def _is_known_already(row: Row) -> bool:
    """Whether a page was refused for what was found before the crash: its site's terms were read then."""
    verdict, _, reason = row.expected.partition(" ")
    return verdict in ("aborted", "discarded") and row.got.endswith(f"refused {reason}")


def _unaccounted(web: DemoWeb, attempts: Counter[str], accesses: Sequence[Access]) -> list[str]:
    asked = Counter(access.url for access in accesses if access.url in web.expected)
    return [
        f"{url}: asked for {number} times, {attempts[url]} entries"
        for url, number in asked.items()
        for _ in range(number - attempts[url])
    ]


def _unclean(outs: Sequence[Path]) -> Iterator[str]:
    together = verify_together(outs)
    for out, report in zip(outs, together.folders, strict=True):
        yield from (f"verify {out.name}: {difference}" for level in report.levels for difference in level.differences)
        if report.seal != "finished":
            yield f"{out.name}: the seal is {report.seal!r}"
    yield from (f"verify together: {difference}" for difference in together.level.differences)


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
    for origin, of_origin in visits.items():
        for one, two in pairwise(of_origin):
            life = _life(one, lives)
            if life.killed and life.ended < two.began and two.began - one.began < DELAY_S:
                yield f"{origin}: {two.began - one.began:.3f} s between two requests over a restart"
