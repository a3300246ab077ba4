"""The auditors' verbs: `knockfirst verify OUT` and `knockfirst explain OUT URL`. Run without Scrapy.

Whatever they print came from strangers and goes through `terminal.plain`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, NoReturn

import msgspec
import typer
from rich.console import Console

from provenance.anchors import read_outside
from provenance.answers_table import answers_table
from provenance.entry import DecisionEntry, EvidenceEntry, Pointer, RunEntry, timestamp
from provenance.report import Level, Report
from provenance.segments import LogError, read_entries
from provenance.story import Attempt, Story, is_last_word, story
from provenance.terminal import plain, progress_bar
from provenance.together import Together, verify_together
from provenance.verify import LEVELS, VerifyError
from provenance.verify import verify as verify_folder
from reservations.urls import UrlError, canonical_url

CLEAN: Final = 0
DIFFERENCES: Final = 1
UNREADABLE: Final = 2

Out = Annotated[Path, typer.Argument(metavar="OUT", help="Output folder of a crawl: the one that holds log/.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of sentences.")]
Outs = Annotated[list[Path], typer.Argument(metavar="OUT...", help="Output folder of a crawl; one of each worker.")]
Keys = Annotated[
    list[str] | None,
    typer.Option("--key", metavar="VKEY", help="The log's verifier line, from a source other than the folder itself."),
]

_SEALS: Final = {
    "finished": "sealed: the crawl had nothing left to do",
    "stopped": "sealed: the crawl was stopped with work left",
    "crashed": "sealed after a crash",
    "running": "a process is writing it now",
    "manifest": "a run log, ends with a manifest",
    "missing": "NOT SEALED: the crawl broke off, or the end was cut away",
}


def verify(
    outs: Outs,
    *,
    as_json: Json = False,
    key: Keys = None,
    manifest: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The run log over all workers, by `knockfirst manifest`.")
    ] = None,
    anchor: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="An older checkpoint of the log, kept elsewhere.")
    ] = None,
    tsa_roots: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Certificates of the authorities whose time stamps count.")
    ] = None,
    level: Annotated[list[str] | None, typer.Option(help="Only these levels, L1 to L4; L1 always.")] = None,
) -> None:
    """Check a crawl: log unaltered (L1), log and WARC link (L2), decisions follow (L3), outside anchors (L4).

    Four results, each with what it proves and what not; of several workers' folders, also what must hold of all of
    them. Exit codes: 0 nothing differs, 1 something does, 2 there is nothing that could be checked.
    """
    keys, levels = key or [], level or LEVELS
    try:
        outside = read_outside(anchor or [], tsa_roots)
        with progress_bar() as tell:
            if len(outs) == 1 and len(keys) <= 1 and manifest is None:
                result: Report | Together = verify_folder(
                    outs[0], levels, key=keys[0] if keys else None, outside=outside, progress=tell
                )
            else:
                result = verify_together(outs, levels, manifest=manifest, keys=keys, outside=outside, progress=tell)
    except (VerifyError, OSError) as error:
        _give_up(error)
    if as_json:
        _print_json(msgspec.to_builtins(result) | {"clean": result.clean})
    else:
        for line in _report_lines(result) if isinstance(result, Report) else _together_lines(result):
            typer.echo(plain(line))
    raise typer.Exit(CLEAN if result.clean else DIFFERENCES)


def explain(
    outs: Outs,
    url: Annotated[str, typer.Argument(metavar="URL", help="The URL asked about.")],
    *,
    as_json: Json = False,
) -> None:
    """Say what was decided about a URL and why, with the rule's own line and where the evidence lies.

    Of a crawl by several workers, give all their folders. Exit codes: 0 a log has the URL, 1 none has, 2 one cannot be
    read.
    """
    try:
        told = [(out, _story(out / "log", url)) for out in outs]
        workers = {out: _worker(out / "log") for out in outs}
    except (OSError, LogError, ValueError) as error:
        _give_up(error)
    if as_json:
        stories = [msgspec.to_builtins(story_) for _, story_ in told]
        several = [{"out": str(out)} | story_ for out, story_ in zip(outs, stories, strict=True)]
        _print_json(stories[0] if len(outs) == 1 else several)
    else:
        _tell_all([one for one in told if one[1].attempts], workers)
        if not any(one.attempts for _, one in told):
            _echo(f"{told[0][1].url}: {_NO_ENTRY[len(outs) > 1]} It was not asked for, or is written otherwise there.")
        if len(outs) == 1 and any(workers.values()):
            _echo("", "Other workers may have shared this crawl, each with a log of its own: give all their folders.")
    raise typer.Exit(CLEAN if any(one.attempts for _, one in told) else DIFFERENCES)


_NO_ENTRY: Final = {False: "the log has no entry on it.", True: "none of the logs has an entry on it."}


def _give_up(error: Exception) -> NoReturn:
    typer.echo(plain(str(error)), err=True)
    raise typer.Exit(UNREADABLE) from None


def _print_json(value: object) -> None:
    """JSON with escapes for everything that is not ASCII: safe on a terminal, too."""
    typer.echo(json.dumps(value, indent=2))


def _story(folder: Path, url: str) -> Story:
    """The story of the URL as given or, when the log has none, of its canonical form."""
    told = story(folder, url)
    if told.attempts:
        return told
    try:
        return story(folder, canonical_url(url))
    except UrlError:
        return told


# -- verify ------------------------------------------------------------------------------------------------------------


def _together_lines(result: Together) -> Iterator[str]:
    reports = ([result.manifest] if result.manifest else []) + result.folders
    for report in reports:
        yield f"== {report.out}"
        yield from _report_lines(report, meaning=False)
        yield ""
    yield "== all of them"
    yield from _level_lines(result.level)
    yield ""
    yield "== what the levels of each folder say, where nothing differs"
    for level in {level.name: level for report in reports for level in report.levels if level.looked}.values():
        yield f"{level.name}, {level.title}"
        yield f"  This proves: {level.proves}"
        yield f"  This does not prove: {level.proves_not}"


def _report_lines(report: Report, *, meaning: bool = True) -> Iterator[str]:
    for sentence in report.weaker:
        yield f"RULES WEAKER THAN THE SHIPPED FLOOR WERE IN FORCE: {sentence}"
    if report.no_blocklist:
        yield f"No blocklist was in force: {report.no_blocklist}"
    yield f"Log {report.origin}: {report.size} entries, {report.signed_size} of them signed; {_SEALS[report.seal]}."
    yield f"Root {report.root}"
    yield f"Key  {report.key}{'' if report.key_given else '  (as the folder says; compare it with another source)'}"
    for level in report.levels:
        yield ""
        yield from _level_lines(level, meaning=meaning)


def _level_lines(level: Level, *, meaning: bool = True) -> Iterator[str]:
    """`meaning`: whether to say what the level proves and does not."""
    verdict = "nothing differs" if level.ok else f"{level.total} DIFFERENCES"
    verdict = verdict if level.looked else "nothing to compare with"
    yield f"{level.name}, {level.title}: {verdict}"
    if level.looked:
        yield "  looked at: " + ", ".join(f"{number} {name}" for name, number in level.counts.items())
    for note in level.notes:
        yield f"  note: {note}"
    for found in level.differences:
        yield f"  {found.file}{', ' if found.where else ''}{found.where}: {found.what}"
        yield f"      {found.remedy}"
    if level.total > len(level.differences):
        yield f"  ... and {level.total - len(level.differences)} more"
    if meaning and level.ok and level.looked:
        yield f"  This proves: {level.proves}"
    if meaning and level.looked:
        yield f"  This does not prove: {level.proves_not}"


# -- explain -----------------------------------------------------------------------------------------------------------


def _worker(folder: Path) -> str:
    """The worker that wrote a log, where others may have crawled beside it; else empty."""
    first = next((entry for _, entry in read_entries(folder)), None)
    return first.worker if isinstance(first, RunEntry) and first.shared else ""


def _tell_all(told: list[tuple[Path, Story]], workers: Mapping[Path, str]) -> None:
    """The story of each folder; over all of them one last word holds, that of the highest lease."""
    words = [(one.entry, out) for out, story_ in told for one in story_.attempts if is_last_word(one)]
    newest = {entry.run: (entry, out) for entry, out in sorted(words, key=lambda word: word[0].lease)}
    for number, (out, story_) in enumerate(told):
        if len(workers) > 1:
            worker = f", worker {workers[out]}" if workers[out] else ""
            _echo(*([""] if number else []), f"== {out}{worker}")
        _tell(story_, {run: word for run, word in newest.items() if word[1] != out})


def _tell(told: Story, elsewhere: Mapping[str, tuple[DecisionEntry, Path]]) -> None:
    """`elsewhere`: of a run, the entry that holds and the other folder that it is in."""
    _echo(told.url)
    console = Console()
    for attempt in told.attempts:
        _echo("", *_attempt_lines(attempt, elsewhere.get(attempt.entry.run)))
        if attempt.protocols:
            console.print(answers_table(attempt.protocols.values()), markup=False, highlight=False)
    for change in told.changes:
        _echo("", f"Changed later, {change.ts}, entry {change.seq}: {change.verdict}, {change.reason}: {change.why}")


def _echo(*lines: str) -> None:
    for line in lines:
        typer.echo(plain(line))


def _attempt_lines(attempt: Attempt, elsewhere: tuple[DecisionEntry, Path] | None) -> Iterator[str]:
    entry = attempt.entry
    if is_last_word(attempt) and elsewhere:
        standing = f"Replaced by entry {elsewhere[0].seq} in {elsewhere[1]}, of a newer lease"
    elif is_last_word(attempt):
        standing = "The last word"
    elif attempt.superseded is not None:
        standing = f"Replaced by entry {attempt.superseded}"
    else:
        standing = "An attempt that was not the last"
    yield f"{standing}: {entry.verdict}, {entry.reason} (try {entry.attempt}, {entry.ts})"
    for sentence in (*attempt.sentences, *attempt.notes):
        yield f"  {sentence}"
    yield f"  {_found(entry)}"
    for evidence in attempt.evidence:
        yield f"  evidence: {_evidence(evidence)}"
        for pointer in evidence.warc:
            yield f"    {_pointer(pointer)}"
    for pointer in entry.warc:
        yield f"  record: {_pointer(pointer)}"
    yield f"  entry {entry.seq}: log/{attempt.file}, line {attempt.line}; rules of entry {entry.config}"


def _found(entry: DecisionEntry) -> str:
    """How the crawl came to the URL."""
    if entry.src is None:
        return f"Found by {entry.via}."
    log = f" of the log of worker {entry.src_log}" if entry.src_log else ""
    hops = "".join(f"; {hop.url} redirected ({hop.st}) to {hop.to}" for hop in entry.hops)
    return f"Found by {entry.via} in entry {entry.src}{log}{hops}."


def _evidence(entry: EvidenceEntry) -> str:
    worker, _, seq = entry.taken.partition("#")
    taken = f", copied from entry {seq} of worker {worker}, who asked" if entry.taken else ""
    return f"{entry.url}: {entry.outcome}, fetched {timestamp(entry.fetched)} (entry {entry.seq}{taken})"


def _pointer(pointer: Pointer) -> str:
    return f"{pointer.type} in {pointer.f} at {pointer.o}, {pointer.l} bytes, <{pointer.id}>"
