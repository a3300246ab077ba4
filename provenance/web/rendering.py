"""Templates, and the one way from text to a page: whatever a template puts out goes through `escaping.in_html`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from provenance.entry import timestamp
from provenance.escaping import in_html
from provenance.web.listing import FORMATS, Page

_KIB: Final = 1024
_SHORT: Final = 120


def _escaped(value: Any) -> Any:
    """A value as it stands in a page. Only what was made here (`Markup`) passes as it is."""
    if isinstance(value, Markup):
        return value
    return Markup(in_html("" if value is None else str(value)))  # noqa: S704 - this is the one function that escapes


def defanged(url: str) -> str:
    """A URL that no program takes for a link, for places where it would be one.

    >>> defanged("https://example.org/a")
    'hxxps://example.org/a'
    """
    return f"hxxp{url[4:]}" if url[:4].lower() == "http" else url


def short(text: str, most: int = _SHORT) -> str:
    """A text that fits where it stands; its middle is left out."""
    return text if len(text) <= most else f"{text[: most * 2 // 3]}[...]{text[-most // 4 :]}"


def octets(count: int | None) -> str:
    """A number of octets, for people.

    >>> octets(3_500_000)
    '3.3 MiB'
    """
    if count is None:
        return ""
    amount, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    while amount >= _KIB and len(units) > 1:
        amount /= _KIB
        units.pop(0)
    return f"{count} B" if units[0] == "B" else f"{amount:.1f} {units[0]}"


def when(ms: int | None) -> str:
    """Milliseconds since 1970 as a time, UTC."""
    try:
        return timestamp(ms).replace("T", " ").removesuffix("Z")[:19] if ms else ""
    except (ValueError, OverflowError):
        return ""


def address(path: str, /, **query: Any) -> str:
    """An address of ours, with what stands behind its question mark."""
    return f"{path}?{urlencode({name: value for name, value in query.items() if value != ''})}" if query else path


def of_page(page: Page, **more: Any) -> str:
    """The address of another part or format of a list."""
    query: Mapping[str, Any] = {**page.query, **more}
    return f"?{urlencode(query)}"


_environment: Final = Environment(
    loader=PackageLoader("provenance.web"),
    autoescape=True,
    finalize=_escaped,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= {"defanged": defanged, "short": short, "octets": octets, "when": when}
_environment.globals |= {"address": address, "of_page": of_page, "formats": FORMATS}


def render(request: Request, name: str, *, status_code: int = 200, **values: Any) -> Response:
    """The page of a template."""
    page = _environment.get_template(name).render(
        {"book": None, "look": None, "logs_shown": list(request.app.state.shelf)} | values
    )
    return HTMLResponse(page.encode("utf-8", "replace"), status_code=status_code)
