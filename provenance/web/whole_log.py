"""Pages of the log itself: runs and rules, checkpoints, the blocklist on a day, and the whole log verified."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from blocklists.match import Blocklist, read_lines
from blocklists.model import ENFORCED, BlocklistError, ListingDecision
from blocklists.model import Entry as Listed
from provenance.checkpoint import CheckpointError, open_by_any
from provenance.entry import ConfigEntry, RunEntry
from provenance.kept_rules import RulesError
from provenance.lookup import Row
from provenance.proof import read_keys
from provenance.warcfile import open_regular
from provenance.web import checks, listing
from provenance.web.asked import NO_SUCH_PLACE, Asked, book_of, reasons
from provenance.web.finding import newest
from provenance.web.jobs import Jobs
from provenance.web.rendering import render
from provenance.web.shelf import Book
from reservations.urls import UrlError

_MAX_CONFIGS: Final = 1_000
#: A longer list is asked, name by name, and not shown.
_MAX_LIST_BYTES: Final = 64 * 1024 * 1024
_LISTED: Final = (
    listing.Column("host", "Name", "code"),
    listing.Column("match", "Reaches"),
    listing.Column("path", "Folder", "code"),
    listing.Column("status", "Status"),
    listing.Column("in_force", "Kept out that day", "yes"),
    listing.Column("decision", "Decision", "code"),
    listing.Column("authority", "Authority"),
    listing.Column("country", "Country"),
    listing.Column("date", "Decided", "day"),
    listing.Column("reference", "Reference"),
)


def runs(asked: Asked) -> Response:
    """Runs, rules, seals, finished files, later changes."""
    wanted = listing.others()
    try:
        rows = (
            [] if asked.query.get("format") else listing.page(asked.look, wanted, asked.query.get("after", ""), {}).rows
        )
    except ValueError as error:
        raise HTTPException(400, NO_SUCH_PLACE) from error
    return asked.list("runs.html", wanted, found=checks.read_entries(asked.look, {row["seq"] for row in rows}))


def checkpoints(asked: Asked) -> Response:
    """The signed heads, each with its signature checked."""
    keys = read_keys(asked.book.out / "log")

    def opened(text: str) -> dict[str, Any]:
        try:
            head = open_by_any(text.encode(), keys)
        except CheckpointError as error:
            return {"fault": str(error)}
        return {"fault": "", "size": head.size, "root": head.root.hex()}

    return asked.list("checkpoints.html", listing.checkpoints(), opened=opened)


# -- the blocklist -----------------------------------------------------------------------------------------------------


def blocklist(asked: Asked) -> Response:
    """The blocklist as it stood on a day: which build was in force, and what it kept out."""
    on, config = _in_force(asked)
    run = newest(asked.look, "run").get("run")
    text = asked.query.get("q", "").strip()
    values: dict[str, Any] = {"on": on, "config": config, "run": run if isinstance(run, RunEntry) else None, "q": text}
    rows: list[Row] = []
    fault = answer = ""
    if config is not None and config.blocklist:
        try:
            build = asked.book.rules(config).blocklist
            answer = _asked_of(build, text, on) if build and text else ""
            rows = _rows(asked.book, config, on)
        except (RulesError, BlocklistError, OSError) as error:
            fault = f"The list cannot be read: {error}. Restore log/rules/ from a copy."
    if text:
        rows = [row for row in rows if text.lower() in row["host"]]
    if asked.query.get("format"):
        return asked.file(f"blocklist-{on}", _LISTED, rows)
    try:
        listed = listing.Listing("blocklist", f"Names on the blocklist as it stood on {on}", _LISTED)
        page = listing.part(listed, rows, asked.query.get("after", ""), asked.query)
    except ValueError as error:
        raise HTTPException(400, NO_SUCH_PLACE) from error
    return asked.page("blocklist.html", page=page, total=len(rows), fault=fault, answer=answer, **values)


def _in_force(asked: Asked) -> tuple[dt.date, ConfigEntry | None]:
    """The day asked for, else that of the last entry, and the rules that were in force at its end."""
    try:
        text = asked.query.get("at", "")
        last = dt.datetime.fromtimestamp(asked.look.span()[1] / 1000, dt.UTC).date()
        on = dt.date.fromisoformat(text) if text else last
    except (ValueError, OverflowError) as error:
        raise HTTPException(400, "That is no day. Write it as 2026-11-22.") from error
    end = int(dt.datetime.combine(on, dt.time.max, dt.UTC).timestamp() * 1000)
    sql = "SELECT seq FROM other WHERE kind = 'config' AND at <= ? ORDER BY seq DESC LIMIT 1"
    row = asked.look.row(sql, end)
    entry = checks.read_entries(asked.look, {row["seq"]}).get(row["seq"]) if row else None
    return on, entry if isinstance(entry, ConfigEntry) else None


def _asked_of(listed: Blocklist, text: str, on: dt.date) -> str:
    """What the list says of a URL or name, by the function that decides."""
    try:
        hit = listed.match(text, on)
    except UrlError as error:
        return f"{error}. Write a host name or a whole URL."
    if hit is None:
        return f"{text} was not on the list on {on}."
    state = "kept out, the entry being suspended" if hit.held else "kept out"
    by = ", ".join(part for part in (hit.authority, hit.country, hit.reference, hit.date.isoformat()) if part)
    return f"{text} was {state} on {on}: {hit.match} {hit.host}{hit.path}, decision {hit.decision} ({by})."


def _rows(book: Book, config: ConfigEntry, on: dt.date) -> list[Row]:
    """What the list holds, by name."""
    name = f"blocklist-{config.blocklist.removeprefix('sha256:')}.jsonl"
    with open_regular(book.out / "log" / "rules" / name) as file:  # the digest in it was compared by `Book.rules`
        octets = file.read(_MAX_LIST_BYTES + 1)
    if len(octets) > _MAX_LIST_BYTES or hashlib.sha256(octets).hexdigest() not in config.blocklist:
        return []
    lines = read_lines(octets)
    decisions = {line.id: line for line in lines if isinstance(line, ListingDecision)}
    listed = [line for line in lines if isinstance(line, Listed) and line.decision in decisions]
    return [_row(one, decisions[one.decision], on) for one in sorted(listed, key=lambda one: (one.host, one.path))]


def _row(entry: Listed, decision: ListingDecision, on: dt.date) -> Row:
    told = msgspec.to_builtins(entry) | {
        "authority": decision.authority,
        "country": decision.country,
        "date": decision.date.isoformat(),
        "reference": decision.reference,
        "in_force": entry.status in ENFORCED and not decision.lapsed(on),
    }
    return {column.name: told.get(column.name, "") for column in _LISTED}


# -- the whole log -----------------------------------------------------------------------------------------------------


def verification(asked: Asked) -> Response:
    """The last verification of the whole log, how far it is, or the button that starts one."""
    jobs: Jobs = asked.request.app.state.jobs
    return asked.page("verify.html", job=jobs.get(asked.book.name), told=reasons())


def verify(request: Request) -> Response:
    """Start a verification of the whole log, unless one runs."""
    book = book_of(request)
    jobs: Jobs = request.app.state.jobs
    jobs.start(book)
    return RedirectResponse(f"/{book.name}/verify", status_code=303)


def progress(request: Request) -> Response:
    """How far a verification is, for the page's script."""
    jobs: Jobs = request.app.state.jobs
    job = jobs.get(book_of(request).name)
    if job is None:
        raise HTTPException(404, "No verification was started.")
    return JSONResponse({"done": job.done, "step": job.step, "percent": job.percent})


def missing(request: Request, status: int, what: str) -> Response:
    """What went wrong, and what to do."""
    return render(request, "error.html", status=status, what=what, status_code=status)
