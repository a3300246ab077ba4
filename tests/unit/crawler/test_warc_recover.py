from __future__ import annotations

import errno
import os
import shutil
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from crawler.warc.records import Capture, WarcError, metadata_record, response_record
from crawler.warc.recover import Repair, recover
from crawler.warc.writer import OPEN_SUFFIX, WarcWriter
from provenance.entry import Pointer

WHEN = datetime(2026, 11, 22, 8, 0, 0, tzinfo=UTC)
HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
NAME = "lab-20261122080000-00000-m1.warc.gz"
FILE = f"warc/{NAME}"


def crashed_crawl(folder: Path, captures: int, **options: int) -> list[Pointer]:
    """Files as a killed process leaves them, and every pointer it had handed out."""
    numbers = count()
    writer = WarcWriter(
        folder,
        "lab",
        info={"hostname": "m1"},
        clock=lambda: WHEN,
        new_id=lambda: f"urn:uuid:00000000-0000-4000-8000-{next(numbers):012d}",
        max_bytes=options.get("max_bytes", 10**9),
    )
    pointers: list[Pointer] = []
    for number in range(captures):
        main_id, other_id = (f"urn:uuid:00000000-0000-4000-8001-{2 * number + i:012d}" for i in range(2))
        shared = Capture(target_uri=f"http://site.example/{number}", date=WHEN, main_id=main_id)
        response = response_record(shared, HEAD, b"page %d" % number)
        pointers += writer.write([response, metadata_record(shared, {"decision-seq": "1"}, record_id=other_id)])
    writer.sync()
    copy = folder.with_name("killed")
    shutil.copytree(folder, copy)
    writer.close()
    shutil.rmtree(folder)
    copy.rename(folder)
    return pointers


def covered_by(pointers: list[Pointer]) -> dict[str, int]:
    ends: dict[str, int] = {}
    for pointer in pointers:
        ends[pointer.f] = max(ends.get(pointer.f, 0), pointer.o + pointer.l)
    return ends


def record_ids(path: Path) -> list[str]:
    with path.open("rb") as file:
        return [
            record.rec_headers.get_header("WARC-Record-ID").strip("<>")
            for record in ArchiveIterator(file)
            if record.rec_type != "warcinfo"
        ]


@pytest.fixture(name="folder")
def warc_folder(tmp_path: Path) -> Path:
    return tmp_path / "warc"


def test_tail_cut_at_any_byte_is_dropped_to_the_last_covered_record(folder: Path) -> None:
    pointers = crashed_crawl(folder, 3)
    data = (folder / (NAME + OPEN_SUFFIX)).read_bytes()
    covered = covered_by(pointers[:4])
    end = covered[FILE]
    for size in range(end, len(data) + 1):
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / (NAME + OPEN_SUFFIX)).write_bytes(data[:size])
        action = "cut" if size > end else "finished"
        assert recover(folder, covered) == [Repair(file=FILE, action=action, kept=end, dropped=size - end)]
        assert [path.name for path in folder.iterdir()] == [NAME]
        assert (folder / NAME).read_bytes() == data[:end]
    assert record_ids(folder / NAME) == [pointer.id for pointer in pointers[:4]]


@settings(max_examples=30, deadline=None)
@given(
    noise=st.one_of(st.binary(max_size=400), st.just(bytes(4096)), st.just(b"\x1f\x8b\x08"), st.just(b"WARC/1.1\r\n"))
)
def test_noise_behind_the_last_covered_record_is_dropped(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes
) -> None:
    folder = tmp_path_factory.mktemp("out") / "warc"
    pointers = crashed_crawl(folder, 1)
    with (folder / (NAME + OPEN_SUFFIX)).open("ab") as file:
        file.write(noise)
    recover(folder, covered_by(pointers))
    assert record_ids(folder / NAME) == [pointer.id for pointer in pointers]


@pytest.mark.parametrize("content", [b"", b"\x1f", b"noise"])
def test_file_without_any_covered_record_is_removed(folder: Path, content: bytes) -> None:
    folder.mkdir()
    (folder / (NAME + OPEN_SUFFIX)).write_bytes(content)
    assert recover(folder, {}) == [Repair(file=FILE, action="removed", kept=0, dropped=len(content))]
    assert list(folder.iterdir()) == []


def test_same_name_covered_in_another_folder_does_not_count(folder: Path) -> None:
    crashed_crawl(folder, 1)
    assert recover(folder, {f"evidence/{NAME}": 10**6})[0].action == "removed"


def test_several_files_left_open_are_each_put_right(folder: Path) -> None:
    pointers = crashed_crawl(folder, 4, max_bytes=1)
    assert len(list(folder.glob(f"*{OPEN_SUFFIX}"))) == 4
    # The log covers two captures, and the first record of the third.
    repairs = recover(folder, covered_by(pointers[:5]))
    assert [repair.action for repair in repairs] == ["finished", "finished", "cut", "removed"]
    left = [record_id for path in sorted(folder.iterdir()) for record_id in record_ids(path)]
    assert left == [pointer.id for pointer in pointers[:5]]


def test_finished_files_and_strangers_are_not_touched(folder: Path) -> None:
    folder.mkdir()
    names = ["finished.warc.gz", "notes.txt", "stranger.open"]
    for name in names:
        (folder / name).write_bytes(b"as it is")
    assert recover(folder, {}) == []
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == dict.fromkeys(names, b"as it is")


def test_folder_that_is_not_there_needs_no_repair(folder: Path) -> None:
    assert recover(folder, {FILE: 5}) == []


def test_repair_done_twice_is_done_once(folder: Path) -> None:
    pointers = crashed_crawl(folder, 2)
    recover(folder, covered_by(pointers[:2]))
    data = (folder / NAME).read_bytes()
    assert recover(folder, covered_by(pointers[:2])) == []
    assert (folder / NAME).read_bytes() == data


def test_covered_bytes_that_are_missing_stop_the_repair_before_it_begins(folder: Path) -> None:
    pointers = crashed_crawl(folder, 3, max_bytes=1)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    covered = covered_by(pointers)
    last = max(covered)
    covered[last] += 1
    with pytest.raises(WarcError, match="Evidence was lost"):
        recover(folder, covered)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_name_that_a_finished_file_has_is_not_given_twice(folder: Path) -> None:
    pointers = crashed_crawl(folder, 1)
    (folder / NAME).write_bytes(b"finished")
    with pytest.raises(WarcError, match="is there as well"):
        recover(folder, covered_by(pointers))
    assert (folder / NAME).read_bytes() == b"finished"


def test_disk_that_fails_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pointers = crashed_crawl(folder, 1)

    def fsync(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(WarcError, match=r"cannot repair WARC files in .*Input/output error"):
        recover(folder, covered_by(pointers))


def test_repair_that_was_interrupted_is_completed_by_the_next(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pointers = crashed_crawl(folder, 2)
    covered = covered_by(pointers[:2])
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "killed here")))
        with pytest.raises(WarcError):
            recover(folder, covered)
    assert [repair.action for repair in recover(folder, covered)] == ["finished"]
    assert record_ids(folder / NAME) == [pointer.id for pointer in pointers[:2]]
