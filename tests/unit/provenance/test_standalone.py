"""The single-file verifier: by itself, in another process, it finds what `verify` finds at level 1."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from provenance import standalone
from provenance.proof import prove_consistency, prove_site, prove_url
from provenance.seal import seal
from provenance.verify import verify


@pytest.fixture
def alone(tmp_path, monkeypatch, capsys):
    """Runs the file as a copy, and says exit code and output."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["standalone.py", *map(str, words)])
        try:
            standalone.main()
        except SystemExit as stop:
            return stop.code, capsys.readouterr()
        return 0, capsys.readouterr()

    return run


def test_copy_of_the_file_needs_nothing_of_knockfirst(whole, tmp_path):
    copy = shutil.copy(standalone.__file__, tmp_path / "verify_log.py")
    done = subprocess.run(
        [sys.executable, "-I", copy, "log", whole], check=False, capture_output=True, text=True, cwd="/"
    )
    assert done.returncode == 0
    assert verify(whole, ["L1"]).root in done.stdout
    source = Path(copy).read_text()
    assert not [name for name in ("provenance", "reservations", "msgspec") if f"import {name}" in source]


def test_altered_logs_are_found_where_verify_finds_them(whole, alone):
    chance = random.Random(2)
    files = [whole / "log" / name for name in ("seg-00000000.jsonl", "checkpoint", "checkpoints", "log.vkey")]
    for path in files:
        original = path.read_bytes()
        for _ in range(60):
            changed = bytearray(original)
            changed[chance.randrange(len(original))] ^= 1 << chance.randrange(8)
            path.write_bytes(changed)
            assert alone("log", whole)[0] == 1, path
        for end in range(0, len(original), max(1, len(original) // 40)):
            path.write_bytes(original[:end])
            assert alone("log", whole)[0] == 1, (path, end)
        path.write_bytes(original)
    assert alone("log", whole)[0] == 0


def test_key_from_elsewhere_is_compared(whole, alone):
    own = (whole / "log/log.vkey").read_text()
    assert alone("log", whole, "--key", own)[0] == 0
    assert alone("log", whole, "--key", own.replace("test", "rest"))[0] == 1


def test_sealed_log_is_read_too(whole, alone):
    seal(whole / "log")
    assert alone("log", whole)[0] == 0


def test_planted_link_in_the_place_of_a_segment_is_not_followed(whole, alone, tmp_path):
    segment = whole / "log/seg-00000000.jsonl"
    shutil.move(segment, tmp_path / "elsewhere")
    segment.symlink_to(tmp_path / "elsewhere")
    code, told = alone("log", whole)
    assert code == 1
    assert "cannot be read" in told.err


@pytest.fixture
def proofs(crawled, tmp_path):
    for number in range(5):
        crawled.kept(f"https://{'ab'[number % 2]}.example/{number}")
    crawled.log.sync()
    crawled.log.checkpoint()
    old = (crawled.out / "log/checkpoint").read_bytes()
    crawled.finish()
    log = crawled.out / "log"
    made = {
        "entry": prove_url(log, "https://a.example/2", "a.example").text(),
        "absent": prove_url(log, "https://a.example/7", "a.example").text(),
        "site": prove_site(log, "b.example").text(),
        "none": prove_site(log, "c.example").text(),
        "consistency": prove_consistency(log, old)[0],
    }
    for name, text in made.items():
        (tmp_path / name).write_text(text, "utf-8")
    return {name: tmp_path / name for name in made}, (log / "log.vkey").read_text()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("entry", "this is entry"),
        ("absent", "no entry on https://a.example/7"),
        ("site", "these 4 entries of b.example and no others"),
        ("none", "these 0 entries of c.example and no others"),
        ("consistency", "begin with the"),
    ],
)
def test_proofs_check_and_changed_ones_do_not(proofs, alone, name, says):
    files, key = proofs
    verb = "consistency" if name == "consistency" else "proof"
    code, told = alone(verb, files[name], "--key", key)
    assert code == 0
    assert says in told.out
    text, chance = files[name].read_text("utf-8"), random.Random(name)
    for _ in range(100):
        place = chance.randrange(len(text))
        files[name].write_text(text[:place] + chance.choice("aA0=\n") + text[place + 1 :], "utf-8")
        code, other = alone(verb, files[name], "--key", key)
        assert code == 1 or other.out == told.out
