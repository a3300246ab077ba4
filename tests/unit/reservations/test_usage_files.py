"""ai.txt in its four formats, and trust.txt: what stands in them, and how much of a stranger's file is read."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.model import Answer

ALLOWED, REFUSED, NOTHING = "ai-txt.allow", "ai-txt.disallow", None


@pytest.fixture(scope="module")
def said(registry, policy, make_facts):
    def said(key, text, url="https://site.example/a/b.html", protocol=None):
        body = text if isinstance(text, bytes) else text.encode()
        facts = make_facts(documents={key: Answer(url="", status=200, body=body)}, url=url)
        wanted = protocol or key.rpartition("/")[2].replace(".", "-")
        return [signal for signal in registry.signals(facts, policy, "ExampleBot") if signal.protocol == wanted]

    return said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("User-Agent: *\nDisallow: *.html\nAllow: /", REFUSED),
        ("User-Agent: *\nDisallow: *.jpg\nAllow: /", ALLOWED),
        ("User-Agent: *\nDisallow: /\nAllow: /", REFUSED),
        ("User-Agent: *\nAllow: /\nDisallow: /", REFUSED),
        ("User-Agent: *\nDisallow: /a/\nAllow: /a/b", ALLOWED),
        ("User-Agent: ExampleBot\nAllow: /\n\nUser-Agent: *\nDisallow: /", ALLOWED),
        ("User-Agent: KnockfirstBot\nDisallow: /\n\nUser-Agent: *\nAllow: /", REFUSED),
        ("User-Agent: OtherBot\nDisallow: /", NOTHING),
        ("User-Agent: *\nDisallow:", NOTHING),
        ("User-Agent: *\nDisallow: please do not", NOTHING),
        ("Disallow: /", NOTHING),
        ("\ufeffUser-Agent: *\r\nDisallow: /\r\n", REFUSED),
        ("User-Agent: *\nDisallow: a/", REFUSED),
    ],
)
def test_rules_of_form_a(said, text, expected):
    reasons = [signal.reason for signal in said("/ai.txt", text) if signal.effective]
    assert reasons == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("text", "value", "by_the_letter"),
    [
        ("Spec-Version: 1.0\nTraining: deny", "deny", True),
        ("TRAINING : Deny", "deny", True),
        ("Training: no", "deny", False),
        ("AI-Training: disallow", "deny", False),
        ("Training: conditional", "conditional", True),
        ("Training: permitted-with-attribution", "conditional", False),
        ("Training: allow", None, False),
        ("Training: we would rather you did not", None, False),
        ("---\ntraining: deny\n---\n# Site", "deny", False),
        ("User-agent: GPTBot\nTraining: deny", None, False),
        ("User-agent: GPTBot\nTraining: allow\nUser-agent: *\nTraining: deny", "deny", True),
        ("# Training: deny", None, False),
    ],
)
def test_fields_of_forms_b_and_d(said, text, value, by_the_letter):
    signals = [signal for signal in said("/.well-known/ai.txt", text) if signal.effective]
    assert [signal.effective["genai-train"] for signal in signals] == ([value] if value else [])
    assert any(signal.strict for signal in signals) is by_the_letter


def test_directives_of_other_protocols_only_refuse(said):
    refused = said("/ai.txt", "User-agent: *\nContent-Usage: train-ai=n", protocol="aipref")
    assert [(signal.effective["genai-train"], signal.strict) for signal in refused] == [("deny", {})]
    permitted = said("/ai.txt", "Content-Usage: train-ai=y", protocol="aipref")
    assert [signal.effective for signal in permitted] == [{}]


def test_line_and_file_are_named(said):
    [signal] = said("/.well-known/ai.txt", "# hello\n\nTraining: deny\n")
    assert (signal.source, signal.locator, signal.excerpt) == ("/.well-known/ai.txt", "line 3", "Training: deny")


def test_page_in_the_place_of_a_file_says_nothing(said):
    assert said("/ai.txt", "<!doctype html><p>Training: deny") == []
    assert said("/trust.txt", "<!doctype html>\ndatatrainingallowed=no") == []


@pytest.mark.parametrize(
    ("text", "value", "issues"),
    [
        ("datatrainingallowed=no", "deny", ()),
        ("  DataTrainingAllowed = NO  # policy", "deny", ()),
        ('datatrainingallowed="no"', "deny", ()),
        ("datatrainingallowed=false", "deny", ("value",)),
        ("datatrainingallowed: no", "deny", ("separator",)),
        ("datatrainingallowed=yes", "allow", ()),
        ("datatrainingallowed: yes", None, ("separator",)),
        ("datatrainingallowed=perhaps", None, ("value",)),
        ("x datatrainingallowed=no", None, ()),
        ("#datatrainingallowed=no", None, ()),
    ],
)
def test_variable_of_trust_txt(said, text, value, issues):
    signals = said("/trust.txt", f"member=https://a.example/\n{text}\n")
    assert [signal.effective.get("genai-train") for signal in signals if signal.effective] == ([value] if value else [])
    assert tuple(issue for signal in signals for issue in signal.issues) == issues


def test_two_lines_that_differ_are_a_refusal(said, registry, policy, make_facts):
    signals = said("/trust.txt", "datatrainingallowed=yes\ndatatrainingallowed=no\n")
    assert all("duplicate" in signal.issues for signal in signals)
    facts = make_facts(documents={"/trust.txt": "datatrainingallowed=yes\ndatatrainingallowed=no\n"})
    assert registry.values(facts, policy, "ExampleBot", ["trust-txt"]).effective["genai-train"] == "deny"


@pytest.mark.parametrize("key", ["/ai.txt", "/trust.txt"])
@given(body=st.binary(max_size=300))
def test_any_bytes_are_read_without_raising(said, key, body):
    said(key, body)


@pytest.mark.parametrize(
    "line", ["Training: deny\n", "User-agent: *\nDisallow: /*a*b\n", "datatrainingallowed=no\n", "\n"]
)
@pytest.mark.parametrize("key", ["/ai.txt", "/trust.txt"])
def test_large_file_is_read_in_time(said, key, line):
    began = time.process_time()
    said(key, line * (512_000 // len(line)))
    assert time.process_time() - began < 3
