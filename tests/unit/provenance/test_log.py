"""Writing the log: what a crash, a full disk, a second writer or a changed file may and may not do to it."""

import errno
import os
import random
import signal
import subprocess
import sys
import threading
import tracemalloc

import pytest

from provenance import keys
from provenance.checkpoint import open_note
from provenance.lines import from_line
from provenance.log import Disk, LogWriter
from provenance.segments import LogError, read_entries, read_lines, segments
from provenance.tree import Frontier, leaf_hash
from provenance.verify import verify

ORIGIN = "crawler.example.org/log"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def write(folder, key, entries):
    """Opens the log, appends so many entries, and signs after each `every`."""

    def write(count, *, every=0, **options):
        log = LogWriter.open(folder, ORIGIN, key, **options)
        for _ in range(count):
            log.append(entries(log.next_seq))
            if every and log.next_seq % every == 0:
                log.sync()
                log.checkpoint()
        return log

    return write


def die(log):
    """What a killed process leaves: files let go of, nothing signed any more."""
    log._roll()
    log._lock.close()


def read(folder):
    return [entry.seq for _, entry in read_entries(folder)]


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def roots(folder):
    tree = Frontier()
    found = [tree.root()]
    for line, _ in read_entries(folder):
        tree.append(leaf_hash(line))
        found.append(tree.root())
    return found


def assert_consistent(folder, key):
    """Every head that was ever signed is that of the lines on disk."""
    found = roots(folder)
    notes = (folder / "checkpoints").read_bytes() if (folder / "checkpoints").exists() else b""
    blocks = notes.split(b"\n\n")
    for text, signatures in zip(blocks[0::2], blocks[1::2], strict=False):
        head = open_note(text + b"\n\n" + signatures + b"\n", key.verifier(ORIGIN))
        assert head.root == found[head.size]
    if (folder / "checkpoint").exists():
        head = open_note((folder / "checkpoint").read_bytes(), key.verifier(ORIGIN))
        assert head.root == found[head.size]


# -- what it writes ----------------------------------------------------------------------------------------------------


def test_closed_log_holds_every_entry_signed(folder, key, write):
    write(5).close()
    assert read(folder) == list(range(5))
    head = open_note((folder / "checkpoint").read_bytes(), key.verifier(ORIGIN))
    assert (head.origin, head.size, head.root) == (ORIGIN, 5, roots(folder)[5])
    assert (folder / "checkpoints").read_bytes() == (folder / "checkpoint").read_bytes() + b"\n"
    assert (folder / "log.vkey").read_text() == key.verifier(ORIGIN).line() + "\n"


def test_log_goes_on_where_it_ended(folder, key, write):
    write(3).close()
    log = write(0)
    assert log.next_seq == 3
    log.close()
    write(4).close()
    assert read(folder) == list(range(7))
    assert_consistent(folder, key)
    assert len((folder / "checkpoints").read_bytes().split(b"\n\n")) == 2 * 2 + 1


def test_empty_log_is_not_signed(folder, write):
    write(0).close()
    assert sorted(content(folder)) == ["lock", "log.vkey"]
    write(1).close()
    assert read(folder) == [0]


def test_nothing_new_is_not_signed_again(folder, write):
    log = write(2)
    log.sync()
    log.checkpoint()
    before = content(folder)
    log.checkpoint()
    log.close()
    assert content(folder) == before


def test_only_what_is_durable_is_signed(folder, key, write, entries):
    log = write(2)
    log.sync()
    log.append(entries(2))
    log.checkpoint()
    assert open_note((folder / "checkpoint").read_bytes(), key.verifier(ORIGIN)).size == 2
    log.close()


def test_wrong_seq_is_refused_and_log_goes_on(folder, write, entries):
    log = write(2)
    for wrong in (0, 1, 3):
        with pytest.raises(LogError, match="2 is next"):
            log.append(entries(wrong))
    log.append(entries(2))
    log.close()
    assert read(folder) == [0, 1, 2]


def test_segments_are_rolled_at_their_bound(folder, key, write):
    log = write(7, segment_lines=3)
    log.close()
    write(3, every=1, segment_lines=3).close()
    assert [len(list(read_lines(path))) for path in segments(folder)] == [3, 3, 3, 1]
    assert read(folder) == list(range(10))
    assert_consistent(folder, key)


def test_visitor_sees_every_entry_once_in_order(folder, key, write):
    write(5, segment_lines=2).close()
    seen = []
    LogWriter.open(folder, ORIGIN, key, visit=seen.append, segment_lines=2).close()
    assert [entry.seq for entry in seen] == list(range(5))


def test_sync_in_a_thread_while_entries_are_appended_loses_none(folder, key, write, entries):
    log = write(0, segment_lines=500)
    done = threading.Event()

    def syncs():
        while not done.is_set():
            log.sync()
            log.checkpoint()

    thread = threading.Thread(target=syncs)
    thread.start()
    for seq in range(3_000):
        log.append(entries(seq))
    done.set()
    thread.join()
    log.close()
    assert read(folder) == list(range(3_000))
    assert_consistent(folder, key)


def test_memory_does_not_grow_with_entries(folder, key, write, entries):
    log = write(0, disk=NoFsync())

    def thousands(count):
        for _ in range(count * 4):
            for _ in range(250):
                log.append(entries(log.next_seq))
            log.sync()

    thousands(2)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    thousands(8)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    log.close()
    assert grown < 50_000


# -- who may write -----------------------------------------------------------------------------------------------------


def test_second_writer_is_refused_until_first_has_closed(folder, key, write):
    log = write(1)
    with pytest.raises(LogError, match="another process writes"):
        LogWriter.open(folder, ORIGIN, key)
    log.close()
    LogWriter.open(folder, ORIGIN, key).close()


def test_second_process_is_refused(folder, key, write, tmp_path):
    keys.generate(tmp_path / "keys" / "k")
    log = write(1)
    result = subprocess.run(
        [sys.executable, "-c", WRITER, str(folder), str(tmp_path / "keys" / "k"), "1"],
        check=False,
        capture_output=True,
    )
    assert b"another process writes" in result.stderr
    log.close()


@pytest.mark.parametrize("other", ["key", "origin"])
def test_other_key_or_origin_is_refused(folder, key, write, tmp_path, other):
    write(2).close()
    before = content(folder)
    if other == "key":
        key = keys.generate(tmp_path / "keys" / "other")
    with pytest.raises(LogError, match="another origin or key"):
        LogWriter.open(folder, ORIGIN if other == "key" else "crawler.example.org/other", key)
    assert content(folder) == before


def test_log_without_its_verifier_line_is_refused(folder, key, write):
    write(2).close()
    (folder / "log.vkey").unlink()
    with pytest.raises(LogError, match="missing beside a log"):
        LogWriter.open(folder, ORIGIN, key)


def test_closed_log_takes_nothing(write, entries):
    log = write(1)
    log.close()
    with pytest.raises(LogError, match="closed"):
        log.append(entries(1))
    with pytest.raises(LogError, match="closed"):
        log.sync()
    log.close()


def test_bad_origin_is_refused(folder, key):
    with pytest.raises(LogError, match="cannot name a log"):
        LogWriter.open(folder, "two words", key)


# -- what a crash leaves -----------------------------------------------------------------------------------------------


def test_tail_cut_at_every_byte_is_recovered_or_refused(folder, key, write):
    log = write(4, every=2)
    for _ in range(2):
        log.append(log_entry(log))
    log.sync()
    die(log)
    segment = folder / "seg-00000000.jsonl"
    lines = segment.read_bytes()
    starts = [0]
    for line in lines.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for end in range(starts[3], len(lines) + 1):
        segment.write_bytes(lines[:end])
        if end < starts[4]:
            with pytest.raises(LogError, match="of 4 that were signed"):
                LogWriter.open(folder, ORIGIN, key)
            assert segment.read_bytes() == lines[:end]
            continue
        again = LogWriter.open(folder, ORIGIN, key)
        whole = max(index for index, start in enumerate(starts) if start <= end)
        assert again.next_seq == whole
        assert segment.read_bytes() == lines[: starts[whole]]
        die(again)


def log_entry(log):
    from provenance.entry import ConfigEntry, new_nonce, timestamp

    return ConfigEntry(
        v=1,
        seq=log.next_seq,
        n=new_nonce(),
        ts=timestamp(0),
        run="r",
        rules="",
        policy="",
        policy_name="",
        protocols="",
    )


def test_checkpoints_cut_at_every_byte_are_mended(folder, key, write):
    write(4, every=1).close()
    path = folder / "checkpoints"
    whole = path.read_bytes()
    first = whole.index(b"\n\n", whole.index("—".encode())) + 2
    before_last = whole[:-2].rindex(b"\n\n")  # the last note's signatures follow this
    begin = whole[: before_last - 1].rindex(b"\n\n") + 2
    assert first < begin
    for end in range(begin, len(whole) + 1):
        path.write_bytes(whole[:end])
        LogWriter.open(folder, ORIGIN, key).close()
        assert path.read_bytes() == whole


def test_lost_checkpoints_file_is_begun_again_with_newest(folder, key, write):
    write(4, every=1).close()
    (folder / "checkpoints").unlink()
    LogWriter.open(folder, ORIGIN, key).close()
    assert (folder / "checkpoints").read_bytes() == (folder / "checkpoint").read_bytes() + b"\n"


@pytest.mark.parametrize("how", ["older", "gone"])
def test_checkpoint_put_back_is_refused(folder, key, write, how):
    write(2).close()
    older = (folder / "checkpoint").read_bytes()
    write(2).close()
    if how == "older":
        (folder / "checkpoint").write_bytes(older)
    else:
        (folder / "checkpoint").unlink()
    with pytest.raises(LogError, match="older than the last"):
        LogWriter.open(folder, ORIGIN, key)


def test_any_flipped_bit_under_a_checkpoint_is_refused(folder, key, write):
    write(3).close()
    segment = folder / "seg-00000000.jsonl"
    lines = segment.read_bytes()
    chance = random.Random(5)
    for index in range(0, len(lines), 7):
        changed = bytearray(lines)
        changed[index] ^= 1 << chance.randrange(8)
        segment.write_bytes(changed)
        with pytest.raises(LogError):
            LogWriter.open(folder, ORIGIN, key)
        assert segment.read_bytes() == changed


def test_missing_segment_is_refused(folder, key, write):
    write(7, segment_lines=2).close()
    (folder / "seg-00000001.jsonl.zst").unlink()
    with pytest.raises(LogError, match="missing, though"):
        LogWriter.open(folder, ORIGIN, key)


def test_segment_that_is_a_link_is_refused(folder, key, write):
    write(2).close()
    segment = folder / "seg-00000000.jsonl"
    segment.rename(folder / "elsewhere")
    segment.symlink_to("elsewhere")
    with pytest.raises(LogError, match="not a regular file"):
        LogWriter.open(folder, ORIGIN, key)


def test_segment_that_ends_inside_a_line_before_another_is_refused(folder, key, write):
    write(4, segment_lines=2).close()
    sealed = folder / "seg-00000000.jsonl.zst"
    (folder / "seg-00000000.jsonl").write_bytes(b"".join(read_lines(sealed))[:-1])
    sealed.unlink()
    with pytest.raises(LogError, match="another segment follows"):
        LogWriter.open(folder, ORIGIN, key)


def test_line_longer_than_an_entry_is_refused_without_reading_it_all(folder, key, write):
    write(1).close()
    with (folder / "seg-00000000.jsonl").open("ab") as file:
        file.write(b"x" * 200_000 + b"\n")
    with pytest.raises(LogError, match="longer than"):
        LogWriter.open(folder, ORIGIN, key)


def test_readers_pass_over_a_line_that_is_still_written(folder, write):
    write(2).close()
    with (folder / "seg-00000000.jsonl").open("ab") as file:
        file.write(b'{"t":"deci')
    assert read(folder) == [0, 1]


# -- disks that fail ---------------------------------------------------------------------------------------------------


class NoFsync(Disk):
    def fsync(self, file):
        pass

    def fsync_folder(self, folder):
        pass


class Failing(NoFsync):
    """Fails at one step, and at every step after it: as a full or broken disk does."""

    def __init__(self, at, error=errno.ENOSPC, part=0.0):
        self.step, self.at, self.error, self.part = 0, at, error, part

    def _step(self):
        self.step += 1
        if self.step >= self.at:
            raise OSError(self.error, os.strerror(self.error))

    def open(self, path, mode):
        self._step()
        return super().open(path, mode)

    def write(self, file, octets):
        try:
            self._step()
        except OSError:
            if self.step == self.at:
                super().write(file, octets[: int(len(octets) * self.part)])
            raise
        return super().write(file, octets)

    def fsync(self, file):
        self._step()

    def truncate(self, file, size):
        self._step()
        super().truncate(file, size)

    def replace(self, source, target):
        self._step()
        super().replace(source, target)

    def fsync_folder(self, folder):
        self._step()


class Short(NoFsync):
    """Writes a few bytes at a time, as a pipe or a signal can make any write do."""

    def write(self, file, octets):
        return super().write(file, octets[:7])


def session(folder, key, entries, disk):
    """Writes until the disk fails. Returns how many entries were acknowledged as durable, and whether all went well."""
    durable = 0
    try:
        log = LogWriter.open(folder, ORIGIN, key, disk=disk, segment_lines=3)
    except LogError:
        return 0, False
    try:
        for _ in range(4):
            for _ in range(2):
                log.append(entries(log.next_seq))
            log.sync()
            durable = log.next_seq
            log.checkpoint()
    except LogError:
        for refused in (log.sync, log.checkpoint, lambda: log.append(entries(log.next_seq))):
            with pytest.raises(LogError, match="takes no entries any more"):
                refused()
        return durable, False
    finally:
        log.close()
    return durable, True


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("part", [0.0, 0.4, 1.0])
def test_failure_at_every_step_loses_nothing_acknowledged(tmp_path, key, entries, error, part):
    for at in range(1, 200):
        folder = tmp_path / f"{at}"
        durable, went_well = session(folder, key, entries, Failing(at, error, part))
        if went_well:
            assert at > 40
            return
        LogWriter.open(folder, ORIGIN, key, disk=NoFsync(), segment_lines=3).close()
        assert len(read(folder)) >= durable
        assert_consistent(folder, key)
        assert session(folder, key, entries, NoFsync())[1]
        assert_consistent(folder, key)
    pytest.fail("the session has more steps than were tried")


def test_failure_at_every_step_of_a_repair_leaves_a_log_that_can_be_repaired(tmp_path, key, entries):
    for at in range(1, 30):
        folder = tmp_path / f"{at}"
        session(folder, key, entries, NoFsync())
        last = segments(folder)[-1]
        last.write_bytes(last.read_bytes() + b'{"t":"dec')
        notes = folder / "checkpoints"
        notes.write_bytes(notes.read_bytes()[:-30])
        try:
            LogWriter.open(folder, ORIGIN, key, disk=Failing(at)).close()
        except LogError:
            LogWriter.open(folder, ORIGIN, key).close()
            assert read(folder) == list(range(8))
            assert_consistent(folder, key)
        else:
            assert at > 4
            return
    pytest.fail("the repair has more steps than were tried")


def test_short_writes_are_completed(folder, key, entries):
    assert session(folder, key, entries, Short()) == (8, True)
    assert read(folder) == list(range(8))
    assert_consistent(folder, key)


def test_interrupt_while_writing_breaks_the_log_and_is_passed_on(folder, key, entries):
    class Interrupted(NoFsync):
        def fsync(self, file):
            if file.name.endswith(".jsonl"):
                raise KeyboardInterrupt

    log = LogWriter.open(folder, ORIGIN, key, disk=Interrupted())
    log.append(entries(0))
    with pytest.raises(KeyboardInterrupt):
        log.sync()
    with pytest.raises(LogError, match="KeyboardInterrupt"):
        log.append(entries(1))
    log.close()


def test_folder_that_cannot_be_made_is_refused(tmp_path, key):
    (tmp_path / "file").write_text("")
    with pytest.raises(LogError, match="cannot be opened"):
        LogWriter.open(tmp_path / "file" / "log", ORIGIN, key)


# -- kill -9 -----------------------------------------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from provenance import keys
from provenance.entry import RedecisionEntry, new_nonce, timestamp
from provenance.log import LogWriter
from reservations.model import Verdict

log = LogWriter.open(Path(sys.argv[1]), "crawler.example.org/log", keys.load(Path(sys.argv[2])), segment_lines=50)
print(log.next_seq, flush=True)
for _ in range(int(sys.argv[3])):
    for _ in range(5):
        head = dict(v=1, seq=log.next_seq, n=new_nonce(), ts=timestamp(0), run="r")
        log.append(RedecisionEntry(**head, of=0, url="x" * 300, verdict=Verdict.KEPT, reason="", why="", config=0))
    log.sync()
    print(log.next_seq, flush=True)
    log.checkpoint()
log.close()
"""


def test_killed_writer_loses_nothing_it_acknowledged(folder, tmp_path):
    path = tmp_path / "keys" / "k"
    key = keys.generate(path)
    chance = random.Random(9)
    acknowledged = 0
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), str(path), "100000"], stdout=subprocess.PIPE, text=True
        )
        begun_at = int(process.stdout.readline())
        assert begun_at >= acknowledged
        for _ in range(chance.randrange(1, 40)):
            acknowledged = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().splitlines()
        acknowledged = max([acknowledged, *(int(line) for line in rest if line)])
        process.stdout.close()
        process.wait()
        assert_consistent(folder, key)
    LogWriter.open(folder, ORIGIN, key, segment_lines=50).close()
    assert len(read(folder)) >= acknowledged
    assert_consistent(folder, key)
    report = verify(tmp_path, ["L1"])
    assert [found.what for found in report.levels[0].differences] == [
        "no seal: the crawl broke off, or the end of the log was cut away (which looks the same)"
    ]
    assert from_line(next(read_entries(folder))[0]).seq == 0
