"""The Merkle tree over the log's lines: RFC 6962 section 2.1, which RFC 9162 section 2.1 repeats.

Standard: https://www.rfc-editor.org/rfc/rfc9162#section-2.1. A leaf hashes as SHA-256(00 || line), a node as
SHA-256(01 || left || right); the left subtree of n leaves holds the largest power of two smaller than n. `Frontier`
grows with one leaf at a time and remembers one hash per bit of the size; the proof functions want the leaf hashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

EMPTY_ROOT: Final = sha256(b"").digest()
HASH_BYTES: Final = 32
ROW: Final = 256
"""Leaves that `Frontier.extend` takes at a time, where it can."""


def leaf_hash(line: bytes) -> bytes:
    """The hash of one leaf."""
    return sha256(b"\x00" + line).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that is only ever appended to: its size and the roots of its complete subtrees, largest first.

    Example:
        >>> tree = Frontier()
        >>> tree.append(leaf_hash(b"a line"))
        >>> tree.root() == leaf_hash(b"a line")
        True
    """

    __slots__ = ("_peaks", "size")

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash; amortised two hashes."""
        merges = self.size
        while merges & 1:
            leaf = node_hash(self._peaks.pop(), leaf)
            merges >>= 1
        self._peaks.append(leaf)
        self.size += 1

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add leaf hashes in order: full rows of them are hashed row by row, which takes half the time."""
        at = 0
        while at < len(leaves):
            if self.size % ROW or len(leaves) - at < ROW:
                self.append(leaves[at])
                at += 1
                continue
            top, merges = root_of_row(leaves[at : at + ROW]), self.size // ROW
            while merges & 1:
                top = node_hash(self._peaks.pop(), top)
                merges >>= 1
            self._peaks.append(top)
            self.size += ROW
            at += ROW

    def root(self) -> bytes:
        """The root over all leaves so far."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root

    def copy(self) -> Frontier:
        """The tree as it stands now; grows independently from here on."""
        twin = Frontier()
        twin.size, twin._peaks = self.size, self._peaks.copy()
        return twin


def root_of_row(row: Sequence[bytes]) -> bytes:
    """The root over leaf hashes whose number is a power of two: row by row, in half the time of leaf by leaf."""
    while len(row) > 1:
        row = [sha256(b"\x01" + left + right).digest() for left, right in zip(row[::2], row[1::2], strict=True)]
    return row[0]


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes."""
    tree = Frontier()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The path from leaf `index` to the root over `leaves`, lowest sibling first (RFC 9162 2.1.3.1)."""
    if not 0 <= index < len(leaves):
        raise ValueError(f"no leaf {index} in a tree of {len(leaves)}")
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_proof(leaves[:split], index), root_of(leaves[split:])]
    return [*inclusion_proof(leaves[split:], index - split), root_of(leaves[:split])]


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """The nodes that show the tree over `leaves` to extend its own first `old_size` leaves (RFC 9162 2.1.4.1)."""
    if not 0 < old_size <= len(leaves):
        raise ValueError(f"no tree of {old_size} leaves inside one of {len(leaves)}")
    return _subproof(leaves, old_size, whole=True)


def range_proof(leaves: Sequence[bytes], first: int, end: int) -> list[bytes]:
    """The roots of the largest subtrees left and right of the leaves `first` to `end - 1`, from left to right."""
    if not 0 <= first < end <= len(leaves):
        raise ValueError(f"no leaves {first} to {end} in a tree of {len(leaves)}")
    nodes: list[bytes] = []

    def walk(begin: int, stop: int) -> None:
        if stop <= first or end <= begin:
            nodes.append(root_of(leaves[begin:stop]))
        elif stop - begin > 1:
            middle = begin + _split(stop - begin)
            walk(begin, middle)
            walk(middle, stop)

    walk(0, len(leaves))
    return nodes


def root_of_range(size: int, first: int, inside: Sequence[bytes], nodes: Sequence[bytes]) -> bytes | None:
    """The root that a range proof gives for the leaf hashes `inside`, which begin at `first`; None: it gives none."""
    end = first + len(inside)
    if not 0 <= first < end <= size:
        return None
    given = iter(nodes)

    def walk(begin: int, stop: int) -> bytes | None:
        if stop <= first or end <= begin:
            return next(given, None)
        if stop - begin == 1:
            return inside[begin - first]
        middle = begin + _split(stop - begin)
        left, right = walk(begin, middle), walk(middle, stop)
        return None if left is None or right is None else node_hash(left, right)

    root = walk(0, size)
    return root if next(given, None) is None else None


def included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof leads from the leaf hash at `index` to the root of a tree of `size` (RFC 9162 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            result = node_hash(sibling, result)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and result == root


def consistent(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows the tree of `size` to extend that of `old_size` (RFC 9162 2.1.4.2)."""
    if old_size == size:
        return not proof and old_root == root
    if not 0 < old_size < size or not proof:
        return False
    nodes = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    node, last = old_size - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = nodes[0]
    for sibling in nodes[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and old == old_root and new == root


def _subproof(leaves: Sequence[bytes], old_size: int, *, whole: bool) -> list[bytes]:
    if old_size == len(leaves):
        return [] if whole else [root_of(leaves)]
    split = _split(len(leaves))
    if old_size <= split:
        return [*_subproof(leaves[:split], old_size, whole=whole), root_of(leaves[split:])]
    return [*_subproof(leaves[split:], old_size - split, whole=False), root_of(leaves[:split])]


def _split(size: int) -> int:
    """The largest power of two smaller than `size`."""
    return 1 << ((size - 1).bit_length() - 1)
