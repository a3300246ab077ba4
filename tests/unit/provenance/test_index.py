"""The index: what it says is what the log says, however it came about; and the log's own lines found by it."""

import datetime as dt
import json
import sqlite3
from collections import Counter
from contextlib import closing

import pytest
from typer.testing import CliRunner

from crawler.cli import app
from provenance.entry import DecisionEntry, EvidenceEntry, RedecisionEntry
from provenance.erase import Eraser
from provenance.index import index_path, update
from provenance.lookup import Lookup
from provenance.seal import seal
from provenance.segments import LogError, read_leaves
from provenance.tree import inclusion_proof
from provenance.verify import verify
from reservations.model import Verdict

NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
TABLES = ("entry", "site", "digest", "tally", "document", "other", "superseded", "tile", "note")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "indexes" / "one.sqlite"


def dump(path, tables=TABLES):
    with sqlite3.connect(path) as db:
        found = {table: db.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in tables}
    db.close()
    return found


def fill(crawled, count):
    """Attempts at a few sites, more than a block and a tile of them, one in fifty replaced by a later one."""
    for number in range(count):
        site = f"s{number % 7}.example"
        again = crawled.log.next_seq - 1 if number % 50 == 49 else None
        crawled.decide(
            url=f"https://{site}/{number // 2 * 2 if again else number}",
            site=site,
            final=True,
            supersedes=again,
            verdict=Verdict.FAILED if number % 3 else Verdict.REFUSED,
            reason="transfer.reset" if number % 3 else "robots.disallow",
        )


def test_index_counts_what_the_log_holds(crawled, path):
    crawled.robots()
    crawled.kept("https://example.org/a")
    fill(crawled, 600)
    crawled.finish()
    assert update(crawled.out, path)
    leaves = list(read_leaves(crawled.out / "log"))
    attempts = [leaf.entry for leaf in leaves if isinstance(leaf.entry, DecisionEntry)]
    with Lookup.open(crawled.out, path) as look:
        assert look.size == len(leaves)
        assert look.fault == ""
        for unit in (60, 3_600, 86_400):
            rows = look.rows("SELECT verdict, sum(n) AS n FROM tally WHERE site = 0 AND unit = ? GROUP BY 1", unit)
            assert {row["verdict"]: row["n"] for row in rows} == Counter(entry.verdict for entry in attempts)
        sites = {row["name"]: row["attempts"] for row in look.rows("SELECT * FROM site WHERE attempts > 0")}
        assert sites == Counter(entry.site for entry in attempts)
        kept = look.site("example.org")
        assert (kept["kept"], kept["octets"]) == (1, len(b"<p>Hello</p>"))
        by = {entry.supersedes: entry.seq for entry in attempts if entry.supersedes is not None}
        assert {row["seq"]: row["by"] for row in look.rows("SELECT * FROM superseded")} == by
        documents = [leaf for leaf in leaves if isinstance(leaf.entry, EvidenceEntry)]
        assert [row["seq"] for row in look.rows("SELECT seq FROM document ORDER BY seq")] == [d.seq for d in documents]


def test_index_made_bit_by_bit_while_a_crawl_writes_is_the_one_made_at_once(crawled, path, tmp_path):
    crawled.robots()
    for count in (0, 1, 254, 3, 300):
        fill(crawled, count)
        crawled.log.sync()
        crawled.log.checkpoint()
        update(crawled.out, path)
    crawled.finish()
    update(crawled.out, path)
    update(crawled.out, path)
    update(crawled.out, tmp_path / "whole.sqlite")
    assert dump(path) == dump(tmp_path / "whole.sqlite")


def test_line_that_is_still_being_written_is_taken_when_it_is_whole(crawled, path):
    crawled.finish()
    segment = crawled.out / "log" / "seg-00000000.jsonl"
    octets = segment.read_bytes()
    segment.write_bytes(octets[:-30])
    update(crawled.out, path)
    with Lookup.open(crawled.out, path) as look:
        assert look.size == octets.count(b"\n") - 1
    segment.write_bytes(octets)
    update(crawled.out, path)
    with Lookup.open(crawled.out, path) as look:
        assert look.size == octets.count(b"\n")


def test_every_line_is_found_in_open_and_in_sealed_segments(crawled, path, tmp_path):
    fill(crawled, 700)
    crawled.finish()
    leaves = list(read_leaves(crawled.out / "log"))

    def lines(index):
        with Lookup.open(crawled.out, index) as look:
            return [look.line(leaf.seq) for leaf in leaves]

    update(crawled.out, path)
    opened = lines(path)
    assert [(number, line) for _, number, line in opened] == [(leaf.number, leaf.line) for leaf in leaves]
    seal(crawled.out / "log")
    assert lines(path) == [(f"{name}.zst", number, line) for name, number, line in opened], "the same index still leads"
    update(crawled.out, tmp_path / "sealed.sqlite")
    assert lines(tmp_path / "sealed.sqlite") == lines(path)
    assert dump(tmp_path / "sealed.sqlite") == dump(path)


def test_seek_table_that_lies_costs_time_and_nothing_else(crawled, path):
    fill(crawled, 700)
    crawled.finish()
    leaves = list(read_leaves(crawled.out / "log"))
    (segment,) = seal(crawled.out / "log")
    update(crawled.out, path)
    octets = segment.read_bytes()
    frames = len(octets) - 9 - 8 * int.from_bytes(octets[-9:-5], "little")
    segment.write_bytes(octets[:frames] + bytes(octets[at] ^ 1 for at in range(frames, len(octets) - 9)) + octets[-9:])
    with Lookup.open(crawled.out, path) as look:
        assert [look.line(seq)[2] for seq in (0, 300, 700)] == [leaves[seq].line for seq in (0, 300, 700)]


@pytest.mark.parametrize("count", [0, 1, 253, 254, 255, 509, 700])
def test_paths_are_those_of_the_tree(crawled, path, count):
    fill(crawled, count)
    crawled.log.close()
    update(crawled.out, path)
    hashes = [leaf.hash for leaf in read_leaves(crawled.out / "log")]
    with Lookup.open(crawled.out, path) as look:
        for size in {1, 2, 255, 256, 257, len(hashes) - 1, len(hashes)} & set(range(1, len(hashes) + 1)):
            for seq in {0, 1, 255, 256, size // 2, size - 1} & set(range(size)):
                assert look.path(seq, size) == inclusion_proof(hashes[:size], seq)
        with pytest.raises(LogError, match="no entry"):
            look.path(len(hashes), len(hashes))


def test_log_that_was_written_anew_is_indexed_anew(crawled, path):
    fill(crawled, 20)
    crawled.finish()
    update(crawled.out, path)
    segment = crawled.out / "log" / "seg-00000000.jsonl"
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[:5] + lines[6:8]))
    update(crawled.out, path)
    with Lookup.open(crawled.out, path) as look:
        assert look.size == 7
        assert look.line(5)[2] == lines[6][:-1]


def test_lines_that_are_no_entries_have_their_place(crawled, path):
    crawled.decide()
    for line in (b"no json", b'{"t":"decision"}', b'{"t":"erased","seq":4}', b"[" * 60_000):
        crawled.raw(line)
    crawled.decide(url="https://example.org/" + "x" * 300)
    crawled.finish()
    update(crawled.out, path)
    with Lookup.open(crawled.out, path) as look:
        kinds = [row["kind"] for row in look.rows("SELECT kind FROM entry ORDER BY seq")]
        assert kinds[2:8] == ["decision", *["unreadable"] * 4, "decision"]


def test_values_larger_than_a_database_holds_are_cut(crawled, path):
    from provenance.entry import Http

    crawled.decide(http=Http(st=10**30, ct="x" * 9_000, len=10**40), ts="no time", verdict=Verdict.KEPT, supersedes=-5)
    crawled.decide(ts="9999-12-31T23:59:59.999+14:00", supersedes=10**25, http=Http(st=-1, len=-(10**40)))
    crawled.log.close()
    update(crawled.out, path)
    with Lookup.open(crawled.out, path) as look:
        assert [row["at"] for row in look.rows("SELECT at FROM entry ORDER BY seq")][2] == 0
        assert look.size == 4


def test_log_that_cannot_be_read_on_is_indexed_as_far_as_it_can_be(crawled, path):
    fill(crawled, 30)
    crawled.finish()
    segment = crawled.out / "log" / "seg-00000000.jsonl"
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[:10]) + b"x" * 70_000 + b"\n" + b"".join(lines[10:]))
    update(crawled.out, path)
    with Lookup.open(crawled.out, path) as look:
        assert "a line longer than" in look.fault
    ran = CliRunner().invoke(app, ["index", str(crawled.out), "--index", str(path.parent)])
    assert ran.exit_code == 1
    assert "not read to its end" in ran.output


def test_erased_entry_keeps_its_place_and_its_path(crawled, path):
    crawled.robots()
    crawled.kept("https://example.org/a")
    seq = crawled.log.next_seq - 1
    crawled.kept("https://example.org/b")
    crawled.finish()
    update(crawled.out, path)
    with Lookup.open(crawled.out, path) as look:
        leaf = look.leaf(seq)
        assert look.entry_on("https://example.org/a") == seq
    with closing(Eraser(crawled.out, crawled.key, url="https://example.org/a", now=NOW)) as eraser:
        eraser.carry_out(eraser.plan_url(text=True), "asked for by law")
    assert verify(crawled.out, ["L1"]).clean
    update(crawled.out, path)
    with Lookup.open(crawled.out, path) as look:
        assert look.entry(seq)["kind"] == "erased"
        assert look.leaf(seq) == leaf
        assert look.entry_on("https://example.org/a") is None
        assert look.row("SELECT * FROM other WHERE of = ?", seq)["kind"] == "redecision"


@pytest.mark.parametrize("octets", [b"", b"SQLite format 3\0" + b"\xff" * 4_000, b"no database at all" * 300])
def test_damaged_index_is_made_again(whole, path, octets):
    path.parent.mkdir(parents=True)
    path.write_bytes(octets)
    update(whole, path)
    with Lookup.open(whole, path) as look:
        assert look.entry_on("https://example.org/a") is not None


def test_index_inside_the_folder_under_examination_is_not_used(whole, path, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (whole / "index.sqlite").write_bytes(b"planted")
    before = sorted(one for one in whole.rglob("*"))
    ran = CliRunner().invoke(app, ["index", str(whole), "--json"])
    assert ran.exit_code == 0, ran.output
    (told,) = json.loads(ran.output)
    assert told["index"].startswith(str(tmp_path / "cache" / "knockfirst"))
    assert told["entries"] == told["new"] > 5
    assert sorted(one for one in whole.rglob("*")) == before
    again = json.loads(CliRunner().invoke(app, ["index", str(whole), "--json"]).output)
    assert (again[0]["entries"], again[0]["new"]) == (told["entries"], 0)


def test_folder_without_a_log_has_no_index(tmp_path):
    ran = CliRunner().invoke(app, ["index", str(tmp_path), "--index", str(tmp_path / "x")])
    assert ran.exit_code == 2
    assert str(tmp_path) in ran.output
    assert not (tmp_path / "x").exists()


def test_two_at_once_make_one_index(whole, path):
    import fcntl

    path.parent.mkdir(parents=True)
    with path.with_suffix(".lock").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert not update(whole, path)
    assert update(whole, path)


def test_urls_and_digests_are_found(whole, path):
    update(whole, path)
    leaves = list(read_leaves(whole / "log"))
    with Lookup.open(whole, path) as look:
        for leaf in leaves:
            assert leaf.seq in {row["seq"] for row in look.with_digest(f"sha256:{leaf.hash.hex()}", 5)}
            if isinstance(leaf.entry, DecisionEntry):
                assert look.entry_on(leaf.entry.url) == leaf.seq
                for pointer in leaf.entry.warc:
                    if pointer.type == "response":
                        assert leaf.seq in {row["seq"] for row in look.with_digest(pointer.pd, 5)}
        assert look.with_digest("sha256:" + "0" * 64, 5) == []
        assert look.with_digest("no digest", 5) == []
        assert look.entry_on("https://example.org/never") is None


def test_redecision_is_found_by_the_entry_it_changes(crawled, path):
    of = crawled.decide()
    crawled.enter(
        RedecisionEntry, of=of, url="https://example.org/2", verdict=Verdict.REFUSED, reason="x.y", why="w", config=1
    )
    crawled.log.close()
    update(crawled.out, path)
    with Lookup.open(crawled.out, path) as look:
        assert look.row("SELECT seq FROM other WHERE of = ?", of)["seq"] == of + 1


def test_place_of_an_index_depends_on_folder_and_key(whole, tmp_path, new_folder):
    other = new_folder(7)
    other.finish()
    assert index_path(whole, tmp_path) == index_path(whole / ".." / whole.name, tmp_path)
    assert index_path(whole, tmp_path) != index_path(other.out, tmp_path)


def test_log_with_a_segment_missing_is_indexed_as_having_a_fault(crawled, path):
    crawled.finish()
    segment = crawled.out / "log" / "seg-00000000.jsonl"
    segment.rename(segment.with_name("seg-00000001.jsonl"))
    update(crawled.out, path)
    with Lookup.open(crawled.out, path) as look:
        assert (look.size, "missing" in look.fault) == (0, True)
    segment.with_name("seg-00000001.jsonl").rename(segment)
    update(crawled.out, path)
    with Lookup.open(crawled.out, path) as look:
        assert look.size > 0
        assert look.fault == ""


def test_log_that_did_not_change_is_not_read_again(whole, path, monkeypatch):
    update(whole, path)
    monkeypatch.setattr("provenance.index.segments", None)
    assert update(whole, path)


def test_question_that_takes_too_long_is_given_up(whole, path):
    update(whole, path)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    with pytest.raises(OSError, match="takes too long"), Lookup.open(whole, path) as look:
        look.rows(endless)
