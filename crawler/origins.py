"""What origins answered about themselves: robots.txt, tdmrep.json and the documents these announce.

Each document is asked for once per origin by one owner, and everybody who waits gets that one answer. It is archived
and entered as evidence before anyone acts on it, used for 24 hours at most (RFC 9309 2.4), and remembered over
restarts in the frontier.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urljoin

import msgspec
from isal import isal_zlib

from crawler.archive import Fetched
from crawler.download.client import Client, Exchange
from crawler.download.errors import TransferError
from crawler.frontier.interface import Frontier
from crawler.politeness import Pace
from crawler.recorder import Recorder
from provenance.rules import Rules
from reservations.legal import is_legal_key
from reservations.model import Answer, Decision, Facts, Hop, Want, Wants
from reservations.urls import UrlError, canonical_url, origin_of

ROBOTS: Final = "/robots.txt"
LIFETIME_MS: Final = 24 * 3600 * 1000
REDIRECTS: Final = (301, 302, 303, 307, 308)
#: Origins held in memory; the rest is in the frontier.
MOST_HELD: Final = 2048
MOST_HELD_BYTES: Final = 64_000_000
#: Documents held of one origin: its files, and what its pages name.
MOST_DOCUMENTS: Final = 64


class Known(msgspec.Struct, frozen=True):
    """One document's answer, the `seq` of its evidence, and until when it is used (milliseconds since 1970)."""

    answer: Answer
    evidence: int
    expires: int


class _Origin(msgspec.Struct):
    """All answers of one authority by key."""

    documents: dict[str, Known] = {}

    def forget(self) -> None:
        """Lets go of the documents that expire first, when pages have named too many."""
        for key in sorted(self.documents, key=lambda key: self.documents[key].expires)[:-MOST_DOCUMENTS]:
            del self.documents[key]

    def size(self) -> int:
        return sum(len(known.answer.body) for known in self.documents.values())


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Origin).decode


class Origins:
    """Answers for one crawl."""

    def __init__(
        self,
        *,
        rules: Rules,
        client: Client,
        recorder: Recorder,
        frontier: Frontier,
        pace: Pace,
        now_ms: Callable[[], int],
        headers: tuple[tuple[str, str], ...],
        renew: Callable[[], Awaitable[None]],
    ) -> None:
        self._renew = renew
        self._rules, self._client, self._recorder, self._frontier = rules, client, recorder, frontier
        self._pace, self._now_ms, self._headers = pace, now_ms, headers
        self._held: OrderedDict[str, _Origin] = OrderedDict()
        self._held_bytes = 0
        self._flights: dict[tuple[str, str], asyncio.Task[Known]] = {}

    def adopt(self, rules: Rules) -> None:
        """Puts other rules in force, from the next request on."""
        self._rules = rules

    async def get(self, wants: Wants, page: str) -> tuple[Known, bool]:
        """The answer that `wants` asks for on behalf of `page`, and whether it was fetched just now."""
        authority = str(origin_of(page))
        key = wants.key
        known = (await self._origin(authority)).documents.get(key)
        if known and known.expires > self._now_ms():
            return known, False
        flight = self._flights.get((authority, key))
        if flight is None:
            flight = asyncio.get_running_loop().create_task(self._learn(wants, authority, known))
            self._flights[authority, key] = flight
            flight.add_done_callback(lambda _: self._flights.pop((authority, key), None))
        return await asyncio.shield(flight), True

    def held(self, page: str) -> dict[str, Known]:
        """The origin's own files and its site's terms, in memory and not too old: what an attempt can begin with."""
        origin = self._held.get(str(origin_of(page)))
        if origin is None:
            return {}
        now = self._now_ms()
        ours = {key: known for key, known in origin.documents.items() if key.startswith("/") or is_legal_key(key)}
        return {key: known for key, known in ours.items() if known.expires > now}

    async def known(self, page: str) -> dict[str, Answer]:
        """The answers held for the origin of `page`, by key."""
        origin = await self._origin(str(origin_of(page)))
        return {key: known.answer for key, known in origin.documents.items()}

    def flights(self) -> tuple[asyncio.Task[Known], ...]:
        """What is being asked for at this moment."""
        return tuple(self._flights.values())

    async def _origin(self, authority: str) -> _Origin:
        held = self._held.get(authority)
        if held is not None:
            self._held.move_to_end(authority)
            return held
        recalled = await self._frontier.recall_origin(authority)
        held = self._held.get(authority)  # another task may have recalled it meanwhile
        if held is None:
            held = _decode(isal_zlib.decompress(recalled[0])) if recalled else _Origin()
            self._held[authority] = held
            self._held_bytes += held.size()
            self._shrink()
        return held

    def _shrink(self) -> None:
        while len(self._held) > 1 and (len(self._held) > MOST_HELD or self._held_bytes > MOST_HELD_BYTES):
            _, oldest = self._held.popitem(last=False)
            self._held_bytes -= oldest.size()

    async def _learn(self, wants: Wants, authority: str, before: Known | None) -> Known:
        tries = before.answer.tries + 1 if before and _passing(before.answer) else 1
        answer, fetched = await self._fetch(wants, authority, tries)
        now = self._now_ms()
        expires = now + LIFETIME_MS
        if _passing(answer) and tries < self._rules.policy.tries:
            expires = int(self._pace.again_at(now / 1000, attempt=tries) * 1000)
        evidence = self._recorder.document(answer, fetched, key=wants.key, authority=authority, expires=expires)
        known = Known(answer, evidence, expires)
        await self._recorder.settled()
        await self._remember(authority, wants.key, known)
        return known

    async def _remember(self, authority: str, key: str, known: Known) -> None:
        origin = await self._origin(authority)
        self._held_bytes -= origin.size()
        origin.documents[key] = known
        origin.forget()
        self._held_bytes += origin.size()
        latest = max(document.expires for document in origin.documents.values())
        await self._frontier.remember_origin(authority, isal_zlib.compress(_encode(origin), 1), latest / 1000)
        self._shrink()

    async def _fetch(self, wants: Wants, authority: str, tries: int) -> tuple[Answer, list[Fetched]]:
        """Asks for one document, following redirects; never raises for what a server does."""
        hops: list[Hop] = []
        fetched: list[Fetched] = []
        url, failure, started = wants.url, None, self._now_ms()
        exchange: Exchange | None = None
        while True:
            exchange = None
            failure = await self._barred(url, wants.key, authority)
            if failure:
                break
            try:
                exchange = await self._client.exchange(url, headers=(*self._headers, ("Accept", wants.accept)))
            except TransferError as error:
                failure = error.reason
                break
            target = _location(exchange)
            if target is None:
                break
            exchange.stop()
            fetched.append(Fetched(exchange=exchange))
            hops.append(Hop(url, exchange.status, target))
            if len(hops) > wants.max_redirects:
                failure = "too-many-redirects"
                break
            url = target
        last = Fetched(exchange=exchange) if exchange and not failure else None
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

    async def _barred(self, url: str, key: str, home: str) -> str | None:
        """Why `url` may not be asked for (blocklist, its own origin's robots.txt), or None."""
        await self._renew()
        facts = Facts(url=url, at=self._now_ms())
        first = self._rules.examine(facts)
        if isinstance(first, Decision):
            return "blocklisted" if first.gate == "blocklist" else "url"
        authority = str(origin_of(url))
        if key == ROBOTS or authority == home:
            return None
        robots = Wants(
            what=Want.DOCUMENT, url=authority + ROBOTS, key=ROBOTS, max_bytes=first.max_bytes, accept=first.accept
        )
        known, _ = await self.get(robots, url)
        second = self._rules.examine(msgspec.structs.replace(facts, documents={ROBOTS: known.answer}))
        return "robots" if isinstance(second, Decision) else None


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
