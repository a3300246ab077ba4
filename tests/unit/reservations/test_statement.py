"""What a reading means: exactly, nearly, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.definition import load_protocol
from reservations.model import Value
from reservations.statement import Place, Reading, Vocabulary, clean

PLACE = Place("http_field", "head", "x", "x")


@pytest.fixture(scope="module")
def vocabularies(protocol_texts):
    names = ("tdmrep", "aipref", "content-signals", "page-robots", "access")
    return {name: Vocabulary(load_protocol(protocol_texts[f"{name}.toml"], name)) for name in names}


@pytest.mark.parametrize(
    ("protocol", "label", "value", "strict", "effective", "issues"),
    [
        ("aipref", "train-ai", "n", 1, 2, ()),
        ("aipref", "train-ai", "y", 2, 2, ()),
        ("aipref", "train-ai", "N", 0, 2, ("case",)),
        ("aipref", "train-ai", "Y", 0, 0, ("case",)),
        ("aipref", "TRAIN-AI", "y", 0, 0, ("case",)),
        ("aipref", "train-ai", "no", 0, 2, ("value",)),
        ("aipref", "train-ai", "yes", 0, 0, ("value",)),
        ("aipref", "bots", "n", 0, 5, ()),
        ("page-robots", "NoAI", "", 2, 2, ()),
        ("page-robots", "notrain", "", 0, 2, ("nonstandard",)),
        ("tdmrep", "tdm-reservation", "2", 0, 0, ("value",)),
    ],
)
def test_spelling_decides_what_counts(vocabularies, protocol, label, value, strict, effective, issues):
    signal = vocabularies[protocol].signal(Reading(label, value), PLACE)
    assert (len(signal.strict), len(signal.effective), signal.issues) == (strict, effective, issues)


def test_word_of_no_protocol_is_no_statement(vocabularies):
    assert vocabularies["aipref"].signal(Reading("follow", "n"), PLACE) is None
    assert not vocabularies["aipref"].is_negative("follow", "n")


@given(st.data())
def test_what_is_not_sound_never_permits(vocabularies, data):
    vocabulary = data.draw(st.sampled_from(sorted(vocabularies.values(), key=lambda item: item.protocol.id)))
    label = data.draw(st.sampled_from(vocabulary.protocol.labels))
    value = data.draw(st.sampled_from([meaning.value for meaning in label.values]) | st.text(max_size=5))
    signal = vocabulary.signal(Reading(label.name, value).weakened("odd"), PLACE)
    if signal is not None:
        assert signal.strict == {}
        assert Value.ALLOW not in (*signal.effective.values(), *signal.vendor.values())
        assert "odd" in signal.issues


def test_excerpt_is_short_and_printable():
    assert clean("a\x00\x1b\u202e" + "b" * 300) == "a\ufffd\ufffd\ufffd" + "b" * 252
