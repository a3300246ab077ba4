"""A frontier over TLS: whom it trusts, and what is said when something about it is wrong.

The server's own TLS where it has one (the wheel's has not; `support.valkey` says how to name another), else a relay's.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
import time
from contextlib import contextmanager

import pytest
from redis import Redis
from support.valkey import free_port, hang_up, relay, server_program, speaks_tls

from crawler.demo.authority import Authority
from crawler.frontier import Found, FrontierError, Outcome, open_frontier
from crawler.frontier.valkey_url import PASSWORD_VARIABLE

A = "https://a.example"
NOW = dt.datetime.now(dt.UTC)
SHORT = {"lease_s": 1.0}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"), NOW)


@pytest.fixture
def over_tls(valkey_server, authority):
    """A server with a certificate for a name: `with over_tls("localhost", made=..., wants="yes") as server`."""

    @contextmanager
    def running(name: str, *, made: dt.datetime = NOW, wants: str = "no"):
        authority._now = made
        context = authority.server_context(name)
        file = str(authority.ca_file.with_name(f"{name}.pem"))
        if speaks_tls(server_program()):
            port = free_port()
            trust = ("--tls-ca-cert-file", str(authority.ca_file), "--tls-auth-clients", wants)
            with valkey_server(
                "--tls-port", str(port), "--tls-cert-file", file, "--tls-key-file", file, *trust
            ) as server:
                server.tls_port = port
                yield server
        else:
            if wants == "yes":
                context.verify_mode = ssl.CERT_REQUIRED
            with valkey_server() as server, relay(server.port, context) as port:
                server.tls_port = port
                yield server

    return running


@pytest.fixture
def trusted_by_the_system(monkeypatch, authority):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))


def pushed(url: str, **options) -> int:
    """How many URLs were new, after a life of one URL."""

    async def main() -> int:
        frontier = open_frontier(url, now=time.time, worker="one", **options)
        try:
            await frontier.open()
            new = await frontier.push([Found(f"{A}/1", A)])
            (lease,) = await frontier.claim(1)
            await frontier.finish([Outcome(lease.id, 0)])
            return new
        finally:
            await frontier.close()
            await hang_up()

    return asyncio.run(main())


def refusal(url: str, **options) -> FrontierError:
    with pytest.raises(FrontierError) as caught:
        pushed(url, **options)
    assert "secret" not in str(caught.value)
    return caught.value


def test_server_whose_authority_the_url_names_is_trusted(over_tls, authority):
    with over_tls("localhost") as server:
        assert pushed(f"valkeys://localhost:{server.tls_port}?crawl=x&ca={authority.ca_file}") == 1
        error = refusal(f"valkeys://localhost:{server.tls_port}?crawl=x")
    assert "nobody trusted here has signed" in error.what
    assert "ca=" in error.remedy


@pytest.mark.usefixtures("trusted_by_the_system")
def test_authority_of_the_url_stands_in_the_place_of_the_systems(over_tls, tmp_path):
    other = Authority(tmp_path, NOW)
    with over_tls("localhost") as server:
        url = f"valkeys://localhost:{server.tls_port}?crawl=x"
        assert pushed(url) == 1
        assert "nobody trusted here has signed" in refusal(f"{url}&ca={other.ca_file}").what


@pytest.mark.parametrize(
    ("name", "made", "what", "remedy"),
    [
        ("other.example", NOW, "for another name", "subjectAltName"),
        ("localhost", NOW - dt.timedelta(days=9), "has expired", "tls-cert-file"),
        ("localhost", NOW + dt.timedelta(days=9), "is not valid yet", "clock"),
    ],
)
def test_certificate_that_will_not_do_is_told_with_what_to_do(over_tls, authority, name, made, what, remedy):
    with over_tls(name, made=made) as server:
        error = refusal(f"valkeys://:secret@localhost:{server.tls_port}?crawl=x&ca={authority.ca_file}")
    assert what in error.what
    assert remedy in error.remedy


def test_server_that_wants_certificates_of_its_clients_is_told_to_want_none(over_tls, authority):
    with over_tls("localhost", wants="yes") as server:
        error = refusal(f"valkeys://:secret@localhost:{server.tls_port}?crawl=x&ca={authority.ca_file}")
    assert "cannot be reached" in error.what
    assert "tls-auth-clients no" in error.remedy


def test_port_without_tls_and_port_with_it_are_told_apart(over_tls, authority):
    with over_tls("localhost") as server:
        plain = refusal(f"valkeys://:secret@localhost:{server.port}?crawl=x&ca={authority.ca_file}", **SHORT)
        secure = refusal(f"valkey://:secret@localhost:{server.tls_port}?crawl=x", **SHORT)
    assert "this port is its tls-port" in plain.remedy
    assert "else write valkeys://" in secure.remedy


def test_user_of_the_access_list_is_let_in_with_the_password_of_the_environment(over_tls, authority, monkeypatch):
    with over_tls("localhost") as server:
        url = f"valkeys://crawler@localhost:{server.tls_port}?crawl=x&ca={authority.ca_file}"
        monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
        error = refusal(url)
        assert "asks for a password" in error.what
        assert PASSWORD_VARIABLE in error.remedy
        with Redis(port=server.port) as client:
            rights = ("~{kf:x:*}*", "+@all", "-@dangerous", "+info", "+config|get", "+cluster|slots")
            client.execute_command("ACL", "SETUSER", "crawler", "on", ">secret", *rights)
        monkeypatch.setenv(PASSWORD_VARIABLE, "not that")
        error = refusal(url)
        assert "does not let the user crawler in" in error.what
        assert "ACL GETUSER crawler" in error.remedy
        monkeypatch.setenv(PASSWORD_VARIABLE, "secret")
        assert pushed(url) == 1
