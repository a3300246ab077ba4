"""JSON from others: one bound on its depth, the same wherever it is read and however deep the caller stands."""

import json

import pytest

from reservations.policy import Policy
from reservations.readers.html import HtmlPage
from reservations.readers.nested import MAX_DEPTH, TooDeep, read_json


def nested(depth, inner='"]]}}"'):
    """A document of so many lists and objects, one inside of the other."""
    pairs = depth // 2
    return '[{"a":' * pairs + "[" * (depth % 2) + inner + "]" * (depth % 2) + "}]" * pairs


def at_depth(frames, call):
    """What `call` answers when it is made so many frames further down."""
    return call() if not frames else at_depth(frames - 1, call)


def test_bound_is_64_levels():
    assert MAX_DEPTH == 64


@pytest.mark.parametrize("depth", [0, 1, 63, 64])
@pytest.mark.parametrize("frames", [0, 500])
def test_document_within_the_bound_is_read_from_any_stack(depth, frames):
    text = nested(depth)
    assert at_depth(frames, lambda: read_json(text)) == json.loads(text)


@pytest.mark.parametrize("depth", [65, 66, 100_000])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-be"])
def test_document_over_the_bound_is_too_deep(depth, encoding):
    text = nested(depth)
    for document in (text, text.encode(encoding)):
        with pytest.raises(TooDeep):
            read_json(document)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 65, "[" * 65 + '"\\"' + "]" * 65, '["\\\\",' + "[" * 64])
def test_text_that_is_cut_off_too_deep_is_too_deep(text):
    with pytest.raises(TooDeep):
        read_json(text)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps("[{" * 100_000),
        json.dumps(['"[' * 100, "\\[" * 100, "[" * 100 + "\\"]),
        json.dumps([[], {}] * 1000),
        "[" + ",".join([nested(63)] * 3) + "]",
    ],
)
def test_brackets_in_texts_and_side_by_side_do_not_count(text):
    assert read_json(text) == json.loads(text)


@pytest.mark.parametrize("text", ["]" * 200, '"' + "[" * 200, '"' + "\\" * 200_001 + "[", '\\"' * 100_000 + "[" * 70])
def test_what_is_no_json_is_told_as_that(text):
    with pytest.raises(json.JSONDecodeError):
        read_json(text)


@pytest.mark.parametrize(("depth", "said"), [(63, 1), (64, 1), (65, 0), (100_000, 0)])
def test_linked_data_over_the_bound_says_nothing(depth, said):
    page = f'<html><head><script type="application/ld+json">{nested(depth)}</script></head><body>x</body></html>'
    assert len(HtmlPage(page.encode(), "utf-8").linked_data) == said


@pytest.mark.parametrize(("depth", "verdict"), [(63, "kept"), (64, "kept"), (65, "discarded"), (100_000, "discarded")])
def test_reservation_file_over_the_bound_cannot_be_read(make_facts, make_head, decide_on, policy_text, depth, verdict):
    facts = make_facts(tdmrep=f"[{nested(depth - 1)}]", head=make_head(), body=b"<p>x")
    strict = Policy.from_toml(policy_text.replace('profile = "standard"', 'profile = "strict"'), file="x.toml")
    assert decide_on(facts, strict).verdict == verdict
