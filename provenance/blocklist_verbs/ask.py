"""Verbs that change nothing: explain, who, test, diff, due, stats."""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from blocklists.changes import Change, diff, due, id_of, numbers
from blocklists.edit import status_on
from blocklists.guard import read_top_sites
from blocklists.index import Index, build_index
from blocklists.match import Blocklist, Key, Line, locate, read_lines, read_manifest, walk
from blocklists.model import BlocklistError, Entry, Exemption, Hit, ListingDecision
from blocklists.objections import due as due_of
from blocklists.signing import person_of, verify_manifest
from provenance import builds
from provenance.blocklist_verbs.common import Build, Desk, Folder, Json, Keys, app, day_of, show, today, told, words
from provenance.blocklist_verbs.objection import read_all
from provenance.entry import DecisionEntry
from provenance.log import read_entries

_SHOWN: Final = 20
_REASON: Final = "blocklist.listed"
_DAYS: Final = re.compile(r"([0-9]{1,4})d?")


@app.command(epilog="Example: knockfirst blocklist explain blocklist/build https://files.pirate.example/film")
def explain(
    build: Build,
    url: Annotated[str, typer.Argument(help="A URL or the name of a host.")],
    *,
    at: Annotated[str, typer.Option(help="The day to judge by, year-month-day; today if left out.")] = "",
    caused: Annotated[Path | None, typer.Option(help="Output folder of a crawl: what the entries did there.")] = None,
    trusted: Keys = "",
    as_json: Json = False,
) -> None:
    """Say whether a site is listed, by whom, since when, who approved it, and what that caused in a crawl."""
    with told(as_json=as_json):
        files, signature = builds.read_build(build)
        manifest = read_manifest(files.manifest)
        on = day_of(at, "--at") if at else today()
        host, path = locate(url)
        tried = list(walk(host, path))
        lines = _about(files.jsonl, tried)
        decisions = {line.id: line for line in lines if isinstance(line, ListingDecision)}
        entries = [line for line in lines if isinstance(line, Entry)]
        hit = _on(Blocklist.open(files.indexed, files.manifest), lines, on).match(url, on)
        signers = verify_manifest(files.manifest, signature, words(trusted)) if trusted else ()
        said = [f"List {manifest.version} ({manifest.digest}), on {on}: {host}{path}", *_verdict(hit)]
        if not trusted:
            said.append("Whose signature is on the list was not looked at: name the keys with --keys.")
        said += [line for entry in entries for line in _history(entry, decisions[entry.decision], on, signers)]
        answer = {"version": manifest.version, "digest": manifest.digest, "on": on, "host": host, "hit": hit}
        answer |= {"tried": [_spelt(key) for key in tried], "entries": entries, "signers": signers}
        if caused is not None:
            found = list(_caused(caused, {id_of(entry) for entry in entries}))
            said += _effects(found)
            answer["caused"] = [_effect(one) for one in found]
        show(answer, said, as_json=as_json)


@app.command(epilog="Example: knockfirst blocklist who decisions pirate.example")
def who(
    folder: Folder,
    host: Annotated[str, typer.Argument(metavar="HOST", help="The name as it stands in a decision.")],
    *,
    decision: Annotated[str, typer.Option("--decision", help="Id of the decision.")] = "",
    as_json: Json = False,
) -> None:
    """Say who proposed, approved and changed an entry, and which of it more than the file itself bears witness to."""
    with told(as_json=as_json):
        _, row = Desk(folder).entry(host, decision)
        entry = row.entry
        lines = [
            f"{id_of(entry)}: {entry.status}",
            f"proposed by {entry.added_by} on {entry.added} (as the file says)",
            f"approved by {', '.join(entry.approved_by) or 'nobody yet'} (as the file says)",
            *(f"- {step}" for step in entry.history),
        ]
        commits = _commits(folder, row.place.file, entry.host)
        if commits is None:
            lines.append("There is no git history here, so these names are claims of the file and nothing more.")
        elif not commits:
            lines.append("The name is not committed yet, so these names are claims of the file and nothing more.")
        else:
            lines.append("Commits that brought the name in or took it out:")
            lines += [f"- {commit}" for commit in commits]
            lines.append("A commit's author is a claim, too, unless it is signed. Signatures on a build: `verify`.")
        show({"entry": entry, "commits": commits}, lines, as_json=as_json)


@app.command("test", epilog="Example: knockfirst blocklist test blocklist/build urls.txt")
def try_out(
    build: Build,
    urls: Annotated[str, typer.Argument(metavar="FILE", help='URLs or hosts, one a line; "-" reads standard input.')],
    *,
    as_json: Json = False,
) -> None:
    """Say how many of these URLs the list keeps out, and by which entries: before a build is published."""
    with told(as_json=as_json):
        files, _ = builds.read_build(build)
        blocklist, on = Blocklist.open(files.indexed, files.manifest), today()
        text = sys.stdin.read() if urls == "-" else Path(urls).read_text("utf-8")
        asked, by_entry, examples = 0, Counter[str](), dict[str, str]()
        for url in filter(None, map(str.strip, text.splitlines())):
            asked += 1
            if (hit := blocklist.match(url, on)) is not None:
                by_entry[hit.entry] += 1
                examples.setdefault(hit.entry, url)
        out = sum(by_entry.values())
        share = f" ({100 * out / asked:.2f} %)" if asked else ""
        lines = [f"{asked} asked, {out} kept out{share}, by {len(by_entry)} entries"]
        lines += [f"- {count} by {entry}, such as {examples[entry]}" for entry, count in by_entry.most_common(_SHOWN)]
        show({"asked": asked, "kept_out": out, "by_entry": by_entry}, lines, as_json=as_json)


@app.command("diff", epilog="Example: knockfirst blocklist diff build-old build-new --top-sites guards/top-sites.csv")
def diff_(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="Folder of a build.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Folder of a later build.")],
    *,
    top_sites: Annotated[Path | None, typer.Option(help="A snapshot of frequently visited sites.")] = None,
    as_json: Json = False,
) -> None:
    """Show what comes into the list, what goes out and what changes, by tier, with frequently visited sites marked."""
    with told(as_json=as_json):
        before, after = (read_lines(builds.read_build(folder)[0].jsonl) for folder in (old, new))
        ranks = read_top_sites(top_sites.read_text("utf-8")) if top_sites else {}
        changes = diff(before, after, ranks)
        show({"changes": changes}, _difference(changes), as_json=as_json)


@app.command("due", epilog="Example: knockfirst blocklist due decisions --within 30d")
def due_(
    folder: Folder,
    *,
    within: Annotated[str, typer.Option(help="How far ahead to look: 30d.")] = "30d",
    as_json: Json = False,
) -> None:
    """Show what somebody has to look at: reviews, terms, exceptions, proposals, objections. Exit code 1: it is late."""
    with told(as_json=as_json):
        found = _DAYS.fullmatch(within)
        if found is None:
            raise BlocklistError(f"{within!r} is no number of days.", "--within", "Write it like 30d.")
        desk = Desk(folder)
        until = desk.today + dt.timedelta(days=int(found[1]))
        rows = [(day, f"{what} ({where})") for day, what, where in due(desk.book, until)]
        for one in read_all(folder):
            rows += [(step.day, f"{step.what}: objection {one.id} about {one.host}") for step in due_of(one)]
        rows.sort()
        lines = [f"{day}{' LATE' if day < desk.today else ''}: {what}" for day, what in rows]
        show({"due": [{"day": day, "what": what} for day, what in rows]}, lines or ["Nothing is due."], as_json=as_json)
        if any(day < desk.today for day, _ in rows):
            raise typer.Exit(1)


@app.command(
    epilog="Example: knockfirst blocklist stats blocklist/build --decisions blocklist/decisions --crawl out/web"
)
def stats(
    build: Build,
    *,
    decisions: Annotated[Path | None, typer.Option(help="Folder of decisions: counts objections, too.")] = None,
    crawl: Annotated[Path | None, typer.Option(help="Output folder of a crawl: counts what was kept out.")] = None,
    as_json: Json = False,
) -> None:
    """Show a list in numbers, for reports."""
    with told(as_json=as_json):
        found = numbers(read_lines(builds.read_build(build)[0].jsonl), today())
        value: dict[str, object] = msgspec.to_builtins(found, str_keys=True)
        lines = [
            f"Entries by status: {_counted(found.by_status)}",
            f"In force by tier: {_counted(found.by_tier)}",
            f"Decisions: {found.decisions}; exceptions: {found.exemptions}; with override: {found.overrides}",
            f"Median age of the last look: {'none' if found.verified_days is None else f'{found.verified_days} days'}",
            f"Reviews late: {', '.join(found.overdue) or 'none'}",
        ]
        if decisions is not None:
            value["objections"], said = _objections(decisions)
            lines.append(said)
        if crawl is not None:
            value["crawl"], said = _share(crawl)
            lines.append(said)
        show(value, lines, as_json=as_json)


def _about(jsonl: bytes, tried: list[Key]) -> list[Line]:
    """The lines that concern a place; of a long list the others are not even decoded."""
    hosts = {key.host.encode() for key in tried}
    wanted = [line for line in jsonl.splitlines() if line.find(b'"t":"entry"') < 0 or _host_in(line) in hosts]
    places = set(tried)
    return [
        line
        for line in read_lines(b"\n".join(wanted))
        if isinstance(line, ListingDecision) or Key(line.host, line.match, line.path) in places
    ]


def _host_in(line: bytes) -> bytes:
    return line.partition(b'"host":"')[2].partition(b'"')[0]


def _on(blocklist: Blocklist, lines: list[Line], day: dt.date) -> Blocklist:
    """What the list said of this place on a day, as its records tell."""
    entries = [
        msgspec.structs.replace(line, status=status)
        for line in lines
        if isinstance(line, Entry) and (status := status_on(line, day)[0]) is not None
    ]
    decisions = [line for line in lines if isinstance(line, ListingDecision)]
    exemptions = [line for line in lines if isinstance(line, Exemption) and line.added <= day]
    return Blocklist(blocklist.manifest, Index(build_index(decisions, entries, exemptions)))


def _verdict(hit: Hit | None) -> list[str]:
    if hit is None:
        return ["Not listed: it may be crawled as far as the blocklist is concerned."]
    word = (
        "Held: the entry is suspended, so the site is neither crawled nor called infringing" if hit.held else "Listed"
    )
    return [f"{word}, by {hit.entry}."]


def _history(entry: Entry, decision: ListingDecision, on: dt.date, signers: tuple[str, ...]) -> list[str]:
    term = f"until {decision.in_force_until}" if decision.in_force_until else "open-ended"
    over = " (the term is over)" if decision.lapsed(on) else ""
    status, recorded = status_on(entry, on)
    doubt = "" if recorded else " (as far as the file tells; builds in the logs of crawls tell for sure)"
    signed = {person_of(name) for name in signers}
    people = ", ".join(f"{one} ({'signed' if one in signed else 'claimed'})" for one in entry.approved_by)
    name = _spelt(Key(entry.host, entry.match, entry.path))
    lines = [
        f"- {name}: {status or 'not on file yet'}{over}{doubt}, tier {decision.tier}",
        f"  decided by {decision.authority} ({decision.country}), {decision.date}, {decision.reference}, {term}",
        f"  proposed by {entry.added_by} on {entry.added}, approved by {people or 'nobody yet'}",
        f"  verified on: {entry.verified_on or 'never'}",
    ]
    if entry.changed_on:
        lines.append(f"  {entry.changed_on}, {entry.changed_by}: {entry.change_cause}, {entry.change_reference}")
    return [*lines, *(f"  {step}" for step in entry.history)]


def _spelt(key: Key) -> str:
    return f"{key.match} {key.host}{key.path}"


def _caused(out: Path, entries: set[str]) -> Iterator[DecisionEntry]:
    for _, entry in read_entries(out / "log"):
        if isinstance(entry, DecisionEntry) and any(s.reason == _REASON and s.loc in entries for s in entry.signals):
            yield entry


def _effects(found: list[DecisionEntry]) -> list[str]:
    counts = _counted(Counter(str(one.verdict) for one in found))
    lines = [f"In that crawl: {counts or 'nothing was kept out by it'}"]
    lines += [f"- {one.ts} {one.verdict}: {one.url}" for one in found[:_SHOWN]]
    if len(found) > _SHOWN:
        lines.append(f"- ... and {len(found) - _SHOWN} more; --json shows all")
    strangers = sorted({one.site or one.url for one in found if _redirected(one)})
    lines += [
        f"{site} was held because a listed site led to it: `blocklist mirror`, or leave it." for site in strangers
    ]
    return lines


def _effect(one: DecisionEntry) -> dict[str, object]:
    return {"seq": one.seq, "ts": one.ts, "url": one.url, "verdict": one.verdict, "redirected": _redirected(one)}


def _redirected(one: DecisionEntry) -> bool:
    return any("redirected-from-listed" in signal.issues for signal in one.signals)


def _difference(changes: list[Change]) -> list[str]:
    words = ("added", "removed", "changed")
    counts = {word: Counter(one.tier for one in changes if one.what == word) for word in words}
    lines = [
        f"{word}: {sum(count.values())}" + "".join(f", tier {tier}: {number}" for tier, number in sorted(count.items()))
        for word, count in counts.items()
    ]
    marks = {"added": "+", "removed": "-", "changed": "~"}
    for one in sorted(changes, key=lambda one: (not one.rank, one.rank, one.entry)):
        fields = "; ".join(f"{key}: {old or 'nothing'} -> {new or 'nothing'}" for key, (old, new) in one.fields.items())
        rank = f" FREQUENTLY VISITED, number {one.rank}" if one.rank else ""
        lines.append(f"{marks[one.what]} {one.entry}{rank}{f' ({fields})' if fields else ''}")
    return lines


def _commits(folder: Path, file: str, host: str) -> list[str] | None:
    """Commits of a file that changed how often a name stands in it; None without git or a repository."""
    git = shutil.which("git")
    if git is None:
        return None
    form = "%h %ad %an, %G? signature: %s"
    told_apart = ["log", f"--format={form}", "--date=short", f"-S{host}", "--", file]
    ran = subprocess.run(  # noqa: S603  (staff's own folder; the words are passed as they are, to no shell)
        [git, "-C", str(folder), *told_apart],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "LC_ALL": "C"},
    )
    if ran.returncode:
        return [] if "does not have any commits" in ran.stderr else None
    names = {"G": "good", "N": "no", "B": "BAD", "U": "good, of an unknown person's", "E": "unchecked", "X": "expired"}
    return [
        re.sub(r", (\w) signature", lambda found: f", {names.get(found[1], found[1])} signature", line)
        for line in ran.stdout.splitlines()
    ]


def _objections(folder: Path) -> tuple[dict[str, object], str]:
    found = read_all(folder)
    decided = [(one.decided_on - one.received).days for one in found if one.decided_on is not None]
    value = {
        "opened": len(found),
        "upheld": sum(one.outcome == "upheld" for one in found),
        "rejected": sum(one.outcome == "rejected" for one in found),
        "longest_days": max(decided, default=0),
    }
    return dict(value), f"Objections: {_counted(value)}"


def _share(out: Path) -> tuple[dict[str, object], str]:
    decisions = kept_out = 0
    for _, entry in read_entries(out / "log"):
        if isinstance(entry, DecisionEntry) and entry.final:
            decisions += 1
            kept_out += entry.reason == _REASON
    share = f" ({100 * kept_out / decisions:.2f} %)" if decisions else ""
    value = {"decided": decisions, "kept_out": kept_out}
    return dict(value), f"In the crawl: {decisions} URLs decided, {kept_out} kept out by the list{share}"


def _counted(counts: dict[str, int] | dict[int, int]) -> str:
    return ", ".join(
        f"{count} {word}" if isinstance(word, str) else f"{count} in {word}" for word, count in counts.items()
    )
