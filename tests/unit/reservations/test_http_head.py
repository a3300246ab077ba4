"""Fields of a head, whatever their case and order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.definition import load_protocol
from reservations.model import Header
from reservations.readers.http_head import Field, first, media_type_of, read_head
from reservations.statement import Vocabulary


@pytest.fixture(scope="module")
def read(protocol_texts):
    fields = {}
    for name in ("tdmrep", "aipref", "content-signals", "page-robots", "access"):
        vocabulary = Vocabulary(load_protocol(protocol_texts[f"{name}.toml"], name))
        for field in vocabulary.protocol.http_fields:
            fields[field.name] = (*fields.get(field.name, ()), Field(field, vocabulary))

    def read(*headers):
        return read_head([Header(*header) for header in headers], fields, frozenset({"examplebot"}), "text/html")

    return read


def test_names_are_compared_without_case(read):
    assert [s.reason for s in read(("TDM-Reservation", "1"), ("X-ROBOTS-TAG", "noai"))] == [
        "tdmrep.reserved",
        "page-robots.noai",
    ]


def test_signal_names_the_field_and_quotes_all_its_lines(read):
    signals = read(("tdm-reservation", " 0 "), ("TDM-reservation", "1"))
    assert {(s.carrier, s.source, s.locator, s.excerpt) for s in signals} == {
        ("http_field", "head", "tdm-reservation", "tdm-reservation:  0 ; TDM-reservation: 1")
    }
    assert [s.effective["tdm"] for s in signals] == ["allow", "deny"]


def test_statement_to_others_is_recorded_without_values(read):
    (signal,) = read(("X-Robots-Tag", "otherbot: noai"))
    assert (signal.addressed_to, signal.strict, signal.effective, signal.vendor) == ("others", {}, {}, {})


def test_field_without_a_defining_text_refuses_only(read):
    (refused,) = read(("Content-Signal", "ai-train=no"))
    assert (refused.strict, refused.issues) == ({}, ("nonstandard_carrier",))
    (permitted,) = read(("Content-Signal", "ai-train=yes"))
    assert permitted.effective == {}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("cf-mitigated", "challenge", "access.challenge"),
        ("x-amzn-waf-action", "captcha", "access.challenge"),
        ("x-amzn-waf-action", "Challenge", "access.challenge"),
        ("crawler-error", "CrawlerForbidden", "access.payment-required"),
    ],
)
def test_challenge_and_payment_fields_close_the_crawl(read, name, value, reason):
    (signal,) = read((name, value))
    assert (signal.reason, signal.effective["crawl"]) == (reason, "deny")


def test_price_on_an_ordinary_answer_is_a_note_and_a_charge_an_alarm(read):
    price, charge = read(("crawler-price", "USD 0.01"), ("crawler-charged", "USD 0.01"))
    assert (price.effective, price.issues, charge.effective, charge.issues) == ({}, ("price",), {}, ("charged",))


@pytest.mark.parametrize("header", [("server", "cloudflare"), ("cf-ray", "1"), ("X-DataDome", "protected")])
def test_marks_of_a_vendor_on_an_ordinary_answer_say_nothing(read, header):
    assert read(header) == []


@pytest.mark.parametrize(
    ("value", "media_type"),
    [("Text/HTML; charset=x", "text/html"), (" application/pdf ", "application/pdf"), ("", "")],
)
def test_media_type_is_lower_case_without_parameters(value, media_type):
    assert media_type_of([Header("content-TYPE", value)]) == media_type


def test_first_line_of_a_field_or_none():
    headers = [Header("a", "1"), Header("A", "2")]
    assert (first(headers, "a"), first(headers, "b")) == ("1", None)


_NAMES = st.sampled_from(
    ["tdm-reservation", "tdm-policy", "content-usage", "x-robots-tag", "content-signal", "crawler-error"]
)


@given(st.lists(st.tuples(_NAMES, st.text(st.characters(max_codepoint=255), max_size=60)), max_size=6), st.randoms())
def test_order_of_different_fields_does_not_matter(read, headers, random):
    by_name = {}
    for name, value in headers:
        by_name.setdefault(name, []).append((name, value))
    names = list(by_name)
    random.shuffle(names)
    shuffled = [header for name in names for header in by_name[name]]
    assert sorted(map(repr, read(*headers))) == sorted(map(repr, read(*shuffled)))
