"""What every page about a log is made from, and the ways to answer: a page, a list, a list as a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from provenance.lookup import Lookup, Row
from provenance.rules import shipped_protocols
from provenance.web import listing
from provenance.web.rendering import render
from provenance.web.shelf import Book, Shelf
from reservations.reasons import CORE
from reservations.registry import Registry

NO_SUCH_PLACE = "The address names no place in this list. Begin at its start."


class Asked(NamedTuple):
    """One request about one log."""

    request: Request
    book: Book
    look: Lookup

    @property
    def query(self) -> Mapping[str, str]:
        """What stands behind the question mark."""
        return self.request.query_params

    def page(self, template: str, **values: Any) -> Response:
        """The page of a template."""
        return render(self.request, template, book=self.book, look=self.look, **values)

    def list(self, template: str, rows: listing.Listing, **values: Any) -> Response:
        """A list: the part asked for as a page, or the whole of it in another format."""
        if self.query.get("format"):
            return self._whole(rows)
        try:
            page = listing.page(self.look, rows, self.query.get("after", ""), self.query)
        except ValueError as error:
            raise HTTPException(400, NO_SUCH_PLACE) from error
        return self.page(template, page=page, **values)

    def _whole(self, rows: listing.Listing) -> Response:
        def stream() -> Iterator[Row]:
            with self.book.look() as look:
                yield from listing.whole(look, rows)

        return self.file(rows.name, rows.columns, stream())

    def file(self, name: str, columns: tuple[listing.Column, ...], rows: Iterable[Row]) -> Response:
        """Rows as a file of the format asked for."""
        wanted = self.query.get("format", "")
        form = listing.FORMATS.get(wanted)
        if form is None:
            raise HTTPException(400, f"There is no format {wanted!r}. There are: {', '.join(listing.FORMATS)}.")
        disposition = f'attachment; filename="{self.book.name}-{name}.{wanted}"'
        return StreamingResponse(
            form.write(columns, rows), media_type=form.media_type, headers={"Content-Disposition": disposition}
        )


def about_log(answer: Callable[[Asked], Response]) -> Callable[[Request], Response]:
    """A page about one log as Starlette calls it: the log that the address names, in one state of its index."""

    def endpoint(request: Request) -> Response:
        book = book_of(request)
        with book.look() as look:
            return answer(Asked(request, book, look))

    return endpoint


def book_of(request: Request) -> Book:
    """The log that an address names.

    Raises:
        HTTPException: there is none of that name.
    """
    shelf: Shelf = request.app.state.shelf
    book = shelf.get(request.path_params["log"])
    if book is None:
        raise HTTPException(404, "There is no log of that name here. The start page lists those that are.")
    return book


@cache
def reasons() -> Mapping[str, str]:
    """Every shipped reason code with its sentence."""
    return {**CORE, **Registry.load(shipped_protocols()).reasons}
