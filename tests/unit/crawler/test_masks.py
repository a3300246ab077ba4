"""Secrets in URLs: shown in no entry, wherever a URL may stand."""

import pytest

from crawler.masks import Masks
from provenance.entry import LoggedHop
from provenance.rules import Rules
from reservations.model import Decision, Hop, Signal, Verdict

POLICY = Rules.load(tokens=("KnockfirstBot",)).policy
SECRET = "https://a.example/login?q=1&access_token=s3cret"
PLAIN = "https://a.example/login?q=1"


@pytest.fixture
def masks():
    return Masks(POLICY, b"key")


def test_url_with_a_secret_is_shown_masked_and_others_as_they_are(masks):
    shown, was_masked = masks.url(SECRET)
    assert shown.startswith("https://a.example/login?q=1&access_token=masked-")
    assert was_masked
    assert masks.url(PLAIN) == (PLAIN, False)


def test_hops_are_masked_at_both_ends(masks):
    shown, _ = masks.url(SECRET)
    hops = (Hop(PLAIN, 302, SECRET), Hop(SECRET, 301, PLAIN))
    assert masks.hops(hops) == (LoggedHop(url=PLAIN, st=302, to=shown), LoggedHop(url=shown, st=301, to=PLAIN))


def test_decision_masks_where_a_redirect_leads_and_what_it_states_by_that(masks):
    shown, _ = masks.url(SECRET)
    redirect = Signal(protocol="access", reason="access.login", carrier="redirect", source="head", excerpt=SECRET)
    field = Signal(protocol="tdmrep", reason="tdm", carrier="http_field", source="head", excerpt="access_token=s3cret")
    decision = Decision(
        verdict=Verdict.REDIRECTED, reason="http.redirect", gate="head", location=SECRET, signals=(redirect, field)
    )
    masked = masks.decision(decision)
    assert masked.location == shown
    assert [signal.excerpt for signal in masked.signals] == [shown, field.excerpt]
    aborted = Decision(verdict=Verdict.ABORTED, reason="access.login", gate="head")
    assert masks.decision(aborted) == aborted
