"""Level 4 of verification: what others keep of the log: older checkpoints, and time stamps by RFC 3161.

Whoever holds a log's key can write the whole log anew, and nothing inside it would show. A checkpoint that somebody
else kept does, and a time stamp shows that a checkpoint was there at a time. Stamps lie in `log/anchors/<size>.tsr`,
over the bytes of the checkpoint of that size. Standard: https://www.rfc-editor.org/rfc/rfc3161.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from provenance.checkpoint import MAX_NOTE_BYTES, CheckpointError, Verifier, open_by_any, open_note
from provenance.disk import Disk, replace
from provenance.log import CHECKPOINT
from provenance.proof import read_verifier
from provenance.report import Level
from provenance.tree import Frontier
from provenance.warcfile import open_regular

ANCHORS: Final = "anchors"
_STAMP: Final = re.compile(r"(0|[1-9][0-9]{0,18})\.tsr")
_MAX_STAMP_BYTES: Final = 65_536
_KEEP: Final = "Keep both, and ask the log's operator to explain; this log is not the one that was seen then"


class AnchorError(Exception):
    """There is no stamp to be had, or it is not good. The message says why."""


class Outside(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller brings along from elsewhere.

    Attributes:
        checkpoints: signed notes of this log, each with the name of where it comes from.
        roots: PEM of the authorities whose time stamps are believed.
    """

    checkpoints: tuple[tuple[str, bytes], ...] = ()
    roots: bytes = b""


class Anchors:
    """Compares a log, as it is read, with what is kept outside of it."""

    def __init__(self, folder: Path, keys: Sequence[Verifier], outside: Outside, level: Level) -> None:
        self._folder = folder / ANCHORS
        self._level = level
        self._roots = outside.roots
        self._heads: dict[int, list[tuple[str, bytes]]] = {}
        for name, note in outside.checkpoints:
            self._take(name, note, keys)
        self._stamps = self._list()
        self._notes: dict[int, bytes] = {}

    def _take(self, name: str, note: bytes, keys: Sequence[Verifier]) -> None:
        try:
            head = open_by_any(note, keys)
        except CheckpointError as error:
            self._level.differs(name, "", f"no checkpoint of this log: {error}", "Compare it with the log's key")
            return
        self._heads.setdefault(head.size, []).append((name, head.root))

    def _list(self) -> dict[int, Path]:
        if not self._folder.is_dir() or self._folder.is_symlink():
            return {}
        found = ((_STAMP.fullmatch(path.name), path) for path in sorted(self._folder.iterdir()))
        return {int(match[1]): path for match, path in found if match}

    def next(self, size: int) -> float:
        """The next size, above this one, whose root is to be compared; infinite when there is none."""
        return min((wanted for wanted in self._heads if wanted > size), default=math.inf)

    def note(self, size: int, note: bytes) -> None:
        """Remember a signed checkpoint of the log that a stamp may be over."""
        if size in self._stamps:
            self._notes[size] = note

    def at(self, tree: Frontier) -> None:
        """Compare the tree as it stands now."""
        for name, root in self._heads.pop(tree.size, ()):
            self._level.count("checkpoints kept elsewhere")
            if root != tree.root():
                what = f"the first {tree.size} entries are others than those that this checkpoint was signed over"
                self._level.differs(name, "", f"{what}: the log was written anew", _KEEP)

    def finish(self, size: int) -> None:
        """Report what is left, and look at the time stamps."""
        for wanted, heads in self._heads.items():
            for name, _ in heads:
                self._level.count("checkpoints kept elsewhere")
                self._level.differs(name, "", f"it has {wanted} entries, the log only {size}: some are gone", _KEEP)
        for wanted, path in self._stamps.items():
            self._check_stamp(wanted, path)
        if not self._level.counts:
            self._level.looked = False
            self._level.notes.append(
                "nothing outside vouches for this log: give an older checkpoint (--anchor), or the certificates of a "
                "time stamping authority (--tsa-roots) for stamps in log/anchors/"
            )

    def _check_stamp(self, size: int, path: Path) -> None:
        name = f"log/{ANCHORS}/{path.name}"
        if not self._roots:
            self._level.notes.append(f"{name} was not looked at: name its authority's certificates by --tsa-roots")
            return
        self._level.count("time stamps")
        note = self._notes.get(size)
        if note is None:
            self._level.differs(name, "", f"no checkpoint of {size} entries is in the log", _KEEP)
            return
        try:
            with open_regular(path) as file:
                stamp = check_stamp(file.read(_MAX_STAMP_BYTES + 1), note, self._roots)
        except (OSError, AnchorError) as error:
            self._level.differs(name, "", f"the time stamp is not good: {error}", "Restore it from a copy")
            return
        self._level.notes.append(f"the first {size} entries were there at {stamp}")


def check_stamp(octets: bytes, note: bytes, roots: bytes) -> str:
    """When a checkpoint was there, by a time stamp over it: ISO 8601, UTC.

    Raises:
        AnchorError: the stamp is not over this checkpoint, or not by an authority under these certificates.
    """
    try:
        response = decode_timestamp_response(octets)
        builder = VerifierBuilder()
        for certificate in x509.load_pem_x509_certificates(roots):
            builder = builder.add_root_certificate(certificate)
        builder.build().verify_message(response, note)
    except (ValueError, TypeError, VerificationError) as error:
        raise AnchorError(str(error) or type(error).__name__) from error
    return response.tst_info.gen_time.isoformat()


def stamp(folder: Path, send: Callable[[bytes], bytes]) -> tuple[Path, TimeStampResponse]:
    """Have the newest checkpoint of a log stamped, and keep the stamp beside it.

    Args:
        folder: the log.
        send: hands a request (application/timestamp-query) to the authority and gives back its reply.

    Raises:
        AnchorError: there is no checkpoint, or the reply is not for it.
    """
    try:
        with open_regular(folder / CHECKPOINT) as file:
            note = file.read(MAX_NOTE_BYTES + 1)
        head = open_note(note, read_verifier(folder))
    except (OSError, CheckpointError) as error:
        raise AnchorError(f"{folder}: no checkpoint to be stamped ({error})") from error
    request = TimestampRequestBuilder().data(note).hash_algorithm(HashAlgorithm.SHA256).nonce(nonce=True).build()
    reply = send(request.as_bytes())
    try:
        response = decode_timestamp_response(reply)
    except ValueError as error:
        raise AnchorError(f"the authority's reply is no time stamp ({error})") from error
    info = response.tst_info
    if info.nonce != request.nonce or info.message_imprint.message != hashlib.sha256(note).digest():
        raise AnchorError("the authority stamped something else")
    path = folder / ANCHORS / f"{head.size}.tsr"
    path.parent.mkdir(exist_ok=True)
    replace(Disk(), path, reply)
    return path, response


def read_outside(checkpoints: Sequence[Path], roots: Path | None) -> Outside:
    """What the caller names, read.

    Raises:
        OSError: a file cannot be read.
    """
    notes = []
    for path in checkpoints:
        with path.open("rb") as file:
            notes.append((str(path), file.read(MAX_NOTE_BYTES + 1)))
    return Outside(checkpoints=tuple(notes), roots=roots.read_bytes() if roots else b"")


def level_4() -> Level:
    """The level, with what it proves and does not."""
    return Level(
        name="L4",
        title="what others keep of the log",
        proves=(
            "The log begins with exactly the entries that the checkpoints kept elsewhere were signed over, and what "
            "was stamped was there at that time: it was not written anew since."
        ),
        proves_not=(
            "That entries behind the newest of these are unaltered, or that nobody was shown another log: for that, "
            "all must compare the same checkpoints."
        ),
    )
