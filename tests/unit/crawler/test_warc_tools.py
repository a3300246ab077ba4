"""What tools we did not write say of our files: warcio, fastwarc, and pywb replaying them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from fastwarc.warc import ArchiveIterator as FastIterator
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from crawler.warc.records import (
    Capture,
    Original,
    Record,
    crawl_info,
    metadata_record,
    new_record_id,
    partial_record,
    request_record,
    response_record,
    revisit_record,
)
from crawler.warc.writer import DigestName, WarcWriter, log_digest

WHEN = datetime(2026, 11, 22, 8, 0, 0, 123000, tzinfo=UTC)
PAGE = "<html><head><title>Tähti</title></head><body>one page</body></html>".encode()
PLAIN = b"HTTP/1.1 200 OK\r\ncontent-TYPE: text/html; charset=utf-8\r\nX-Two: a\r\nX-Two: b\r\n"
CHUNKED = PLAIN + b"Transfer-Encoding: chunked\r\n"
GZIP = b"Content-Encoding: gzip\r\n"
SENT = b"GET / HTTP/1.1\r\nHost: site.example\r\nUser-Agent: LabBot/1.0\r\n\r\n"
INFO = crawl_info(
    software="knockfirst/1.0",
    operator="Example Lab, crawl@lab.example",
    user_agent="LabBot/1.0 (+https://lab.example/bot)",
    token="LabBot",
    policy="eu-gpai",
    policy_digest="sha256:00",
    log_origin="lab.example/crawl/w0",
    crawl="crawl",
    hostname="m1.lab.example",
)


def chunked(data: bytes, size: int = 7) -> bytes:
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


class Answered(NamedTuple):
    url: str
    head: bytes
    body: bytes


ANSWERS = [
    Answered("http://site.example/plain", PLAIN + b"Content-Length: %d\r\n\r\n" % len(PAGE), PAGE),
    Answered("http://site.example/chunked", CHUNKED + b"\r\n", chunked(PAGE)),
    Answered("http://site.example/gzip", PLAIN + GZIP + b"\r\n", gzip.compress(PAGE)),
    Answered("https://site.example/both?q=a%20b&c=%C3%A4", CHUNKED + GZIP + b"\r\n", chunked(gzip.compress(PAGE))),
    Answered("http://site.example/empty", PLAIN + b"Content-Length: 0\r\n\r\n", b""),
]


def shared(url: str, seconds: int = 0) -> Capture:
    return Capture(
        target_uri=url,
        date=WHEN + timedelta(seconds=seconds),
        main_id=new_record_id(),
        ip="2001:db8::7",
        protocols=("http/1.1", "tls/1.3"),
        cipher_suite="TLS_AES_256_GCM_SHA384",
    )


def capture(answered: Answered) -> list[Record]:
    common = shared(answered.url)
    return [
        response_record(common, answered.head, answered.body),
        request_record(common, SENT, record_id=new_record_id()),
        metadata_record(common, {"decision-seq": "1", "decision-origin": "o"}, record_id=new_record_id()),
    ]


def open_writer(folder: Path, digest: DigestName = "sha1") -> WarcWriter:
    return WarcWriter(folder, "lab", info=INFO, clock=lambda: WHEN, digest=digest)


def write_crawl(folder: Path, digest: DigestName = "sha1") -> Path:
    """One file with every kind of record."""
    writer = open_writer(folder, digest)
    originals: dict[str, Original] = {}
    for answered in ANSWERS:
        records = capture(answered)
        writer.write(records)
        # As the frontier does it: remembered as bytes.
        blob = msgspec.json.encode(writer.original(records[0]))
        originals[answered.url] = msgspec.json.decode(blob, type=Original)
    again = shared("http://other.example/same-as-plain", 60)
    writer.write([revisit_record(again, ANSWERS[0].head, originals["http://site.example/plain"], payload=PAGE)])
    again = shared("http://other.example/same-as-chunked", 60)
    head = CHUNKED + b"\r\n"
    writer.write([revisit_record(again, head, originals["http://site.example/chunked"], payload=PAGE)])
    again = shared("http://site.example/plain", 120)
    not_modified = b"HTTP/1.1 304 Not Modified\r\n\r\n"
    writer.write([revisit_record(again, not_modified, originals["http://site.example/plain"])])
    writer.write([partial_record(shared("http://reserved.example/"), PLAIN + b"\r\n", truncated="unspecified")])
    writer.write(
        [partial_record(shared("http://odd.example/robots.txt"), PLAIN + b"\r\n", PAGE[:30], truncated="length")]
    )
    writer.close()
    [path] = folder.iterdir()
    return path


@pytest.fixture(name="crawl", scope="module")
def crawl_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_crawl(tmp_path_factory.mktemp("out") / "warc")


def tool(package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"from {package}.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_warcio_check_passes_every_digest(tmp_path: Path, digest: DigestName) -> None:
    result = tool("warcio", "check", "-v", str(write_crawl(tmp_path / "warc", digest)))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count("digest pass") == 1 + 3 * len(ANSWERS) + 2
    assert result.stdout.count("not checked (revisit)") == 3
    assert "no digest" not in result.stdout


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_fastwarc_check_passes_every_record(tmp_path: Path, digest: DigestName) -> None:
    listing = tmp_path / "listing"
    result = tool("fastwarc", "check", "-q", "-o", str(listing), str(write_crawl(tmp_path / "warc", digest)))
    assert result.returncode == 0
    assert [line.split(": ")[1] for line in listing.read_text().splitlines()] == ["OK"] * (1 + 3 * len(ANSWERS) + 3 + 2)


def test_fastwarc_check_of_payloads_faults_nothing_but_the_digest_a_revisit_must_have(
    crawl: Path, tmp_path: Path
) -> None:
    # fastwarc 2.0 compares the original's payload digest, which ISO 28500 6.7.2 demands of this profile, with the
    # empty body of the revisit. Any revisit by the standard fails so.
    listing = tmp_path / "listing"
    tool("fastwarc", "check", "-p", "-q", "-o", str(listing), str(crawl))
    lines = listing.read_text().splitlines()
    failed = {line.split("<")[-1].split(">")[0] for line in lines if "FAIL" in line}
    with crawl.open("rb") as file:
        identical = {
            record.rec_headers.get_header("WARC-Record-ID").strip("<>")
            for record in ArchiveIterator(file)
            if "identical-payload" in (record.rec_headers.get_header("WARC-Profile") or "")
        }
    assert len(lines) == 1 + 3 * len(ANSWERS) + 3 + 2
    assert failed == identical


def test_checks_want_the_chunk_framing_in_a_payload_digest(tmp_path: Path) -> None:
    # The day this fails, the tools have come round to the standard (the entity): follow them in `records.Record`.
    def verdicts(digested: bytes) -> tuple[int, int]:
        head, body = CHUNKED + b"\r\n", chunked(PAGE)
        digest = "sha1:" + base64.b32encode(hashlib.sha1(digested).digest()).decode()
        fields = (
            f"WARC/1.1\r\nWARC-Type: response\r\nWARC-Record-ID: <{new_record_id()}>\r\n"
            "WARC-Date: 2026-11-22T08:00:00Z\r\nWARC-Target-URI: http://site.example/\r\n"
            "Content-Type: application/http; msgtype=response\r\n"
            f"WARC-Payload-Digest: {digest}\r\nContent-Length: {len(head + body)}\r\n\r\n"
        )
        path = tmp_path / "one.warc.gz"
        path.write_bytes(gzip.compress(fields.encode() + head + body + b"\r\n\r\n"))
        return tool("warcio", "check", str(path)).returncode, tool(
            "fastwarc", "check", "-p", "-q", str(path)
        ).returncode

    assert verdicts(chunked(PAGE)) == (0, 0)
    assert verdicts(PAGE) == (1, 1)


def test_warcio_reads_blocks_and_entities_as_they_were(crawl: Path) -> None:
    blocks, entities = {}, {}
    for parse, found in ((True, entities), (False, blocks)):
        with crawl.open("rb") as file:
            for record in ArchiveIterator(file, no_record_parse=not parse):
                if record.rec_type == "response":
                    content = record.content_stream().read() if parse else record.raw_stream.read()
                    found[record.rec_headers.get_header("WARC-Target-URI")] = content
    for answered in ANSWERS:
        assert blocks[answered.url] == answered.head + answered.body
        assert entities[answered.url] == (PAGE if answered.body else b"")
    assert entities["http://reserved.example/"] == b""
    assert entities["http://odd.example/robots.txt"] == PAGE[:30]


def test_fastwarc_reads_entities_as_they_were(crawl: Path) -> None:
    # Not with auto_decode="all": fastwarc 2.0 then ends the file, silently, behind a body both chunked and compressed.
    with crawl.open("rb") as file:
        found = {
            record.headers["WARC-Target-URI"]: record.reader.read()
            for record in FastIterator(file, auto_decode="transfer")
            if record.headers["WARC-Type"] == "response"
        }
    for answered in ANSWERS:
        got = found[answered.url]
        assert (gzip.decompress(got) if GZIP in answered.head else got) == (PAGE if answered.body else b"")


def test_warcio_finds_each_record_at_its_pointer(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "warc")
    pointers = [pointer for answered in ANSWERS for pointer in writer.write(capture(answered))]
    writer.close()
    for pointer in pointers:
        with (tmp_path / pointer.f).open("rb") as file:
            file.seek(pointer.o)
            member = file.read(pointer.l)
        [record] = list_once(member)
        assert record == (pointer.id, pointer.type, pointer.d)


def list_once(member: bytes) -> list[tuple[str, str, str]]:
    return [
        (
            record.rec_headers.get_header("WARC-Record-ID").strip("<>"),
            record.rec_type,
            log_digest(record.raw_stream.read()),
        )
        for record in ArchiveIterator(io.BytesIO(member), no_record_parse=True)
    ]


def test_each_file_obeys_the_rules_of_the_standard_that_no_tool_checks(crawl: Path) -> None:
    with crawl.open("rb") as file:
        records = [(record.rec_type, record.rec_headers) for record in ArchiveIterator(file)]
    ids = [headers.get_header("WARC-Record-ID") for _, headers in records]
    dates = {headers.get_header("WARC-Record-ID"): headers.get_header("WARC-Date") for _, headers in records}
    assert [kind for kind, _ in records].index("warcinfo") == 0
    assert len(set(ids)) == len(ids)
    for kind, headers in records:
        names = [name for name, _ in headers.headers]
        repeated = {name for name in names if names.count(name) > 1}
        assert repeated <= {"WARC-Protocol", "WARC-Concurrent-To"}
        assert {"WARC-Record-ID", "WARC-Date", "WARC-Type", "Content-Length", "Content-Type"} <= set(names)
        assert ("WARC-Target-URI" in names) == (kind != "warcinfo")
        assert ("WARC-Profile" in names) == (kind == "revisit")
        assert ("WARC-Refers-To" in names) == (kind == "revisit")
        assert ("WARC-Filename" in names) == (kind == "warcinfo")
        assert ("WARC-Warcinfo-ID" in names) == (kind != "warcinfo")
        if kind in ("warcinfo", "metadata", "request"):
            assert "WARC-Payload-Digest" not in names
        if other := headers.get_header("WARC-Concurrent-To"):
            assert headers.get_header("WARC-Date") == dates[other]


@settings(max_examples=40, deadline=None)
@given(body=st.binary(max_size=3000), chunk=st.integers(1, 500), framed=st.booleans())
def test_any_block_comes_back_from_both_readers(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, chunk: int, framed: bool
) -> None:
    folder = tmp_path_factory.mktemp("out") / "warc"
    writer = open_writer(folder)
    head = (CHUNKED if framed else PLAIN) + b"\r\n"
    sent = chunked(body, chunk) if framed else body
    [pointer, *_] = writer.write(capture(Answered("http://site.example/", head, sent)))
    writer.close()
    data = (folder.parent / pointer.f).read_bytes()
    [by_warcio] = [
        (record.content_stream().read(), record.digest_checker.passed)
        for record in ArchiveIterator(io.BytesIO(data), check_digests=True)
        if record.rec_type == "response"
    ]
    assert by_warcio == (body, True)
    [by_fastwarc] = [
        record.reader.read()
        for record in FastIterator(io.BytesIO(data), auto_decode="transfer")
        if record.headers["WARC-Type"] == "response"
    ]
    assert by_fastwarc == body
    assert pointer.pd == log_digest(body)


def pywb_python() -> Path:
    """pywb (GPL, a test oracle) pins packages that ours need newer: it lives in an environment of its own."""
    found = Path(os.environ.get("KNOCKFIRST_TEST_PYWB", Path(sys.prefix) / "oracles/pywb/bin/python"))
    if not found.exists():
        reason = (
            f"no pywb at {found}: python3 -m venv {found.parent.parent} && {found.parent}/pip install pywb setuptools"
        )
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return found


REPLAY = """
import json, sys
from pywb.apps.frontendapp import FrontEndApp
from werkzeug.test import Client
client = Client(FrontEndApp())
answers = {}
for stamp, url in json.load(sys.stdin):
    answer = client.get("/crawl/%sid_/%s" % (stamp, url))
    answers[url] = [answer.status_code, answer.data.decode("latin-1")]
json.dump(answers, open("answers.json", "w"))
"""


def test_pywb_replays_every_page_and_every_identical_revisit(crawl: Path, tmp_path: Path) -> None:
    python = pywb_python()

    def run(*command: str, stdin: str = "") -> None:
        done = subprocess.run(command, cwd=tmp_path, input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    run(str(python.with_name("wb-manager")), "init", "crawl")
    run(str(python.with_name("wb-manager")), "add", "crawl", str(crawl))
    wanted = [("20261122080000", answered.url) for answered in ANSWERS]
    wanted += [("20261122080100", f"http://other.example/same-as-{name}") for name in ("plain", "chunked")]
    run(str(python), "-W", "ignore", "-c", REPLAY, stdin=json.dumps(wanted))
    answers = json.loads((tmp_path / "answers.json").read_text())
    expected = {url: [200, "" if url.endswith("/empty") else PAGE.decode("latin-1")] for _, url in wanted}
    assert answers == expected
