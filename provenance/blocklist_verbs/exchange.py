"""Verbs for lists of others: import (proposals, and only with --write) and export."""

from __future__ import annotations

import datetime as dt
import hashlib
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from blocklists import exporters, importers
from blocklists.decisions import PlacedDecision
from blocklists.lint import REVIEW_DAYS, key_of
from blocklists.match import Key, read_lines, read_manifest, wider
from blocklists.model import AuthorityType, BlocklistError, Role, Status
from provenance import builds
from provenance.blocklist_verbs.common import Build, By, Desk, Folder, Json, app, show, today, told, write_text

_SHOWN = 20

ImportFormat = StrEnum("ImportFormat", {name: name for name in importers.FORMATS})  # type: ignore[misc]
ExportFormat = StrEnum("ExportFormat", {name: name for name in exporters.FORMATS})  # type: ignore[misc]


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`sources/<id>.toml`: where a list comes from, and whether it may be used.

    Attributes:
        authority: who publishes it.
        authority_type: court, public_authority or other.
        country: two letters.
        tier: what its names can be at most.
        url: where it is published.
        licence: its licence, in a word.
        licence_allows_use: whether somebody has found that the licence allows this use.
        legal_basis: what the list rests on.
        language: of the list.
        cadence_days: how often it should be looked at.
        contact: whom to write to about mistakes.
    """

    authority: str
    authority_type: AuthorityType
    country: str
    tier: int
    url: str
    licence: str
    licence_allows_use: bool
    legal_basis: str
    language: str
    cadence_days: int
    contact: str


@app.command("import", epilog="Example: knockfirst blocklist import text annex.txt decisions --decision dc-2026-1 ...")
def import_(
    form: Annotated[ImportFormat, typer.Argument(metavar="FORMAT", help=f"One of {', '.join(importers.FORMATS)}.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The list, as it came.")],
    folder: Folder,
    *,
    by: By,
    decision: Annotated[str, typer.Option(help="Propose the names under this decision.")] = "",
    source: Annotated[str, typer.Option(help="Propose them under a decision of sources/<SOURCE>.toml.")] = "",
    write: Annotated[bool, typer.Option("--write", help="Write the proposals; else they are only shown.")] = False,
    as_json: Json = False,
) -> None:
    """Read somebody's list and propose its names. Nothing is enforced by an import: people approve each name."""
    with told(as_json=as_json):
        raw = file.read_bytes()
        digest = hashlib.sha256(raw).hexdigest()
        reading = importers.read(form, _text(raw, file))
        desk = Desk(folder)
        placed, head = _target(desk, decision, source, digest)
        fresh = [found for found in reading.found if not _covered(found, placed)]
        note = f"imported {desk.today}, line {{}} of sha256:{digest[:16]}"
        rows = [_proposal(found, desk.today, by, note.format(found.line)) for found in fresh]
        if placed is not None:
            desk.paper.add_rows(placed, rows)
        elif rows:
            desk.paper.add_decision(f"{source}/{desk.today}.toml", head, rows)
        value = {
            "digest": f"sha256:{digest}",
            "proposed": [found.host for found in fresh],
            "known": len(reading.found) - len(fresh),
            "repeated": reading.repeated,
            "skipped": [one._asdict() for one in reading.skipped],
        }
        done = _told_of(reading, fresh, digest)
        if not write:
            done.append("This was a dry run: add --write to propose these names.")
        desk.write(done, value, dry_run=not write, as_json=as_json, difference=False)
        if write and rows:
            _note_raw(folder, digest, file.name, f"{form}, {source or decision}, {desk.today}, {by}")


@app.command("export", epilog="Example: knockfirst blocklist export hosts blocklist/build > list.txt")
def export_(
    form: Annotated[ExportFormat, typer.Argument(metavar="FORMAT", help=f"One of {', '.join(exporters.FORMATS)}.")],
    build: Build,
    *,
    tier: Annotated[list[int] | None, typer.Option(help="Only this tier; several times for several.")] = None,
    as_json: Json = False,
) -> None:
    """Print the names in force in a format of other programs. To publish a list, take `hashed`."""
    with told(as_json=as_json):
        files, _ = builds.read_build(build)
        lines, manifest = read_lines(files.jsonl), read_manifest(files.manifest)
        found = exporters.export(form, lines, manifest, on=today(), tiers=tier or (1, 2, 3, 4))
        if as_json:
            show(found._asdict(), [], as_json=True)
        else:
            typer.echo(found.text, nl=False)


def _covered(found: importers.Found, placed: PlacedDecision | None) -> bool:
    """Whether the decision has the name already, or a wider one, and did not take it out again."""
    if placed is None:
        return False
    key = Key(found.host, found.match)
    past = (Status.EXPIRED, Status.REMOVED)
    have = {key_of(row.entry) for row in placed.entries if row.entry.status not in past}
    same = {key_of(row.entry) for row in placed.entries}
    return key in same or any(other in have for other in wider(key))


def _text(raw: bytes, file: Path) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        try:
            return raw.decode("cp1252")
        except UnicodeDecodeError as fault:
            raise BlocklistError("It is no text.", str(file), "Save it as UTF-8 text.") from fault


def _target(desk: Desk, decision: str, source: str, digest: str) -> tuple[PlacedDecision | None, dict[str, object]]:
    """The decision that the names go under: one that there is, or the head of a new one."""
    if bool(decision) == bool(source):
        raise BlocklistError("Whose names are they?", "--decision or --source", "Name one of the two.")
    if decision:
        return desk.decision(decision), {}
    path = desk.folder.absolute().parent / "sources" / f"{source}.toml"
    try:
        found = msgspec.convert(tomllib.loads(path.read_text("utf-8")), Source)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as fault:
        keys = ", ".join(Source.__struct_fields__)
        raise BlocklistError(f"It cannot be read: {fault}.", str(path), f"It has the keys {keys}.") from fault
    if not found.licence_allows_use:
        raise BlocklistError(
            f"The licence of the list, {found.licence}, is not known to allow this use.",
            str(path),
            "Read it; if it does, write licence_allows_use = true.",
        )
    name = f"{source}-{desk.today}"
    for placed in desk.book.decisions:
        if placed.decision is not None and placed.decision.id == name:
            return placed, {}
    return None, _head(found, name, desk.today, digest)


def _head(source: Source, name: str, day: dt.date, digest: str) -> dict[str, object]:
    return {
        "id": name,
        "authority": source.authority,
        "authority_type": str(source.authority_type),
        "country": source.country,
        "reference": f"list as of {day}",
        "date": day,
        "legal_basis": source.legal_basis,
        "finding": "Not written yet: read the source and write here what it found, before anybody approves.",
        "document_url": source.url,
        "document_sha256": digest,
        "language": source.language,
        "tier": source.tier,
        "open_ended": True,
        "review_by": day + dt.timedelta(days=min(source.cadence_days, REVIEW_DAYS.get(source.tier, 31))),
    }


def _proposal(found: importers.Found, day: dt.date, by: str, note: str) -> dict[str, object]:
    return {
        "host": found.host,
        "match": str(found.match),
        "role": str(Role.PRIMARY),
        "status": str(Status.PROPOSED),
        "added": day,
        "added_by": by,
        "note": note,
    }


def _told_of(reading: importers.Reading, fresh: list[importers.Found], digest: str) -> list[str]:
    known = len(reading.found) - len(fresh)
    lines = [f"{len(fresh)} names to propose, {known} known already, {reading.repeated} repeated; sha256:{digest}"]
    lines += [f"+ {found.match} {found.host}" for found in fresh[:_SHOWN]]
    if len(fresh) > _SHOWN:
        lines.append(f"+ ... and {len(fresh) - _SHOWN} more")
    lines += [f"passed over, line {one.line}: {one.text}: {one.why}" for one in reading.skipped[:_SHOWN]]
    if len(reading.skipped) > _SHOWN:
        lines.append(f"passed over: ... and {len(reading.skipped) - _SHOWN} more lines")
    return lines


def _note_raw(folder: Path, digest: str, name: str, about: str) -> None:
    """One line more in `evidence/MANIFEST`: which raw list was imported; the file itself may be kept elsewhere."""
    path = folder.absolute().parent / "evidence" / "MANIFEST"
    known = path.read_text("utf-8") if path.exists() else ""
    shown = name.replace("\n", " ")
    write_text(path, f"{known}{digest}  {shown}  ({about})\n")
