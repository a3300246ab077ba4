"""What the blocklist costs: loading, memory, and a look-up, beside a plain Python set of the same names.

    python benchmarks/bench_blocklist.py [names ...]       (default: 1000 100000 1000000)

Each figure comes from a process of its own, so that none warms another's caches. Names are made up: a site's name of 6
to 14 letters under one of 40 endings, mean 15 octets, by a fixed seed. A "host" is looked up as the crawler does it,
as a whole URL: 2 labels above a listed name (hit), or 3 labels that are not listed (miss). `listed?` of the set is the
same walk over labels, without path, term, decision or exemption: what a hand-written filter would do.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from blocklists.index import build_index, digest_of
from blocklists.match import FORMAT
from blocklists.model import AuthorityType, Entry, ListingDecision, Manifest, Match, Role, Status
from blocklists.signing import StaffKey, sign_manifest
from provenance import builds
from reservations.model import canonical

DAY: Final = dt.date(2026, 11, 22)
LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789-"
ENDINGS: Final = ("com", "net", "org", "to", "ru", "de", "co.uk", "xyz", "cc", "io") * 4
LOOKUPS: Final = 20_000
ROUNDS: Final = 7
SLICE: Final = 500


def names(count: int) -> list[str]:
    """Made-up listed names, the same ones every time."""
    chance = random.Random(7)
    found: set[str] = set()
    while len(found) < count:
        label = "".join(chance.choices(LETTERS[:36], k=chance.randint(6, 14)))
        found.add(f"{label}.{chance.choice(ENDINGS)}")
    return sorted(found)


def write_build(folder: Path, count: int) -> str:
    """A build of that many names, and the public key it is signed with. Skips the lint, which is staff's time."""
    decision = ListingDecision(
        id="bench-1",
        authority="Court",
        authority_type=AuthorityType.COURT,
        country="DE",
        date=DAY,
        legal_basis="none",
        finding="none",
        language="de",
        tier=1,
        open_ended=True,
        review_by=DAY,
    )

    def entries() -> Iterator[Entry]:
        for name in names(count):
            yield Entry(
                decision="bench-1",
                host=name,
                match=Match.DOMAIN,
                role=Role.PRIMARY,
                status=Status.ACTIVE,
                added=DAY,
                added_by="a.berg",
                approved_by=("b.cole", "c.dahl"),
                verified_on=DAY,
            )

    digest = hashlib.sha256()
    with (folder / builds.LIST).open("wb") as file:
        for line in (decision, *entries()) if count <= 1_000_000 else (decision,):
            octets = canonical(line) + b"\n"
            digest.update(octets)
            file.write(octets)
    begun = time.perf_counter()
    index = build_index([decision], entries(), [])
    print(f"  index of {count} names built in {time.perf_counter() - begun:.1f} s", file=sys.stderr)
    (folder / builds.INDEX).write_bytes(index)
    manifest = canonical(
        Manifest(
            format=FORMAT,
            version="2026.11.22-1",
            created=dt.datetime.combine(DAY, dt.time(), dt.UTC),
            digest=f"sha256:{digest.hexdigest()}",
            index=digest_of(index),
            suffix_list="none",
            counts={"enforced": count},
            overdue=(),
            sources=(),
            inputs={},
            shrunk_because="",
        )
    )
    key = StaffKey.new("bench")
    (folder / builds.MANIFEST).write_bytes(manifest + b"\n")
    (folder / builds.SIGNATURE).write_bytes(sign_manifest(manifest + b"\n", key))
    return key.public_text()


def rss_mb() -> float:
    """Memory of this process, in megabytes."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * 4096 / 1e6


def best_us(ask: Callable[[str], object], hosts: list[str]) -> float:
    """Microseconds a look-up: the best of some rounds over each slice of hosts, so that other programs count less."""
    total = 0.0
    for start in range(0, len(hosts), SLICE):
        best, some = 1e9, hosts[start : start + SLICE]
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            for host in some:
                ask(host)
            best = min(best, time.perf_counter() - begun)
        total += best
    return total / len(hosts) * 1e6


def in_set(listed: set[str]) -> Callable[[str], bool]:
    """The hand-written filter: cut the host out of the URL, walk its labels."""

    def ask(url: str) -> bool:
        host = url[8 : url.index("/", 8)]
        while host:
            if host in listed:
                return True
            host = host.partition(".")[2]
        return False

    return ask


def measure(kind: str, folder: Path, key: str) -> dict[str, float]:
    """Load, memory and look-ups of one structure, in this process."""
    sample = (folder / "sample.txt").read_text("ascii").split()
    hits = [f"https://www.{name}/film/1" for name in sample]
    misses = [f"https://www.x{name[:-1]}q.example/film/1" for name in sample]
    before, begun = rss_mb(), time.perf_counter()
    if kind == "set":
        listed = set((folder / "names.txt").read_text("ascii").split("\n"))
        ask: Callable[[str], object] = in_set(listed)
    else:
        blocklist = builds.load_build(folder, keys=[key], today=DAY)[0]
        ask = lambda url: blocklist.match(url, DAY)  # noqa: E731  (one of two ways to ask)
    figures = {"load_s": time.perf_counter() - begun, "memory_mb": rss_mb() - before}
    assert all(map(ask, hits))
    assert not any(map(ask, misses))
    return {**figures, "hit_us": best_us(ask, hits), "miss_us": best_us(ask, misses)}


def main() -> None:
    """Measures each size and structure in a process of its own."""
    if sys.argv[1:2] == ["--measure"]:
        kind, folder, key = sys.argv[2:]
        print(json.dumps(measure(kind, Path(folder), key)))
        return
    print("| names | structure | load s | memory MB | hit us | miss us |\n| --- | --- | --- | --- | --- | --- |")
    for count in [int(word) for word in sys.argv[1:]] or [1_000, 100_000, 1_000_000]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            key = write_build(folder, count)
            listed = names(count)
            (folder / "names.txt").write_text("\n".join(listed), "ascii")
            (folder / "sample.txt").write_text("\n".join(random.Random(3).choices(listed, k=LOOKUPS)), "ascii")
            del listed
            for kind in ("build", "set"):
                command = [sys.executable, __file__, "--measure", kind, name, key]
                row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                print(
                    f"| {count:,} | {kind} | {row['load_s']:.2f} | {row['memory_mb']:.1f}"
                    f" | {row['hit_us']:.1f} | {row['miss_us']:.1f} |"
                )


if __name__ == "__main__":
    main()
