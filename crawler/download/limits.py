"""The bounds of one exchange: what a server may cost us in bytes, in time and in memory."""

from __future__ import annotations

from typing import Final

import msgspec

KIB: Final = 1024
MIB: Final = 1024 * KIB


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds in bytes, seconds and counts. The size of a body is said with each `Exchange.read`.

    Attributes:
        head_bytes: one head (status line to blank line), chunk header or trailer section.
        head_fields: header lines of one head.
        interim_heads: 1xx heads before the final one.
        framing_bytes: what a block may be larger than twice its data (chunk framing, and a piece not parsed yet).
        inflation: decoded bytes that one transferred byte may become, once `inflation_floor` is reached.
        inflation_floor: decoded bytes below which nobody counts.
        connect_s: time for one address to accept, TLS included.
        addresses: addresses of one name that are tried.
        idle_s: time between two segments of an answer.
        total_s: time from the start of an exchange to its last byte, our own pause at the head included.
        keep_alive_s: time an unused connection is kept.
        keep_alive_connections: unused connections kept.
    """

    head_bytes: int = 64 * KIB
    head_fields: int = 256
    interim_heads: int = 8
    framing_bytes: int = 128 * KIB
    inflation: int = 250
    inflation_floor: int = MIB
    connect_s: float = 10.0
    addresses: int = 4
    idle_s: float = 30.0
    total_s: float = 180.0
    keep_alive_s: float = 15.0
    keep_alive_connections: int = 512
