"""Whether a content credential belongs to the file that it is in: signature, assertions, octets (C2PA 2.x, 15.10).

Looked at by ourselves, so that the same octets give the same answer on every machine: no network, no clock, no list of
authorities. Three things must hold: the signature is that of the certificate beside it over the claim (RFC 9052), each
assertion is listed in the claim with its digest, and the claim's digest over the file is the file's. Who signed is not
judged here; `State.signer` names the certificate, and the operator's own list says whom to believe.

What a credential refuses counts whatever comes of this. Only what it permits depends on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from reservations.readers.bmff import C2PA_UUID, top_boxes
from reservations.readers.jumbf import Pairs, Span, decode, read_boxes, superboxes
from reservations.readers.pieces import Unreadable

VALID: Final = "valid"
INVALID: Final = "invalid"
NOT_CHECKED: Final = "not-checked"

_ASSERTIONS: Final = "c2pa.assertions"
_SIGNATURE: Final = "c2pa.signature"
_CLAIMS: Final = ("c2pa.claim", "c2pa.claim.v2")
_LISTS: Final = ("assertions", "created_assertions", "gathered_assertions")
_DATA_HASH: Final = "c2pa.hash.data"
_BOX_HASHES: Final = ("c2pa.hash.bmff.v2", "c2pa.hash.bmff.v3")
_SELF: Final = "self#jumbf="
_HASHES: Final[Mapping[str, Callable[[], hashlib._Hash]]] = {
    "sha256": hashlib.sha256,
    "sha384": hashlib.sha384,
    "sha512": hashlib.sha512,
}
#: COSE algorithms that C2PA admits (RFC 9053, RFC 8230): family and digest.
_ALGORITHMS: Final[Mapping[int, tuple[str, hashes.HashAlgorithm]]] = {
    -7: ("ecdsa", hashes.SHA256()),
    -35: ("ecdsa", hashes.SHA384()),
    -36: ("ecdsa", hashes.SHA512()),
    -37: ("pss", hashes.SHA256()),
    -38: ("pss", hashes.SHA384()),
    -39: ("pss", hashes.SHA512()),
    -8: ("eddsa", hashes.SHA512()),
}
_ALGORITHM: Final = 1
_CHAIN: Final = (33, "x5chain")
_COSE_PARTS: Final = 4
_MAX_CERTIFICATE: Final = 16_384
_MAX_RSA_BITS: Final = 8_192
#: What may be left out of the digest over a file besides the store: heads of its segments, 20 in 65,000 octets.
_SLACK: Final = 64
_SLACK_SHARE: Final = 1_000
#: Boxes that a digest over a BMFF file may leave out, beside the `uuid` box of the store.
_LEFT_OUT: Final = frozenset({"/ftyp", "/mfra", "/free", "/skip"})


class State(NamedTuple):
    """What came of looking.

    Attributes:
        word: `VALID`, `INVALID`, or `NOT_CHECKED` when it uses what is not read here.
        code: why it is not valid, in the status codes of C2PA where there is one; "" when it is.
        signer: SHA-256 of the signing certificate in hexadecimal; "" unless valid.
    """

    word: str
    code: str = ""
    signer: str = ""


class _Fault(Exception):  # noqa: N818 - a finding, not a fault of ours
    def __init__(self, code: str, word: str = INVALID) -> None:
        super().__init__(code)
        self.state = State(word, code)


def _unknown(code: str) -> _Fault:
    return _Fault(code, NOT_CHECKED)


def validate(store: bytes, body: bytes) -> State:
    """The state of the last manifest of a store, which is the file's own.

    Args:
        store: the boxes, from the outermost header on.
        body: the whole file, with the store in it.
    """
    try:
        manifest = _own(store)
        claim_octets, claim = _claim(store, manifest)
        signer = _signed(store, manifest, claim_octets)
        listed = _listed(store, manifest, claim)
        _bound(listed, _text(claim, "alg"), store, body)
    except _Fault as fault:
        return fault.state
    except Unreadable:
        return State(INVALID, "claim.malformed")
    return State(VALID, signer=signer)


def _own(store: bytes) -> Span:
    outer = next(superboxes(store, 0, len(store)), None)
    if outer is None or outer.label != "c2pa":
        raise _Fault("claim.missing")
    manifests = list(superboxes(store, outer.start, outer.stop))
    if not manifests:
        raise _unknown("manifest.compressed")
    return manifests[-1]


def _only(store: bytes, within: Span, *labels: str) -> Span:
    """The one superbox with one of these labels; several would be ambiguous."""
    found = [span for span in superboxes(store, within.start, within.stop) if span.label in labels]
    if len(found) != 1:
        raise _Fault(f"{labels[0].removeprefix('c2pa.')}.{'multiple' if found else 'missing'}")
    return found[0]


def _content(store: bytes, span: Span) -> tuple[bytes, object]:
    """The octets and the value of a superbox with one CBOR box in it."""
    box = store[span.start : span.stop]
    contents = [content for content in read_boxes(box) if content.kind == "cbor"]
    if len(contents) != 1:
        raise _Fault("claim.malformed")
    return contents[0].data, decode("cbor", contents[0].data)


def _claim(store: bytes, manifest: Span) -> tuple[bytes, object]:
    return _content(store, _only(store, manifest, *_CLAIMS))


def _get(tree: object, *keys: object) -> object:
    """The value of a key; None when it is not there or not the only one."""
    found = [value for key, value in tree.pairs if key in keys] if isinstance(tree, Pairs) else []
    return found[0] if len(found) == 1 else None


def _text(tree: object, key: str) -> str:
    value = _get(tree, key)
    return value if isinstance(value, str) else ""


# -- the signature over the claim --------------------------------------------------------------------------------------


def _signed(store: bytes, manifest: Span, claim: bytes) -> str:
    """SHA-256 of the certificate whose key signed the claim (COSE_Sign1, RFC 9052 section 4.4)."""
    _, parts = _content(store, _only(store, manifest, _SIGNATURE))
    if not isinstance(parts, list) or len(parts) != _COSE_PARTS:
        raise _Fault("claimSignature.mismatch")
    protected, unprotected, payload, signature = parts
    if not isinstance(protected, bytes) or not isinstance(signature, bytes) or payload not in (None, claim):
        raise _Fault("claimSignature.mismatch")
    headers = decode("cbor", protected)
    algorithm = _ALGORITHMS.get(number) if isinstance(number := _get(headers, _ALGORITHM), int) else None
    if algorithm is None:
        raise _unknown("algorithm.unsupported")
    certificate = _certificate(_get(headers, *_CHAIN) or _get(unprotected, *_CHAIN))
    signed = b"\x84" + _string(0x60, b"Signature1") + b"".join(_string(0x40, part) for part in (protected, b"", claim))
    try:
        _verify(x509.load_der_x509_certificate(certificate).public_key(), algorithm, signature, signed)
    except UnsupportedAlgorithm:
        raise _unknown("algorithm.unsupported") from None
    except InvalidSignature:
        raise _Fault("claimSignature.mismatch") from None
    except (ValueError, TypeError, x509.InvalidVersion):
        raise _Fault("signingCredential.invalid") from None
    return hashlib.sha256(certificate).hexdigest()


def _certificate(chain: object) -> bytes:
    first = chain[0] if isinstance(chain, list) and chain else chain
    if not isinstance(first, bytes) or len(first) > _MAX_CERTIFICATE:
        raise _Fault("signingCredential.invalid")
    return first


def _string(major: int, octets: bytes) -> bytes:
    """A string in CBOR's shortest form (RFC 8949 section 3)."""
    size = len(octets)
    for limit, mark, width in ((24, None, 0), (1 << 8, 24, 1), (1 << 16, 25, 2), (1 << 32, 26, 4)):
        if size < limit:
            head = bytes([major | size]) if mark is None else bytes([major | mark]) + size.to_bytes(width, "big")
            return head + octets
    raise _Fault("claim.malformed")


def _verify(key: object, algorithm: tuple[str, hashes.HashAlgorithm], signature: bytes, signed: bytes) -> None:
    family, digest = algorithm
    if family == "ecdsa" and isinstance(key, ec.EllipticCurvePublicKey):
        size = (key.key_size + 7) // 8
        if len(signature) != 2 * size:
            raise InvalidSignature
        pair = (int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big"))
        key.verify(encode_dss_signature(*pair), signed, ec.ECDSA(digest))
    elif family == "pss" and isinstance(key, rsa.RSAPublicKey) and key.key_size <= _MAX_RSA_BITS:
        key.verify(signature, signed, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    elif family == "eddsa" and isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, signed)
    else:
        raise UnsupportedAlgorithm(family)


# -- the assertions that the claim lists -------------------------------------------------------------------------------


def _listed(store: bytes, manifest: Span, claim: object) -> dict[str, object]:
    """The values of the assertions that bind the file, by name, when every assertion is listed with its digest."""
    box = _only(store, manifest, _ASSERTIONS)
    there = list(superboxes(store, box.start, box.stop))
    spans = {span.label: span for span in there}
    if len(spans) != len(there):
        raise _Fault("assertion.multiple")
    digests = dict(_references(claim, manifest.label))
    if digests.keys() - spans.keys():
        raise _Fault("assertion.missing")
    if spans.keys() - digests.keys():
        raise _Fault("assertion.undeclared")
    for label, (algorithm, digest) in digests.items():
        span = spans[label]
        if _digest(algorithm, [store[span.start : span.stop]]) != digest:
            raise _Fault("assertion.hashedURI.mismatch")
    return {label: _content(store, span)[1] for label, span in spans.items() if label.startswith("c2pa.hash.")}


def _references(claim: object, manifest: str) -> Iterator[tuple[str, tuple[str, object]]]:
    """The assertions that a claim lists, each once: name, algorithm and digest."""
    seen: set[str] = set()
    for name in _LISTS:
        rows = _get(claim, name)
        for row in rows if isinstance(rows, list) else []:
            url = _text(row, "url").removeprefix(_SELF).removeprefix(f"/c2pa/{manifest}/")
            folder, _, label = url.partition("/")
            if folder != _ASSERTIONS or label in seen:
                raise _Fault("claim.malformed")
            seen.add(label)
            yield label, (_text(row, "alg") or _text(claim, "alg"), _get(row, "hash"))


def _digest(algorithm: str, parts: list[bytes | memoryview]) -> bytes:
    if algorithm not in _HASHES:
        raise _unknown("algorithm.unsupported")
    whole = _HASHES[algorithm]()
    for part in parts:
        whole.update(part)
    return whole.digest()


# -- the digest over the file ------------------------------------------------------------------------------------------


def _bound(listed: Mapping[str, object], default: str, store: bytes, body: bytes) -> None:
    """That the claim's one digest over the file is the file's."""
    if len(listed) != 1:
        raise _Fault("claim.hardBindings.missing" if not listed else "assertion.multipleHardBindings")
    ((name, binding),) = listed.items()
    algorithm = _text(binding, "alg") or default
    if name == _DATA_HASH:
        parts: list[bytes | memoryview] = list(_around(binding, store, body))
        code = "assertion.dataHash.mismatch"
    elif name in _BOX_HASHES and _get(binding, "merkle") is None:
        parts = list(_box_by_box(binding, body))
        code = "assertion.bmffHash.mismatch"
    else:
        raise _unknown("binding.unsupported")
    if _digest(algorithm, parts) != _get(binding, "hash"):
        raise _Fault(code)


def _around(binding: object, store: bytes, body: bytes) -> Iterator[memoryview]:
    """The file without the stretch that holds the store, which may hold little else."""
    rows = _get(binding, "exclusions")
    row = rows[0] if isinstance(rows, list) and len(rows) == 1 else None
    start, length = _get(row, "start"), _get(row, "length")
    if not isinstance(start, int) or not isinstance(length, int) or start < 0 or length < 0:
        raise _Fault("assertion.dataHash.malformed")
    most = len(store) + len(store) // _SLACK_SHARE + _SLACK
    if length > most or body.find(store[:_SLACK], start, start + length) < 0:
        raise _Fault("assertion.dataHash.mismatch")
    view = memoryview(body)
    yield view[:start]
    yield view[start + length :]


def _box_by_box(binding: object, body: bytes) -> Iterator[bytes | memoryview]:
    """The boxes of a BMFF file that are not left out, each behind its offset in 8 octets."""
    rows = _get(binding, "exclusions")
    left_out = {_text(row, "xpath") for row in rows} if isinstance(rows, list) else set()
    if "/uuid" not in left_out or not left_out <= _LEFT_OUT | {"/uuid"}:
        raise _unknown("binding.unsupported")
    view = memoryview(body)
    for kind, start, content, stop in top_boxes(body):
        is_store = kind == b"uuid" and body[content : content + 16] == C2PA_UUID
        if not is_store and (kind == b"uuid" or f"/{kind.decode('latin-1')}" not in left_out):
            yield start.to_bytes(8, "big")
            yield view[start:stop]
