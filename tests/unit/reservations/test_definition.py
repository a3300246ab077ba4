"""Protocol files: the shipped ones hold together, and what is wrong in one is told."""

from __future__ import annotations

import pytest

from reservations.datafile import DefinitionError
from reservations.definition import digest_of, load_protocol
from reservations.registry import Registry

MINIMAL = """
id = "made-up"
name = "Made up"
steward = "us"
version = "1"
date = "2026"
status = "test"
eu_status = "none"
reviewed = "2026-11-22"
order = 90
sources = []
[[reasons]]
code = "made-up.no"
text = "No."
"""


def faults(text):
    with pytest.raises(DefinitionError) as caught:
        load_protocol(text, "made-up.toml")
    return [str(fault) for fault in caught.value.faults]


def test_every_shipped_protocol_says_where_it_comes_from(registry):
    assert {"rfc9309", "aipref", "tdmrep", "content-signals", "page-robots", "tokens", "access"} <= {
        protocol.id for protocol in registry.protocols
    }
    for protocol in registry.protocols:
        assert protocol.sources, protocol.id
        assert protocol.carriers(), protocol.id
        assert protocol.row()["reviewed"] == protocol.reviewed
        assert protocol.version in protocol.title


def test_every_reason_is_a_sentence(registry):
    for code, text in registry.reasons.items():
        assert text.endswith("."), code
        assert len(text) > 20, code


def test_reason_that_is_not_described_is_a_fault():
    text = MINIMAL + '[[labels]]\nname = "no"\nreason = "made-up.other"\nvalues = [{ value = "", reason = "x.y" }]\n'
    assert faults(text) == [
        "made-up.toml:17: labels[0].reason: reason 'made-up.other' is not described; [[reasons]] describes: made-up.no",
        "made-up.toml:18: labels[0].values[0].reason: reason 'x.y' is not described; [[reasons]] describes: made-up.no",
    ]


def test_other_spellings_are_for_denials_only():
    text = MINIMAL + (
        '[[labels]]\nname = "a"\nreason = "made-up.no"\n'
        '[[labels.values]]\nvalue = "y"\nalso = ["yes"]\neffective = { tdm = "allow" }\n'
    )
    (told,) = faults(text)
    assert told.startswith("made-up.toml:20: labels[0].values[0].also: only a denial may have other spellings")
    assert told.endswith("allowed in effective: deny, conditional")


def test_label_that_no_table_holds_is_a_fault():
    text = MINIMAL + '[[http_fields]]\nname = "x-no"\nsyntax = "value"\n[[html_metas]]\nname = "no"\nsyntax = "value"\n'
    assert [fault.split(": ")[1] for fault in faults(text)] == ["http_fields[0].name", "html_metas[0].name"]


def test_unknown_carrier_in_the_precedence_is_a_fault():
    text = MINIMAL.replace("order = 90", 'order = 90\nsupersedes = ["well_known", "pigeon"]')
    assert "unknown carrier 'pigeon'; allowed: robots_txt, well_known, " in faults(text)[0]


def test_document_without_described_reasons_is_a_fault():
    text = MINIMAL + (
        '[[documents]]\npath = "/x.json"\nformat = "json_rules"\nmax_bytes = 600000\nmalformed = "made-up.bad"\n'
        'answers = [{ status = ["403"], means = "denied", reason = "made-up.denied" }]\n'
        'unread = { reason = "made-up.unread" }\nforbidden = { reason = "made-up.forbidden" }\n'
    )
    assert [fault.split(": ")[1] for fault in faults(text)] == [
        "documents[0].malformed",
        "documents[0].answers[0].reason",
        "documents[0].unread.reason",
        "documents[0].forbidden.reason",
    ]


def test_bounds_and_forms_are_checked():
    text = MINIMAL.replace('"made-up"', '"Made Up"').replace("2026-11-22", "today") + "polarity = 1\n"
    told = faults(text)
    assert any(": id: " in fault and "of the form" in fault for fault in told)
    assert any(": reviewed: " in fault for fault in told)


def test_files_that_clash_are_told(protocol_texts):
    texts = {
        **protocol_texts,
        "other.toml": protocol_texts["tdmrep.toml"],
        "zz.toml": MINIMAL.replace("order = 90", 'order = 90\ntoken_list = "nowhere.toml"'),
    }
    with pytest.raises(DefinitionError) as caught:
        Registry.load(texts)
    told = "\n".join(map(str, caught.value.faults))
    assert "another file has the id 'tdmrep' already" in told
    assert "another protocol reads '/.well-known/tdmrep.json' already" in told
    assert "zz.toml:" in told


def test_faults_of_all_files_are_told_together(protocol_texts):
    broken = dict.fromkeys(("a.toml", "b.toml"), "id = 3")
    with pytest.raises(DefinitionError) as caught:
        Registry.load({**protocol_texts, **broken})
    assert {fault.file for fault in caught.value.faults} == {"a.toml", "b.toml"}


def test_digest_is_over_names_and_texts_in_any_order():
    assert digest_of({"a": "1", "b": "2"}) == digest_of({"b": "2", "a": "1"})
    assert digest_of({"a": "1"}) != digest_of({"a": "2"}) != digest_of({"b": "2"})
    assert digest_of({"ab": "c"}) != digest_of({"a": "bc"})
