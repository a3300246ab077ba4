"""Content credentials: boxes, CBOR, and what the training and data mining assertion means."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.readers.asset import Asset, read_asset
from reservations.readers.embedded import FileTables
from reservations.readers.jumbf import Pairs, decode, read_boxes
from reservations.readers.pieces import Kind, Packet, Unreadable
from reservations.statement import Vocabulary

ASSETS = Path(__file__).resolve().parents[3] / "crawler/demo/assets"


def box(kind, *parts):
    content = b"".join(parts)
    return struct.pack(">I", len(content) + 8) + kind + content


def superbox(label, *parts):
    return box(b"jumb", box(b"jumd", bytes(16), b"\3", label.encode() + b"\0"), *parts)


def assertion(data, name="cawg.training-mining", kind=b"cbor"):
    return superbox(name, box(kind, data))


def manifest(*assertions, label="urn:c2pa:1"):
    return superbox(label, superbox("c2pa.assertions", *assertions))


def store(*manifests):
    return superbox("c2pa", *manifests)


def mining(**entries):
    """The assertion as the text has it; `key=value` or `key=(value, information)`."""
    words = {
        "cawg." + key: {"use": value} if isinstance(value, str) else {"use": value[0], "constraint_info": value[1]}
        for key, value in entries.items()
    }
    return assertion(cbor2.dumps({"entries": words}))


@pytest.fixture(scope="module")
def tables(registry):
    return FileTables(Vocabulary(protocol) for protocol in registry.protocols)


@pytest.fixture(scope="module")
def read(tables):
    def read(data):
        return tables.read(Asset("image/jpeg", (Packet(Kind.JUMBF, data, "APP11"),)))

    return read


def plain(values):
    return {str(category): str(value) for category, value in values.items()}


@pytest.mark.parametrize(
    ("entries", "strict", "effective"),
    [
        ({"ai_generative_training": "notAllowed"}, {"genai-train": "deny"}, {"genai-train": "deny"}),
        ({"ai_training": "notAllowed"}, {"ai-train": "deny"}, {"ai-train": "deny", "genai-train": "deny"}),
        ({"ai_inference": "notAllowed"}, {"ai-input": "deny"}, {"ai-input": "deny"}),
        ({"ai_inference": ("constrained", "ask us")}, {"ai-input": "conditional"}, {"ai-input": "conditional"}),
        ({"ai_inference": "constrained"}, {"ai-input": "deny"}, {"ai-input": "deny"}),
        ({"ai_inference": ("constrained", " ")}, {"ai-input": "deny"}, {"ai-input": "deny"}),
        ({"ai_inference": "NOTALLOWED"}, {}, {"ai-input": "deny"}),
        ({"ai_inference": "Prohibited for all"}, {}, {"ai-input": "deny"}),
        ({"ai_inference": "denied"}, {}, {"ai-input": "deny"}),
        ({"ai_inference": "disallowed"}, {}, {"ai-input": "deny"}),
        ({"ai_inference": "cannot"}, {}, {"ai-input": "deny"}),
        ({"ai_inference": "perhaps"}, {}, {}),
        ({"ai_inference": "allowed"}, {}, {}),
        ({"ai_training_text": "notAllowed"}, {}, {}),
    ],
)
def test_each_value_means_what_its_table_says(read, entries, strict, effective):
    (signal,) = read(store(manifest(mining(**entries))))
    assert (plain(signal.strict), plain(signal.effective)) == (strict, effective)
    assert signal.protocol == "cawg"
    assert "unvalidated" in signal.issues


def test_refused_mining_closes_everything_below_it(read):
    signals = read(store(manifest(mining(data_mining="notAllowed", ai_generative_training="allowed"))))
    closed = {"tdm": "deny", "ai-train": "deny", "genai-train": "deny", "ai-input": "deny", "ai-index": "deny"}
    assert [plain(signal.effective) for signal in signals] == [closed, {}]


def test_terms_are_conditions(read):
    (signal,) = read(store(manifest(mining(data_mining=("constrained", "https://terms.example/")))))
    assert signal.conditions == ("https://terms.example/",)
    both = {"cawg.data_mining": {"use": "constrained", "constraints_info": "ask"}}
    assert read(store(manifest(assertion(cbor2.dumps({"entries": both})))))[0].conditions == ("ask",)


@pytest.mark.parametrize(
    "data",
    [
        assertion(cbor2.dumps({"c2pa.ai_training": {"use": "notAllowed"}})),
        assertion(cbor2.dumps({"ai_training": {"use": "notAllowed"}})),
        assertion(cbor2.dumps({"entries": {"cawg.ai_training": {"use": "notAllowed"}}}), "c2pa.training-mining"),
        assertion(cbor2.dumps({"entries": {"cawg.ai_training": {"use": "notAllowed"}}}), "cawg.training-mining__3"),
        assertion(cbor2.dumps({"entries": {"cawg.ai_training": {"use": "notAllowed"}}}), "cawg.training-mining.v2__1"),
        assertion(json.dumps({"entries": {"cawg.ai_training": {"use": "notAllowed"}}}).encode(), kind=b"json"),
    ],
)
def test_older_and_other_spellings_are_read(read, data):
    assert plain(read(store(manifest(data)))[0].strict) == {"ai-train": "deny"}


def test_of_two_equal_keys_the_refusal_counts(read):
    use, key = cbor2.dumps("use"), cbor2.dumps("ai_inference")
    twice = b"\xa1" + key + b"\xa2" + use + cbor2.dumps("notAllowed") + use + cbor2.dumps("allowed")
    assert {"ai-input": "deny"} in [plain(signal.effective) for signal in read(store(manifest(assertion(twice))))]
    keys = b"\xa2" + key + cbor2.dumps({"use": "notAllowed"}) + key + cbor2.dumps({"use": "allowed"})
    assert {"ai-input": "deny"} in [plain(signal.effective) for signal in read(store(manifest(assertion(keys))))]


def test_what_an_ingredient_refuses_counts(read):
    refused = manifest(mining(ai_generative_training="notAllowed"), label="urn:c2pa:old")
    silent = manifest(assertion(cbor2.dumps({}), "c2pa.actions"), label="urn:c2pa:new")
    (signal,) = read(store(refused, silent))
    assert signal.issues == ("unvalidated", "ingredient")
    assert plain(signal.effective) == {"genai-train": "deny"}


def test_rights_assertion_that_nobody_can_read_is_noted(read):
    (signal,) = read(store(manifest(assertion(b"\xa0", "jpegtrust.rights.declaration"))))
    assert (signal.protocol, signal.issues) == (
        "jpeg-trust",
        ("unvalidated", "invalid", "claim.missing", "unread_rights_assertion"),
    )
    assert plain(signal.vendor) == {"tdm": "undeterminable"}
    assert signal.effective == {}


@pytest.mark.parametrize(
    "data",
    [
        store(manifest(mining(ai_inference="notAllowed")))[:-3],
        struct.pack(">I", 0x7FFFFFFF) + store(manifest())[4:],
        box(b"jumb", b"\0\0\0\3abcd"),
        store(manifest(assertion(b"\x81" * 10_000))),
        store(manifest(assertion(b"\xbf" * 10_000))),
        store(manifest(assertion(b"\xd8\x18" * 10_000))),
        store(manifest(assertion(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"))),
        store(manifest(assertion(b"\x7b\xff\xff\xff\xff\xff\xff\xff\xff"))),
        store(manifest(assertion(b"\x1c"))),
        store(manifest(assertion(b"\x5f\x5f"))),
        store(manifest(assertion(b""))),
        store(manifest(assertion(b"{", kind=b"json"))),
        store(manifest(assertion(b"[" * 100_000, kind=b"json"))),
        store(*[box(b"free")] * 10_001),
        box(b"jumb", *[b"\0\0\0\0jumb"] * 4, b"\0\0\0\1jumb\0\0\0\0\0\0\0\1"),
        superbox("a", box(b"brob", b"jumb", b"no brotli")),
    ],
)
def test_store_that_cannot_be_read_is_undeterminable(read, data):
    assert [signal.reason for signal in read(data)][-1] == "files.unreadable"


def test_depth_of_boxes_is_bounded():
    data = b""
    for number in range(40):
        data = superbox(f"level{number}", data)
    with pytest.raises(Unreadable) as caught:
        list(read_boxes(data))
    assert caught.value.what == "over-budget"


def test_refusals_before_the_fault_count_too(read):
    data = store(manifest(mining(ai_inference="notAllowed")), box(b"jumb", b"\xff\xff\xff\xff"))
    assert [signal.reason for signal in read(data)] == ["cawg.training-mining", "files.unreadable"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def maps(value):
    if isinstance(value, Pairs):
        return {key: maps(item) for key, item in value.pairs}
    return [maps(item) for item in value] if isinstance(value, list) else value


@given(VALUES)
def test_cbor_is_read_as_cbor2_writes_it(value):
    assert maps(decode("cbor", cbor2.dumps(value))) == value


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\x9f\x01\x9f\xff\xff", [1, []]),
        (b"\xbf\x61a\x01\xff", {"a": 1}),
        (b"\x7f\x61a\x61b\xff", "ab"),
        (b"\x5f\x41a\x41b\xff", b"ab"),
        (b"\xc1\x00", 0),
        (b"\xf8\xff", None),
        (b"\xf9\x7c\x00", math.inf),
    ],
)
def test_open_lengths_tags_and_floats_are_read(data, value):
    assert maps(decode("cbor", data)) == value


@given(st.binary(max_size=300))
def test_no_octets_make_it_raise(read, data):
    read(data)
    read(store(manifest(assertion(data))))
    read(store(manifest(assertion(data, kind=b"json"))))


@pytest.mark.parametrize("name", ["credential.webp", "credential.avif", "collage.webp", "granted.webp"])
def test_store_written_by_the_reference_implementation_is_read(tables, name):
    signals = tables.read(read_asset((ASSETS / name).read_bytes(), ""))
    expected = [] if name == "granted.webp" else [{"genai-train": "deny"}]
    assert [plain(signal.effective) for signal in signals if signal.effective] == expected
    assert all(signal.protocol == "cawg" for signal in signals)
