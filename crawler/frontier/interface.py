"""What a frontier is: every URL still to be asked for, one clock and at most one lease per authority.

A lease is the durable intent that stands before a request (a claim that has returned survives any crash). Its holder
ends it with an `Outcome`, or loses it: a lease that was not renewed for its term goes to whoever claims next. Back ends
keep these promises and no others; the conformance suite (`tests/unit/crawler/frontier/`) holds each of them to these:

- a URL that was pushed is never lost, and is in one place only: queued, leased, or done;
- an authority has at most one open lease in the whole fleet, so that no host ever sees two requests at a time;
- an authority is not claimed before its clock, also after a restart, nor while it is blocked;
- an `Outcome` counts as a whole or not at all: children, clock and the end of the lease are one act, and it counts
  only for the lease it names (lease ids are fencing tokens: a holder who comes too late changes nothing).

All times that go in and come out are seconds since 1970 by the caller's own clock. A back end that several machines
share keeps its server's time inside, and turns one into the other by how far off they are.

Nothing here decides whether a URL may be asked for: that is `provenance.rules`.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from typing import Final, Protocol
from urllib.parse import urlsplit

import msgspec

from provenance.naming import registrable_domain

MAX_PAYLOAD_BYTES: Final = 16 * 1024
"""The most that may travel with one URL. A million queued URLs must still fit on a disk."""


MAX_PRIORITY: Final = 2**31
"""Either way: what every back end can order by."""

LEASE_S: Final = 60.0
"""The term of a lease, unless the settings say otherwise. Renewed four times as often."""

HOLD_RETRY_S: Final = 1.0
"""When to try again to hold an authority that is free as soon as somebody else is done."""

MOST_LOSSES: Final = 50
"""A URL whose holder was lost more often than this breaks whoever asks for it: it goes to the dead list.

Not few: a worker that dies again and again for a reason of its own takes along all it holds, each time.
"""

EPOCH: Final = "epoch"
"""The fact that says under which rules claims are granted; see `Frontier.claim`."""


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


class OutdatedError(FrontierError):
    """Claims are granted under newer rules than the caller has."""


class State(StrEnum):
    """What a fleet is to do, by word of its operator."""

    RUN = "run"
    PAUSE = "pause"
    """Nothing new is claimed; workers wait."""
    DRAIN = "drain"
    """Nothing new is claimed; workers end when what they hold is done."""


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
        id: unique over the life of the crawl, and growing from one lease of an authority to its next.
        url: as it was pushed.
        authority: as it was pushed; nobody else holds a lease on it.
        payload: as it was pushed.
        attempt: 1 for the first try.
        priority: as it was pushed.
        losses: how often a holder of this URL was lost (crashed, or came too late) before it was done.
        lost: id of the lease under which the last of them held it, when that was another lease than this one: what
            became of it is not known, and whoever holds the URL now enters that. It goes with the URL until an
            `Outcome` that counts as a try.
    """

    id: int
    url: str
    authority: str
    payload: str
    attempt: int
    priority: int
    losses: int = 0
    lost: int | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What ends a lease.

    Attributes:
        lease: id of the lease.
        host_free_at: epoch seconds of the earliest next request to the authority. Its clock is only ever set later;
            0 leaves it alone.
        children: URLs found on the way.
        again_at: epoch seconds at which the URL is to be tried again; None: it is done.
        anew: the URL is done, and asked for at `again_at` as if for the first time: its attempts are counted from 1.
        counts_as_try: False gives the lease back as if it had never been: the URL is queued again, due at `again_at`
            or at once, and its attempt stays the same.
        payload: (payload digest, reference) of what was kept, remembered for revisit records; the first one stays.
        address: the IP address that was connected to, "" when none was: claims keep to the cap per address by it.
        dead: the URL is given up without an answer; it goes to the dead list, from where `requeue` brings it back.
    """

    lease: int
    host_free_at: float
    children: tuple[Found, ...] = ()
    again_at: float | None = None
    counts_as_try: bool = True
    payload: tuple[bytes, bytes] | None = None
    address: str = ""
    dead: bool = False
    anew: bool = False


class Limits(msgspec.Struct, frozen=True):
    """What bounds one worker's claims and pushes. 0 is no limit.

    Attributes:
        lease_s: the term of a lease.
        per_host: URLs ever accepted of an authority.
        per_site: URLs ever accepted of a registrable domain.
        per_address: leases open at one IP address, in the whole fleet.
    """

    lease_s: float = LEASE_S
    per_host: int = 0
    per_site: int = 0
    per_address: int = 0


class Counts(msgspec.Struct, frozen=True):
    """How the frontier stands.

    Attributes:
        queued: URLs to be asked for, those put back included, those leased not.
        leased: open leases of URLs.
        hosts: authorities ever met: of pushed URLs, held, or blocked.
        seen: URLs ever accepted; `seen - queued - leased` are done (the dead among them).
        waiting: authorities with queued URLs of which none is due yet.
        over_budget: pushes dropped because their authority or their site had its fill of URLs.
        blocked: authorities that an operator has blocked.
        dead: URLs given up without an answer.
        lost: leases that ran out, ever.
    """

    queued: int = 0
    leased: int = 0
    hosts: int = 0
    seen: int = 0
    waiting: int = 0
    over_budget: int = 0
    blocked: int = 0
    dead: int = 0
    lost: int = 0


class Block(msgspec.Struct, frozen=True):
    """An authority that is not asked for anything, by word of an operator.

    Attributes:
        authority: "https://host[:port]".
        reason: why, in the operator's words.
        since: seconds since 1970.
        until: seconds since 1970; None: until it is lifted.
    """

    authority: str
    reason: str
    since: float
    until: float | None = None


class WorkerStatus(msgspec.Struct, frozen=True):
    """One worker of the fleet.

    Attributes:
        name: unique within the crawl.
        seen_at: when it was last heard of, seconds since 1970.
        leases: how many leases it holds.
        told: JSON of the worker's own: what it tells of itself with each `renew`.
    """

    name: str
    seen_at: float
    leases: int
    told: str = ""


class Frontier(Protocol):
    """One crawl's frontier. Every method may raise `FrontierError`; then nothing has changed."""

    async def open(self) -> list[Lease]:
        """Open or create. Returns the leases that an earlier process of the same worker left open, one loss more each.

        They begin a new term. A hold of that process keeps its authority closed to the end of its term. An onlooker
        (a frontier opened without a worker's name) has none, and cannot claim.
        """

    async def push(self, found: Sequence[Found]) -> int:
        """Queue what was never seen before, durably; returns how many that were."""

    async def claim(self, n: int, *, epoch: str = "") -> list[Lease]:
        """Lease the best due URL of up to `n` authorities whose clock has come, durably.

        Authorities that have been free for longest come first; within one, priority, then order of insertion. Leases
        of other workers whose term is over are queued again before, with one loss more (its own a worker knows to be
        its own, whatever its clock says). No authority is leased that is blocked, or at
        whose address as many leases are open as the cap allows. Leases whose claimer was cancelled meanwhile are given
        back. Nothing is leased while the state is not `State.RUN`.

        Raises:
            OutdatedError: the fact `EPOCH` is set and differs from `epoch`. Nothing was leased.
        """

    async def hold(self, authority: str) -> tuple[int | None, float]:
        """Lease an authority without a URL, for a document of its own that somebody else's page announces.

        Returns the lease's id, to be ended by an `Outcome` (which puts nothing back), or None, and when to try again:
        the authority is leased, blocked (for ever: infinity), at its address's cap, or its clock has not come. A term
        that runs out frees the authority. It is granted in every state: what is being done may be ended.
        """

    async def renew(self, told: str = "") -> frozenset[int]:
        """Begin a new term for every lease this worker holds, and return their ids: what is not among them is lost.

        `told` is kept for `workers`.
        """

    async def finish(self, outcomes: Sequence[Outcome]) -> None:
        """End leases, all of them or, when one is not open or not this worker's, none."""

    async def next_due(self) -> float | None:
        """Epoch seconds from which a claim may succeed (past: it may now), in state `State.RUN`.

        A lease of another worker counts with the end of its term, a block with its end. None when only this worker's
        own leases, if any, or its operator can bring work.
        """

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

    async def swap(self, key: str, old: str | None, new: str) -> bool:
        """Set a small fact if it still is `old` (None: not set yet); from then on no claim is granted by the old."""

    async def state(self) -> State:
        """What the fleet is to do."""

    # -- for its operator: any frontier may be opened without a worker's name, beside the fleet ----------------------

    async def steer(self, state: State) -> None:
        """Say what the fleet is to do, from the next claim on."""

    async def block(self, block: Block) -> None:
        """Have an authority left alone, from the next claim on, in place of an earlier block. Its queue stays."""

    async def unblock(self, authority: str) -> bool:
        """Lift a block; False when there was none."""

    async def blocks(self) -> list[Block]:
        """The blocks in force."""

    async def workers(self) -> list[WorkerStatus]:
        """Every worker ever heard of, by name."""

    def dead(self) -> AsyncIterator[Found]:
        """The URLs given up without an answer."""

    async def requeue(self, found: Sequence[Found]) -> int:
        """Queue URLs whether they were seen or not, as first attempts, unless they are queued or leased; how many were.

        What stood on the dead list does so no more.
        """

    def queued(self) -> AsyncIterator[Found]:
        """Every queued URL, in no order; what comes or goes meanwhile may be among them or not."""

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

    def forget(self) -> None:
        """Remember nothing: the frontier may have lost what it held."""
        self._young, self._old = set(), set()

    def unfamiliar(self, found: Sequence[Found]) -> list[tuple[int, Found]]:
        """What was not met lately, with its fingerprint: only this is worth a look at the storage.

        Raises:
            FrontierError: one of them cannot be kept.
        """
        items = []
        for one in found:
            if one.url not in self:
                check_found(one)
                items.append((fingerprint(one.url), one))
        return items


@lru_cache(maxsize=65536)
def site_of(authority: str) -> str:
    """The registrable domain of an authority, or its host where there is none."""
    return registrable_domain(urlsplit(authority).hostname or authority)


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
    """Refuse times that are no times, and ends that contradict themselves.

    Raises:
        FrontierError: a clock is infinite or not a number, or a URL is given up and put back.
    """
    if outcome.anew and (outcome.again_at is None or not outcome.counts_as_try):
        raise FrontierError(
            "is to be asked for anew, and nobody says when",
            where=f"lease {outcome.lease}",
            remedy="Set `again_at` with `anew`, and leave `counts_as_try` alone.",
        )
    if outcome.dead and (outcome.again_at is not None or not outcome.counts_as_try):
        raise FrontierError(
            "gives a URL up and puts it back",
            where=f"lease {outcome.lease}",
            remedy="Set `dead`, or `again_at`, or `counts_as_try=False`: one of them.",
        )
    if not (math.isfinite(outcome.host_free_at) and math.isfinite(outcome.again_at or 0.0)):
        raise FrontierError(
            f"host_free_at={outcome.host_free_at}, again_at={outcome.again_at}",
            where=f"lease {outcome.lease}",
            remedy="Both are seconds since 1970; cap what a host asks for before it gets here.",
        )
