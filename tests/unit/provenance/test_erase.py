"""Erasure: bytes and texts go, every other proof holds, and nothing goes without an entry that says so."""

import datetime as dt
import io
import shutil
from contextlib import closing

import pytest
from fastwarc.warc import ArchiveIterator
from warcio.archiveiterator import ArchiveIterator as WarcioIterator

from provenance import standalone
from provenance.entry import EvidenceEntry, LoggedHop
from provenance.erase import EraseError, Eraser, empty_member
from provenance.proof import check, prove_consistency, prove_site, prove_url
from provenance.seal import seal
from provenance.segments import read_leaves
from provenance.verbs_erase import _plan_lines
from provenance.verify import verify

URL = "https://example.org/a"
NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)


def differences(out):
    return [(level.name, one.what) for level in verify(out).levels for one in level.differences]


def erase(out, key, url=URL, *, text=False, now=NOW):
    with closing(Eraser(out, key, url=url, now=now)) as eraser:
        plan = eraser.plan_url(text=text) if url else eraser.plan_expired()
        eraser.carry_out(plan, "complaint 7")
    return plan


def everything(out):
    return b"".join(path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file())


def test_records_of_a_url_are_erased_and_everything_else_verifies(whole, key):
    sizes = {path.name: path.stat().st_size for path in (whole / "warc").iterdir()}
    before = (whole / "log/checkpoint").read_bytes()
    plan = erase(whole, key)
    assert [entry.verdict for entry in plan.entries] == ["kept"]
    assert {path.name: path.stat().st_size for path in (whole / "warc").iterdir()} == sizes
    assert differences(whole) == []
    counts = {level.name: level.counts for level in verify(whole).levels}
    assert counts["L2"]["records erased"] == 2
    assert verify(whole, ["L3"]).clean
    assert counts["L3"] == {"read again from bytes": 2, "decided again from recorded signals": 1}
    assert check(prove_url(whole / "log", URL, "example.org").text()).entry.url == URL
    assert prove_consistency(whole / "log", before)
    for pointer in plan.entries[0].warc:
        assert b"Hello" not in (whole / pointer.f).read_bytes()[pointer.o : pointer.o + pointer.l]


@pytest.mark.parametrize("sealed", [False, True])
def test_text_of_an_entry_is_erased_and_every_proof_still_holds(whole, key, sealed):
    others = prove_url(whole / "log", "https://example.org/c", "example.org").text()
    if sealed:
        seal(whole / "log")
    plan = erase(whole, key, text=True)
    assert URL.encode() not in everything(whole / "log")
    assert differences(whole) == []
    assert verify(whole).levels[0].counts["texts erased"] == 1
    assert check(others)
    found = check(prove_site(whole / "log", "example.org").text())
    assert [seq for seq, entry in found.entries if entry is None] == [plan.entries[0].seq]
    assert not any(getattr(leaf.entry, "url", "") == URL for leaf in read_leaves(whole / "log"))


def test_entries_that_name_the_url_in_a_redirect_are_told_when_its_text_goes(crawled, key):
    hop = LoggedHop(url=URL, st=302, to="https://example.org/b")
    crawled.decide(url=URL, site="example.org")
    there = crawled.decide(url="https://example.org/old", site="example.org", target=URL)
    onward = crawled.decide(url="https://example.org/b", site="example.org", src=3, src_log="w2", hops=(hop,))
    document = crawled.enter(
        EvidenceEntry, key="/robots.txt", url="https://example.org/robots.txt", authority="https://example.org",
        outcome="url", failure="url", redirects=(LoggedHop(url="https://example.org/robots.txt", st=302, to=URL),),
        fetched=0, expires=0,
    )  # fmt: skip
    crawled.decide(url="https://example.org/c", site="example.org")
    crawled.finish()
    with closing(Eraser(crawled.out, key, url=URL, now=NOW)) as eraser:
        assert eraser.plan_url(text=False).naming == ()
        plan = eraser.plan_url(text=True)
    assert [entry.seq for entry in plan.naming] == [there, onward, document]
    first, second, third = [line for line in _plan_lines(plan, URL) if "redirect" in line]
    assert first.endswith("knockfirst erase OUT https://example.org/old --text")
    assert second.endswith("knockfirst erase OUT https://example.org/b --text")
    assert third.endswith("evidence cannot be erased")


def test_single_file_verifier_understands_an_erased_text(whole, key, capsys):
    erase(whole, key, text=True)
    standalone.check_log(whole, None)
    assert "1 texts erased" in capsys.readouterr().out


def test_erasing_twice_changes_nothing_more(whole, key):
    erase(whole, key)
    size = verify(whole).size
    before = everything(whole / "warc")
    erase(whole, key)
    assert verify(whole).size == size
    assert everything(whole / "warc") == before
    assert differences(whole) == []


def test_erasure_that_broke_off_is_finished_by_another(whole, key):
    class BrokenError(Exception):
        pass

    class Breaking(Eraser):
        def _empty(self, pointer):
            if pointer.type == "request":
                raise BrokenError
            super()._empty(pointer)

    with closing(Breaking(whole, key, url=URL, now=NOW)) as eraser, pytest.raises(BrokenError):
        eraser.carry_out(eraser.plan_url(text=True), "complaint 7")
    assert ("L2", "not the bytes") in [(level, what[:13]) for level, what in differences(whole)]
    erase(whole, key, text=True)
    assert differences(whole) == []


def test_text_that_is_gone_without_an_entry_is_found(whole, key, tmp_path):
    kept = shutil.copytree(whole, tmp_path / "kept")
    erase(whole, key, text=True)
    erased = next(leaf for leaf in read_leaves(whole / "log") if leaf.erased)
    segment = kept / "log/seg-00000000.jsonl"
    lines = segment.read_bytes().split(b"\n")
    lines[erased.seq] = erased.line
    segment.write_bytes(b"\n".join(lines))
    found = differences(kept)
    assert ("L1", "its text is gone, and no entry says that it was erased") in found
    with pytest.raises(standalone.Bad, match="the text of entry"):
        standalone.check_log(kept, None)


def test_record_that_was_to_be_erased_and_is_still_there_is_found(whole, key, tmp_path):
    original = shutil.copytree(whole, tmp_path / "original")
    erase(whole, key)
    shutil.copy(next((original / "warc").iterdir()), next((whole / "warc").iterdir()))
    assert any("its bytes are still there" in what for _, what in differences(whole))


def test_files_are_removed_when_their_period_has_passed(whole, key):
    assert erase(whole, key, "", now=NOW).files == ()
    later = NOW + dt.timedelta(days=400)
    plan = erase(whole, key, "", now=later)
    assert [(file.f, period) for file, period in plan.files] == [("warc/warc-0.warc.gz", "warc_days = 365")]
    assert not (whole / "warc/warc-0.warc.gz").exists()
    assert differences(whole) == []
    assert verify(whole, ["L3"]).clean
    counts = verify(whole).levels[2].counts
    assert counts == {"read again from bytes": 1, "decided again from recorded signals": 2}
    assert erase(whole, key, "", now=later).files == ()


def test_file_that_is_gone_without_an_entry_is_found(whole):
    (whole / "warc/warc-0.warc.gz").unlink()
    assert any(level == "L2" for level, _ in differences(whole))
    assert any(level == "L3" for level, _ in differences(whole))


def test_crawl_that_broke_off_is_not_erased_in(whole, key):
    (whole / "warc/x.warc.gz.open").write_bytes(b"")
    with pytest.raises(EraseError, match="broke off"):
        Eraser(whole, key, url=URL, now=NOW)


def test_other_readers_pass_over_an_empty_record(whole, key):
    erase(whole, key)
    octets = (whole / "warc/warc-0.warc.gz").read_bytes()
    ids = [record.rec_headers.get_header("WARC-Record-ID") for record in WarcioIterator(io.BytesIO(octets))]
    assert (
        ids == [record.record_id.join("<>") for record in ArchiveIterator(io.BytesIO(octets), parse_http=False)] or ids
    )
    assert len(ids) == 5


def test_member_too_short_for_an_empty_record_is_said(crawled):
    pointer = crawled.store("warc", "metadata", "", b"")
    with pytest.raises(EraseError, match="too few"):
        empty_member(type(pointer)(f="f", o=0, l=50, id=pointer.id, type="metadata", d=pointer.d), None)
    crawled.log.close()
