"""Pages by which things are found: start, search, one log at a glance, sites, attempts, one site, one URL."""

from __future__ import annotations

from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from provenance.entry import Entry
from provenance.index import ALL_SITES, url_number
from provenance.lookup import Lookup, Row
from provenance.web import charts, checks, listing
from provenance.web.asked import Asked, reasons
from provenance.web.rendering import render
from provenance.web.search import find

_TOP: Final = 15
_MAX_CHANGES: Final = 200
_MAX_DOCUMENTS: Final = 200
_DOCUMENTS: Final = (
    "SELECT authority, name, count(*) AS fetches, count(DISTINCT d || ' ' || outcome) AS versions, min(at) AS first, "
    "max(at) AS last, max(seq) AS seq, outcome FROM document WHERE site = ? GROUP BY authority, name "
    "ORDER BY authority, name LIMIT ?"
)


def start(request: Request) -> Response:
    """The logs, and the field to search them."""
    logs = []
    for book in request.app.state.shelf:
        with book.look() as look:
            logs.append((book, look.size, look.span(), _sums(look, ALL_SITES)[0], look.fault))
    return render(request, "start.html", logs=logs)


def search(request: Request) -> Response:
    """What a text leads to: the page itself when there is one, else a choice, else what to do."""
    text = request.query_params.get("q", "").strip()
    wanted = request.query_params.get("log", "")
    hits = []
    for book in request.app.state.shelf:
        if text and wanted in {"", book.name}:
            with book.look() as look:
                hits += find(book, look, text)
    if len(hits) == 1:
        return RedirectResponse(hits[0].address, status_code=303)
    return render(request, "search.html", text=text, hits=hits)


def log(asked: Asked) -> Response:
    """One log at a glance: verdicts over time, reasons, sites."""
    look = asked.look
    verdicts, by_reason = _sums(look, ALL_SITES)
    busiest = look.rows("SELECT * FROM site WHERE attempts > 0 ORDER BY attempts DESC, id DESC LIMIT ?", _TOP)
    return asked.page(
        "log.html",
        timeline=charts.counted(look, None, "verdict"),
        reasons_over_time=charts.counted(look, None, "reason"),
        verdicts=verdicts,
        reasons=by_reason,
        reason_bars=charts.bars([(row["reason"], row["n"]) for row in by_reason[:_TOP]]),
        sites=busiest,
        site_bars=charts.bars([(row["name"], row["attempts"]) for row in busiest]),
        span=look.span(),
        about=newest(look, "run", "config"),
        told=reasons(),
    )


def _sums(look: Lookup, site: int) -> tuple[list[Row], list[Row]]:
    """Attempts by verdict and by reason, the most first."""
    sql = "SELECT {0}, sum(n) AS n FROM tally WHERE site = ? AND unit = 86400 GROUP BY {0} ORDER BY n DESC, {0}"
    return look.rows(sql.format("verdict"), site), look.rows(sql.format("reason"), site)


def newest(look: Lookup, *kinds: str) -> dict[str, Entry]:
    """The newest entry of each of these kinds, by kind."""
    found = {}
    for kind in kinds:
        row = look.row("SELECT max(seq) AS seq FROM other WHERE kind = ?", kind)
        seq = row["seq"] if row else None
        if seq is not None and (entry := checks.read_entries(look, {seq}).get(seq)):
            found[kind] = entry
    return found


def sites(asked: Asked) -> Response:
    """All sites, the busiest first."""
    return asked.list("list.html", listing.sites(), heading="Sites", told="")


def attempts(asked: Asked) -> Response:
    """Attempts with a verdict, for a reason, or all."""
    verdict, reason = asked.query.get("verdict", ""), asked.query.get("reason", "")
    heading = "Attempts" + (f" that ended as {verdict}" if verdict else "") + (f", reason {reason}" if reason else "")
    rows = listing.attempts(verdict=verdict, reason=reason)
    return asked.list("list.html", rows, heading=heading, told=reasons().get(reason, ""))


def site(asked: Asked) -> Response:
    """One site: verdicts over time, what it said and when, what is held of it, every attempt."""
    row = _site(asked)
    look = asked.look
    verdict, reason = asked.query.get("verdict", ""), asked.query.get("reason", "")
    verdicts, by_reason = _sums(look, row["id"])
    return asked.list(
        "site.html",
        listing.attempts(site=row, verdict=verdict, reason=reason),
        site=row,
        chosen=verdict or reason,
        timeline=charts.counted(look, row, "verdict"),
        reasons_over_time=charts.counted(look, row, "reason"),
        verdicts=verdicts,
        reasons=by_reason,
        documents=look.rows(_DOCUMENTS, row["id"], _MAX_DOCUMENTS),
        told=reasons(),
    )


def _site(asked: Asked) -> Row:
    row = asked.look.site(asked.query.get("name", ""))
    if row is None:
        raise HTTPException(
            404, "The log has no entry of that site. Sites stand there by registrable domain; the search finds them."
        )
    return row


def document(asked: Asked) -> Response:
    """Every fetch of one document of a site."""
    row = _site(asked)
    authority, path = asked.query.get("authority", ""), asked.query.get("path", "")
    sql = "SELECT 1 FROM document WHERE site = ? AND authority = ? AND name = ? LIMIT ?"
    if not asked.look.rows(sql, row["id"], authority, path, 1):
        raise HTTPException(404, "The log has no fetch of that document; the page of the site lists those it has.")
    rows = listing.fetches(authority, path, row["id"])
    return asked.list("document.html", rows, site=row, authority=authority, path=path)


def url(asked: Asked) -> Response:
    """Every attempt at one URL, newest first, and later changes of its status."""
    look = asked.look
    of = listing.number(asked.query.get("of", ""))
    row = look.entry(of) if of is not None else None
    found = (row["url"] if row else asked.query.get("u", "")) or ""
    if not found or look.entry_on(found) is None:
        raise HTTPException(
            404, "The log has no entry on that URL. It was not asked for, or is written otherwise there; try its site."
        )
    sql = "SELECT seq FROM entry WHERE u = ? AND url = ? AND kind = ? ORDER BY seq DESC LIMIT ?"
    changes = look.rows(sql, url_number(found), found, "redecision", _MAX_CHANGES)
    asked_for = look.rows(sql, url_number(found), found, "evidence", _MAX_CHANGES)
    return asked.list(
        "url.html",
        listing.attempts_at(found),
        url=found,
        site=row["site_name"] if row else "",
        changes=list(checks.read_entries(look, {one["seq"] for one in changes}).values()),
        as_evidence=asked_for,
    )
