"""Level 4: a log written anew is found by an older checkpoint, and stamps of a real authority say when it was there."""

import shutil
import subprocess

import pytest

from provenance.anchors import AnchorError, Outside, stamp
from provenance.lines import from_line
from provenance.log import LogWriter
from provenance.segments import read_leaves
from provenance.verify import verify

CONFIG = """
[ca]
[tsa]
default_tsa = tsa
[tsa]
[stamping]
dir = {folder}
serial = {folder}/serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
ess_cert_id_alg = sha256
ess_cert_id_chain = no
accuracy = secs:1
"""


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A throw-away authority made with OpenSSL: answers queries; and its root certificate."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl here")
    folder = tmp_path_factory.mktemp("tsa")

    def openssl(*words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, cwd=folder)

    (folder / "tsa.cnf").write_text(CONFIG.format(folder=folder))
    (folder / "serial").write_text("01\n")
    (folder / "stamping.ext").write_text("extendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\n")
    new = ["req", "-newkey", "rsa:2048", "-nodes"]
    openssl(*new, "-x509", "-days", "9", "-subj", "/CN=root", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(*new, "-subj", "/CN=tsa", "-keyout", "tsa.key", "-out", "tsa.csr")
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "9", "-extfile", "stamping.ext"]
    openssl("x509", "-req", "-in", "tsa.csr", *signed, "-out", "tsa.pem")

    def answer(query):
        (folder / "query").write_bytes(query)
        keys = ["-inkey", "tsa.key", "-signer", "tsa.pem"]
        openssl(
            "ts", "-reply", "-config", "tsa.cnf", "-section", "stamping", "-queryfile", "query", *keys, "-out", "reply"
        )
        return (folder / "reply").read_bytes()

    return answer, (folder / "ca.pem").read_bytes()


def level_4(out, **outside):
    return verify(out, ["L4"], outside=Outside(**outside)).levels[-1]


def rewritten(out, key):
    """The same log written anew by the holder of the key, one word changed."""
    lines = [leaf.line for leaf in read_leaves(out / "log")]
    for name in ("checkpoint", "checkpoints", "seg-00000000.jsonl"):
        (out / "log" / name).unlink()
    log = LogWriter.open(out / "log", "crawler.example.org/test", key)
    for line in lines:
        log.append(from_line(line.replace(b"/private/b", b"/private/x")))
    log.close()


def test_without_anything_from_outside_nothing_is_claimed(whole):
    level = level_4(whole)
    assert not level.looked
    assert "nothing outside vouches" in level.notes[0]


def test_older_checkpoint_of_the_same_log_agrees(whole):
    notes = (whole / "log/checkpoints").read_bytes().split(b"\n\n")
    old = notes[0] + b"\n\n" + notes[1] + b"\n"
    level = level_4(whole, checkpoints=(("kept", old),))
    assert (level.ok, level.counts) == (True, {"checkpoints kept elsewhere": 1})


def test_log_rewritten_and_signed_again_is_found_by_an_older_checkpoint_alone(whole, key):
    old = (whole / "log/checkpoint").read_bytes()
    rewritten(whole, key)
    assert verify(whole, ["L1"]).clean
    level = level_4(whole, checkpoints=(("kept", old),))
    assert "the log was written anew" in level.differences[0].what


def test_log_cut_back_is_found_by_a_newer_checkpoint(whole, key):
    newest = (whole / "log/checkpoint").read_bytes()
    lines = (whole / "log/seg-00000000.jsonl").read_bytes().split(b"\n")
    for name in ("checkpoint", "checkpoints", "seg-00000000.jsonl"):
        (whole / "log" / name).unlink()
    log = LogWriter.open(whole / "log", "crawler.example.org/test", key)
    for line in lines[:5]:
        log.append(from_line(line))
    log.close()
    assert "some are gone" in level_4(whole, checkpoints=(("kept", newest),)).differences[0].what


def test_checkpoint_of_another_log_is_said(whole):
    level = level_4(whole, checkpoints=(("kept", b"other\n1\nx\n\n"),))
    assert "no checkpoint of this log" in level.differences[0].what


def test_stamp_of_an_authority_says_when_the_log_was_there(whole, authority):
    answer, roots = authority
    path, response = stamp(whole / "log", answer)
    assert path.name == "10.tsr"
    level = level_4(whole, roots=roots)
    assert (level.ok, level.counts) == (True, {"time stamps": 1})
    assert level.notes == [f"the first 10 entries were there at {response.tst_info.gen_time.isoformat()}"]


def test_stamp_without_its_authority_s_certificates_is_not_believed(whole, authority):
    stamp(whole / "log", authority[0])
    level = level_4(whole)
    assert not level.looked
    assert "was not looked at" in level.notes[0]


def test_changed_or_moved_stamp_is_found(whole, authority):
    answer, roots = authority
    path, _ = stamp(whole / "log", answer)
    octets = path.read_bytes()
    for changed in (octets[:-1], octets[:900] + bytes([octets[900] ^ 1]) + octets[901:], b"", b"0" * 100):
        path.write_bytes(changed)
        assert "is not good" in level_4(whole, roots=roots).differences[0].what
    path.rename(path.with_name("5.tsr")).write_bytes(octets)
    assert not level_4(whole, roots=roots).ok


def test_stamp_over_a_log_that_was_rewritten_since_is_found(whole, authority, key):
    answer, roots = authority
    stamp(whole / "log", answer)
    rewritten(whole, key)
    assert verify(whole, ["L1"]).clean
    assert "is not good" in level_4(whole, roots=roots).differences[0].what


def test_stamp_under_other_roots_is_not_believed(whole, authority, tmp_path):
    stamp(whole / "log", authority[0])
    words = ["req", "-newkey", "rsa:2048", "-nodes", "-x509", "-subj", "/CN=other", "-keyout", "k", "-out", "c.pem"]
    subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=tmp_path)
    assert not level_4(whole, roots=(tmp_path / "c.pem").read_bytes()).ok


def test_reply_for_something_else_is_not_kept(whole, authority):
    answer, _ = authority
    path, _ = stamp(whole / "log", answer)
    reply = path.read_bytes()
    path.unlink()
    with pytest.raises(AnchorError, match="something else"):
        stamp(whole / "log", lambda _: reply)
    with pytest.raises(AnchorError, match="no time stamp"):
        stamp(whole / "log", lambda _: b"nonsense")
    assert not path.exists()
