"""The URL of a frontier on Valkey or Redis: which server, which crawl, how it is laid out; never shown with a password.

`valkey://[user[:password]@]host[:port][/db]?crawl=NAME`, `valkeys://` over TLS. Further parameters:

- `shards` (16): parts that a crawl is laid out in, fixed when it begins; a cluster spreads them over its servers.
- `urls` (10000000): how many URLs the crawl may come to know, fixed when it begins; it sizes the sets of seen URLs.
- `ca`: file with the certificates to trust, in place of the system's; only over TLS.
- `password_file`: file that holds the password. Without it, and without one in the URL: the environment variable
  `KNOCKFIRST_FRONTIER_PASSWORD`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from crawler.frontier.interface import FrontierError

SCHEMES: Final = ("valkey", "valkeys")
PASSWORD_VARIABLE: Final = "KNOCKFIRST_FRONTIER_PASSWORD"

MOST_SHARDS: Final = 1024
BUCKET_URLS: Final = 4096
"""URLs that a set of seen ones is sized for: half of what it may hold before it takes several times the memory."""

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_FORM: Final = "valkey://user@host:6379/0?crawl=NAME (valkeys:// over TLS)"


class Target(msgspec.Struct, frozen=True):
    """What a URL names.

    Attributes:
        shown: the URL without its password.
        host: name or address.
        port: of the server, or of any server of a cluster.
        db: number of the database.
        user: of the access list; "" is the default user.
        password: "" when there is none.
        tls: whether the connection is over TLS.
        ca: file with the certificates to trust; "" are the system's.
        crawl: whose frontier it is; several crawls may share a server.
        shards: how many parts it has.
        buckets: sets of seen URLs per shard.
    """

    shown: str
    host: str
    port: int
    db: int
    user: str
    password: str
    tls: bool
    ca: str
    crawl: str
    shards: int
    buckets: int


def shown(url: str) -> str:
    """A frontier's URL as messages and logs may have it."""
    before, at, host = url.rpartition("@")
    scheme, slashes, login = before.partition("://")
    user, colon, _ = login.partition(":")
    return f"{scheme}{slashes}{user}{':***' if colon else ''}{at}{host}"


def parse(url: str) -> Target:
    """Read a URL.

    Raises:
        FrontierError: it lacks something, or has what is not understood.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
    except ValueError as error:
        raise _refused(url, f"is no URL ({error})") from None
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := options.keys() - {"crawl", "shards", "urls", "ca", "password_file"}:
        raise _refused(url, f"has parameters that mean nothing: {', '.join(sorted(unknown))}")
    if parts.scheme not in SCHEMES or not parts.hostname or parts.fragment:
        raise _refused(url, "names no server")
    if not _NAME.fullmatch(crawl := options.get("crawl", "")):
        raise _refused(url, "names no crawl (letters, digits, '.', '_' and '-', at most 64)")
    tls = parts.scheme == "valkeys"
    if (ca := options.get("ca", "")) and not tls:
        raise _refused(url, "names certificates to trust (ca=), but valkey:// is not over TLS")
    shards = _number(url, "shards", options.get("shards", "16"), MOST_SHARDS)
    urls = _number(url, "urls", options.get("urls", "10000000"), 10**12)
    return Target(
        shown=shown(url),
        host=parts.hostname,
        port=port,
        db=_number(url, "db", parts.path.strip("/") or "0", 10**6, least=0),
        user=unquote(parts.username or ""),
        password=_password(url, unquote(parts.password or ""), options.get("password_file", "")),
        tls=tls,
        ca=ca,
        crawl=crawl,
        shards=shards,
        buckets=-(-urls // (shards * BUCKET_URLS)),
    )


def _refused(url: str, what: str) -> FrontierError:
    return FrontierError(what, where=f"KNOCKFIRST_FRONTIER={shown(url)}", remedy=f"Write {_FORM}.")


def _number(url: str, name: str, text: str, most: int, *, least: int = 1) -> int:
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise _refused(url, f"{name}={text[:20]} is no number from {least} to {most}")
    return int(text)


def _password(url: str, given: str, file: str) -> str:
    if not file:
        return given or os.environ.get(PASSWORD_VARIABLE, "")
    try:
        return Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(url, f"password_file={file} cannot be read ({error})") from None
