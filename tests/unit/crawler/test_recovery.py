"""What one pass over the log tells the next start, and files that are whole or not there."""

import gzip

from crawler.frontier.errand import Errand, found
from crawler.frontier.interface import Lease
from crawler.masks import Masks
from crawler.recovery import Found, count, errand_of, interrupted, named_by, repair_warcs
from crawler.visit import Visit
from provenance import entry as leaves
from provenance.rules import Rules
from reservations.model import Category, Hop, Verdict

URL = "https://a.example/x?b=1"
LEASES = [Lease(id=7, url=URL, authority="https://a.example", payload="", attempt=2, priority=0)]


def head(seq):
    return {"v": leaves.VERSION, "seq": seq, "n": "A" * 22, "ts": leaves.timestamp(0), "run": "r"}


def decision(seq, lease, verdict=Verdict.KEPT, **fields):
    known = {
        "reason": "policy.open",
        "gate": "body",
        "final": verdict is not Verdict.DEFERRED,
    }
    ours = {"url": URL, "via": "seed", "agent": "KnockfirstBot", "purposes": (Category.GENAI_TRAIN,), "config": 0}
    return leaves.DecisionEntry(**head(seq), lease=lease, verdict=verdict, **{**known, **ours, **fields})


def pointer(file, offset, length):
    return leaves.Pointer(f=file, o=offset, l=length, id=f"urn:uuid:{offset}", type="response", d="sha256:0")


def told(*entries):
    seen = Found.of(LEASES)
    for entry in entries:
        seen.visit(entry)
    return seen


def test_last_entry_of_an_open_lease_is_remembered_and_interruptions_are_not():
    seen = told(
        decision(0, 6),
        decision(1, 7, Verdict.DEFERRED),
        decision(2, 7),
        decision(3, 7, Verdict.FAILED, reason="crawl.interrupted", final=False),
    )
    assert seen.last[7].seq == 2
    assert 6 not in seen.last


def test_stored_page_stays_the_one_to_supersede_when_a_further_attempt_was_deferred():
    seen = told(decision(0, 7), decision(1, 7, Verdict.DEFERRED))
    assert seen.last[7].seq == 0
    assert seen.attempted[7] == 1


def test_coverage_of_a_file_is_the_end_of_its_last_pointer_of_whatever_entry():
    first = decision(0, 1, warc=(pointer("warc/a", 0, 100), pointer("warc/a", 100, 50)))
    later = decision(1, 2, warc=(pointer("evidence/b", 0, 10), pointer("warc/a", 40, 20)))
    assert told(first, later).covered == {"warc/a": 150, "evidence/b": 10}


def test_figures_count_finals_without_what_was_superseded():
    seen = told(decision(0, 1), decision(1, 2, Verdict.DEFERRED), decision(2, 1, Verdict.ABSENT, supersedes=0))
    assert seen.counts == {Verdict.KEPT: 1, Verdict.DEFERRED: 1, Verdict.ABSENT: 1}
    assert seen.finals == {Verdict.ABSENT: 1}


def test_figures_are_right_where_erased_entries_are_not_shown():
    seen = told(decision(3, 1), decision(9, 1, supersedes=3))
    assert seen.finals == {Verdict.KEPT: 1}


def test_files_and_runs_are_noted():
    seen = told(leaves.FileEntry(**head(0), f="warc/a", size=1, d="sha256:0"))
    assert seen.files == {"warc/a"}
    assert seen.last_run is None


def test_count_leaves_out_what_nothing_has():
    counts = {}
    count(counts, Verdict.KEPT)
    count(counts, Verdict.KEPT, -1)
    assert counts == {}


def test_open_files_of_both_folders_are_cut_where_the_log_ends(tmp_path):
    member = gzip.compress(b"x")
    for folder in ("warc", "evidence"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.warc.gz.open").write_bytes(member + b"torn")
    seen = Found.of([])
    seen.covered = {"warc/a.warc.gz": len(member)}
    repairs = repair_warcs(tmp_path, seen)
    assert [path.name for path in (tmp_path / "warc").iterdir()] == ["a.warc.gz"]
    assert (tmp_path / "warc" / "a.warc.gz").read_bytes() == member
    assert list((tmp_path / "evidence").iterdir()) == []
    assert repairs[0] == "warc/a.warc.gz cut, 4 bytes dropped"
    assert repairs[1:] == [f"evidence/a.warc.gz removed, {len(member) + 4} bytes dropped"]


def test_errand_of_a_lease_is_the_one_that_was_pushed():
    errand = Errand(via="link", depth=3, root="a.example", src=5)
    lease = Lease(1, URL, "https://a.example", found(URL, errand).payload, 1, 0)
    assert errand_of(lease) == errand
    assert errand_of(LEASES[0]) == Errand(via="seed")


def test_entry_of_an_interrupted_attempt_is_not_final_and_bears_its_lease():
    visit, rules = Visit(LEASES[0], Errand(via="link", depth=1)), Rules.load(tokens=("KnockfirstBot",))
    fields = interrupted(visit, rules, Masks(rules.policy, b"key"), "w1")
    entry = leaves.DecisionEntry(**head(0), config=0, **fields)
    assert (entry.verdict, entry.reason, entry.final) == (Verdict.FAILED, "crawl.interrupted", False)
    assert (entry.lease, entry.attempt, entry.via, entry.depth) == (7, 2, "link", 1)


def test_redirects_of_another_workers_log_are_entered_masked():
    hop = Hop(URL, 302, URL + "&access_token=s3cret")
    masks = Masks(Rules.load(tokens=("KnockfirstBot",)).policy, b"key")
    errand = Errand(via="redirect", src=4, log="w2", hops=(hop,))
    named = named_by(errand, "w1", masks)
    assert named == {"src": 4, "src_log": "w2", "hops": masks.hops([hop])}
    assert "s3cret" not in str(named)
    assert named_by(errand, "w2", masks) == {"src": 4}
