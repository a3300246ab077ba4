"""A live look at one URL: what would be decided, and why, step by step.

It says who we are, obeys as a crawl does, and stores nothing. The same loop as the door's, over the same rules; the
only difference is that nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any

import msgspec

from crawler.archive import Fetched
from crawler.download.client import Client
from crawler.download.errors import TransferError
from crawler.in_force import RulesInForce
from crawler.origins import Origins
from crawler.politeness import Pace
from crawler.recorder import Filed
from crawler.warc.writer import Copied
from provenance.entry import Pointer
from provenance.rules import Rules
from reservations.model import Answer, Decision, Facts, Head, Want, Wants


class _NoRecorder:
    """Stands where the recorder does in a crawl, and writes nothing."""

    def document(self, answer: Answer, fetched: Sequence[Fetched], **_: Any) -> Filed:  # noqa: ARG002
        return Filed(-1, ())

    async def copies(self, _: Sequence[Pointer]) -> Copied:
        return ()

    async def settled(self) -> None:
        return


class _NoMemory:
    """Stands where the frontier does in a crawl, and remembers nothing."""

    async def recall_origin(self, _: str) -> None:
        return None

    async def remember_origin(self, *_: Any) -> None:
        return


class _NoFleet:
    """Stands where the fleet does in a crawl: nobody else asks hosts beside a check."""

    def lease_on(self, _: str) -> None:
        return None

    def host(self, _: str, **__: Any) -> AbstractAsyncContextManager[None]:
        return nullcontext()


class Step(msgspec.Struct, frozen=True):
    """One step of a check: what was done, and what came of it."""

    did: str
    came: str


async def _as_loaded() -> None:
    """One URL is decided under the blocklist as it was loaded a moment ago."""


async def check_url(
    url: str,
    *,
    rules: Rules,
    client: Client,
    headers: tuple[tuple[str, str], ...],
    now_ms: Callable[[], int],
    tell: Callable[[Step], None],
) -> tuple[Decision, Facts]:
    """Decides on one URL as a crawl would at this moment, and on what. `tell` hears of each step as it is done."""
    origins = Origins(
        in_force=RulesInForce(rules, None, Path()),
        client=client,
        recorder=_NoRecorder(),  # type: ignore[arg-type]
        frontier=_NoMemory(),  # type: ignore[arg-type]
        pace=Pace(delay_s=0.0, backoff_s=0.0),
        now_ms=now_ms,
        headers=headers,
        renew=_as_loaded,
        membership=_NoFleet(),  # type: ignore[arg-type]
        worker="",
        shared=False,
    )
    facts = Facts(url=url, attempt=rules.policy.tries, at=now_ms())
    fetched: Fetched | None = None
    while isinstance(wants := rules.examine(facts), Wants):
        match wants.what:
            case Want.DOCUMENT:
                facts = await _document(facts, wants, origins, tell)
            case Want.HEAD:
                facts, fetched = await _head(facts, wants, client, headers, tell)
            case Want.BODY if fetched is not None:
                facts = await _body(facts, wants, fetched, tell)
    if fetched is not None:
        fetched.exchange.stop()
    return wants, facts


async def _document(facts: Facts, wants: Wants, origins: Origins, tell: Callable[[Step], None]) -> Facts:
    documents = dict(facts.documents)
    for one in (wants, *wants.beside):
        known, _ = await origins.get(one, facts.url)
        answer = documents[one.key] = known.answer
        came = answer.failure or f"{answer.status}, {len(answer.body)} bytes"
        hops = f", after {len(answer.redirects)} redirects" if answer.redirects else ""
        tell(Step(f"asked for {answer.url}", came + hops))
    return msgspec.structs.replace(facts, documents=documents)


async def _head(
    facts: Facts,
    wants: Wants,
    client: Client,
    headers: tuple[tuple[str, str], ...],
    tell: Callable[[Step], None],
) -> tuple[Facts, Fetched | None]:
    try:
        exchange = await client.exchange(wants.url, headers=(*headers, ("Accept", wants.accept)))
    except TransferError as error:
        tell(Step(f"asked for {wants.url}", str(error)))
        return msgspec.structs.replace(facts, failure=error.reason), None
    tell(Step(f"asked for {wants.url}", f"{exchange.status}, {len(exchange.headers)} header fields from {exchange.ip}"))
    head = Head(status=exchange.status, headers=exchange.headers)
    return msgspec.structs.replace(facts, head=head), Fetched(exchange=exchange)


async def _body(facts: Facts, wants: Wants, fetched: Fetched, tell: Callable[[Step], None]) -> Facts:
    try:
        fetched.body = await fetched.exchange.read(wants.max_bytes)
    except TransferError as error:
        tell(Step("read the body", str(error)))
        return msgspec.structs.replace(facts, failure=error.reason)
    tell(Step("read the body", f"{len(fetched.body.content)} bytes"))
    return msgspec.structs.replace(facts, body=fetched.body.content)
