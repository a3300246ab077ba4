"""Verbs that change decisions: add, mirror, approve, confirm, suspend, expire, remove, restore.

Adding a name takes two people besides a decision; taking one out of the public list takes one (`suspend`), and the
site stays out of the crawl until two have decided.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from blocklists import edit, importers
from blocklists.decisions import PlacedEntry
from blocklists.lint import REVIEW_DAYS, REVIEW_DAYS_LIVE_SPORT
from blocklists.model import (
    ENFORCED,
    AuthorityType,
    BlocklistError,
    Cause,
    ListingDecision,
    Role,
    Status,
)
from provenance.blocklist_verbs.common import By, Desk, DryRun, Folder, Json, app, day_of, told

Decision = Annotated[str, typer.Option("--decision", help="Id of the decision, where several list the host.")]
Why = Annotated[Cause, typer.Option("--because", help="Why.")]
Reference = Annotated[str, typer.Option("--reference", help="Where it can be looked up: a letter, an objection.")]
Host = Annotated[str, typer.Argument(metavar="HOST", help="The name as it stands in the decision, path included.")]

_TIER_OFFICIAL: Final = 1


@app.command(epilog="Example: knockfirst blocklist add decisions dc-example-2026-1 --hosts annex.txt ...")
def add(
    folder: Folder,
    decision: Annotated[str, typer.Argument(metavar="ID", help="Name of the decision, once and for all.")],
    *,
    authority: Annotated[str, typer.Option(help="Who decided.")],
    country: Annotated[str, typer.Option(help="Two letters.")],
    date: Annotated[str, typer.Option(help="Day of the decision.")],
    legal_basis: Annotated[str, typer.Option(help="The law or agreement it rests on.")],
    finding: Annotated[str, typer.Option(help="In your words: infringing, persistent, on a commercial scale.")],
    language: Annotated[str, typer.Option(help="Of the document: de.")],
    by: By,
    authority_type: AuthorityType = AuthorityType.COURT,
    reference: Annotated[str, typer.Option(help="Docket or file number.")] = "",
    document: Annotated[Path | None, typer.Option(help="The document you read; only its digest is kept.")] = None,
    document_url: Annotated[str, typer.Option(help="Where it can be read.")] = "",
    tier: Annotated[int, typer.Option(min=1, max=4)] = _TIER_OFFICIAL,
    until: Annotated[str, typer.Option(help="Last day of its term; open-ended if left out.")] = "",
    host: Annotated[list[str] | None, typer.Option(help="A name; several times for several.")] = None,
    hosts: Annotated[Path | None, typer.Option(help="A file with names: any text they stand in.")] = None,
    file: Annotated[str, typer.Option(help="Name of the new file; made of the id if left out.")] = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Add a decision with the names it covers, all proposed: `approve` puts them in force."""
    with told(as_json=as_json):
        desk = Desk(folder)
        names, skipped = _names(host or [], hosts)
        head: dict[str, Any] = {
            "id": decision,
            "authority": authority,
            "authority_type": str(authority_type),
            "country": country,
            "reference": reference,
            "date": day_of(date, "--date"),
            "legal_basis": legal_basis,
            "finding": finding,
            "document_url": document_url,
            "document_sha256": hashlib.sha256(document.read_bytes()).hexdigest() if document else "",
            "language": language,
            "tier": tier,
            "in_force_until": day_of(until, "--until") if until else "",
            "open_ended": not until,
            "review_by": desk.today + dt.timedelta(days=REVIEW_DAYS[tier] - 1),
        }
        kept = {key: value for key, value in head.items() if value not in ("", False)}
        rows = [_proposal(found, desk.today, by) for found in names]
        desk.paper.add_decision(file or f"{decision}.toml", kept, rows)
        done = [f"{len(rows)} names are proposed by {by}. Two people have to approve them: `blocklist approve`."]
        desk.write([*done, *skipped], {"proposed": len(rows)}, dry_run=dry_run, as_json=as_json)


@app.command(epilog="Example: knockfirst blocklist mirror decisions pirate.example pirate-2.example --by a.berg")
def mirror(
    folder: Folder,
    primary: Annotated[str, typer.Argument(metavar="PRIMARY", help="The name that is listed already.")],
    host: Annotated[str, typer.Argument(metavar="HOST", help="The name that stands for it.")],
    *,
    by: By,
    role: Annotated[Role, typer.Option(help="What it is to the primary name.")] = Role.MIRROR,
    decision: Decision = "",
    note: Annotated[str, typer.Option(help="How you know: the notice, the order's clause.")] = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Propose another name of a listed site. Nothing is inferred: a mirror is listed when somebody lists it."""
    with told(as_json=as_json):
        desk = Desk(folder)
        placed, row = desk.entry(primary, decision)
        (found, *_), skipped = _names([host], None)
        proposal = {**_proposal(found, desk.today, by), "role": str(role), "of": row.entry.host}
        desk.paper.add_rows(placed, [proposal | ({"note": note} if note else {})])
        done = [f"{found.host} is proposed as {role} of {row.entry.host}. Two people have to approve it."]
        desk.write([*done, *skipped], {"proposed": 1}, dry_run=dry_run, as_json=as_json)


@app.command(epilog="Example: knockfirst blocklist approve decisions dc-example-2026-1 --by b.cole")
def approve(
    folder: Folder,
    decision: Annotated[str, typer.Argument(metavar="ID", help="Id of the decision.")],
    *,
    by: By,
    host: Annotated[list[str] | None, typer.Option(help="Only this name; several times for several.")] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Approve proposed names that you have compared with the document. The second approval puts them in force."""
    with told(as_json=as_json):
        desk = Desk(folder)
        placed = desk.decision(decision)
        assert placed.decision is not None  # noqa: S101  (found by its id)
        rows = [row for row in placed.entries if row.entry.status is Status.PROPOSED and _wanted(row, host)]
        changes = [_approval(row, placed.decision, desk.today, by) for row in rows]
        desk.paper.change(placed, rows, changes)
        active = sum("status" in change for change in changes)
        done = [f"{len(rows)} names approved by {by}, of which {active} come into force with the next build."]
        if active < len(rows):
            done.append(f"{len(rows) - active} need one more person.")
        value = {"approved": len(rows), "in_force": active}
        desk.write(done, value, dry_run=dry_run, as_json=as_json)


@app.command(epilog="Example: knockfirst blocklist confirm decisions dc-example-2026-1 --by b.cole")
def confirm(
    folder: Folder,
    decision: Annotated[str, typer.Argument(metavar="ID", help="Id of the decision.")],
    *,
    by: By,
    host: Annotated[list[str] | None, typer.Option(help="Only this name; several times for several.")] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Say that you have looked again: each site is still what was decided about. Sets the day of the next review."""
    with told(as_json=as_json):
        desk = Desk(folder)
        placed = desk.decision(decision)
        assert placed.decision is not None  # noqa: S101  (found by its id)
        live = [row for row in placed.entries if row.entry.status in ENFORCED]
        rows = [row for row in live if _wanted(row, host)]
        changes: list[edit.Changes] = []
        for row in rows:
            past = edit.step(row.entry, row.entry.status, desk.today, by, "looked at again")
            changes.append({"history": past["history"], "verified_on": desk.today})
        desk.paper.change(placed, rows, changes)
        looked = {id(row) for row in rows}
        oldest = min(
            (d for d in (desk.today if id(row) in looked else row.entry.verified_on for row in live) if d),
            default=desk.today,
        )
        days = REVIEW_DAYS_LIVE_SPORT if placed.decision.live_sport else REVIEW_DAYS[placed.decision.tier]
        review = oldest + dt.timedelta(days=days)
        desk.paper.set_head(placed, {"review_by": review})
        done = [f"{len(rows)} of {len(live)} names in force looked at by {by}. The next review is due on {review}."]
        desk.write(done, {"confirmed": len(rows), "review_by": review}, dry_run=dry_run, as_json=as_json)


@app.command(epilog="Example: knockfirst blocklist suspend decisions pirate.example --because wrong-host ...")
def suspend(
    folder: Folder,
    host: Host,
    *,
    because: Why,
    reference: Reference,
    by: By,
    decision: Decision = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Put an entry in doubt. One person may. The site is called infringing no more, and stays out of the crawl."""
    with told(as_json=as_json):
        done = "It is held: not crawled, and not called infringing. A second person should look within 5 days."
        _close(folder, host, Status.SUSPENDED, because, reference, by, decision, done, dry_run=dry_run, as_json=as_json)


@app.command(epilog="Example: knockfirst blocklist expire decisions pirate.example --reference '7 O 1/26' --by a.berg")
def expire(
    folder: Folder,
    host: Host,
    *,
    because: Why = Cause.ORDER_EXPIRED,
    reference: Reference,
    by: By,
    decision: Decision = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Say that the term of the order is over for a name. It stays on file as history."""
    with told(as_json=as_json):
        done = "It is crawled again once the next build is in force."
        _close(folder, host, Status.EXPIRED, because, reference, by, decision, done, dry_run=dry_run, as_json=as_json)


@app.command(epilog="Example: knockfirst blocklist remove decisions pirate.example --because order-lifted ...")
def remove(
    folder: Folder,
    host: Host,
    *,
    because: Why,
    reference: Reference,
    by: By,
    decision: Decision = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Take a name out that was lifted or listed by mistake. It stays on file as history; no row is ever deleted."""
    with told(as_json=as_json):
        done = "It is crawled again once the next build is in force."
        _close(folder, host, Status.REMOVED, because, reference, by, decision, done, dry_run=dry_run, as_json=as_json)


@app.command(epilog="Example: knockfirst blocklist restore decisions pirate.example --second c.dahl ...")
def restore(
    folder: Folder,
    host: Host,
    *,
    reference: Reference,
    by: By,
    second: Annotated[str, typer.Option(help="The other person who decided.")],
    decision: Decision = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Put a suspended entry in force again. Two people decide."""
    with told(as_json=as_json):
        desk = Desk(folder)
        put_back(desk, host, decision, people=(by, second), reference=reference)
        desk.write([f"{host} is in force again."], {"host": host}, dry_run=dry_run, as_json=as_json)


def put_back(desk: Desk, host: str, decision: str, *, people: tuple[str, str], reference: str) -> None:
    """Makes a suspended entry active again, on paper.

    Raises:
        BlocklistError: it is not suspended, or the two people are one.
    """
    if people[0].strip().casefold() == people[1].strip().casefold():
        raise BlocklistError("Two different people have to decide.", "--second", "Name the other one.")
    placed, row = desk.entry(host, decision)
    if row.entry.status is not Status.SUSPENDED:
        raise BlocklistError(f"{host} is {row.entry.status}.", row.place.file, "Only what is suspended is restored.")
    by = " and ".join(people)
    change = {**edit.step(row.entry, Status.ACTIVE, desk.today, by, reference), "verified_on": desk.today}
    desk.paper.change(placed, [row], [change])


def close_entry(desk: Desk, host: str, decision: str, *, status: Status, by: str, cause: Cause, reference: str) -> None:
    """Suspends, expires or removes an entry, on paper.

    Raises:
        BlocklistError: it is in that status already.
    """
    placed, row = desk.entry(host, decision)
    if row.entry.status is status:
        raise BlocklistError(f"{host} is {status} already.", row.place.file, "There is nothing to do.")
    change = edit.closing(row.entry, status, desk.today, by=by, cause=cause, reference=reference)
    desk.paper.change(placed, [row], [change])


def _close(  # noqa: PLR0917  (the options of three verbs)
    folder: Path,
    host: str,
    status: Status,
    cause: Cause,
    reference: str,
    by: str,
    decision: str,
    done: str,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    desk = Desk(folder)
    close_entry(desk, host, decision, status=status, by=by, cause=cause, reference=reference)
    desk.write([f"{host} is {status} ({cause}, {reference}).", done], {"host": host}, dry_run=dry_run, as_json=as_json)


def _wanted(row: PlacedEntry, hosts: list[str] | None) -> bool:
    return not hosts or f"{row.entry.host}{row.entry.path}" in hosts


def _approval(row: PlacedEntry, decision: ListingDecision, today: dt.date, by: str) -> edit.Changes:
    entry = row.entry
    if decision.tier > _TIER_OFFICIAL and _same(by, entry.added_by):
        raise BlocklistError(
            f"{by} proposed {entry.host} and cannot approve it (tier {decision.tier}).", row.place.file, "Ask another."
        )
    people = [*entry.approved_by, *([] if any(_same(by, one) for one in entry.approved_by) else [by])]
    change: dict[str, object] = {"approved_by": people, "verified_on": today}
    if len(people) > 1:
        change |= edit.step(entry, Status.ACTIVE, today, " and ".join(people), "approved")
    return change


def _same(one: str, other: str) -> bool:
    return " ".join(one.split()).casefold() == " ".join(other.split()).casefold()


def _names(given: list[str], file: Path | None) -> tuple[list[importers.Found], list[str]]:
    """The names given and those in a file, with a line for each place where there was none."""
    text = "\n".join(given) + "\n" + (file.read_text("utf-8") if file else "")
    reading = importers.read("text", text)
    if not reading.found:
        raise BlocklistError("No name of a host is in it.", str(file or "--host"), "Write names like pirate.example.")
    return list(reading.found), [f"Passed over: {one.text}: {one.why}" for one in reading.skipped]


def _proposal(found: importers.Found, today: dt.date, by: str) -> dict[str, object]:
    return {
        "host": found.host,
        "match": str(found.match),
        "role": str(Role.PRIMARY),
        "status": str(Status.PROPOSED),
        "added": today,
        "added_by": by,
    }
