"""The private key that signs a log: where it may lie, and who may read it.

It lies outside the output folder and outside every git work tree, so that it is never handed on with a crawl or
committed, and only its owner may read it; otherwise nothing is signed. The file is unencrypted PKCS #8 PEM.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from provenance.checkpoint import Verifier, check_name

_MAX_KEY_BYTES = 4_096


class KeyFileError(Exception):
    """The key cannot be used as it lies there; the message says what to do."""


class SigningKey(msgspec.Struct, frozen=True):
    """A private key. It shows nothing of itself when printed.

    Attributes:
        private: the Ed25519 key.
    """

    private: Ed25519PrivateKey

    def verifier(self, origin: str) -> Verifier:
        """The public half, under the name of the log it signs.

        Raises:
            provenance.checkpoint.CheckpointError: the origin cannot name a key.
        """
        return Verifier(name=check_name(origin), public=self.private.public_key().public_bytes_raw())


def generate(path: Path, *, outside: Iterable[Path] = ()) -> SigningKey:
    """Make a key and write it to a new file that only its owner can read (0600, a new folder 0700).

    Raises:
        KeyFileError: a file is there already, the place is not allowed, or it cannot be written.
    """
    _check_place(path, outside)
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_whole(path, pem)
    except FileExistsError:
        raise KeyFileError(f"{path}: there is a file already; a key is never overwritten. Name another file") from None
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be written ({error.strerror}). Name a file in a folder of yours") from error
    return SigningKey(private)


def _write_whole(path: Path, pem: bytes) -> None:
    """A key file is whole and durable, or not there: half a key would stand in the way of the next start."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(descriptor)
        os.link(temporary, path)  # unlike a rename, never over another file
    finally:
        Path(temporary).unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load(path: Path, *, outside: Iterable[Path] = ()) -> SigningKey:
    """The key of a file.

    Args:
        path: the key file.
        outside: folders the key must not lie in; the output folder is one.

    Raises:
        KeyFileError: missing, a symbolic link, someone else's, readable by others, in a place not allowed, no key.
    """
    _check_place(path, outside)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be opened as a file of its own ({error.strerror}). {_REMEDY}") from error
    with os.fdopen(descriptor, "rb") as file:
        _check_owner(path, os.fstat(descriptor))
        pem = file.read(_MAX_KEY_BYTES)
    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise KeyFileError(f"{path}: not an unencrypted PEM private key. {_REMEDY}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise KeyFileError(f"{path}: not an Ed25519 key. {_REMEDY}")
    return SigningKey(private)


_REMEDY = "Name the key file itself, or another one that does not exist yet to have a key made"


def _check_owner(path: Path, info: os.stat_result) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise KeyFileError(f"{path}: not a regular file. {_REMEDY}")
    if info.st_uid != os.geteuid():
        raise KeyFileError(f"{path}: belongs to another user (uid {info.st_uid}). Use a key of your own")
    if info.st_mode & 0o077:
        raise KeyFileError(
            f"{path}: others can read it (mode {stat.S_IMODE(info.st_mode):04o}). If nobody has: chmod 600 {path}; "
            "otherwise make a new key and begin a new log"
        )


def _check_place(path: Path, outside: Iterable[Path]) -> None:
    folder = path.absolute().parent.resolve()
    for place in outside:
        if folder.is_relative_to(place.resolve()):
            raise KeyFileError(f"{path}: lies inside {place}, which is handed on. Move the key elsewhere")
    for parent in (folder, *folder.parents):
        if (parent / ".git").exists():
            raise KeyFileError(f"{path}: lies inside the git work tree {parent}. Move the key elsewhere")
