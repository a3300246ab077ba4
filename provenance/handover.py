"""From one key of a log to the next: who has the first one can follow, and nobody gets in between.

The old key vouches for the new one: an entry names it, and the checkpoint over that entry is signed by both. `log.vkey`
lists all keys, oldest first, and is believed only as far as such checkpoints lead. docs/log-format.md, "Keys".
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from provenance.checkpoint import Checkpoint, CheckpointError, Verifier, open_note
from provenance.entry import VERSION, Entry, KeyEntry, new_nonce, timestamp
from provenance.keys import SigningKey
from provenance.log import LogError, LogWriter
from provenance.proof import read_verifier
from provenance.segments import Leaf


def rotate(folder: Path, old: SigningKey, new: SigningKey, why: str, *, now: dt.datetime) -> Verifier:
    """Have a log signed by another key from here on. Run again after a crash, it finishes what it began.

    Args:
        folder: the log; nobody may write it meanwhile.
        old: the key that signs it now.
        new: the one that is to.
        why: the cause, in words; it stays in the log.
        now: the time, aware.

    Raises:
        LogError: the log cannot be written, `old` does not sign it, or a change to another key is to be finished.
        ProofError: it has no verifier line.
    """
    run = ""

    def visit(entry: Entry) -> None:
        nonlocal run
        run = entry.run

    log = LogWriter.open(folder, read_verifier(folder).name, old, visit=visit, handing_over=True)
    with closing(log):
        key = new.verifier(log.origin)
        if log.half_handed_over not in {"", key.line()}:
            what = f"{folder}: the change to key {log.half_handed_over!r} broke off"
            raise LogError(f"{what}. Finish it first: name the file of that key, not of {key.line()!r}")
        ms = int(now.timestamp() * 1000)
        head = {"v": VERSION, "seq": log.next_seq, "n": new_nonce(), "ts": timestamp(ms), "run": run}
        log.hand_over(KeyEntry(**head, key=key.line(), why=why), new)  # type: ignore[arg-type]
    return key


class Keys:
    """The keys of a log, as one checkpoint after the other shows who signs from where on.

    Args:
        keys: as `log.vkey` lists them, oldest first.
    """

    def __init__(self, keys: Sequence[Verifier]) -> None:
        self._keys = tuple(keys)
        self._at = 0
        self._begins = [0]  # per key so far, the size of the first checkpoint that it signed
        self._named: dict[str, int] = {}  # verifier line to the first entry that hands over to it

    @property
    def lines(self) -> frozenset[str]:
        """The keys' verifier lines."""
        return frozenset(key.line() for key in self._keys)

    def open(self, note: bytes) -> Checkpoint:
        """A checkpoint, signed by the key whose turn it is; where the next one signed it, too, it is that one's turn.

        Raises:
            CheckpointError: it is not signed so.
        """
        head = open_note(note, self._keys[self._at])
        if self._at + 1 < len(self._keys) and _signed(note, self._keys[self._at + 1]):
            self._at += 1
            self._begins.append(head.size)
        return head

    def see(self, leaf: Leaf) -> None:
        """Take in one leaf of the log."""
        if isinstance(leaf.entry, KeyEntry):
            self._named.setdefault(leaf.entry.key, leaf.seq)

    def faults(self) -> list[str]:
        """What is wrong with the handing over, once all checkpoints and entries have been seen."""
        found = []
        for key, begins in zip(self._keys[1:], self._begins[1:], strict=False):
            if self._named.get(key.line(), begins) >= begins:
                found.append(f"key {key.line()!r} signs from {begins} entries on, and none of them hands over to it")
        found += [
            f"key {key.line()!r} is listed, and no checkpoint is signed by it and the one before"
            for key in self._keys[self._at + 1 :]
        ]
        found += [
            f"entry {seq} hands over to key {line!r}, which log.vkey does not list"
            for line, seq in self._named.items()
            if line not in self.lines
        ]
        return found

    def notes(self) -> list[str]:
        """Who signs from where on, where the key was changed."""
        pairs = zip(self._keys[1:], self._begins[1:], strict=False)
        return [f"the key was changed: {key.line()} signs from {begins} entries on" for key, begins in pairs]


def _signed(note: bytes, key: Verifier) -> bool:
    try:
        open_note(note, key)
    except CheckpointError:
        return False
    return True
