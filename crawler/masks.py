"""How URLs are shown in entries: as they are, or with their secrets replaced by a keyed digest."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from provenance.entry import LoggedHop
from provenance.naming import masked
from reservations.model import Decision, Hop, Signal
from reservations.policy import Policy
from reservations.urls import faults


class Masks:
    """Masks the secrets of one crawl, everywhere alike.

    A URL that carries one is never asked for, but may be found, redirected to, and repeated in what a redirect states.

    Args:
        policy: names the query keys that carry secrets.
        key: secret of this crawl that masked values are digested with.
    """

    def __init__(self, policy: Policy, key: bytes) -> None:
        self._policy, self._key = policy, key

    def url(self, url: str) -> tuple[str, bool]:
        """The URL as entries show it, and whether secrets in it were masked."""
        if faults(url, self._policy) != "url.secret":
            return url, False
        return masked(url, self._policy.secret_keys, self._key), True

    def hops(self, hops: Iterable[Hop]) -> tuple[LoggedHop, ...]:
        """Redirects as entries show them."""
        return tuple(LoggedHop(url=self.url(h.url)[0], st=h.status, to=self.url(h.location)[0]) for h in hops)

    def decision(self, decision: Decision) -> Decision:
        """A decision as its entry shows it: a redirect may lead to a URL that carries a secret, and state it."""
        return msgspec.structs.replace(
            decision,
            location=self.url(decision.location)[0] if decision.location else decision.location,
            signals=tuple(map(self._signal, decision.signals)),
        )

    def _signal(self, signal: Signal) -> Signal:
        if signal.carrier != "redirect":
            return signal
        return msgspec.structs.replace(signal, excerpt=self.url(signal.excerpt)[0])
