"""A crawl that is not started, and how people hear of it: one message on the error stream, without a traceback.

Scrapy lets the exception run out of a task that nobody waits for, and asyncio (or Twisted, under
FORCE_CRAWLER_PROCESS) then reports it as a fault of the program, with its text up to three times; so does an engine
that is closed before it was open. It is no fault of the program. A script that awaits `crawl()` itself gets the
exception, and nothing is printed.
"""

from __future__ import annotations

import logging
import sys
from typing import Final
from weakref import WeakSet

from scrapy import Spider

from crawler.options import Fault

_UNHEARD: Final = ("asyncio", "twisted")
_HALF_OPEN: Final = ("scrapy.core.engine", "scrapy.utils.signal")


class StartRefusedError(Exception):
    """The crawl does not start. `faults` says why, all of it at once."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = tuple(faults)
        lines = "\n".join(f"  {fault}" for fault in faults)
        super().__init__(f"the crawl was not started, nothing was fetched; {len(faults)} to mend:\n{lines}")


class _Plainly(logging.Filter):
    """Prints a refusal that nobody caught, once, in place of the records that report it."""

    def __init__(self) -> None:
        super().__init__()
        self.spiders: WeakSet[Spider] = WeakSet()
        self._told: WeakSet[StartRefusedError] = WeakSet()

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if record.name in _HALF_OPEN:
            return error is None or getattr(record, "spider", None) not in self.spiders
        if not isinstance(error, StartRefusedError):
            return True
        if error not in self._told:
            self._told.add(error)
            print(error, file=sys.stderr, flush=True)  # noqa: T201  (also where logging is switched off)
        return False


_plainly: Final = _Plainly()


def refusal(faults: list[Fault], spider: Spider | None) -> StartRefusedError:
    """The exception to raise, of which people will hear in plain words."""
    if spider is not None:
        _plainly.spiders.add(spider)
    for name in (*_UNHEARD, *_HALF_OPEN):
        logging.getLogger(name).addFilter(_plainly)
    return StartRefusedError(faults)
