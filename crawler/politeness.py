"""When a host may be asked again, and when a URL that failed for the moment is tried again. Pure; times in seconds."""

from __future__ import annotations

from typing import Final

import msgspec

LONGEST_BACKOFF_S: Final = 3600.0
#: Beyond them every pause is the longest, and a power of two some day too large for a float.
MOST_DOUBLINGS: Final = 62
#: A host that asks for more than a day between two requests is asked again tomorrow at the earliest.
LONGEST_WAIT_S: Final = 86_400.0


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How patient we are.

    Attributes:
        delay_s: least time between two requests to one authority (DOWNLOAD_DELAY).
        backoff_s: time before the second try of a URL; doubled with each further one.
    """

    delay_s: float
    backoff_s: float

    def host_free_at(self, now: float, *, crawl_delay_s: float = 0.0) -> float:
        """When the authority may be asked again after an exchange that ended `now`."""
        return now + min(max(self.delay_s, crawl_delay_s), LONGEST_WAIT_S)

    def again_at(self, now: float, *, attempt: int, retry_after_s: int = 0) -> float:
        """When a deferred URL is due again: what the host asked for (Retry-After), at least our own back-off."""
        own = min(self.backoff_s * 2.0 ** min(attempt - 1, MOST_DOUBLINGS), LONGEST_BACKOFF_S)
        return now + min(max(own, float(retry_after_s)), LONGEST_WAIT_S)
