"""Signed notes: one spelling, one signer, nothing else opens."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from provenance.checkpoint import Checkpoint, CheckpointError, Verifier, _take_apart, open_note, sign

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
VERIFIER = Verifier(name="example.org/log", public=PRIVATE.public_key().public_bytes_raw())
HEAD = Checkpoint(origin="example.org/log", size=12345, root=bytes(range(32)))

# The example that the documentation of Go's note package gives: another implementation's key and signature.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_signed_note_opens_as_what_was_signed():
    note = sign(HEAD, PRIVATE)
    assert open_note(note, VERIFIER) == HEAD
    lines = note.decode().split("\n")
    assert lines[:2] == ["example.org/log", "12345"]
    assert base64.b64decode(lines[2]) == HEAD.root
    assert lines[3] == ""
    assert lines[4].startswith("— example.org/log ")


def test_note_of_another_implementation_is_understood():
    verifier = Verifier.parse(GO_KEY)
    text, [(name, signature)] = _take_apart(GO_NOTE.encode())
    assert (name, signature[:4]) == ("PeterNeumann", verifier.key_hash)
    Ed25519PublicKey.from_public_bytes(verifier.public).verify(signature[4:], text.encode())


def test_verifier_line_is_read_back():
    assert Verifier.parse(VERIFIER.line()) == VERIFIER
    assert Verifier.parse(GO_KEY).line() == GO_KEY


@pytest.mark.parametrize("bit", [1, 4, 32, 128])
def test_any_changed_byte_of_note_is_refused(bit):
    note = sign(HEAD, PRIVATE)
    for index in range(len(note)):
        changed = bytearray(note)
        changed[index] ^= bit
        with pytest.raises(CheckpointError):
            open_note(bytes(changed), VERIFIER)


def test_note_cut_anywhere_is_refused():
    note = sign(HEAD, PRIVATE)
    for end in range(len(note)):
        with pytest.raises(CheckpointError):
            open_note(note[:end], VERIFIER)


def test_witness_signature_beside_ours_is_left_alone():
    note = sign(HEAD, PRIVATE) + "— witness.example AAAAAAAAAAAA\n".encode()
    assert open_note(note, VERIFIER) == HEAD


def test_two_signatures_of_ours_are_refused():
    note = sign(HEAD, PRIVATE)
    with pytest.raises(CheckpointError, match="2 signatures"):
        open_note(note + note.split(b"\n\n")[1], VERIFIER)


def _signed(text):
    signature = VERIFIER.key_hash + PRIVATE.sign(text.encode())
    return f"{text}\n— {VERIFIER.name} {base64.b64encode(signature).decode()}\n".encode()


@pytest.mark.parametrize(
    "text",
    [
        "other.example/log\n1\n" + base64.b64encode(bytes(32)).decode() + "\n",
        "example.org/log\n01\n" + base64.b64encode(bytes(32)).decode() + "\n",
        "example.org/log\n-1\n" + base64.b64encode(bytes(32)).decode() + "\n",
        "example.org/log\n١\n" + base64.b64encode(bytes(32)).decode() + "\n",
        "example.org/log\n" + "9" * 30 + "\n" + base64.b64encode(bytes(32)).decode() + "\n",
        "example.org/log\n1\n" + base64.b64encode(bytes(31)).decode() + "\n",
        "example.org/log\n1\n",
        "example.org/log\n1\n" + base64.b64encode(bytes(32)).decode() + "\n\nextension after an empty line\n",
    ],
)
def test_well_signed_text_that_is_no_checkpoint_of_this_log_is_refused(text):
    with pytest.raises(CheckpointError):
        open_note(_signed(text), VERIFIER)


def test_extension_lines_are_allowed():
    assert open_note(_signed(HEAD.text() + "an extension\n"), VERIFIER) == HEAD


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\nb", "a\x1bb"])
def test_name_that_cannot_stand_in_a_note_is_refused(name):
    with pytest.raises(CheckpointError, match="cannot name a log"):
        sign(Checkpoint(origin=name, size=1, root=bytes(32)), PRIVATE)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "name",
        "name+00000000",
        "name+00000000+AQ==",
        "name+00000000+!!",
        GO_KEY.replace("c74f20a3", "c74f20a4"),
        GO_KEY + "\n",
    ],
)
def test_malformed_verifier_line_is_refused(line):
    with pytest.raises(CheckpointError):
        Verifier.parse(line)
