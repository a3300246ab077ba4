"""The only way to disk: takes a decision and the exchange it was made on, writes WARC or evidence, then the entry.

No decision, no data: nothing is written to `warc/` unless the decision says `kept` or `unchanged`. Order that loses
nothing: WARC records flushed and fsynced, then log lines flushed and fsynced, then everybody who waits is told. Pages
are committed in groups (at most 0.1 s or 256 entries late), because an fsync costs more than a page.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import msgspec

from crawler import archive
from crawler.archive import Fetched
from crawler.masks import Masks
from crawler.warc.records import Original, Record, WarcError
from crawler.warc.writer import Copied, WarcWriter
from provenance import entry as leaves
from provenance.log import LogWriter
from provenance.naming import registrable_domain
from provenance.sites import site_tree
from reservations.decide import TEASER
from reservations.legal import is_page_key
from reservations.model import Answer, Decision, Verdict
from reservations.readers.http_head import media_type_of
from reservations.readers.well_known import is_page
from reservations.urls import origin_of

GROUP_S: Final = 0.1
GROUP_SIZE: Final = 256
CHECKPOINT_EVERY: Final = 4096
#: The one document that is read whatever media type it is declared as (RFC 9309 2.3).
ROBOTS: Final = "/robots.txt"
#: Of an answer that is somebody's page and no reservation file, this much is kept as evidence.
FOREIGN_EXCERPT: Final = 512

_STORED: Final = (Verdict.KEPT, Verdict.UNCHANGED)


class RecorderBrokenError(Exception):
    """Writing failed earlier; nothing more is written, so nothing more may be fetched."""


class Filed(msgspec.Struct, frozen=True):
    """What was written for one document: `seq` of its evidence, and its records."""

    seq: int
    warc: tuple[leaves.Pointer, ...]


class Recorded(msgspec.Struct, frozen=True):
    """What was written for one decision.

    Attributes:
        seq: index of the entry.
        warc: the records.
        original: what later revisits of this payload refer to; None when no new payload was stored.
    """

    seq: int
    warc: tuple[leaves.Pointer, ...]
    original: Original | None


class Recorder:
    """Writes records and entries of one crawl; one writer for one output folder.

    Args:
        warc: writer of `warc/`, for what is kept.
        evidence: writer of `evidence/`, for reservation files, heads and excerpts.
        log: the decision log.
        run: id of the run, in every entry.
        masks: how URLs are shown in entries.
        now_ms: the clock, in milliseconds since 1970-01-01 UTC.
        on_failure: called once, with the error, when writing failed.
        on_durable: told how many entries are durable, before those who wait for them.
        entered: names of the finished WARC files that the log holds `file` entries of.
    """

    def __init__(
        self,
        *,
        warc: WarcWriter,
        evidence: WarcWriter,
        log: LogWriter,
        run: str,
        masks: Masks,
        now_ms: Callable[[], int],
        on_failure: Callable[[BaseException], None],
        on_durable: Callable[[int], None],
        entered: set[str],
    ) -> None:
        self.warc, self.evidence, self.log, self.run = warc, evidence, log, run
        self._masks = masks
        self._now_ms, self._on_failure, self._on_durable, self._entered = now_ms, on_failure, on_durable, entered
        self._next = log.next_seq
        self._signed = log.next_seq
        self._batch: list[leaves.Entry] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._full = asyncio.Event()
        self._committer: asyncio.Task[None] | None = None
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recorder")
        self._files_closed = False
        self.broken: BaseException | None = None

    # -- entries -------------------------------------------------------------------------------------------------------

    def enter(self, kind: type[leaves.Entry], **fields: Any) -> int:
        """Puts an entry into the next group and returns its `seq`; `settled()` tells when it is durable."""
        if self.broken:
            raise RecorderBrokenError(str(self.broken)) from self.broken
        seq = self._next
        head: dict[str, Any] = {
            "v": leaves.VERSION,
            "seq": seq,
            "n": leaves.new_nonce(),
            "ts": leaves.timestamp(self._now_ms()),
        }
        self._batch.append(kind(**head, run=self.run, **fields))
        self._next += 1
        self._schedule()
        return seq

    async def settled(self) -> None:
        """Waits until everything entered so far is durable. Raises what broke the writing."""
        if self.broken:
            raise RecorderBrokenError(str(self.broken)) from self.broken
        if not self._batch and self._committer is None:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._schedule()
        await waiter

    # -- what was fetched ----------------------------------------------------------------------------------------------

    def document(self, answer: Answer, fetched: Sequence[Fetched], *, key: str, authority: str, expires: int) -> Filed:
        """Archives a reservation file as answered and enters it as evidence."""
        pointers: list[leaves.Pointer] = []
        for one in fetched:
            pointers += self._archive_document(one, key)
        return self._file(answer, pointers, key=key, authority=authority, expires=expires)

    def copy(self, answer: Answer, copied: Copied, *, key: str, authority: str, expires: int, taken: str) -> Filed:
        """Takes over an answer that another worker archived, and enters it as evidence too.

        `copied` are that worker's records as they stand in its file, `taken` says where it entered them.
        """
        with self._breaking():
            pointers = self.evidence.copy(copied)
        return self._file(answer, pointers, key=key, authority=authority, expires=expires, taken=taken)

    async def copies(self, pointers: Sequence[leaves.Pointer]) -> Copied:
        """Durable records of `evidence/`, as they stand there."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, self.evidence.members, pointers)

    def _file(
        self, answer: Answer, pointers: Sequence[leaves.Pointer], *, key: str, authority: str, **more: Any
    ) -> Filed:
        seq = self.enter(
            leaves.EvidenceEntry,
            key=key,
            url=answer.url,
            authority=authority,
            site=registrable_domain(origin_of(authority).host),
            outcome=answer.failure or str(answer.status),
            st=answer.status,
            failure=answer.failure or "",
            redirects=self._masks.hops(answer.redirects),
            fetched=answer.fetched_at,
            tries=answer.tries,
            truncated=answer.truncated,
            d="sha256:" + hashlib.sha256(answer.body).hexdigest() if answer.body else "",
            len=len(answer.body),
            warc=tuple(pointers),
            **more,
        )
        return Filed(seq, tuple(pointers))

    def _archive_document(self, fetched: Fetched, key: str) -> tuple[leaves.Pointer, ...]:
        """A 404 as its head; somebody's page under the name of a reservation file as head and first octets.

        Of a site's terms it is the page that is expected.
        """
        exchange, body = fetched.exchange, fetched.body
        if body is None:
            records = archive.head(exchange)
        elif is_page(body.content, "" if key == ROBOTS else media_type_of(exchange.headers)) is not is_page_key(key):
            records = archive.head(exchange, body.block_bytes[:FOREIGN_EXCERPT], truncated="length")
        elif body.truncated:
            records = archive.head(exchange, body.block_bytes, truncated="length")
        else:
            records = archive.whole(exchange, body)
        return self._write(self.evidence, records)

    def decision(
        self,
        decision: Decision,
        fetched: Fetched | None,
        *,
        revisits: Original | None = None,
        teaser: str = "",
        **fields: Any,
    ) -> Recorded:
        """Writes what the decision allows to be kept, and enters it.

        Args:
            decision: what `Rules.examine` said.
            fetched: the exchange it was made on; None when nothing was sent or no head came.
            revisits: where the identical payload is stored, for a decision of `payload.identical`.
            teaser: the words that a page leaves open, for a decision of `access.teaser`: they are stored, it is not.
            fields: the entry's fields that come from the visit (url, lease, via, signals, ...).

        Raises:
            ValueError: `kept` without a body: a fault of ours.
        """
        body = fetched.body if fetched else None
        if decision.verdict is Verdict.KEPT and body is None:
            raise ValueError("kept without a body: no decision, no data, and no such decision either")
        if (decision.reason == TEASER) is not bool(teaser):
            raise ValueError("a teaser goes with a decision for one, and no page is stored under it")
        if fetched and teaser:
            pointers, original = self._archive_teaser(fetched, teaser), None
        else:
            pointers, original = self._archive(decision, fetched, revisits) if fetched else ((), None)
        stored = decision.verdict in _STORED and not teaser
        seq = self.enter(
            leaves.DecisionEntry,
            verdict=decision.verdict,
            reason=decision.reason,
            gate=decision.gate,
            open=decision.open,
            strict=decision.strict,
            effective=decision.effective,
            target=decision.location or "",
            wait=decision.retry_after_s,
            http=_figures(fetched) if fetched else None,
            warc=pointers,
            d="" if stored or body is None else "sha256:" + hashlib.sha256(body.content).hexdigest(),
            **fields,
        )
        return Recorded(seq, pointers, original)

    def _archive(
        self, decision: Decision, fetched: Fetched, revisits: Original | None
    ) -> tuple[tuple[leaves.Pointer, ...], Original | None]:
        exchange, body = fetched.exchange, fetched.body
        if decision.verdict not in _STORED or body is None:
            return self._write(self.evidence, archive.head(exchange)), None
        log = {"decision-seq": str(self._next), "decision-origin": self.log.verifier.name}
        if revisits is not None:
            return self._write(self.warc, archive.revisit(exchange, body, revisits, log)), None
        records = archive.whole(exchange, body, log)
        return self._write(self.warc, records), self.warc.original(records[0])

    def _archive_teaser(self, fetched: Fetched, teaser: str) -> tuple[leaves.Pointer, ...]:
        """The head as evidence, and the words beside it; the page itself is nowhere."""
        head = self._write(self.evidence, archive.head(fetched.exchange))
        log = {"decision-seq": str(self._next), "decision-origin": self.log.verifier.name}
        return (*head, *self._write(self.warc, archive.teaser(fetched.exchange, teaser, head[0].id, log)))

    def _write(self, writer: WarcWriter, records: Sequence[Record]) -> tuple[leaves.Pointer, ...]:
        with self._breaking():
            return writer.write(records)

    @contextlib.contextmanager
    def _breaking(self) -> Iterator[None]:
        try:
            yield
        except WarcError as error:
            if isinstance(error.__cause__, OSError):  # the disk, and not a value that no record can hold
                self._break(error, [])
                raise RecorderBrokenError(str(error)) from error
            raise

    # -- group commit --------------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if self._committer is None:
            self._committer = asyncio.get_running_loop().create_task(self._commit_group())
        if len(self._batch) >= GROUP_SIZE:
            self._full.set()

    async def _commit_group(self) -> None:
        try:
            async with asyncio.timeout(GROUP_S):
                await self._full.wait()
        except TimeoutError:
            pass
        self._full.clear()
        batch, self._batch = self._batch, []
        waiting, self._waiting = self._waiting, []
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._disk, self._write_group, batch)
        except BaseException as error:  # noqa: BLE001  (whatever it was: nothing may be fetched after it)
            self._break(error, waiting)
            return
        finally:
            self._committer = None
        self._on_durable(self.log.next_seq)
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
        if self._batch or self._waiting:
            self._schedule()

    def _write_group(self, batch: list[leaves.Entry]) -> None:
        if not self._files_closed:
            self.warc.sync()
            self.evidence.sync()
        for item in batch:
            self.log.append(item)
        self.log.sync()
        if not self._files_closed:
            self.warc.settle()
            self.evidence.settle()
        if self.log.next_seq - self._signed >= CHECKPOINT_EVERY:
            self.log.checkpoint()
            self._signed = self.log.next_seq

    def _break(self, error: BaseException, waiting: list[asyncio.Future[None]]) -> None:
        first, self.broken = self.broken is None, self.broken or error
        for waiter in [*waiting, *self._waiting]:
            if not waiter.done():
                waiter.set_exception(RecorderBrokenError(str(error)))
        self._waiting = []
        if first:
            self._on_failure(error)

    # -- finished files ------------------------------------------------------------------------------------------------

    async def enter_files(self, out: Path) -> None:
        """Enters every finished WARC file that was not entered yet, with the digest of all its bytes."""
        names = [
            f"{folder}/{path.name}"
            for folder in ("warc", "evidence")
            for path in sorted((out / folder).glob("*.warc.gz"))
            if f"{folder}/{path.name}" not in self._entered
        ]
        for name in names:
            size, digest = await asyncio.get_running_loop().run_in_executor(self._disk, _file_digest, out / name)
            self.enter(leaves.FileEntry, f=name, size=size, d=digest)
            self._entered.add(name)

    async def close(self, out: Path, **seal: Any) -> None:
        """Finishes the WARC files, enters them and the seal, signs and closes the log."""
        try:
            if not self.broken:
                await self.settled()
                await asyncio.get_running_loop().run_in_executor(self._disk, self._close_files)
                await self.enter_files(out)
                await self.settled()
                sites = await asyncio.get_running_loop().run_in_executor(self._disk, self._sites)
                self.enter(leaves.SealEntry, files=len(self._entered), sites=sites, **seal)
                await self.settled()
        finally:
            self._disk.shutdown()
            if self.broken:
                self.warc.abandon()
                self.evidence.abandon()
            self.log.close()

    def _sites(self) -> leaves.Sites:
        """The second tree over all that was entered: its root stands in the seal."""
        with contextlib.closing(site_tree(self.log.folder)) as tree:
            return tree.summary()

    def _close_files(self) -> None:
        self._files_closed = True
        self.warc.close()
        self.evidence.close()


def _file_digest(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return file.tell(), "sha256:" + digest.hexdigest()


def _figures(fetched: Fetched) -> leaves.Http:
    exchange, body = fetched.exchange, fetched.body
    declared = next((h.value for h in exchange.headers if h.name.lower() == "content-type"), "")
    return leaves.Http(
        st=exchange.status,
        ct=declared[:200],
        len=len(body.block_bytes) if body else 0,
        ip=exchange.ip,
        ver=exchange.http_version,
        tls=" ".join(filter(None, (exchange.tls_version, exchange.tls_cipher))),
    )
