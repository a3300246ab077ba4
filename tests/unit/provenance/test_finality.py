"""One last word on every URL over the logs of several workers."""

from contextlib import closing

import msgspec

from provenance.finality import LastWords, Place, superseded

URL = "https://example.org/a"


def told(*words):
    return [(one.origin, one.seq, one.by) for one in superseded(words)]


def test_highest_lease_holds_whatever_the_order_of_the_logs(entries):
    words = [
        ("w1", entries(5, url=URL, final=True, lease=10)),
        ("w2", entries(3, url=URL, final=True, lease=57)),
        ("w2", entries(4, final=True, lease=11)),
    ]
    assert told(*words) == told(words[1], words[2], words[0]) == [("w1", 5, Place("w2", 3))]


def test_attempt_that_is_not_final_replaces_nothing(entries):
    assert told(("w1", entries(5, url=URL, final=True, lease=1)), ("w2", entries(3, url=URL, lease=9))) == []


def test_same_url_in_another_run_is_another_matter(entries):
    assert told(("w1", entries(5, url=URL, final=True)), ("w2", entries(3, url=URL, final=True, run="r2"))) == []


def test_entry_that_names_the_one_it_supersedes_needs_no_rule(entries):
    words = [
        ("w1", entries(2, url=URL, final=True, lease=7)),
        ("w1", entries(3, url=URL, final=True, lease=7, supersedes=2)),
        ("w2", entries(1, url=URL, final=True, lease=4)),
    ]
    assert told(*words) == [("w1", 2, Place("w1", 3)), ("w2", 1, Place("w1", 3))]


def test_three_last_words_leave_one(entries):
    words = [(f"w{lease}", entries(lease, url=URL, final=True, lease=lease)) for lease in (3, 1, 2)]
    assert sorted(told(*words)) == [("w1", 1, Place("w3", 3)), ("w2", 2, Place("w3", 3))]


def test_urls_without_a_last_word_and_doubled_leases_are_named(entries):
    with closing(LastWords()) as words:
        words.see("w1", entries(2, url=URL, lease=1))
        words.see("w2", entries(3, url=URL, lease=2))
        words.see("w1", entries(4, final=True, lease=3))
        words.see("w2", entries(5, final=True, lease=3))
        assert list(words.open()) == [Place("w1", 2)]
        assert list(words.doubled_leases()) == [3]


def test_superseded_entries_are_json(entries):
    found = superseded(
        [("w1", entries(5, url=URL, final=True, lease=1)), ("w2", entries(3, url=URL, final=True, lease=2))]
    )
    assert msgspec.json.encode(list(found)) == b'[{"origin":"w1","seq":5,"lease":1,"by":{"origin":"w2","seq":3}}]'
