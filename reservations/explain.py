"""A decision in sentences for people: what became of the URL, why, and what was seen besides.

Says nothing that the decision does not hold. Text of other people's sites stands in quotes and was cleaned when it was
read (`statement.clean`); escaping for a terminal or a page is the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from reservations.definition import CLOSING
from reservations.model import Decision, Signal, Value, Verdict
from reservations.reasons import CORE

_VERDICTS: Final[Mapping[Verdict, str]] = MappingProxyType({
    Verdict.KEPT: "{url} was fetched and kept.",
    Verdict.UNCHANGED: "{url} was asked for; nothing new came, and the earlier copy stands.",
    Verdict.REDIRECTED: "{url} redirects to {location}, which is a URL of its own.",
    Verdict.REFUSED: "{url} was not asked for.",
    Verdict.ABORTED: "{url} was asked for; its head decided, and the body was not read.",
    Verdict.DISCARDED: "{url} was fetched and not kept.",
    Verdict.HELD: "{url} is held for a person to decide; nothing of it was kept.",
    Verdict.ABSENT: "{url} does not exist.",
    Verdict.FAILED: "{url} gave no usable answer.",
    Verdict.DEFERRED: "{url} will be tried again.",
})  # fmt: skip

_CARRIERS: Final[Mapping[str, str]] = MappingProxyType({
    "robots_txt": "{source}, {locator}",
    "well_known": "{source}, {locator}",
    "http_field": "the response header {locator}",
    "html_meta": "the page's {locator}",
    "html_link": "the page's {locator}",
    "schema": "the page's {locator}",
    "inline": "the licence inside it, {locator}",
    "named": "the document it names, {source}, {locator}",
    "terms": "the policy it names, {source}",
    "policy": "the operator's {locator}",
    "declaration": "the declaration on {locator}",
    "status": "the response's {locator}",
    "redirect": "the redirect's target",
})  # fmt: skip

_VALUES: Final[Mapping[Value, str]] = MappingProxyType({
    Value.DENY: "refuses",
    Value.CONDITIONAL: "ties to conditions",
    Value.UNDETERMINABLE: "leaves unknown",
    Value.ALLOW: "allows",
    Value.UNSET: "says nothing of",
})  # fmt: skip

_STAGES: Final[Mapping[str, str]] = MappingProxyType({
    "url": "This was decided on the URL alone.",
    "blocklist": "This was decided by the blocklist, before anything was asked for.",
    "origin": "This was decided on what the site's own files say, before the page was asked for.",
    "head": "This was decided on the response's head.",
    "body": "This was decided with the whole page at hand.",
    "transfer": "This was decided by how the exchange ended.",
})  # fmt: skip


def sentences(decision: Decision, url: str, reasons: Mapping[str, str] = CORE) -> list[str]:
    """The decision in plain English.

    Args:
        decision: what was decided.
        url: the URL it is about.
        reasons: reason codes with their sentences (`Registry.reasons` holds the protocols' own); a code that is not
            among them is named as it is.
    """
    told = [_VERDICTS[decision.verdict].format(url=url, location=decision.location or "no usable URL")]
    described = reasons.get(decision.reason) or CORE.get(decision.reason)
    told.append(f"{described} ({decision.reason})" if described else f"The reason is {decision.reason}.")
    told.append(_STAGES.get(decision.gate, f"The step that decided was {decision.gate}."))
    deciding = [signal for signal in decision.signals if signal.reason == decision.reason]
    told.extend(_statement(signal, "Deciding") for signal in deciding)
    told.extend(_statement(signal, "Also seen") for signal in decision.signals if signal.reason != decision.reason)
    told.extend(_circumstances(decision))
    return told


def _circumstances(decision: Decision) -> Iterator[str]:
    """What stood around the decision."""
    if decision.verdict is Verdict.DEFERRED and decision.retry_after_s:
        yield f"The site asks us to wait {decision.retry_after_s} seconds."
    if decision.open:
        yield f"Open for: {', '.join(decision.open)}."
    refused = [category for category, value in sorted(decision.effective.items()) if value in CLOSING]
    closed = [category for category in refused if category not in decision.open]
    if closed:
        yield f"Closed for: {', '.join(closed)}."
    if licensed := [category for category in refused if category in decision.open]:
        yield f"Open by the operator's licence alone: {', '.join(licensed)}."
    if decision.consulted:
        looked = ", ".join(f"{what} ({outcome})" for what, outcome in sorted(decision.consulted.items()))
        yield f"Looked at: {looked}."


def place_of(signal: Signal) -> str:
    """Where a statement stood, in words."""
    place = _CARRIERS.get(signal.carrier, "{source}, {locator}").format(source=signal.source, locator=signal.locator)
    return place.rstrip(", ")


def _statement(signal: Signal, role: str) -> str:
    """One statement: where it stood, in its own words, what it says, what was odd."""
    text = f"{role}: {place_of(signal)}"
    if signal.excerpt:
        text += f' says "{signal.excerpt}"'
    values = signal.effective or signal.vendor or signal.strict
    text += f", which {effects(values.items())}" if values else ", which decides nothing"
    if signal.addressed_to == "others":
        text += "; it is addressed to others"
    if signal.effective != signal.strict and values:
        text += "; by the letter it " + (effects(signal.strict.items()) if signal.strict else "says nothing")
    if signal.conditions:
        text += f"; conditions: {', '.join(signal.conditions)}"
    if signal.issues:
        text += f"; odd: {', '.join(signal.issues)}"
    return text + "."


def effects(values: Iterable[tuple[str, Value]]) -> str:
    """`refuses tdm and ai-train, allows search`."""
    groups: dict[Value, list[str]] = {}
    for category, value in sorted(values):
        groups.setdefault(value, []).append(str(category))
    return ", ".join(f"{_VALUES[value]} {' and '.join(names)}" for value, names in groups.items())
