"""One spelling per URL: what is asked for, logged, compared with rules and explained is one and the same string.

Follows the URL Standard (https://url.spec.whatwg.org/, sections 3.5, 4.4, 4.5) for http and https, so that a link leads
where a browser would go, and is stricter where nothing is lost by it: labels that DNS cannot hold are refused, a dot at
the end of a host and a question mark with nothing behind it are dropped, and all octets that RFC 3986 does not allow
are percent-encoded, brackets, `|` and `^` too. That makes the form a fixed point of what Scrapy does to the URL of a
request (w3lib `safe_url_string`). Escapes that are there already stay as they are written. Hosts become A-labels by
UTS 46, non-transitional (https://www.unicode.org/reports/tr46/).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from functools import lru_cache
from typing import Final, NamedTuple, Protocol
from urllib.parse import unquote_plus, unquote_to_bytes

import idna

MAX_OCTETS: Final = 8_192
"""Longer URLs are not asked for."""

_MAX_INPUT: Final = 65_536
_MAX_HOST: Final = 253
_MAX_LABEL: Final = 63
_MAX_PORT: Final = 65_535
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_CONTROLS_AND_SPACE: Final = "".join(map(chr, range(0x21)))
_DROPPED: Final = str.maketrans("", "", "\t\n\r")

_UNRESERVED: Final = r"\-A-Za-z0-9._~"
_PATH_OCTETS: Final = _UNRESERVED + "!$&'()*+,;=:@%/"
_QUERY_OCTETS: Final = _UNRESERVED + "!$&()*+,;=:@%/?"

#: What nearly all links look like. Classes without overlap: matched in one pass.
_PLAIN: Final = re.compile(
    rf"(https?)://([a-z0-9.-]+(?::[1-9][0-9]{{0,4}})?)(/[{_PATH_OCTETS}]*)?(\?[{_QUERY_OCTETS}]+)?", re.ASCII
)
_PLAIN_PATH: Final = re.compile(rf"/(?!/)[{_PATH_OCTETS}]*(?:\?[{_QUERY_OCTETS}]+)?", re.ASCII)
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):", re.ASCII)
_LABEL: Final = re.compile(r"[a-z0-9_-]+", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)


def _table(allowed: str) -> tuple[str, ...]:
    plain = re.compile(f"[{allowed}]", re.ASCII)
    return tuple(chr(octet) if plain.fullmatch(chr(octet)) else f"%{octet:02X}" for octet in range(256))


_PATH: Final = _table(_PATH_OCTETS)
_QUERY: Final = _table(_QUERY_OCTETS)
_USERINFO: Final = _table(_UNRESERVED + "!$&()*+,;=:%")

_NO_IPV4: Final = "the host ends in a number, but is no IPv4 address"

_DOT: Final = frozenset({".", "%2e"})
_DOT_DOT: Final = frozenset({"..", ".%2e", "%2e.", "%2e%2e"})


class UrlError(ValueError):
    """A text that is no URL which could be asked for."""

    def __init__(self, url: str, problem: str) -> None:
        super().__init__(f"{url[:200]!r}: {problem}")


class Origin(NamedTuple):
    """Scheme, host and effective port (RFC 6454). `host` is in A-labels, an IPv6 address in brackets."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """`host`, or `host:port` if the port is not the scheme's own."""
        return self.host if self.port == _DEFAULT_PORTS[self.scheme] else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


class Bounds(Protocol):
    """What a policy says about URLs."""

    @property
    def secret_keys(self) -> Collection[str]:
        """Names of query parameters that carry secrets, in lower case."""

    def allows_port(self, port: int, /) -> bool:
        """Whether a URL with this effective port may be asked for."""


class _Parts(NamedTuple):
    scheme: str
    authority: str
    path: str
    query: str
    """With its question mark, or empty."""


def canonical_url(url: str, base: str | None = None) -> str:
    """The one spelling of an absolute http or https URL, without fragment. Userinfo stays, for `faults` to see.

    Args:
        url: absolute, or relative when `base` is given.
        base: absolute URL of the document that `url` was found in.

    Raises:
        UrlError: it is no such URL.

    >>> canonical_url("../Größe?a=b c#top", "HTTPS://Bücher.example:443/x/y/z")
    'https://xn--bcher-kva.example/x/Gr%C3%B6%C3%9Fe?a=b%20c'
    """
    plain = _plain(url) if base is None or url[:1] != "/" else _plain_below(url, base)
    if plain is not None:
        return plain
    if len(url) > _MAX_INPUT:
        raise UrlError(url, "too long to be a URL")
    try:
        parts = _split(url, base)
        path = _resolve_dots(_escape(parts.path, _PATH))
        query = "" if parts.query == "?" else _escape(parts.query, _QUERY)
        return f"{parts.scheme}://{_authority(parts.scheme, parts.authority)}{path}{query}"
    except UrlError:
        raise
    except ValueError as error:
        raise UrlError(url, str(error)) from error


def _plain(url: str) -> str | None:
    """The canonical form when the URL is in it already, or lacks no more than the slash after the host."""
    match = _PLAIN.fullmatch(url)
    if match is None:
        return None
    scheme, authority, path, query = match.groups()
    if not _is_canonical(scheme, authority):
        return None
    if path is None:
        return f"{scheme}://{authority}/{query or ''}"
    return None if "/." in path or "/%2" in path else url


def _plain_below(path: str, base: str) -> str | None:
    """The same for a reference that begins with one slash, as most links of a page do."""
    if _PLAIN_PATH.fullmatch(path) is None or "/." in path or "/%2" in path:
        return None
    return _above_path(base) + path


@lru_cache(maxsize=1024)
def _above_path(base: str) -> str:
    parts = _parts_of(canonical_url(base))
    return f"{parts.scheme}://{parts.authority}"


@lru_cache(maxsize=8192)
def _is_canonical(scheme: str, authority: str) -> bool:
    try:
        return _authority(scheme, authority) == authority
    except ValueError:
        return False


def _split(url: str, base: str | None) -> _Parts:
    """The parts of a URL, made absolute (URL Standard 4.4). Backslashes before the query are slashes."""
    text = url.strip(_CONTROLS_AND_SPACE).translate(_DROPPED).partition("#")[0]
    head, mark, query = text.partition("?")
    head = head.replace("\\", "/")
    query = mark + query
    onto = None if base is None else _parts_of(canonical_url(base))
    scheme = _SCHEME.match(head)
    if scheme is not None:
        name, rest = scheme[1].lower(), head[scheme.end() :]
        if name not in _DEFAULT_PORTS:
            raise UrlError(url, f"the scheme is {name!r}, not http or https")
        if onto is None or onto.scheme != name or rest.startswith("//"):
            return _with_authority(name, rest, query)
        head = rest
    if onto is None:
        raise UrlError(url, "no scheme, and no base to resolve it against")
    if head.startswith("//"):
        return _with_authority(onto.scheme, head, query)
    if head.startswith("/"):
        return onto._replace(path=head, query=query)
    if head:
        return onto._replace(path=onto.path[: onto.path.rindex("/") + 1] + head, query=query)
    return onto._replace(query=query) if mark else onto


def _with_authority(scheme: str, rest: str, query: str) -> _Parts:
    authority, slash, path = rest.lstrip("/").partition("/")
    return _Parts(scheme, authority, slash + path, query)


def _parts_of(canonical: str) -> _Parts:
    scheme, _, rest = canonical.partition("://")
    rest, mark, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    return _Parts(scheme, authority, slash + path, mark + query)


def _escape(text: str, table: tuple[str, ...]) -> str:
    return "".join(map(table.__getitem__, text.encode())) if text else text


def _resolve_dots(path: str) -> str:
    """The path with its dot segments resolved, encoded ones too (URL Standard 4.4, path state)."""
    kept: list[str] = []
    last = ""
    for segment in path.split("/")[1:] or [""]:
        last = segment.lower()
        if last in _DOT_DOT:
            del kept[-1:]
        elif last not in _DOT:
            kept.append(segment)
    if last in _DOT or last in _DOT_DOT:
        kept.append("")
    return "/" + "/".join(kept)


def _authority(scheme: str, text: str) -> str:
    userinfo, at, where = text.rpartition("@")
    host, port = _host_and_port(where)
    shown = _host(host) if port in (None, _DEFAULT_PORTS[scheme]) else f"{_host(host)}:{port}"
    return f"{_escape(userinfo, _USERINFO)}{at}{shown}" if userinfo.strip(":") else shown


def _host_and_port(text: str) -> tuple[str, int | None]:
    end = text.find("]") + 1 if text.startswith("[") else 0
    host, colon, port = text[end:].partition(":")
    if not colon or not port:
        return text[:end] + host, None
    number = port.lstrip("0") or "0"
    if not port.isascii() or not port.isdigit() or len(number) > len(str(_MAX_PORT)) or int(number) > _MAX_PORT:
        raise ValueError(f"{port[:20]!r} is no port")
    return text[:end] + host, int(number)


@lru_cache(maxsize=8192)
def _host(text: str) -> str:
    """The host as it is asked for (URL Standard 3.5).

    Raises:
        ValueError: no name that DNS can hold, and no address.
    """
    if text.startswith("["):
        return _ipv6(text)
    name = idna.uts46_remap(unquote_to_bytes(text).decode(), std3_rules=False).removesuffix(".")
    labels = [_a_label(label) for label in name.split(".")]
    host = ".".join(labels)
    if len(host) > _MAX_HOST:
        raise ValueError("the host is longer than DNS allows")
    return _ipv4(labels) if _NUMBER.fullmatch(labels[-1]) else host


def _a_label(label: str) -> str:
    """One label of a name mapped by UTS 46, as an A-label.

    Not the stricter rules of IDNA 2008: names that they exclude, with emoji for example, are registered and reachable.
    """
    if not label.isascii():
        _check_u_label(label)
        label = "xn--" + label.encode("punycode").decode("ascii")
    elif label.startswith("xn--"):
        unicode = label[4:].encode("ascii").decode("punycode")
        _check_u_label(unicode)
        if unicode.isascii() or unicode.encode("punycode").decode("ascii") != label[4:]:
            raise ValueError(f"{label[:_MAX_LABEL]!r} is no A-label")
    if len(label) > _MAX_LABEL or not _LABEL.fullmatch(label):
        raise ValueError(f"{label[:_MAX_LABEL]!r} is no label of a host name")
    return label


def _check_u_label(label: str) -> None:
    """UTS 46 section 4.1, validity criteria, without CheckHyphens."""
    if idna.uts46_remap(label, std3_rules=False) != label:
        raise ValueError("a label of the host is not in its mapped form")
    idna.check_nfc(label)
    idna.check_initial_combiner(label)
    idna.check_bidi(label)
    for at, char in enumerate(label):
        if char in "\u200c\u200d" and not idna.valid_contextj(label, at):
            raise ValueError("a joiner stands in a label of the host where it has no effect")


def _ipv4(labels: list[str]) -> str:
    """Dotted decimal for any of the spellings that clients read as an address: 127.1, 0x7f000001, 2130706433."""
    numbers = [_ipv4_number(label) for label in labels]
    *high, low = numbers
    if len(numbers) > 4 or any(number > 0xFF for number in high) or low >= 256 ** (5 - len(numbers)):  # noqa: PLR2004
        raise ValueError(_NO_IPV4)
    value = low + sum(number << 8 * (3 - at) for at, number in enumerate(high))
    return str(ipaddress.IPv4Address(value))


def _ipv4_number(label: str) -> int:
    digits, base = (label[2:] or "0", 16) if label.startswith("0x") else (label, 8 if label.startswith("0") else 10)
    try:
        return int(digits.replace("_", "-"), base)  # int() would take "1_0"
    except ValueError:
        raise ValueError(_NO_IPV4) from None


def _ipv6(text: str) -> str:
    """RFC 5952, but never with dotted decimal inside: what the standard library writes there depends on its version."""
    if not text.endswith("]") or "%" in text:
        raise ValueError("no IPv6 address in brackets")
    value = int(ipaddress.IPv6Address(text[1:-1]))
    pieces = [f"{value >> shift & 0xFFFF:x}" for shift in range(112, -1, -16)]
    zeros = "".join("0" if piece == "0" else "." for piece in pieces)
    longest = max(re.findall("0+", zeros), key=len, default="")
    if len(longest) < 2:  # noqa: PLR2004 - a single zero is written out
        return f"[{':'.join(pieces)}]"
    at = zeros.index(longest)
    return f"[{':'.join(pieces[:at])}::{':'.join(pieces[at + len(longest) :])}]"


def origin_of(url: str) -> Origin:
    """The origin of an absolute URL.

    Raises:
        UrlError: it is no http or https URL.

    >>> str(origin_of("http://site.example:8080/a"))
    'http://site.example:8080'
    """
    plain = _PLAIN.fullmatch(url)
    if plain is not None and _is_canonical(plain[1], plain[2]):
        return _origin(plain[1], plain[2])
    parts = _parts_of(canonical_url(url))
    return _origin(parts.scheme, parts.authority.rpartition("@")[2])


@lru_cache(maxsize=8192)
def _origin(scheme: str, authority: str) -> Origin:
    host, port = _host_and_port(authority)
    return Origin(scheme, host, _DEFAULT_PORTS[scheme] if port is None else port)


def request_target(url: str) -> bytes:
    """What stands on the request line: path and query (RFC 9112 3.2.1).

    Raises:
        UrlError: it is no http or https URL.
    """
    parts = _parts_of(canonical_url(url))
    return (parts.path + parts.query).encode("ascii")


def faults(url: str, bounds: Bounds) -> str | None:
    """The reason code why a URL is not asked for at all, or None.

    "url.secret": it carries userinfo, or a value under a query key that is known to carry secrets. "url.unsupported":
    no http or https URL, a port that the policy does not allow, or longer than 8,192 octets.
    """
    try:
        parts = _parts_of(canonical_url(url))
    except UrlError:
        return "url.secret" if "@" in url.partition("//")[2].partition("/")[0] else "url.unsupported"
    userinfo, _, authority = parts.authority.rpartition("@")
    if userinfo or (parts.query and _has_secret(parts.query[1:], bounds.secret_keys)):
        return "url.secret"
    whole = len(parts.scheme) + len("://") + len(parts.authority) + len(parts.path) + len(parts.query)
    if whole > MAX_OCTETS or not bounds.allows_port(_origin(parts.scheme, authority).port):
        return "url.unsupported"
    return None


def _has_secret(query: str, secret_keys: Collection[str]) -> bool:
    pairs = (pair.partition("=") for pair in query.split("&"))
    return any(value and unquote_plus(key).lower() in secret_keys for key, _, value in pairs)
