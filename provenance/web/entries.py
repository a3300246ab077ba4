"""Pages of one entry: the decision explained, a document with its versions, any other entry; proof and verification."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response

from provenance.entry import ConfigEntry, DecisionEntry, Entry, EvidenceEntry, RedecisionEntry, RunEntry
from provenance.kept_rules import RulesError
from provenance.material import Gone, Material, Reader, Records
from provenance.message import MessageError, read_head
from provenance.proof import ProofError
from provenance.segments import as_erased
from provenance.story import decision_of
from provenance.terminal import plain
from provenance.tree import leaf_hash
from provenance.web import archived, checks
from provenance.web.asked import Asked, reasons
from provenance.web.gates import ladder
from provenance.web.shelf import Book
from reservations.answers import Answered, Weight, by_protocol
from reservations.explain import sentences
from reservations.model import Decision, Verdict

_MAX_CHANGES: Final = 200
_MAX_SHOWN_RECORD: Final = 16 * 1024 * 1024
_TEXT: Final = "text/plain; charset=utf-8"
#: An attempt without records of its own: what is read for it are documents alone.
_NO_ATTEMPT: Final = DecisionEntry(
    v=1, seq=0, n="", ts="", run="", url="", via="", lease=0, verdict=Verdict.REFUSED, reason="", gate="", agent="",
    purposes=(), config=0,
)  # fmt: skip


def entry(asked: Asked, steps: list[checks.Step] | None = None) -> Response:
    """One entry. A decision is explained gate by gate; other entries are shown field by field."""
    seq = _seq(asked)
    file, number, line, found = checks.read_entry(asked.look, seq)
    erased = _is_erased(line)
    row = asked.look.entry(seq) or {}
    common: dict[str, Any] = {
        "seq": seq,
        "file": f"log/{file}",
        "number": number,
        "line": line.decode("ascii", "backslashreplace"),
        "fields": _fields(line),
        "hash": leaf_hash(line).hex(),
        "changed": not erased and leaf_hash(line) != asked.look.leaf(seq),
        "levels": checks.levels(steps or []),
        "row": row,
    }
    match found:
        case DecisionEntry():
            return asked.page("decision.html", **common, **_decision(asked, found, row))
        case EvidenceEntry():
            return asked.page("evidence.html", **common, **_evidence(asked, found, seq))
        case _:
            return asked.page("entry.html", **common, entry=found, erased=erased)


def _seq(asked: Asked) -> int:
    seq: int = asked.request.path_params["seq"]
    if seq >= asked.look.size:
        raise HTTPException(404, f"There is no entry {seq}: the log has {asked.look.size} entries, counted from 0.")
    return seq


def _is_erased(line: bytes) -> bool:
    try:
        return as_erased(line) is not None
    except ValueError:
        return False


def _fields(line: bytes) -> str:
    """The line as JSON over several lines, for people; empty when it is none."""
    try:
        return json.dumps(json.loads(line), indent=2)
    except (ValueError, RecursionError):
        return ""


# -- decisions ---------------------------------------------------------------------------------------------------------


def _decision(asked: Asked, found: DecisionEntry, row: Mapping[str, Any]) -> dict[str, Any]:
    look = asked.look
    src = -1 if found.src is None or found.src_log else found.src
    around = checks.read_entries(look, checks.named_by(found) | {found.config, src, 0})
    evidence = {seq: one for seq, one in around.items() if isinstance(one, EvidenceEntry)}
    config, source, first = around.get(found.config), around.get(src), around.get(0)
    decision = decision_of(found, evidence)
    answers, described, note = _answers(asked.book, decision, config)
    named = {key: seq for key, seq in found.consulted.items() if isinstance(seq, int) and seq in evidence}
    left = _left(asked.book, found, {key: evidence[seq] for key, seq in named.items()})
    changes = look.rows("SELECT seq FROM other WHERE of = ? ORDER BY seq LIMIT ?", row["seq"], _MAX_CHANGES)
    told = checks.read_entries(look, {one["seq"] for one in changes}).values()
    return {
        "entry": found,
        "sentences": sentences(decision, found.url, described),
        "standing": _standing(found, row),
        "shared": isinstance(first, RunEntry) and first.shared,
        "rungs": list(ladder(found, evidence)),
        "texts": list(archived.texts(found.signals, named, left)),
        "answers": [answer for answer in answers if answer.weight is not Weight.SILENT],
        "silent": [answer.protocol for answer in answers if answer.weight is Weight.SILENT],
        "note": note,
        "config": config if isinstance(config, ConfigEntry) else None,
        "evidence": evidence,
        "source": source if isinstance(source, DecisionEntry) else None,
        "changes": [one for one in told if isinstance(one, RedecisionEntry)],
    }


def _answers(book: Book, decision: Decision, config: Entry | None) -> tuple[list[Answered], Mapping[str, str], str]:
    """What each protocol answered, reason codes with their sentences, and what keeps either from being known."""
    if not isinstance(config, ConfigEntry):
        return [], reasons(), "The entry that names the rules in force is not there."
    try:
        rules = book.rules(config)
    except RulesError as error:
        return [], reasons(), f"What each protocol answered cannot be told: {error}."
    return by_protocol(decision, rules.registry.protocols, rules.policy), rules.registry.reasons, ""


def _standing(found: DecisionEntry, row: Mapping[str, Any]) -> str:
    if row["superseded"] is not None:
        return "replaced"
    return "last word" if found.final else "not the last word"


def _left(book: Book, found: DecisionEntry, evidence: Mapping[str, EvidenceEntry]) -> Material:
    """The documents that an attempt rests on, and its head where a statement stands there. No body is looked at."""
    left = _documents(book, evidence)
    main = next((pointer for pointer in found.warc if pointer.type in {"response", "revisit"}), None)
    if main is None or all(signal.src != "head" for signal in found.signals):
        return left
    if main.l > _MAX_SHOWN_RECORD:
        left.gone["head"] = f"its record is too large to be shown here ({main.f} at {main.o})"
        return left
    with closing(Records(book.out)) as records:
        try:
            left.head = read_head(records.read(main).block)[0]
        except (Gone, MessageError) as error:
            left.gone["head"] = str(error)
    return left


def _documents(book: Book, evidence: Mapping[str, EvidenceEntry]) -> Material:
    """Archived documents, by key."""
    reader = Reader(book.out)
    with closing(reader.records):
        return reader.read(_NO_ATTEMPT, evidence, None)


# -- documents ---------------------------------------------------------------------------------------------------------


def _evidence(asked: Asked, found: EvidenceEntry, seq: int) -> dict[str, Any]:
    lines, head, why_not = _document(asked.book, found)
    before = asked.look.row(
        "SELECT * FROM document WHERE site = (SELECT site FROM document WHERE seq = ?) AND authority = ? AND name = ? "
        "AND seq < ? ORDER BY seq DESC LIMIT 1",
        *(seq, found.authority, found.key, seq),
    )
    older = checks.read_entries(asked.look, {before["seq"]}).get(before["seq"]) if before else None
    differing: list[archived.Line] = []
    if isinstance(older, EvidenceEntry) and older.d != found.d:
        differing = archived.differences(_document(asked.book, older)[0], lines)
    return {
        "entry": found,
        "text": archived.whole(found.key, seq, lines),
        "head": archived.whole("head", seq, head),
        "why_not": why_not,
        "older": older,
        "differing": differing,
    }


def _document(book: Book, found: EvidenceEntry) -> tuple[list[str], list[str], str]:
    """The lines of an archived document, of its head, and why there are none."""
    left = _documents(book, {found.key: found})
    answer = left.documents.get(found.key)
    if answer is None:
        return [], [], left.gone.get(found.key, "it is not there")
    told = "" if answer.body else found.failure or "the answer had no text, or it was not kept"
    head = archived.head_lines(answer.status, answer) if answer.status else []
    return archived.lines_of(answer.body), head, told


# -- what is handed out ------------------------------------------------------------------------------------------------


def line(asked: Asked) -> Response:
    """The line of an entry, as it stands in the log."""
    return Response(asked.look.line(_seq(asked))[2] + b"\n", media_type=_TEXT)


def text(asked: Asked) -> Response:
    """An archived document as plain text, control characters made visible."""
    found = checks.read_entry(asked.look, _seq(asked))[3]
    if not isinstance(found, EvidenceEntry):
        raise HTTPException(404, "Only documents that were asked for before a decision are shown as text.")
    lines, _, why_not = _document(asked.book, found)
    if why_not:
        raise HTTPException(404, f"There is no text: {why_not}.")
    return PlainTextResponse("".join(f"{plain(one)}\n" for one in lines))


def proof(asked: Asked) -> Response:
    """The proof that an entry is in the log, for people who do not have the log."""
    seq = _seq(asked)
    try:
        made = checks.prove(asked.book, asked.look, seq, asked.look.line(seq)[2])
    except ProofError as error:
        raise HTTPException(409, f"There is no such proof to be given: {error}.") from error
    disposition = f'attachment; filename="{asked.book.name}-{seq}.tlog-proof"'
    return Response(made, media_type=_TEXT, headers={"Content-Disposition": disposition})


def verify(asked: Asked) -> Response:
    """The entry checked from the files, each step shown."""
    look, seq = asked.look, _seq(asked)
    _, _, octets, found = checks.read_entry(look, seq)
    steps = list(checks.integrity(asked.book, look, seq, octets))
    if isinstance(found, EvidenceEntry):
        steps += checks.linkage(asked.book, [found])
    if isinstance(found, DecisionEntry):
        near = checks.read_entries(look, checks.named_by(found))
        evidence = {at: one for at, one in near.items() if isinstance(one, EvidenceEntry)}
        steps += checks.linkage(asked.book, [found, *evidence.values()])
        steps += checks.replay(asked.book, look, found, evidence)
    return entry(asked, steps)
