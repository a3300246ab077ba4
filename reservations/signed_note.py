"""Ed25519 keys and signature lines of C2SP signed notes: who may have signed a text, and whether they did.

A note is UTF-8 text that ends with a line break, an empty line, and signature lines (https://c2sp.org/signed-note).
Public keys are one line: name, number and key, joined by plus signs. Ed25519 is RFC 8032,
https://www.rfc-editor.org/rfc/rfc8032.
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

#: C2SP asks for names without white space and plus signs; ours are plainer, since they stand in logs.
KEY_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9./_@-]{0,99}")
_ED25519: Final = b"\x01"
_KEY_BYTES: Final = 32
_ID_BYTES: Final = 4
_SIGNATURE: Final = re.compile(r"\u2014 ([^\s+]{1,100}) ([A-Za-z0-9+/=]{1,120})")
_MAX_SIGNATURE_CHARS: Final = 4096
_MAX_TEXT_CHARS: Final = 16_384


class NoteError(ValueError):
    """A key or a note cannot be used; the message says why."""


class PublicKey(NamedTuple):
    """Who may have signed, and how to tell."""

    name: str
    id: bytes
    key: Ed25519PublicKey


def parse_public(text: str) -> PublicKey:
    """A public key out of its line.

    Raises:
        NoteError: it is not a public key, or its number is another's.
    """
    name, _, rest = text.strip().partition("+")
    number, _, encoded = rest.partition("+")
    raw = _decoded(encoded)
    if raw is None or raw[:1] != _ED25519 or len(raw) != 1 + _KEY_BYTES or KEY_NAME.fullmatch(name) is None:
        raise NoteError("This is not a public key.")
    key = Ed25519PublicKey.from_public_bytes(raw[1:])
    public = PublicKey(name, _key_id(name, key), key)
    if public.id.hex() != number:
        raise NoteError(f"The key of {name} does not fit its number.")
    return public


def public_line(name: str, public: Ed25519PublicKey) -> str:
    """The line of a public key."""
    return f"{name}+{_key_id(name, public).hex()}+{_encoded(_ED25519 + public.public_bytes_raw())}"


def signature_line(text: bytes, name: str, private: Ed25519PrivateKey) -> bytes:
    """The signature on a text, as a line."""
    number = _key_id(name, private.public_key())
    return f"\u2014 {name} {_encoded(number + private.sign(text))}\n".encode()


def signers(text: bytes, lines: bytes, keys: Iterable[PublicKey]) -> tuple[str, ...]:
    """The names of those of the keys that signed a text. Lines of other keys are passed over.

    Raises:
        NoteError: a line in the name of one of the keys is false.
    """
    known = {(key.name, key.id): key.key for key in keys}
    signed: list[str] = []
    for name, number, raw in _signatures(lines):
        key = known.get((name, number))
        if key is None:
            continue
        try:
            key.verify(raw, text)
        except InvalidSignature as fault:
            raise NoteError(f"The signature of {name} does not fit") from fault
        signed.append(name)
    return tuple(dict.fromkeys(signed))


def open_note(note: str, key: PublicKey) -> str:
    """The text of a note that the key has signed.

    Raises:
        NoteError: it is no signed note, too long, or the key has not signed it as it stands.
    """
    if len(note) > _MAX_TEXT_CHARS:
        raise NoteError(f"it is longer than {_MAX_TEXT_CHARS} characters")
    text, empty, lines = note.rpartition("\n\n")
    if not empty:
        raise NoteError("it has no empty line with a signature under it")
    text += "\n"
    try:
        signed = signers(text.encode(), lines.encode(), [key])
    except NoteError as error:
        raise NoteError(f"{error}: the text was changed after signing, or signed with another key") from error
    if not signed:
        raise NoteError(f"it is not signed with the key {key.name}+{key.id.hex()}")
    return text


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
