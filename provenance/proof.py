"""Proofs that are handed out: an entry is in the log; this is all it has of a site; it has nothing on a URL.

Format: https://c2sp.org/tlog-proof, one text file a proof: index, path and signed checkpoint, as any tool for that
format checks them. Its `extra` line holds, gzipped, what the proof is about: the entry's own line and, for a site or
an absence, the range of the second tree (`sites`) that the entry, a seal, vouches for. Nobody needs the log to check
one. docs/log-format.md describes it.
"""

from __future__ import annotations

import base64
import gzip
import zlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, Literal

import msgspec

from provenance.checkpoint import Checkpoint, Verifier
from provenance.entry import DecisionEntry, Entry, SealEntry, Sites
from provenance.lines import from_line, to_text
from provenance.segments import Leaf, read_leaves
from provenance.signed import Progress, ProofError, SignedLog, open_signed, read_keys, read_verifier
from provenance.sites import SiteLeaf, site_key, site_tree, url_key
from provenance.tree import (
    EMPTY_ROOT,
    HASH_BYTES,
    consistency_proof,
    consistent,
    included,
    inclusion_proof,
    leaf_hash,
    range_proof,
    root_of,
    root_of_range,
)

__all__ = [
    "Finding",
    "Proof",
    "ProofError",
    "check",
    "check_consistency",
    "prove_consistency",
    "prove_entry",
    "prove_site",
    "prove_url",
    "read_keys",
    "read_verifier",
]

FORMAT: Final = "c2sp.org/tlog-proof@v1"
CONSISTENCY: Final = "knockfirst/consistency@v1"
MAX_PROOF_BYTES: Final = 64 * 1024 * 1024
_MAX_EXTRA_BYTES: Final = 256 * 1024 * 1024
_MAX_PATH: Final = 64

#: Number of lines that a proof without a range has in its `extra`: what it is about, and the entry.
_HEAD_LINES: Final = 2


class About(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a proof is about: the first line of its `extra`.

    Attributes:
        kind: "entry": the entry on the second line is in the log. "site": the entries behind it are all of the site.
            "absent": there is no entry on the URL.
        key: the log's verifier line, to be compared with one from elsewhere.
        site: registrable domain.
        url: URL that there is no entry on.
        first: place of the first leaf of the range in the second tree.
        leaves: the range, base64 of each leaf.
        nodes: hashes left and right of the range, base64.
    """

    kind: Literal["entry", "site", "absent"]
    key: str
    site: str = ""
    url: str = ""
    first: int = 0
    leaves: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """One proof, as its file has it.

    Attributes:
        index: which entry.
        path: from it to the root.
        note: the signed checkpoint.
        extra: lines of what it is about.
    """

    index: int
    path: tuple[bytes, ...]
    note: bytes
    extra: tuple[bytes, ...]

    def text(self) -> str:
        """The file."""
        extra = gzip.compress(b"\n".join(self.extra), mtime=0)
        lines = [FORMAT, f"extra {_base64(extra)}", f"index {self.index}", *map(_base64, self.path), ""]
        return "\n".join(lines) + "\n" + self.note.decode()

    @classmethod
    def parse(cls, text: str) -> Proof:
        """The proof of a file.

        Raises:
            ProofError: it is none.
        """
        head, blank, note = text.partition("\n\n")
        lines = head.split("\n")
        if not blank or lines[0] != FORMAT or len(lines) < 2 + 1:
            raise ProofError(f"not a proof: it begins with {FORMAT!r} and has an extra line, an index and a checkpoint")
        extra, index, path = lines[1], lines[2], lines[3:]
        if not extra.startswith("extra ") or not index.startswith("index ") or len(path) > _MAX_PATH:
            raise ProofError("not a proof: lines `extra` and `index` must follow the first one")
        return cls(
            index=_number(index.removeprefix("index ")),
            path=tuple(_hash(line) for line in path),
            note=note.encode(),
            extra=tuple(_gunzip(_octets(extra.removeprefix("extra "))).split(b"\n")),
        )


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a proof proves.

    Attributes:
        about: what it is about.
        key: the key that its checkpoint was checked with.
        key_given: whether that key came from the caller; else from the proof itself.
        checkpoint: the signed head.
        index: the entry whose place in the log was proved.
        entry: that entry.
        entries: of a site, all that the log has, by index; None where the text was erased.
    """

    about: About
    key: Verifier
    key_given: bool
    checkpoint: Checkpoint
    index: int
    entry: Entry
    entries: tuple[tuple[int, Entry | None], ...] = ()


# -- giving ------------------------------------------------------------------------------------------------------------


def _proof(log: SignedLog, leaf: Leaf, about: About, more: Sequence[bytes] = ()) -> Proof:
    if leaf.seq >= log.head.size:
        raise ProofError(f"entry {leaf.seq} is not signed yet ({log.head.size} are). Ask again in a moment")
    path = inclusion_proof(log.hashes, leaf.seq)
    extra = (msgspec.json.encode(about), leaf.line, *more)
    return Proof(index=leaf.seq, path=tuple(path), note=log.note, extra=extra)


def prove_url(folder: Path, url: str, site: str, progress: Progress | None = None) -> Proof:
    """The last word on a URL is in the log; or, when the log has none, that it has none.

    Raises:
        ProofError: there is nothing signed, or no seal that could prove absence.
        provenance.segments.LogError: the log cannot be read.
    """
    needle = b'"url":' + to_text(url)
    log = SignedLog(folder, lambda line: needle in line, progress)
    attempts = [leaf for leaf in log.found if isinstance(leaf.entry, DecisionEntry) and leaf.entry.url == url]
    if not attempts:
        return _prove_range(folder, About(kind="absent", key=log.verifier.line(), site=site, url=url), progress)
    return _proof(log, max(attempts, key=_finality), About(kind="entry", key=log.verifier.line()))


def _finality(leaf: Leaf) -> tuple[bool, int]:
    return isinstance(leaf.entry, DecisionEntry) and leaf.entry.final, leaf.seq


def prove_entry(folder: Path, seq: int) -> Proof:
    """One entry is in the log.

    Raises:
        ProofError: there is no such entry, or its text was erased.
    """
    needle = b'"seq":%d,' % seq
    log = SignedLog(folder, lambda line: needle in line)
    leaf = next((leaf for leaf in log.found if leaf.seq == seq and leaf.entry is not None), None)
    if leaf is None:
        raise ProofError(f"the log has no entry {seq}, or its text was erased")
    return _proof(log, leaf, About(kind="entry", key=log.verifier.line()))


def prove_site(folder: Path, site: str, progress: Progress | None = None) -> Proof:
    """All that the log has of a registrable domain, or that it has nothing.

    Raises:
        ProofError: there is nothing signed, or no seal.
    """
    return _prove_range(folder, About(kind="site", key=read_verifier(folder).line(), site=site), progress)


def _prove_range(folder: Path, about: About, progress: Progress | None) -> Proof:
    log = SignedLog(folder, lambda line: line.startswith(b'{"t":"seal",'), progress)
    seals = [leaf for leaf in log.found if isinstance(leaf.entry, SealEntry) and leaf.entry.sites is not None]
    seals = [leaf for leaf in seals if leaf.seq < log.head.size]
    if not seals:
        raise ProofError(
            f"{folder}: no seal is signed yet, and only a seal proves absence. Ask when the crawl has ended"
        )
    seal = seals[-1]
    with closing(site_tree(folder, seal.seq)) as tree:
        leaves = list(tree.leaves())
        if not isinstance(seal.entry, SealEntry) or tree.summary() != seal.entry.sites:
            raise ProofError(f"{folder}: the second tree is not the one that was sealed. Run `knockfirst verify`")
        low, high = _bounds(tree.salt, about)
    begin, end = bisect_left(leaves, low), bisect_left(leaves, high)
    first, last = max(0, begin - 1), min(len(leaves), end + 1)
    nodes = range_proof([leaf_hash(leaf) for leaf in leaves], first, last) if leaves else []
    about = msgspec.structs.replace(
        about,
        first=first,
        leaves=tuple(_base64(leaf) for leaf in leaves[first:last]),
        nodes=tuple(_base64(node) for node in nodes),
    )
    lines = _lines(folder, [SiteLeaf.parse(leaf).seq for leaf in leaves[begin:end]])
    return _proof(log, seal, about, lines)


def _lines(folder: Path, wanted: Sequence[int]) -> list[bytes]:
    """The lines of these entries; an empty one where the text was erased."""
    left = set(wanted)
    found = (
        {leaf.seq: leaf.line if leaf.entry else b"" for leaf in read_leaves(folder) if leaf.seq in left} if left else {}
    )
    return [found[seq] for seq in wanted]


def _bounds(salt: str, about: About) -> tuple[bytes, bytes]:
    """Between which octets the leaves lie that a range is about: the first that fits, the first behind all that do."""
    key = site_key(salt, about.site)
    if about.kind == "absent":
        key += url_key(salt, about.url)
    return key, _next(key)


def _next(key: bytes) -> bytes:
    """The smallest octets above all that begin with `key`."""
    number = int.from_bytes(key, "big") + 1
    return number.to_bytes(len(key) + 1, "big")[1:] if number < 1 << 8 * len(key) else b"\xff" * (4 * HASH_BYTES)


# -- checking ----------------------------------------------------------------------------------------------------------


def check(text: str, key: str | None = None) -> Finding:
    """What a proof proves.

    Args:
        text: the file.
        key: the log's verifier line, from elsewhere; without it, the one in the proof is believed.

    Raises:
        ProofError: it proves nothing.
    """
    proof = Proof.parse(text)
    try:
        about = msgspec.json.decode(proof.extra[0], type=About)
        verifier = Verifier.parse((key or about.key).strip())
        line = proof.extra[1]
        entry = from_line(line)
    except (ValueError, IndexError) as error:
        raise ProofError(f"what it is about cannot be read ({error})") from error
    head = open_signed(proof.note, verifier)
    if not included(leaf_hash(line), proof.index, head.size, proof.path, head.root):
        raise ProofError("its path does not lead from the entry to the signed root")
    if entry.seq != proof.index:
        raise ProofError(f"the entry calls itself {entry.seq}, its place is {proof.index}")
    entries = () if about.kind == "entry" else tuple(_check_range(about, entry, proof.extra[_HEAD_LINES:]))
    return Finding(
        about=about,
        key=verifier,
        key_given=key is not None,
        checkpoint=head,
        index=proof.index,
        entry=entry,
        entries=entries,
    )


def _check_range(about: About, seal: Entry, lines: Sequence[bytes]) -> Iterator[tuple[int, Entry | None]]:
    if not isinstance(seal, SealEntry) or seal.sites is None:
        raise ProofError("the entry that is to vouch for the range is no seal")
    leaves = [_octets(leaf) for leaf in about.leaves]
    root = root_of_range(
        seal.sites.size, about.first, [leaf_hash(leaf) for leaf in leaves], [_hash(n) for n in about.nodes]
    )
    if not leaves:
        root = EMPTY_ROOT if seal.sites.size == 0 else None
    if root is None or f"sha256:{root.hex()}" != seal.sites.root:
        raise ProofError("the range does not lead to the root of the second tree in the seal")
    if leaves != sorted(set(leaves)):
        raise ProofError("the range is not in order")
    inside = _inside(about, seal.sites, leaves)
    if about.kind == "absent":
        if inside:
            raise ProofError("the log has an entry on the URL")
        return
    if len(inside) != len(lines):
        raise ProofError(f"{len(inside)} entries of the site, {len(lines)} lines")
    for leaf, line in sorted(zip(map(_site_leaf, inside), lines, strict=True), key=lambda pair: pair[0].seq):
        yield leaf.seq, _entry_of(leaf, line, about)


def _inside(about: About, sites: Sites, leaves: Sequence[bytes]) -> list[bytes]:
    """The leaves that the range is about; a neighbour on either side, or the end of the tree, shows them to be all."""
    low, high = _bounds(sites.salt, about)
    inside = [leaf for leaf in leaves if low <= leaf < high]
    if leaves and about.first > 0 and leaves[0] >= low:
        raise ProofError("no neighbour before the range: something may be left out")
    if leaves and about.first + len(leaves) < sites.size and leaves[-1] < high:
        raise ProofError("no neighbour behind the range: something may be left out")
    return inside


def _entry_of(leaf: SiteLeaf, line: bytes, about: About) -> Entry | None:
    if not line:
        return None
    if leaf_hash(line) != leaf.leaf:
        raise ProofError(f"the line of entry {leaf.seq} is not the one in the log")
    try:
        entry = from_line(line)
    except ValueError as error:
        raise ProofError(f"entry {leaf.seq} cannot be read ({error})") from error
    if entry.seq != leaf.seq or getattr(entry, "site", "") != about.site:
        raise ProofError(f"entry {leaf.seq} is not of {about.site}")
    return entry


def _site_leaf(octets: bytes) -> SiteLeaf:
    try:
        return SiteLeaf.parse(octets)
    except ValueError as error:
        raise ProofError(str(error)) from error


# -- consistency -------------------------------------------------------------------------------------------------------


def prove_consistency(
    folder: Path, old: bytes, keys: Sequence[Verifier] | None = None, progress: Progress | None = None
) -> tuple[str, Checkpoint, Checkpoint]:
    """The log in `folder` extends the one of an older checkpoint. Returns a file that shows it, and both heads.

    Args:
        folder: the log.
        old: the older checkpoint, by any of `keys`.
        keys: the log's, from elsewhere; without them, those that the log lists are believed.
        progress: told how far it is.

    Raises:
        ProofError: it does not.
    """
    log = SignedLog(folder, lambda _line: False, progress)
    before = open_signed(old, *(keys or read_keys(folder)))
    if before.size > log.head.size:
        raise ProofError(f"the older checkpoint has {before.size} entries, the log only {log.head.size}: some are gone")
    if root_of(log.hashes[: before.size]) != before.root:
        raise ProofError(
            f"the first {before.size} entries are not those of the older checkpoint: the log was written anew"
        )
    path = consistency_proof(log.hashes, before.size) if before.size else []
    lines = [CONSISTENCY, *map(_base64, path), ""]
    return "\n".join(lines) + "\n" + old.decode() + "\n" + log.note.decode(), before, log.head


def check_consistency(text: str, keys: Sequence[Verifier]) -> tuple[Checkpoint, Checkpoint]:
    """The two heads of a file by `prove_consistency`, each by any of the keys, the newer one extending the older one.

    Raises:
        ProofError: it does not show that.
    """
    head, blank, notes = text.partition("\n\n")
    lines = head.split("\n")
    parts = notes.split("\n\n")
    if not blank or lines[0] != CONSISTENCY or len(parts) != 4:  # noqa: PLR2004 - text and signatures of two notes
        raise ProofError(f"not a proof of consistency: it begins with {CONSISTENCY!r} and has two checkpoints")
    old = open_signed(f"{parts[0]}\n\n{parts[1]}\n".encode(), *keys)
    new = open_signed(f"{parts[2]}\n\n{parts[3]}".encode(), *keys)
    path = [_hash(line) for line in lines[1:]]
    if old.size and not consistent(old.size, old.root, new.size, new.root, path):
        raise ProofError("the newer checkpoint does not extend the older one")
    return old, new


# -- small parts -------------------------------------------------------------------------------------------------------


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def _octets(text: str) -> bytes:
    try:
        octets = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ProofError("a line is not base64") from error
    if _base64(octets) != text:
        raise ProofError("base64 with stray bits")
    return octets


def _hash(text: str) -> bytes:
    octets = _octets(text)
    if len(octets) != HASH_BYTES:
        raise ProofError("a hash has 32 octets")
    return octets


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and str(int(text)) == text):  # noqa: PLR2004
        raise ProofError("the index is no plain number")
    return int(text)


def _gunzip(octets: bytes) -> bytes:
    stream = zlib.decompressobj(31)
    try:
        plain = stream.decompress(octets, _MAX_EXTRA_BYTES)
    except zlib.error as error:
        raise ProofError(f"its extra line cannot be inflated ({error})") from error
    if not stream.eof or stream.unused_data:
        raise ProofError("its extra line is not one whole gzip file, or inflates to too much")
    return plain
