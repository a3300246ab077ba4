"""The link between log and WARC files: one to one, both ways, and nothing of it on trust."""

import gzip
import hashlib
import json
import os
from datetime import UTC, datetime

import pytest

from crawler.warc import records
from crawler.warc.writer import WarcWriter
from provenance.entry import EvidenceEntry, FileEntry, LoggedHop, Pointer, SealEntry
from provenance.lines import from_line, to_line
from provenance.links import finished_files
from provenance.verify import verify
from reservations.model import Verdict

URL = "https://example.org/a"
PLAIN = b"HTTP/1.1 200 OK\r\n\r\n"


def sha256(octets):
    return "sha256:" + hashlib.sha256(octets).hexdigest()


def differences(out):
    report = verify(out)
    assert report.levels[0].ok, report.levels[0].differences
    return [(found.file, found.what) for found in report.levels[1].differences]


def whats(out):
    return [what for _, what in differences(out)]


def finished(crawled):
    crawled.finish()
    return whats(crawled.out)


# -- records and pointers ----------------------------------------------------------------------------------------------


def test_record_without_entry_is_found(crawled):
    crawled.store("warc", "response", URL, PLAIN)
    crawled.finish()
    [(file, what)] = differences(crawled.out)
    assert file == "warc/warc-0.warc.gz"
    assert what.startswith("response record 'urn:uuid:")
    assert what.endswith("without an entry in the log")


def test_entry_without_record_is_found(crawled):
    pointer = Pointer(f="warc/warc-0.warc.gz", o=999, l=5, id="urn:uuid:x", type="response", d="sha256:0")
    crawled.kept(URL, warc=(pointer,))
    crawled.finish()
    assert whats(crawled.out) == ["entry 4 points to response record 'urn:uuid:x', which is not there"]


def test_record_pointed_to_twice_is_found(crawled):
    first = crawled.store("warc", "response", URL, PLAIN)
    crawled.kept(URL, warc=(first,))
    crawled.decide(url=URL + "2", final=True, verdict=Verdict.KEPT, warc=(first,))
    crawled.finish()
    assert any("is pointed to by an earlier entry, too" in what for what in whats(crawled.out))


def test_record_that_stands_there_twice_is_found(crawled):
    crawled.kept(URL)
    path = crawled.out / "warc/warc-0.warc.gz"
    path.write_bytes(path.read_bytes() * 2)
    crawled.finish()
    found = whats(crawled.out)
    assert sum("a second record with this id" in what for what in found) == 2
    assert sum("offset: entry" in what for what in found) == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"o": 1},
        {"l": 1},
        {"type": "request"},
        {"d": "sha256:" + "0" * 64},
        {"pd": "sha256:" + "0" * 64},
        {"f": "evidence/other.warc.gz"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_pointer_that_says_otherwise_than_its_record_is_found(crawled, changed):
    true = crawled.store("evidence", "response", URL, PLAIN)
    told = Pointer(**({name: getattr(true, name) for name in true.__struct_fields__} | changed))
    crawled.decide(url=URL, final=True, verdict=Verdict.ABORTED, warc=(told,))
    crawled.finish()
    assert any(f"record '{true.id}' of entry 2" in what for what in whats(crawled.out))


def test_record_of_another_url_is_found(crawled):
    pointer = crawled.store("evidence", "response", URL + "/other", PLAIN)
    crawled.decide(url=URL, final=True, verdict=Verdict.ABORTED, warc=(pointer,))
    crawled.finish()
    assert any("target URI: entry 'https://example.org/a'" in what for what in whats(crawled.out))


def test_hop_on_the_way_to_evidence_may_be_a_record(crawled):
    hop = crawled.store("evidence", "response", "https://www.example.org/robots.txt", PLAIN)
    crawled.enter(
        EvidenceEntry,
        key="/robots.txt",
        url="https://example.org/robots.txt",
        authority="https://example.org",
        outcome="404",
        redirects=(LoggedHop(url="https://www.example.org/robots.txt", st=301, to="https://example.net/robots.txt"),),
        fetched=0,
        expires=0,
        warc=(hop,),
    )
    crawled.finish()
    assert whats(crawled.out) == []


def test_evidence_in_warc_folder_is_found(crawled):
    pointer = crawled.store("warc", "response", URL, PLAIN)
    crawled.enter(EvidenceEntry, key=URL, url=URL, authority="", outcome="200", fetched=0, expires=0, warc=(pointer,))
    crawled.finish()
    assert any("outside evidence/" in what for what in whats(crawled.out))


@pytest.mark.parametrize(
    ("body", "data", "clean"),
    [
        (b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", b"abcde", True),
        (b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", False),
        (b"3\r\nab", b"ab", False),
    ],
)
def test_payload_of_chunked_answer_is_its_data(crawled, body, data, clean):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    pointer = crawled.store("warc", "response", URL, head + body, pd=sha256(data))
    crawled.kept(URL, warc=(pointer,))
    crawled.finish()
    assert ["payload digest" in what for what in whats(crawled.out)] == ([] if clean else [True])


@pytest.mark.parametrize(
    ("refers_to", "data", "clean"), [("it", b"same", True), ("it", b"other", False), ("x", b"same", False)]
)
def test_revisit_has_the_payload_of_what_it_refers_to(crawled, refers_to, data, clean):
    original = crawled.store("warc", "response", URL, PLAIN + b"same", pd=sha256(b"same"))
    crawled.kept(URL, warc=(original,))
    field = f"WARC-Refers-To: <{original.id if refers_to == 'it' else refers_to}>"
    again = crawled.store("warc", "revisit", URL + "2", PLAIN, field, pd=sha256(data))
    crawled.decide(url=URL + "2", final=True, verdict=Verdict.UNCHANGED, warc=(again,))
    crawled.finish()
    assert ["is not that of the record it refers to" in what for what in whats(crawled.out)] == (
        [] if clean else [True]
    )


# -- what may lie in warc/ ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [v for v in Verdict if v not in {Verdict.KEPT, Verdict.UNCHANGED}])
def test_content_of_what_was_not_to_be_kept_is_found(crawled, verdict):
    crawled.kept(URL, verdict=verdict)
    found = finished(crawled)
    assert any(f"verdict {verdict}, yet records in warc/" in what for what in found)


@pytest.mark.parametrize(
    ("verdict", "types"),
    [
        (Verdict.KEPT, []),
        (Verdict.KEPT, ["request"]),
        (Verdict.KEPT, ["revisit"]),
        (Verdict.KEPT, ["response", "response"]),
        (Verdict.UNCHANGED, ["response"]),
        (Verdict.UNCHANGED, []),
    ],
)
def test_kept_or_unchanged_without_its_one_record_is_found(crawled, verdict, types):
    crawled.kept(URL, verdict=verdict, warc=tuple(crawled.store("warc", kind, URL, PLAIN) for kind in types))
    crawled.log.sync()
    assert any(f"verdict {verdict} wants one" in found.what for found in verify(crawled.out).levels[1].differences)
    crawled.log.close()


# -- one last word -----------------------------------------------------------------------------------------------------


def test_newer_last_word_under_a_lease_of_its_own_replaces_the_older_one(crawled):
    crawled.decide(url=URL, final=True, lease=7)
    crawled.decide(url=URL, final=True, lease=9)
    assert finished(crawled) == []


def test_two_last_words_on_a_url_under_one_lease_are_found(crawled):
    crawled.decide(url=URL, final=True, lease=7)
    crawled.decide(url=URL, final=True, lease=7)
    assert finished(crawled) == ["its URL has 2 final entries in run 'r1'"]


def test_superseded_last_word_does_not_count(crawled):
    first = crawled.decide(url=URL, final=True)
    crawled.finals = {}
    crawled.decide(url=URL, final=True, supersedes=first)
    assert finished(crawled) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"supersedes": 99, "final": True},
        {"supersedes": 1, "final": True},
        {"supersedes": 2, "final": False},
        {"supersedes": 2, "final": True, "url": URL + "/other"},
    ],
)
def test_superseding_what_is_no_last_word_on_the_url_is_found(crawled, fields):
    crawled.decide(url=URL, final=True)
    crawled.decide(**({"url": URL} | fields))
    assert any(what.startswith("supersedes entry") for what in finished(crawled))


def test_url_without_last_word_is_found_when_crawl_is_finished_only(crawled):
    crawled.decide(url=URL, verdict=Verdict.DEFERRED)
    assert finished(crawled) == ["its URL has no final entry, though run 'r1' is sealed as finished"]


def test_url_without_last_word_is_counted_when_crawl_was_stopped(crawled):
    crawled.decide(url=URL, verdict=Verdict.DEFERRED)
    crawled.finish("stopped")
    report = verify(crawled.out, ["L1", "L2"])
    assert report.clean
    assert report.levels[1].counts["URLs without a last word yet"] == 1


# -- what came first ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [{"config": 0}, {"config": 7}, {"consulted": {"/robots.txt": 7}}, {"consulted": {"/robots.txt": 1}}],
)
def test_reference_to_what_was_not_there_before_is_found(crawled, fields, entries):
    entry = entries(crawled.log.next_seq, **({"url": URL, "final": True} | fields))
    crawled.log.append(entry)
    crawled.robots()
    crawled.counts = crawled.finals = {Verdict.REFUSED: 1}
    assert any(what.startswith("refers to entry") for what in finished(crawled))


# -- seals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["counts", "finals"])
def test_seal_that_counts_otherwise_is_found(crawled, name):
    crawled.decide(url=URL, final=True)
    setattr(crawled, name, {Verdict.REFUSED: 2})
    assert any(what.startswith(f"the seal's {name} say") for what in finished(crawled))


def test_seal_with_other_number_of_files_is_found(crawled):
    crawled.enter(SealEntry, end="finished", files=1)
    crawled.log.close()
    assert any(what.startswith("the seal's files say 1") for what in whats(crawled.out))


# -- files -------------------------------------------------------------------------------------------------------------


def test_finished_file_without_entry_is_found(crawled):
    crawled.enter(SealEntry, end="finished")
    crawled.log.close()
    assert differences(crawled.out) == [
        ("warc/warc-0.warc.gz", "finished, but no entry says so"),
        ("evidence/evidence-0.warc.gz", "finished, but no entry says so"),
    ]


def test_file_that_is_gone_is_found(whole):
    (whole / "evidence/evidence-0.warc.gz").unlink()
    found = whats(whole)
    assert any("says it was finished; it is not there" in what for what in found)
    assert any("which is not there" in what for what in found)


def test_file_entered_twice_is_found(crawled):
    for name, size, digest in finished_files(crawled.out, set()):
        crawled.enter(FileEntry, f=name, size=size, d=digest)
    assert any("was entered as finished before" in what for what in finished(crawled))


def test_known_files_are_not_named_again(whole):
    assert [name for name, _, _ in finished_files(whole, {"warc/warc-0.warc.gz"})] == ["evidence/evidence-0.warc.gz"]


def test_file_compressed_anew_is_found(whole):
    path = whole / "evidence/evidence-0.warc.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), mtime=0))
    found = differences(whole)
    assert ("evidence/evidence-0.warc.gz", "Content-Length is not the length of the block") in found


def test_damage_in_one_record_hides_no_other(crawled):
    for index in range(4):
        crawled.kept(f"{URL}{index}")
    crawled.finish()
    path = crawled.out / "warc/warc-0.warc.gz"
    octets = bytearray(path.read_bytes())
    pointers = [from_line(line).warc[0] for line in _lines(crawled.out) if b'"verdict":"kept"' in line]
    for pointer in (pointers[1], pointers[3]):
        octets[pointer.o + pointer.l // 2] ^= 1
    path.write_bytes(octets)
    found = whats(crawled.out)
    assert sum(what.startswith("damaged") for what in found) == 2
    assert sum("which is not there" in what for what in found) == 2


def _lines(out):
    return (out / "log/seg-00000000.jsonl").read_bytes().splitlines()


@pytest.mark.parametrize("tail", [b"\x00", b"garbage", b"\x1f\x8b\x08"])
def test_something_behind_the_last_record_is_found(crawled, tail):
    crawled.kept(URL)
    with (crawled.out / "warc/warc-0.warc.gz").open("ab") as file:
        file.write(tail)
    assert len(finished(crawled)) == 1


def test_open_file_of_a_running_crawl_may_hold_records_not_entered_yet(crawled):
    crawled.store("warc", "response", URL, PLAIN)
    path = crawled.out / "warc/warc-0.warc.gz"
    path.rename(path.with_name(path.name + ".open"))
    with path.with_name(path.name + ".open").open("ab") as file:
        file.write(b"\x1f\x8b\x08")
    report = verify(crawled.out)
    assert report.clean
    assert report.levels[1].counts["records not entered yet"] == 1
    crawled.finish()
    found = differences(crawled.out)
    assert ("warc/warc-0.warc.gz.open", "left open by a process that broke off") in found
    assert any("without an entry" in what for _, what in found)
    assert any("inside a record" in what for _, what in found)


# -- hostile -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../keys/x.warc.gz", "/etc/passwd", "warc/../../x.warc.gz", "warc/.warc.gz", "other/x.warc.gz"]
)
def test_pointer_out_of_the_folder_is_refused(crawled, name):
    pointer = Pointer(f=name, o=0, l=1, id="urn:uuid:x", type="response", d="sha256:0")
    crawled.decide(url=URL, final=True, warc=(pointer,))
    assert any("no WARC file of a crawl" in what for what in finished(crawled))


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "name"])
def test_what_is_no_warc_file_is_not_read(whole, tmp_path, kind):
    path = whole / "warc" / ("x.warc.gz" if kind != "name" else "notes.txt")
    if kind == "link":
        path.symlink_to(whole / "evidence/evidence-0.warc.gz")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_text("x")
    assert differences(whole) == [(f"warc/{path.name}", "not a WARC file of a crawl; it was not read")]


def test_warc_folder_that_is_a_link_is_not_followed(whole):
    (whole / "warc").rename(whole / "elsewhere")
    (whole / "warc").symlink_to("elsewhere")
    assert ("warc", "not a folder of its own; it was not looked into") in differences(whole)


@pytest.mark.parametrize("field", ["seq", "o", "config"])
def test_number_too_large_for_any_crawl_is_a_difference_not_a_crash(crawled, entries, field):
    pointer = crawled.store("evidence", "response", URL, PLAIN)
    entry = json.loads(to_line(entries(2, url=URL, final=True, warc=(pointer,))))
    (entry["warc"][0] if field == "o" else entry)[field] = 10**30
    crawled.raw(json.dumps(entry).encode())
    crawled.finish()
    assert any("no crawl writes" in found.what for found in verify(crawled.out).levels[1].differences)


def test_records_of_the_crawls_own_writer_are_as_the_log_says(crawled):
    now = datetime(2026, 11, 22, 8, tzinfo=UTC)
    capture = records.Capture(target_uri=URL, date=now, main_id=records.new_record_id())
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    writer = WarcWriter(crawled.out / "warc", "web", info={"hostname": "test"}, clock=lambda: now)
    pointers = writer.write(
        [
            records.response_record(capture, head, b"5\r\nHello\r\n0\r\n\r\n"),
            records.request_record(capture, b"GET /a HTTP/1.1\r\n\r\n", record_id=records.new_record_id()),
            records.metadata_record(capture, {"decision-seq": "2"}, record_id=records.new_record_id()),
        ]
    )
    assert pointers[0].pd == sha256(b"Hello")
    crawled.kept(URL, warc=pointers)
    writer.close()
    assert finished(crawled) == []
