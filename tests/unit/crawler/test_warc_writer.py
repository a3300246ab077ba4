from __future__ import annotations

import base64
import errno
import gzip
import hashlib
import io
import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.warc import writer as writer_module
from crawler.warc.records import (
    Capture,
    Original,
    Record,
    WarcError,
    metadata_record,
    partial_record,
    request_record,
    response_record,
)
from crawler.warc.writer import WarcWriter, log_digest
from provenance.entry import Pointer

WHEN = datetime(2026, 11, 22, 8, 0, 0, 123000, tzinfo=UTC)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"
INFO = {"software": "knockfirst/1.0", "hostname": "m1.lab.example"}
NAME = "lab-20261122080000-00000-m1.lab.example.warc.gz"


def ids(start: int = 0) -> Callable[[], str]:
    numbers = count(start)
    return lambda: f"urn:uuid:00000000-0000-4000-8000-{next(numbers):012d}"


def open_writer(folder: Path, **options: Any) -> WarcWriter:
    return WarcWriter(folder, "lab", **{"info": INFO, "clock": lambda: WHEN, "new_id": ids(), **options})


def capture(number: int, body: bytes = b"hello", url: str | None = None) -> list[Record]:
    made = ids(1000 + 10 * number)
    shared = Capture(target_uri=url or f"http://site.example/{number}", date=WHEN, main_id=made())
    return [
        response_record(shared, HEAD, body),
        request_record(shared, b"GET / HTTP/1.1\r\n\r\n", record_id=made()),
        metadata_record(shared, {"decision-seq": str(number)}, record_id=made()),
    ]


def finish(writer: WarcWriter) -> None:
    writer.sync()
    writer.settle()
    writer.close()


def members(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Offset, length and content of every gzip member, by the standard library."""
    data = path.read_bytes()
    at = 0
    while at < len(data):
        inflate = writer_module.igzip_lib.IgzipDecompressor(flag=writer_module.igzip_lib.DECOMP_GZIP)
        content = inflate.decompress(data[at:])
        assert inflate.eof
        length = len(data) - at - len(inflate.unused_data)
        yield at, length, content
        at += length


def test_file_is_byte_for_byte_as_expected(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "warc")
    pointers = writer.write(capture(7)[:1])
    finish(writer)
    contents = [content for _, _, content in members(tmp_path / "warc" / NAME)]
    info = (
        b"WARC/1.1\r\n"
        b"WARC-Type: warcinfo\r\n"
        b"WARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-000000000000>\r\n"
        b"WARC-Date: 2026-11-22T08:00:00.123Z\r\n"
        b"WARC-Filename: lab-20261122080000-00000-m1.lab.example.warc.gz\r\n"
        b"WARC-Block-Digest: sha1:QN2KKDXN5YZPEMMD5WYKMI4QTHOC235T\r\n"
        b"Content-Type: application/warc-fields\r\n"
        b"Content-Length: 356\r\n"
        b"\r\n"
        b"format: WARC File Format 1.1\r\n"
        b"conformsTo: https://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/\r\n"
        b"software: knockfirst/1.0\r\n"
        b"hostname: m1.lab.example\r\n"
        b"digest-encoding: in WARC headers sha1 as base32; in the decision log sha256 as hexadecimal\r\n"
        b"payload-digest: in WARC headers of the message body as stored, in the log of the entity\r\n"
        b"\r\n\r\n"
    )
    response = (
        b"WARC/1.1\r\n"
        b"WARC-Type: response\r\n"
        b"WARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-000000001070>\r\n"
        b"WARC-Date: 2026-11-22T08:00:00.123Z\r\n"
        b"WARC-Target-URI: http://site.example/7\r\n"
        b"WARC-Warcinfo-ID: <urn:uuid:00000000-0000-4000-8000-000000000000>\r\n"
        b"WARC-Block-Digest: sha1:4ENXDWJ5NSHRUTU6IOG7NJ4VCLA6W6MP\r\n"
        b"WARC-Payload-Digest: sha1:VL2MMHO4YXUKFWV63YHTWSBM3GXKSQ2N\r\n"
        b"Content-Type: application/http; msgtype=response\r\n"
        b"Content-Length: 49\r\n"
        b"\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nhello"
        b"\r\n\r\n"
    )
    assert contents == [info, response]
    assert pointers == (
        Pointer(
            f=f"warc/{NAME}",
            o=pointers[0].o,
            l=pointers[0].l,
            id="urn:uuid:00000000-0000-4000-8000-000000001070",
            type="response",
            d=log_digest(HEAD + b"hello"),
            pd="sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        ),
    )


def test_same_captures_clock_and_ids_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        writer = open_writer(tmp_path / name)
        for number in range(3):
            writer.write(capture(number))
        finish(writer)
    assert (tmp_path / "a" / NAME).read_bytes() == (tmp_path / "b" / NAME).read_bytes()


@settings(max_examples=30, deadline=None)
@given(blocks=st.lists(st.binary(max_size=2000), min_size=1, max_size=6))
def test_pointers_find_the_member_of_their_record(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("out") / "warc"
    writer = open_writer(folder, max_bytes=1500)
    written = [
        (record, pointer)
        for number, block in enumerate(blocks)
        for records in [capture(number, block)]
        for record, pointer in zip(records, writer.write(records), strict=True)
    ]
    finish(writer)
    for record, pointer in written:
        data = (folder.parent / pointer.f).read_bytes()[pointer.o : pointer.o + pointer.l]
        head, block = gzip.decompress(data).split(b"\r\n\r\n", 1)
        assert f"<{pointer.id}>".encode() in head
        assert block == record.block + b"\r\n\r\n"
        assert pointer.d == log_digest(record.block)
        assert (pointer.pd is None) == (record.payload is None)


def test_chunked_response_is_digested_as_stored_in_its_header_and_as_entity_in_its_pointer(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "warc")
    shared = Capture(target_uri="http://site.example/", date=WHEN, main_id=ids(1)())
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"5\r\nhello\r\n0\r\n\r\n"
    record = response_record(shared, head, body)
    [pointer] = writer.write([record])
    finish(writer)
    stored = "sha1:" + base64.b32encode(hashlib.sha1(body).digest()).decode()
    assert pointer.pd == log_digest(b"hello")
    assert f"WARC-Payload-Digest: {stored}\r\n".encode() in list(members(tmp_path / "warc" / NAME))[1][2]
    assert writer.original(record) == Original(shared.main_id, shared.target_uri, WHEN, stored)


def test_record_without_payload_digest_is_no_original(tmp_path: Path) -> None:
    shared = Capture(target_uri="http://site.example/", date=WHEN, main_id=ids(1)())
    with pytest.raises(WarcError, match="cannot be revisited"):
        open_writer(tmp_path).original(partial_record(shared, HEAD, truncated="length"))


def test_other_digest_stands_in_headers_and_is_named_in_warcinfo(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "warc", digest="sha256")
    writer.write(capture(0))
    finish(writer)
    info, response = [content for _, _, content in members(tmp_path / "warc" / NAME)][:2]
    assert b"digest-encoding: in WARC headers sha256 as base32" in info
    assert b"WARC-Payload-Digest: sha256:FTZE3OS7WCRQ4JXIHMVMLOPCTYNRMHS4D6TUEXTTAQZWFE4LTASA====\r\n" in response


def test_rotation_falls_between_captures_and_each_file_starts_with_its_warcinfo(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "warc", max_bytes=1)
    files = [{pointer.f for pointer in writer.write(capture(number))} for number in range(3)]
    finish(writer)
    assert [len(names) for names in files] == [1, 1, 1]
    assert len(set.union(*files)) == 3
    for number, path in enumerate(sorted((tmp_path / "warc").iterdir())):
        contents = [content for _, _, content in members(path)]
        assert len(contents) == 4
        assert b"WARC-Type: warcinfo" in contents[0]
        assert f"WARC-Filename: {path.name}".encode() in contents[0]
        own = contents[0].split(b"WARC-Record-ID: ")[1].split(b"\r\n")[0]
        assert all(b"WARC-Warcinfo-ID: " + own in content for content in contents[1:])
        assert f"site.example/{number}".encode() in contents[1]


def test_file_without_captures_does_not_come_to_be(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "warc")
    finish(writer)
    assert not (tmp_path / "warc").exists()


def suffixes(folder: Path) -> list[str]:
    return [path.suffix for path in sorted(folder.iterdir())]


def test_file_is_named_by_the_settle_of_the_group_after_the_one_that_found_it_full(tmp_path: Path) -> None:
    folder = tmp_path / "warc"
    writer = open_writer(folder, max_bytes=1)
    writer.write(capture(0))
    writer.write(capture(1))  # the first file is full
    writer.sync()
    writer.settle()
    assert suffixes(folder) == [".open", ".open"]
    writer.sync()
    assert suffixes(folder) == [".open", ".open"]
    writer.settle()
    assert suffixes(folder) == [".gz", ".open"]
    writer.close()
    assert suffixes(folder) == [".gz", ".gz"]


def test_no_file_is_named_before_the_log_covers_it_when_groups_gather_during_commits(tmp_path: Path) -> None:
    # A capture written between the taking of a group and its sync fills a file; its entry is in the next group.
    folder = tmp_path / "warc"
    writer = open_writer(folder, max_bytes=1)
    durable: set[str] = set()
    gathering: list[str] = []

    def write(number: int) -> None:
        [pointer, *_] = writer.write(capture(number))
        gathering.append(pointer.f)

    write(0)
    for number in range(1, 20, 2):
        group, gathering = gathering, []
        write(number)
        write(number + 1)
        writer.sync()
        durable.update(group)
        writer.settle()
        assert {f"warc/{path.name}" for path in folder.glob("*.gz")} <= durable
    assert len(list(folder.glob("*.gz"))) > 10
    writer.close()


def test_close_names_files_that_no_settle_has_named(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "warc", max_bytes=1)
    for number in range(3):
        writer.write(capture(number))
        writer.sync()
    writer.close()
    assert suffixes(tmp_path / "warc") == [".gz", ".gz", ".gz"]


def test_name_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "warc"
    folder.mkdir()
    (folder / NAME).write_bytes(b"earlier run")
    (folder / (NAME.replace("-00000-", "-00001-") + ".open")).write_bytes(b"somebody's")
    writer = open_writer(folder)
    [pointer, *_] = writer.write(capture(0))
    finish(writer)
    assert pointer.f == f"warc/{NAME.replace('-00000-', '-00002-')}"
    assert (folder / NAME).read_bytes() == b"earlier run"


@pytest.mark.parametrize(
    ("host", "shown"),
    [("../../etc/passwd", "etc-passwd"), ("a\\b c", "a-b-c"), ("hôst.example", "h-st.example"), ("..", "host")],
)
def test_host_in_file_name_cannot_leave_the_folder(tmp_path: Path, host: str, shown: str) -> None:
    writer = open_writer(tmp_path / "warc", info={"hostname": host})
    [pointer, *_] = writer.write(capture(0))
    finish(writer)
    assert pointer.f == f"warc/lab-20261122080000-00000-{shown}.warc.gz"


@pytest.mark.parametrize("prefix", ["", "../x", "a/b", "a b", "a\n", "-a", "x" * 65])
def test_prefix_that_is_no_plain_name_is_refused(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(WarcError, match="prefix"):
        WarcWriter(tmp_path, prefix, info=INFO, clock=lambda: WHEN)


@pytest.mark.parametrize(
    "options", [{"info": {}}, {"info": {"hostname": "a\r\nb"}}, {"level": 9}], ids=["hostname", "injection", "level"]
)
def test_unusable_argument_is_refused_at_the_start(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(WarcError):
        open_writer(tmp_path, **options)


def test_capture_with_one_bad_record_leaves_nothing(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "warc")
    good = capture(0)
    bad = capture(1, url="http://site.example/\r\nWARC-Type: warcinfo")
    with pytest.raises(WarcError, match="URL"):
        writer.write([good[1], good[2], bad[0]])
    writer.write(capture(2))
    finish(writer)
    assert len(list(members(tmp_path / "warc" / NAME))) == 4


def test_closed_writer_refuses_and_closing_again_is_harmless(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "warc")
    writer.write(capture(0))
    writer.close()
    writer.close()
    with pytest.raises(WarcError, match="closed"):
        writer.write(capture(1))
    assert [path.name for path in (tmp_path / "warc").iterdir()] == [NAME]


def test_large_captures_do_not_pile_up_in_memory(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "warc", level=0)
    noise = os.urandom(3 * 1024 * 1024)
    for number in range(4):
        writer.write(capture(number, noise))
    assert (tmp_path / "warc" / (NAME + ".open")).stat().st_size > 8 * 1024 * 1024
    finish(writer)
    assert len(list(members(tmp_path / "warc" / NAME))) == 13


def test_records_written_while_a_sync_runs_are_all_there(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "warc", max_bytes=3000)
    done = threading.Event()

    def commit() -> None:
        while not done.is_set():
            writer.sync()
            writer.settle()

    worker = threading.Thread(target=commit)
    worker.start()
    pointers = [pointer for number in range(300) for pointer in writer.write(capture(number, os.urandom(50)))]
    done.set()
    worker.join()
    finish(writer)
    found = {
        (f"warc/{path.name}", offset, length)
        for path in (tmp_path / "warc").iterdir()
        for offset, length, content in members(path)
        if b"WARC-Type: warcinfo" not in content
    }
    assert found == {(pointer.f, pointer.o, pointer.l) for pointer in pointers}


def test_write_goes_on_while_fsync_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = open_writer(tmp_path / "warc", max_bytes=1)
    writer.write(capture(0))
    inside, release = threading.Event(), threading.Event()

    def slow_fsync(_: int) -> None:
        inside.set()
        assert release.wait(10)

    monkeypatch.setattr(os, "fsync", slow_fsync)
    worker = threading.Thread(target=writer.sync)
    worker.start()
    assert inside.wait(10)
    for number in range(1, 4):
        writer.write(capture(number))
    release.set()
    worker.join()
    finish(writer)
    assert len(list((tmp_path / "warc").glob("*.gz"))) == 4


class FaultyFile(io.FileIO):
    """A file on a disk that has room for so many bytes, then says why not."""

    def __init__(self, path: Path, room: int, code: int) -> None:
        super().__init__(path, "x")
        self.room, self.code = room, code

    def write(self, data: Any, /) -> int:
        part = bytes(data[: min(self.room, 100)])  # short writes are legal, and a disk that fills up makes them
        if not part:
            raise OSError(self.code, os.strerror(self.code))
        self.room -= len(part)
        return super().write(part)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_disk_that_fails_at_any_byte_stops_the_writer_for_good(tmp_path: Path, code: int) -> None:
    whole = open_writer(tmp_path / "whole")
    whole.write(capture(0))
    finish(whole)
    size = (tmp_path / "whole" / NAME).stat().st_size
    for room in range(size):
        folder = tmp_path / str(room)
        writer = open_writer(folder, create=lambda path, room=room: FaultyFile(path, room, code))
        writer.write(capture(0))
        with pytest.raises(WarcError, match=os.strerror(code)):
            writer.sync()
        for refused in (lambda w=writer: w.write(capture(1)), writer.sync, writer.settle):
            with pytest.raises(WarcError, match="Nothing more is written"):
                refused()
        writer.close()
        assert [path.name for path in folder.iterdir()] == [NAME + ".open"]
        assert (folder / (NAME + ".open")).stat().st_size == room


def test_file_that_takes_nothing_and_gives_no_error_stops_the_writer(tmp_path: Path) -> None:
    class Stuck(io.FileIO):
        def write(self, _: Any, /) -> int:
            return 0

    writer = open_writer(tmp_path / "warc", create=lambda path: Stuck(path, "x"))
    writer.write(capture(0))
    with pytest.raises(WarcError, match="wrote nothing"):
        writer.sync()
    writer.close()


def test_disk_with_just_enough_room_is_enough(tmp_path: Path) -> None:
    whole = open_writer(tmp_path / "whole")
    whole.write(capture(0))
    finish(whole)
    data = (tmp_path / "whole" / NAME).read_bytes()
    writer = open_writer(tmp_path / "warc", create=lambda path: FaultyFile(path, len(data), errno.ENOSPC))
    writer.write(capture(0))
    finish(writer)
    assert (tmp_path / "warc" / NAME).read_bytes() == data


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_failed_fsync_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    writer = open_writer(tmp_path / "warc")
    writer.write(capture(0))
    calls = count(1)

    def fsync(_: int) -> None:  # of the file, of its folder, of the folder that holds it
        if next(calls) == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(WarcError, match="cannot sync"):
        writer.sync()
    with pytest.raises(WarcError, match="cannot sync"):
        writer.sync()
    writer.close()
    assert [path.suffix for path in (tmp_path / "warc").iterdir()] == [".open"]


def test_sync_with_nothing_new_asks_nothing_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = open_writer(tmp_path / "warc")
    writer.sync()
    writer.write(capture(0))
    writer.sync()
    calls: list[int] = []
    monkeypatch.setattr(os, "fsync", calls.append)
    writer.sync()
    assert calls == []
    writer.write(capture(1))
    writer.sync()
    assert len(calls) == 1  # the file; its folder knows it already
    writer.close()


def test_file_that_cannot_be_created_stops_the_writer(tmp_path: Path) -> None:
    (tmp_path / "warc").write_bytes(b"a file where the folder should be")
    writer = open_writer(tmp_path / "warc")
    for _ in range(2):
        with pytest.raises(WarcError, match="cannot create"):
            writer.write(capture(0))
    writer.close()


def test_failed_rename_leaves_the_file_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = open_writer(tmp_path / "warc")
    writer.write(capture(0))

    def rename(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(WarcError, match="cannot rename"):
        writer.close()
    with pytest.raises(WarcError, match="cannot rename"):
        writer.write(capture(1))
    assert [path.suffix for path in (tmp_path / "warc").iterdir()] == [".open"]


def test_evidence_of_a_page_not_kept_is_its_head(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "evidence")
    shared = Capture(target_uri="http://site.example/", date=WHEN, main_id=ids(1)())
    [pointer] = writer.write([partial_record(shared, HEAD, truncated="unspecified")])
    finish(writer)
    assert pointer.f == f"evidence/{NAME}"
    assert pointer.pd is None
    content = list(members(tmp_path / "evidence" / NAME))[1][2]
    assert b"WARC-Truncated: unspecified\r\n" in content
    assert content.endswith(b"\r\n\r\n" + HEAD + b"\r\n\r\n")


def test_copied_capture_has_its_blocks_and_dates_under_ids_of_its_own_as_often_as_it_is_copied(tmp_path: Path) -> None:
    first = open_writer(tmp_path / "one")
    pointers = first.write(capture(7))
    first.sync()
    copied = first.members(pointers)
    finish(first)
    other = open_writer(tmp_path / "two", new_id=ids(500))
    again = [*other.copy(copied), *other.copy(copied)]
    finish(other)
    path = next((tmp_path / "two").iterdir())
    assert len({pointer.id for pointer in again} | {pointer.id for pointer in pointers}) == 9
    assert [pointer.d for pointer in again] == [pointer.d for pointer in pointers] * 2
    found = {at: content for at, _, content in members(path)}
    for pointer in again:
        head, _, block = found[pointer.o].partition(b"\r\n\r\n")
        assert f"WARC-Record-ID: <{pointer.id}>".encode() in head
        assert b"WARC-Warcinfo-ID: <urn:uuid:00000000-0000-4000-8000-000000000500>" in head
        assert not any(old.id.encode() in head for old in pointers)
        assert log_digest(block[:-4]) == pointer.d
    text = found[again[1].o]
    assert f"WARC-Concurrent-To: <{again[0].id}>".encode() in text
