"""Puts an operator's own protocol files beside the shipped ones, or in their place, and says what would be weaker.

A file under a name of its own adds. One under a shipped file's name replaces it: the way to follow a protocol that
changed before the next release. Where that, or a new file, would read less or refuse less, it needs `[approval]` with a
named approver and a reason, and is shown wherever weakened rules are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from reservations.access.tables import PAGE_TABLES
from reservations.datafile import DefinitionError, Fault
from reservations.declarations import DECLARATIONS
from reservations.definition import Label, Meaning, Protocol, load_protocol
from reservations.model import RESTRICTIVENESS, Category, Value
from reservations.readers.tokens import TokenList
from reservations.tables import Approval
from reservations.wording import lost as lost_sentences

#: Tables of which every shipped row must be there still.
_ROWS = (
    "documents", "robots_lines", "http_fields", "html_metas", "links", "properties", "file_properties", "assertions",
    "xml_records", "declared", "file_findings", "redirects", "restrictions", "page_refusals", "vectors",
)  # fmt: skip
#: Settings that must be as shipped.
_SAME = (
    "robots_rules",
    "named",
    "inline",
    "supersedes",
    "case_sensitive",
    "token_list",
    "licensable",
    "grants",
    "declarations",
)
#: What a status may mean in a file that is added: nothing that lets more in than the shipped tables do.
_HARMLESS = frozenset({"signal", "absent", "failed", "deferred"})


class Weakening(NamedTuple):
    """One file that is weaker than the shipped rules: how, and who answers for it."""

    rule: str
    approver: str
    reason: str


def merge(shipped: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """Shipped and added files as one set.

    Raises:
        DefinitionError: an added file has faults, or is weaker than the shipped rules without an approval.
    """
    faults: list[Fault] = []
    for file, text in sorted(added.items()):
        try:
            lost = list(_lost(file, text, shipped))
        except DefinitionError as error:
            faults += error.faults
            continue
        if lost and _approval(file, text, shipped) is None:
            needs = "needs [approval] with approver, reason and date"
            faults += [Fault(file, 1, "(file)", f"weaker than the shipped rules, and {needs}: {item}") for item in lost]
    if faults:
        raise DefinitionError(faults)
    return {**shipped, **added}


def weakenings(shipped: Mapping[str, str], in_force: Mapping[str, str]) -> list[Weakening]:
    """The files in force that are weaker than the shipped rules, each with its approval."""
    found = []
    for file, text in sorted(in_force.items()):
        if shipped.get(file) == text:
            continue
        lost = list(_lost(file, text, shipped))
        approval = _approval(file, text, shipped)
        if lost:
            who, why = (approval.approver, approval.reason) if approval else ("nobody", "no reason given")
            found.append(Weakening(f"{file}: {'; '.join(lost)}", who, why))
    return found


def _is_list(file: str, shipped: Mapping[str, str]) -> bool:
    """Whether a file replaces a list of tokens."""
    return file in shipped and "[[tokens]]" in shipped[file]


def _approval(file: str, text: str, shipped: Mapping[str, str]) -> Approval | None:
    if file.startswith((PAGE_TABLES, DECLARATIONS)):
        return None
    read = TokenList.from_toml(text, file=file) if _is_list(file, shipped) else load_protocol(text, file)
    return read.approval


def _lost(file: str, text: str, shipped: Mapping[str, str]) -> Iterator[str]:
    """What the rules would lose by a file, in words."""
    if shipped.get(file) == text or file.startswith(DECLARATIONS):
        return  # what rightsholders declared of works takes nothing away from the rules
    if file.startswith(PAGE_TABLES):
        yield "tables on access to pages are not replaced"
    elif _is_list(file, shipped):
        yield from _lost_tokens(TokenList.from_toml(shipped[file], file=file), TokenList.from_toml(text, file=file))
    else:
        protocol = load_protocol(text, file)
        if file in shipped:
            yield from _lost_words(load_protocol(shipped[file], file), protocol)
        else:
            for row in protocol.statuses:
                if row.outcome not in _HARMLESS:
                    yield f"status {', '.join(row.status)} would mean {row.outcome}"


def _lost_tokens(before: TokenList, after: TokenList) -> Iterator[str]:
    tokens, statements = set(after.tokens), set(after.statements)
    yield from (f"token {item.token} is missing or changed" for item in before.tokens if item not in tokens)
    yield from (f"directive {item.directive} is changed" for item in before.statements if item not in statements)


def _lost_words(before: Protocol, after: Protocol) -> Iterator[str]:
    if before.id != after.id:
        yield f"the id is {after.id!r} and was {before.id!r}"
    for table in _ROWS:
        kept = getattr(after, table)
        for row in getattr(before, table):
            if row not in kept:
                name = next((getattr(row, key) for key in ("path", "name", "rel") if hasattr(row, key)), row)
                yield f"{table}: {name} is missing or changed"
    yield from (f"{name} is changed" for name in _SAME if getattr(before, name) != getattr(after, name))
    if after.statuses[: len(before.statuses)] != before.statuses:
        yield "statuses are changed"
    yield from lost_sentences(before.language, after.language)
    labels = {label.name: label for label in after.labels}
    for label in before.labels:
        yield from _lost_values(label, labels.get(label.name))


def _lost_values(before: Label, after: Label | None) -> Iterator[str]:
    if after is None or (before.condition, before.patterns) != (after.condition, after.patterns):
        yield f"label {before.name} is missing or changed"
        return
    values = {meaning.value: meaning for meaning in after.values}
    for meaning in before.values:
        there = values.get(meaning.value)
        if there is None:
            yield f"label {before.name}: value {meaning.value!r} is missing"
        elif lost := sorted(_opened(meaning, there)):
            yield f"label {before.name}: value {meaning.value!r} refuses less ({', '.join(lost)})"


def _opened(before: Meaning, after: Meaning) -> Iterator[str]:
    """Categories that a value refuses less than before, and spellings that it knows no more."""
    for column in ("strict", "effective", "vendor"):
        was: Mapping[Category, Value] = getattr(before, column)
        now: Mapping[Category, Value] = getattr(after, column)
        for category in {*was, *now}:
            old, new = was.get(category, Value.UNSET), now.get(category, Value.UNSET)
            if RESTRICTIVENESS[new] > RESTRICTIVENESS[old] and old is not Value.ALLOW:
                yield f"{column} {category}"
    yield from (spelling for spelling in before.also if spelling not in after.also)
    if after.media != before.media:
        yield "media"
