"""How a connection is named in WARC-Protocol and WARC-Cipher-Suite.

Both fields are proposals in general use (https://github.com/iipc/warc-specifications/issues/42 and .../issues/86):
protocols as "name/version" in lower case, one a field; cipher suites by their IANA name. OpenSSL has names of its own
for the suites of TLS 1.2, so a table translates those that Python offers by default.
"""

from __future__ import annotations

from typing import Final

_TLS: Final = {"TLSv1": "tls/1.0", "TLSv1.1": "tls/1.1", "TLSv1.2": "tls/1.2", "TLSv1.3": "tls/1.3"}

_IANA: Final = {
    "ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "ECDHE-ECDSA-AES128-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "ECDHE-ECDSA-AES256-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "ECDHE-RSA-AES128-SHA256": "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384": "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "ECDHE-RSA-AES256-SHA384": "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305": "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "DHE-RSA-AES128-GCM-SHA256": "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
    "DHE-RSA-AES128-SHA256": "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256",
    "DHE-RSA-AES256-GCM-SHA384": "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
    "DHE-RSA-AES256-SHA256": "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256",
}


def protocols(http_version: str, tls_version: str | None = None) -> tuple[str, ...]:
    """The values of WARC-Protocol for an exchange.

    Args:
        http_version: "1.1" or "1.0".
        tls_version: as `ssl.SSLSocket.version()` says it; None without TLS.

    >>> protocols("1.1", "TLSv1.3")
    ('http/1.1', 'tls/1.3')
    """
    tls = (_TLS.get(tls_version, tls_version.lower()),) if tls_version else ()
    return (f"http/{http_version}", *tls)


def cipher_suite(openssl_name: str | None) -> str | None:
    """The IANA name of a suite that OpenSSL names, or None where it is not known: the field takes no other name.

    >>> cipher_suite("ECDHE-RSA-AES128-GCM-SHA256")
    'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'
    """
    if openssl_name is None or openssl_name.startswith("TLS_"):
        return openssl_name
    return _IANA.get(openssl_name)
