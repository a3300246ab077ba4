"""The second tree: entries that name a URL, sorted by hashed site and URL, so that absence can be proved.

A log's own tree proves what is in it, never what is not. This one is built at each seal over all entries before it;
its root stands in the seal. Neighbours in it show that nothing lies between them: no entry on a URL, or no further
entry of a site. Sites and URLs are hashed with the log's salt, so that neighbours do not tell whose they are.
docs/log-format.md describes it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import msgspec

from provenance.entry import DecisionEntry, Entry, EvidenceEntry, RedecisionEntry, Sites
from provenance.segments import read_leaves
from provenance.tree import HASH_BYTES, Frontier, leaf_hash

_SEQ_BYTES = 8


class SiteLeaf(msgspec.Struct, frozen=True, order=True):
    """One entry in the second tree; sorted by its fields in this order.

    Attributes:
        site: hash of the site.
        url: hash of the URL.
        seq: the entry's index in the log.
        leaf: the entry's leaf hash in the log.
    """

    site: bytes
    url: bytes
    seq: int
    leaf: bytes

    def octets(self) -> bytes:
        """What the second tree hashes."""
        return self.site + self.url + self.seq.to_bytes(_SEQ_BYTES, "big") + self.leaf

    def hash(self) -> bytes:
        """The leaf's hash in the second tree."""
        return leaf_hash(self.octets())

    @classmethod
    def parse(cls, octets: bytes) -> SiteLeaf:
        """The leaf of these octets.

        Raises:
            ValueError: they are not a leaf's.
        """
        if len(octets) != 3 * HASH_BYTES + _SEQ_BYTES:
            raise ValueError("not as long as a leaf of the second tree")
        seq = int.from_bytes(octets[2 * HASH_BYTES : 2 * HASH_BYTES + _SEQ_BYTES], "big")
        return cls(octets[:HASH_BYTES], octets[HASH_BYTES : 2 * HASH_BYTES], seq, octets[-HASH_BYTES:])


def site_key(salt: str, site: str) -> bytes:
    """The hash that stands for a site."""
    return sha256(f"{salt}\nsite\n{site}".encode()).digest()


def url_key(salt: str, url: str) -> bytes:
    """The hash that stands for a URL."""
    return sha256(f"{salt}\nurl\n{url}".encode("utf-8", "surrogatepass")).digest()


class SiteTree:
    """Collects leaves in the order of the log, gives them back sorted. They lie in a temporary file."""

    def __init__(self) -> None:
        self.salt = ""
        self.size = 0
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;"
            "CREATE TABLE leaf (octets BLOB); BEGIN"
        )

    def close(self) -> None:
        """Let go of the temporary file."""
        self._db.close()

    def add(self, entry: Entry, leaf: bytes) -> None:
        """Take in one entry with its leaf hash; those without a URL only count for the salt."""
        if entry.seq == 0:
            self.salt = entry.n
        if isinstance(entry, EvidenceEntry | DecisionEntry | RedecisionEntry):
            self.add_keys(site_key(self.salt, entry.site), url_key(self.salt, entry.url), entry.seq, leaf)

    def add_keys(self, site: bytes, url: bytes, seq: int, leaf: bytes) -> None:
        """Take in one entry by its hashed names."""
        self._db.execute("INSERT INTO leaf VALUES (?)", (SiteLeaf(site, url, seq, leaf).octets(),))
        self.size += 1

    def leaves(self) -> Iterator[bytes]:
        """The leaves' octets, sorted."""
        return (row[0] for row in self._db.execute("SELECT octets FROM leaf ORDER BY octets"))

    def summary(self) -> Sites:
        """What a seal says of the tree as it stands now."""
        tree = Frontier()
        for octets in self.leaves():
            tree.append(leaf_hash(octets))
        return Sites(salt=self.salt, size=self.size, root=f"sha256:{tree.root().hex()}")


def site_tree(folder: Path, before: int | None = None) -> SiteTree:
    """The second tree of a log over its entries, or over those before entry `before`.

    Raises:
        provenance.log.LogError: the log cannot be read.
    """
    tree = SiteTree()
    for leaf in read_leaves(folder):
        if before is not None and leaf.seq >= before:
            break
        if leaf.entry is not None:
            tree.add(leaf.entry, leaf.hash)
        elif leaf.erased is not None:
            tree.add_keys(leaf.erased.site, leaf.erased.url, leaf.seq, leaf.hash)
    return tree
