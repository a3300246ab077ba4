"""The statements of the SQLite frontier. Everything here runs in the one worker thread of a `SqliteFrontier`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from crawler.clock import Setting, SteadyClock
from crawler.frontier.interface import (
    EPOCH,
    HOLD_RETRY_S,
    Block,
    Counts,
    Found,
    FrontierError,
    Lease,
    Limits,
    Outcome,
    OutdatedError,
    State,
    WorkerStatus,
    fingerprint,
    site_of,
)
from crawler.frontier.sqlite_file import SqliteFile, Standing

#: A host is ready at the latest of its clock, the end of its block and its earliest due URL (`max` of a NULL is NULL:
#: one with an empty queue is not ready), unless it is leased. A block without end ends at 9e999, infinity.
READY: Final = """UPDATE host SET ready_at = CASE WHEN EXISTS (SELECT 1 FROM lease WHERE host = ?1) THEN NULL ELSE
 nullif(max(free_at, blocked_until, (SELECT due FROM queue WHERE host = ?1 ORDER BY due LIMIT 1)), 9e999) END
 WHERE id = ?1"""

_LEASES: Final = """SELECT lease.id, url, authority, payload, attempt, -rank, losses, lost
 FROM lease JOIN host ON host.id = lease.host WHERE worker = ? AND url != '' ORDER BY lease.id"""

#: Addresses at which as many leases are open as the cap (?1) allows.
_FULL: Final = "(SELECT address FROM lease WHERE address != '' GROUP BY address HAVING count(*) >= ?1)"
_READY_HOSTS: Final = f"""SELECT id, authority, address FROM host
 WHERE ready_at <= ?2 AND address NOT IN {_FULL} ORDER BY ready_at, address, id"""  # noqa: S608  (parts of our own)
_NEXT_DUE: Final = f"""SELECT min(at) FROM (
 SELECT * FROM (SELECT ready_at AS at FROM host
  WHERE ready_at IS NOT NULL AND address NOT IN {_FULL} ORDER BY ready_at LIMIT 1)
 UNION ALL SELECT min(expires_at) FROM lease
  WHERE worker != ?2)"""  # noqa: S608

_NO_LIMIT: Final = 2**62

CLOCK: Final = "clock"
"""The fact that says how the clock was set that the times in the file are by."""

Items = Sequence[tuple[int, Found]]
"""URLs with their fingerprints."""


def _attempt(work: Callable[[], object]) -> object:
    try:
        return work()
    except FrontierError as error:
        return error


class Store:
    """One worker's or one onlooker's access to the file."""

    def __init__(self, path: Path, *, worker: str, limits: Limits) -> None:
        self._file = SqliteFile(path)
        self._sql = self._file.sql
        self._worker, self._limits = worker, limits
        self._per_address = limits.per_address or _NO_LIMIT
        self._standing = Standing()
        self.close = self._file.close

    def open(self, clock: Callable[[], float]) -> list[Lease]:
        """Open or create the file; returns the leases that this worker has in it."""
        self._file.open(check=bool(self._worker))
        with self._file.transaction(writes=bool(self._worker)):
            if isinstance(clock, SteadyClock):
                self._agree(clock)
            if not self._worker:
                return []
            now = clock()
            self._sql("DELETE FROM origin WHERE expires_at <= ?", now)
            self._end_holds()
            self._sql("UPDATE lease SET losses = losses + 1 WHERE worker = ?", self._worker)
            self.renew("", now)
            return [Lease(*row) for row in self._sql(_LEASES, self._worker)]

    def transact(self, works: Sequence[Callable[[], object]], *, writes: bool) -> list[object]:
        """Do all works in one durable transaction; an answer each, which may be the `FrontierError` of that one.

        A work refuses before it writes, so that one caller's fault does not undo what the others asked for.
        """
        with self._file.transaction(writes=writes):
            before = self._file.standing()
            self._standing = copy.copy(before)
            answers = [_attempt(work) for work in works]
            if self._standing != before:
                self._file.set_standing(self._standing)
            return answers

    # -- URLs --------------------------------------------------------------------------------------------------------

    def push(self, items: Items) -> tuple[int, list[str]]:
        """Queue what is new. Returns how many were, and the URLs of them all that the file now holds."""
        before = self._standing.seen
        held: list[str] = []
        by_authority: dict[str, list[tuple[int, Found]]] = {}
        for item in items:
            by_authority.setdefault(item[1].authority, []).append(item)
        for authority, group in by_authority.items():
            held += self._push_to(authority, group)
        return self._standing.seen - before, held

    def requeue(self, found: Sequence[Found]) -> int:
        """Queue what is neither queued nor leased. Reads the queue of each host once."""
        before = self._standing.queued
        by_authority: dict[str, dict[str, Found]] = {}
        for one in found:
            by_authority.setdefault(one.authority, {}).setdefault(one.url, one)
        for authority, group in by_authority.items():
            host, site, _ = self._host(authority)
            taken = {row[0] for row in self._sql("SELECT url FROM queue WHERE host = ?", host)}
            taken |= {row[0] for row in self._sql("SELECT url FROM lease WHERE host = ?", host)}
            for url in [url for url in group if url not in taken]:
                if self._sql("INSERT OR IGNORE INTO seen VALUES (?, ?)", host, fingerprint(url)).rowcount:
                    self._add_pages(host, site, 1)
                self._standing.dead -= self._sql("DELETE FROM dead WHERE url = ?", url).rowcount
                self._queue_new(host, group[url])
            self._sql(READY, host)
        return self._standing.queued - before

    def claim(self, n: int, now: float, epoch: str) -> list[Lease]:
        """Lease the best due URL of each of the `n` hosts that have been ready for longest."""
        self._check_worker()
        rules = self.get(EPOCH)
        if rules is not None and rules != epoch:
            raise OutdatedError(
                f"grants claims under the rules {rules}; this worker has {epoch or 'none'}",
                where=str(self._file.path),
                remedy="Start the worker again with the rules in force.",
            )
        if self._standing.state != State.RUN or n <= 0:
            return []
        self._expire(now)
        return [self._lease(host, authority, address, now) for host, authority, address in self._ready(n, now)]

    def hold(self, authority: str, now: float) -> tuple[int | None, float]:
        """Lease a host without a URL: the row's URL is empty."""
        self._check_worker()
        self._expire(now)
        host, _, _ = self._host(authority)
        free_at, until, address = self._sql(
            "SELECT free_at, blocked_until, address FROM host WHERE id = ?", host
        ).fetchone()
        lease = self._sql("SELECT expires_at FROM lease WHERE host = ?", host).fetchone()
        if lease is not None:
            return None, max(now, min(lease[0], now + HOLD_RETRY_S))
        if max(free_at, until) > now:
            return None, max(free_at, until)
        query = "SELECT count(*) FROM lease WHERE address = ? AND address != ''"
        if self._sql(query, address).fetchone()[0] >= self._per_address:
            return None, now + HOLD_RETRY_S
        return self._insert_lease(host, address, now, (0, 0, "", "", 1, 0, None)), now

    def renew(self, told: str, now: float) -> frozenset[int]:
        """A new term for all that this worker holds."""
        self._check_worker()
        self._sql("INSERT OR REPLACE INTO worker VALUES (?, ?, ?)", self._worker, now, told)
        expires_at = now + self._limits.lease_s
        self._sql("UPDATE lease SET expires_at = ? WHERE worker = ?", expires_at, self._worker)
        return frozenset(row[0] for row in self._sql("SELECT id FROM lease WHERE worker = ?", self._worker))

    def finish(self, outcomes: Sequence[Outcome], children: Items) -> list[str]:
        """End leases. Returns the URLs of the children that the file now holds."""
        self._check_worker()
        open_leases: dict[int, tuple[Any, ...]] = {}
        for outcome in outcomes:
            row = self._sql(
                "SELECT host, rank, item, url, payload, attempt, losses, lost FROM lease WHERE id = ? AND worker = ?",
                *(outcome.lease, self._worker),
            )
            lease = row.fetchone()
            if lease is None or outcome.lease in open_leases:
                raise FrontierError(
                    f"lease {outcome.lease} is not open",
                    where=str(self._file.path),
                    remedy="A lease is finished once, within its term, by the worker that claimed it.",
                )
            open_leases[outcome.lease] = lease
        _, held = self.push(children)
        for outcome in outcomes:
            self._end(outcome, open_leases[outcome.lease])
        return held

    def next_due(self) -> float | None:
        """When the first host is ready, or another worker's term is over."""
        row = self._sql(_NEXT_DUE, self._per_address, self._worker).fetchone()
        return row[0]  # type: ignore[no-any-return]

    # -- what the crawl remembers --------------------------------------------------------------------------------------

    def remember_origin(self, authority: str, blob: bytes, expires_at: float) -> None:
        """One row an origin."""
        self._sql("INSERT OR REPLACE INTO origin VALUES (?, ?, ?)", authority, blob, expires_at)

    def recall_origin(self, authority: str, now: float) -> tuple[bytes, float] | None:
        """The row, unless it has expired."""
        query = "SELECT blob, expires_at FROM origin WHERE authority = ? AND expires_at > ?"
        return self._sql(query, authority, now).fetchone()  # type: ignore[no-any-return]

    def first_payload(self, digest: bytes) -> bytes | None:
        """The reference of the first outcome with this digest."""
        row = self._sql("SELECT reference FROM payload WHERE digest = ?", digest).fetchone()
        return row and row[0]  # type: ignore[no-any-return]

    def get(self, key: str) -> str | None:
        """One fact."""
        row = self._sql("SELECT value FROM fact WHERE key = ?", key).fetchone()
        return row and row[0]  # type: ignore[no-any-return]

    def put(self, key: str, value: str) -> None:
        """Set one fact."""
        self._sql("INSERT OR REPLACE INTO fact VALUES (?, ?)", key, value)

    def swap(self, key: str, old: str | None, new: str) -> bool:
        """Set one fact if it still is `old`."""
        same = self.get(key) == old
        if same:
            self.put(key, new)
        return same

    # -- for the operator ----------------------------------------------------------------------------------------------

    def counts(self, now: float) -> Counts:
        """The totals, and what must be asked of the moment."""
        standing = self._standing
        return Counts(
            queued=standing.queued,
            leased=self._sql("SELECT count(*) FROM lease WHERE url != ''").fetchone()[0],
            hosts=standing.hosts,
            seen=standing.seen,
            waiting=self._sql("SELECT count(*) FROM host WHERE ready_at > ?", now).fetchone()[0],
            over_budget=standing.over_budget,
            blocked=self._sql(
                "SELECT count(*) FROM host WHERE blocked_until > 0 AND blocked_until > ?", now
            ).fetchone()[0],
            dead=standing.dead,
            lost=standing.lost,
        )

    def state(self) -> State:
        """What the fleet is to do."""
        return State(self._standing.state)

    def steer(self, state: State) -> None:
        """Kept with the totals: a claim has both read anyway."""
        self._standing.state = state.value

    def block(self, block: Block) -> None:
        """Set a host's block."""
        host, _, _ = self._host(block.authority)
        self._sql(
            "UPDATE host SET blocked_reason = ?2, blocked_since = ?3, blocked_until = ifnull(?4, 9e999) WHERE id = ?1",
            *(host, block.reason, block.since, block.until),
        )
        self._sql(READY, host)

    def unblock(self, authority: str, now: float) -> bool:
        """Lift a host's block."""
        query = "SELECT id FROM host WHERE authority = ? AND blocked_until > 0 AND blocked_until > ?"
        row = self._sql(query, authority, now).fetchone()
        if row is not None:
            self._sql("UPDATE host SET blocked_until = 0 WHERE id = ?", *row)
            self._sql(READY, *row)
        return row is not None

    def blocks(self, now: float) -> list[Block]:
        """Every block that has not run out."""
        rows = self._sql(
            "SELECT authority, blocked_reason, blocked_since, nullif(blocked_until, 9e999) FROM host"
            " WHERE blocked_until > 0 AND blocked_until > ? ORDER BY authority",
            now,
        )
        return [Block(*row) for row in rows]

    def workers(self) -> list[WorkerStatus]:
        """Every worker with the number of its leases."""
        rows = self._sql(
            "SELECT name, seen_at, (SELECT count(*) FROM lease WHERE worker = name), told FROM worker ORDER BY name"
        )
        return [WorkerStatus(*row) for row in rows]

    def dead(self, after: tuple[str], n: int) -> list[tuple[tuple[str], Found]]:
        """At most `n` of the dead list, behind `after`."""
        rows = self._sql(
            "SELECT url, authority, payload, -rank FROM dead JOIN host ON host.id = dead.host"
            " WHERE url > ? ORDER BY url LIMIT ?",
            *(*after, n),
        )
        return [((row[0],), Found(*row)) for row in rows]

    def queued(self, after: tuple[Any, ...], n: int) -> list[tuple[tuple[Any, ...], Found]]:
        """At most `n` of the queue, behind `after`."""
        rows = self._sql(
            "SELECT host, due, rank, item, url, authority, payload, -rank FROM queue JOIN host ON host.id = queue.host"
            " WHERE (host, due, rank, item) > (?, ?, ?, ?) ORDER BY host, due, rank, item LIMIT ?",
            *(*after, n),
        )
        return [(row[:4], Found(*row[4:])) for row in rows]

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _agree(self, clock: SteadyClock) -> None:
        """All processes of a machine go by the first one's setting, until the machine is started again."""
        told = self.get(CLOCK)
        if not (told and clock.agree(msgspec.json.decode(told, type=Setting))) and self._worker:
            self.put(CLOCK, msgspec.json.encode(clock.setting).decode())

    def _check_worker(self) -> None:
        if not self._worker:
            raise FrontierError(
                "was opened by an onlooker",
                where=str(self._file.path),
                remedy="Open it under a worker's name to claim URLs.",
            )

    def _host(self, authority: str) -> tuple[int, int, int]:
        """A host's id, its site's, and how many URLs were accepted of it; makes the row."""
        query = "SELECT id, site, pages FROM host WHERE authority = ?"
        row = self._sql(query, authority).fetchone()
        if row is None:
            self._sql("INSERT OR IGNORE INTO site (name) VALUES (?)", site_of(authority))
            self._sql(
                "INSERT INTO host (authority, site) SELECT ?, id FROM site WHERE name = ?",
                *(authority, site_of(authority)),
            )
            self._standing.hosts += 1
            row = self._sql(query, authority).fetchone()
        return row  # type: ignore[no-any-return]

    def _room(self, site: int, pages: int) -> int:
        """How many more URLs a host may bring, by its own budget and its site's."""
        most = _NO_LIMIT
        if self._limits.per_host:
            most = self._limits.per_host - pages
        if self._limits.per_site:
            used = self._sql("SELECT pages FROM site WHERE id = ?", site).fetchone()[0]
            most = min(most, self._limits.per_site - used)
        return most

    def _push_to(self, authority: str, items: list[tuple[int, Found]]) -> list[str]:
        host, site, pages = self._host(authority)
        room = self._room(site, pages)
        held: list[str] = []
        new = 0
        for number, found in items:
            if new >= room:
                if self._sql("SELECT 1 FROM seen WHERE host = ? AND fingerprint = ?", host, number).fetchone():
                    held.append(found.url)
                else:
                    self._standing.over_budget += 1
                continue
            held.append(found.url)
            if self._sql("INSERT OR IGNORE INTO seen VALUES (?, ?)", host, number).rowcount:
                new += 1
                self._queue_new(host, found)
        if new:
            self._add_pages(host, site, new)
            self._sql(READY, host)
        return held

    def _add_pages(self, host: int, site: int, new: int) -> None:
        self._standing.seen += new
        self._sql("UPDATE host SET pages = pages + ? WHERE id = ?", new, host)
        self._sql("UPDATE site SET pages = pages + ? WHERE id = ?", new, site)

    def _queue_new(self, host: int, found: Found) -> None:
        self._standing.items += 1
        self._enqueue(host, 0.0, -found.priority, self._standing.items, found.url, found.payload, 1, 0, None)

    def _enqueue(self, *row: object) -> None:
        self._sql("INSERT INTO queue VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", *row)
        self._standing.queued += 1

    def _ready(self, n: int, now: float) -> list[tuple[int, str, str]]:
        """At most `n` hosts that may be claimed: id, authority, address."""
        at = dict(self._sql("SELECT address, count(*) FROM lease WHERE address != '' GROUP BY address"))
        ready = []
        for row in self._sql(_READY_HOSTS, self._per_address, now):
            address = row[2]
            if not address or at.get(address, 0) < self._per_address:
                at[address] = at.get(address, 0) + 1
                ready.append(row)
            if len(ready) == n:
                break
        return ready

    def _lease(self, host: int, authority: str, address: str, now: float) -> Lease:
        # What was put back and has come due competes with the rest again.
        self._sql("UPDATE queue SET due = 0 WHERE host = ? AND due > 0 AND due <= ?", host, now)
        row = self._sql(
            "SELECT rank, item, url, payload, attempt, losses, lost FROM queue"
            " WHERE host = ? AND due = 0 ORDER BY rank, item LIMIT 1",
            host,
        ).fetchone()
        rank, item, url, payload, attempt, losses, lost = row
        self._sql("DELETE FROM queue WHERE host = ? AND due = 0 AND rank = ? AND item = ?", host, rank, item)
        self._standing.queued -= 1
        number = self._insert_lease(host, address, now, row)
        return Lease(number, url, authority, payload, attempt, -rank, losses, lost)

    def _insert_lease(self, host: int, address: str, now: float, row: tuple[Any, ...]) -> int:
        self._sql("UPDATE host SET ready_at = NULL WHERE id = ?", host)
        cursor = self._sql(
            "INSERT INTO lease (host, address, worker, expires_at, rank, item, url, payload, attempt, losses, lost)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(host, address, self._worker, now + self._limits.lease_s, *row),
        )
        return cursor.lastrowid or 0

    def _end_holds(self) -> None:
        """What an earlier process asked for under them is not known: their hosts stay closed to the end of the term."""
        query = "SELECT id, host, expires_at FROM lease WHERE worker = ? AND url = ''"
        for number, host, expires_at in self._sql(query, self._worker).fetchall():
            self._sql("DELETE FROM lease WHERE id = ?", number)
            self._sql("UPDATE host SET free_at = max(free_at, ?) WHERE id = ?", expires_at, host)
            self._sql(READY, host)

    def _expire(self, now: float) -> None:
        """Queue again what other workers were lost with. What a worker holds itself it knows."""
        rows = self._sql(
            "SELECT id, host, rank, item, url, payload, attempt, losses FROM lease"
            " WHERE expires_at <= ? AND worker != ?",
            *(now, self._worker),
        ).fetchall()
        for number, host, rank, item, url, payload, attempt, losses in rows:
            self._sql("DELETE FROM lease WHERE id = ?", number)
            self._standing.lost += 1
            if url:
                self._enqueue(host, 0.0, rank, item, url, payload, attempt, losses + 1, number)
            self._sql(READY, host)

    def _end(self, outcome: Outcome, lease: tuple[Any, ...]) -> None:
        host, rank, item, url, payload, attempt, losses, lost = lease
        self._sql("DELETE FROM lease WHERE id = ?", outcome.lease)
        if url and outcome.dead:
            row = self._sql("INSERT OR IGNORE INTO dead VALUES (?, ?, ?, ?)", url, host, rank, payload)
            self._standing.dead += row.rowcount
        elif url and (outcome.again_at is not None or not outcome.counts_as_try):
            due = max(outcome.again_at or 0.0, 0.0)
            tried = outcome.counts_as_try  # then its holder has entered what became of the one before
            after = 1 if outcome.anew else attempt + tried
            self._enqueue(host, due, rank, item, url, payload, after, losses, None if tried else lost)
        self._sql(
            "UPDATE host SET free_at = max(free_at, ?2), address = iif(?3 = '', address, ?3) WHERE id = ?1",
            *(host, outcome.host_free_at, outcome.address),
        )
        self._sql(READY, host)
        if outcome.payload is not None:
            self._sql("INSERT OR IGNORE INTO payload VALUES (?, ?)", *outcome.payload)
