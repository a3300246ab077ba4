"""The auditors' pages as an ASGI application, and what stands around it.

Nothing that was archived is rendered or executed: the browser is told to load nothing but our style sheet and our one
script (CSP), to send no referrer, to guess no type and to keep nothing. A page is given only to who asks for it under
a name that is ours, so that no other site's page can read it through a name of its own (DNS rebinding).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Collection
from importlib.resources import files
from typing import Final

import anyio
from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from provenance.proof import ProofError
from provenance.segments import LogError
from provenance.web import entries, finding, whole_log
from provenance.web.asked import about_log
from provenance.web.jobs import Jobs
from provenance.web.shelf import Shelf

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
#: How often the indexes take in what running crawls have written.
REFRESH_S: Final = 2.0

_CSP: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    (b"content-security-policy", _CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_STATIC: Final = {
    "pages.css": "text/css; charset=utf-8",
    "pages.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


def application(shelf: Shelf, *, hosts: Collection[str] = ()) -> ASGIApp:
    """The pages of these logs.

    Args:
        shelf: the logs; their indexes have been made.
        hosts: names beside loopback's under which the pages may be asked for.
    """
    inside = Starlette(
        routes=_routes(),
        exception_handlers={
            HTTPException: _refused,
            LogError: _unreadable,
            ProofError: _unreadable,
            OSError: _unreadable,
            OverflowError: _not_understood,
            Exception: _broken,
        },
        lifespan=_lifespan,
    )
    inside.state.shelf, inside.state.jobs = shelf, Jobs()
    return _Guard(inside, LOOPBACK | set(hosts))


def _routes() -> list[Route]:
    """Every address there is."""
    return [
        Route("/", finding.start),
        Route("/search", finding.search),
        Route("/static/{name}", _static),
        Route("/{log}", about_log(finding.log)),
        Route("/{log}/sites", about_log(finding.sites)),
        Route("/{log}/attempts", about_log(finding.attempts)),
        Route("/{log}/site", about_log(finding.site)),
        Route("/{log}/document", about_log(finding.document)),
        Route("/{log}/url", about_log(finding.url)),
        Route("/{log}/entry/{seq:int}", about_log(entries.entry)),
        Route("/{log}/entry/{seq:int}/line", about_log(entries.line)),
        Route("/{log}/entry/{seq:int}/text", about_log(entries.text)),
        Route("/{log}/entry/{seq:int}/proof", about_log(entries.proof)),
        Route("/{log}/entry/{seq:int}/verify", about_log(entries.verify), methods=["POST"]),
        Route("/{log}/runs", about_log(whole_log.runs)),
        Route("/{log}/checkpoints", about_log(whole_log.checkpoints)),
        Route("/{log}/blocklist", about_log(whole_log.blocklist)),
        Route("/{log}/verify", about_log(whole_log.verification)),
        Route("/{log}/verify", whole_log.verify, methods=["POST"]),
        Route("/{log}/verify/progress", whole_log.progress),
    ]


@contextlib.asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    """While the server runs, indexes follow the logs."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_follow, app.state.shelf)
        yield
        tasks.cancel_scope.cancel()


async def _follow(shelf: Shelf) -> None:
    while True:
        await anyio.sleep(REFRESH_S)
        for book in shelf:
            with contextlib.suppress(OSError, LogError):  # the pages that read the log say what is wrong with it
                await to_thread.run_sync(book.update)


def _static(request: Request) -> Response:
    media_type = _STATIC.get(request.path_params["name"])
    if media_type is None:
        raise HTTPException(404, "There is no such file.")
    octets = files("provenance.web").joinpath("static", request.path_params["name"]).read_bytes()
    return Response(octets, media_type=media_type)


# -- what went wrong ---------------------------------------------------------------------------------------------------


def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else ""
    told = {404: "There is no page at this address.", 405: "Pages are only read: ask with GET."}
    generic = {"Not Found", "Method Not Allowed"}
    return whole_log.missing(request, status, told[status] if detail in generic else detail)


def _unreadable(request: Request, error: Exception) -> Response:
    return whole_log.missing(request, 500, f"{error}.")


def _not_understood(request: Request, _error: Exception) -> Response:
    return whole_log.missing(request, 400, "A number in the address is larger than any that a log has.")


def _broken(request: Request, error: Exception) -> Response:
    what = f"The page could not be made ({type(error).__name__}). The server's own output says where."
    return whole_log.missing(request, 500, what)


class _Guard:
    """Around everything: who may ask, and what every answer says to the browser."""

    def __init__(self, inside: ASGIApp, hosts: Collection[str]) -> None:
        self._inside = inside
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inside(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        fault = self._fault(scope)
        if fault:
            await Response(fault + "\n", 403, media_type="text/plain")(scope, receive, send_with_headers)
        else:
            await self._inside(scope, receive, send_with_headers)

    def _fault(self, scope: Scope) -> str:
        """Why this is not answered; empty when it is."""
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        host = given[0] if len(given) == 1 else ""
        if _name_of(host) not in self._hosts:
            return "These pages are not served under that name. Name it with --host-name when you start the server."
        if scope["method"] == "POST" and not _is_own(scope, host):
            return "Only the pages themselves may ask for a verification."
        return ""


def _is_own(scope: Scope, host: str) -> bool:
    """Whether a page of ours sent the request. With no referrer, forms have the origin "null": Fetch Metadata tells."""
    fields = {name: value.decode("latin-1") for name, value in scope["headers"]}
    site = fields.get(b"sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = fields.get(b"origin")
    return origin is None or origin.partition("://")[2] == host


def _name_of(host: str) -> str:
    """The name in a Host field, without its port."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()
