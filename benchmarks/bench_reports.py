"""Reports in figures: the summary and the crawl report of a log of the size of a real crawl.

    python benchmarks/bench_reports.py [ENTRIES]

ENTRIES: how many the log has (default 1,000,000). They are those of `bench_log.py`,
read from an open log and a sealed one.
"""

from __future__ import annotations

import resource
import shutil
import sys
import tempfile
from pathlib import Path

from bench_log import NOW, append_all, entries, timed

from provenance import keys
from provenance.entry import VERSION, SealEntry, new_nonce, timestamp
from provenance.reports import files
from provenance.reports.crawl import crawl
from provenance.reports.summary import summary
from provenance.reports.tally import read_log
from provenance.rules import Rules
from provenance.seal import seal


def make(folder: Path, count: int) -> Path:
    """A sealed log, without the records and rules that no report reads."""
    key = keys.generate(folder / "key" / "log.key")
    log = append_all(folder / "out/log", key, entries(count))  # type: ignore[arg-type]
    head = {"v": VERSION, "seq": count, "n": new_nonce(), "ts": timestamp(NOW + count * 7), "run": "5f1e2d3c4b5a"}
    log.append(SealEntry(**head, end="finished"))
    log.close()
    return folder / "out"


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    folder = Path(tempfile.mkdtemp(prefix="bench-reports-"))
    try:
        out, _, _ = timed("write a log", lambda: make(folder, count))
        rules = Rules.load(tokens=("KnockfirstBot",))
        for state in ("open", "sealed"):
            tally, cpu, _ = timed(f"count and check, {state} log", lambda: read_log(out))
            print(f"    {cpu / count * 1e6:.2f} us an entry; {len(tally.rows):,} rows; faults: {tally.faults}")
            _, cpu, wall = timed(
                f"summary, {state} log, all forms written",
                lambda: files.write(summary([read_log(out)], [rules]), folder / "reports"),
            )
            print(f"    {wall * 1e6 / count:.2f} s a million entries")
            seal(out / "log")
        timed("crawl report of what was counted", lambda: files.write(crawl([tally], [rules]), folder / "reports"))
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
