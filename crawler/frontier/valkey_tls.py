"""TLS to the server that holds a frontier; and what a user is told when a server of either kind is not to be had."""

from __future__ import annotations

import ssl
from typing import Any, Final, NamedTuple

from redis import exceptions as faults
from redis.asyncio.connection import SSLConnection

from crawler.frontier.interface import FrontierError
from crawler.frontier.valkey_url import PASSWORD_VARIABLE, Target


class Trusting(SSLConnection):
    """A connection that trusts whom its context says, and nobody besides.

    By itself the client adds a file of certificates to the system's, and reads both anew for each connection.
    """

    def __init__(self, *, trusted: ssl.SSLContext, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context.context = trusted


class Advice(NamedTuple):
    """What is wrong, and what to do about it."""

    what: str
    remedy: str


_OTHER_NAME: Final = Advice(
    "shows a certificate for another name or address",
    "Name the server in the URL as its certificate does, or give it one whose subjectAltName has what the URL says.",
)
_EXPIRED: Final = Advice(
    "shows a certificate that has expired",
    "Give the server a new one (tls-cert-file, tls-key-file); see that the clock of this machine is right.",
)
_NOT_YET: Final = Advice(
    "shows a certificate that is not valid yet", "See to the clock of this machine, and of the one that made it."
)
_STRANGER: Final = Advice(
    "shows a certificate that nobody trusted here has signed",
    "Name a file with its authority's certificate in the URL: ca=/path/to/ca.crt.",
)
#: X509_V_ERR_... of OpenSSL.
_CERTIFICATE: Final = {
    9: _NOT_YET,
    10: _EXPIRED,
    18: _STRANGER,
    19: _STRANGER,
    20: _STRANGER,
    21: _STRANGER,
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}


def context_for(target: Target) -> ssl.SSLContext | None:
    """How connections to a target are made safe; None when they are not.

    Raises:
        FrontierError: the file with the certificates to trust cannot be read or has none.
    """
    if not target.tls:
        return None
    try:
        return ssl.create_default_context(cafile=target.ca or None)
    except OSError as error:
        raise FrontierError(
            f"ca={target.ca} holds no certificates that can be read ({error})",
            where=target.shown,
            remedy="Name a file with the certificate of the server's authority, in PEM.",
        ) from error


def out_of_reach(target: Target, error: BaseException) -> Advice:
    """What to say of a server that did not let us connect."""
    if isinstance(error, faults.AuthenticationError):
        return _not_let_in(target, error)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError) and (advice := _CERTIFICATE.get(cause.verify_code)):
            return Advice(f"{advice.what} ({cause})", advice.remedy)
        cause = cause.__cause__ or cause.__context__
    # From here on no words can be had: a server without TLS waits for more, one that wants certificates just goes.
    port = "is without TLS (else write valkeys://)"
    if target.tls:
        port = "is its tls-port, where it must want no certificate of its clients (tls-auth-clients no)"
    return Advice(
        f"cannot be reached ({error})", f"See that the server runs and may be reached, and that this port {port}."
    )


def _not_let_in(target: Target, error: Exception) -> Advice:
    user = target.user or "default"
    if not target.password:
        return Advice(
            f"asks for a password ({error})", f"Put it into {PASSWORD_VARIABLE}, or name password_file= in the URL."
        )
    return Advice(
        f"does not let the user {user} in with this password ({error})",
        f"See that ACL GETUSER {user} says 'on', and that the password is the one of {PASSWORD_VARIABLE}, of"
        " password_file= or of the URL.",
    )
