"""The decision log in figures: appending, storing, verifying, replaying, proving; beside plain JSON lines with fsync.

    python benchmarks/bench_log.py [ENTRIES] [OUT]

ENTRIES: how many are written (default 1,000,000). OUT: output folder of a crawl of the demo web, for replay.
Entries are those of a crawl: URLs of real lengths, a decision a page, of which most are kept with three records.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from provenance import keys
from provenance.entry import (
    VERSION,
    DecisionEntry,
    EvidenceEntry,
    Http,
    LoggedSignal,
    Pointer,
    SealEntry,
    new_nonce,
    timestamp,
)
from provenance.log import LogWriter
from provenance.proof import check, prove_site, prove_url
from provenance.seal import seal
from provenance.segments import read_lines, segments
from provenance.sites import site_tree
from provenance.verify import verify
from reservations.model import Category, Value, Verdict

NOW = 1_795_420_800_000
GROUP = 256
CHECKPOINT_EVERY = 4096
FILE = "warc/knockfirst-20261122080000-00017-crawler3.warc.gz"


def digest(chance: random.Random) -> str:
    return f"sha256:{chance.getrandbits(256):064x}"


def pointer(chance: random.Random, kind: str, offset: int, *, payload: bool = False) -> Pointer:
    number = f"{chance.getrandbits(128):032x}"
    name = f"urn:uuid:{number[:8]}-{number[8:12]}-4{number[13:16]}-8{number[17:20]}-{number[20:]}"
    length = chance.randrange(400, 20_000)
    pd = digest(chance) if payload else None
    return Pointer(f=FILE, o=offset, l=length, id=name, type=kind, d=digest(chance), pd=pd)


def entries(count: int) -> Iterator[Any]:
    """Decisions as a crawl of news sites and shops leaves them; one evidence entry in forty."""
    chance = random.Random(7)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randrange(3, 11))) for _ in range(20_000)]
    robots, offset = 0, 0
    for seq in range(count):
        site = f"{words[chance.randrange(4000)]}.example"
        head = {"v": VERSION, "seq": seq, "n": new_nonce(), "ts": timestamp(NOW + seq * 7), "run": "5f1e2d3c4b5a"}
        if seq % 40 == 0:
            robots = seq
            url = f"https://www.{site}/robots.txt"
            yield EvidenceEntry(
                **head,
                key="/robots.txt",
                url=url,
                authority=f"https://www.{site}",
                site=site,
                outcome="200",
                st=200,
                fetched=NOW + seq * 7,
                expires=NOW + seq * 7 + 86_400_000,
                d=digest(chance),
                len=812,
                warc=(pointer(chance, "response", offset, payload=True), pointer(chance, "request", offset + 900)),
            )
            continue
        path = "/".join(chance.choices(words, k=chance.randrange(1, 4))) + "-" + "-".join(chance.choices(words, k=4))
        url = f"https://www.{site}/{path}/{chance.randrange(10**6)}"
        offset += 21_000
        common = {
            **head,
            "url": url,
            "surt": f"example,{site[:-8]},www)/{url[20:]}",
            "site": site,
            "via": "link",
            "src": max(0, seq - 300),
            "depth": 3,
            "lease": seq + 1,
            "final": True,
            "at": NOW + seq * 7,
            "agent": "KnockfirstBot",
            "purposes": (Category.GENAI_TRAIN,),
            "config": 1,
        }
        if chance.random() < 0.25:
            deny = {Category.CRAWL: Value.DENY}
            signal = LoggedSignal(
                p="rfc9309",
                reason="robots.disallow",
                carrier="robots_txt",
                src="/robots.txt",
                loc="line 12",
                rule="Disallow: /search/",
                strict=deny,
                effective=deny,
                ev=robots,
            )
            yield DecisionEntry(
                **common,
                verdict=Verdict.REFUSED,
                reason="robots.disallow",
                gate="origin",
                strict=deny,
                effective=deny,
                signals=(signal,),
                consulted={"/robots.txt": robots},
            )
            continue
        records = (pointer(chance, "response", offset, payload=True), pointer(chance, "request", offset + 20_000))
        yield DecisionEntry(
            **common, verdict=Verdict.KEPT, reason="policy.open", gate="body", open=(Category.GENAI_TRAIN,),
            consulted={"/robots.txt": robots, "/.well-known/tdmrep.json": robots, "head": "200", "body": "html"},
            http=Http(st=200, ct="text/html; charset=utf-8", len=chance.randrange(9_000, 90_000), ip="198.51.100.7",
                      ver="1.1", tls="TLSv1.3 TLS_AES_256_GCM_SHA384"),
            warc=(*records, pointer(chance, "metadata", offset + 20_600)),
            t_req=NOW + seq * 7 + 40, t_resp=NOW + seq * 7 + 190,
        )  # fmt: skip


def timed(name: str, work: Callable[[], Any]) -> tuple[Any, float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"{name:48} {cpu:8.2f} s CPU {wall:8.2f} s", flush=True)
    return result, cpu, wall


def append_all(folder: Path, key: keys.SigningKey, made: list[Any]) -> LogWriter:
    log = LogWriter.open(folder, "crawler.example.org/bench", key)
    for number, entry in enumerate(made, 1):
        log.append(entry)
        if number % GROUP == 0:
            log.sync()
        if number % CHECKPOINT_EVERY == 0:
            log.checkpoint()
    log.sync()
    return log


def plain_lines(path: Path, made: list[Any]) -> None:
    fields = ("seq", "ts", "url")
    with path.open("wb") as file:
        for number, entry in enumerate(made, 1):
            text = json.dumps(
                {name: getattr(entry, name) for name in fields} | {"verdict": str(getattr(entry, "verdict", ""))}
            )
            file.write(text.encode() + b"\n")
            if number % GROUP == 0:
                file.flush()
                os.fsync(file.fileno())


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def bench_log(count: int, folder: Path) -> None:
    key = keys.generate(folder / "key" / "log.key")
    made, _, _ = timed("make entries", lambda: list(entries(count)))
    log, cpu, _ = timed("append, fsync every 256, sign every 4,096", lambda: append_all(folder / "out/log", key, made))
    print(f"    append: {cpu / count * 1e6:.1f} us CPU an entry")
    _, cpu, _ = timed("  beside: four fields by json.dumps, same fsync", lambda: plain_lines(folder / "plain", made))
    print(f"    plain lines: {cpu / count * 1e6:.1f} us CPU an entry")
    made.clear()
    summary, cpu, _ = timed("second tree for the seal", lambda: site_tree(folder / "out/log").summary())
    print(f"    second tree: {cpu / count * 1e6:.1f} us CPU an entry")
    head = {"v": VERSION, "seq": count, "n": new_nonce(), "ts": timestamp(NOW), "run": "5f1e2d3c4b5a"}
    log.append(SealEntry(**head, end="finished", sites=summary))
    log.close()
    raw = size_of(folder / "out/log")
    report, cpu, _ = timed("verify, level 1", lambda: verify(folder / "out", ["L1"]))
    print(f"    level 1: {count / cpu:,.0f} entries/s; signed {report.signed_size:,} of {report.size:,}")
    timed("seal: zstd frames and tiles", lambda: seal(folder / "out/log"))
    stored = size_of(folder / "out/log")
    print(f"    stored: {raw / count:.0f} B an entry open, {stored / count:.0f} B sealed with the tree")
    report, cpu, _ = timed("verify, level 1, sealed", lambda: verify(folder / "out", ["L1"]))
    print(f"    level 1: {count / cpu:,.0f} entries/s")
    bench_proofs(folder / "out/log")


def bench_proofs(log: Path) -> None:
    line = next(line for path in segments(log) for line in read_lines(path) if b'"kept"' in line)
    entry = json.loads(line)
    for name, work in (
        ("proof of a kept page", lambda: prove_url(log, entry["url"], entry["site"])),
        ("proof of absence of a URL", lambda: prove_url(log, entry["url"] + "x", entry["site"])),
        ("proof of absence of a site", lambda: prove_site(log, "nowhere.example")),
    ):
        proof, _, _ = timed(name, work)
        text = proof.text()
        check(text)
        print(f"    {len(text.encode()):,} bytes")


def bench_replay(out: Path) -> None:
    verify(out, ["L3"])  # rules parsed, files in the cache
    report, cpu, _ = timed(
        "replay of the demo's mix of pages, five times", lambda: [verify(out, ["L3"]) for _ in range(5)][-1]
    )
    level = report.levels[-1]
    decided = sum(level.counts.values())
    print(f"    level 3 (with level 1): {5 * decided / cpu:,.0f} decisions/s; {level.counts}, {level.total} differ")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    folder = Path(tempfile.mkdtemp(prefix="bench-log-"))
    try:
        bench_log(count, folder)
        if len(sys.argv) > 2:
            bench_replay(Path(sys.argv[2]))
        load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
        print(f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, load average {load} on {os.cpu_count()} cores")
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
