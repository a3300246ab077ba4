"""Whether a content credential belongs to its file: files signed by the reference implementation, whole and altered."""

from __future__ import annotations

import datetime as dt
import io
import json
import struct
from functools import cache
from pathlib import Path

import cbor2
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reservations.file_tables import Signer
from reservations.readers.asset import read_asset
from reservations.readers.credential import INVALID, NOT_CHECKED, VALID, validate
from reservations.readers.embedded import FileTables
from reservations.readers.jumbf import superboxes
from reservations.readers.pieces import Kind
from reservations.statement import Vocabulary

ASSETS = Path(__file__).resolve().parents[3] / "crawler/demo/assets"
DEMO = ["credential.webp", "granted.webp", "collage.webp", "credential.avif"]
KEYS = {
    "es256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "es384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "es512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ps256": lambda: rsa.generate_private_key(65537, 2048),
    "ps384": lambda: rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


def demo(name):
    return (ASSETS / name).read_bytes()


def store_of(body):
    return next(packet.data for packet in read_asset(body, "").packets if packet.kind is Kind.JUMBF)


def state_of(body):
    return validate(store_of(body), body)


@cache
def chain(algorithm):
    """A signing certificate and its authority's, PEM, and the private key."""
    key, authority = KEYS[algorithm](), ec.generate_private_key(ec.SECP256R1())
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    names = {name: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("authority", "signer")}
    off = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"), False,
    )  # fmt: skip
    pem = []
    for name, public in (("signer", key.public_key()), ("authority", authority.public_key())):
        issuer = name == "authority"
        usage = x509.KeyUsage(digital_signature=not issuer, key_cert_sign=issuer, crl_sign=issuer, **off)
        made = (
            x509.CertificateBuilder(names["authority"], names[name], public, 1 + issuer)
            .not_valid_before(start)
            .not_valid_after(start + dt.timedelta(days=3650))
            .add_extension(x509.BasicConstraints(issuer, None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
        )
        if not issuer:
            made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=True)
        pem.append(made.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem[0] + pem[1], key.private_bytes(*plain)


def picture(kind):
    out = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(out, kind)
    return out.getvalue()


def sound():
    return (
        b"RIFF"
        + struct.pack("<I", 36 + 8)
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
        + (b"data" + struct.pack("<I", 8) + bytes(8))
    )


CONTENT = {
    "image/jpeg": lambda: picture("JPEG"),
    "image/png": lambda: picture("PNG"),
    "image/webp": lambda: picture("WEBP"),
    "image/avif": lambda: demo("refused.avif"),
    "video/mp4": lambda: demo("refused.mp4"),
    "audio/wav": sound,
}


def signed(media_type="image/png", algorithm="es256", use="allowed"):
    c2pa = pytest.importorskip("c2pa")
    certificates, private = chain(algorithm)
    assertion = {"label": "cawg.training-mining", "data": {"entries": {"cawg.ai_training": {"use": use}}}}
    builder = c2pa.Builder(json.dumps({"claim_generator_info": [{"name": "test"}], "assertions": [assertion]}))
    builder.set_intent(c2pa.C2paBuilderIntent.CREATE, c2pa.C2paDigitalSourceType.DIGITAL_CREATION)
    info = c2pa.C2paSignerInfo(alg=algorithm.encode(), sign_cert=certificates, private_key=private, ta_url=None)
    out = io.BytesIO()
    builder.sign(c2pa.Signer.from_info(info), media_type, io.BytesIO(CONTENT[media_type]()), out)
    return out.getvalue()


@pytest.mark.parametrize("name", DEMO)
def test_file_as_signed_is_valid(name):
    state = state_of(demo(name))
    assert (state.word, state.code, len(state.signer)) == (VALID, "", 64)


@pytest.mark.parametrize("media_type", CONTENT)
def test_what_the_reference_implementation_signs_is_valid_in_every_format(media_type):
    assert state_of(signed(media_type)).word == VALID


@pytest.mark.parametrize("algorithm", KEYS)
def test_every_algorithm_is_verified(algorithm):
    body = signed("image/png", algorithm)
    assert state_of(body).word == VALID
    at = body.rindex(b"IDAT") + 8
    assert state_of(body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]).code == "assertion.dataHash.mismatch"


def altered(body, at, flip=1):
    return body[:at] + bytes([body[at] ^ flip]) + body[at + 1 :]


@pytest.mark.parametrize(
    ("name", "mark", "code"),
    [
        ("granted.webp", b"\x9d\x01*", "assertion.dataHash.mismatch"),
        ("credential.avif", b"av01", "assertion.bmffHash.mismatch"),
        ("granted.webp", b"allowed", "assertion.hashedURI.mismatch"),
        ("granted.webp", b"instanceID", "claimSignature.mismatch"),
        ("granted.webp", b"created_assertions", "claimSignature.mismatch"),
        ("granted.webp", b"c2pa.hash.data\0", "assertion.missing"),
    ],
)
def test_what_was_altered_is_named(name, mark, code):
    body = demo(name)
    state = state_of(altered(body, body.index(mark) + 1))
    assert (state.word, state.code, state.signer) == (INVALID, code, "")


def repacked(body, change):
    """The file with another tree of boxes: `change` gets (label, octets of the superbox) of the own manifest."""
    store = store_of(body)
    outer = next(superboxes(store, 0, len(store)))
    own = list(superboxes(store, outer.start, outer.stop))[-1]
    parts = [(span.label, store[span.start - 8 : span.stop]) for span in superboxes(store, own.start, own.stop)]
    head = store[own.start : own.start + int.from_bytes(store[own.start : own.start + 4], "big")]
    manifest = box(b"jumb", head + b"".join(octets for _, octets in change(parts)))
    outer_head = store[outer.start : outer.start + int.from_bytes(store[outer.start : outer.start + 4], "big")]
    return box(b"jumb", outer_head + manifest)


def box(kind, content):
    return struct.pack(">I", len(content) + 8) + kind + content


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda parts: [*parts, parts[-1]], "signature.multiple"),
        (lambda parts: parts[:-1], "signature.missing"),
        (lambda parts: [part for part in parts if "claim" not in part[0]], "claim.missing"),
        (lambda parts: parts[1:], "assertions.missing"),
        (lambda parts: [(parts[0][0], added(parts[0][1])), *parts[1:]], "assertion.undeclared"),
    ],
)
def test_box_too_many_or_too_few_is_named(change, code):
    body = demo("granted.webp")
    assert validate(repacked(body, change), body) == (INVALID, code, "")


def added(assertions):
    """The assertion store with one more, which nobody signed."""
    name = box(b"jumd", bytes(16) + b"\3cawg.other\0")
    return box(b"jumb", assertions[8:] + box(b"jumb", name + box(b"cbor", cbor2.dumps({}))))


def test_file_cannot_leave_more_than_the_store_out_of_its_digest():
    body = demo("granted.webp")
    store = store_of(body)
    assert validate(store, body + bytes(8)).code == "assertion.dataHash.mismatch"
    assert validate(store, body.replace(store[:32], bytes(32))).code == "assertion.dataHash.mismatch"


def test_store_of_another_file_is_not_this_ones():
    assert validate(store_of(demo("granted.webp")), demo("credential.webp")).word == INVALID


def test_manifest_in_compressed_form_is_not_checked():
    store = box(b"jumb", box(b"jumd", bytes(16) + b"\3c2pa\0") + box(b"brob", b"jumb..."))
    assert validate(store, b"") == (NOT_CHECKED, "manifest.compressed", "")


@given(st.sampled_from(DEMO), st.data())
def test_octet_altered_unnoticed_is_of_no_pixel_and_no_word(name, data):
    body = demo(name)
    at = data.draw(st.integers(0, len(body) - 1))
    changed = altered(body, at, data.draw(st.integers(1, 255)))
    asset = read_asset(changed, "")
    packets = asset.packets if asset is not None else ()
    for packet in packets:
        if packet.kind is Kind.JUMBF and not packet.issues and validate(packet.data, changed).word == VALID:
            # Left: the heads of the store's own boxes, `ftyp`, padding beside the signature, manifests of ingredients.
            assert last_words(packet.data) == last_words(store_of(body))
            first = body.index(store_of(body)[:64])
            before = 80 if name.endswith(".avif") else 8
            assert first - before <= at < first + len(store_of(body))


def last_words(store):
    """Claim and assertions of the last manifest, as octets."""
    outer = next(superboxes(store, 0, len(store)))
    own = list(superboxes(store, outer.start, outer.stop))[-1]
    parts = {span.label: store[span.start : span.stop] for span in superboxes(store, own.start, own.stop)}
    return [octets[30:] for label, octets in parts.items() if label != "c2pa.signature"]


@given(st.binary(max_size=400), st.binary(max_size=100))
def test_no_octets_make_it_raise(store, body):
    assert validate(store, body).word != VALID
    assert validate(box(b"jumb", box(b"jumd", bytes(16) + b"\3c2pa\0") + store), body).word != VALID


# -- what follows ------------------------------------------------------------------------------------------------------


def files(registry, *certificates):
    """The shipped tables, with an operator's list of signers."""
    first, *others = registry.protocols
    signers = tuple(Signer(name="Archive", certificate=digest, why="agreed in writing") for digest in certificates)
    return FileTables([Vocabulary(one) for one in (msgspec.structs.replace(first, signers=signers), *others)])


def said(registry, body, *certificates):
    signals = files(registry, *certificates).read(read_asset(body, ""))
    return [signal for signal in signals if signal.protocol == "cawg"]


def test_permission_counts_only_when_valid_and_from_a_trusted_signer(registry):
    body = demo("granted.webp")
    signer = state_of(body).signer
    (trusted,) = said(registry, body, signer)
    assert trusted.effective == {"genai-train": "allow"} == trusted.strict
    assert trusted.issues == ("valid",)
    for given_, certificates, issues in (
        (body, (), ("valid", "signingCredential.untrusted")),
        (body, ("0" * 64,), ("valid", "signingCredential.untrusted")),
        (altered(body, 40), (signer,), ("unvalidated", "invalid", "assertion.dataHash.mismatch")),
    ):
        (signal,) = said(registry, given_, *certificates)
        assert (signal.strict, signal.effective, signal.issues) == ({}, {}, issues)


def test_refusal_counts_whatever_its_state(registry):
    body = demo("credential.webp")
    for given_, issues in (
        (body, ("valid", "signingCredential.untrusted")),
        (altered(body, 40), ("unvalidated", "invalid", "assertion.dataHash.mismatch")),
    ):
        (signal,) = said(registry, given_)
        assert (signal.effective, signal.issues) == ({"genai-train": "deny"}, issues)


def test_permission_outside_of_the_slot_or_beside_a_second_store_never_counts(registry):
    body = demo("granted.webp")
    tables, asset = files(registry, state_of(body).signer), read_asset(body, "")
    assert tables.read(asset)[0].effective
    outside = tuple(packet._replace(issues=("outside_slot",)) for packet in asset.packets)
    for packets in (asset.packets * 2, outside):
        signals = tables.read(asset._replace(packets=packets))
        assert signals
        assert not any(signal.effective for signal in signals)
