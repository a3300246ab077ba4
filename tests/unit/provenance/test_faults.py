"""Faults beside those of the log's own writing (`test_log`): sealing, erasing, manifests; read-only folder; clock."""

import datetime as dt
import errno
import os
import shutil
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from provenance.disk import Disk
from provenance.entry import timestamp
from provenance.erase import Eraser
from provenance.log import LogError, LogWriter
from provenance.manifest import enter, make, read
from provenance.proof import check, prove_url
from provenance.seal import seal
from provenance.story import story
from provenance.verify import verify

ORIGIN = "crawler.example.org/test"
URL = "https://example.org/a"
NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
MOST_STEPS = 100


class Failing(Disk):
    """Fails at one step, and at every step after it: as a full or broken disk does. A part of a write is written."""

    def __init__(self, at, error):
        self.step, self.at, self.error = 0, at, error

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
                super().write(file, octets[: len(octets) // 2])
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

    def remove(self, path):
        self._step()
        super().remove(path)

    def fsync_folder(self, folder):
        self._step()


def at_every_step(work, then, folder, error):
    """Does the work in a copy of the folder with a disk that fails at its first, second, ... step, until none fails."""
    for at in range(1, MOST_STEPS):
        copy = shutil.copytree(folder, folder.with_name(f"{folder.name}-{at}"))
        try:
            work(copy, Failing(at, error))
        except (OSError, LogError):
            then(copy)
            shutil.rmtree(copy)
        else:
            return at
    return pytest.fail("more steps than were tried")


def differences(out, levels=("L1", "L2", "L3")):
    return [(level.name, one.what) for level in verify(out, levels).levels for one in level.differences]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_sealing_that_fails_at_any_step_loses_nothing_and_is_done_by_the_next(whole, key, error):
    def then(out):
        LogWriter.open(out / "log", ORIGIN, key).close()
        seal(out / "log")
        assert differences(out) == []

    assert at_every_step(lambda out, disk: seal(out / "log", disk=disk), then, whole, error) > 10


@pytest.mark.parametrize(("error", "sealed"), [(errno.ENOSPC, False), (errno.EIO, True)])
def test_erasure_that_fails_at_any_step_is_finished_by_the_next(whole, key, error, sealed):
    if sealed:
        seal(whole / "log")

    def erase(out, disk):
        eraser = Eraser(out, key, url=URL, now=NOW, disk=disk)
        try:
            eraser.carry_out(eraser.plan_url(text=True), "complaint 7")
        finally:
            eraser.close()

    def then(out):
        erase(out, Disk())
        assert differences(out) == []
        assert verify(out).levels[0].counts["texts erased"] == 1
        assert check(prove_url(out / "log", "https://example.org/c", "example.org").text())

    assert at_every_step(erase, then, whole, error) > 20


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_manifest_that_cannot_be_written_is_made_by_the_next(whole, key, error, tmp_path):
    folder = tmp_path / "all"
    enter(folder, make([whole], now=NOW), key)
    manifest = make([whole], now=NOW + dt.timedelta(days=1))

    def then(out):
        enter(out, manifest, key)
        assert differences(out, ["L1"]) == []
        assert read(out) == manifest

    assert at_every_step(lambda out, disk: enter(out, manifest, key, disk=disk), then, folder, error) > 8


READ_ONLY = """
import errno, os, sys
from pathlib import Path

from provenance import keys
from provenance.log import LogError, LogWriter
from provenance.proof import prove_url
from provenance.seal import seal
from provenance.story import story
from provenance.verify import verify

out, key = Path(sys.argv[1]), keys.load(Path(sys.argv[2]))

def refuse(event, arguments):
    writes = event in {"os.rename", "os.remove", "os.mkdir", "os.truncate", "os.link"}
    if event == "open" and isinstance(arguments[2], int):
        writes = bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
    if writes and str(out) in str(arguments[0]):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(arguments[0]))

sys.addaudithook(refuse)
assert verify(out).clean
assert story(out / "log", "https://example.org/a").attempts
assert prove_url(out / "log", "https://example.org/a", "example.org")
for work in (lambda: LogWriter.open(out / "log", "crawler.example.org/test", key), lambda: seal(out / "log")):
    try:
        work()
    except (LogError, OSError) as error:
        assert "Read-only file system" in str(error), error
    else:
        raise SystemExit("written to what cannot be written")
"""


def test_read_only_folder_is_verified_and_proved_from_and_never_written_to(whole, tmp_path, key):
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_bytes(key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    command = [sys.executable, "-c", READ_ONLY, str(whole), str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert differences(whole) == []


def test_clock_that_goes_back_changes_nothing_for_the_order_is_the_log_s(crawled):
    crawled.robots()
    for number, ms in enumerate((1_795_420_900_000, 1_795_420_800_000, 1_000)):
        crawled.decide(url=URL, attempt=number + 1, ts=timestamp(ms), verdict="deferred", reason="transfer.timeout")
    crawled.kept(URL, attempt=4, ts=timestamp(500))
    crawled.finish()
    assert differences(crawled.out, ["L1", "L2"]) == []
    assert [attempt.entry.attempt for attempt in story(crawled.out / "log", URL).attempts] == [4, 3, 2, 1]
