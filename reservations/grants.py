"""What the operator itself says of a URL: licences that it holds (in the policy), restrictions that its staff sets.

A licence lifts reservations, within protocols that allow for it, for the uses and days that it names. It never opens
what is refused to a crawler as such.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from reservations.definition import Protocol
from reservations.model import Category, Facts, Signal, Value
from reservations.policy import Policy
from reservations.statement import clean
from reservations.urls import UrlError, origin_of

_MS: Final = 1000


def day_of(at: int) -> str:
    """The day of a moment given in milliseconds since 1970, as YYYY-MM-DD."""
    return datetime.fromtimestamp(at / _MS, UTC).date().isoformat()


def licensed_purposes(facts: Facts, policy: Policy) -> frozenset[Category]:
    """The uses for which a licence covers the URL on the day of the attempt."""
    if not policy.licences:
        return frozenset()
    held = policy.licences_for(facts.url, day_of(facts.at))
    return frozenset(purpose for licence in held for purpose in licence.purposes)


class OperatorTables:
    """The tables of all protocols by which the operator speaks."""

    def __init__(self, protocols: Iterable[Protocol]) -> None:
        listed = tuple(protocols)
        self._grants: Sequence[Protocol] = [protocol for protocol in listed if protocol.grants]
        self._restrictions = [(row, protocol.id) for protocol in listed for row in protocol.restrictions]

    def read(self, facts: Facts, policy: Policy) -> list[Signal]:
        """Licences and restrictions on the URL, on the day of the attempt."""
        if not (policy.licences or self._restrictions):
            return []
        day = day_of(facts.at)
        signals = [
            _licence(protocol, licence.id, licence.evidence, licence.purposes, licence.conditions)
            for protocol in self._grants
            for licence in policy.licences_for(facts.url, day)
        ]
        try:
            host = origin_of(facts.url).host
        except UrlError:
            return signals
        for row, name in self._restrictions:
            on = next((item for item in row.hosts if host == item or host.endswith("." + item)), None)
            if on is not None and day <= row.until:
                signals.append(_said(name, row.reason, on, row.why, row.values))
        return signals


def _licence(
    protocol: Protocol, name: str, evidence: str, purposes: Iterable[Category], conditions: tuple[str, ...]
) -> Signal:
    values = dict.fromkeys(purposes, Value.ALLOW)
    return Signal(
        protocol=protocol.id,
        reason=protocol.grants,
        carrier="policy",
        source="url",
        locator=f"licence {name}",
        excerpt=clean(evidence),
        strict=values,
        effective=values,
        addressed_to="us",
        issues=tuple(clean(condition) for condition in conditions),
    )


def _said(protocol: str, reason: str, locator: str, why: str, values: Mapping[Category, Value]) -> Signal:
    return Signal(
        protocol=protocol,
        reason=reason,
        carrier="policy",
        source="url",
        locator=f"restriction {locator}",
        excerpt=clean(why),
        strict=dict(values),
        effective=dict(values),
    )
