"""What a file in the place of a shipped one would lose, and that nobody loses it unnoticed."""

import pytest

from reservations.datafile import DefinitionError
from reservations.overlay import merge, weakenings

APPROVAL = '\n[approval]\napprover = "A. Approver"\nreason = "a trial, until May"\ndate = "2026-11-22"\n'


def lost(shipped, file, text):
    try:
        merge(shipped, {file: text})
    except DefinitionError as error:
        return [fault.problem.rpartition("date: ")[2] for fault in error.faults]
    return []


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("trust-txt.toml", 'also_at = ["/.well-known/trust.txt"]\n', "", "documents: /trust.txt is missing or changed"),
        ("trust-txt.toml", '"n", "false"', '"n"', "label datatrainingallowed: value 'no' refuses less (false)"),
        ("trust-txt.toml", 'value = "no"', 'value = "nein"', "label datatrainingallowed: value 'no' is missing"),
        ("ai-control.toml", "licensable = true\n", "", "licensable is changed"),
        ("tdmrep.toml", '"well_known", "http_field"', '"http_field", "well_known"', "supersedes is changed"),
        ("access.toml", 'status = ["451"]', 'status = ["499"]', "statuses are changed"),
        ("crawler-tokens.toml", 'token = "GPTBot"', 'token = "GPTBut"', "token GPTBot is missing or changed"),
    ],
)
def test_weaker_file_needs_an_approval(protocol_texts, file, old, new, expected):
    assert old in protocol_texts[file]
    weaker = protocol_texts[file].replace(old, new, 1)
    assert expected in lost(protocol_texts, file, weaker)
    if file != "crawler-tokens.toml":
        merged = merge(protocol_texts, {file: weaker + APPROVAL})
        [weakening] = weakenings(protocol_texts, merged)
        assert weakening.approver == "A. Approver"
        assert expected in weakening.rule


def test_stricter_file_needs_none(protocol_texts):
    text = protocol_texts["trust-txt.toml"]
    stricter = text.replace('"not allowed", "never"', '"not allowed", "never", "nein"').replace(
        'effective = { ai-train = "allow", genai-train = "allow" }', "effective = {}"
    )
    assert stricter != text
    assert lost(protocol_texts, "trust-txt.toml", stricter) == []
    assert weakenings(protocol_texts, merge(protocol_texts, {"trust-txt.toml": stricter})) == []


def test_shipped_rules_are_not_weaker_than_themselves(protocol_texts):
    assert weakenings(protocol_texts, protocol_texts) == []
    for file, text in protocol_texts.items():
        assert lost(protocol_texts, file, text) == []


def test_new_file_may_not_call_a_refusal_content(protocol_texts):
    text = protocol_texts["ai-control.toml"].replace('id = "ai-control"', 'id = "mine"').replace("vectors", "#")
    opened = text + '\n[[statuses]]\nstatus = ["403"]\noutcome = "content"\n'
    assert lost(protocol_texts, "mine.toml", text) == []
    assert lost(protocol_texts, "mine.toml", opened) == ["status 403 would mean content"]


def test_faults_of_an_added_file_are_reported_before_what_it_would_lose(protocol_texts):
    with pytest.raises(DefinitionError, match=r"mine\.toml:1: \(file\): not valid TOML"):
        merge(protocol_texts, {"mine.toml": "= nothing"})
