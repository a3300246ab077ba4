"""Names that entries carry beside a URL: its registrable domain, its SURT form, and a form with secrets masked."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

import tldextract

_MASK: Final = "masked-"
_MASK_DIGITS: Final = 16
_IPV4: Final = re.compile(r"\d+\.\d+\.\d+\.\d+")
_suffixes = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)


@lru_cache(maxsize=8192)
def registrable_domain(host: str) -> str:
    """The registrable domain of a host by the bundled public suffix list; the host itself where there is none."""
    return _suffixes(host).top_domain_under_public_suffix or host


def surt(url: str) -> str:
    """Sort-friendly form of a canonical URL, labels of its name reversed, as web archives index it.

    >>> surt("https://www.example.org:8443/a?b=1")
    'org,example,www:8443)/a?b=1'
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    labels = host if ":" in host or _IPV4.fullmatch(host) else ",".join(reversed(host.split(".")))
    port = f":{parts.port}" if parts.port else ""
    query = f"?{parts.query}" if parts.query else ""
    return f"{labels}{port}){parts.path or '/'}{query}"


def masked(url: str, secret_keys: Collection[str], key: bytes) -> str:
    """The URL with userinfo and the values of secret query keys replaced by a keyed digest (HMAC-SHA-256).

    Equal secrets give equal digests within one crawl, and nobody without the key can try candidates.
    """
    return _replaced(
        url, secret_keys, lambda text: _MASK + hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:_MASK_DIGITS]
    )


def is_masked_form(shown: str, url: str, secret_keys: Collection[str]) -> bool:
    """Whether `masked` makes `shown` of a URL, under whatever key."""
    placeholder = "\x00"
    plain = re.escape(_replaced(url, secret_keys, lambda _: placeholder))
    return bool(re.fullmatch(plain.replace(re.escape(placeholder), f"{_MASK}[0-9a-f]{{{_MASK_DIGITS}}}"), shown))


def _replaced(url: str, secret_keys: Collection[str], instead: Callable[[str], str]) -> str:
    """The URL with something else in the place of each secret."""
    parts = urlsplit(url)
    userinfo, at, host = parts.netloc.rpartition("@")
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    if any(name.lower() in secret_keys for name, _ in pairs):
        query = "&".join(
            f"{quote(name)}={instead(value) if name.lower() in secret_keys else quote(value)}" for name, value in pairs
        )
    else:
        query = parts.query
    netloc = f"{instead(userinfo)}@{host}" if at else host
    return urlunsplit((parts.scheme, netloc, parts.path, query, ""))
