"""The frontier: which URL may be asked for next, and nothing forgotten. The URL in the settings names the back end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from crawler.frontier.interface import (
    LEASE_S,
    MAX_PAYLOAD_BYTES,
    Counts,
    Found,
    Frontier,
    FrontierError,
    Lease,
    Limits,
    Outcome,
)
from crawler.frontier.sqlite import SqliteFrontier
from crawler.frontier.valkey_url import SCHEMES, parse, shown

__all__ = [
    "MAX_PAYLOAD_BYTES",
    "Counts",
    "Found",
    "Frontier",
    "FrontierError",
    "Lease",
    "Outcome",
    "open_frontier",
    "shown",
]

_SQLITE = "sqlite:///"


def open_frontier(
    url: str,
    *,
    now: Callable[[], float],
    worker: str = "",
    lease_s: float = LEASE_S,
    max_per_host: int = 0,
    max_per_site: int = 0,
    max_per_address: int = 0,
) -> Frontier:
    """The frontier that a URL names, not opened yet.

    Args:
        url: "sqlite:///state/frontier.db" is relative to the working folder, "sqlite:////srv/frontier.db" absolute;
            "valkey://host:6379/0?crawl=name" is a server that many machines share (`valkey_url`).
        now: seconds since 1970.
        worker: who claims; unique within the crawl, the same after a restart. "" is an onlooker, who does not.
        lease_s: the term of a lease.
        max_per_host: URLs accepted per authority; 0 for no limit.
        max_per_site: URLs accepted per registrable domain; 0 for no limit.
        max_per_address: leases open at one IP address at a time; 0 for no limit.

    Raises:
        FrontierError: no back end goes by that URL.
    """
    limits = Limits(lease_s=lease_s, per_host=max_per_host, per_site=max_per_site, per_address=max_per_address)
    if url.partition("://")[0] in SCHEMES:
        return _on_valkey(url, now=now, worker=worker, limits=limits)
    path = url.removeprefix(_SQLITE)
    if path in {url, ""}:
        raise FrontierError(
            "names no frontier",
            where=f"KNOCKFIRST_FRONTIER={shown(url)}",
            remedy=f"Write {_SQLITE}path/to/frontier.db (a fourth slash begins an absolute path), or"
            " valkey://host:6379/0?crawl=name.",
        )
    return SqliteFrontier(Path(path).absolute(), now=now, worker=worker, limits=limits)


def _on_valkey(url: str, *, now: Callable[[], float], worker: str, limits: Limits) -> Frontier:
    target = parse(url)
    try:
        from crawler.frontier.valkey import ValkeyFrontier  # noqa: PLC0415  (its client is an extra)
    except ModuleNotFoundError as error:
        raise FrontierError(
            f"needs a package that is not installed ({error.name})",
            where=f"KNOCKFIRST_FRONTIER={target.shown}",
            remedy="pip install 'knockfirst[valkey]'",
        ) from None
    return ValkeyFrontier(target, now=now, worker=worker, limits=limits)
