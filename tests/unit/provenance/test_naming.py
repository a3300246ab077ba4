"""Names beside a URL: registrable domain, SURT, and the form without secrets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.naming import is_masked_form, masked, registrable_domain, surt
from provenance.rules import Rules
from reservations.urls import canonical_url, faults

KEY = b"k" * 32
SECRETS = frozenset({"access_token", "password"})
RULES = Rules.load(tokens=("KnockfirstBot",))


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("www.example.org", "example.org"),
        ("a.b.example.co.uk", "example.co.uk"),
        ("xn--mller-kva.example.de", "example.de"),
        ("localhost", "localhost"),
        ("co.uk", "co.uk"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:db8::1]", "[2001:db8::1]"),
        ("", ""),
    ],
)
def test_registrable_domain_by_the_bundled_list(host, domain):
    assert registrable_domain(host) == domain


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("https://www.example.org/", "org,example,www)/"),
        ("http://www.example.org:8080/a?b=1", "org,example,www:8080)/a?b=1"),
        ("https://example.org/?", "org,example)/"),
        ("https://192.0.2.1/x", "192.0.2.1)/x"),
        ("https://[2001:db8::1]/x", "2001:db8::1)/x"),
    ],
)
def test_surt_reverses_the_labels_of_names_and_leaves_addresses_alone(url, form):
    assert surt(url) == form


def test_secrets_are_replaced_and_all_else_stays():
    url = "https://user:hunter2@a.example:8443/p;x?q=1&Access_Token=s3cret&z=%C3%A9"
    shown = masked(url, SECRETS, KEY)
    assert "hunter2" not in shown
    assert "user" not in shown
    assert "s3cret" not in shown
    assert "a.example:8443/p;x?q=1&Access_Token=masked-" in shown
    assert shown.endswith("&z=%C3%A9")


def test_equal_secrets_are_masked_alike_under_one_key_and_otherwise_under_another():
    one, two = (masked(f"https://a.example/{path}?password=x", SECRETS, KEY).partition("=")[2] for path in "ab")
    assert one == two
    assert masked("https://a.example/?password=x", SECRETS, b"other").partition("=")[2] != one


def test_url_without_secrets_is_left_as_it_is():
    url = "https://a.example/?q=a+b&c=%2f&d"
    assert masked(url, SECRETS, KEY) == url


@given(
    key=st.sampled_from(["access_token", "ACCESS_TOKEN", "access%5Ftoken", "p%61ssword", "password"]),
    secret=st.text("XYZ", min_size=6, max_size=12),
    other=st.sampled_from(["", "a=1&", "a&", "&", "b=%26&", "password=&"]),
)
def test_whatever_the_rules_call_a_secret_is_not_shown(key, secret, other):
    url = canonical_url(f"https://a.example/x?{other}{key}={secret}&e=1")
    assert faults(url, RULES.policy) == "url.secret"
    assert secret not in masked(url, RULES.policy.secret_keys, KEY)


def test_masked_form_of_a_url_is_known_without_the_key():
    url = "https://user:p@a.example/x?q=1&password=s3cret"
    shown = masked(url, SECRETS, KEY)
    assert is_masked_form(shown, url, SECRETS)
    assert not is_masked_form(url, url, SECRETS)
    assert not is_masked_form(shown.replace("q=1", "q=2"), url, SECRETS)
    assert not is_masked_form(shown.replace("a.example", "axexample"), url, SECRETS)
    assert not is_masked_form(shown[:-1] + "g", url, SECRETS)
    assert is_masked_form("https://a.example/x", "https://a.example/x", SECRETS)


@given(
    secret=st.text("XYZ", min_size=6, max_size=12),
    form=st.sampled_from(["{}@", "{}:@", ":{}@", "u:{}@", "{}:p@", "a@{}@"]),
)
def test_userinfo_is_not_shown(secret, form):
    url = f"https://{form.format(secret)}a.example/x"
    assert faults(url, RULES.policy) == "url.secret"
    assert secret not in masked(url, RULES.policy.secret_keys, KEY)
