"""The one place every request passes: knock, ask, listen, read, record.

`Rules.examine` says what is wanted next; the door gets it and asks again, until there is a decision. It decides
nothing itself, and nothing leaves it that was not entered first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from crawler import archive, recovery
from crawler.archive import Fetched
from crawler.download.client import Client
from crawler.download.errors import TransferError
from crawler.frontier.interface import Frontier
from crawler.in_force import RulesInForce
from crawler.masks import Masks
from crawler.origins import Known, Origins
from crawler.recorder import Recorder
from crawler.visit import Foreseen, Passage, Visit
from crawler.warc.records import Original
from provenance import entry as leaves
from provenance.naming import registrable_domain, surt
from provenance.rules import Rules
from reservations.decide import TEASER
from reservations.model import Decision, Facts, Head, Verdict, Want, Wants
from reservations.readers.asset import is_file
from reservations.urls import UrlError, origin_of

#: Bodies and documents above this size are read by the reservation readers off the event loop, and so is every file.
OFF_LOOP_BYTES: Final = 131_072
#: So are bodies with more tags: it is elements that take time.
OFF_LOOP_TAGS: Final = 10_000

_original = msgspec.json.Decoder(Original).decode


class Knock(msgspec.Struct, frozen=True):
    """What an origin answered about itself.

    Attributes:
        asked_now: whether anything was fetched: then the host has had a visit, and its delay is due before the page.
        crawl_delay_s: the Crawl-delay it asks for, in seconds.
        sitemaps: the sitemaps it names, as written.
        decided: whether that decides already, so that the page will not be asked for now.
    """

    asked_now: bool
    crawl_delay_s: float
    sitemaps: tuple[str, ...]
    decided: bool


class _Attempt:
    """What is gathered on one way through the door."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.known: dict[str, Known] = {}
        self.asked_now = False
        self.fetched: Fetched | None = None
        self.payload: bytes | None = None
        self.revisits: Original | None = None

    def know(self, documents: Mapping[str, Known]) -> None:
        self.known |= documents
        self.learn(documents={key: known.answer for key, known in self.known.items()})

    def learn(self, **changes: object) -> None:
        self.facts = msgspec.structs.replace(self.facts, **changes)


class Door:
    """The door of one crawl.

    Args:
        renew: puts a newer blocklist in force, or raises: awaited before anything is asked for or decided.
        permit: raises `LeaseLostError` when an authority is not, or no longer, ours to ask.
        worker: id of this worker's log among those of the crawl.
        masks: how URLs are shown in entries.
    """

    def __init__(
        self,
        *,
        in_force: RulesInForce,
        client: Client,
        origins: Origins,
        recorder: Recorder,
        frontier: Frontier,
        now_ms: Callable[[], int],
        headers: tuple[tuple[str, str], ...],
        renew: Callable[[], Awaitable[None]],
        permit: Callable[[str], None],
        worker: str,
        masks: Masks,
    ) -> None:
        self.client, self.origins, self.recorder, self.frontier = client, origins, recorder, frontier
        self._in_force, self._renew, self._permit = in_force, renew, permit
        self._now_ms, self._headers, self._worker, self._masks = now_ms, headers, worker, masks

    @property
    def rules(self) -> Rules:
        """The rules in force: from the next step of every attempt on, when they change."""
        return self._in_force.rules

    async def knock(self, visit: Visit) -> Knock:
        """Learns the answers of the URL's origin, outside of Scrapy's downloader, so that nobody waits in there."""
        await self.origins.prepare(visit.lease.url)
        attempt = self._begin(visit)
        while isinstance(wants := await self._examine(attempt.facts), Wants) and wants.what is Want.DOCUMENT:
            await self._document(attempt, wants)
        facts = attempt.facts
        if decided := isinstance(wants, Decision):
            visit.known = attempt.known  # what decided now is what will be entered, however soon it expires
        else:
            visit.foreseen = Foreseen(self.rules, facts, wants)
        return Knock(attempt.asked_now, self.rules.crawl_delay_s(facts), self.rules.sitemaps(facts), decided)

    async def known_delay_s(self, visit: Visit) -> float:
        """The Crawl-delay that the URL's origin asked for when it was last asked; nothing is sent."""
        attempt = self._begin(visit)
        attempt.learn(documents=await self.origins.known(visit.lease.url))
        return self.rules.crawl_delay_s(attempt.facts)

    async def attend(self, visit: Visit, wishes: tuple[tuple[str, str], ...] = ()) -> Passage:
        """Takes one URL all the way. Returns when its entry, and what it allows to be kept, are durable.

        Args:
            visit: the leased URL.
            wishes: Accept and Accept-Language of a foreign spider, in place of ours.
        """
        attempt, foreseen = self._begin(visit), visit.foreseen
        try:
            while isinstance(answer := await self._examine(attempt.facts, foreseen), Wants):
                foreseen = None
                match answer.what:
                    case Want.DOCUMENT:
                        await self._document(attempt, answer)
                    case Want.HEAD:
                        await self._head(attempt, answer, wishes)
                    case Want.BODY:
                        await self._body(attempt, answer)
        finally:
            if attempt.fetched and attempt.fetched.body is None:
                attempt.fetched.exchange.stop()
        return await self._record(visit, attempt, answer)

    def _begin(self, visit: Visit) -> _Attempt:
        lease, errand = visit.lease, visit.errand
        attempt = _Attempt(
            Facts(
                url=lease.url,
                attempt=lease.attempt,
                redirected_from=errand.hops,
                at=self._now_ms(),
            )
        )
        attempt.know(self.origins.held(lease.url) | visit.known)
        return attempt

    async def _examine(self, facts: Facts, foreseen: Foreseen | None = None) -> Decision | Wants:
        while True:
            await self._renew()
            rules = self.rules
            if foreseen is not None and foreseen.holds(rules, facts):
                return foreseen.wants
            if _is_slow(facts):
                answer = await asyncio.to_thread(rules.examine, facts)
            else:
                answer = rules.examine(facts)
            if rules is self.rules:  # else they changed meanwhile, and what is written now follows the new ones
                return answer

    async def _document(self, attempt: _Attempt, wants: Wants) -> None:
        """All that is wanted in one visit, in a row on each origin's connection, and made durable together."""
        both = (wants, *wants.beside)
        learnt = await asyncio.gather(*(self.origins.get(one, attempt.facts.url) for one in both))
        attempt.asked_now |= any(fresh for _, fresh in learnt)
        answers = {one.key: known for one, (known, _) in zip(both, learnt, strict=True)}
        attempt.know(self.origins.held(attempt.facts.url) | answers)

    async def _head(self, attempt: _Attempt, wants: Wants, wishes: tuple[tuple[str, str], ...]) -> None:
        wished = {name.lower() for name, _ in wishes}
        own = [
            (name, value) for name, value in (*self._headers, ("Accept", wants.accept)) if name.lower() not in wished
        ]
        try:
            exchange = await self.client.exchange(wants.url, headers=(*own, *wishes))
        except TransferError as error:
            attempt.learn(failure=error.reason)
            return
        attempt.fetched = Fetched(exchange=exchange)
        attempt.learn(head=Head(status=exchange.status, headers=exchange.headers))

    async def _body(self, attempt: _Attempt, wants: Wants) -> None:
        fetched = attempt.fetched
        assert fetched is not None  # noqa: S101  (a body is only wanted after a head)
        try:
            body = await fetched.exchange.read(wants.max_bytes)
        except TransferError as error:
            attempt.learn(failure=error.reason)
            return
        fetched.body = body
        attempt.learn(body=body.content)
        if body.content:
            attempt.payload = archive.payload_key(fetched.exchange, body)
            known = await self.frontier.first_payload(attempt.payload)
            if known is not None:
                attempt.revisits = _original(known)
                attempt.learn(repeats=attempt.revisits.record_id)

    async def _record(self, visit: Visit, attempt: _Attempt, decision: Decision) -> Passage:
        lease, facts, fetched = visit.lease, attempt.facts, attempt.fetched
        self._permit(lease.authority)
        shown = self._masks.decision(decision)
        url, secret = self._masks.url(lease.url)
        evidence = {key: known.evidence for key, known in attempt.known.items()}
        identical = decision.verdict is Verdict.UNCHANGED and decision.reason == "payload.identical"
        final = decision.verdict is not Verdict.DEFERRED
        recorded = self.recorder.decision(
            shown,
            fetched,
            revisits=attempt.revisits if identical else None,
            teaser=self.rules.teaser(facts) if decision.reason == TEASER else "",
            url=url,
            masked=secret,
            surt=surt(url),
            site=_site(url),
            via=visit.errand.via,
            **recovery.named_by(visit.errand, self._worker, self._masks),
            depth=visit.errand.depth,
            lease=lease.id,
            attempt=lease.attempt,
            final=final,
            supersedes=visit.supersedes.seq if visit.supersedes and final else None,
            failure=facts.failure or "",
            agent=self.rules.tokens[0],
            purposes=self.rules.policy.purposes,
            signals=tuple(leaves.LoggedSignal.of(s, ev=evidence.get(s.source)) for s in shown.signals),
            consulted={key: evidence.get(key, word) for key, word in decision.consulted.items()},
            read_as=_read_as(decision, facts),
            at=facts.at,
            config=self._in_force.config,
            t_req=_ms(fetched.exchange.sent_at) if fetched else None,
            t_resp=_ms(fetched.exchange.head_at) if fetched else None,
        )
        await self.recorder.settled()
        return Passage(
            url=lease.url,
            decision=decision,
            seq=recorded.seq,
            warc=recorded.warc,
            fetched=fetched,
            media_type=_media_type(fetched),
            crawl_delay_s=self.rules.crawl_delay_s(facts),
            remember=_remember(attempt.payload, recorded.original),
        )


def _is_slow(facts: Facts) -> bool:
    """Whether reading the facts may take longer than everybody else should wait."""
    body = facts.body or b""
    many_tags = len(body) > 3 * OFF_LOOP_TAGS and body.count(b"<") > OFF_LOOP_TAGS
    if many_tags or len(body) > OFF_LOOP_BYTES or is_file(body):
        return True
    return any(len(answer.body) > OFF_LOOP_BYTES for answer in facts.documents.values())


def _read_as(decision: Decision, facts: Facts) -> dict[str, str]:
    """What came of a document, where its evidence does not say so by itself."""
    plain = {key: answer.failure or str(answer.status) for key, answer in facts.documents.items()}
    words = decision.consulted
    return {key: words[key] for key, outcome in plain.items() if key in words and words[key] != outcome}


def _remember(payload: bytes | None, original: Original | None) -> tuple[bytes, bytes] | None:
    return (payload, msgspec.json.encode(original)) if payload is not None and original is not None else None


def _site(url: str) -> str:
    try:
        return registrable_domain(origin_of(url).host)
    except UrlError:
        return ""


def _media_type(fetched: Fetched | None) -> str:
    if fetched is None:
        return ""
    declared = next((h.value for h in fetched.exchange.headers if h.name.lower() == "content-type"), "")
    return declared.partition(";")[0].strip().lower()


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
