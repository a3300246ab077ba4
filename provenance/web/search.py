"""What a text in the search field leads to: an entry's number, a URL, a site, a digest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlencode

from provenance.lookup import Lookup
from provenance.web.listing import number
from provenance.web.shelf import Book
from reservations.urls import UrlError, canonical_url, origin_of

_MAX_HITS = 50


class Hit(NamedTuple):
    """Something found.

    Attributes:
        log: name of the log; address: of the page about it; what: what it is, in words.
    """

    log: str
    address: str
    what: str


def find(book: Book, look: Lookup, text: str) -> list[Hit]:
    """What a log has on a text."""
    return [Hit(book.name, f"/{book.name}/{address}", what) for address, what in _places(look, text)]


def _places(look: Lookup, text: str) -> Iterator[tuple[str, str]]:
    seq = number(text)
    if seq is not None:
        if seq < look.size:
            yield f"entry/{seq}", f"entry {seq}"
        return
    rows = look.with_digest(text.lower(), _MAX_HITS)
    if rows:
        for row in rows:
            yield f"entry/{row['seq']}", f"entry {row['seq']}, {row['kind']}: {row['url'] or 'of the log itself'}"
        return
    if "/" in text:
        for url in _spellings(text):
            newest = look.entry_on(url)
            if newest is not None:
                yield f"url?of={newest}", f"URL {url}"
                return
    name = _host(text)
    while name and look.site(name) is None:  # sites stand there by registrable domain
        name = name.partition(".")[2]
    if name:
        yield f"site?{urlencode({'name': name})}", f"site {name}"


def _spellings(text: str) -> Iterator[str]:
    """The URL as given, and in canonical form."""
    yield text
    for candidate in (text, f"https://{text}", f"http://{text}"):
        try:
            yield canonical_url(candidate)
        except UrlError:
            continue


def _host(text: str) -> str:
    """The host of a URL, or of a text that may be one; empty when there is none."""
    try:
        return origin_of(canonical_url(text if "://" in text else f"https://{text}")).host
    except UrlError:
        return ""
