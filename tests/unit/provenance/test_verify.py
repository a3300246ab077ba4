"""Verification: clean folders are called clean, and whatever is altered in one is found."""

import json
import random
import shutil

import msgspec
import pytest

from provenance import keys
from provenance.entry import ConfigEntry, RedecisionEntry, Weaker
from provenance.lines import from_line, to_line
from provenance.log import LogWriter
from provenance.report import MAX_DIFFERENCES, Level
from provenance.seal import seal
from provenance.verify import VerifyError, verify
from reservations.model import Verdict

SEGMENT = "log/seg-00000000.jsonl"


def whats(out, level=None, **options):
    report = verify(out, **options)
    return [found.what for one in report.levels if level in (None, one.name) for found in one.differences]


def lines_of(out):
    return (out / SEGMENT).read_bytes().splitlines(keepends=True)


def test_whole_folder_is_clean(whole):
    report = verify(whole)
    assert report.clean
    assert whats(whole) == []
    assert (report.size, report.signed_size, report.seal) == (10, 10, "finished")
    integrity, linkage, replayed, anchored = report.levels
    assert not anchored.looked
    assert (integrity.counts["entries"], integrity.counts["checkpoints"]) == (10, 2)
    assert linkage.counts == {"decisions": 3, "pointers": 6, "files": 2, "records": 8}
    assert replayed.counts == {"read again from bytes": 3}
    assert not integrity.notes


def test_report_says_what_each_level_does_not_prove(whole):
    for level in verify(whole).levels:
        assert level.proves
        assert "That " in level.proves_not


def test_progress_is_told_up_to_the_end(whole):
    told = []
    verify(whole, progress=lambda *step: told.append(step))
    assert {step for step, _, _ in told} == {"log", "records"}
    for step in ("log", "records"):
        done, total = [told[1:] for told in told if told[0] == step][-1]
        assert done == total > 0


def test_only_level_1_reads_no_warc(whole):
    shutil.rmtree(whole / "warc")
    report = verify(whole, ["L1"])
    assert report.clean
    assert [level.name for level in report.levels] == ["L1"]


# -- altered -----------------------------------------------------------------------------------------------------------


def test_any_flipped_bit_anywhere_is_found(whole):
    chance = random.Random(1)
    files = [path for folder in ("log", "log/rules", "warc", "evidence") for path in sorted((whole / folder).iterdir())]
    files = [path for path in files if path.is_file()]
    for path in files:
        original = path.read_bytes()
        for index in sorted(chance.sample(range(len(original)), min(70, len(original)))):
            changed = bytearray(original)
            changed[index] ^= 1 << chance.randrange(8)
            path.write_bytes(changed)
            try:
                assert not verify(whole).clean, (path.name, index)
            except VerifyError:
                assert path.name == "log.vkey"
        path.write_bytes(original)
    assert verify(whole).clean


@pytest.mark.parametrize("how", ["dropped", "swapped", "doubled", "inserted"])
def test_any_line_dropped_swapped_doubled_or_inserted_is_found(whole, entries, how):
    lines = lines_of(whole)
    for index in range(len(lines) - 1):
        changed = lines.copy()
        if how == "dropped":
            del changed[index]
        elif how == "swapped":
            changed[index], changed[index + 1] = changed[index + 1], changed[index]
        elif how == "doubled":
            changed.insert(index, lines[index])
        else:
            changed.insert(index, to_line(entries(index)) + b"\n")
        (whole / SEGMENT).write_bytes(b"".join(changed))
        assert any("signed" in what for what in whats(whole, "L1"))


def test_log_cut_at_every_byte_is_found(whole):
    content = (whole / SEGMENT).read_bytes()
    for end in range(0, len(content), 37):
        (whole / SEGMENT).write_bytes(content[:end])
        assert any("signed" in what for what in whats(whole, "L1"))


def test_difference_names_the_entries_between_two_checkpoints(whole):
    lines = lines_of(whole)
    lines[7] = lines[7].replace(b'"run":"r1"', b'"run":"r2"')
    (whole / SEGMENT).write_bytes(b"".join(lines))
    report = verify(whole, ["L1"])
    assert [found.what for found in report.levels[0].differences][:1] == [
        "entries 6 to 9 are not those that were signed"
    ]
    assert report.signed_size == 6


def test_log_set_back_to_an_earlier_checkpoint_lacks_its_seal(whole):
    notes = (whole / "log/checkpoints").read_bytes().split(b"\n\n")
    first = notes[0] + b"\n\n" + notes[1] + b"\n"
    (whole / "log/checkpoint").write_bytes(first)
    (whole / "log/checkpoints").write_bytes(first + b"\n")
    (whole / SEGMENT).write_bytes(b"".join(lines_of(whole)[:5]))
    report = verify(whole, ["L1"])
    assert report.seal == "missing"
    assert not report.clean


def test_checkpoint_set_back_is_found(whole):
    notes = (whole / "log/checkpoints").read_bytes().split(b"\n\n")
    (whole / "log/checkpoint").write_bytes(notes[0] + b"\n\n" + notes[1] + b"\n")
    assert whats(whole) == ["is not the newest of 'checkpoints'"]


def test_checkpoints_out_of_order_are_found(whole):
    notes = (whole / "log/checkpoints").read_bytes()
    middle = notes.index(b"\n\n", notes.index("—".encode())) + 2
    (whole / "log/checkpoints").write_bytes(notes[middle:] + notes[:middle])
    assert any("after 10" in what for what in whats(whole))


def test_log_rewritten_with_another_key_is_found_by_the_key_from_elsewhere(whole, key, tmp_path):
    theirs = key.verifier(verify(whole).origin).line()
    lines = lines_of(whole)
    for name in ("checkpoint", "checkpoints", "log.vkey", "seg-00000000.jsonl"):
        (whole / "log" / name).unlink()
    other = keys.generate(tmp_path / "other" / "key")
    log = LogWriter.open(whole / "log", "crawler.example.org/test", other)
    for line in lines:
        entry = from_line(line[:-1])
        if entry.seq == 0:
            entry = msgspec.structs.replace(entry, key=log.verifier.line())
        log.append(entry)
    log.close()
    assert verify(whole).clean  # nothing in the folder shows it: outside copies are the point
    report = verify(whole, key=theirs)
    assert not report.clean
    assert any("not the one given" in found.what for found in report.levels[0].differences)
    assert any("0 signatures" in found.what for found in report.levels[0].differences)


def test_right_key_from_elsewhere_is_noted(whole, key):
    report = verify(whole, key=key.verifier("crawler.example.org/test").line())
    assert report.clean
    assert report.key_given


# -- unfinished --------------------------------------------------------------------------------------------------------


def test_log_being_written_is_no_difference_but_said(crawled):
    crawled.robots()
    crawled.log.sync()
    with (crawled.out / SEGMENT).open("ab") as file:
        file.write(b'{"t":')
    report = verify(crawled.out, ["L1"])
    assert report.clean
    assert report.seal == "running"
    assert report.levels[0].counts["entries not signed"] == 4
    assert "a process is writing this log" in report.levels[0].notes[0]
    crawled.log.close()


def test_crashed_log_is_a_difference_with_remedy(crawled):
    crawled.robots()
    crawled.log.close()
    report = verify(crawled.out, ["L1"])
    assert report.seal == "missing"
    [found] = report.levels[0].differences
    assert "no seal" in found.what
    assert "start the same command again" in found.remedy


def test_unsigned_tail_is_counted(crawled):
    crawled.robots()
    crawled.log.sync()
    crawled.log._roll()
    crawled.log._lock.close()
    report = verify(crawled.out, ["L1"])
    assert report.levels[0].counts["entries not signed"] == 4
    assert any("last 4 entries are not signed" in found.what for found in report.levels[0].differences)


def test_redecision_after_the_seal_leaves_the_log_sealed(whole, key, crawled):
    log = LogWriter.open(whole / "log", "crawler.example.org/test", key)
    crawled.log = log
    crawled.enter(
        RedecisionEntry,
        of=4,
        url="https://example.org/a",
        verdict=Verdict.HELD,
        reason="r",
        why="complaint 7",
        config=1,
    )
    log.close()
    assert verify(whole).clean
    assert verify(whole).seal == "finished"


# -- what stands first -------------------------------------------------------------------------------------------------


def test_rules_weaker_than_the_floor_are_named_once(crawled):
    for _ in range(2):
        crawled.enter(
            ConfigEntry,
            rules="",
            policy="",
            policy_name="",
            protocols="",
            weaker=(Weaker(rule="tdmrep off", approver="A. Person", reason="licence"),),
        )
    crawled.finish()
    assert verify(crawled.out).weaker == ["tdmrep off (approved by A. Person: licence)"]


def test_run_of_another_log_is_found(crawled):
    crawled.log.sync()
    entry = from_line(lines_of(crawled.out)[0][:-1])
    crawled.log.append(msgspec.structs.replace(entry, seq=crawled.log.next_seq, origin="elsewhere"))
    crawled.finish()
    assert any("a run of log 'elsewhere'" in what for what in whats(crawled.out))


# -- hostile -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda out: None, lambda out: out.mkdir(), lambda out: out.write_text("")])
def test_folder_without_a_log_cannot_be_verified(tmp_path, make):
    make(tmp_path / "out")
    with pytest.raises(VerifyError, match="Name the output folder"):
        verify(tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"x", b"\xff\xfe", b"a+00000000+AQ==\n", b"x" * 100_000])
def test_unreadable_verifier_line_is_refused(whole, content):
    (whole / "log/log.vkey").write_bytes(content)
    with pytest.raises(VerifyError, match="Put the log's back"):
        verify(whole)


def test_unreadable_key_is_refused(whole):
    with pytest.raises(VerifyError, match="NAME"):
        verify(whole, key="nonsense")


@pytest.mark.parametrize("name", ["log.vkey", "checkpoint", "checkpoints", "seg-00000000.jsonl"])
def test_link_in_place_of_a_file_is_not_followed(whole, name):
    path = whole / "log" / name
    path.rename(whole / "log" / "elsewhere")
    path.symlink_to("elsewhere")
    try:
        assert not verify(whole).clean
    except VerifyError:
        assert name != "seg-00000000.jsonl"


def test_log_folder_that_is_a_link_is_not_followed(whole):
    (whole / "log").rename(whole / "real")
    (whole / "log").symlink_to("real")
    with pytest.raises(VerifyError, match="no folder"):
        verify(whole)


def test_endless_line_is_found(whole):
    with (whole / SEGMENT).open("ab") as file:
        file.write(b"x" * 1_000_000)
    assert any("longer than" in what for what in whats(whole, "L1"))


def test_endless_note_is_found(whole):
    with (whole / "log/checkpoints").open("ab") as file:
        file.write(b"x" * 1_000_000)
    assert any("was never finished" in what for what in whats(whole, "L1"))


def test_line_that_is_no_entry_is_found_and_rest_is_read(crawled, entries):
    crawled.raw(to_line(entries(2)).replace(b'"verdict":"refused"', b'"verdict":"taken"'))
    crawled.finish()
    found = verify(crawled.out).levels[0].differences
    assert [(one.where, "no entry" in one.what) for one in found] == [("line 3", True)]


def test_line_with_raw_characters_is_found(crawled, entries):
    crawled.raw(to_line(entries(2, reason="x-y")).replace(b"x-y", "x\u202ey".encode()))
    crawled.finish()
    assert any("characters that a log line never does" in what for what in whats(crawled.out))


def test_differences_are_listed_up_to_a_bound_and_all_counted():
    level = Level(name="L1", title="", proves="", proves_not="")
    for index in range(MAX_DIFFERENCES + 5):
        level.differs("f", str(index), "what", "remedy")
    assert len(level.differences) == MAX_DIFFERENCES
    assert level.total == MAX_DIFFERENCES + 5


def test_report_is_json(whole):
    assert json.loads(msgspec.json.encode(verify(whole)))["levels"][0]["name"] == "L1"


@pytest.mark.crawl
def test_a_thousand_clean_folders_raise_no_alarm(new_folder, key):
    chance = random.Random(1000)
    for number in range(1000):
        crawled = new_folder(number)
        for page in range(chance.randrange(4)):
            host, path = chance.choice("abc"), chance.choice(("", "private/"))
            url = f"https://{host}.example/{path}{page}?{chance.random()}"
            reserved = b'<html><meta name="tdm-reservation" content="1">'
            if path:
                crawled.refused(url)
            elif chance.random() < 0.3:
                crawled.discarded(url, reserved)
            else:
                crawled.kept(url, b"<p>%d</p>" % chance.randrange(10**9))
            if chance.random() < 0.3:
                crawled.log.sync()
                crawled.log.checkpoint()
        crawled.finish(chance.choice(("finished", "stopped")))
        if chance.random() < 0.3:
            seal(crawled.out / "log")
        report = verify(crawled.out)
        assert report.clean, [level.differences for level in report.levels]
        shutil.rmtree(crawled.out)
