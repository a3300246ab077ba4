"""Runs every check in turn, says which it is, and ends with the first that fails. `./test` calls it.

Arguments are handed to pytest, and then pytest alone runs: `./test tests/unit -k robots`.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent

VECTORS = ("robots", "reservations", "sentences", "metas", "access", "assets")
CHECKS = (
    ("format", ("ruff", "format", "--check", "--quiet", ".")),
    ("lint", ("ruff", "check", "--quiet", ".")),
    ("types", ("mypy",)),
    ("imports", ("lint-imports", "--no-cache")),
    ("data files", ("knockfirst", "lint")),
    ("vectors", ("knockfirst", "vectors", *(f"tests/vectors/{kind}.json" for kind in VECTORS))),
    ("tests", ("pytest", "-q")),
)


def main() -> int:
    """Runs the checks; the exit status of the first that fails, else 0."""
    checks = ((("tests", ("pytest", *sys.argv[1:])),)) if sys.argv[1:] else CHECKS
    for name, (program, *arguments) in checks:
        began = time.monotonic()
        print(f"== {name}", flush=True)  # noqa: T201
        status = subprocess.run([BIN / program, *arguments], check=False).returncode  # noqa: S603
        if status:
            print(f"== {name} failed after {time.monotonic() - began:.0f} s", flush=True)  # noqa: T201
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
