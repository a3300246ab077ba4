"""Throws octets at every reader, for as long as asked: `python -m tests.fuzz --seconds 600`.

With `--atheris NAME` one reader is fuzzed under coverage guidance, when atheris is installed (`pip install atheris`).
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

#: Seconds that a reader goes on before the next one has its turn.
_TURN_S = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for all readers together (60)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="readers, by name; all without")
    parser.add_argument(
        "--add", nargs="+", type=Path, default=[], metavar="FOLDER", help="more seeds, by suffix of files"
    )
    parser.add_argument("--start", default="1", help="another start gives other inputs (1)")
    parser.add_argument("--most", type=int, default=1 << 16, help="octets of an input (65536)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where inputs with faults are written")
    parser.add_argument("--atheris", metavar="NAME", help="one reader, guided by coverage")
    options = parser.parse_args()
    return _guided(options) if options.atheris else _plain(options)


def _plain(options: argparse.Namespace) -> int:
    from fuzz import engine, seeds
    from fuzz.table import TARGETS

    chosen = [target for target in TARGETS if not options.only or target.name in options.only]
    added = [seed for folder in options.add for seed in seeds.of_folder(folder)]

    def of(*kinds: str) -> tuple[bytes, ...]:
        return (*seeds.of(*kinds), *(octets for kind, octets in added if kind in kinds))

    waiting = engine.fuzzers(chosen, of, options.start, options.most)
    counts = dict.fromkeys((target.name for target in chosen), 0)
    faults = 0
    end = time.monotonic() + options.seconds
    while waiting and time.monotonic() < end:
        for fuzzer in list(waiting):
            turn = min(time.monotonic() + min(_TURN_S, options.seconds / len(chosen)), end)
            course = fuzzer.run(lambda _, turn=turn: time.monotonic() > turn)
            counts[fuzzer.target.name] += course.executions
            if course.fault is not None:
                waiting.remove(fuzzer)
                faults += 1
                _tell(course.fault, options.keep)
    for name, count in counts.items():
        print(f"{count:9} {name}")
    print(f"{sum(counts.values()):9} executions, {faults} faults")
    return 1 if faults else 0


def _tell(fault, keep: Path | None) -> None:
    name = f"{fault.target.replace(' ', '-').replace(':', '')}-{hashlib.sha256(fault.octets).hexdigest()[:12]}"
    print(f"FAULT {fault.target}: {fault.what}\n  {len(fault.octets)} octets: {fault.octets[:200]!r}", flush=True)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / name).write_bytes(fault.octets)


def _guided(options: argparse.Namespace) -> int:
    import atheris

    with atheris.instrument_imports(include=["reservations", "blocklists", "provenance", "crawler"]):
        from fuzz import engine, seeds
        from fuzz.table import TARGETS
    target = next(target for target in TARGETS if target.name == options.atheris)

    def one(octets: bytes) -> None:
        fault, _ = engine.check(target, octets)
        if fault is not None:
            _tell(fault, options.keep)
            raise AssertionError(fault.what)

    with tempfile.TemporaryDirectory() as folder:
        for number, octets in enumerate(seeds.of(*target.seeds)):
            (Path(folder) / str(number)).write_bytes(octets)
        limits = (f"-max_total_time={int(options.seconds)}", f"-max_len={options.most}")
        atheris.Setup([sys.argv[0], *limits, folder], one)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
