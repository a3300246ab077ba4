"""Staff's signature on a build: Ed25519 keys and signature lines of C2SP signed notes.

A manifest is UTF-8 text that ends with a line break, so manifest, an empty line and the signature lines together are a
signed note as it stands (https://c2sp.org/signed-note), and other tools can verify it; public keys are the one-line
texts of that family. `manifest.sig` holds the lines alone.
Ed25519 is RFC 8032, https://www.rfc-editor.org/rfc/rfc8032.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from blocklists.model import BlocklistError

_ED25519: Final = b"\x01"
_KEY_BYTES: Final = 32
_ID_BYTES: Final = 4
#: C2SP asks for names without white space and plus signs; ours are plainer, since they stand in logs.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9./_@-]{0,99}")
_SIGNATURE: Final = re.compile(r"\u2014 ([^\s+]{1,100}) ([A-Za-z0-9+/=]{1,120})")
_MAX_SIGNATURE_CHARS: Final = 4096


class PublicKey(NamedTuple):
    """Who may have signed, and how to tell."""

    name: str
    id: bytes
    key: Ed25519PublicKey


class StaffKey(NamedTuple):
    """The key of one member of staff, by name. Shows nothing of itself when printed."""

    name: str
    private: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"StaffKey(name={self.name!r})"

    @classmethod
    def of(cls, name: str, private: Ed25519PrivateKey) -> StaffKey:
        """The key under this name.

        Raises:
            BlocklistError: the name cannot stand in a key.
        """
        if _NAME.fullmatch(name) is None:
            raise BlocklistError(
                f"{name!r} cannot be the name of a key.",
                "key name",
                'Use letters, digits and . / _ @ -, for example "lists.example.org/a.berg".',
            )
        return cls(name, private)

    @classmethod
    def new(cls, name: str) -> StaffKey:
        """A fresh key under this name."""
        return cls.of(name, Ed25519PrivateKey.generate())

    def public_text(self) -> str:
        """The public half, for the allow-list of those who use the build: `name+number+key`."""
        public = self.private.public_key()
        return f"{self.name}+{_key_id(self.name, public).hex()}+{_encoded(_ED25519 + public.public_bytes_raw())}"


def parse_public(text: str) -> PublicKey:
    """A public key out of its text.

    Raises:
        BlocklistError: it is not a public key.
    """
    name, _, rest = text.strip().partition("+")
    number, _, encoded = rest.partition("+")
    raw = _decoded(encoded)
    if raw is None or raw[:1] != _ED25519 or len(raw) != 1 + _KEY_BYTES or _NAME.fullmatch(name) is None:
        raise BlocklistError("This is not a public key.", "public key", "Copy the whole line: name+number+key.")
    key = Ed25519PublicKey.from_public_bytes(raw[1:])
    public = PublicKey(name, _key_id(name, key), key)
    if public.id.hex() != number:
        raise BlocklistError(f"The key of {name} does not fit its number.", "public key", "Copy the whole line again.")
    return public


def sign_manifest(manifest: bytes, key: StaffKey) -> bytes:
    """The content of `manifest.sig`: one signature line."""
    number = _key_id(key.name, key.private.public_key())
    return f"\u2014 {key.name} {_encoded(number + key.private.sign(manifest))}\n".encode()


def person_of(key_name: str) -> str:
    """Who a key says it is of: what follows the last slash of its name."""
    return key_name.rpartition("/")[2]


def verify_manifest(manifest: bytes, signature: bytes, allowed_public_keys: Iterable[str]) -> tuple[str, ...]:
    """The names of the allowed keys that signed this manifest. Lines of keys that are not on the list are passed over.

    Raises:
        BlocklistError: no allowed key signed it, or a line in the name of one is false.
    """
    keys = {(key.name, key.id): key.key for key in map(parse_public, allowed_public_keys)}
    if not keys:
        raise BlocklistError(
            "No key is trusted to sign blocklists.",
            "KNOCKFIRST_BLOCKLIST_KEYS",
            "Set it to the public keys of your staff.",
        )
    signed: list[str] = []
    for name, number, raw in _signatures(signature):
        key = keys.get((name, number))
        if key is None:
            continue
        try:
            key.verify(raw, manifest)
        except InvalidSignature as fault:
            raise BlocklistError(
                f"The signature of {name} does not fit the manifest.",
                "manifest.sig",
                "The manifest was changed after signing: take the build again from where it was made.",
            ) from fault
        signed.append(name)
    if not signed:
        raise BlocklistError(
            "The list is not signed by anybody whose key is trusted here.",
            "manifest.sig",
            "Have it signed, or add the signer's public key to KNOCKFIRST_BLOCKLIST_KEYS.",
        )
    return tuple(dict.fromkeys(signed))


def _signatures(signature: bytes) -> Iterator[tuple[str, bytes, bytes]]:
    """Name, key id and signature of each line that is one."""
    text = signature[:_MAX_SIGNATURE_CHARS].decode(errors="replace")
    for line in text.splitlines():
        found = _SIGNATURE.fullmatch(line)
        raw = _decoded(found[2]) if found else None
        if found and raw:
            yield found[1], raw[:_ID_BYTES], raw[_ID_BYTES:]


def _key_id(name: str, public: Ed25519PublicKey) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public.public_bytes_raw()).digest()[:_ID_BYTES]


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
