"""Statuses, redirects and Retry-After, by the tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.access.head import retry_after_s, status_fits
from reservations.model import Header, Hop


@pytest.mark.parametrize(
    ("status", "patterns", "fits"),
    [
        (404, ("404",), True),
        (404, ("4xx",), True),
        (404, ("403", "5xx"), False),
        (599, ("5xx",), True),
        (99, ("4xx",), False),
    ],
)
def test_status_is_compared_with_patterns(status, patterns, fits):
    assert status_fits(status, patterns) is fits


@pytest.mark.parametrize(
    ("status", "fields", "verdict", "reason"),
    [
        (401, [("WWW-Authenticate", "Basic")], "aborted", "access.denied"),
        (402, [], "aborted", "access.payment-required"),
        (402, [("crawler-price", "USD 0.01")], "aborted", "access.payment-required"),
        (403, [], "aborted", "access.denied"),
        (403, [("crawler-error", "CrawlerForbidden")], "aborted", "access.payment-required"),
        (404, [], "absent", "http.not-found"),
        (404, [("tdm-reservation", "1")], "absent", "http.not-found"),
        (404, [("cf-mitigated", "challenge")], "aborted", "access.challenge"),
        (407, [], "aborted", "access.denied"),
        (410, [], "absent", "http.gone"),
        (418, [], "failed", "http.client-error"),
        (429, [("Retry-After", "120")], "deferred", "access.rate-limited"),
        (429, [("cf-mitigated", "challenge")], "aborted", "access.challenge"),
        (451, [], "aborted", "access.legal"),
        (500, [], "deferred", "http.server-error"),
        (503, [], "deferred", "http.server-error"),
        (503, [("Retry-After", "3600")], "deferred", "access.rate-limited"),
        (202, [("x-amzn-waf-action", "challenge")], "aborted", "access.challenge"),
        (204, [], "failed", "http.unexpected-status"),
        (206, [], "failed", "http.unexpected-status"),
        (300, [], "failed", "http.unexpected-status"),
        (304, [], "failed", "http.not-modified"),
        (301, [("Location", "/b")], "redirected", "http.redirect"),
        (301, [("Location", "/b"), ("X-Robots-Tag", "noai")], "aborted", "page-robots.noai"),
        (301, [], "failed", "http.unexpected-status"),
        (302, [("Location", "http://[")], "failed", "http.unexpected-status"),
        (999, [], "failed", "http.unexpected-status"),
    ],
)
def test_status_decides_at_the_head(decide_on, make_facts, make_head, status, fields, verdict, reason):
    body = b"" if verdict == "deferred" else None
    decision = decide_on(make_facts(head=make_head(status, *fields), body=body))
    assert (decision.verdict, decision.reason) == (verdict, reason)


def test_price_makes_training_conditional_and_none_denies_it(decide_on, make_facts, make_head):
    priced = decide_on(make_facts(head=make_head(402, ("WWW-Authenticate", 'Payment id="x"'))))
    bare = decide_on(make_facts(head=make_head(402, ("WWW-Authenticate", "Basic"))))
    assert (priced.effective["genai-train"], bare.effective["genai-train"]) == ("conditional", "deny")


@pytest.mark.parametrize(
    "location",
    [
        "/login",
        "/login?next=/a",
        "/account/Login.aspx",
        "https://auth.site.example/oauth/authorize?client_id=1",
        "/user/sign-in/",
        "/subscribe",
        "/fr/abonnement/",
        "/consent-or-pay",
    ],
)
def test_redirect_to_a_login_or_an_offer_is_a_denial(decide_on, make_facts, make_head, location):
    decision = decide_on(make_facts(head=make_head(302, ("Location", location))))
    assert (decision.verdict, decision.reason) == ("aborted", "access.login")


@pytest.mark.parametrize(
    "location",
    [
        "/blog/login-page-design",
        "/how-to-subscribe",
        "/a/",
        "/login/help/center",
        "https://login.example/a",
        "/?p=login",
    ],
)
def test_redirect_to_a_page_about_logins_is_none(decide_on, make_facts, make_head, location):
    decision = decide_on(make_facts(head=make_head(302, ("Location", location))))
    assert (decision.verdict, decision.reason) == ("redirected", "http.redirect")


def test_redirect_between_login_pages_is_none(decide_on, make_facts, make_head):
    facts = make_facts(head=make_head(301, ("Location", "/login/")), url="https://site.example/login")
    assert decide_on(facts).verdict == "redirected"


def test_redirect_from_a_broken_url_is_no_denial(registry, policy, make_facts):
    hop = Hop("http://[", 302, "http://[")
    assert registry.examine(make_facts(redirected_from=(hop,)), policy, "ExampleBot").what == "head"


def test_redirect_names_its_absolute_target(decide_on, make_facts, make_head):
    decision = decide_on(make_facts(head=make_head(302, ("location", " ../b?c#d "))))
    assert decision.location == "https://site.example/b?c"


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ([("Retry-After", "120")], 120),
        ([("Retry-After", "0")], 0),
        ([("Retry-After", "9" * 400)], 604_800),
        ([("Retry-After", "-5")], 0),
        ([("Retry-After", "\u0661\u0662")], 0),
        ([("Retry-After", "soon")], 0),
        ([], 0),
        (
            [("Date", "Sun, 22 Nov 2026 10:00:00 GMT"), ("Retry-After", "Sun, 22 Nov 2026 10:02:00 GMT")],
            120,
        ),
        ([("Date", "Sun, 22 Nov 2026 10:00:00 GMT"), ("Retry-After", "Sun, 22 Nov 2026 09:00:00 GMT")], 0),
        ([("Retry-After", "Sun, 22 Nov 2026 10:02:00 GMT")], 0),
        ([("Date", "x"), ("Retry-After", "Sun, 22 Nov 2026 10:02:00 GMT")], 0),
    ],
)
def test_retry_after_in_both_forms(fields, seconds):
    assert retry_after_s([Header(name, value) for name, value in fields]) == seconds


@given(st.text(max_size=100), st.text(max_size=100))
def test_any_retry_after_is_read_within_bounds(value, date):
    assert 0 <= retry_after_s([Header("Retry-After", value), Header("Date", date)]) <= 604_800


def test_deferred_says_how_long_and_ends_with_the_last_try(decide_on, make_facts, make_head):
    head = make_head(429, ("Retry-After", "120"))
    first, last = decide_on(make_facts(head=head, body=b"")), decide_on(make_facts(head=head, body=b"", attempt=3))
    assert (first.verdict, first.retry_after_s) == ("deferred", 120)
    assert (last.verdict, last.reason, last.retry_after_s) == ("failed", "access.rate-limited", 0)
