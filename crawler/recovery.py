"""What a crash leaves, and how the next start makes it whole: WARC tails cut, open intents entered. Never guesses."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from crawler.frontier.errand import Errand, decode_errand
from crawler.frontier.interface import Lease
from crawler.masks import Masks
from crawler.visit import Visit
from crawler.warc.records import WarcError
from crawler.warc.recover import recover
from crawler.warc.writer import OPEN_SUFFIX
from provenance import entry as leaves
from provenance.log import LogError, LogWriter
from provenance.naming import registrable_domain, surt
from provenance.rules import Rules
from reservations.model import Verdict
from reservations.urls import UrlError, origin_of

_VERDICTS: Final = tuple(Verdict)


class Found:
    """What one pass over the log tells a crawl that goes on.

    Attributes:
        covered: per WARC file, the end of the last record that an entry points to.
        last: the decision entry that each lease that is still open came to. A stored page stays the one when a
            further attempt at it was deferred.
        attempted: `seq` of the newest entry of such a lease that is not about an interruption.
        last_run: `seq` of the newest `run` entry, None in a new log.
        config: the newest `config` entry, None in a new log.
        counts: decisions by verdict.
        finals: final decisions by verdict, superseded ones left out.
        files: finished WARC files that are entered.
        last_ended: `seq` of the newest decision under a lease that is not open any more; -1 when there is none.
    """

    def __init__(self, open_leases: frozenset[int]) -> None:
        self._open = open_leases
        self.covered: dict[str, int] = {}
        self.last: dict[int, leaves.DecisionEntry] = {}
        self.attempted: dict[int, int] = {}
        self.last_run: int | None = None
        self.config: leaves.ConfigEntry | None = None
        self.files: set[str] = set()
        self.last_ended = -1
        self._verdicts = bytearray()  # by seq: an octet an entry, for the few that a later one supersedes
        self.counts: dict[Verdict, int] = {}
        self.finals: dict[Verdict, int] = {}

    @classmethod
    def of(cls, leases: list[Lease]) -> Found:
        """Ready to visit a log, for these open leases."""
        return cls(frozenset(lease.id for lease in leases))

    def visit(self, item: leaves.Entry) -> None:
        """Takes note of one entry."""
        self._verdicts.extend(bytes(item.seq - len(self._verdicts)))  # erased ones are not shown
        self._verdicts.append(_VERDICTS.index(item.verdict) if isinstance(item, leaves.DecisionEntry) else 0)
        for pointer in getattr(item, "warc", ()):
            self.covered[pointer.f] = max(self.covered.get(pointer.f, 0), pointer.o + pointer.l)
        if isinstance(item, leaves.RunEntry):
            self.last_run = item.seq
        elif isinstance(item, leaves.ConfigEntry):
            self.config = item
        elif isinstance(item, leaves.FileEntry):
            self.files.add(item.f)
        elif isinstance(item, leaves.DecisionEntry):
            self._count(item)
            self._visit_lease(item)

    def _count(self, item: leaves.DecisionEntry) -> None:
        count(self.counts, item.verdict)
        if item.final:
            count(self.finals, item.verdict)
        if item.supersedes is not None:
            count(self.finals, _VERDICTS[self._verdicts[item.supersedes]], -1)

    def _visit_lease(self, item: leaves.DecisionEntry) -> None:
        if item.lease not in self._open:
            self.last_ended = item.seq
        elif item.reason != "crawl.interrupted":
            self.attempted[item.lease] = item.seq
            if item.final or item.lease not in self.last:
                self.last[item.lease] = item

    def check(self, log: LogWriter, frontier: str, *, told: int, lost: int) -> None:
        """Compares the log with what the frontier was told of it (`told` entries). Each outlives a crash whole.

        Where leases have run out (`lost`), entries may stand under one that is not this worker's any more.

        Raises:
            LogError: one of them has lost its end, so that URLs would be missing, or be asked for and entered twice.
        """
        if log.next_seq < told:
            what = f"{log.folder}: {log.next_seq} entries are left of {told} that were written"
            raise LogError(f"{what}. {_LOST}")
        if self.last_ended >= told and not lost:
            what = f"{frontier}: knows {told} entries of the log, and nothing of the lease of entry {self.last_ended}"
            raise LogError(f"{what}. {_LOST}")


_LOST: Final = (
    "Its end was lost after it had been made durable: look at the disk, restore the folder from a copy, "
    "or keep it as it is and crawl into another one"
)


def count(counts: dict[Verdict, int], verdict: Verdict, by: int = 1) -> None:
    """Counts one entry by its verdict; a verdict that nothing has is left out."""
    counts[verdict] = counts.get(verdict, 0) + by
    if not counts[verdict]:
        del counts[verdict]


def repair_warcs(out: Path, found: Found) -> list[str]:
    """Cuts and finishes the WARC files that a crash left open. Says what was done, one line a file.

    Raises:
        WarcError: one cannot be repaired, or lacks bytes that the log covers. Nothing was cut in the second case.
    """
    lacking = [name for name in sorted(found.covered.keys() - found.files) if _size(out / name) < found.covered[name]]
    if lacking:
        raise WarcError(f"{out}: {', '.join(lacking)} gone, or shorter than the log says. {_LOST}")
    repairs = [repair for folder in ("warc", "evidence") for repair in recover(out / folder, found.covered)]
    return [f"{repair.file} {repair.action}, {repair.dropped} bytes dropped" for repair in repairs]


def _size(path: Path) -> int:
    """Of a WARC file, under its own name or the one it has while it is written."""
    names = (path, path.with_name(path.name + OPEN_SUFFIX))
    return max((name.stat().st_size for name in names if name.exists()), default=-1)


def errand_of(lease: Lease) -> Errand:
    """The errand that travelled with a lease."""
    return decode_errand(lease.payload) if lease.payload else Errand(via="seed")


def named_by(errand: Errand, worker: str, masks: Masks) -> dict[str, Any]:
    """The entry's fields on the page that named a URL, which may stand in another worker's log."""
    if errand.log in ("", worker):
        return {"src": errand.src}
    return {"src": errand.src, "src_log": errand.log, "hops": masks.hops(errand.hops)}


def interrupted(visit: Visit, rules: Rules, masks: Masks, worker: str) -> dict[str, Any]:
    """The entry's fields for an intent that a crash left open: whether a request was sent is not known."""
    lease, (url, secret) = visit.lease, masks.url(visit.lease.url)
    return {
        "url": url,
        "masked": secret,
        "surt": surt(url),
        "site": site_of(url),
        "via": visit.errand.via,
        **named_by(visit.errand, worker, masks),
        "depth": visit.errand.depth,
        "lease": lease.id,
        "attempt": lease.attempt,
        "verdict": Verdict.FAILED,
        "reason": "crawl.interrupted",
        "gate": "transfer",
        "agent": rules.tokens[0],
        "purposes": rules.policy.purposes,
    }


def site_of(url: str) -> str:
    """The registrable domain of a URL, "" where it has none."""
    try:
        return registrable_domain(origin_of(url).host)
    except UrlError:
        return ""
