"""The tamper matrix: every way to alter an output folder, found by the level that should find it; no false alarm.

As one command, clean logs included: `python -m pytest tests/integration/test_tamper*.py`, once through; with
`TAMPER_ROUNDS=20` each alteration at twenty places, and 1,000 clean logs. Some alterations are made by the holder of
the key, who signs again: then level 1 is content, and the other levels must find them.
"""

import base64
import datetime as dt
import gzip
import os
import random
import shutil
from contextlib import closing

import msgspec
import pytest

from provenance import keys
from provenance.anchors import Outside
from provenance.checkpoint import Checkpoint, chain_text, sign
from provenance.entry import ConfigEntry, DecisionEntry, EvidenceEntry, FileEntry, KeyEntry, RunEntry, SealEntry
from provenance.handover import rotate
from provenance.lines import to_line
from provenance.links import finished_files
from provenance.log import LogWriter, read_entries
from provenance.manifest import enter, make, read
from provenance.rules import Rules
from provenance.seal import seal
from provenance.segments import Erased
from provenance.sites import site_tree
from provenance.together import verify_together
from provenance.tree import leaf_hash, root_of
from provenance.verify import VerifyError, verify
from provenance.warcfile import open_regular, read_record
from reservations.model import Verdict

pytestmark = pytest.mark.crawl

ROUNDS = int(os.environ.get("TAMPER_ROUNDS", "1"))
NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
SEGMENT = "log/seg-00000000.jsonl"
REPLACED = ("checkpoint", "checkpoints", "seg-00000000.jsonl", "log.vkey")


class Folder:
    """A copy of a finished crawl's output, to be altered."""

    def __init__(self, out, key, chance):
        self.out, self.key, self.chance = out, key, chance
        self.given = (out / "log/log.vkey").read_text()
        self.kept_elsewhere = (out / "log/checkpoint").read_bytes()
        self.entries = [entry for _, entry in read_entries(out / "log")]

    def lines(self):
        return (self.out / SEGMENT).read_bytes().splitlines(keepends=True)

    def write(self, lines):
        (self.out / SEGMENT).write_bytes(b"".join(lines))

    def some(self, kind, fits=lambda _: True):
        return self.chance.choice([entry for entry in self.entries if isinstance(entry, kind) and fits(entry)])

    def sign_again(self, change, key=None):
        """Write the log anew as the holder of a key can: every figure in the seal, every hash and signature right."""
        origin = verify(self.out, ["L1"]).origin
        for name in REPLACED:
            (self.out / "log" / name).unlink()
        log = LogWriter.open(self.out / "log", origin, key or self.key)
        counts, finals = {}, {}
        for old in self.entries:
            entry = change(old)
            if entry is None:
                continue
            entry = msgspec.structs.replace(entry, seq=log.next_seq)
            if isinstance(entry, DecisionEntry):
                counts[entry.verdict] = counts.get(entry.verdict, 0) + 1
                if entry.final:
                    finals[entry.verdict] = finals.get(entry.verdict, 0) + 1
            elif isinstance(entry, SealEntry):
                log.sync()
                with closing(site_tree(self.out / "log")) as tree:
                    entry = msgspec.structs.replace(entry, counts=counts, finals=finals, sites=tree.summary())
            elif entry.seq == 0:
                entry = msgspec.structs.replace(entry, key=log.verifier.line())
            log.append(entry)
        log.close()

    def changed(self, target, **fields):
        return lambda entry: msgspec.structs.replace(entry, **fields) if entry.seq == target.seq else entry

    def record(self, pointer):
        with open_regular(self.out / pointer.f) as file:
            return read_record(file, pointer.o)

    def put(self, pointer, octets):
        """Put other octets in the place of a stored record."""
        path = self.out / pointer.f
        whole = path.read_bytes()
        path.write_bytes(whole[: pointer.o] + octets + whole[pointer.o + pointer.l :])


def is_kept(entry):
    return entry.verdict is Verdict.KEPT


# -- by anybody: the log no longer fits its signatures -----------------------------------------------------------------


def edit(folder):
    lines = folder.lines()
    at = folder.chance.randrange(len(lines))
    place = folder.chance.randrange(len(lines[at]) - 1)
    lines[at] = lines[at][:place] + bytes([lines[at][place] ^ 1]) + lines[at][place + 1 :]
    folder.write(lines)


def swap(folder):
    lines = folder.lines()
    one, other = folder.chance.sample(range(len(lines)), 2)
    lines[one], lines[other] = lines[other], lines[one]
    folder.write(lines)


def insert(folder):
    lines = folder.lines()
    lines.insert(folder.chance.randrange(len(lines)), folder.chance.choice(lines))
    folder.write(lines)


def delete(folder):
    lines = folder.lines()
    del lines[folder.chance.randrange(len(lines))]
    folder.write(lines)


def cut_anywhere(folder):
    path = folder.out / SEGMENT
    octets = path.read_bytes()
    path.write_bytes(octets[: folder.chance.randrange(len(octets))])


def replay_an_old_segment(folder):
    lines = folder.lines()
    folder.write(lines[: len(lines) // 2] + lines[: len(lines) - len(lines) // 2])


def foreign_key(folder):
    folder.sign_again(lambda entry: entry, keys.generate(folder.out.parent / "foreign" / "key"))


def change_the_key_to_a_foreign_one(folder):
    """As somebody who has not the key: an entry, a checkpoint by the foreign key, and that in the list."""
    foreign = keys.generate(folder.out.parent / "foreign" / "key")
    last, origin = folder.entries[-1], verify(folder.out, ["L1"]).origin
    own, new = folder.key.verifier(origin), foreign.verifier(origin)
    entry = KeyEntry(v=1, seq=last.seq + 1, n="A" * 22, ts=last.ts, run=last.run, key=new.line())
    lines = [line[:-1] for line in folder.lines()] + [to_line(entry)]
    folder.write([line + b"\n" for line in lines])
    root = root_of([leaf_hash(line) for line in lines])
    note = sign(Checkpoint(origin=origin, size=len(lines), root=root), foreign.private)
    (folder.out / "log/checkpoint").write_bytes(note)
    with (folder.out / "log/checkpoints").open("ab") as file:
        file.write(note + b"\n")
    (folder.out / "log/log.vkey").write_text(chain_text([own, new]))


def drop_the_newest_checkpoint(folder):
    (folder.out / "log/checkpoint").unlink()
    (folder.out / "log/checkpoints").unlink()


def erase_a_text_without_an_entry(folder):
    lines = folder.lines()
    at = folder.some(DecisionEntry).seq
    hashes = [base64.b64encode(leaf_hash(text)).decode() for text in (lines[at][:-1], b"s", b"u")]
    lines[at] = Erased(seq=at, h=hashes[0], s=hashes[1], u=hashes[2], by=len(lines) - 1).line() + b"\n"
    folder.write(lines)


# -- by anybody: the WARC files no longer fit the log ------------------------------------------------------------------


def edit_a_record(folder):
    pointer = folder.some(DecisionEntry, is_kept).warc[0]
    record = folder.record(pointer)
    plain = gzip.decompress((folder.out / pointer.f).read_bytes()[pointer.o : pointer.o + pointer.l])
    assert record.block in plain
    folder.put(pointer, gzip.compress(plain.replace(b"HTTP/1.1 200", b"HTTP/1.1 201", 1)))


def drop_a_record(folder):
    folder.put(folder.some(DecisionEntry, lambda entry: entry.warc).warc[0], b"")


def double_a_record(folder):
    pointer = folder.some(DecisionEntry, is_kept).warc[0]
    member = (folder.out / pointer.f).read_bytes()[pointer.o : pointer.o + pointer.l]
    folder.put(pointer, member * 2)


def add_a_record(folder):
    pointer = folder.some(DecisionEntry, is_kept).warc[0]
    member = (folder.out / pointer.f).read_bytes()[pointer.o : pointer.o + pointer.l]
    other = gzip.decompress(member).replace(pointer.id.encode(), b"urn:uuid:00000000-0000-4000-8000-000000000000")
    folder.put(pointer, member + gzip.compress(other))


def remove_a_file(folder):
    (folder.out / folder.some(FileEntry).f).unlink()


def add_a_file(folder):
    name = folder.some(FileEntry).f
    shutil.copy(folder.out / name, folder.out / name.replace(".warc.gz", "-x.warc.gz"))


def change_a_warc_header(folder):
    pointer = folder.some(DecisionEntry, is_kept).warc[0]
    member = (folder.out / pointer.f).read_bytes()[pointer.o : pointer.o + pointer.l]
    folder.put(pointer, gzip.compress(gzip.decompress(member).replace(b"WARC-Date: 2", b"WARC-Date: 1", 1)))


# -- by the holder of the key, who signs again -------------------------------------------------------------------------


def files_again(folder):
    """The digests of the files as they are now."""
    found = {name: (size, digest) for name, size, digest in finished_files(folder.out, set())}

    def change(entry):
        if isinstance(entry, FileEntry):
            return msgspec.structs.replace(entry, size=found[entry.f][0], d=found[entry.f][1])
        return entry

    return change


def edit_a_record_and_sign(folder):
    edit_a_record(folder)
    folder.sign_again(files_again(folder))


def drop_a_record_and_sign(folder):
    drop_a_record(folder)
    folder.sign_again(files_again(folder))


def add_a_record_and_sign(folder):
    add_a_record(folder)
    folder.sign_again(files_again(folder))


def point_to_another_record(folder):
    one, other = (folder.some(DecisionEntry, lambda e, n=n: is_kept(e) and e.seq % 2 == n) for n in (0, 1))
    folder.sign_again(folder.changed(one, warc=other.warc))


def swap_evidence(folder):
    robots = [
        e for e in folder.entries if isinstance(e, EvidenceEntry) and e.key == "/robots.txt" and e.d and e.st == 200
    ]
    one, other = folder.chance.sample(robots, 2)
    swapped = {one.seq: other.warc, other.seq: one.warc}
    folder.sign_again(
        lambda e: msgspec.structs.replace(e, warc=swapped[e.seq]) if e.seq in swapped else e,
    )


def leave_an_entry_out(folder):
    last = [e for e in folder.entries if isinstance(e, DecisionEntry) and e.final][-1]
    assert last.final
    folder.sign_again(lambda entry: None if entry.seq == last.seq else entry)


def turn_a_verdict(folder):
    refused = folder.some(DecisionEntry, lambda e: e.verdict is Verdict.REFUSED and e.gate == "origin")
    folder.sign_again(folder.changed(refused, verdict=Verdict.HELD))


def turn_a_reason(folder):
    folder.sign_again(folder.changed(folder.some(DecisionEntry, is_kept), reason="payload.identical"))


def leave_a_signal_out(folder):
    # Of a page whose body was not kept, nothing shows that it said more than the entry repeats: L4 alone finds that.
    refused = folder.some(DecisionEntry, lambda e: e.signals and e.gate in {"origin", "head"})
    folder.sign_again(folder.changed(refused, signals=refused.signals[1:]))


def invent_a_signal(folder):
    refused = folder.some(DecisionEntry, lambda e: e.signals and e.gate == "origin")
    kept = folder.some(DecisionEntry, lambda e: is_kept(e) and not e.signals)
    folder.sign_again(folder.changed(kept, signals=refused.signals))


def change_the_rule_s_line(folder):
    refused = folder.some(DecisionEntry, lambda e: e.signals and e.signals[0].rule and e.gate == "origin")
    signal = msgspec.structs.replace(refused.signals[0], rule="Disallow: /elsewhere")
    folder.sign_again(folder.changed(refused, signals=(signal, *refused.signals[1:])))


def put_other_rules_in_the_place(folder):
    config = folder.some(ConfigEntry)
    path = folder.out / f"log/rules/{config.rules[7:]}.json"
    rules = Rules.load(tokens=("KnockfirstBot",))
    path.write_bytes(rules.bundle.encode())


def name_other_rules(folder):
    rules = Rules.load(tokens=("KnockfirstBot",))
    (folder.out / f"log/rules/{rules.digest[7:]}.json").write_bytes(rules.bundle.encode())
    digests = {"rules": rules.digest, "policy": rules.policy.digest, "protocols": rules.registry.digest}
    folder.sign_again(folder.changed(folder.some(ConfigEntry), blocklist="", **digests))


def claim_an_earlier_word_was_not_the_last(folder):
    folder.sign_again(folder.changed(folder.some(DecisionEntry, lambda e: e.final), final=False))


def rewrite_and_sign(folder):
    folder.sign_again(folder.changed(folder.some(DecisionEntry, lambda e: e.final), depth=77))


def rewrite_the_seal_s_tree(folder):
    entry = msgspec.structs.replace(folder.entries[-1], sites=msgspec.structs.replace(folder.entries[-1].sites, size=1))
    origin = verify(folder.out, ["L1"]).origin
    for name in REPLACED:
        (folder.out / "log" / name).unlink()
    log = LogWriter.open(folder.out / "log", origin, folder.key)
    for old in [*folder.entries[:-1], entry]:
        log.append(old)
    log.close()


#: Alteration, and the level that must find it.
MATRIX = {
    edit: "L1",
    swap: "L1",
    insert: "L1",
    delete: "L1",
    cut_anywhere: "L1",
    replay_an_old_segment: "L1",
    foreign_key: "L1",
    change_the_key_to_a_foreign_one: "L1",
    drop_the_newest_checkpoint: "L1",
    erase_a_text_without_an_entry: "L1",
    edit_a_record: "L2",
    drop_a_record: "L2",
    double_a_record: "L2",
    add_a_record: "L2",
    remove_a_file: "L2",
    add_a_file: "L2",
    change_a_warc_header: "L2",
    edit_a_record_and_sign: "L2",
    drop_a_record_and_sign: "L2",
    add_a_record_and_sign: "L2",
    point_to_another_record: "L2",
    swap_evidence: "L2",
    leave_an_entry_out: "L4",
    claim_an_earlier_word_was_not_the_last: "L2",
    rewrite_the_seal_s_tree: "L2",
    turn_a_verdict: "L3",
    turn_a_reason: "L3",
    leave_a_signal_out: "L3",
    invent_a_signal: "L3",
    change_the_rule_s_line: "L3",
    put_other_rules_in_the_place: "L3",
    name_other_rules: "L3",
    rewrite_and_sign: "L4",
}
#: The holder of the key signs again: found inside by the level named, and always by an older checkpoint.
SIGNED_AGAIN = frozenset(list(MATRIX)[list(MATRIX).index(edit_a_record_and_sign) :]) - {put_other_rules_in_the_place}


@pytest.fixture(scope="module")
def crawled(demo_crawl):
    return demo_crawl.out, keys.load(demo_crawl.key)


@pytest.mark.parametrize("round_", range(ROUNDS))
@pytest.mark.parametrize("alter", MATRIX, ids=lambda alter: alter.__name__)
def test_alteration_is_found_by_the_level_that_should_find_it(crawled, tmp_path, alter, round_):
    out, key = crawled
    folder = Folder(shutil.copytree(out, tmp_path / "out"), key, random.Random(f"{alter.__name__} {round_}"))
    alter(folder)
    outside = Outside(checkpoints=(("kept elsewhere", folder.kept_elsewhere),))
    report = verify(folder.out, key=folder.given, outside=outside)
    found = {level.name: level.differences for level in report.levels if not level.ok}
    assert MATRIX[alter] in found, found
    if alter in SIGNED_AGAIN:
        assert "L1" not in found
        assert "L4" in found


def test_untouched_folder_is_clean_open_and_sealed(crawled, tmp_path):
    out, _ = crawled
    outside = Outside(checkpoints=(("kept elsewhere", (out / "log/checkpoint").read_bytes()),))
    copy = shutil.copytree(out, tmp_path / "out")
    for _ in range(2):
        report = verify(copy, outside=outside)
        assert report.clean, [level.differences for level in report.levels]
        replayed = report.levels[2].counts
        assert set(replayed) <= {"read again from bytes", "decided again from recorded signals"}
        assert sum(replayed.values()) == report.levels[1].counts["decisions"]
        seal(copy / "log")


def test_key_changed_by_its_holder_is_no_alarm(crawled, tmp_path):
    out, key = crawled
    copy = shutil.copytree(out, tmp_path / "out")
    line = (out / "log/log.vkey").read_text()
    rotate(copy / "log", key, keys.generate(tmp_path / "new" / "key"), "yearly", now=NOW)
    for given in (line, (copy / "log/log.vkey").read_text().splitlines()[-1]):
        assert verify(copy, key=given).clean


# -- several workers, under one manifest -------------------------------------------------------------------------------


class Set:
    """The folders of a crawl's workers, of which the second got nothing to do, and the manifest over them."""

    def __init__(self, out, key, folder):
        self.key, self.folder = key, folder
        self.outs = [shutil.copytree(out, folder / "w1"), folder / "w2"]
        self.idle(self.outs[1], "w2")
        self.manifest = folder / "all"
        enter(self.manifest, make(self.outs, now=NOW), key)
        self.given = (self.manifest / "log/log.vkey").read_text()

    def idle(self, out, name, **told):
        """Write the folder of a worker that claimed nothing."""
        origin = f"{verify(self.outs[0], ['L1']).origin.rpartition('/')[0]}/{name}"
        log = LogWriter.open(out / "log", origin, self.key)
        shutil.copytree(self.outs[0] / "log/rules", out / "log/rules")
        for _, entry in read_entries(self.outs[0] / "log"):
            if not isinstance(entry, RunEntry | ConfigEntry | SealEntry):
                continue
            fields = {"seq": log.next_seq}
            if isinstance(entry, RunEntry):
                fields |= {"origin": origin, "key": log.verifier.line(), **told}
            if isinstance(entry, SealEntry):
                log.sync()
                with closing(site_tree(out / "log")) as tree:
                    fields |= {"counts": {}, "finals": {}, "counted": {}, "files": 0, "sites": tree.summary()}
            log.append(msgspec.structs.replace(entry, **fields))
        log.close()
        return out

    def found(self):
        """Where something is found: in the set, in a folder's or the run log's level, or nothing can be read."""
        try:
            result = verify_together(self.outs, ["L1", "L2", "L4"], manifest=self.manifest, keys=[self.given])
        except VerifyError:
            return {"refused"}
        levels = {f"w{n}": report.levels for n, report in enumerate(result.folders, 1)}
        levels |= {"manifest": result.manifest.levels, "set": [result.level]}
        return {f"{name} {level.name}" for name, some in levels.items() for level in some if not level.ok}


def edit_the_manifest(of):
    [path] = (of.manifest / "manifests").iterdir()
    path.write_bytes(path.read_bytes().replace(b'"end": "finished"', b'"end": "crashed"', 1))


def drop_a_worker(of):
    of.outs.pop()


def add_a_worker(of):
    of.outs.append(of.idle(of.folder / "w3", "w3"))


def double_a_worker(of):
    of.outs.append(shutil.copytree(of.outs[0], of.folder / "again"))


def write_a_worker_s_log_anew(of):
    shutil.rmtree(of.outs[1])
    of.idle(of.outs[1], "w2", operator="Somebody else")


def sign_the_manifest_by_a_foreign_key(of):
    manifest = read(of.manifest)
    shutil.rmtree(of.manifest)
    enter(of.manifest, manifest, keys.generate(of.folder / "foreign" / "key"))


def leave_files_out_of_the_manifest(of):
    manifest = read(of.manifest)
    first, *rest = manifest.workers
    workers = (msgspec.structs.replace(first, files=first.files[1:]), *rest)
    enter(of.manifest, msgspec.structs.replace(manifest, workers=workers), of.key)


#: Alteration of a set, and where it must be found.
SETS = {
    edit_the_manifest: "refused",
    drop_a_worker: "set together",
    add_a_worker: "set together",
    double_a_worker: "set together",
    write_a_worker_s_log_anew: "w2 L4",
    sign_the_manifest_by_a_foreign_key: "manifest L1",
    leave_files_out_of_the_manifest: "set together",
}


@pytest.mark.parametrize("alter", SETS, ids=lambda alter: alter.__name__)
def test_alteration_of_a_set_is_found_where_it_should_be(crawled, tmp_path, alter):
    of = Set(*crawled, tmp_path)
    alter(of)
    assert SETS[alter] in of.found()


def test_untouched_set_is_clean(crawled, tmp_path):
    assert Set(*crawled, tmp_path).found() == set()
