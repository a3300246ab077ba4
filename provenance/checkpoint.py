"""The signed head of a log: C2SP tlog-checkpoint inside a C2SP signed note with Ed25519.

Formats: https://c2sp.org/tlog-checkpoint and https://c2sp.org/signed-note. Parsing is strict to the byte: there is
one spelling of a note, so that a changed byte anywhere in it is a changed note. Signatures of other keys (witnesses)
may stand beside ours and are left alone.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from provenance.tree import HASH_BYTES

MAX_NOTE_BYTES: Final = 16_384
ED25519: Final = b"\x01"
KEY_HASH_BYTES: Final = 4
_DASH: Final = "\N{EM DASH} "
_MAX_SIZE: Final = 2**63


class CheckpointError(ValueError):
    """The text is not a checkpoint, or not one that the key signed."""


class Verifier(msgspec.Struct, frozen=True, kw_only=True):
    """A key that signs one log, as anybody may know it.

    Attributes:
        name: the key's name; ours equals the log's origin.
        public: the 32 octets of the Ed25519 public key.
    """

    name: str
    public: bytes

    @property
    def key_hash(self) -> bytes:
        """Four octets that say which key a signature line is for."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:KEY_HASH_BYTES]

    def line(self) -> str:
        """The verifier line (vkey): name, key hash and key, joined by plus signs."""
        return f"{self.name}+{self.key_hash.hex()}+{_base64(ED25519 + self.public)}"

    @classmethod
    def parse(cls, line: str) -> Verifier:
        """The key of a verifier line.

        Raises:
            CheckpointError: the line is none, its hash does not fit, or its key is not Ed25519.
        """
        try:
            name, key_hash, key = line.split("+", 2)
        except ValueError:
            raise CheckpointError("verifier line is not NAME+HASH+KEY") from None
        octets = _octets(key)
        if octets[:1] != ED25519 or len(octets) != 1 + HASH_BYTES:
            raise CheckpointError("verifier line holds no Ed25519 key (type 1 and 32 octets)")
        verifier = cls(name=check_name(name), public=octets[1:])
        if verifier.key_hash.hex() != key_hash:
            raise CheckpointError(f"verifier line says key hash {key_hash[:16]!r}, its key has another")
        return verifier


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a log at one size.

    Attributes:
        origin: which log.
        size: number of leaves.
        root: root hash over them.
    """

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{_base64(self.root)}\n"


def parse_chain(text: str) -> tuple[Verifier, ...]:
    """The keys of a log's verifier file, oldest first: one line each, more than one where keys were handed over.

    Raises:
        CheckpointError: a line is no verifier line or not in its one spelling, or they are not of one log.
    """
    keys = tuple(Verifier.parse(line) for line in text.removesuffix("\n").split("\n"))
    if chain_text(keys) != text:
        raise CheckpointError("more, or other, than one verifier line after the other")
    if len({key.name for key in keys}) > 1 or len(set(keys)) < len(keys):
        raise CheckpointError("keys of several logs, or one of them twice")
    return keys


def chain_text(keys: Iterable[Verifier]) -> str:
    """The verifier file of a log with these keys, oldest first."""
    return "".join(f"{key.line()}\n" for key in keys)


def sign(checkpoint: Checkpoint, *privates: Ed25519PrivateKey) -> bytes:
    """The checkpoint as a signed note, a line for each key; the keys' name is the log's origin."""
    text, lines = checkpoint.text(), []
    for private in privates:
        verifier = Verifier(name=check_name(checkpoint.origin), public=private.public_key().public_bytes_raw())
        lines.append(f"{_DASH}{verifier.name} {_base64(verifier.key_hash + private.sign(text.encode()))}\n")
    return f"{text}\n{''.join(lines)}".encode()


def open_by_any(note: bytes, verifiers: Iterable[Verifier]) -> Checkpoint:
    """The checkpoint of a note that one of these keys has signed.

    Raises:
        CheckpointError: none has; what was wrong for the last of them.
    """
    fault = CheckpointError("no key to check it with")
    for verifier in verifiers:
        try:
            return open_note(note, verifier)
        except CheckpointError as error:
            fault = error
    raise fault


def open_note(note: bytes, verifier: Verifier) -> Checkpoint:
    """The checkpoint of a note that `verifier` has signed.

    Raises:
        CheckpointError: malformed in any way, another log's, or without a good signature of this key.
    """
    text, signatures = _take_apart(note)
    own = [signature for name, signature in signatures if _is_by(name, signature, verifier)]
    if len(own) != 1:
        raise CheckpointError(f"{len(own)} signatures by {verifier.line()!r}, exactly one is needed")
    try:
        Ed25519PublicKey.from_public_bytes(verifier.public).verify(own[0][KEY_HASH_BYTES:], text.encode())
    except (InvalidSignature, ValueError):
        raise CheckpointError(f"the signature by {verifier.name!r} is wrong") from None
    checkpoint = _parse_text(text)
    if checkpoint.origin != verifier.name:
        raise CheckpointError(f"signed for log {checkpoint.origin!r}, not {verifier.name!r}")
    return checkpoint


def check_name(name: str) -> str:
    """The name of a key or log, if it can be one.

    Raises:
        CheckpointError: it is empty, or holds a space, a plus sign or a control character.
    """
    if not name or "+" in name or not name.isprintable() or any(char.isspace() for char in name):
        raise CheckpointError(f"{name!r} cannot name a log: no spaces, plus signs or control characters, not empty")
    return name


def _take_apart(note: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    if len(note) > MAX_NOTE_BYTES:
        raise CheckpointError(f"longer than {MAX_NOTE_BYTES} bytes")
    try:
        whole = note.decode()
    except UnicodeDecodeError:
        raise CheckpointError("not UTF-8") from None
    if any(char < " " and char != "\n" for char in whole):
        raise CheckpointError("holds control characters")
    text, blank, tail = whole.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise CheckpointError("no blank line before the signatures, or no newline at the end")
    return text + "\n", [_signature(line) for line in tail[:-1].split("\n")]


def _signature(line: str) -> tuple[str, bytes]:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    octets = _octets(encoded) if space and line.startswith(_DASH) else b""
    if len(octets) <= KEY_HASH_BYTES:
        raise CheckpointError("a signature line is not an em dash, a name and base64")
    return check_name(name), octets


def _is_by(name: str, signature: bytes, verifier: Verifier) -> bool:
    return name == verifier.name and signature[:KEY_HASH_BYTES] == verifier.key_hash


def _parse_text(text: str) -> Checkpoint:
    lines = text[:-1].split("\n")
    if len(lines) < 3 or not all(lines):  # noqa: PLR2004 - origin, size, root; extension lines may follow
        raise CheckpointError("a checkpoint has a line each for origin, size and root")
    origin, size, root = lines[:3]
    if not (size.isascii() and size.isdigit()) or str(int(size[:20])) != size or int(size) >= _MAX_SIZE:
        raise CheckpointError("the size is no plain decimal number")
    octets = _octets(root)
    if len(octets) != HASH_BYTES:
        raise CheckpointError("the root hash has not 32 octets")
    return Checkpoint(origin=origin, size=int(size), root=octets)


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def _octets(text: str) -> bytes:
    """Base64 in its one spelling: padded, and with zero bits where bits are unused."""
    try:
        octets = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise CheckpointError("not base64") from None
    if _base64(octets) != text:
        raise CheckpointError("base64 with stray bits")
    return octets
