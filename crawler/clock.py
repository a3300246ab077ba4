"""The clock that hosts and leases are timed by: seconds since 1970 that go on evenly while somebody sets the date.

A date that is set forward would have hosts asked too soon, and the leases of other processes end before their time.
Entries in the log are stamped with the date as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Setting(msgspec.Struct, frozen=True):
    """How a machine's clock was set when it was first looked at.

    Attributes:
        boot: which start of the machine it goes with; empty: not known, so that nobody else can go by it.
        ahead_s: seconds from the machine's start back to 1970.
    """

    boot: str
    ahead_s: float


def since_boot() -> float:
    """Seconds since the machine was started; they also pass while it sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def this_boot() -> str:
    """The id of this start of the machine; empty where the system gives none."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


class SteadyClock:
    """The date at which it was made, and what passed since.

    Args:
        date: seconds since 1970 as the machine has them.
        passed: seconds since its start.
        boot: id of that start.
    """

    def __init__(
        self,
        *,
        date: Callable[[], float] = time.time,
        passed: Callable[[], float] = since_boot,
        boot: Callable[[], str] = this_boot,
    ) -> None:
        self._passed = passed
        self.setting = Setting(boot(), date() - passed())

    def __call__(self) -> float:
        """Seconds since 1970."""
        return self._passed() + self.setting.ahead_s

    def agree(self, other: Setting) -> bool:
        """Go by the setting of another process of this machine from now on; False when it is of an earlier start."""
        if not other.boot or other.boot != self.setting.boot:
            return False
        self.setting = other
        return True


steady: Final = SteadyClock()
"""This process's. The SQLite frontier that it opens has it agree with those of the other processes."""
