"""What workers learn of an origin, they learn for all: asked for once, entered by each, remembered whole."""

import asyncio
import datetime as dt
import hashlib
import time
from contextlib import AsyncExitStack
from types import SimpleNamespace

import pytest

from crawler.download.client import Body
from crawler.download.errors import TransferError
from crawler.fleet import LeaseLostError, Membership
from crawler.frontier import Outcome, open_frontier
from crawler.masks import Masks
from crawler.origins import LIFETIME_MS, MOST_DOCUMENTS, ROBOTS, Origins
from crawler.politeness import Pace
from crawler.recorder import Recorder
from crawler.warc.writer import WarcWriter
from provenance import keys
from provenance.entry import EvidenceEntry
from provenance.log import LogWriter, read_entries
from provenance.rules import Rules
from reservations.model import Header, Want, Wants

HOST = "https://a.example"
PAGE = f"{HOST}/page"
TDM = "/.well-known/tdmrep.json"
INFO = {"software": "knockfirst/1.0", "hostname": "m1.lab.example"}
RULES = Rules.load(tokens=("KnockfirstBot",))
WHEN = dt.datetime(2026, 11, 23, 8, tzinfo=dt.UTC)
TEXT = b"User-agent: *\nDisallow: /private\n"


def wants(key=ROBOTS):
    return Wants(what=Want.DOCUMENT, url=HOST + key, key=key, max_bytes=100_000)


class Server:
    """Answers for all hosts, by path; what is not there does not answer."""

    def __init__(self):
        self.files = {ROBOTS: TEXT, TDM: b"[]"}
        self.asked = []

    async def exchange(self, url, *, headers):
        self.asked.append(url)
        path = url.removeprefix(HOST)
        if path not in self.files:
            raise TransferError("timeout", url, "no answer")
        content = self.files[path]

        async def read(_max_bytes, *, truncate):
            assert truncate
            return Body(block_bytes=content, content=content)

        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(content)
        return SimpleNamespace(
            url=url, status=200, read=read, head_bytes=head, http_version="1.1", ip="192.0.2.1", port=443,
            headers=(Header("Content-Type", "text/plain"), Header("Content-Length", str(len(content)))),
            request_bytes=b"GET %s HTTP/1.1\r\nHost: a.example\r\n\r\n" % path.encode(),
            tls_version="TLSv1.3", tls_cipher="TLS_AES_256_GCM_SHA384", sent_at=WHEN, head_at=WHEN,
        )  # fmt: skip


class Worker:
    """One worker's origins, and all they stand on."""

    def __init__(self, folder, name, server, clock, frontier):
        self.out, self.clock, self.frontier = folder / name, clock, frontier
        self.membership = Membership(frontier, lease_s=60, clock=lambda: clock[0])
        key = keys.generate(folder / f"{name}.key")
        self.recorder = Recorder(
            warc=self._writer("warc"),
            evidence=self._writer("evidence"),
            log=LogWriter.open(self.out / "log", f"a.example/web/r1/{name}", key),
            run="r1",
            masks=Masks(RULES.policy, b"key"),
            now_ms=self.now_ms,
            on_failure=lambda error: None,
            on_durable=lambda size: None,
            entered=set(),
        )
        self.origins = Origins(
            in_force=SimpleNamespace(rules=RULES),
            client=server,
            recorder=self.recorder,
            frontier=frontier,
            pace=Pace(delay_s=0, backoff_s=60),
            now_ms=self.now_ms,
            headers=(),
            renew=self._nothing,
            membership=self.membership,
            worker=name,
            shared=True,
        )

    async def _nothing(self):
        pass

    def now_ms(self):
        return int(self.clock[0] * 1000)

    def _writer(self, name):
        return WarcWriter(self.out / name, name, info=INFO, clock=lambda: WHEN)

    async def lease(self):
        """Has this worker hold the host."""
        number, _ = await self.frontier.hold(HOST)
        self.membership.granted(number, HOST, asked_at=self.clock[0])
        return number

    async def let_go(self):
        number = self.membership.lease_on(HOST)
        self.membership.ended(HOST, number)
        await self.frontier.finish([Outcome(number, 0)])

    def evidence(self):
        return [entry for _, entry in read_entries(self.out / "log") if isinstance(entry, EvidenceEntry)]


@pytest.fixture
def fleet(tmp_path):
    """Runs a scenario with two workers and the server that they ask."""

    def run(scenario):
        async def main():
            server, clock = Server(), [time.time()]
            async with AsyncExitStack() as stack:
                workers = []
                for name in ("w1", "w2"):
                    url = f"sqlite:///{tmp_path}/frontier.db"
                    frontier = open_frontier(url, now=lambda: clock[0], worker=name, lease_s=60)
                    await frontier.open()
                    stack.push_async_callback(frontier.close)
                    workers.append(Worker(tmp_path, name, server, clock, frontier))
                    stack.push_async_callback(workers[-1].recorder.close, workers[-1].out, end="finished")
                await scenario(server, *workers)

        asyncio.run(main())

    return run


def test_document_is_asked_for_by_one_and_taken_over_by_the_other_with_its_records(fleet):
    async def scenario(server, one, two):
        await one.lease()
        known, asked = await one.origins.get(wants(), PAGE)
        assert (asked, known.answer.body, known.worker) == (True, TEXT, "w1")
        assert await one.origins.get(wants(), PAGE) == (known, False)
        await one.let_go()
        await two.lease()
        theirs, asked = await two.origins.get(wants(), PAGE)
        assert (asked, theirs.answer, theirs.expires, theirs.worker) == (False, known.answer, known.expires, "w2")
        assert server.asked == [HOST + ROBOTS]
        (first,), (second,) = one.evidence(), two.evidence()
        assert (first.taken, second.taken) == ("", f"w1#{first.seq}")
        assert (second.d, second.outcome, second.fetched) == (first.d, first.outcome, first.fetched)
        assert [(one.type, one.d) for one in second.warc] == [(one.type, one.d) for one in first.warc]
        assert {one.id for one in second.warc}.isdisjoint({one.id for one in first.warc})
        (file,) = (two.out / "evidence").iterdir()
        for pointer in second.warc:
            whole = file.read_bytes()[pointer.o : pointer.o + pointer.l]
            assert len(whole) == pointer.l
        assert "sha256:" + hashlib.sha256(TEXT).hexdigest() == second.d

    fleet(scenario)


def test_attempt_begins_with_what_others_have_learnt(fleet):
    async def scenario(server, one, two):
        await one.lease()
        for key in (ROBOTS, TDM, "/terms#legal"):
            server.files["/terms#legal"] = b"terms"
            await one.origins.get(wants(key), PAGE)
        await one.let_go()
        await two.lease()
        assert two.origins.held(PAGE) == {}
        await two.origins.prepare(PAGE)
        assert set(two.origins.held(PAGE)) == {ROBOTS, TDM, "/terms#legal"}
        assert {entry.taken for entry in two.evidence()} == {f"w1#{entry.seq}" for entry in one.evidence()}
        await two.origins.prepare(PAGE)
        assert len(two.evidence()) == 3, "taken over once"

    fleet(scenario)


def test_all_who_wait_for_one_document_get_one_answer(fleet):
    async def scenario(server, one, _):
        await one.lease()
        got = await asyncio.gather(*(one.origins.get(wants(), PAGE) for _ in range(5)))
        assert {known.evidence for known, _ in got} == {got[0][0].evidence}
        assert server.asked == [HOST + ROBOTS]

    fleet(scenario)


def test_documents_learnt_at_once_are_remembered_whole_however_long_each_write_takes(fleet):
    async def scenario(_, one, two):
        real, writes = one.frontier.remember_origin, []

        async def slow(authority, blob, expires_at):
            writes.append(blob)
            if len(writes) == 1:
                for _ in range(100):  # the other has every chance to be written before
                    await asyncio.sleep(0)
            await real(authority, blob, expires_at)

        one.frontier.remember_origin = slow
        await one.lease()
        await asyncio.gather(one.origins.get(wants(), PAGE), one.origins.get(wants(TDM), PAGE))
        assert len(writes) == 2
        assert set(await two.origins.known(PAGE)) == {ROBOTS, TDM}

    fleet(scenario)


def test_document_is_used_for_a_day_by_all_from_when_it_was_asked_for(fleet):
    async def scenario(server, one, two):
        await one.lease()
        await one.origins.get(wants(), PAGE)
        await one.let_go()
        one.clock[0] += LIFETIME_MS / 1000 - 1
        await two.lease()
        assert (await two.origins.get(wants(), PAGE))[1] is False
        await two.let_go()
        one.clock[0] += 1
        await one.lease()
        assert (await one.origins.get(wants(), PAGE))[1] is True
        assert len(server.asked) == 2

    fleet(scenario)


def test_document_that_was_fetched_later_than_now_is_asked_for_again(fleet):
    async def scenario(server, one, two):
        await one.lease()
        await one.origins.get(wants(), PAGE)
        one.clock[0] -= 30  # within what clocks differ by
        assert not (await one.origins.get(wants(), PAGE))[1]
        one.clock[0] -= 3600
        assert one.origins.held(PAGE) == {}
        assert (await one.origins.get(wants(), PAGE))[1]
        assert len(server.asked) == 2

    fleet(scenario)


def test_answers_from_later_than_now_that_another_worker_holds_replace_none_of_now(fleet):
    async def scenario(server, one, two):
        for worker in (one, two):  # both hold what was fetched under the later date
            await worker.lease()
            await worker.origins.get(wants(), PAGE)
            await worker.let_go()
        one.clock[0] -= 3600
        asked = []
        for worker in (one, two, one, two):
            await worker.lease()
            asked.append((await worker.origins.get(wants(), PAGE))[1])
            await worker.let_go()
        assert asked == [True, False, False, False]

    fleet(scenario)


def test_failure_is_tried_again_by_whoever_comes_and_tries_are_counted_over_all(fleet):
    async def scenario(server, one, two):
        del server.files[ROBOTS]
        tries = []
        for worker in (one, two, one):
            await worker.lease()
            known, asked = await worker.origins.get(wants(), PAGE)
            tries.append((known.answer.failure, known.answer.tries, asked))
            await worker.let_go()
            worker.clock[0] = known.expires / 1000
        assert tries == [("timeout", 1, True), ("timeout", 2, True), ("timeout", 3, True)]

    fleet(scenario)


def test_documents_that_pages_named_are_bounded_and_those_that_expire_first_go(fleet):
    async def scenario(server, one, _):
        await one.lease()
        server.files |= {f"/{number}": b"x" for number in range(MOST_DOCUMENTS + 1)}
        await one.origins.get(wants("/0"), PAGE)
        one.clock[0] += 1
        later = [f"/{number}" for number in range(1, MOST_DOCUMENTS + 1)]
        await asyncio.gather(*(one.origins.get(wants(key), PAGE) for key in later))
        assert set(one.origins.held(PAGE)) == set(later)

    fleet(scenario)


def test_request_that_was_sent_before_the_right_to_ask_ran_out_is_entered_and_nobody_goes_by_it(fleet):
    async def scenario(server, one, two):
        await one.lease()
        exchange = server.exchange

        async def moved_then_lost(url, *, headers):
            if url.endswith("/moved"):
                raise LeaseLostError(url)
            answer = await exchange(url, headers=headers)
            answer.status, answer.headers = 301, (Header("Location", "/moved"),)
            answer.stop = lambda: None
            return answer

        server.exchange = moved_then_lost
        with pytest.raises(LeaseLostError):
            await one.origins.get(wants(), PAGE)
        server.exchange = exchange
        (entry,) = one.evidence()
        assert (entry.failure, entry.st, [hop.url for hop in entry.redirects]) == ("interrupted", None, [HOST + ROBOTS])
        assert [pointer.type for pointer in entry.warc] == ["response", "request"]
        await one.let_go()
        await two.lease()
        known, asked = await two.origins.get(wants(), PAGE)
        assert (known.answer.status, known.answer.tries, asked) == (200, 1, True)

    fleet(scenario)
