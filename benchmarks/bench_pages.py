"""The auditors' pages in figures: making the index, and how long pages take on it.

    python benchmarks/bench_pages.py [ENTRIES] [--sealed]

ENTRIES: entries of the log that is made first (default 1,000,000), as in bench_log.py. Pages are asked for over HTTP
from the server as a process of its own, one by one, at random places; the first request of a kind is not counted.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from itertools import islice
from pathlib import Path
from urllib.parse import quote, urlencode

from bench_log import append_all, entries, size_of, timed

from provenance import keys
from provenance.index import index_path, update
from provenance.lookup import Lookup
from provenance.seal import seal

ROUNDS = 60
#: What a page may take at the 95th percentile, in milliseconds.
PAGE_MS, CHART_MS = 100, 300


def paths(out: Path, index: Path) -> dict[str, tuple[list[str], str, int]]:
    """By kind of page: addresses, method, and what it may take."""
    chance = random.Random(7)
    with Lookup.open(out, index_path(out, index)) as look:
        seqs = [chance.randrange(look.size) for _ in range(4 * ROUNDS)]
        rows = [row for row in (look.entry(seq) for seq in seqs) if row and row["kind"] == "decision"][:ROUNDS]
        sites = look.rows("SELECT name FROM site ORDER BY attempts DESC LIMIT ?", ROUNDS)
        digests = [look.leaf(row["seq"]).hex() for row in rows]
        size = look.size
    far = [chance.randrange(1, size) for _ in range(ROUNDS)]
    ask = [f"/search?{urlencode({'q': row['url']})}" for row in rows]
    return {
        "start": (["/"] * ROUNDS, "GET", PAGE_MS),
        "overview, four charts": (["/out"] * ROUNDS, "GET", CHART_MS),
        "site, charts and attempts": ([f"/out/site?name={quote(row['name'])}" for row in sites], "GET", CHART_MS),
        "decision": ([f"/out/entry/{row['seq']}" for row in rows], "GET", PAGE_MS),
        "URL": ([f"/out/url?of={row['seq']}" for row in rows], "GET", PAGE_MS),
        "search for a URL": (ask, "GET", PAGE_MS),
        "search for a digest": ([f"/search?q={digest}" for digest in digests], "GET", PAGE_MS),
        "attempts, anywhere": ([f"/out/attempts?after={seq}" for seq in far], "GET", PAGE_MS),
        "attempts for a reason": ([f"/out/attempts?reason=robots.disallow&after={seq}" for seq in far], "GET", PAGE_MS),
        "sites": (["/out/sites"] * ROUNDS, "GET", PAGE_MS),
        "checkpoints, signatures checked": (["/out/checkpoints"] * ROUNDS, "GET", PAGE_MS),
        "proof": ([f"/out/entry/{row['seq']}/proof" for row in rows], "GET", PAGE_MS),
        "verify button": ([f"/out/entry/{row['seq']}/verify" for row in rows], "POST", 500),
    }


def ask(connection: HTTPConnection, method: str, path: str) -> float:
    began = time.perf_counter()
    connection.request(method, path)
    answer = connection.getresponse()
    answer.read()
    if answer.status not in {200, 303}:
        raise SystemExit(f"{path}: {answer.status}")
    return 1000 * (time.perf_counter() - began)


def bench_pages(out: Path, index: Path) -> bool:
    command = [sys.executable, "-c", "from crawler.cli import main; main()", "serve", str(out), "--index", str(index)]
    with subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True) as server:
        try:
            found = re.search(r"127\.0\.0\.1:\d+", server.stdout.readline() if server.stdout else "")
            if not found:
                raise SystemExit("the server did not start")
            return ask_all(HTTPConnection(found[0]), paths(out, index))
        finally:
            server.terminate()


def ask_all(connection: HTTPConnection, kinds: dict[str, tuple[list[str], str, int]]) -> bool:
    good = True
    for kind, (addresses, method, most) in kinds.items():
        ask(connection, method, addresses[0])
        took = sorted(ask(connection, method, address) for address in addresses)
        middle, high = took[len(took) // 2], took[len(took) * 95 // 100]
        good &= high <= most
        print(f"{kind:36} {middle:8.1f} ms {high:8.1f} ms at the 95th percentile (at most {most})", flush=True)
    connection.close()
    return good


def main() -> None:
    words = [word for word in sys.argv[1:] if word != "--sealed"]
    count = int(words[0]) if words else 1_000_000
    folder = Path(tempfile.mkdtemp(prefix="bench-pages-"))
    out, index = folder / "out", folder / "index"
    try:
        log = append_all(out / "log", keys.generate(folder / "key" / "log.key"), list(islice(entries(count), count)))
        log.close()
        if "--sealed" in sys.argv:
            seal(out / "log")
        path = index_path(out, index)
        _, cpu, wall = timed("index", lambda: update(out, path))
        size = path.stat().st_size
        print(f"    {count / cpu:,.0f} entries/s CPU, {count / wall:,.0f} entries/s; {size / count:.0f} B an entry")
        print(f"    beside a log of {size_of(out / 'log') / count:.0f} B an entry")
        timed("nothing new", lambda: update(out, path))
        if not bench_pages(out, index):
            raise SystemExit("slower than it may be")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
