"""Runs Scrapy's command line and sends itself a signal, kill -9 for one, at one call of one function of ours.

    python kill_at.py MODULE:NAME NTH before|after SIGKILL crawl web ...

So a test names the very step after which nothing more happened, where a kill from outside hits it once in a hundred.
"""

from __future__ import annotations

import inspect
import os
import signal
import sys
from importlib import import_module
from pathlib import Path


def kill_at(place: str, nth: int, when: str, number: signal.Signals) -> None:
    """Replace the function: before or after its `nth` call the signal comes."""
    module, _, name = place.partition(":")
    holder = import_module(module)
    *parents, last = name.split(".")
    for parent in parents:
        holder = getattr(holder, parent)
    original = getattr(holder, last)
    calls = 0

    def now(wanted: str) -> None:
        if when == wanted and calls == nth:
            os.kill(os.getpid(), number)

    async def later(*args, **kwargs):
        answer = await original(*args, **kwargs)
        now("after")
        return answer

    def instead(*args, **kwargs):
        nonlocal calls
        calls += 1
        now("before")
        if inspect.iscoroutinefunction(original):
            return later(*args, **kwargs)
        answer = original(*args, **kwargs)
        now("after")
        return answer

    setattr(holder, last, instead)


if __name__ == "__main__":
    sys.path[0] = str(Path.cwd())
    kill_at(sys.argv[1], int(sys.argv[2]), sys.argv[3], signal.Signals[sys.argv[4]])
    from scrapy.cmdline import execute

    execute(["scrapy", *sys.argv[5:]])
