"""Reason codes of the core itself, each with one sentence; a protocol's own stand in its file. All are stable API."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

CORE: Final[Mapping[str, str]] = MappingProxyType({
    "policy.open": "Nothing closes every declared use: the page may be kept.",
    "blocklist.listed": "The site is on the list of those that courts or authorities hold to infringe persistently.",
    "url.secret": "The URL carries a user name, a password or a session secret; it is never asked for.",
    "url.unsupported": "The URL is not one we ask for: its scheme, port or length is not supported.",
    "address.forbidden": "The host's address points inside a network, or at no public host; it is never asked.",
    "transfer.timeout": "The server did not answer in time.",
    "transfer.reset": "The connection broke.",
    "transfer.dns": "The host's name could not be resolved.",
    "transfer.tls": "No trusted TLS connection could be made.",
    "transfer.incomplete": "The answer ended before it was complete.",
    "transfer.protocol": "The answer does not follow HTTP.",
    "transfer.too-large": "The answer is larger than the policy allows.",
    "transfer.inflation": "The answer inflates beyond the policy's bounds.",
    "transfer.encoding": "The answer uses a content coding that cannot be read.",
    "scope.media-type": "The page is of a media type that was not asked for.",
    "payload.identical": "The payload is identical with one that this crawl has kept already.",
    "record.erased": "What was kept of the page was erased afterwards, on legal demand.",
    "crawl.interrupted": "The attempt was cut off by the end of the crawl process.",
})  # fmt: skip
