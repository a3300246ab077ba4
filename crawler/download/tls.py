"""How servers must prove who they are: a chain to a known authority, the name asked for, TLS 1.2 or newer."""

from __future__ import annotations

import ssl
from pathlib import Path

import certifi


def client_context(extra_authorities: Path | None = None) -> ssl.SSLContext:
    """The one TLS context of a crawl. There is no way to switch verification off.

    Args:
        extra_authorities: file of PEM certificates that are trusted besides certifi's (tests, an operator's own).

    Raises:
        OSError: the file cannot be read, or holds no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_verify_locations(certifi.where())
    if extra_authorities is not None:
        context.load_verify_locations(extra_authorities)
    return context
