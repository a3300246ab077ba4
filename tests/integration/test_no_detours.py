"""What a refused crawler must not do, by the access logs of the demo's own servers: not one step past a closed door.

Every host that refuses in the demo also leaves a window open (cookies, AMP and print addresses, retry hints, prices).
"""

import subprocess
from collections import Counter
from urllib.parse import parse_qs, urlsplit

import pytest

from crawler.demo.compare import trespasses
from crawler.demo.run import PROJECT, crawl_command, entered
from crawler.demo.server import DemoWeb
from crawler.demo.situations import Ports

pytestmark = pytest.mark.crawl

PORTS = Ports(28082, 28445)
REFUSING = {
    "members.example", "challenge.example", "interstitial.example", "paywall.example", "metered.example",
    "hints.example", "player.example", "consent.example", "detours.example", "secret.example",
}  # fmt: skip
DENIALS = {
    "access.denied", "access.legal", "access.payment-required", "access.challenge", "access.login",
    "access.paywall-declared", "access.metered", "access.unclear",
}  # fmt: skip


@pytest.fixture(scope="module")
def crawl(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detours")
    with DemoWeb.start(PORTS) as web:
        command = crawl_command(web, folder / "out", folder)
        ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=150, check=False)
        assert ran.returncode == 0, ran.stderr
        log = list(web.access_log)
        yield web.web, log, list(entered(folder / "out"))


def refused(entries):
    return {entry.url for entry in entries if entry.reason in DENIALS}


def values(access, name):
    return [value for key, value in access.headers if key.lower() == name]


def test_every_kind_of_refusal_was_met(crawl):
    _, _, entries = crawl
    assert {entry.reason for entry in entries} >= DENIALS


def test_refused_url_is_asked_for_once(crawl):
    _, log, entries = crawl
    asked = Counter(access.url for access in log)
    again = {url: asked[url] for url in refused(entries) if "robots-" not in url and asked[url] != 1}
    assert again == {}


def test_no_other_address_of_a_refused_page_is_asked_for(crawl):
    web, log, _ = crawl
    assert trespasses(web, log) == []
    windows = [url for url, item in web.expected.items() if urlsplit(url).hostname in REFUSING and item.outcome is None]
    assert len(windows) >= 12, "the demo must offer detours, or this proves nothing"
    assert {access.url for access in log}.isdisjoint(windows)


def test_only_hosts_of_the_demo_were_asked(crawl):
    """No cache, archive, AMP or proxy host: every request came in under the name of the site itself."""
    web, log, _ = crawl
    known = {site.host for site in web.sites}
    assert {urlsplit(access.origin).hostname for access in log} <= known
    assert {urlsplit(f"//{host}").hostname for access in log for host in values(access, "host")} <= known


def test_one_user_agent_for_everybody(crawl):
    _, log, _ = crawl
    agents = {agent for access in log for agent in values(access, "user-agent")}
    assert len(agents) == 1
    assert "KnockfirstBot" in agents.pop()
    assert all(len(values(access, "user-agent")) == 1 for access in log)


def test_one_network_address_for_everybody(crawl):
    _, log, _ = crawl
    assert len({access.peer[0] for access in log}) == 1
    forwarded = {"x-forwarded-for", "forwarded", "via", "x-real-ip", "proxy-authorization"}
    assert [access.url for access in log if forwarded & {name.lower() for name, _ in access.headers}] == []


@pytest.mark.parametrize("name", ["cookie", "referer", "origin", "authorization", "x-requested-with"])
def test_header_that_could_open_a_door_is_never_sent(crawl, name):
    _, log, _ = crawl
    assert [access.url for access in log if values(access, name)] == []


def test_no_price_is_offered_and_no_payment_made(crawl):
    _, log, _ = crawl
    paying = {
        "crawler-exact-price",
        "crawler-max-price",
        "payment-signature",
        "x-payment",
        "signature",
        "signature-input",
    }
    assert [access.url for access in log if paying & {name.lower() for name, _ in access.headers}] == []


def test_request_for_a_page_is_the_same_for_all_sites(crawl):
    """Nothing is tuned to whoever refuses: the same headers, in the same order, for every page of every site."""
    web, log, _ = crawl
    pages = {web.url(page.path, site) for site in web.sites for page in site.page}
    shapes = {
        tuple((name, "" if name.lower() == "host" else value) for name, value in access.headers)
        for access in log
        if access.url in pages and access.method == "GET"
    }
    assert len(shapes) == 1


def test_only_get_is_used(crawl):
    _, log, _ = crawl
    assert {access.method for access in log} == {"GET"}


def test_credentials_in_a_url_are_not_sent(crawl):
    _, log, _ = crawl
    assert [
        access.url for access in log if "@" in access.url or "access_token" in parse_qs(urlsplit(access.url).query)
    ] == []


def test_nothing_waits_for_a_challenge_to_go_away(crawl):
    _, _, entries = crawl
    challenged = [entry.url for entry in entries if entry.reason == "access.challenge"]
    assert len(challenged) == len(set(challenged)) >= 8
    assert all(entry.final for entry in entries if entry.reason in DENIALS)
