import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from blocklists.model import BlocklistError
from blocklists.signing import StaffKey, parse_public, sign_manifest, verify_manifest

MANIFEST = b'{"version":"2026.11.22-1"}\n'
KEY = StaffKey.of("lists.example/a.berg", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = StaffKey.of("lists.example/b.cole", Ed25519PrivateKey.from_private_bytes(bytes(32)))


def test_signature_of_an_allowed_key_names_the_signer():
    signature = sign_manifest(MANIFEST, KEY)
    assert verify_manifest(MANIFEST, signature, [OTHER.public_text(), KEY.public_text()]) == ("lists.example/a.berg",)


def test_signature_is_a_line_of_a_signed_note():
    dash, name, encoded = sign_manifest(MANIFEST, KEY).decode().removesuffix("\n").split(" ")
    raw = base64.b64decode(encoded)
    assert (dash, name, len(raw)) == ("\u2014", "lists.example/a.berg", 4 + 64)
    assert KEY.public_text().split("+")[1] == raw[:4].hex()


def test_one_of_several_signatures_is_enough():
    both = sign_manifest(MANIFEST, OTHER) + sign_manifest(MANIFEST, KEY)
    assert verify_manifest(MANIFEST, both, [KEY.public_text()]) == ("lists.example/a.berg",)


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b"\xff\xfe",
        b"signed",
        sign_manifest(MANIFEST, OTHER),
        sign_manifest(MANIFEST, KEY).replace(b"berg", b"bork"),
    ],
)
def test_manifest_without_an_allowed_signature_is_refused(signature):
    with pytest.raises(BlocklistError, match="not signed by anybody"):
        verify_manifest(MANIFEST, signature, [KEY.public_text()])


def test_changed_manifest_is_refused():
    with pytest.raises(BlocklistError, match="does not fit the manifest"):
        verify_manifest(MANIFEST.replace(b"-1", b"-2"), sign_manifest(MANIFEST, KEY), [KEY.public_text()])


def test_nobody_is_trusted_by_default():
    with pytest.raises(BlocklistError, match="KNOCKFIRST_BLOCKLIST_KEYS"):
        verify_manifest(MANIFEST, sign_manifest(MANIFEST, KEY), [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "a+b+c",
        KEY.public_text()[:-4],
        KEY.public_text().replace("a.berg", "b.cole"),
        "a b" + KEY.public_text(),
    ],
)
def test_damaged_public_key_is_refused(text):
    with pytest.raises(BlocklistError):
        parse_public(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "\u2014"])
def test_name_that_cannot_stand_in_a_key_is_refused(name):
    with pytest.raises(BlocklistError, match="name of a key"):
        StaffKey.new(name)


def test_private_key_shows_nothing_of_itself():
    assert repr(KEY) == str(KEY) == "StaffKey(name='lists.example/a.berg')"


@given(st.integers(0, 200), st.integers(1, 255))
def test_flipped_octet_in_the_signature_is_refused(at, flip):
    signature = bytearray(sign_manifest(MANIFEST, KEY))
    signature[at % (len(signature) - 1)] ^= flip
    try:
        verify_manifest(MANIFEST, bytes(signature), [KEY.public_text()])
    except BlocklistError:
        return
    raise AssertionError("accepted")


@given(st.text())
def test_any_text_is_a_key_or_refused(text):
    with pytest.raises(BlocklistError):
        parse_public(text)
