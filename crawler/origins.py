"""What origins answered about themselves: robots.txt, tdmrep.json and the documents these announce.

Each document is asked for once per origin by one owner, and everybody who waits gets that one answer. It is archived
and entered as evidence before anyone acts on it, used for 24 hours at most (RFC 9309 2.4), and remembered over
restarts in the frontier.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final
from urllib.parse import urljoin
from weakref import WeakValueDictionary

import msgspec
from isal import isal_zlib

from crawler.archive import Fetched
from crawler.clock import steady
from crawler.download.client import Client, Exchange
from crawler.download.errors import TransferError
from crawler.fleet import BusyError, LeaseLostError, Membership
from crawler.frontier.interface import Frontier
from crawler.in_force import RulesInForce
from crawler.politeness import Pace
from crawler.recorder import Recorder
from crawler.warc.writer import Copied
from reservations.legal import is_legal_key
from reservations.model import Answer, Decision, Facts, Hop, Want, Wants
from reservations.urls import UrlError, canonical_url, origin_of

ROBOTS: Final = "/robots.txt"
#: How a document failed whose redirects were followed until the right to ask was over.
INTERRUPTED: Final = "interrupted"
LIFETIME_MS: Final = 24 * 3600 * 1000
#: What was fetched later than now was fetched under a date that was set back since: nobody knows how old it is, and it
#: is asked for again. The clocks of a fleet's machines may differ by this.
MOST_AHEAD_MS: Final = 60 * 1000
REDIRECTS: Final = (301, 302, 303, 307, 308)
#: Origins held in memory; the rest is in the frontier.
MOST_HELD: Final = 2048
MOST_HELD_BYTES: Final = 64_000_000
#: Documents held of one origin: its files, and what its pages name.
MOST_DOCUMENTS: Final = 64


class Known(msgspec.Struct, frozen=True):
    """One document's answer, as one worker of the fleet asked for it.

    Attributes:
        answer: what came.
        evidence: `seq` of its evidence in that worker's log.
        expires: until when it is used, milliseconds since 1970-01-01 UTC.
        worker: the worker.
        records: its records in that worker's `evidence/`, for the others to take over.
    """

    answer: Answer
    evidence: int
    expires: int
    worker: str = ""
    records: Copied = ()


class _Origin(msgspec.Struct):
    """All answers of one authority by key."""

    documents: dict[str, Known] = {}

    def forget(self) -> None:
        """Lets go of the documents that expire first, when pages have named too many."""
        for key in sorted(self.documents, key=lambda key: self.documents[key].expires)[:-MOST_DOCUMENTS]:
            del self.documents[key]

    def size(self) -> int:
        return sum(
            len(known.answer.body) + sum(len(member) for _, member in known.records)
            for known in self.documents.values()
        )


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Origin).decode


class Origins:
    """Answers for one crawl, shared by all its workers: one of them asks, the others take over what it archived."""

    def __init__(
        self,
        *,
        in_force: RulesInForce,
        client: Client,
        recorder: Recorder,
        frontier: Frontier,
        pace: Pace,
        now_ms: Callable[[], int],
        headers: tuple[tuple[str, str], ...],
        renew: Callable[[], Awaitable[None]],
        membership: Membership,
        worker: str,
        shared: bool,
    ) -> None:
        self._shared = shared
        self._in_force, self._renew, self._membership, self._worker = in_force, renew, membership, worker
        self._client, self._recorder, self._frontier = client, recorder, frontier
        self._pace, self._now_ms, self._headers = pace, now_ms, headers
        self._held: OrderedDict[str, _Origin] = OrderedDict()
        self._held_bytes = 0
        self._flights: dict[tuple[str, str], asyncio.Task[tuple[Known, bool]]] = {}
        self._recalled: dict[str, int] = {}
        self._remembering: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def get(self, wants: Wants, page: str) -> tuple[Known, bool]:
        """The answer that `wants` asks for on behalf of `page`, and whether it was fetched just now."""
        authority = str(origin_of(page))
        key = wants.key
        known = (await self._origin(authority)).documents.get(key)
        if known and self._is_ours(known):
            return known, False
        flight = self._flights.get((authority, key))
        if flight is None:
            flight = asyncio.get_running_loop().create_task(self._learn(wants, authority))
            self._flights[authority, key] = flight
            flight.add_done_callback(lambda _: self._flights.pop((authority, key), None))
        return await asyncio.shield(flight)

    async def prepare(self, page: str) -> None:
        """Takes over what other workers have learnt of the origin of a page that is leased now."""
        if not self._shared:
            return
        authority = str(origin_of(page))
        origin = await self._catch_up(authority)
        for key, known in tuple(origin.documents.items()):
            if _counts_for_all(key) and self._is_fresh(known) and not self._is_ours(known):
                self._take_over(known, key, origin, authority)
        await self._recorder.settled()

    def held(self, page: str) -> dict[str, Known]:
        """The origin's own files and its site's terms, in memory and not too old: what an attempt can begin with."""
        origin = self._held.get(str(origin_of(page)))
        if origin is None:
            return {}
        ours = {key: known for key, known in origin.documents.items() if _counts_for_all(key)}
        return {key: known for key, known in ours.items() if self._is_ours(known)}

    async def known(self, page: str) -> dict[str, Answer]:
        """The answers held for the origin of `page`, by key."""
        origin = await self._origin(str(origin_of(page)))
        return {key: known.answer for key, known in origin.documents.items()}

    def flights(self) -> tuple[asyncio.Task[tuple[Known, bool]], ...]:
        """What is being asked for at this moment."""
        return tuple(self._flights.values())

    async def _origin(self, authority: str) -> _Origin:
        held = self._held.get(authority)
        if held is not None:
            self._held.move_to_end(authority)
            return held
        recalled = await self._recall(authority)
        held = self._held.get(authority)  # another task may have recalled it meanwhile
        if held is None:
            held = self._held[authority] = recalled
            self._held_bytes += held.size()
            self._shrink()
        return held

    async def _recall(self, authority: str) -> _Origin:
        """What the fleet knows of an origin."""
        recalled = await self._frontier.recall_origin(authority)
        return _decode(isal_zlib.decompress(recalled[0])) if recalled else _Origin()

    async def _catch_up(self, authority: str) -> _Origin:
        """The origin with what other workers have learnt of it. While we hold its lease, nobody else learns more."""
        lease = self._membership.lease_on(authority)
        if self._shared and (lease is None or self._recalled.get(authority) != lease):
            theirs = await self._recall(authority)
            origin = await self._origin(authority)
            self._held_bytes -= origin.size()
            for key, known in theirs.documents.items():
                if key not in origin.documents or self._rank(origin.documents[key]) < self._rank(known):
                    origin.documents[key] = known
            self._held_bytes += origin.size()
            if lease is not None:
                self._recalled[authority] = lease
        return await self._origin(authority)

    def _is_fresh(self, known: Known) -> bool:
        return self._is_dated(known) and known.expires > self._now_ms()

    def _is_dated(self, known: Known) -> bool:
        return known.answer.fetched_at <= self._now_ms() + MOST_AHEAD_MS

    def _rank(self, known: Known) -> tuple[bool, int]:
        """Of two answers the one that is used for longer counts; one from later than now gives way to any other."""
        return self._is_dated(known), known.expires

    def _is_ours(self, known: Known) -> bool:
        return known.worker == self._worker and self._is_fresh(known)

    def _shrink(self) -> None:
        while len(self._held) > 1 and (len(self._held) > MOST_HELD or self._held_bytes > MOST_HELD_BYTES):
            authority, oldest = self._held.popitem(last=False)
            self._held_bytes -= oldest.size()
            self._recalled.pop(authority, None)

    async def _learn(self, wants: Wants, authority: str) -> tuple[Known, bool]:
        """An answer this worker lacks, and whether it was asked for: another worker's is entered in our log too."""
        origin = await self._catch_up(authority)
        before = origin.documents.get(wants.key)
        if before and self._is_fresh(before):
            known = before if self._is_ours(before) else self._take_over(before, wants.key, origin, authority)
            await self._recorder.settled()
            return known, False
        known = await self._ask(wants, authority, before)
        await self._remember(authority, wants.key, known)
        return known, True

    def _take_over(self, known: Known, key: str, origin: _Origin, authority: str) -> Known:
        taken = f"{known.worker}#{known.evidence}"
        filed = self._recorder.copy(
            known.answer, known.records, key=key, authority=authority, expires=known.expires, taken=taken
        )
        ours = origin.documents[key] = Known(known.answer, filed.seq, known.expires, self._worker, known.records)
        return ours

    async def _ask(self, wants: Wants, authority: str, before: Known | None) -> Known:
        tries = before.answer.tries + 1 if before and _passing(before.answer) else 1
        answer, fetched = await self._fetch(wants, authority, tries)
        now = self._now_ms()
        expires = now + LIFETIME_MS
        if _passing(answer) and tries < self._in_force.rules.policy.tries:
            expires = int(self._pace.again_at(now / 1000, attempt=tries) * 1000)
        filed = self._recorder.document(answer, fetched, key=wants.key, authority=authority, expires=expires)
        await self._recorder.settled()
        if answer.failure == INTERRUPTED:  # what was asked for is entered, and nobody goes by it
            raise LeaseLostError(f"{wants.url}: another worker's host by now")
        records = await self._recorder.copies(filed.warc)
        return Known(answer, filed.seq, expires, self._worker, records)

    async def _remember(self, authority: str, key: str, known: Known) -> None:
        origin = await self._origin(authority)
        self._held_bytes -= origin.size()
        origin.documents[key] = known
        origin.forget()
        self._held_bytes += origin.size()
        one_by_one = self._remembering.setdefault(authority, asyncio.Lock())
        async with one_by_one:  # or an answer less might be written after one more
            until = steady() + LIFETIME_MS / 1000  # also of what is used for less long: its tries are counted on
            await self._frontier.remember_origin(authority, isal_zlib.compress(_encode(origin), 1), until)
        self._shrink()

    async def _fetch(self, wants: Wants, authority: str, tries: int) -> tuple[Answer, list[Fetched]]:
        """Asks for one document, following redirects; never raises for what a server does."""
        hops: list[Hop] = []
        fetched: list[Fetched] = []
        started = self._now_ms()
        async with AsyncExitStack() as hosts:
            last, failure = await self._follow(wants, authority, hosts, hops, fetched)
            truncated = False
            if last:
                fetched.append(last)
                failure, truncated = await _read(last, wants.max_bytes)
        return Answer(
            url=wants.url,
            status=last.exchange.status if last else None,
            headers=last.exchange.headers if last else (),
            body=last.body.content if last and last.body else b"",
            failure=failure,
            redirects=tuple(hops),
            truncated=truncated,
            tries=tries,
            fetched_at=started,
        ), fetched

    async def _follow(
        self, wants: Wants, home: str, hosts: AsyncExitStack, hops: list[Hop], fetched: list[Fetched]
    ) -> tuple[Fetched | None, str | None]:
        """The answer that redirects lead to, its body unread, or why there is none. Each hop's host is ours by then."""
        url, asked = wants.url, {home}
        while True:
            authority = str(origin_of(url))
            try:
                if authority not in asked:
                    await hosts.enter_async_context(self._membership.host(authority, free_at=self._free_at))
                    asked.add(authority)
                if failure := await self._barred(url, wants.key, home):
                    return None, failure
                exchange = await self._client.exchange(url, headers=(*self._headers, ("Accept", wants.accept)))
            except TransferError as error:
                return None, error.reason
            except BusyError:
                return None, "timeout"
            except LeaseLostError:
                if not fetched:
                    raise
                return None, INTERRUPTED
            target = _location(exchange)
            if target is None:
                return Fetched(exchange=exchange), None
            exchange.stop()
            fetched.append(Fetched(exchange=exchange))
            hops.append(Hop(url, exchange.status, target))
            if len(hops) > wants.max_redirects:
                return None, "too-many-redirects"
            url = target

    def _free_at(self) -> float:
        return self._pace.host_free_at(steady(), crawl_delay_s=0.0)

    async def _barred(self, url: str, key: str, home: str) -> str | None:
        """Why `url` may not be asked for (blocklist, its own origin's robots.txt), or None."""
        await self._renew()
        facts = Facts(url=url, at=self._now_ms())
        first = self._in_force.rules.examine(facts)
        if isinstance(first, Decision):
            return "blocklisted" if first.gate == "blocklist" else "url"
        authority = str(origin_of(url))
        if key == ROBOTS or authority == home:
            return None
        robots = Wants(
            what=Want.DOCUMENT, url=authority + ROBOTS, key=ROBOTS, max_bytes=first.max_bytes, accept=first.accept
        )
        known, _ = await self.get(robots, url)
        second = self._in_force.rules.examine(msgspec.structs.replace(facts, documents={ROBOTS: known.answer}))
        return "robots" if isinstance(second, Decision) else None


def _counts_for_all(key: str) -> bool:
    """Whether an answer counts for every URL of its origin: its own files, and its site's terms."""
    return key.startswith("/") or is_legal_key(key)


def _passing(answer: Answer) -> bool:
    """Whether the failure may pass by itself: no answer, a server's fault, or a request to wait."""
    return answer.failure is not None or (answer.status or 0) in (429, *range(500, 600))


def _location(exchange: Exchange) -> str | None:
    """The absolute URL a redirect names; None when the answer is none, or names nothing that is a URL."""
    if exchange.status not in REDIRECTS:
        return None
    named = next((h.value.strip() for h in exchange.headers if h.name.lower() == "location"), "")
    try:
        return canonical_url(urljoin(exchange.url, named)) if named else None
    except (UrlError, ValueError):
        return None


async def _read(last: Fetched, max_bytes: int) -> tuple[str | None, bool]:
    """Reads a successful answer up to its cap; of any other the status is enough. Failure word and `truncated`."""
    exchange = last.exchange
    if exchange.status not in range(200, 300):
        exchange.stop()
        return None, False
    try:
        last.body = await exchange.read(max_bytes, truncate=True)
    except TransferError as error:
        return error.reason, False
    return None, last.body.truncated
