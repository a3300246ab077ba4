"""How a frontier is laid out on Valkey or Redis: which shard has what, under which keys, in which form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, TypeVar

import msgspec

from crawler.frontier.interface import Lease, site_of
from crawler.frontier.valkey_server import FIXED_KEYS

T = TypeVar("T")

HOME: Final = 0
"""The shard of what there is once: facts, workers, the layout itself."""

_FURTHEST_US: Final = 2**51
"""Seventy years: further off, times would not be exact in the server's numbers."""

decode: Final = msgspec.msgpack.Decoder().decode


def us(seconds: float) -> int:
    """A duration in the server's unit."""
    return round(max(-_FURTHEST_US, min(_FURTHEST_US, seconds * 1e6)))


@lru_cache(maxsize=65536)
def shard_of(text: str | bytes, shards: int) -> int:
    """Where something belongs that is known by a text: a site, an address, a digest."""
    data = text.encode() if isinstance(text, str) else text
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big") % shards


@lru_cache(maxsize=65536)
def shard_of_authority(authority: str, shards: int) -> int:
    """All authorities of a site lie together, so that its budget is exact."""
    return shard_of(site_of(authority), shards)


def path_of(authority: str, url: str) -> str:
    """A URL as it is stored beside its authority."""
    return url[len(authority) :] if url.startswith(f"{authority}/") else url


def url_of(authority: str, path: str) -> str:
    """The URL that `path_of` made a path of."""
    return authority + path if path.startswith("/") else path


def lease_of(row: Sequence[Any]) -> Lease:
    """A lease as `claim` and `resume` in `valkey.lua` give it."""
    number, authority, path, payload, attempt, rank, losses, lost, _ = row
    return Lease(number, url_of(authority, path), authority, payload, attempt, -rank, losses, lost or None)


def pieces(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """A sequence, some at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


class Keys:
    """The keys that a script is given behind the fixed ones, each once, known to it by their places."""

    def __init__(self, *names: str) -> None:
        self.names: dict[str, int] = {}
        for name in names:
            self.place(name)

    def place(self, name: str) -> int:
        """The place of a key, counted as the scripts count."""
        return self.names.setdefault(name, len(FIXED_KEYS) + 1 + len(self.names))

    def queues(self, authority: str) -> tuple[int, int]:
        """The places of an authority's two queues: what is due, and what waits for its time."""
        return self.place(f"q:{authority}"), self.place(f"w:{authority}")


def mine(worker: str) -> str:
    """The key of the leases of a worker."""
    return f"m:{worker}"


def at(address: str) -> str:
    """The key of the leases open at an address."""
    return f"at:{address}"
