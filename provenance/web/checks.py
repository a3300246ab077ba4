"""One entry checked from the files, step by step, as the verify button shows it; and its proof.

Takes nothing from the index that is not checked here: the line is read from the log, the path leads to the signed root
or it does not, records are read from the WARC files, the decision is made again by the rules that the entry names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Final, NamedTuple

import msgspec

from provenance.checkpoint import MAX_NOTE_BYTES, Checkpoint, CheckpointError, Verifier, open_note
from provenance.entry import ConfigEntry, DecisionEntry, Entry, EvidenceEntry, Pointer
from provenance.kept_rules import RulesError, load_rules
from provenance.lines import from_line
from provenance.log import CHECKPOINT
from provenance.lookup import Lookup
from provenance.material import Gone, Records
from provenance.proof import About, Proof, ProofError, check, read_verifier
from provenance.replay import Attempts, compare
from provenance.segments import LogError
from provenance.tree import included, leaf_hash
from provenance.warcfile import open_regular
from provenance.web.shelf import Book

_MAX_HOPS: Final = 32
_MAX_RECORDS: Final = 64
_MAX_ORIGINALS: Final = 50
GOOD: Final = "good"
WRONG: Final = "wrong"
OPEN: Final = "open"


class Step(NamedTuple):
    """One step.

    Attributes:
        level: "L1" to "L3"; what: what was done.
        result: `GOOD`, `WRONG`, or `OPEN` where it could not be done and nothing is wrong for that.
        found: what came of it, in words.
        values: names and values that anybody can compute again.
    """

    level: str
    what: str
    result: str
    found: str
    values: tuple[tuple[str, str], ...] = ()


def read_entry(look: Lookup, seq: int) -> tuple[str, int, bytes, Entry | None]:
    """Segment, line number, line and entry as the log has them now; the entry is None where the line is none.

    Raises:
        provenance.segments.LogError: the line is not there.
    """
    file, number, line = look.line(seq)
    try:
        entry: Entry | None = from_line(line)
    except (ValueError, RecursionError):
        entry = None
    return file, number, line, entry


def read_entries(look: Lookup, wanted: set[int]) -> dict[int, Entry]:
    """Several entries; those that cannot be read are left out."""
    found = {}
    for seq in sorted(wanted):
        try:
            entry = read_entry(look, seq)[3] if 0 <= seq < look.size else None
        except LogError:
            continue
        if entry is not None:
            found[seq] = entry
    return found


def named_by(entry: DecisionEntry) -> set[int]:
    """The evidence that an attempt rests on."""
    return {
        seq for seq in (*entry.consulted.values(), *(signal.ev for signal in entry.signals)) if isinstance(seq, int)
    }


# -- level 1 -----------------------------------------------------------------------------------------------------------


def integrity(book: Book, look: Lookup, seq: int, line: bytes) -> Iterator[Step]:
    """The line is the leaf that was signed."""
    hashed = leaf_hash(line)
    yield Step("L1", "Hash the line as it stands in the log now", GOOD, "This is the entry's leaf.",
               (("leaf hash, SHA-256(00 || line)", hashed.hex()),))  # fmt: skip
    try:
        verifier = read_verifier(book.out / "log")
        _, head = newest_head(book, verifier)
    except (ProofError, OSError, CheckpointError) as error:
        yield Step("L1", "Check the signature of the newest checkpoint", WRONG, f"It is not good: {error}.")
        return
    values = (("signed size", str(head.size)), ("signed root", head.root.hex()), ("key", verifier.line()))
    told = "Signed by the log's key, as log/log.vkey has it; compare the key with one from elsewhere."
    signature = Step("L1", "Check the signature of the newest checkpoint", GOOD, told, values)
    if head.size > look.size:
        head = _head_within(look, verifier) or head
    if seq >= head.size or head.size > look.size:
        yield Step("L1", "Climb from the leaf to the signed root", OPEN,
                   "The entry is not under a checkpoint yet. A running crawl signs every few seconds.")  # fmt: skip
        yield signature
        return
    path = look.path(seq, head.size)
    good = included(hashed, seq, head.size, path, head.root)
    told = (
        f"{len(path)} hashes lead from the leaf to the root that was signed: the entry stands as it was signed."
        if good
        else "The path does not lead to the signed root: this line, or another one, is not the one that was signed. "
        "Keep the folder as it is, and check the whole log."
    )
    steps = tuple((f"sibling {number}", node.hex()) for number, node in enumerate(path, 1))
    yield Step("L1", "Climb from the leaf to the signed root", GOOD if good else WRONG, told, steps)
    yield signature


def newest_head(book: Book, verifier: Verifier) -> tuple[bytes, Checkpoint]:
    """The newest checkpoint as it lies in the log, its signature checked.

    Raises:
        OSError, CheckpointError: there is none, or it is not good.
    """
    with open_regular(book.out / "log" / CHECKPOINT) as file:
        note = file.read(MAX_NOTE_BYTES + 1)
    return note, open_note(note, verifier)


def _head_within(look: Lookup, verifier: Verifier) -> Checkpoint | None:
    """The newest checkpoint over no more entries than the index has; None when there is none."""
    for row in look.rows("SELECT text FROM note ORDER BY number DESC LIMIT 100"):
        try:
            head = open_note(row["text"], verifier)
        except CheckpointError:
            continue
        if head.size <= look.size:
            return head
    return None


def prove(book: Book, look: Lookup, seq: int, line: bytes) -> str:
    """The proof that the entry is in the log, checked before it is handed out.

    Raises:
        ProofError: there is none to be given; says why.
    """
    try:
        verifier = read_verifier(book.out / "log")
        note, head = newest_head(book, verifier)
        if seq >= head.size or head.size > look.size:
            raise ProofError(f"entry {seq} is not signed yet ({head.size} entries are). Ask again in a moment")
        about = About(kind="entry", key=verifier.line())
        extra = (msgspec.json.encode(about), line)
        text = Proof(index=seq, path=tuple(look.path(seq, head.size)), note=note, extra=extra).text()
    except (OSError, CheckpointError, LogError) as error:
        raise ProofError(f"{error}. Run `knockfirst verify`") from error
    check(text)
    return text


# -- level 2 -----------------------------------------------------------------------------------------------------------


def linkage(book: Book, entries: Iterable[DecisionEntry | EvidenceEntry]) -> Iterator[Step]:
    """The records that these entries name are there, with the bytes they name."""
    named = {_named(entry): entry.warc for entry in entries if entry.warc}
    if not named:
        yield Step("L2", "Read the records that the entry names", OPEN, "It names none: nothing was sent or received.")
    with closing(Records(book.out)) as records:
        for of, pointers in list(named.items())[:_MAX_RECORDS]:
            faults = [fault for one in pointers for fault in _faults(records, one)]
            result = WRONG if faults else GOOD
            told = f"{'; '.join(faults)}." if faults else "They are there, with the bytes that the log names."
            values = tuple((f"{one.type}, {one.f} at {one.o}", f"{one.id} {one.d}") for one in pointers)
            kinds = " and ".join(one.type for one in pointers)
            yield Step("L2", f"Read the {kinds} of {of}", result, told, values)
    if len(named) > _MAX_RECORDS:
        yield Step("L2", "Read the other records", OPEN, f"{len(named) - _MAX_RECORDS} more; check the whole log.")


def _named(entry: DecisionEntry | EvidenceEntry) -> str:
    return f"{entry.key} (entry {entry.seq})" if isinstance(entry, EvidenceEntry) else "the attempt"


def _faults(records: Records, pointer: Pointer) -> list[str]:
    """How a record differs from what the log says of it."""
    try:
        record = records.read(pointer)
    except Gone as gone:
        return [f"{gone}. If it was erased, an entry of kind redecision says so"]
    pairs = [("stored length", record.length, pointer.l), ("type", record.type, pointer.type)]
    if pointer.pd and record.type != "revisit":  # a revisit names the payload of another record
        pairs.append(("payload digest", record.payload_digest() or "none", pointer.pd))
    return [f"{pointer.id}: {name} is {found}, the log says {says}" for name, found, says in pairs if found != says]


# -- level 3 -----------------------------------------------------------------------------------------------------------


def replay(book: Book, look: Lookup, entry: DecisionEntry, evidence: dict[int, EvidenceEntry]) -> Iterator[Step]:
    """The rules that the entry names decide the same again."""
    what = "Decide again from what was archived, by the rules that the entry names"
    if entry.reason == "crawl.interrupted":
        yield Step("L3", what, OPEN, "The attempt was interrupted; nothing was decided by rules.")
        return
    config = read_entries(look, {entry.config}).get(entry.config)
    if not isinstance(config, ConfigEntry):
        yield Step("L3", "Load the rules", WRONG, f"Entry {entry.config} is to name the rules, and does not.")
        return
    try:
        rules = load_rules(book.out / "log" / "rules", config)
    except RulesError as error:
        yield Step("L3", "Load the rules", WRONG, f"{error}. Restore log/rules/ from a copy.")
        return
    yield Step("L3", "Load the rules from log/rules/", GOOD, "They have the digests that the log names.",
               (("rules", rules.digest), ("policy", rules.policy.digest), ("protocols", rules.registry.digest),
                ("blocklist", rules.blocklist.digest if rules.blocklist else "none")))  # fmt: skip
    with closing(Attempts(book.out)) as attempts:
        for known in (*_before(look, entry), *evidence.values()):
            attempts.note(known)
        case = attempts.case(rules, entry)
    differing = compare(case)
    if case.lost:
        yield Step("L3", "Read again what it was decided on", WRONG, "; ".join(case.why_lost) + ".")
    basis = (
        "everything it was decided on was read again from archived bytes"
        if case.again.basis == "bytes"
        else "statements as recorded stood in for bytes that were rightly not kept"
    )
    told = f"{differing}." if differing else f"The same decision, byte for byte; {basis}."
    decision = case.again.decision
    values = (
        (("verdict", decision.verdict.value), ("reason", decision.reason), ("gate", decision.gate)) if decision else ()
    )
    yield Step("L3", what, WRONG if differing else GOOD, told, values)


def _before(look: Lookup, entry: DecisionEntry) -> list[Entry]:
    """Entries that the attempt refers to: the redirects that led to it, oldest first; what a revisit repeats."""
    chain: list[Entry] = []
    one: Entry | None = entry
    while isinstance(one, DecisionEntry) and one.via == "redirect" and len(chain) < _MAX_HOPS:
        src = -1 if one.src is None or one.src_log else one.src  # of another log: its own `hops` say it
        one = read_entries(look, {src}).get(src) if src < one.seq else None
        chain += [one] if one else []
    chain.reverse()
    for pointer in entry.warc:
        if pointer.type == "revisit" and pointer.pd:
            rows = look.with_digest(pointer.pd, _MAX_ORIGINALS)
            chain += read_entries(look, {row["seq"] for row in rows if row["seq"] < entry.seq}).values()
    return chain


def levels(steps: Sequence[Step]) -> list[tuple[str, str, list[Step]]]:
    """Steps by level, each level with its result: wrong if a step is, else open if one is, else good."""
    found: list[tuple[str, str, list[Step]]] = []
    for level in dict.fromkeys(step.level for step in steps):
        own = [step for step in steps if step.level == level]
        results = {step.result for step in own}
        found.append((level, next(one for one in (WRONG, OPEN, GOOD) if one in results), own))
    return found
