"""The table of precedence, row by row, and how values combine."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.decide import (
    PRECEDENCE,
    Case,
    Standing,
    closing,
    combine,
    decide,
    in_effect,
    line_of,
    open_purposes,
    resolve,
    with_vendors,
)
from reservations.definition import StatusRow
from reservations.model import RESTRICTIVENESS, Category, Signal, Value

CONTENT = StatusRow(status=("2xx",), outcome="content")
DENY, CONDITIONAL, UNKNOWN, ALLOW = Value.DENY, Value.CONDITIONAL, Value.UNDETERMINABLE, Value.ALLOW


def said(value, reason="p.no", category=Category.GENAI_TRAIN, **more):
    signal = Signal(**{"protocol": "p", "reason": reason, "carrier": "head", "source": "head", **more})
    return {category: Standing(value, signal)}


@pytest.fixture
def make_case(policy):
    def make(standings=None, **more):
        known = {
            "stage": "body",
            "standings": standings or {},
            "unread": {"p.unread": "reservation-file", "p.robots": "robots", "p.asset": "asset"},
            "status": CONTENT,
            "policy": policy,
            "attempt": 1,
            "failure": "",
            "location": "",
            "media_type": "text/html",
            "repeats": False,
        }
        return Case(**{**known, **more})

    return make


def outcome(case):
    found = decide(case)
    return None if found is None else (str(found.verdict), found.reason, found.gate)


def test_open_case_goes_on_until_the_body_is_there(make_case):
    assert outcome(make_case(stage="origin", status=None)) is None
    assert outcome(make_case(stage="head")) is None
    assert outcome(make_case()) == ("kept", "policy.open", "body")
    assert outcome(make_case(repeats=True)) == ("unchanged", "payload.identical", "body")


@pytest.mark.parametrize(("stage", "verdict"), [("origin", "refused"), ("head", "aborted"), ("body", "discarded")])
@pytest.mark.parametrize("value", [DENY, CONDITIONAL])
@pytest.mark.parametrize("category", line_of(Category.GENAI_TRAIN))
def test_refusal_of_a_use_or_its_ancestor_closes_by_stage(make_case, stage, verdict, value, category):
    assert outcome(make_case(said(value, category=category), stage=stage)) == (verdict, "p.no", stage)


@pytest.mark.parametrize("category", [Category.SEARCH, Category.ARCHIVE, Category.AI_INPUT, Category.AI_INDEX])
def test_refusal_of_another_use_closes_nothing(make_case, category):
    assert outcome(make_case(said(DENY, category=category)))[0] == "kept"


@pytest.mark.parametrize(
    ("profile", "reason", "first", "last"),
    [
        ("strict", "p.robots", "deferred", "refused"),
        ("standard", "p.robots", "deferred", "refused"),
        ("letter", "p.robots", "deferred", "refused"),
        ("strict", "p.unread", "refused", "refused"),
        ("standard", "p.unread", "deferred", "held"),
        ("strict", "p.asset", "refused", "refused"),
        ("standard", "p.asset", "held", "held"),
        ("letter", "p.asset", "held", "held"),
        ("standard", "p.unheard-of", "held", "held"),
    ],
)
def test_what_could_not_be_read_goes_by_its_row(make_case, policy, profile, reason, first, last):
    policy = msgspec.structs.replace(policy, profile=profile)
    found = [
        outcome(make_case(said(UNKNOWN, reason), stage="origin", policy=policy, attempt=attempt)) for attempt in (1, 3)
    ]
    assert found == [(first, reason, "origin"), (last, reason, "origin")]


def test_strict_discards_what_could_not_be_read_in_the_body(make_case, policy):
    case = make_case(said(UNKNOWN, "p.asset"), policy=msgspec.structs.replace(policy, profile="strict"))
    assert outcome(case) == ("discarded", "p.asset", "body")


def test_one_open_purpose_keeps_the_page(make_case, policy):
    policy = msgspec.structs.replace(policy, purposes=(Category.GENAI_TRAIN, Category.SEARCH))
    case = make_case(said(DENY), policy=policy)
    assert outcome(case)[0] == "kept"
    assert open_purposes(case) == (Category.SEARCH,)
    both = {**said(DENY), **said(UNKNOWN, "p.asset", Category.SEARCH)}
    assert outcome(make_case(both, policy=policy)) == ("held", "p.asset", "body")


def test_refusal_decides_before_what_could_not_be_read(make_case):
    standings = {**said(UNKNOWN, "p.unread", Category.TDM), **said(DENY)}
    assert outcome(make_case(standings, stage="origin"))[1] == "p.no"


@pytest.mark.parametrize(
    ("word", "first", "last", "reason"),
    [
        *(
            (word, "deferred", "failed", f"transfer.{word}")
            for word in ("timeout", "reset", "dns", "tls", "incomplete")
        ),
        *((word, "failed", "failed", f"transfer.{word}") for word in ("too-large", "inflation", "encoding")),
        ("address", "refused", "refused", "address.forbidden"),
        ("interrupted", "failed", "failed", "crawl.interrupted"),
        ("unheard of", "deferred", "failed", "transfer.protocol"),
    ],
)
def test_broken_exchange_is_tried_again_when_it_may_pass(make_case, word, first, last, reason):
    found = [outcome(make_case(stage="origin", status=None, failure=word, attempt=n)) for n in (1, 3)]
    assert found == [(first, reason, "transfer"), (last, reason, "transfer")]


def test_rows_decide_in_their_order(make_case):
    row = StatusRow(status=("404",), outcome="absent", reason="http.not-found")
    moved = StatusRow(status=("301",), outcome="redirected", reason="http.redirect")
    refused = said(DENY, "p.crawl", Category.CRAWL)
    cases = [
        make_case({**refused, **said(DENY)}, status=row, failure="timeout", stage="head"),
        make_case(said(DENY), status=row, failure="timeout", stage="head"),
        make_case(said(DENY), status=moved, location="https://x/", failure="timeout", stage="head"),
        make_case(status=moved, location="https://x/", failure="timeout", stage="head"),
        make_case(failure="timeout", media_type="image/png", stage="head"),
        make_case(media_type="image/png", stage="head"),
        make_case(),
    ]
    assert [outcome(case)[1] for case in cases] == [
        "p.crawl",
        "http.not-found",
        "p.no",
        "http.redirect",
        "transfer.timeout",
        "scope.media-type",
        "policy.open",
    ]
    assert len(PRECEDENCE) == len(cases)


def test_server_error_fails_with_the_last_try(make_case):
    row = StatusRow(status=("5xx",), outcome="deferred", reason="http.server-error")
    assert [outcome(make_case(status=row, stage="body", attempt=n))[0] for n in (1, 2, 3)] == [
        "deferred",
        "deferred",
        "failed",
    ]


def signal(carrier="http_field", effective=None, **more):
    values = effective or {}
    return Signal(**{"protocol": "tdmrep", "reason": "tdmrep.reserved", "carrier": carrier, "source": "head",
                     "effective": values, **more})  # fmt: skip


def resolved(registry, *signals):
    protocol = next(item for item in registry.protocols if item.id == signals[0].protocol)
    found = resolve(protocol, ((item, item.effective) for item in signals))
    return {str(category): str(standing.value) for category, standing in found.items()}


def test_later_carrier_overrides_in_either_direction(registry):
    file = signal("well_known", {Category.TDM: DENY})
    header = signal("http_field", {Category.TDM: ALLOW})
    meta = signal("html_meta", {Category.TDM: DENY})
    assert resolved(registry, file, header) == resolved(registry, header, file) == {"tdm": "allow"}
    assert resolved(registry, file, header, meta) == {"tdm": "deny"}
    assert resolved(registry, file, signal("html_meta", {})) == {"tdm": "deny"}


def test_condition_turns_a_refusal_into_terms(registry):
    condition = signal(conditions=("https://site.example/p",))
    refusal = signal("well_known", {Category.TDM: DENY})
    assert resolved(registry, refusal, condition) == {"tdm": "conditional"}
    assert resolved(registry, signal("well_known", {Category.TDM: ALLOW}), condition) == {"tdm": "allow"}
    to_others = signal(conditions=("https://site.example/p",), addressed_to="others")
    assert resolved(registry, refusal, to_others) == {"tdm": "deny"}


def test_vendor_reading_never_softens():
    mixed = signal(effective={Category.TDM: DENY}, vendor={Category.TDM: ALLOW, Category.SEARCH: DENY})
    assert with_vendors(mixed) == {Category.TDM: DENY, Category.SEARCH: DENY}


_CATEGORIES, _VALUES = st.sampled_from(Category), st.sampled_from(Value)
_SIGNALS = st.builds(
    Signal,
    protocol=st.sampled_from(["tdmrep", "aipref", "page-robots", "content-signals", "rfc9309"]),
    reason=st.just("x.y"),
    carrier=st.sampled_from(["robots_txt", "well_known", "http_field", "html_meta"]),
    source=st.just("head"),
    effective=st.dictionaries(_CATEGORIES, _VALUES, max_size=3),
    vendor=st.dictionaries(_CATEGORIES, _VALUES, max_size=2),
)


def values_of(standings):
    return {category: standing.value for category, standing in standings.items()}


@given(st.lists(_SIGNALS, max_size=6), st.randoms())
def test_order_of_statements_does_not_matter(registry, signals, random):
    by_id = {protocol.id: protocol for protocol in registry.protocols}
    shuffled = list(signals)
    random.shuffle(shuffled)
    for column in (in_effect, with_vendors):
        assert values_of(combine(by_id, signals, column)) == values_of(combine(by_id, shuffled, column))


@given(st.lists(_SIGNALS, max_size=5), _CATEGORIES, st.sampled_from([DENY, CONDITIONAL]))
def test_reservation_added_by_another_protocol_never_opens(registry, signals, category, value):
    by_id = {protocol.id: protocol for protocol in registry.protocols}
    more = [
        *signals,
        Signal(protocol="access", reason="x.y", carrier="status", source="head", effective={category: value}),
    ]
    before, after = combine(by_id, signals, in_effect), combine(by_id, more, in_effect)
    for item in Category:
        if closing(before, item) is not None:
            assert closing(after, item) is not None
    assert closing(after, category) is not None
    assert all(RESTRICTIVENESS[after[item].value] <= RESTRICTIVENESS[before[item].value] for item in before)
