"""What a frontier is: every URL still to be asked for, one clock and at most one lease per authority.

A lease is the durable intent that stands before a request (a claim that has returned survives any crash), and its
`Outcome` is the one way to end it. Back ends keep these promises and no others; the conformance suite
(`tests/unit/crawler/test_frontier.py`) holds each back end to them:

- a URL that was pushed is never lost, and is in one place only: queued, leased, or done;
- an authority has at most one open lease, so that no host ever sees two requests at a time;
- an authority is not claimed before its clock, also after a restart;
- an `Outcome` counts as a whole or not at all: children, clock and the end of the lease are one act.

Nothing here decides whether a URL may be asked for: that is `provenance.rules`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, Protocol

import msgspec

MAX_PAYLOAD_BYTES: Final = 16 * 1024
"""The most that may travel with one URL. A million queued URLs must still fit on a disk."""


MAX_PRIORITY: Final = 2**31
"""Either way: what every back end can order by."""


class FrontierError(Exception):
    """The frontier cannot do what was asked, and has changed nothing.

    Attributes:
        what: the fault.
        where: the file, URL or lease it concerns.
        remedy: what to do about it.
    """

    def __init__(self, what: str, *, where: str, remedy: str) -> None:
        self.what, self.where, self.remedy = what, where, remedy
        super().__init__(f"{where}: {what}. {remedy}")


class Found(msgspec.Struct, frozen=True):
    """A URL to be asked for some day.

    Attributes:
        url: in canonical form (`reservations.urls.canonical_url`): equal resources, equal texts.
        authority: who answers for it, "https://host[:port]"; leases, clocks and budgets are per authority.
        payload: JSON of the caller's own, handed back with the lease; at most `MAX_PAYLOAD_BYTES`.
        priority: higher first, within one authority.
    """

    url: str
    authority: str
    payload: str = ""
    priority: int = 0


class Lease(msgspec.Struct, frozen=True):
    """The right, and the duty, to ask for one URL now.

    Attributes:
        id: unique and growing over the life of the crawl, across restarts.
        url: as it was pushed.
        authority: as it was pushed; nobody else holds a lease on it.
        payload: as it was pushed.
        attempt: 1 for the first try.
        priority: as it was pushed.
    """

    id: int
    url: str
    authority: str
    payload: str
    attempt: int
    priority: int


class Outcome(msgspec.Struct, frozen=True):
    """What ends a lease.

    Attributes:
        lease: id of the lease.
        host_free_at: epoch seconds of the earliest next request to the authority. Its clock is only ever set later;
            0 leaves it alone.
        children: URLs found on the way.
        again_at: epoch seconds at which the URL is to be tried again; None: it is done.
        counts_as_try: False gives the lease back as if it had never been: the URL is queued again, due at `again_at`
            or at once, and its attempt stays the same.
        payload: (payload digest, reference) of what was kept, remembered for revisit records; the first one stays.
    """

    lease: int
    host_free_at: float
    children: tuple[Found, ...] = ()
    again_at: float | None = None
    counts_as_try: bool = True
    payload: tuple[bytes, bytes] | None = None


class Counts(msgspec.Struct, frozen=True):
    """How the frontier stands.

    Attributes:
        queued: URLs to be asked for, those put back included, those leased not.
        leased: open leases.
        hosts: authorities ever seen.
        seen: URLs ever accepted; `seen - queued - leased` are done.
        waiting: authorities with queued URLs of which none is due yet.
        over_budget: pushes dropped because their authority had its `max_per_host` URLs.
    """

    queued: int = 0
    leased: int = 0
    hosts: int = 0
    seen: int = 0
    waiting: int = 0
    over_budget: int = 0


class Frontier(Protocol):
    """One crawl's frontier. Every method may raise `FrontierError`; then nothing has changed."""

    async def open(self) -> list[Lease]:
        """Open or create; returns leases that a dead process left: they stay leased until an `Outcome` ends them."""

    async def push(self, found: Sequence[Found]) -> int:
        """Queue what was never seen before, durably; returns how many that were."""

    async def claim(self, n: int) -> list[Lease]:
        """Lease the best due URL of up to `n` authorities whose clock has come, durably.

        Authorities that have been free for longest come first; within one, priority, then order of insertion. Leases
        whose claimer was cancelled meanwhile are given back.
        """

    async def finish(self, outcomes: Sequence[Outcome]) -> None:
        """End leases, all of them or, when one is not open, none."""

    async def next_due(self) -> float | None:
        """Epoch seconds from which a claim succeeds (past: it does now); None while only leases can bring work."""

    async def counts(self) -> Counts:
        """How things stand."""

    async def remember_origin(self, authority: str, blob: bytes, expires_at: float) -> None:
        """Keep an origin's answers until `expires_at` (epoch seconds), in place of earlier ones."""

    async def recall_origin(self, authority: str) -> tuple[bytes, float] | None:
        """The answers kept for an origin and when they expire; None when there are none or they have."""

    async def first_payload(self, digest: bytes) -> bytes | None:
        """The reference remembered with the first outcome of this payload digest."""

    async def get(self, key: str) -> str | None:
        """A small fact about the crawl."""

    async def put(self, key: str, value: str) -> None:
        """Set a small fact about the crawl."""

    async def close(self) -> None:
        """Finish what was asked for and let go of the storage. May be called twice."""


class Recent:
    """URLs met lately, bounded: most links repeat, and a repeat should cost no look at the disk.

    Keeps Python's own hash of the text, 64 bits under a key of this process, so that no page can aim at it. Two
    generations stand in for exact least-recent order: a full young one becomes the old one, the old one goes.
    """

    def __init__(self, size: int) -> None:
        self._size = max(1, size // 2)
        self._young: set[int] = set()
        self._old: set[int] = set()

    def __contains__(self, url: str) -> bool:
        if hash(url) in self._young:
            return True
        if hash(url) not in self._old:
            return False
        self.add(url)
        return True

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def add(self, url: str) -> None:
        """Remember that the frontier holds this URL."""
        if len(self._young) >= self._size:
            self._old, self._young = self._young, set()
        self._young.add(hash(url))


def fingerprint(url: str) -> int:
    """The 64 bits by which a URL is known as seen: signed, as SQLite and Valkey keep integers.

    Two URLs of n fall together with probability n^2 / 2^65: 0.0003 at a hundred million.
    """
    return int.from_bytes(blake2b(url.encode(), digest_size=8).digest(), "big", signed=True)


def check_found(found: Found) -> None:
    """Refuse what no back end could keep.

    Raises:
        FrontierError: the payload or the priority is too large, or a text is not Unicode.
    """
    try:
        size = len(found.payload.encode())
        found.url.encode()
        found.authority.encode()
    except UnicodeEncodeError as error:
        raise FrontierError(
            "holds half of a surrogate pair, which is not text",
            where=ascii(found.url)[:200],
            remedy="Bring URLs into canonical form, and encode what travels with them as JSON, before they are pushed.",
        ) from error
    if not -MAX_PRIORITY <= found.priority <= MAX_PRIORITY:
        raise FrontierError(
            f"priority {found.priority}; at most {MAX_PRIORITY} either way is allowed",
            where=found.url[:200],
            remedy="Use smaller steps between priorities.",
        )
    if size > MAX_PAYLOAD_BYTES:
        raise FrontierError(
            f"{size} bytes of payload; {MAX_PAYLOAD_BYTES} are allowed",
            where=found.url[:200],
            remedy="Keep less in the request's meta, cb_kwargs, headers or body: queued requests are stored as data.",
        )


def check_outcome(outcome: Outcome) -> None:
    """Refuse times that are no times.

    Raises:
        FrontierError: a clock is infinite or not a number.
    """
    if not (math.isfinite(outcome.host_free_at) and math.isfinite(outcome.again_at or 0.0)):
        raise FrontierError(
            f"host_free_at={outcome.host_free_at}, again_at={outcome.again_at}",
            where=f"lease {outcome.lease}",
            remedy="Both are seconds since 1970; cap what a host asks for before it gets here.",
        )
