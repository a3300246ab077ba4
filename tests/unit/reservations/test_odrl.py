"""What a TDM policy lets us do: nothing, unless it plainly says so."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.definition import load_protocol
from reservations.model import Value
from reservations.readers.odrl import read_policy

MINE = {"action": "tdm:mine"}
PURPOSE = {"leftOperand": "purpose", "operator": "eq", "rightOperand": "tdm:non-research"}


@pytest.fixture(scope="module")
def words(protocol_texts):
    return load_protocol(protocol_texts["tdmrep.toml"], "tdmrep.toml").named.policy


@pytest.mark.parametrize(
    ("offer", "expected"),
    [
        ({"permission": [MINE]}, Value.ALLOW),
        ({"permission": MINE}, Value.ALLOW),
        ({"@graph": [{"permission": [MINE]}]}, Value.ALLOW),
        ([{"permission": [MINE]}], Value.ALLOW),
        ({"permission": [{"action": {"@id": "http://www.w3.org/ns/tdmrep/mine"}}]}, Value.ALLOW),
        ({"permission": [{**MINE, "constraint": [PURPOSE]}]}, Value.ALLOW),
        ({"permission": [{**MINE, "constraint": [{**PURPOSE, "rightOperand": "tdm:research"}]}]}, Value.DENY),
        ({"permission": [{**MINE, "constraint": [{**PURPOSE, "operator": "neq"}]}]}, Value.DENY),
        ({"permission": [{**MINE, "constraint": [{"leftOperand": "spatial"}]}]}, Value.DENY),
        ({"permission": [{**MINE, "constraint": "text"}]}, Value.DENY),
        ({"permission": [{**MINE, "duty": [{"action": "obtainConsent"}]}]}, Value.CONDITIONAL),
        ({"permission": [{**MINE, "duty": [{"action": "compensate"}]}, MINE]}, Value.ALLOW),
        ({"permission": [{**MINE, "duty": [{"action": "dance"}]}]}, Value.DENY),
        ({"permission": [{**MINE, "target": "https://site.example/book"}]}, Value.CONDITIONAL),
        ({"permission": [{"action": "play"}]}, Value.DENY),
        ({"permission": []}, Value.DENY),
        ({"permission": [MINE], "prohibition": [{"action": "sell"}]}, Value.DENY),
        ([{"permission": [MINE]}, {"permission": []}], Value.DENY),
        ({"assigner": "us"}, None),
        ([], None),
        ("text", None),
    ],
)
def test_policy_means(words, offer, expected):
    assert read_policy(json.dumps(offer).encode(), words, frozenset({"commercial"})) is expected


@pytest.mark.parametrize("body", [b"", b"<p>terms", b"[" * 100_000, b'{"permission":', b"\xff\xfe"])
def test_what_machines_cannot_follow_says_nothing(words, body):
    assert read_policy(body, words, frozenset({"commercial"})) is None


@given(st.recursive(
    st.none() | st.booleans() | st.text(max_size=5) | st.sampled_from(["tdm:mine", "purpose", "eq"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["permission", "action", "duty", "constraint", "@graph"]), inner, max_size=4),
))  # fmt: skip
def test_any_json_is_read_without_raising(words, tree):
    read_policy(json.dumps(tree).encode(), words, frozenset({"commercial"}))
