"""What a page says to other crawlers by name: does it reserve mining against us too?

The class rule (`tokens`) on pages: `X-Robots-Tag: gptbot: noai`, `<meta name="CCBot" content="nofollow">`.
Which statements count as refusals, and which tokens, is data; how many it takes is the policy's setting.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from reservations.model import Category, Signal, Value
from reservations.readers.tokens import CLASS, OWN, CrawlerToken, Setting, TokenList, concludes

_ADDRESSEE: Final = re.compile(r".* \((.+)\)", re.DOTALL)
_MOST_NAMED: Final = 8


def conclude(
    protocol: str, refusals: Collection[str], listed: TokenList, signals: Iterable[Signal], setting: Setting
) -> Iterator[Signal]:
    """What follows from a page's statements to others: at most one statement for tokens read as ours, one for the rest.

    Args:
        protocol: id of the protocol that concludes.
        refusals: reason codes of the statements that refuse.
        listed: the tokens that count.
        signals: the statements of head and body. One that names us is conclusive: then nothing is concluded.
        setting: the policy's.
    """
    named = [signal for signal in signals if signal.source in ("head", "body") and signal.addressed_to != "all"]
    if not named or any(signal.addressed_to == "us" for signal in named):
        return
    known = {entry.token.lower(): entry for entry in listed.binding}
    refused: dict[str, tuple[CrawlerToken, Signal]] = {}
    for signal in named:
        addressee = _ADDRESSEE.fullmatch(signal.locator) if signal.reason in refusals else None
        if addressee and (entry := known.get(addressee[1])) is not None:
            refused.setdefault(entry.token, (entry, signal))
    for reason, ours in ((OWN, True), (CLASS, False)):
        group = [item for _, item in sorted(refused.items()) if item[0].ours is ours]
        if group:
            yield _signal(protocol, reason, group, setting)


def _signal(protocol: str, reason: str, group: list[tuple[CrawlerToken, Signal]], setting: Setting) -> Signal:
    concluded = concludes([entry for entry, _ in group], setting)
    first = group[0][1]
    more = len(group) - _MOST_NAMED
    return Signal(
        protocol=protocol,
        reason=reason,
        carrier=first.carrier,
        source="body" if any(signal.source == "body" for _, signal in group) else "head",
        locator=", ".join(signal.locator for _, signal in group[:_MOST_NAMED]) + (f" and {more} more" * (more > 0)),
        excerpt=first.excerpt,
        effective={Category.TDM: Value.DENY} if concluded else {},
        addressed_to="others",
        issues=() if concluded else ("not_inferred",),
    )
