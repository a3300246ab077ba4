"""One attempt decided again: by the recorded rules for replay, by others to see what they would change.

Asks `Rules.examine` as the door does, and hands over what is left of the attempt. Where bytes are gone, the decision
rests on what is left and on the statements as they were recorded. Where the rules want what was never asked for, the
outcome is unknown: nobody knows what it would have said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from provenance.entry import DecisionEntry
from provenance.material import Material
from provenance.rules import Rules
from reservations.legal import is_legal_key
from reservations.model import Decision, Facts, Head, Header, Hop, Signal, Verdict, Want, Wants

#: An attempt takes far fewer steps; rules that go in circles are not followed.
_MAX_STEPS: Final = 64
_URL: Final = "url"
_STAGES: Final = ("origin", "head", "body")


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """What came of deciding again.

    Attributes:
        decision: the decision; None when it cannot be known.
        basis: "bytes" when everything that was asked for was read again, "signals" when recorded statements stood in
            for bytes that are gone.
        unknown: what would have been asked for and never was; empty when there is a decision.
    """

    decision: Decision | None
    basis: Literal["bytes", "signals"] = "bytes"
    unknown: str = ""


def decide_again(
    rules: Rules, entry: DecisionEntry, recorded: Decision, left: Material, hops: tuple[Hop, ...]
) -> Again:
    """Decide on one attempt again.

    Args:
        rules: those to decide by.
        entry: the attempt.
        recorded: its decision as the log has it.
        left: what is left of what it was decided on.
        hops: the redirects that led to it, oldest first.
    """
    # A decision follows from all that was known when it was made, in whatever order it came to be known.
    late = _late(recorded, left)
    early = {key: answer for key, answer in left.documents.items() if key not in late}
    facts = Facts(url=entry.url, documents=early, attempt=entry.attempt, redirected_from=hops, at=entry.at)
    for _ in range(_MAX_STEPS):
        wants = rules.examine(facts)
        if isinstance(wants, Decision):
            if wants.reason == "blocklist.listed":  # perhaps by a list that came while the page was under way
                return Again(decision=rules.listed(_as_far_as_it_came(facts, entry, left)))
            return Again(decision=wants)
        if _name(wants) in left.gone or _URL in left.gone:
            return _on_record(rules, facts, entry, recorded, left)
        more = _supply(facts, wants, entry, left)
        if more is None:
            return Again(decision=None, unknown=_unknown(wants))
        facts = more
    return Again(decision=None, unknown="a decision: the rules go in circles")


def _late(recorded: Decision, left: Material) -> frozenset[str]:
    """The site's own terms, when the body was looked at: it may have named them, and they had closed nothing before."""
    return frozenset(filter(is_legal_key, left.documents)) if recorded.gate == "body" else frozenset()


def _as_far_as_it_came(facts: Facts, entry: DecisionEntry, left: Material) -> Facts:
    """The facts with everything the attempt had learnt; what the bytes were does not matter to a list of sites."""
    facts = msgspec.structs.replace(facts, documents=left.documents)
    if entry.http is None:
        return facts
    head = left.head or Head(status=entry.http.st, headers=())
    return msgspec.structs.replace(facts, head=head, body=left.body or (b"" if entry.d else None))


def _name(wants: Wants) -> str:
    return wants.key if wants.what is Want.DOCUMENT else wants.what.value


def _supply(facts: Facts, wants: Wants, entry: DecisionEntry, left: Material) -> Facts | None:
    """The facts with what is wanted, None when nobody asked for it."""
    replace = msgspec.structs.replace
    match wants.what:
        case Want.DOCUMENT if wants.key in left.documents:
            return replace(facts, documents={**facts.documents, wants.key: left.documents[wants.key]})
        case Want.HEAD if left.head is not None:
            return replace(facts, head=left.head)
        case Want.BODY if left.body is not None:
            documents = {**facts.documents, **left.documents}
            return replace(facts, body=left.body, repeats=left.repeats, documents=documents)
        case Want.HEAD | Want.BODY if entry.failure:
            return replace(facts, failure=entry.failure)
        case _:
            return None


def _unknown(wants: Wants) -> str:
    match wants.what:
        case Want.DOCUMENT:
            return f"{wants.url}, which was not asked for"
        case Want.HEAD:
            return "the page, which was not asked for"
        case _:
            return "the body, which was not read"


def _on_record(rules: Rules, facts: Facts, entry: DecisionEntry, recorded: Decision, left: Material) -> Again:
    """Step by step as far as the attempt went, recorded statements in the place of what is gone."""
    late = _late(recorded, left)
    documents = {**{k: v for k, v in left.documents.items() if k not in late}, **facts.documents}
    read = {protocol.id for protocol in rules.registry.protocols}  # other rules may not read what the log's own did
    for stage, at_stage in _stages(msgspec.structs.replace(facts, documents=documents), entry, left):
        signals = [one for one in recorded.signals if one.protocol in read and _stands_in(one, stage, left)]
        decision = rules.conclude(at_stage, recorded=signals, stage=stage)
        if decision is not None:
            # What a body named cannot be known without it; then the entry's own word stands.
            bodiless = stage == "body" and "body" in left.gone
            gone = {
                key: word
                for key, word in recorded.consulted.items()
                if (key in left.gone and key not in documents) or (bodiless and key not in decision.consulted)
            }
            words = {key: word for key, word in gone.items() if key not in _STAGES or _reached(key, stage)}
            wait = recorded.retry_after_s if decision.verdict is Verdict.DEFERRED else 0
            decision = msgspec.structs.replace(
                decision, consulted={**decision.consulted, **words}, retry_after_s=decision.retry_after_s or wait
            )
            return Again(decision=decision, basis="signals")
    return Again(decision=None, basis="signals", unknown="more than the attempt asked for")


def _stages(facts: Facts, entry: DecisionEntry, left: Material) -> Iterator[tuple[str, Facts]]:
    """The stages that the attempt came to, with what is left of each."""
    yield "origin", facts
    if entry.http is None:
        if entry.failure:
            yield "origin", msgspec.structs.replace(facts, failure=entry.failure)
        return
    facts = msgspec.structs.replace(facts, head=left.head or _told_head(entry))
    yield "head", facts
    if entry.failure:
        yield "head", msgspec.structs.replace(facts, failure=entry.failure)
    elif left.body is not None or "body" in left.gone:
        documents = {**facts.documents, **left.documents}
        yield "body", msgspec.structs.replace(facts, body=left.body, repeats=left.repeats, documents=documents)


def _stands_in(signal: Signal, stage: str, left: Material) -> bool:
    return signal.source in left.gone and _reached(signal.source, stage)


def _reached(source: str, stage: str) -> bool:
    """Whether what was read from `source` was known at `stage`."""
    return source not in _STAGES or _STAGES.index(source) <= _STAGES.index(stage)


def _told_head(entry: DecisionEntry) -> Head:
    """As much of a head as the entry itself tells."""
    http = entry.http
    told = {
        "Content-Type": http.ct if http else "",
        "Location": entry.target,
        "Retry-After": str(entry.wait) if entry.wait else "",
    }
    status = http.st if http else 0
    return Head(status=status, headers=tuple(Header(name, value) for name, value in told.items() if value))
