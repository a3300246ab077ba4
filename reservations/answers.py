"""What each protocol answered to one URL: where it was looked for, what was found, and what that came to.

Made from a decision, the protocols and the policy it was made by, and from nothing else: a stored entry and the
recorded rules suffice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

import msgspec

from reservations.decide import DECIDING, REPORTED, Standings, by_the_letter, closing, resolve
from reservations.definition import Protocol
from reservations.explain import effects, place_of
from reservations.legal import is_legal_key
from reservations.matrix import DECLARED, NAMED, RULES, Carrier, carriers
from reservations.model import Category, Decision, Signal, Value
from reservations.policy import Policy


class Weight(StrEnum):
    """What a protocol's answer came to."""

    DECISIVE = "decisive"
    """Its statement gave the decision its reason."""
    CLOSES = "closes"
    """It closes a declared use too; another statement was named first."""
    LIFTED = "lifted"
    """It would close a declared use, which a licence of the operator's opens."""
    COUNTS = "counts"
    """It counts under the profile, and closes no declared use."""
    NOTED = "noted"
    """It was found and does not bind under the profile."""
    SILENT = "silent"
    """Nothing was found."""


class Looked(msgspec.Struct, frozen=True):
    """One place where a protocol's statements can stand, and what came of looking there.

    Attributes:
        place: the place in words; source: what it is part of: a file of the origin, "head", "body", a document's URL.
        outcome: "404", "200", "image/png xmp", "another format (html)", "not asked for", ...
        applies: whether a statement could have been found there.
    """

    place: str
    source: str
    outcome: str
    applies: bool = True


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One statement found.

    Attributes:
        where: where it stood; text: its own words; effect: what it says in effect, in words, "" for nothing.
        strict, effective, vendor: its values; to: whom it addresses.
        issues: what was odd; conditions: what it asks for.
    """

    where: str
    text: str
    effect: str
    strict: Mapping[Category, Value]
    effective: Mapping[Category, Value]
    vendor: Mapping[Category, Value]
    to: str
    issues: tuple[str, ...]
    conditions: tuple[str, ...]


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What one protocol answered.

    Attributes:
        protocol: its id; title: its name and version.
        looked: every place, in the order in which they are read.
        found: every statement.
        says: its own result in words: in effect, and by the letter where that differs; "" for nothing.
        strict, effective: the same as values, by the letter and as the policy's profile reports them.
        weight: what it came to.
        decisive: whether its statement decided.
    """

    protocol: str
    title: str
    looked: tuple[Looked, ...]
    found: tuple[Said, ...]
    says: str
    strict: Mapping[Category, Value]
    effective: Mapping[Category, Value]
    weight: Weight
    decisive: bool


def by_protocol(decision: Decision, protocols: Iterable[Protocol], policy: Policy) -> list[Answered]:
    """The answer of each protocol, silent ones too, in the protocols' order."""
    return [_answer(decision, protocol, policy) for protocol in protocols]


def _answer(decision: Decision, protocol: Protocol, policy: Policy) -> Answered:
    signals = [signal for signal in decision.signals if signal.protocol == protocol.id]
    strict = _values(resolve(protocol, ((one, by_the_letter(one)) for one in signals)))
    effective = _values(resolve(protocol, ((one, REPORTED[policy.profile](one)) for one in signals)))
    says = effects(effective.items())
    if strict != effective:
        says += f" (by the letter: {effects(strict.items()) or 'nothing'})"
    weight = _weight(decision, protocol, policy, signals)
    return Answered(
        protocol=protocol.id,
        title=protocol.title,
        looked=tuple(_looked(decision, protocol, signals)),
        found=tuple(map(_said, signals)),
        says=says.strip(),
        strict=strict,
        effective=effective,
        weight=weight,
        decisive=weight is Weight.DECISIVE,
    )


def _values(standings: Standings) -> dict[Category, Value]:
    return {category: standing.value for category, standing in standings.items()}


def _said(signal: Signal) -> Said:
    return Said(
        where=place_of(signal),
        text=signal.excerpt,
        effect=effects((signal.effective or signal.vendor or signal.strict).items()),
        strict=signal.strict,
        effective=signal.effective,
        vendor=signal.vendor,
        to=signal.addressed_to,
        issues=signal.issues,
        conditions=signal.conditions,
    )


def _weight(decision: Decision, protocol: Protocol, policy: Policy, signals: list[Signal]) -> Weight:
    if not signals:
        return Weight.SILENT
    if any(signal.reason == decision.reason for signal in signals):
        return Weight.DECISIVE
    standings = resolve(protocol, ((one, DECIDING[policy.profile](one)) for one in signals))
    closed = [purpose for purpose in policy.purposes if closing(standings, purpose) is not None]
    if closed:
        return Weight.LIFTED if all(purpose in decision.open for purpose in closed) else Weight.CLOSES
    return Weight.COUNTS if standings else Weight.NOTED


def _looked(decision: Decision, protocol: Protocol, signals: list[Signal]) -> Iterator[Looked]:
    spoke = dict.fromkeys(signal.source for signal in signals)
    # A file of the protocol's own at another origin, and documents that spoke; who else was asked is in `consulted`.
    paths = tuple(path for document in protocol.documents for path in (document.path, *document.also_at))
    others = {
        key: outcome
        for key, outcome in decision.consulted.items()
        if "://" in key and (key in spoke or (paths and key.endswith(paths)))
    }
    if protocol.language is not None and protocol.language.linked is not None:
        others |= {key: outcome for key, outcome in decision.consulted.items() if is_legal_key(key)}
    for carrier in carriers(protocol):
        if carrier.source != NAMED:
            yield _looked_at(decision, carrier, len(protocol.declared))
    yield from (Looked("a document that was named", key, outcome) for key, outcome in others.items())


def _looked_at(decision: Decision, carrier: Carrier, declared: int) -> Looked:
    place, source, form = carrier.place.replace("`", ""), carrier.source, carrier.form
    if source == RULES:
        return Looked(place, source, "in force")
    if source == DECLARED:
        if not declared:
            return Looked(place, source, "not consulted: none are kept", applies=False)
        source, form = "body", ""
    outcome = decision.consulted.get(source)
    if outcome is None:
        return Looked(place, source, "not read" if source == "body" else "not asked for", applies=False)
    kinds = outcome.split(", ")
    is_file = any("/" in kind for kind in kinds)
    applies = {"html": "html" in kinds, "file": is_file}.get(form, True)
    return Looked(place, source, outcome if applies else f"another format ({outcome})", applies)
