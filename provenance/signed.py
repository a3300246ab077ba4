"""A log as it was signed: its keys, its newest checkpoint, and one reading of it for proofs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from provenance.checkpoint import (
    MAX_NOTE_BYTES,
    Checkpoint,
    CheckpointError,
    Verifier,
    open_by_any,
    parse_chain,
)
from provenance.log import CHECKPOINT, VERIFIER
from provenance.segments import Leaf, read_lines, segments, to_leaf
from provenance.tree import leaf_hash, root_of
from provenance.warcfile import open_regular

Progress = Callable[[str, int, int], None]
"""Told what is being read, bytes done, bytes in all."""

_TELL_EVERY: Final = 4_096
_ERASED: Final = b'{"t":"erased"'


class ProofError(Exception):
    """There is no such proof to be given, or the file does not prove what it says. The message says why."""


class SignedLog:
    """A log read once: every leaf hash, the leaves that are wanted, and its newest checkpoint.

    Args:
        folder: the log.
        wanted: says of a line whether its leaf is.
        progress: told how far it is.

    Raises:
        ProofError: nothing is signed, or the log is not the one that was.
        provenance.segments.LogError: it cannot be read.
    """

    def __init__(self, folder: Path, wanted: Callable[[bytes], bool], progress: Progress | None = None) -> None:
        self.folder = folder
        self.hashes: list[bytes] = []
        self.found: list[Leaf] = []
        self._read(wanted, progress or (lambda _step, _done, _total: None))
        self.verifier = read_verifier(folder)
        self.note = _read_note(folder / CHECKPOINT)
        self.head = open_signed(self.note, self.verifier)
        if self.head.size > len(self.hashes) or root_of(self.hashes[: self.head.size]) != self.head.root:
            raise ProofError(f"{folder}: the log is not the one that was signed. Run `knockfirst verify`")
        del self.hashes[self.head.size :]

    def _read(self, wanted: Callable[[bytes], bool], progress: Progress) -> None:
        paths = segments(self.folder)
        read, total = 0, sum(path.stat().st_size for path in paths)
        for path in paths:
            for number, line in enumerate(read_lines(path), 1):
                read += len(line)
                if number % _TELL_EVERY == 0:
                    progress("log", read, total)
                if line.endswith(b"\n"):
                    self._take(line[:-1], path.name, number, wanted)
        progress("log", total, total)

    def _take(self, line: bytes, file: str, number: int, wanted: Callable[[bytes], bool]) -> None:
        if wanted(line) or line.startswith(_ERASED):
            leaf = to_leaf(line, len(self.hashes), file, number)
            self.found.append(leaf)
            self.hashes.append(leaf.hash)
        else:
            self.hashes.append(leaf_hash(line))


def open_signed(note: bytes, *keys: Verifier) -> Checkpoint:
    """The checkpoint of a note that one of the keys signed.

    Raises:
        ProofError: none did.
    """
    try:
        return open_by_any(note, keys)
    except CheckpointError as error:
        raise ProofError(f"the checkpoint is not good: {error}") from error


def read_verifier(folder: Path) -> Verifier:
    """The log's own verifier line: of the key that signs it now.

    Raises:
        ProofError: there is none.
    """
    return read_keys(folder)[-1]


def read_keys(folder: Path) -> Sequence[Verifier]:
    """All keys that the log lists, oldest first.

    Raises:
        ProofError: there is none.
    """
    try:
        with open_regular(folder / VERIFIER) as file:
            return parse_chain(file.read(MAX_NOTE_BYTES).decode())
    except (OSError, ValueError) as error:
        raise ProofError(f"{folder / VERIFIER}: no verifier line ({error})") from error


def _read_note(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read(MAX_NOTE_BYTES + 1)
    except OSError as error:
        raise ProofError(f"{path}: nothing is signed yet ({error.strerror or error})") from error


def signed_size(folder: Path) -> int:
    """How many entries the newest checkpoint says there are; to show how far a reading is.

    Raises:
        ProofError: there is none.
    """
    return open_signed(_read_note(folder / CHECKPOINT), *read_keys(folder)).size
