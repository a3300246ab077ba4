"""`knockfirst blocklist objection ...`: from an objection's arrival to its statement of reasons."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from blocklists.changes import id_of
from blocklists.match import locate, read_manifest, walk
from blocklists.model import ENFORCED, BlocklistError, Cause, Status
from blocklists.objections import Objection, Outcome, check_id, due, read_objection, statement, write_objection
from provenance import builds
from provenance.blocklist_verbs.change import close_entry, put_back
from provenance.blocklist_verbs.common import By, Desk, Folder, Json, app, day_of, show, today, told, write_text

objection: Final = typer.Typer(name="objection", help="Objections to entries.", no_args_is_help=True)
app.add_typer(objection)

Name = Annotated[str, typer.Argument(metavar="OBJECTION", help="Its id: o-2026-7.")]


@objection.command("open", epilog="Example: knockfirst blocklist objection open decisions o-2026-7 shop.example ...")
def open_(
    folder: Folder,
    name: Name,
    host: Annotated[str, typer.Argument(metavar="HOST", help="The site it is about.")],
    *,
    grounds: Annotated[str, typer.Option(help="What the objector says.")],
    contact: Annotated[str, typer.Option(help="Where the objector's address is kept; not the address itself.")],
    by: By,
    received: Annotated[str, typer.Option(help="Day of arrival; today if left out.")] = "",
    urgent: Annotated[bool, typer.Option("--urgent", help="A platform, the press, or of public interest.")] = False,
    as_json: Json = False,
) -> None:
    """Put an objection on file, with the entries it is about and the days by which something has to be done."""
    with told(as_json=as_json):
        path = _path(folder, name)
        if path.exists():
            raise BlocklistError("There is such an objection already.", str(path), "Give it another id.")
        desk = Desk(folder)
        place, path_of = locate(host)
        keys = {(key.host, key.match, key.path) for key in walk(place, path_of)}
        listed = [row.entry for placed in desk.book.decisions for row in placed.entries]
        about = [one for one in listed if (one.host, one.match, one.path) in keys and one.status in ENFORCED]
        opened = Objection(
            id=check_id(name),
            host=place,
            entries=tuple(id_of(one) for one in about),
            grounds=grounds,
            contact=contact,
            received=day_of(received, "--received") if received else desk.today,
            opened_by=by,
            urgent=urgent,
        )
        write_text(path, write_objection(opened))
        said = [f"about {entry}" for entry in opened.entries] or [f"No entry in force covers {place}."]
        _show(opened, [f"{name} is on file.", *said], as_json=as_json)


@objection.command(epilog="Example: knockfirst blocklist objection acknowledge decisions o-2026-7 --by b.cole")
def acknowledge(folder: Folder, name: Name, *, by: By, as_json: Json = False) -> None:
    """Say that the objector has been told that the objection arrived."""
    with told(as_json=as_json):
        known = _known(folder, name)
        fresh = msgspec.structs.replace(known, acknowledged_on=today(), acknowledged_by=by)
        _write(folder, fresh)
        _show(fresh, [f"{name} is acknowledged."], as_json=as_json)


@objection.command(epilog="Example: knockfirst blocklist objection suspend decisions o-2026-7 --by b.cole")
def suspend(folder: Folder, name: Name, *, by: By, as_json: Json = False) -> None:
    """Suspend the entries it is about, at once and by one person: when it may be right on its face."""
    with told(as_json=as_json):
        known = _known(folder, name)
        desk = Desk(folder)
        done: list[str] = []
        for host, decision in _entries(known):
            close_entry(desk, host, decision, status=Status.SUSPENDED, by=by, cause=Cause.OBJECTION, reference=known.id)
            done.append(f"{host} is held: not crawled, and not called infringing.")
        desk.write(done, {"objection": name, "suspended": len(done)}, dry_run=False, as_json=as_json)
        _write(folder, msgspec.structs.replace(known, suspended_on=today(), suspended_by=by))


@objection.command(epilog="Example: knockfirst blocklist objection decide decisions o-2026-7 --outcome upheld ...")
def decide(
    folder: Folder,
    name: Name,
    *,
    outcome: Annotated[Outcome, typer.Option(help="What you decided.")],
    reasons: Annotated[str, typer.Option(help="Why, in words that the objector will read.")],
    by: By,
    second: Annotated[str, typer.Option(help="The other person who decided.")],
    because: Annotated[Cause, typer.Option(help="Why the entries go, when the objection is upheld.")] = Cause.OBJECTION,
    as_json: Json = False,
) -> None:
    """Decide, two together. Upheld: the entries are removed. Rejected: what was suspended is in force again."""
    with told(as_json=as_json):
        known = _known(folder, name)
        if known.decided_on is not None:
            raise BlocklistError(f"It was decided on {known.decided_on}.", name, "Open a new one for new facts.")
        if by.strip().casefold() == second.strip().casefold():
            raise BlocklistError("Two different people have to decide.", "--second", "Name the other one.")
        desk = Desk(folder)
        people = (by, second)
        for host, decision in _entries(known):
            if outcome is Outcome.UPHELD:
                both = " and ".join(people)
                close_entry(desk, host, decision, status=Status.REMOVED, by=both, cause=because, reference=known.id)
            elif desk.entry(host, decision)[1].entry.status is Status.SUSPENDED:
                put_back(desk, host, decision, people=people, reference=f"objection {known.id} rejected")
        fresh = msgspec.structs.replace(known, decided_on=today(), decided_by=people, outcome=outcome, reasons=reasons)
        value = {"objection": name, "outcome": outcome}
        done = f"{name} is {outcome}. Compile a new build, tell the objector, then close it."
        desk.write([done], value, dry_run=False, as_json=as_json)
        _write(folder, fresh)


@objection.command(epilog="Example: knockfirst blocklist objection close decisions o-2026-7 --by b.cole")
def close(
    folder: Folder,
    name: Name,
    *,
    by: By,
    build: Annotated[Path | None, typer.Option(help="Build in which the decision is in force.")] = None,
    as_json: Json = False,
) -> None:
    """Print the statement of reasons for the objector, and close."""
    with told(as_json=as_json):
        known = _known(folder, name)
        if known.decided_on is None:
            raise BlocklistError("It is not decided.", name, "Decide it first.")
        manifest = read_manifest(builds.read_build(build)[0].manifest) if build else None
        fresh = msgspec.structs.replace(known, closed_on=today(), closed_by=by)
        _write(folder, fresh)
        version = f"{manifest.version} ({manifest.digest})" if manifest else ""
        show({"objection": fresh, "statement": statement(fresh, version)}, statement(fresh, version), as_json=as_json)


@objection.command("list", epilog="Example: knockfirst blocklist objection list decisions")
def list_(folder: Folder, *, as_json: Json = False) -> None:
    """Show all objections, with what is due."""
    with told(as_json=as_json):
        found = read_all(folder)
        lines = [f"{one.id}, {one.host}, received {one.received}: {_standing(one)}" for one in found]
        show({"objections": found}, lines or ["There are no objections."], as_json=as_json)


def read_all(folder: Path) -> list[Objection]:
    """The objections beside a folder of decisions, the oldest first."""
    paths = sorted((folder.absolute().parent / "objections").glob("*.toml"))
    found = [read_objection(path.read_text("utf-8"), file=str(path)) for path in paths]
    return sorted(found, key=lambda one: (one.received, one.id))


def _standing(one: Objection) -> str:
    if one.closed_on is not None:
        return f"{one.outcome}, closed on {one.closed_on}"
    return "; ".join(f"{what} by {day}" for day, what in due(one))


def _path(folder: Path, name: str) -> Path:
    return folder.absolute().parent / "objections" / f"{check_id(name)}.toml"


def _known(folder: Path, name: str) -> Objection:
    path = _path(folder, name)
    if not path.exists():
        raise BlocklistError("There is no such objection.", str(path), "See `blocklist objection list`.")
    known = read_objection(path.read_text("utf-8"), file=str(path))
    if known.closed_on is not None:
        raise BlocklistError(f"It was closed on {known.closed_on}.", name, "Open a new one for new facts.")
    return known


def _entries(known: Objection) -> list[tuple[str, str]]:
    """Host (with folder) and decision of each entry."""
    parts = (entry.partition("/") for entry in known.entries)
    return [(place.partition(":")[2], decision) for decision, _, place in parts]


def _write(folder: Path, one: Objection) -> None:
    write_text(_path(folder, one.id), write_objection(one))


def _show(one: Objection, lines: list[str], *, as_json: bool) -> None:
    dates = [f"{what} by {day}" for day, what in due(one)]
    show({"objection": one, "due": [step._asdict() for step in due(one)]}, [*lines, *dates], as_json=as_json)
