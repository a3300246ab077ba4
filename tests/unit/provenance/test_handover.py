"""A log's key is changed: every verifier follows, and refuses a key that the one before did not vouch for."""

import datetime as dt
import json

import msgspec
import pytest
import typer
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from provenance import keys, standalone, verbs_key, verbs_proof
from provenance.anchors import Outside
from provenance.checkpoint import Checkpoint, chain_text, open_note, parse_chain, sign
from provenance.disk import Disk
from provenance.entry import KeyEntry
from provenance.handover import rotate
from provenance.log import LogError, LogWriter, read_entries
from provenance.proof import check, check_consistency, prove_consistency, prove_url, read_keys
from provenance.tree import leaf_hash, root_of
from provenance.verify import verify

ORIGIN = "crawler.example.org/test"
NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
URL = "https://example.org/a"


@pytest.fixture
def new(tmp_path):
    return keys.generate(tmp_path / "new" / "key")


@pytest.fixture
def rotated(whole, key, new):
    rotate(whole / "log", key, new, "yearly", now=NOW)
    return whole


def whats(out, **options):
    return [one.what for level in verify(out, **options).levels for one in level.differences]


def standalone_says(out, capsys, key=None):
    try:
        standalone.check_log(out, key)
    except standalone.Bad as error:
        return str(error)
    return capsys.readouterr().out.partition(":")[0]


def test_log_goes_on_under_the_new_key(rotated, key, new, capsys):
    with pytest.raises(LogError, match="newest of its keys"):
        LogWriter.open(rotated / "log", ORIGIN, key)
    log = LogWriter.open(rotated / "log", ORIGIN, new)
    assert log.next_seq == 11
    log.close()
    report = verify(rotated)
    assert report.clean
    assert report.seal == "finished"
    assert report.key == new.verifier(ORIGIN).line()
    assert report.levels[0].notes == [f"the key was changed: {report.key} signs from 11 entries on"]
    assert standalone_says(rotated, capsys) == "good"


def test_both_keys_sign_the_checkpoint_that_hands_over(rotated, key, new):
    note = (rotated / "log/checkpoint").read_bytes()
    assert open_note(note, key.verifier(ORIGIN)) == open_note(note, new.verifier(ORIGIN))
    *_, (_, last) = read_entries(rotated / "log")
    assert isinstance(last, KeyEntry)
    assert (last.key, last.why, last.run) == (new.verifier(ORIGIN).line(), "yearly", "r1")


@pytest.mark.parametrize("which", ["old", "new"])
def test_whoever_knows_either_key_can_check_the_log(rotated, key, new, which, capsys):
    line = {"old": key, "new": new}[which].verifier(ORIGIN).line()
    report = verify(rotated, key=line)
    assert report.clean
    assert report.key_given
    assert standalone_says(rotated, capsys, line) == "good"


def test_key_is_changed_again_and_entries_follow(rotated, new, crawled, tmp_path, capsys):
    third = keys.generate(tmp_path / "third" / "key")
    crawled.log = LogWriter.open(rotated / "log", ORIGIN, new)
    crawled.kept("https://example.org/d")
    crawled.log.close()
    rotate(rotated / "log", new, third, "", now=NOW)
    crawled.log = LogWriter.open(rotated / "log", ORIGIN, third)
    crawled.finish()
    assert [found.partition("key")[0] for found in whats(rotated, levels=["L1"])] == []
    assert len(verify(rotated, ["L1"]).levels[0].notes) == 2
    assert standalone_says(rotated, capsys) == "good"


def test_proofs_are_by_the_new_key_and_older_checkpoints_still_count(whole, key, new, capsys):
    old = (whole / "log/checkpoint").read_bytes()
    rotate(whole / "log", key, new, "", now=NOW)
    found = check(prove_url(whole / "log", URL, "example.org").text(), new.verifier(ORIGIN).line())
    assert found.entry.url == URL
    text, before, after = prove_consistency(whole / "log", old)
    chain = read_keys(whole / "log")
    assert check_consistency(text, chain) == (before, after)
    standalone.check_consistency(text, "\n".join(one.line() for one in chain))
    assert "good: the 11 entries" in capsys.readouterr().out
    outside = Outside(checkpoints=(("kept elsewhere", old),))
    assert verify(whole, outside=outside).clean


# -- tampered ----------------------------------------------------------------------------------------------------------


def forge(out, private, *, entry=None, beside=(), chain=None):
    """Write on as whoever has `private`: perhaps an entry, a checkpoint, other keys in log.vkey."""
    log = out / "log"
    lines = [line for line, _ in read_entries(log)]
    if entry is not None:
        line = msgspec.json.encode(entry)
        with (log / "seg-00000000.jsonl").open("ab") as file:
            file.write(line + b"\n")
        lines.append(line)
    head = Checkpoint(origin=ORIGIN, size=len(lines), root=root_of([leaf_hash(line) for line in lines]))
    note = sign(head, private.private, *(one.private for one in beside))
    (log / "checkpoint").write_bytes(note)
    with (log / "checkpoints").open("ab") as file:
        file.write(note + b"\n")
    if chain is not None:
        (log / "log.vkey").write_text(chain_text(one.verifier(ORIGIN) for one in chain))


def hands_over(out, private):
    *_, (_, last) = read_entries(out / "log")
    return KeyEntry(v=1, seq=last.seq + 1, n="A" * 22, ts=last.ts, run="r1", key=private.verifier(ORIGIN).line())


FORGED = {
    "foreign key signs": lambda out, key, new: forge(out, new, entry=hands_over(out, new), chain=[key, new]),
    "foreign key in place of the own": lambda out, key, new: forge(out, new, entry=hands_over(out, new), chain=[new]),
    "listed and never handed over": lambda out, key, new: forge(out, key, entry=hands_over(out, new), chain=[key, new]),
    "handed over and not listed": lambda out, key, new: forge(out, key, entry=hands_over(out, new), beside=[new]),
    "no entry names the key": lambda out, key, new: forge(
        out, key, entry=hands_over(out, key), beside=[new], chain=[key, new]
    ),
}


@pytest.mark.parametrize("how", FORGED)
def test_forged_change_of_the_key_is_found(whole, key, new, how, capsys):
    FORGED[how](whole, key, new)
    assert not verify(whole, ["L1"]).clean
    assert not verify(whole, ["L1"], key=key.verifier(ORIGIN).line()).clean
    assert standalone_says(whole, capsys) != "good"


def test_old_key_signs_no_more_after_the_change(rotated, key, new, capsys):
    entry = KeyEntry(**{**msgspec.structs.asdict(hands_over(rotated, new)), "why": "again"})
    forge(rotated, key, entry=entry)
    assert any("0 signatures" in what for what in whats(rotated, levels=["L1"]))
    assert standalone_says(rotated, capsys) != "good"


def test_new_key_taken_out_of_the_list_is_found(rotated, key, capsys):
    (rotated / "log/log.vkey").write_text(key.verifier(ORIGIN).line() + "\n")
    assert any("does not list" in what for what in whats(rotated, levels=["L1"]))
    assert standalone_says(rotated, capsys) != "good"


@pytest.mark.parametrize("text", ["", "x\n", "{own}", "{own}\n\n", "{own}\n{own}\n", "{own}\n{other}\n"])
def test_list_of_keys_has_one_spelling(key, text):
    own, other = key.verifier(ORIGIN).line(), key.verifier("elsewhere").line()
    with pytest.raises(ValueError, match=r"."):
        parse_chain(text.format(own=own, other=other))


# -- broken off --------------------------------------------------------------------------------------------------------


class Failing(Disk):
    """Fails at its n-th step."""

    def __init__(self, at):
        self.left = at

    def _step(self):
        self.left -= 1
        if self.left < 0:
            raise OSError(5, "Input/output error")

    def write(self, file, octets):
        self._step()
        return super().write(file, octets)

    def fsync(self, file):
        self._step()
        super().fsync(file)

    def replace(self, source, target):
        self._step()
        super().replace(source, target)


@pytest.mark.parametrize("at", range(10))
def test_change_that_broke_off_anywhere_must_be_finished_and_can_be(whole, key, new, at, capsys):
    log = LogWriter.open(whole / "log", ORIGIN, key)
    log._disk = Failing(at)
    with pytest.raises(LogError, match="could not be written"):
        log.hand_over(hands_over(whole, new), new)
    log.close()
    begun = any(isinstance(entry, KeyEntry) for _, entry in read_entries(whole / "log"))
    if begun:
        with pytest.raises(LogError, match="broke off"):
            LogWriter.open(whole / "log", ORIGIN, key)
        other = keys.generate(whole.parent / "other" / "key")
        with pytest.raises(LogError, match="Finish it first"):
            rotate(whole / "log", key, other, "", now=NOW)
    rotate(whole / "log", key, new, "", now=NOW)
    assert whats(whole) == []
    assert standalone_says(whole, capsys) == "good"


# -- verbs -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def run():
    app = typer.Typer()
    app.add_typer(verbs_key.app)
    verbs_proof.add_to(app)
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])


def test_verbs_make_and_change_a_key(run, whole, key, tmp_path):
    old, new = tmp_path / "keys/old", tmp_path / "keys/new"
    assert run("key", "new", tmp_path / "keys/other").exit_code == 0
    assert run("key", "new", tmp_path / "keys/other").exit_code == 2
    old.write_bytes(key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    old.chmod(0o600)
    kept = tmp_path / "kept"
    kept.write_bytes((whole / "log/checkpoint").read_bytes())
    result = run("key", "rotate", whole, "--key", old, "--to", new, "--why", "yearly")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == read_keys(whole / "log")[-1].line()
    assert new.stat().st_mode & 0o077 == 0
    assert run("key", "rotate", whole, "--key", old, "--to", new).exit_code == 2
    assert run("key", "rotate", whole, "--key", old, "--to", whole / "key").exit_code == 2
    told = json.loads(run("consistency", kept, whole, "--json").stdout)
    assert (told["old"], told["new"]) == (10, 11)
