"""`knockfirst review`: what is held for a person, its evidence, and the decision of that person as data.

Reads logs and writes one TOML file in the operator's folder (KNOCKFIRST_DATA); the next crawl reads it, and its digest
stands in the rules. What sites wrote goes through `terminal.plain`. Exit codes: 0 done, 1 not done (nothing is held, or
the decision has faults), 2 the log or the folder cannot be read.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, NoReturn

import msgspec
import typer

from provenance.entry import DecisionEntry, RunEntry
from provenance.log import LogError, read_entries
from provenance.rules import Rules, site_reviews
from provenance.terminal import plain
from reservations.access.reviews import MOST_DAYS, REVIEWS_FILE, Reviews, SiteReview
from reservations.datafile import DefinitionError
from reservations.model import Value, Verdict
from reservations.urls import UrlError, origin_of

Out = Annotated[Path, typer.Argument(metavar="OUT", help="Output folder of a crawl: the one that holds log/.")]
Host = Annotated[str, typer.Argument(metavar="HOST", help="The site, as the list names it.")]
Data = Annotated[
    Path | None, typer.Option("--data", envvar="KNOCKFIRST_DATA", help="The operator's folder with the decisions.")
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]

_SHOWN: Final = 20
HEAD: Final = """\
# What people decided on sites that rules could not judge. Written by `knockfirst review decide`; may be edited by hand
# and is checked before every crawl. A decision counts for its site and reason alone, and until it expires.
"""

app = typer.Typer(name="review", help="What is held for a person: list it, look at it, decide.", no_args_is_help=True)


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """Held pages of one site for one reason.

    Attributes:
        host, reason: the site, and what could not be determined.
        count: pages; url: the first of them; entry: its place in the log.
        settled: the decision that counts today, in words; empty when there is none.
    """

    host: str
    reason: str
    count: int
    url: str
    entry: int
    settled: str = ""


@app.command("list", epilog="Example: knockfirst review list out/web --data my-rules")
def list_held(out: Out, *, data: Data = None, as_json: Json = False) -> None:
    """List what is held, by site and reason, and what of it is settled already."""
    groups = _groups(out)
    reviews = _reviews(data)
    rows = [
        Pending(
            host=host,
            reason=reason,
            count=len(entries),
            url=entries[0].url,
            entry=entries[0].seq,
            settled=_settled(reviews, entries[0], reason),
        )
        for (host, reason), entries in sorted(groups.items())
    ]
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(rows), indent=2))
        return
    if not rows:
        typer.echo("Nothing is held.")
    for row in rows:
        pages = "page" if row.count == 1 else "pages"
        typer.echo(plain(f"{row.host}  {row.reason}  {row.count} {pages}, the first: {row.url}"))
        typer.echo(plain(f"    {row.settled}" if row.settled else "    not decided"))


@app.command(epilog="Example: knockfirst review show out/web news.example")
def show(out: Out, host: Host, *, as_json: Json = False) -> None:
    """Show why pages of a site are held: what was seen, in the page's own words, and where the evidence lies."""
    found = [entry for (site, _), entries in sorted(_groups(out).items()) if site == host for entry in entries]
    if not found:
        typer.echo(plain(f"{host}: nothing of it is held in {out}"), err=True)
        raise typer.Exit(1)
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(found), indent=2))
        return
    reasons = Rules.load(tokens=("KnockfirstBot",)).registry.reasons
    for reason in sorted({entry.reason for entry in found}):
        typer.echo(plain(f"{reason}: {reasons.get(reason, 'a reason of your own rules')}"))
    for entry in found[:_SHOWN]:
        for line in _evidence(entry):
            typer.echo(plain(line))
    if len(found) > _SHOWN:
        typer.echo(f"... and {len(found) - _SHOWN} more; --json shows all")


@app.command(
    epilog="Example: knockfirst review decide out/web news.example access.unclear open --data my-rules "
    "--by 'A. Example' --why 'The script only counts readers: asked the publisher' --expires 2027-05-01"
)
def decide(
    out: Out,
    host: Host,
    reason: Annotated[str, typer.Argument(metavar="REASON", help="The reason code it is held for.")],
    finding: Annotated[
        str, typer.Argument(metavar="open|closed", help="open: nothing is restricted; closed: refuse it.")
    ],
    *,
    by: Annotated[str, typer.Option(help="Your name: it stands in the rules of every crawl.")],
    why: Annotated[str, typer.Option(help="The reason in words, at least ten characters.")],
    expires: Annotated[str, typer.Option(help=f"Last day on which it counts, at most {MOST_DAYS} days ahead.")],
    path: Annotated[str, typer.Option(help="Only for pages at or below this path.")] = "/",
    decided: Annotated[str, typer.Option(help="Day of the decision; default: today.")] = "",
    data: Data = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written, and write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Decide on a site that is held. Counts from the next start of a crawl, for this site and reason alone."""
    if data is None:
        fail("--data or KNOCKFIRST_DATA: name the folder that holds the operator's own rules", 2)
    held = _groups(out).get((host, reason))
    if not held:
        fail(f"{host}: nothing of it is held for {reason} in {out}; `knockfirst review list` shows what is", 1)
    row = {
        "host": host,
        "path": path,
        "reason": reason,
        "finding": finding,
        "by": by,
        "why": why,
        "decided": decided or dt.datetime.now(dt.UTC).date().isoformat(),
        "expires": expires,
        "evidence": f"{_origin(out)}, entry {held[0].seq}",
    }
    table = toml_table("sites", row)
    text = (filed_text(data) or HEAD) + table
    try:
        Reviews.from_toml(text)
    except DefinitionError as error:
        fail("\n".join(str(fault) for fault in error.faults), 1)
    if not dry_run:
        write_whole(data / REVIEWS_FILE, text)
    if as_json:
        typer.echo(json.dumps({"file": str(data / REVIEWS_FILE), "written": not dry_run, "decision": row}))
    else:
        typer.echo(plain(f"{'Would write' if dry_run else 'Written'} to {data / REVIEWS_FILE}:"))
        typer.echo(plain_lines(table))


def plain_lines(text: str) -> str:
    """Several lines for a terminal."""
    return "\n".join(plain(line) for line in text.strip().splitlines())


def _groups(out: Path) -> dict[tuple[str, str], list[DecisionEntry]]:
    """Final entries that wait for a person, by site and reason."""
    held: dict[str, DecisionEntry] = {}
    try:
        for _, entry in read_entries(out / "log"):
            if isinstance(entry, DecisionEntry) and entry.final:
                held.pop(entry.url, None)
                if _waits(entry):
                    held[entry.url] = entry
    except (OSError, LogError, ValueError) as error:
        fail(str(error), 2)
    groups: dict[tuple[str, str], list[DecisionEntry]] = {}
    for entry in held.values():
        groups.setdefault((_host(entry.url), entry.reason), []).append(entry)
    return groups


def _waits(entry: DecisionEntry) -> bool:
    """Whether it is held, or was left out because somebody would have to look (profile `strict`)."""
    if entry.reason == "blocklist.listed":
        return False  # the staff of the list decides, with verbs of its own
    return entry.verdict is Verdict.HELD or entry.reason == "access.unclear"


def _host(url: str) -> str:
    try:
        return origin_of(url).host
    except UrlError:
        return ""


def _settled(reviews: Reviews, entry: DecisionEntry, reason: str) -> str:
    today = dt.datetime.now(dt.UTC).date().isoformat()
    path = "/" + entry.url.split("/", 3)[3].partition("?")[0] if entry.url.count("/") > 2 else "/"  # noqa: PLR2004
    site = next(
        (
            site
            for site in reviews.sites
            if site.host == _host(entry.url) and site.reason == reason and site.covers(path, today)
        ),
        None,
    )
    return _told(site) if site else ""


def _told(site: SiteReview) -> str:
    return f"decided: {site.finding}, by {site.by} on {site.decided}, until {site.expires}: {site.why}"


def _evidence(entry: DecisionEntry) -> Iterator[str]:
    yield ""
    yield f"{entry.url}  ({entry.ts}, entry {entry.seq})"
    for signal in entry.signals:
        unknown = Value.UNDETERMINABLE in (*signal.effective.values(), *signal.strict.values())
        mark = "held for" if unknown else "also seen"
        odd = f"; odd: {', '.join(signal.issues)}" if signal.issues else ""
        yield f'  {mark}: {signal.reason}, {signal.src}, {signal.loc}: "{signal.rule}"{odd}'
    for pointer in entry.warc:
        yield f"  record: {pointer.type} in {pointer.f} at {pointer.o}, <{pointer.id}>"
    if entry.d:
        yield f"  the body was not kept; its digest: {entry.d}"


def _origin(out: Path) -> str:
    for _, entry in read_entries(out / "log"):
        if isinstance(entry, RunEntry):
            return entry.origin
    return out.name


def toml_table(name: str, row: Mapping[str, str]) -> str:
    """A row of the file, as text to append to it."""
    return f"\n[[{name}]]\n" + "".join(f"{key} = {json.dumps(row[key], ensure_ascii=False)}\n" for key in row)


def filed_text(data: Path) -> str:
    """The file as it stands, empty when there is none."""
    try:
        return site_reviews(data)
    except OSError as error:
        fail(str(error), 2)


def _reviews(data: Path | None) -> Reviews:
    try:
        return Reviews.from_toml(filed_text(data) if data else "")
    except DefinitionError as error:
        fail("\n".join(str(fault) for fault in error.faults), 2)


def write_whole(path: Path, text: str) -> None:
    """The whole file or none of it."""
    beside = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        fail(f"{path} cannot be written: {error}", 2)


def fail(what: str, code: int) -> NoReturn:
    """Say what is wrong, and end with this exit code."""
    typer.echo(plain_lines(what), err=True)
    raise typer.Exit(code)
