"""The only way to disk: nothing without a decision, nobody told before it is durable, nothing after a failure."""

import asyncio
import datetime as dt
import errno
import hashlib
from types import SimpleNamespace

import pytest

from crawler.archive import Fetched
from crawler.download.client import Body
from crawler.masks import Masks
from crawler.recorder import GROUP_SIZE, Recorder, RecorderBrokenError
from crawler.warc.writer import WarcWriter
from provenance import entry as leaves
from provenance import keys
from provenance.log import Disk, LogWriter, read_entries
from provenance.rules import Rules
from reservations.model import Answer, Category, Decision, Header, Hop, Verdict

NOW = 1_795_420_800_000
WHEN = dt.datetime(2026, 11, 23, 8, tzinfo=dt.UTC)
URL = "https://a.example/"
INFO = {"software": "knockfirst/1.0", "hostname": "m1.lab.example"}
VISIT = {
    "url": URL,
    "via": "seed",
    "lease": 1,
    "agent": "KnockfirstBot",
    "purposes": (Category.GENAI_TRAIN,),
    "config": 0,
}
MASKS = Masks(Rules.load(tokens=("KnockfirstBot",)).policy, b"key")
KEPT = Decision(verdict=Verdict.KEPT, reason="policy.open", gate="body")


class Failing(Disk):
    """Fails when so many more fsyncs have been done."""

    def __init__(self, after=10**9):
        self.after = after

    def fsync(self, file):
        self.after -= 1
        if self.after < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().fsync(file)


class Kit:
    """A recorder on real files."""

    def __init__(self, out, disk=None, create=None):
        self.out, self.failures, self.durable = out, [], []
        log = LogWriter.open(out / "log", "a.example/test", keys.generate(out.parent / "log.key"), disk=disk)
        self.recorder = Recorder(
            warc=self.writer("warc", create),
            evidence=self.writer("evidence", None),
            log=log,
            run="r1",
            masks=MASKS,
            now_ms=lambda: NOW,
            on_failure=self.failures.append,
            on_durable=self.durable.append,
            entered=set(),
        )

    def writer(self, name, create):
        return WarcWriter(self.out / name, name, info=INFO, clock=lambda: WHEN, create=create)

    def entries(self):
        return [entry for _, entry in read_entries(self.out / "log")]


def fetched(body=b"<p>Hello</p>", *, status=200, read=True):
    head = b"HTTP/1.1 %d X\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
    exchange = SimpleNamespace(
        url=URL,
        status=status,
        headers=(Header("Content-Type", "text/html"), Header("Content-Length", str(len(body)))),
        head_bytes=head,
        request_bytes=b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        http_version="1.1",
        ip="192.0.2.1",
        port=443,
        tls_version="TLSv1.3",
        tls_cipher="TLS_AES_256_GCM_SHA384",
        sent_at=WHEN,
        head_at=WHEN,
    )
    return Fetched(exchange=exchange, body=Body(block_bytes=body, content=body) if read else None)


def run(tmp_path, act, **kit):
    made = Kit(tmp_path / "out", **kit)

    async def main():
        return await act(made)

    return asyncio.run(main()), made


def test_kept_page_lies_in_warc_before_its_entry_says_so(tmp_path):
    async def act(kit):
        recorded = kit.recorder.decision(KEPT, fetched(), **VISIT)
        await kit.recorder.settled()
        (entry,) = kit.entries()
        files = {path.name for path in (kit.out / "warc").iterdir()}
        await kit.recorder.close(kit.out, end="finished")
        return recorded, entry, files

    (recorded, entry, files), kit = run(tmp_path, act)
    assert all(name.endswith(".open") for name in files), "no file has its name before the log covers it"
    assert [pointer.type for pointer in entry.warc] == ["response", "request", "metadata"]
    assert all(pointer.f.startswith("warc/") for pointer in entry.warc)
    assert recorded.warc == entry.warc
    assert recorded.original.record_id == entry.warc[0].id
    assert entry.d == ""
    assert entry.http == leaves.Http(
        st=200, ct="text/html", len=12, ip="192.0.2.1", ver="1.1", tls="TLSv1.3 TLS_AES_256_GCM_SHA384"
    )
    assert type(kit.entries()[-1]) is leaves.SealEntry


@pytest.mark.parametrize("verdict", [Verdict.DISCARDED, Verdict.HELD, Verdict.ABORTED, Verdict.ABSENT, Verdict.FAILED])
def test_body_of_what_is_not_kept_is_nowhere(tmp_path, verdict):
    secret = b"<p>reserved words</p>"

    async def act(kit):
        kit.recorder.decision(
            Decision(verdict=verdict, reason="tdmrep.reserved", gate="body"), fetched(secret), **VISIT
        )
        await kit.recorder.close(kit.out, end="finished")

    _, kit = run(tmp_path, act)
    entry = kit.entries()[0]
    assert entry.d == "sha256:" + hashlib.sha256(secret).hexdigest()
    assert {pointer.f.partition("/")[0] for pointer in entry.warc} == {"evidence"}
    assert not list((kit.out / "warc").glob("*")) if (kit.out / "warc").exists() else True
    import gzip

    stored = b"".join(gzip.decompress(path.read_bytes()) for path in (kit.out / "evidence").glob("*.gz"))
    assert b"HTTP/1.1 200 X" in stored
    assert secret not in stored


def test_kept_without_a_body_is_refused(tmp_path):
    async def act(kit):
        for nothing in (None, fetched(read=False)):
            with pytest.raises(ValueError, match="kept without a body"):
                kit.recorder.decision(KEPT, nothing, **VISIT)
        await kit.recorder.close(kit.out, end="finished")

    run(tmp_path, act)


@pytest.mark.parametrize(
    ("content", "whole"),
    [(b"User-agent: *\nDisallow: /\n", True), (b"<!DOCTYPE html><p>" + b"x" * 2000, False)],
    ids=["robots.txt", "somebody's page under its name"],
)
def test_reservation_file_is_archived_whole_and_a_page_in_its_place_is_not(tmp_path, content, whole):
    async def act(kit):
        one = fetched(content)
        answer = Answer(url=URL + "robots.txt", status=200, headers=one.exchange.headers, body=content, fetched_at=NOW)
        seq = kit.recorder.document(
            answer, [one], key="/robots.txt", authority="https://a.example", expires=NOW + 1
        ).seq
        await kit.recorder.close(kit.out, end="finished")
        return seq

    seq, kit = run(tmp_path, act)
    entry = kit.entries()[seq]
    assert (entry.outcome, entry.len, entry.site) == ("200", len(content), "a.example")
    import gzip

    stored = b"".join(gzip.decompress(path.read_bytes()) for path in (kit.out / "evidence").glob("*.gz"))
    assert (content in stored) is whole
    assert content[:512] in stored


def test_document_whose_redirect_carries_a_secret_is_entered_masked(tmp_path):
    async def act(kit):
        hop = Hop(URL + "robots.txt", 302, URL + "r.txt?access_token=s3cret")
        answer = Answer(url=URL + "robots.txt", failure="url", redirects=(hop,), fetched_at=NOW)
        kit.recorder.document(answer, [], key="/robots.txt", authority="https://a.example", expires=NOW + 1)
        await kit.recorder.close(kit.out, end="finished")

    _, kit = run(tmp_path, act)
    (hop,) = kit.entries()[0].redirects
    assert hop == leaves.LoggedHop(url=URL + "robots.txt", st=302, to=MASKS.url(URL + "r.txt?access_token=s3cret")[0])
    assert b"s3cret" not in (kit.out / "log" / "seg-00000000.jsonl").read_bytes()


def test_many_entries_are_one_group_and_waiters_hear_of_it_together(tmp_path):
    async def act(kit):
        for _ in range(GROUP_SIZE):
            kit.recorder.decision(
                Decision(verdict=Verdict.REFUSED, reason="robots.disallow", gate="origin"), None, **VISIT
            )
        await asyncio.gather(*(kit.recorder.settled() for _ in range(5)))
        durable = list(kit.durable)
        await kit.recorder.close(kit.out, end="finished")
        return durable

    durable, kit = run(tmp_path, act)
    assert durable[0] == GROUP_SIZE
    assert [entry.seq for entry in kit.entries()] == list(range(GROUP_SIZE + 1))


def test_after_a_failed_fsync_every_waiter_hears_of_it_and_nothing_is_taken(tmp_path):
    disk = Failing()

    async def act(kit):
        disk.after = 0
        kit.recorder.decision(KEPT, fetched(), **VISIT)
        heard = await asyncio.gather(*(kit.recorder.settled() for _ in range(3)), return_exceptions=True)
        assert [type(error) for error in heard] == [RecorderBrokenError] * 3
        with pytest.raises(RecorderBrokenError):
            kit.recorder.decision(KEPT, fetched(), **VISIT)
        with pytest.raises(RecorderBrokenError):
            await kit.recorder.settled()
        await kit.recorder.close(kit.out, end="finished")

    _, kit = run(tmp_path, act, disk=disk)
    assert len(kit.failures) == 1
    assert kit.durable == []


def test_warc_file_that_cannot_be_made_stops_everything_at_once(tmp_path):
    def create(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    async def act(kit):
        for _ in range(2):
            with pytest.raises(RecorderBrokenError):
                kit.recorder.decision(KEPT, fetched(), **VISIT)
        await kit.recorder.close(kit.out, end="finished")

    _, kit = run(tmp_path, act, create=create)
    assert len(kit.failures) == 1
    assert kit.entries() == []
