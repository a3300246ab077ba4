"""Who we say we are: one product token, sent in every request, matched in robots.txt, written into the WARC.

RFC 9309 2.2.1 allows letters, "-" and "_" in a product token; RFC 9110 10.1.5 gives the form of the header.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from reservations._version import __version__

#: A group for this token binds every operator, whatever token they chose.
HOUSE_TOKEN: Final = "KnockfirstBot"

_TOKEN = re.compile(r"[A-Za-z_-]{1,64}\Z")
_HEADER_TEXT = re.compile(r"[\x21-\x7e]+( [\x21-\x7e]+)*\Z")
#: Names of other people's crawlers and browsers are no identity of ours.
_BORROWED = ("mozilla", "googlebot", "bingbot", "gptbot", "ccbot", "claudebot", "scrapy")


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """The operator as sites see them.

    Attributes:
        token: the product token.
        operator: name of the organisation that answers for the crawl.
        contact: an https URL or e-mail address where a site can object.
    """

    token: str
    operator: str
    contact: str

    @property
    def tokens(self) -> tuple[str, ...]:
        """Every token whose robots.txt groups bind us, our own first."""
        return (self.token,) if self.token == HOUSE_TOKEN else (self.token, HOUSE_TOKEN)

    @property
    def user_agent(self) -> str:
        """The User-Agent field as sent."""
        return f"{self.token}/{__version__} (+{self.contact}; {self.operator})"


def token_fault(token: str) -> str | None:
    """What is wrong with a product token, or None."""
    if not _TOKEN.match(token):
        return "a product token is 1 to 64 letters, '-' or '_' (RFC 9309 2.2.1), for example ExampleBot"
    if token.lower() in _BORROWED:
        return f"{token} is somebody else's name; choose your own or leave the default {HOUSE_TOKEN}"
    return None


def text_fault(text: str) -> str | None:
    """What is wrong with an operator's name or contact for use in a header field, or None."""
    if not _HEADER_TEXT.match(text) or any(c in text for c in "()\\;") or len(text) > 200:  # noqa: PLR2004
        return "use 1 to 200 printable ASCII characters without ( ) ; \\"
    return None


def contact_fault(contact: str) -> str | None:
    """What is wrong with a contact, or None: it must be an https URL or an e-mail address."""
    if not re.match(r"https?://[^/\s]+\.[^\s]+\Z|[^@\s]+@[^@\s]+\.[^@\s]+\Z", contact):
        return "give an https URL of your crawler's page or an e-mail address, so that sites can object"
    return text_fault(contact)
