"""Proofs: what is in a log is proved to be, what is not is proved not to be, and nothing else is."""

import base64
import random
from contextlib import suppress

import msgspec
import pytest
from pymerkle import InmemoryTree, verify_inclusion

from provenance import keys, proof
from provenance.checkpoint import Verifier, open_note
from provenance.entry import DecisionEntry
from provenance.lines import from_line
from provenance.log import LogWriter
from provenance.proof import Proof, ProofError, check, check_consistency, prove_consistency, prove_site, prove_url
from provenance.segments import read_leaves
from provenance.tree import leaf_hash, range_proof, root_of, root_of_range

SITE = "example.org"


@pytest.fixture
def log(crawled):
    for number in range(9):
        crawled.kept(f"https://{'abc'[number % 3]}.example/{number}", b"<p>%d</p>" % number)
    crawled.refused("https://example.org/private/b")
    crawled.finish()
    return crawled.out / "log"


def key_of(log):
    return (log / "log.vkey").read_text().strip()


def test_entry_on_a_url_is_proved(log):
    made = prove_url(log, "https://b.example/4", "b.example").text()
    found = check(made, key_of(log))
    assert found.about.kind == "entry"
    assert found.entry.url == "https://b.example/4"
    assert found.key_given
    assert len(made) < 3072


def test_last_word_on_a_url_is_proved_before_other_attempts(crawled):
    crawled.kept("https://a.example/")
    crawled.decide(url="https://a.example/", verdict="deferred")
    crawled.finish()
    assert check(prove_url(crawled.out / "log", "https://a.example/", "a.example").text()).entry.final


@pytest.mark.parametrize(
    ("url", "site"), [("https://b.example/nothing", "b.example"), ("https://z.example/", "z.example")]
)
def test_absence_of_a_url_is_proved(log, url, site):
    found = check(prove_url(log, url, site).text())
    assert (found.about.kind, found.about.url, found.entries) == ("absent", url, ())


def test_all_entries_of_a_site_are_proved(log):
    found = check(prove_site(log, "c.example").text())
    of_site = [leaf.seq for leaf in read_leaves(log) if getattr(leaf.entry, "site", None) == "c.example"]
    assert [seq for seq, _ in found.entries] == of_site
    assert sum(isinstance(entry, DecisionEntry) for _, entry in found.entries) == 3


def test_site_without_entries_is_proved_to_have_none(log):
    assert check(prove_site(log, "elsewhere.example").text()).entries == ()


def test_proof_of_a_running_crawl_needs_a_signature(crawled):
    crawled.kept("https://a.example/")
    crawled.log.sync()
    with pytest.raises(ProofError, match="nothing is signed"):
        prove_url(crawled.out / "log", "https://a.example/", "a.example")
    crawled.log.checkpoint()
    assert check(prove_url(crawled.out / "log", "https://a.example/", "a.example").text())
    with pytest.raises(ProofError, match="only a seal proves absence"):
        prove_url(crawled.out / "log", "https://a.example/other", "a.example")
    crawled.log.close()


def test_log_that_was_changed_gives_no_proof(log):
    segment = log / "seg-00000000.jsonl"
    segment.write_bytes(segment.read_bytes().replace(b'"run":"r1"', b'"run":"r2"', 1))
    with pytest.raises(ProofError, match="not the one that was signed"):
        prove_url(log, "https://b.example/4", "b.example")


@pytest.mark.parametrize("make", ["entry", "absent", "site"])
def test_any_changed_character_of_a_proof_is_found(log, make):
    makers = {
        "entry": lambda: prove_url(log, "https://b.example/4", "b.example"),
        "absent": lambda: prove_url(log, "https://b.example/x", "b.example"),
        "site": lambda: prove_site(log, "c.example"),
    }
    text, chance = makers[make]().text(), random.Random(make)
    whole = check(text, key_of(log))
    for _ in range(400):
        place = chance.randrange(len(text))
        changed = text[:place] + chance.choice("Aa0+/=\n ") + text[place + 1 :]
        if changed != text:
            with suppress(ProofError):
                assert check(changed, key_of(log)) == whole, changed  # a spare bit of the gzip header


def test_range_without_its_neighbour_or_with_an_entry_left_out_proves_nothing(log):
    whole = prove_site(log, "c.example")
    about = msgspec.json.decode(whole.extra[0], type=proof.About)
    leaves = [proof._octets(leaf) for leaf in about.leaves]

    def with_range(first, end, lines):
        tree = _sorted(log)
        start = about.first + first
        part = tree[start : about.first + end]
        nodes = range_proof([leaf_hash(leaf) for leaf in tree], start, about.first + end)
        changed = msgspec.structs.replace(
            about, first=start, leaves=tuple(map(proof._base64, part)), nodes=tuple(map(proof._base64, nodes))
        )
        extra = (msgspec.json.encode(changed), whole.extra[1], *lines)
        return msgspec.structs.replace(whole, extra=extra).text()

    lines = whole.extra[2:]
    assert check(with_range(0, len(leaves), lines))
    with pytest.raises(ProofError, match="before the range"):
        check(with_range(2, len(leaves), lines[1:]))
    with pytest.raises(ProofError, match="behind the range"):
        check(with_range(0, len(leaves) - 2, lines[:-1]))
    with pytest.raises(ProofError, match="lines"):
        check(with_range(0, len(leaves), lines[:-1]))
    with pytest.raises(ProofError, match="not the one in the log"):
        check(with_range(0, len(leaves), (lines[1], lines[0], *lines[2:])))


def _sorted(log):
    seal = next(leaf for leaf in read_leaves(log) if type(leaf.entry).__name__ == "SealEntry")
    return list(proof.site_tree(log, seal.seq).leaves())


def test_absence_claimed_of_what_is_there_proves_nothing(log):
    made = prove_site(log, "c.example")
    about = msgspec.json.decode(made.extra[0], type=proof.About)
    changed = msgspec.structs.replace(about, kind="absent", url="https://c.example/2")
    with pytest.raises(ProofError):
        check(msgspec.structs.replace(made, extra=(msgspec.json.encode(changed), *made.extra[1:2])).text())


def test_other_key_does_not_check(log, tmp_path):
    other = keys.generate(tmp_path / "other.key").verifier("crawler.example.org/test")
    with pytest.raises(ProofError, match="0 signatures"):
        check(prove_url(log, "https://b.example/4", "b.example").text(), other.line())


@pytest.mark.parametrize("text", ["", "c2sp.org/tlog-proof@v1\n\n", "c2sp.org/tlog-proof@v1\nextra !\nindex 1\n\nx\n"])
def test_file_that_is_no_proof_is_refused(text):
    with pytest.raises(ProofError):
        check(text)


def test_bomb_in_a_proof_is_not_inflated(log, monkeypatch):
    monkeypatch.setattr(proof, "_MAX_EXTRA_BYTES", 1000)
    made = prove_url(log, "https://b.example/4", "b.example")
    bomb = msgspec.structs.replace(made, extra=(*made.extra, b"0" * 10_000))
    with pytest.raises(ProofError, match="inflates to too much"):
        Proof.parse(bomb.text())


# -- consistency -------------------------------------------------------------------------------------------------------


def test_older_checkpoint_is_extended(crawled):
    crawled.kept("https://a.example/")
    crawled.log.sync()
    crawled.log.checkpoint()
    old = (crawled.out / "log/checkpoint").read_bytes()
    crawled.kept("https://b.example/")
    crawled.finish()
    text, before, after = prove_consistency(crawled.out / "log", old)
    assert (before.size, after.size) == (5, crawled.log.next_seq)
    verifier = Verifier.parse(key_of(crawled.out / "log"))
    assert check_consistency(text, [verifier]) == (before, after)
    chance = random.Random(3)
    for _ in range(200):
        place = chance.randrange(len(text))
        with pytest.raises(ProofError):
            check_consistency(text[:place] + "~" + text[place + 1 :], [verifier])


def test_log_written_anew_contradicts_the_older_checkpoint(log, key):
    old = (log / "checkpoint").read_bytes()
    lines = [leaf.line for leaf in read_leaves(log)]
    for name in ("checkpoint", "checkpoints", "seg-00000000.jsonl"):
        (log / name).unlink()
    writer = LogWriter.open(log, "crawler.example.org/test", key)
    for line in lines:
        writer.append(from_line(line.replace(b'"r1"', b'"r2"')))
    writer.close()
    with pytest.raises(ProofError, match="written anew"):
        prove_consistency(log, old)


# -- against an independent implementation -----------------------------------------------------------------------------


def test_paths_are_those_of_pymerkle(log):
    leaves = list(read_leaves(log))
    tree = InmemoryTree(algorithm="sha256")
    for leaf in leaves:
        tree.append_entry(leaf.line)
    head = open_note((log / "checkpoint").read_bytes(), Verifier.parse(key_of(log)))
    assert tree.get_root(head.size) == head.root
    for leaf in leaves:
        made = proof.prove_entry(log, leaf.seq)
        theirs = tree.prove_inclusion(leaf.seq + 1, head.size)
        verify_inclusion(leaf_hash(leaf.line), head.root, theirs)
        assert list(made.path) == theirs.path[1:]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13])
def test_every_range_leads_to_the_root_and_no_other_does(size):
    leaves = [leaf_hash(b"%d" % number) for number in range(size)]
    for first in range(size):
        for end in range(first + 1, size + 1):
            nodes = range_proof(leaves, first, end)
            inside = leaves[first:end]
            assert root_of_range(size, first, inside, nodes) == root_of(leaves)
            assert root_of_range(size, first, inside, [*nodes, b"x"]) is None
            if first:
                assert root_of_range(size, first - 1, inside, nodes) != root_of(leaves)


def test_proof_is_ascii_but_for_the_signature_dash(log):
    text = prove_url(log, "https://b.example/4", "b.example").text()
    assert text.replace("—", "-").isascii()
    assert base64.b64decode(text.split("\n")[1].removeprefix("extra "))[:2] == b"\x1f\x8b"
