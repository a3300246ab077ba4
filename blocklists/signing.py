"""Staff's signature on a build: Ed25519 keys and signature lines of C2SP signed notes.

A manifest is UTF-8 text that ends with a line break, so manifest, an empty line and the signature lines together are a
signed note as it stands (https://c2sp.org/signed-note), and other tools can verify it; public keys are the one-line
texts of that family. `manifest.sig` holds the lines alone.
Ed25519 is RFC 8032, https://www.rfc-editor.org/rfc/rfc8032.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blocklists.model import BlocklistError
from reservations import signed_note
from reservations.signed_note import KEY_NAME, NoteError, PublicKey


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
        if KEY_NAME.fullmatch(name) is None:
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
        return signed_note.public_line(self.name, self.private.public_key())


def parse_public(text: str) -> PublicKey:
    """A public key out of its text.

    Raises:
        BlocklistError: it is not a public key.
    """
    try:
        return signed_note.parse_public(text)
    except NoteError as fault:
        raise BlocklistError(str(fault), "public key", "Copy the whole line: name+number+key.") from fault


def sign_manifest(manifest: bytes, key: StaffKey) -> bytes:
    """The content of `manifest.sig`: one signature line."""
    return signed_note.signature_line(manifest, key.name, key.private)


def person_of(key_name: str) -> str:
    """Who a key says it is of: what follows the last slash of its name."""
    return key_name.rpartition("/")[2]


def verify_manifest(manifest: bytes, signature: bytes, allowed_public_keys: Iterable[str]) -> tuple[str, ...]:
    """The names of the allowed keys that signed this manifest. Lines of keys that are not on the list are passed over.

    Raises:
        BlocklistError: no allowed key signed it, or a line in the name of one is false.
    """
    keys = [parse_public(text) for text in allowed_public_keys]
    if not keys:
        raise BlocklistError(
            "No key is trusted to sign blocklists.",
            "KNOCKFIRST_BLOCKLIST_KEYS",
            "Set it to the public keys of your staff.",
        )
    try:
        signed = signed_note.signers(manifest, signature, keys)
    except NoteError as fault:
        raise BlocklistError(
            f"{fault} the manifest.",
            "manifest.sig",
            "The manifest was changed after signing: take the build again from where it was made.",
        ) from fault
    if not signed:
        raise BlocklistError(
            "The list is not signed by anybody whose key is trusted here.",
            "manifest.sig",
            "Have it signed, or add the signer's public key to KNOCKFIRST_BLOCKLIST_KEYS.",
        )
    return signed
