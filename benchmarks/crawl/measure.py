"""Runs one command and prints what it cost, as JSON. Run it as a script, with `python -I -S`: see `main`."""

from __future__ import annotations

import json
import os
import sys
import time


def main() -> None:
    """Usage: measure.py COMMAND [ARGUMENT...].

    A process's peak memory starts at that of the process it was forked from, so this one must be small: nothing but
    the bare interpreter, about 10 MB. A command that needs less shows that much.
    """
    began = time.monotonic()
    child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
    _, status, usage = os.wait4(child, 0)
    cost = {
        "status": os.waitstatus_to_exitcode(status),
        "wall_s": time.monotonic() - began,
        "user_s": usage.ru_utime,
        "system_s": usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
    }
    print(json.dumps(cost))


if __name__ == "__main__":
    main()
