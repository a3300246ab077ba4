"""What a status and a redirect say about access, before the body: by the tables of the protocol files.

Knows no status of its own. A redirect counts when the target's path ends in a segment of the tables and the source's
does not, so that `/blog/login-page-design` is a page like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final
from urllib.parse import unquote, urlsplit

from reservations.definition import Protocol, RedirectRow, StatusRow
from reservations.model import Header, Hop, Signal
from reservations.readers.http_head import first
from reservations.statement import clean

#: Longest wait that is believed: after a week the host is asked again by its own schedule.
_MAX_WAIT_S: Final = 7 * 86_400
_SUFFIX: Final = re.compile(r"\.(php|aspx?|jsp|html?|do|cgi)$")


@lru_cache(maxsize=4096)
def status_fits(status: int, patterns: tuple[str, ...]) -> bool:
    """Whether a status is one of "404", "5xx", ..."""
    text = str(status)
    return any(pattern in (text, f"{text[0]}xx") for pattern in patterns)


def fields_fit(row: StatusRow, headers: Sequence[Header]) -> bool:
    """Whether one of the fields that a row asks for is there; it may ask for none."""
    return not row.fields or any(_has(headers, field) for field in row.fields)


def _has(headers: Sequence[Header], field: str) -> bool:
    name, _, prefix = field.partition(":")
    value = first(headers, name.strip())
    return value is not None and value.strip().lower().startswith(prefix.strip().lower())


def status_signal(protocol: Protocol, row: StatusRow, status: int) -> Signal:
    """The statement that a status makes."""
    return Signal(
        protocol=protocol.id,
        reason=row.reason,
        carrier="status",
        source="head",
        locator="status",
        excerpt=str(status),
        strict=row.strict,
        effective=row.effective,
        vendor=row.vendor,
    )


def redirect_signals(protocol: Protocol, hops: Iterable[tuple[str, Hop]]) -> list[Signal]:
    """Statements of redirects; each hop comes with the source it was read from ("head", "url")."""
    return [
        Signal(
            protocol=protocol.id,
            reason=row.reason,
            carrier="redirect",
            source=source,
            locator="location",
            excerpt=clean(hop.location),
            strict=row.strict,
            effective=row.effective,
            vendor=row.vendor,
        )
        for source, hop in hops
        for row in protocol.redirects
        if _asks_for_more(hop, row)
    ]


def _asks_for_more(hop: Hop, row: RedirectRow) -> bool:
    names = frozenset(row.segments)
    return bool(_ending(hop.location) & names) and not _ending(hop.url) & names


def _ending(url: str) -> frozenset[str]:
    """The last two segments of a URL's path, in lower case, without a file suffix."""
    try:
        path = urlsplit(url).path
    except ValueError:
        return frozenset()
    segments = [segment for segment in unquote(path).lower().split("/") if segment]
    return frozenset(_SUFFIX.sub("", segment) for segment in segments[-2:])


def retry_after_s(headers: Iterable[Header]) -> int:
    """Seconds that Retry-After asks for, 0 when it is absent or unreadable (RFC 9110 10.2.3).

    A date is taken relative to the response's own Date: the two clocks are then the same.
    """
    lines = tuple(headers)
    value = (first(lines, "retry-after") or "").strip()
    if value.isascii() and value.isdigit():
        return min(int(value[:10]), _MAX_WAIT_S)
    until, sent = _date(value), _date((first(lines, "date") or "").strip())
    if until is None or sent is None:
        return 0
    return min(max(0, int((until - sent).total_seconds())), _MAX_WAIT_S)


def _date(value: str) -> datetime | None:
    if not value or len(value) > 64:  # noqa: PLR2004 no HTTP date is longer
        return None
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
