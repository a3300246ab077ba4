"""What can go wrong between a request and the last byte of its answer, in words of the `transfer.*` reason codes."""

from __future__ import annotations

from typing import Literal

Reason = Literal[
    "address", "dns", "encoding", "incomplete", "inflation", "protocol", "reset", "timeout", "tls", "too-large"
]

MAX_DETAIL = 300
"""Characters of a server's own words that an error may carry."""


class TransferError(Exception):
    """A transfer that gave no usable answer.

    Attributes:
        reason: stable word: "timeout", "reset" (closed before the first byte of an answer), "incomplete" (closed
            within an answer), "dns", "tls", "protocol", "too-large", "inflation", "encoding", "address".
        where: the origin or address that was talked to.
        detail: what happened, in a sentence.
    """

    def __init__(self, reason: Reason, where: str, detail: str) -> None:
        detail = detail[:MAX_DETAIL]
        super().__init__(f"{where}: {detail} [{reason}]")
        self.reason: Reason = reason
        self.where = where
        self.detail = detail


class AddressForbidden(TransferError):  # noqa: N818 - the reason code is `address.forbidden`
    """A name led to an address that a crawler has no business with.

    Attributes:
        host: the name that was asked for.
        address: the address that it led to.
        why: the kind of address.
    """

    def __init__(self, host: str, address: str, why: str) -> None:
        super().__init__("address", host, f"leads to {address}, which is not on the public internet: {why}")
        self.host = host
        self.address = address
        self.why = why
