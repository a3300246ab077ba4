"""What readers are fed with at first: every input of the vectors, the demo's files, small ones of our own, a folder.

A seed has a kind: the name of a document ("robots", "rsl"), or the suffix of a file ("pdf").
"""

from __future__ import annotations

import base64
import gzip
import json
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from provenance import lines, proof
from provenance.checkpoint import Checkpoint, Verifier, sign
from provenance.entry import VERSION, DecisionEntry, SealEntry
from provenance.rules import shipped_policy, shipped_protocols
from reservations import signed_note
from reservations.model import Verdict
from reservations.readers.asset import read_asset
from reservations.readers.pieces import Kind

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parent / "vectors"
PAGES = HERE.parent / "corpus" / "access"
ASSETS = HERE.parents[1] / "crawler" / "demo" / "assets"

Seed = tuple[str, bytes]

#: Keys of documents in the vectors, by how they end.
_DOCUMENTS = {
    "robots.txt": "robots",
    "tdmrep.json": "tdmrep",
    "trust.txt": "trust.txt",
    "ai.txt": "ai.txt",
    ".xml": "rsl",
    ".json": "policy",
}
#: Kinds of files by suffix, where they are not called alike.
_SUFFIXES = {
    "html": "html",
    "htm": "html",
    "txt": "robots",
    "xml": "rsl",
    "json": "policy",
    "jpeg": "jpg",
    "tiff": "tif",
}


@cache
def of(*kinds: str) -> tuple[bytes, ...]:
    """The seeds of some kinds, each once, small ones first; files that are large are left out."""
    found = {octets for kind, octets in shipped() if kind in kinds and len(octets) <= 1 << 17}
    return tuple(sorted(found, key=lambda octets: (len(octets), octets)))


@cache
def shipped() -> tuple[Seed, ...]:
    """All seeds of the project."""
    return (*_small(), *_of_rules(), *_of_vectors(), *_of_pages(), *_of_assets(), *_signed())


def of_folder(folder: Path) -> Iterator[Seed]:
    """The files of a folder. Lines of JSON with `text` or `b64` are robots.txt files; suffixes say what others are."""
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        octets = path.read_bytes()
        suffix = path.suffix.lower().lstrip(".")
        if suffix == "gz":
            octets, suffix = gzip.decompress(octets), Path(path.stem).suffix.lower().lstrip(".")
        if suffix == "jsonl":
            for line in octets.splitlines():
                item = json.loads(line)
                text = item.get("text")
                yield "robots", text.encode() if text is not None else base64.b64decode(item.get("b64", ""))
        else:
            yield _SUFFIXES.get(suffix, suffix), octets


def _small() -> Iterator[Seed]:
    for seed in tomllib.loads((HERE / "seeds.toml").read_text("utf-8"))["seed"]:
        octets = seed["text"].encode()
        yield seed["kind"], octets
        if seed["kind"] in ("sitemap", "block"):
            yield ("warc" if seed["kind"] == "block" else "sitemap"), gzip.compress(octets, mtime=0)


def _of_vectors() -> Iterator[Seed]:
    for case in json.loads((VECTORS / "robots.json").read_text("utf-8"))["cases"]:
        if "robots_b64" in case:
            yield "robots", base64.b64decode(case["robots_b64"])
        elif "robots" in case:
            yield "robots", case["robots"].encode()
        yield "url", case["url"].encode()
    for case in json.loads((VECTORS / "access.json").read_text("utf-8"))["cases"]:
        yield "html", (case.get("html") or "").encode()
        yield "fields", "\n".join(f"{name}: {value}" for name, value in case["headers"].items()).encode()
    for case in json.loads((VECTORS / "reservations.json").read_text("utf-8"))["cases"]:
        answers = {**case.get("origin", {}), "response": case.get("response") or {}}
        for key, answer in answers.items():
            yield from _of_answer(key, answer)


def _of_answer(key: str, answer: dict) -> Iterator[Seed]:
    body = base64.b64decode(answer["body_b64"]) if "body_b64" in answer else answer.get("body", "").encode()
    kind = next((kind for suffix, kind in _DOCUMENTS.items() if key.endswith(suffix)), "html")
    yield "fields", "\n".join(f"{name}: {value}" for name, value in answer.get("headers", [])).encode()
    if body:
        yield kind, body
        asset = read_asset(body, "")
        for packet in asset.packets if asset is not None else ():
            yield ("manifest" if packet.kind is Kind.JUMBF else "xmp"), packet.data


def _of_pages() -> Iterator[Seed]:
    stack = [json.loads(path.read_text("utf-8")) for path in sorted(PAGES.glob("*.json"))]
    while stack:
        item = stack.pop()
        if isinstance(item, str) and "<" in item:
            yield "html", item.encode()
        elif isinstance(item, (dict, list)):
            stack.extend(item.values() if isinstance(item, dict) else item)


def _of_assets() -> Iterator[Seed]:
    for path in sorted(ASSETS.iterdir()):
        octets = path.read_bytes()
        yield path.suffix.lstrip("."), octets
        for packet in getattr(read_asset(octets, ""), "packets", ()):
            yield ("manifest" if packet.kind is Kind.JUMBF else "xmp"), packet.data


def _of_rules() -> Iterator[Seed]:
    yield "policy file", shipped_policy().encode()
    for name, text in shipped_protocols().items():
        if "/" not in name:
            yield "protocol", text.encode()


def _signed() -> Iterator[Seed]:
    """Notes, checkpoints, proofs and log lines under a key that everybody has."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    text = b"a note\n"
    yield (
        "note",
        b"\n".join(
            [
                signed_note.public_line("staff.example", key.public_key()).encode(),
                text + b"\n" + signed_note.signature_line(text, "staff.example", key),
            ]
        ),
    )
    verifier = Verifier(name="log.example", public=key.public_key().public_bytes_raw())
    note = sign(Checkpoint(origin="log.example", size=1, root=bytes(32)), key)
    yield "note", verifier.line().encode() + b"\n" + note
    common = {"v": VERSION, "seq": 0, "n": "AAAAAAAAAAAAAAAAAAAAAA", "ts": "2026-11-22T00:00:00.000Z", "run": "r1"}
    seal = lines.to_line(SealEntry(**common, end="finished", counts={Verdict.KEPT: 1}))
    yield "log line", seal
    fields = {"url": "https://site.example/a", "via": "seed", "lease": 1, "verdict": Verdict.REFUSED, "reason": "x.y"}
    known = {name: value for name, value in fields.items() if name in DecisionEntry.__struct_fields__}
    yield "log line", json.dumps({**common, **known, "t": "decision"}).encode()
    about = json.dumps({"kind": "entry", "key": verifier.line(), "site": "site.example"}).encode()
    yield "proof", proof.Proof(index=0, path=(bytes(32),), note=note, extra=(about, seal)).text().encode()
