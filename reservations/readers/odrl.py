"""Reads a TDM policy: one ODRL 2.2 offer in JSON-LD (TDMRep 2024 section 7), and says what it lets us do.

Only a permission to mine without duty, under constraints that we can show to meet, is a permission. What asks for
consent or payment is a condition; a prohibition, or a term that is not known, is a refusal. HTML is for people.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from reservations.model import Value
from reservations.readers.nested import read_json
from reservations.tables import PolicyWords

_MAX_ITEMS: Final = 100
_MAX_OCTETS: Final = 1 << 20


def read_policy(body: bytes, words: PolicyWords, users: frozenset[str]) -> Value | None:
    """What the policy says to users of these classes; None when it is not of a form that machines can follow."""
    try:
        tree = read_json(body[:_MAX_OCTETS])
    except ValueError:
        return None
    offers = [item for item in _many(tree) if isinstance(item, dict) and {"permission", "prohibition"} & item.keys()]
    if not offers:
        return None
    purposes = frozenset(purpose for user in users for purpose in words.purposes.get(user, ()))
    values = [_offer(offer, words, purposes) for offer in offers]
    return max(values, key=_WORST.index)


_WORST: Final = (Value.ALLOW, Value.CONDITIONAL, Value.DENY)


def _offer(offer: dict[str, object], words: PolicyWords, purposes: frozenset[str]) -> Value:
    """One offer: the best of its permissions, unless it prohibits anything."""
    if any(True for _ in _many(offer.get("prohibition"))):
        return Value.DENY
    values = [_permission(item, words, purposes) for item in _many(offer.get("permission"))]
    return min(values, key=_WORST.index, default=Value.DENY)


def _permission(permission: object, words: PolicyWords, purposes: frozenset[str]) -> Value:
    if not isinstance(permission, dict) or not _ids(permission.get("action")) & set(words.actions):
        return Value.DENY
    if not all(_met(item, words, purposes) for item in _many(permission.get("constraint"))):
        return Value.DENY
    duties = list(_many(permission.get("duty")))
    known = all(isinstance(item, dict) and _ids(item.get("action")) & set(words.duties) for item in duties)
    if not known:
        return Value.DENY
    return Value.CONDITIONAL if duties or permission.get("target") else Value.ALLOW


def _met(constraint: object, words: PolicyWords, purposes: frozenset[str]) -> bool:
    """Whether a constraint is one on the purpose that we meet."""
    if not isinstance(constraint, dict):
        return False
    return (
        bool(_ids(constraint.get("leftOperand")) & set(words.purpose_operand))
        and bool(_ids(constraint.get("operator")) & {"eq", "odrl:eq", "http://www.w3.org/ns/odrl/2/eq"})
        and bool(_ids(constraint.get("rightOperand")) & purposes)
    )


def _many(value: object) -> Iterator[object]:
    """One value or a list of them; within a graph, its nodes."""
    if isinstance(value, list):
        yield from value[:_MAX_ITEMS]
    elif isinstance(value, dict) and isinstance(value.get("@graph"), list):
        yield from value["@graph"][:_MAX_ITEMS]
    elif value is not None:
        yield value


def _ids(value: object) -> frozenset[str]:
    """The names by which a value may be meant."""
    names = (
        item.get("@id") or item.get("id") or item.get("@value") if isinstance(item, dict) else item
        for item in _many(value)
    )
    return frozenset(name for name in names if isinstance(name, str))
