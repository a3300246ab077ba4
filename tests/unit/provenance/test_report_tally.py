"""Reports count last words as they stand now, and only on logs that are sealed and are what was signed."""

import datetime as dt
import json
import typing
from contextlib import closing

import pytest

from provenance import keys
from provenance.entry import ConfigEntry, DecisionEntry, Entry, Http, RedecisionEntry, Weaker
from provenance.erase import Eraser
from provenance.log import read_entries
from provenance.proof import ProofError
from provenance.reports import tally
from provenance.reports.tally import ODD, UNNAMED, read_log
from provenance.seal import seal
from provenance.segments import LogError
from reservations.model import Category, Verdict

NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
OPEN = (Category.GENAI_TRAIN,)


def words(log):
    """Last words by site, verdict and reason: how many, and their octets."""
    found = {}
    for row in log.rows:
        urls, octets = found.get((row.site, row.verdict.value, row.reason), (0, 0))
        found[row.site, row.verdict.value, row.reason] = (urls + row.urls, octets + row.octets)
    return found


@pytest.fixture
def stored(crawled):
    """Enters a page as kept, without its records."""

    def enter(url, octets=100, **fields):
        http = Http(st=200, ct=fields.pop("ct", "text/html; charset=utf-8"), len=octets)
        known = {"verdict": Verdict.KEPT, "reason": "policy.open", "gate": "body", "final": True, "open": OPEN}
        return crawled.decide(url=url, site=url.split("/")[2], http=http, **(known | fields))

    return enter


def test_sealed_log_is_counted_under_the_head_that_was_signed(whole):
    log = read_log(whole)
    assert log.faults == []
    assert log.end == "finished"
    assert log.size == len(list(read_entries(whole / "log")))
    assert words(log) == {
        ("example.org", "kept", "policy.open"): (2, 12 + 8),
        ("example.org", "refused", "robots.disallow"): (1, 0),
    }
    assert log.documents == {("/robots.txt", "200"): 1, ("/.well-known/tdmrep.json", "404"): 1}


def test_reading_tells_how_far_it_is(crawled, stored):
    for number in range(600):
        stored(f"https://a.example/{number}")
    crawled.finish()
    told = []
    read_log(crawled.out, progress=lambda step, done, total: told.append((step, done, total)))
    size = (crawled.out / "log" / "seg-00000000.jsonl").stat().st_size
    assert {step for step, _, _ in told} == {"out"}
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert len({done for _, done, _ in told}) > 2
    assert told[-1][1:] == (size, size)


def test_sealed_segments_are_counted_alike(whole):
    before = read_log(whole)
    seal(whole / "log")
    assert read_log(whole) == before


def test_log_larger_than_a_row_of_the_tree_agrees_with_its_head(crawled, stored):
    for number in range(700):
        stored(f"https://a{number % 7}.example/{number}", number)
    crawled.finish()
    log = read_log(crawled.out)
    assert log.faults == []
    assert sum(row.octets for row in log.rows) == sum(range(700))


def test_entry_that_another_one_supersedes_is_not_counted(crawled, stored):
    first = stored("https://a.example/", 100)
    stored("https://a.example/", 30, supersedes=first)
    crawled.finish()
    assert words(read_log(crawled.out)) == {("a.example", "kept", "policy.open"): (1, 30)}


def test_attempt_that_is_not_the_last_word_is_counted_apart(crawled, stored):
    stored("https://a.example/", verdict=Verdict.DEFERRED, reason="transfer.timeout", final=False)
    stored("https://a.example/")
    crawled.finish()
    log = read_log(crawled.out)
    assert log.attempts == 1
    assert words(log) == {("a.example", "kept", "policy.open"): (1, 100)}


def test_redecision_counts_as_it_says(crawled, stored):
    kept = stored("https://a.example/", 100)
    stored("https://a.example/b", 11)
    crawled.enter(
        RedecisionEntry, of=kept, url="https://a.example/", verdict=Verdict.DISCARDED, reason="blocklist.listed",
        why="a late order", config=1,
    )  # fmt: skip
    crawled.finish()
    log = read_log(crawled.out)
    assert log.changed == 1
    assert words(log) == {
        ("a.example", "kept", "policy.open"): (1, 11),
        ("a.example", "discarded", "blocklist.listed"): (1, 0),
    }
    assert not any(row.training for row in log.rows if row.verdict is Verdict.DISCARDED)


def test_page_whose_records_were_erased_is_not_kept_any_more(whole, key):
    with closing(Eraser(whole, key, url="https://example.org/a", now=NOW)) as eraser:
        eraser.carry_out(eraser.plan_url(text=False), "complaint 7")
    log = read_log(whole)
    assert log.faults == []
    assert words(log)["example.org", "discarded", "record.erased"] == (1, 0)
    assert words(log)["example.org", "kept", "policy.open"] == (1, 8)


def test_page_whose_text_was_erased_counts_without_its_site(whole, key):
    with closing(Eraser(whole, key, url="https://example.org/a", now=NOW)) as eraser:
        eraser.carry_out(eraser.plan_url(text=True), "complaint 7")
    log = read_log(whole)
    assert log.faults == []
    assert log.erased == 1
    assert words(log)["", "discarded", "record.erased"] == (1, 0)
    assert words(log)["example.org", "kept", "policy.open"] == (1, 8)


def test_text_that_is_gone_without_a_word_is_a_fault(whole, key):
    with closing(Eraser(whole, key, url="https://example.org/a", now=NOW)) as eraser:
        eraser.carry_out(eraser.plan_url(text=True), "complaint 7")
    path = whole / "log" / "seg-00000000.jsonl"
    lines = path.read_bytes().split(b"\n")
    (at,) = [at for at, line in enumerate(lines) if line.startswith(b'{"t":"erased"')]
    lines[at] = lines[at].replace(b'"by":', b'"by":1')
    path.write_bytes(b"\n".join(lines))
    assert any("no entry says that it was erased" in fault for fault in read_log(whole).faults)


def test_page_kept_for_another_use_trains_nothing(crawled, stored):
    stored("https://a.example/", open=(Category.SEARCH,))
    stored("https://a.example/b")
    crawled.finish()
    assert sorted((row.training, row.urls) for row in read_log(crawled.out).rows) == [(False, 1), (True, 1)]


def test_identical_payload_counts_once_and_a_teaser_not_at_all(crawled, stored):
    stored("https://a.example/", 100)
    stored("https://b.example/", 100, verdict=Verdict.UNCHANGED, reason="payload.identical")
    stored("https://c.example/", 100, reason="access.teaser")
    crawled.finish()
    assert words(read_log(crawled.out)) == {
        ("a.example", "kept", "policy.open"): (1, 100),
        ("b.example", "unchanged", "payload.identical"): (1, 0),
        ("c.example", "kept", "access.teaser"): (1, 0),
    }


@pytest.mark.parametrize(
    ("declared", "shown"),
    [("Text/HTML ;charset=x", "text/html"), ("", UNNAMED), ("<script>", ODD), ("a/b" * 90, ODD), ("=cmd|x/y", ODD)],
)
def test_media_type_is_shown_without_parameters_or_not_at_all(crawled, stored, declared, shown):
    stored("https://a.example/", ct=declared)
    crawled.finish()
    assert {row.media_type for row in read_log(crawled.out).rows} == {shown}


def test_final_entry_that_another_log_replaces_is_dropped(crawled, stored):
    first = stored("https://a.example/")
    stored("https://b.example/")
    crawled.finish()
    assert words(read_log(crawled.out, dropped=[first])) == {("b.example", "kept", "policy.open"): (1, 100)}


def test_masked_urls_are_counted(crawled, stored):
    stored("https://a.example/?token=masked-1", masked=True, verdict=Verdict.REFUSED, reason="url.secret")
    crawled.finish()
    assert read_log(crawled.out).masked == 1


# -- logs that are not to be relied on ---------------------------------------------------------------------------------


def edit(line):
    return line.replace(b'"verdict":"refused"', b'"verdict":"deferred"')


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: [edit(line) for line in lines], "not those that were signed"),
        (lambda lines: [*lines[:-2], b""], "were signed"),
        (lambda lines: [*lines[:-1], b'{"t":"dec'], "not sealed"),
    ],
)
def test_log_that_was_changed_has_a_fault(whole, change, says):
    path = whole / "log" / "seg-00000000.jsonl"
    path.write_bytes(b"\n".join(change(path.read_bytes().split(b"\n"))))
    log = read_log(whole)
    assert any(says in fault for fault in log.faults), log.faults


def test_log_without_a_seal_or_a_head_has_faults(crawled, stored):
    stored("https://a.example/")
    crawled.log.sync()
    assert len(read_log(crawled.out).faults) == 2
    crawled.log.checkpoint()
    stored("https://b.example/")
    crawled.log.sync()
    faults = read_log(crawled.out).faults
    crawled.log.close()
    assert any("not sealed" in fault for fault in faults)
    assert any("last 1 entries are not signed" in fault for fault in faults)


def test_key_from_elsewhere_is_the_one_that_counts(whole, tmp_path):
    other = keys.generate(tmp_path / "other" / "key").verifier("crawler.example.org/test").line()
    faults = read_log(whole, key=other).faults
    assert any("its newest key is not the one given" in fault for fault in faults)
    assert any("checkpoint" in fault for fault in faults)


def test_folder_without_a_log_cannot_be_read(tmp_path):
    with pytest.raises((ProofError, OSError)):
        read_log(tmp_path)


@pytest.mark.parametrize("line", [b"{}", b"x", b'{"t":"seal","seq":7,"ts":"","run":"","end":"finished"}'])
def test_line_that_is_no_entry_stops_the_reading(whole, line):
    path = whole / "log" / "seg-00000000.jsonl"
    path.write_bytes(line + b"\n" + path.read_bytes())
    with pytest.raises(LogError, match=r"seg-00000000\.jsonl:1"):
        read_log(whole)


def test_weaker_rules_are_known(crawled):
    crawled.enter(
        ConfigEntry, rules="r", policy="p", policy_name="p", protocols="p",
        weaker=(Weaker(rule="tokens = own", approver="A. Berg", reason="test"),),
    )  # fmt: skip
    crawled.finish()
    assert read_log(crawled.out).configs[-1].weaker[0].approver == "A. Berg"


def test_figures_are_those_that_a_plain_count_gives(crawled, stored):
    """The same from whole entries by another way."""
    for number in range(120):
        kept = stored(f"https://s{number % 11}.example/{number}", number * 13)
        if number % 10 == 0:
            stored(f"https://s{number % 11}.example/{number}", number, supersedes=kept)
    crawled.finish()
    entries = [entry for _, entry in read_entries(crawled.out / "log") if isinstance(entry, DecisionEntry)]
    replaced = {entry.supersedes for entry in entries}
    expected = {}
    for entry in entries:
        if entry.final and entry.seq not in replaced:
            urls, octets = expected.get(entry.site, (0, 0))
            expected[entry.site] = (urls + 1, octets + entry.http.len)
    assert {site: figures for (site, _, _), figures in words(read_log(crawled.out)).items()} == expected
    assert json.loads(next(read_entries(crawled.out / "log"))[0])["t"] == "run"


def test_every_type_of_entry_is_known():
    tags = {kind.__struct_config__.tag for kind in typing.get_args(Entry)}
    assert tags == {kind.__struct_config__.tag for kind in typing.get_args(tally._Entry)}


def test_log_stays_sealed_though_its_key_is_changed(whole, key, tmp_path):
    from provenance.handover import rotate

    rotate(whole / "log", key, keys.generate(tmp_path / "new" / "key"), "yearly", now=NOW)
    counted = read_log(whole)
    assert counted.faults == []
    assert counted.size == len(list(read_entries(whole / "log")))
