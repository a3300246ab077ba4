"""Checks a Knockfirst decision log (level 1) and proofs taken from one, by this one file alone.

Copy it anywhere. It needs Python 3.11 and the package `cryptography` (for Ed25519), nothing of Knockfirst; sealed
segments (`.zst`) also need Python 3.14 or the package `zstandard`, or are unpacked before by `zstd -d`. It shares no
code with `knockfirst verify`, so that the two can check each other. docs/log-format.md says what it does and why.

    python standalone.py log OUT [--key VKEY]              every entry, every signed checkpoint
    python standalone.py proof FILE [--key VKEY]           an entry is in the log; all of a site; nothing on a URL
    python standalone.py consistency FILE --key VKEY       a newer checkpoint extends an older one

Exit codes: 0 good, 1 not good, 2 not understood.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import os
import re
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MAX_LINE = 65_535
MAX_NOTE = 16_384
MAX_EXTRA = 256 * 1024 * 1024
MAX_INFLATION = 1_000
DASH = "\N{EM DASH} "


class Bad(Exception):  # noqa: N818 - what is found, not what failed
    """What was looked at is not what it should be."""


def need(ok: object, what: str) -> None:
    """Go on only if it is so."""
    if not ok:
        raise Bad(what)


def say(text: str) -> None:
    """Print strangers' text: what moves a cursor or turns a line stays an escape."""
    print("".join(char if char == "\n" or " " <= char <= "~" else ascii(char)[1:-1] for char in text))  # noqa: T201


def unbase64(text: str, size: int | None = None) -> bytes:
    """Base64 in its one spelling."""
    try:
        octets = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Bad(f"not base64: {text[:40]!r}") from None
    need(base64.b64encode(octets).decode() == text, "base64 with stray bits")
    need(size is None or len(octets) == size, f"{len(octets)} octets where {size} belong")
    return octets


# -- the tree (RFC 6962 section 2.1) -----------------------------------------------------------------------------------


def leaf(octets: bytes) -> bytes:
    """A leaf hash."""
    return hashlib.sha256(b"\0" + octets).digest()


def node(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(b"\1" + left + right).digest()


class Tree:
    """A growing tree: one complete subtree per bit of its size."""

    def __init__(self) -> None:
        self.size = 0
        self.subtrees: list[tuple[int, bytes]] = []

    def add(self, hashed: bytes) -> None:
        """Add a leaf hash."""
        self.size += 1
        height = 0
        while self.subtrees and self.subtrees[-1][0] == height:
            hashed = node(self.subtrees.pop()[1], hashed)
            height += 1
        self.subtrees.append((height, hashed))

    def root(self) -> bytes:
        """The root over all leaves."""
        if not self.subtrees:
            return hashlib.sha256(b"").digest()
        hashed = self.subtrees[-1][1]
        for _, left in reversed(self.subtrees[:-1]):
            hashed = node(left, hashed)
        return hashed


def split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def root_by_path(hashed: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """The root that an inclusion path leads to; the path's last hash is the root's child."""
    if size == 1:
        need(not path, "the path is too long")
        return hashed
    need(path, "the path is too short")
    half = split(size)
    if index < half:
        return node(root_by_path(hashed, index, half, path[:-1]), path[-1])
    return node(path[-1], root_by_path(hashed, index - half, size - half, path[:-1]))


def roots_by_consistency(old: int, new: int, path: list[bytes], old_root: bytes) -> tuple[bytes, bytes]:
    """The roots of the older and the newer tree that a consistency proof leads to."""

    def walk(old: int, new: int, whole: bool) -> tuple[bytes, bytes]:  # noqa: FBT001
        if old == new:
            hashed = old_root if whole else next_hash()
            return hashed, hashed
        half = split(new)
        if old <= half:
            right = next_hash()
            low, high = walk(old, half, whole)
            return low, node(high, right)
        left = next_hash()
        low, high = walk(old - half, new - half, False)
        return node(left, low), node(left, high)

    left_over = list(path)

    def next_hash() -> bytes:
        need(left_over, "the proof is too short")
        return left_over.pop()

    found = walk(old, new, True)
    need(not left_over, "the proof is too long")
    return found


def root_by_range(size: int, first: int, inside: list[bytes], nodes: list[bytes]) -> bytes:
    """The root that the leaf hashes `inside`, from place `first` on, and the nodes beside them lead to."""
    end, given = first + len(inside), list(reversed(nodes))

    def walk(begin: int, stop: int) -> bytes:
        if stop <= first or end <= begin:
            need(given, "the range has too few nodes")
            return given.pop()
        if stop - begin == 1:
            return inside[begin - first]
        middle = begin + split(stop - begin)
        left = walk(begin, middle)
        return node(left, walk(middle, stop))

    need(0 <= first < end <= size, "the range lies outside the tree")
    root = walk(0, size)
    need(not given, "the range has too many nodes")
    return root


# -- signed notes (C2SP signed-note, tlog-checkpoint) ------------------------------------------------------------------


class Key:
    """A log's public key, from its verifier line NAME+HASH+KEY."""

    def __init__(self, line: str) -> None:
        self.line = line.strip()
        need(self.line.count("+") >= 2, "the key is no verifier line NAME+HASH+KEY")  # noqa: PLR2004
        self.name, told, key = self.line.split("+", 2)
        octets = unbase64(key, 33)
        need(octets[0] == 1, "the key is not of type Ed25519")
        self.hash = hashlib.sha256(self.name.encode() + b"\n" + octets).digest()[:4]
        need(self.hash.hex() == told, "the verifier line's hash is not that of its key")
        self.public = Ed25519PublicKey.from_public_bytes(octets[1:])

    def open(self, note: bytes) -> tuple[int, bytes]:
        """Size and root of a checkpoint that this key signed."""
        need(len(note) <= MAX_NOTE, "a checkpoint that is too long")
        try:
            text, _, signatures = note.decode().rpartition("\n\n")
        except UnicodeDecodeError:
            raise Bad("a checkpoint that is not UTF-8") from None
        need(text and signatures.endswith("\n"), "a checkpoint without signatures")
        own = []
        for line in signatures[:-1].split("\n"):
            name, space, octets = line.removeprefix(DASH).partition(" ")
            need(line.startswith(DASH) and space, "a line that is no signature")
            if name == self.name and unbase64(octets)[:4] == self.hash:
                own.append(unbase64(octets)[4:])
        need(len(own) == 1, f"{len(own)} signatures by the key where one belongs")
        try:
            self.public.verify(own[0], (text + "\n").encode())
        except (InvalidSignature, ValueError):
            raise Bad("a wrong signature") from None
        lines = text.split("\n")
        need(len(lines) >= 3 and lines[0] == self.name, "a checkpoint of another log")  # noqa: PLR2004
        need(re.fullmatch("0|[1-9][0-9]{0,18}", lines[1]), "a checkpoint whose size is no number")
        return int(lines[1]), unbase64(lines[2], 32)

    def signed(self, note: bytes) -> bool:
        """Whether this key signed a checkpoint."""
        try:
            self.open(note)
        except Bad:
            return False
        return True


# -- level 1 -----------------------------------------------------------------------------------------------------------


def opened(path: Path) -> BinaryIO:
    """A regular file; nothing else in its place is opened."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise Bad(f"{path}: cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise Bad(f"{path}: not a regular file")
    return os.fdopen(number, "rb", buffering=1 << 20)


def unpacked(path: Path, stored: BinaryIO) -> BinaryIO:
    """A sealed segment's text."""
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore] # noqa: PLC0415 - Python 3.14

        return zstd.ZstdFile(stored)  # type: ignore[no-any-return,unused-ignore]
    except ImportError:
        pass
    try:
        import zstandard  # noqa: PLC0415
    except ImportError:
        raise Bad(f"{path}: sealed; unpack it by `zstd -d`, or install the package zstandard") from None
    import io  # noqa: PLC0415

    return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True))


def lines_of(folder: Path) -> Iterator[bytes]:
    """All complete lines of all segments, in order."""
    names = sorted(name for name in os.listdir(folder) if re.fullmatch(r"seg-[0-9]{8}\.jsonl(\.zst)?", name))  # noqa: PTH208
    for index, name in enumerate(names):
        need(name.removesuffix(".zst") == f"seg-{index:08d}.jsonl", f"segment {index} is missing, or there twice")
        with opened(folder / name) as stored:
            text, left = stored, MAX_LINE * 256 + MAX_INFLATION * os.fstat(stored.fileno()).st_size
            if name.endswith(".zst"):
                text = unpacked(folder / name, stored)
            while line := text.readline(MAX_LINE + 2):
                left -= len(line)
                need(len(line) <= MAX_LINE + 1, f"{name}: a line that is too long")
                need(left >= 0, f"{name}: inflates to too much")
                if not line.endswith(b"\n"):
                    need(name == names[-1], f"{name}: ends inside a line")
                    say(f"note: {len(line)} bytes of a line that was never finished")
                    return
                yield line[:-1]


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose names are unique."""
    need(len({name for name, _ in pairs}) == len(pairs), "an entry with a field that stands there twice")
    return dict(pairs)


def parsed(line: bytes) -> dict[str, Any]:
    """An entry."""
    need(re.fullmatch(rb"[ -~]*", line), "an entry that is not printable ASCII")
    try:
        entry = json.loads(line, object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise Bad("a line that is no JSON") from None
    need(isinstance(entry, dict) and isinstance(entry.get("seq"), int), "a line that is no entry")
    return entry  # type: ignore[no-any-return]


def checkpoints(folder: Path, keys: list[Key]) -> tuple[dict[int, bytes], dict[str, int]]:
    """Every signed root by its size; and per key but the first, the size from which on it signs."""
    with opened(folder / "checkpoints") as file:
        parts = re.split(rb"(?<=\n)\n(?=[^\n]+\n(?:0|[1-9][0-9]*)\n)", file.read(1 << 30))
    with opened(folder / "checkpoint") as file:
        newest = file.read(MAX_NOTE + 1)
    notes = [part if part.endswith(b"\n") else part + b"\n" for part in parts if part.strip()]
    notes = [note.removesuffix(b"\n") if note.endswith(b"\n\n") else note for note in notes]
    need(notes, "no checkpoint")
    found, turn, begins = [], 0, {}
    for note in notes if notes[-1] == newest else [*notes, newest]:
        found.append(keys[turn].open(note))
        if turn + 1 < len(keys) and keys[turn + 1].signed(note):
            turn += 1
            begins[keys[turn].line] = found[-1][0]
    need(turn + 1 == len(keys), f"key {keys[-1].line} is listed, and the one before never handed over to it")
    sizes = [size for size, _ in found]
    need(sizes == sorted(set(sizes)), "checkpoints whose sizes do not grow")
    return dict(found), begins


def own_keys(folder: Path, key_line: str | None) -> list[Key]:
    """The keys that the log lists, oldest first; the one given is among them."""
    with opened(folder / "log.vkey") as file:
        told = file.read(MAX_NOTE).decode("utf-8", "replace")
    keys = [Key(line) for line in told.removesuffix("\n").split("\n")]
    lines = [key.line for key in keys]
    need(told == "".join(line + "\n" for line in lines), "log.vkey holds more than lines of keys")
    need(len({key.name for key in keys}) == 1 and len(set(lines)) == len(lines), "log.vkey: of several logs, or twice")
    need(not key_line or Key(key_line).line in lines, "the log's key is not the one given")
    return keys


class Told:
    """What entries say of other entries, of the keys and of the log's end."""

    def __init__(self, keys: list[Key]) -> None:
        self.name, self.lines = keys[-1].name, {key.line for key in keys}
        self.last = ""
        self.erased: dict[int, int] = {}
        self.said: dict[int, int] = {}
        self.named: dict[str, int] = {}

    def see(self, entry: dict[str, Any], index: int) -> None:
        """Take in an entry."""
        kind = entry.get("t")
        if kind == "run":
            need(entry["origin"] == self.name and entry.get("key", "") in {"", *self.lines}, "a run of another log")
        if kind == "erased":
            self.erased[index] = entry["by"]
        elif kind == "redecision":
            if "was" in entry:
                self.said[index] = entry["of"]
        elif kind == "key":
            self.named.setdefault(str(entry["key"]), index)
        elif not (kind == "file" and self.last.startswith("seal")):
            ends = {"seal": f"seal: {entry.get('end')}", "manifest": "a run log, ends with a manifest"}
            self.last = ends.get(str(kind), "")

    def check(self, begins: dict[str, int]) -> None:
        """Each erased text has the entry that says so, each key the one that hands over to it."""
        for seq, by in self.erased.items():
            need(self.said.get(by) == seq, f"the text of entry {seq} is gone, and no entry says that it was erased")
        need(self.named.keys() <= self.lines, "an entry hands over to a key that log.vkey does not list")
        for line, size in begins.items():
            need(self.named.get(line, size) < size, f"key {line} signs, and no entry before hands over to it")


def check_log(out: Path, key_line: str | None) -> None:
    """Level 1: every line under every signed root."""
    folder = out / "log"
    keys = own_keys(folder, key_line)
    heads, begins = checkpoints(folder, keys)
    tree, told, signed = Tree(), Told(keys), 0
    need(heads.pop(0, tree.root()) == tree.root(), "the root of no entries is another one")
    for line in lines_of(folder):
        entry = parsed(line)
        need(entry["seq"] == tree.size, f"entry {entry['seq']} where {tree.size} belongs")
        told.see(entry, tree.size)
        tree.add(unbase64(entry["h"], 32) if entry.get("t") == "erased" else leaf(line))
        if tree.size in heads:
            need(heads.pop(tree.size) == tree.root(), f"the first {tree.size} entries are not those that were signed")
            signed = tree.size
    told.check(begins)
    need(not heads, f"{max(heads, default=0)} entries were signed, {tree.size} are there")
    need(tree.size == signed, f"the last {tree.size - signed} entries are not signed")
    need(told.last, "no seal at the end: the crawl runs or broke off, or the end was cut away")
    say(f"good: log {told.name}, {tree.size} entries, all signed, {len(told.erased)} texts erased; {told.last}")
    say(f"root: {tree.root().hex()}\nkey:  {keys[-1].line}" + ("" if key_line else "  (the folder's own word)"))


# -- proofs (C2SP tlog-proof) ------------------------------------------------------------------------------------------


def check_proof(text: str, key_line: str | None) -> None:
    """A proof of an entry, of all entries of a site, or of there being none on a URL."""
    head, blank, note = text.partition("\n\n")
    lines = head.split("\n")
    need(blank and lines[0] == "c2sp.org/tlog-proof@v1" and len(lines) > 2, "not a tlog-proof")  # noqa: PLR2004
    extra, index = re.fullmatch("extra (.+)", lines[1]), re.fullmatch("index (0|[1-9][0-9]{0,18})", lines[2])
    need(extra and index, "not a proof of Knockfirst: no lines `extra` and `index`")
    stream = zlib.decompressobj(31)
    try:
        content = stream.decompress(unbase64(extra[1]), MAX_EXTRA).split(b"\n")  # type: ignore[index]
    except zlib.error:
        raise Bad("an extra line that is not gzip") from None
    need(stream.eof and len(content) > 1, "an extra line that is not whole")
    about, line, more = json.loads(content[0]), content[1], content[2:]
    key = Key(key_line or about["key"])
    size, root = key.open(note.encode())
    place = int(index[1])  # type: ignore[index]
    need(place < size, "an entry behind the end of the log")
    path = [unbase64(hashed, 32) for hashed in lines[3:]]
    need(root_by_path(leaf(line), place, size, path) == root, "the path does not lead to the signed root")
    entry = parsed(line)
    need(entry["seq"] == place, "an entry at another place than it says")
    if about["kind"] == "entry":
        say(f"good: this is entry {place} of log {key.name}, which has {size}:\n{line.decode()}")
    else:
        check_range(about, entry, more, f"up to entry {place}, log {key.name} has")
    say(f"key:  {key.line}" + ("" if key_line else "  (the proof's own word)"))


def check_range(about: dict[str, Any], seal: dict[str, Any], lines: list[bytes], says: str) -> None:
    """The range of the second tree, sorted by hashed site and URL, that a seal vouches for."""
    need(seal.get("t") == "seal" and "sites" in seal, "no seal that vouches for the range")
    size, salt, first = seal["sites"]["size"], seal["sites"]["salt"], about.get("first", 0)
    leaves = [unbase64(text, 104) for text in about.get("leaves", [])]
    nodes = [unbase64(text, 32) for text in about.get("nodes", [])]
    root = root_by_range(size, first, [leaf(one) for one in leaves], nodes) if size else hashlib.sha256(b"").digest()
    need("sha256:" + root.hex() == seal["sites"]["root"], "the range does not lead to the root in the seal")
    need(leaves == sorted(set(leaves)), "a range that is not in order")
    prefix = hashlib.sha256(f"{salt}\nsite\n{about['site']}".encode()).digest()
    if about["kind"] == "absent":
        prefix += hashlib.sha256(f"{salt}\nurl\n{about['url']}".encode()).digest()
    inside = [one for one in leaves if one.startswith(prefix)]
    need(first == 0 or (leaves[0] < prefix and not leaves[0].startswith(prefix)), "no neighbour before the range")
    behind = first + len(leaves) == size or (leaves[-1] > prefix and not leaves[-1].startswith(prefix))
    need(behind, "no neighbour behind the range")
    if about["kind"] == "absent":
        need(not inside, "there is an entry")
        say(f"good: {says} no entry on {about['url']} (site {about['site']})")
        return
    need(about["kind"] == "site" and len(inside) == len(lines), "lines do not fit the range")
    say(f"good: {says} these {len(inside)} entries of {about['site']} and no others:")
    for one, line in zip(inside, lines, strict=True):
        seq = int.from_bytes(one[64:72], "big")
        if not line:
            say(f"(the text of entry {seq} was erased)")
            continue
        need(leaf(line) == one[72:], f"entry {seq} is not the one in the log")
        entry = parsed(line)
        need(entry["seq"] == seq and entry.get("site", "") == about["site"], f"entry {seq} is not of the site")
        say(line.decode())


def check_consistency(text: str, key_line: str | None) -> None:
    """A newer checkpoint extends an older one; each is by one of the keys given."""
    need(key_line, "name the log's key by --key, each where it was changed")
    head, _, rest = text.partition("\n\n")
    lines, parts = head.split("\n"), rest.split("\n\n")
    need(lines[0] == "knockfirst/consistency@v1" and len(parts) == 4, "not a proof of consistency")  # noqa: PLR2004
    keys = [Key(line) for line in (key_line or "").split()]
    notes = [f"{parts[0]}\n\n{parts[1]}\n".encode(), f"{parts[2]}\n\n{parts[3]}".encode()]
    by = [next((key for key in keys if key.signed(note)), keys[-1]) for note in notes]
    need(by[0].name == by[1].name, "checkpoints of two logs")
    (old, old_root), (new, new_root) = by[0].open(notes[0]), by[1].open(notes[1])
    path = [unbase64(line, 32) for line in lines[1:]]
    need(old <= new, "the older checkpoint is the larger one")
    if old:
        found = roots_by_consistency(old, new, path, old_root)
        need(found == (old_root, new_root), "the newer checkpoint does not extend the older one")
    say(f"good: the {new} entries of log {by[0].name} begin with the {old} of the older checkpoint")


CHECKS: dict[str, Callable[[str, str | None], None]] = {"proof": check_proof, "consistency": check_consistency}


def stop(code: int, why: str) -> NoReturn:
    """End with a reason."""
    print(ascii(why)[1:-1], file=sys.stderr)  # noqa: T201
    raise SystemExit(code)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["log", *CHECKS])
    parser.add_argument("path", type=Path)
    parser.add_argument("--key", metavar="VKEY", action="append", help="the log's verifier line, from elsewhere")
    asked = parser.parse_args()
    key = "\n".join(asked.key) if asked.key else None
    try:
        if asked.what == "log":
            check_log(asked.path, key)
        else:
            CHECKS[asked.what](asked.path.read_text("utf-8"), key)
    except Bad as error:
        stop(1, f"NOT GOOD: {error}")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        stop(1, f"NOT GOOD: not in the format ({type(error).__name__}: {error})")
    except OSError as error:
        stop(2, str(error))


if __name__ == "__main__":
    main()
