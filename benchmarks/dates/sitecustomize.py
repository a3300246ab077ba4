"""Has Python tell another date: the machine's, and as many seconds more as a file says (`benchmarks.fleet.Calendar`).

Python runs a module of this name, where its path has one, before anything else. Clocks that are no date are left alone.
"""

import mmap
import os
import struct
import time
from pathlib import Path

with Path(os.environ["KNOCKFIRST_BENCHMARK_DATE"]).open("rb") as _file:
    _told = mmap.mmap(_file.fileno(), 8, access=mmap.ACCESS_READ)
_seconds, _nanoseconds = time.time, time.time_ns


def _ahead() -> int:
    return int(struct.unpack("<q", _told)[0])


time.time = lambda: _seconds() + _ahead()
time.time_ns = lambda: _nanoseconds() + _ahead() * 1_000_000_000
