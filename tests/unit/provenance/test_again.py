"""Deciding again: what a page named is known no sooner than it was."""

from __future__ import annotations

import msgspec
import pytest

from provenance.again import decide_again
from provenance.entry import Http
from provenance.material import Material
from provenance.rules import Rules, shipped_protocols
from reservations.model import Answer, Decision, Facts, Head, Header

URL = "https://example.org/a"
TYPE = (Header("Content-Type", "text/html"),)
LINKS = b'<html><body><a href="/terms">Terms</a></body></html>'
RESERVED = b"<p>Text and data mining under Article 4 of Directive (EU) 2019/790 is reserved.</p>"
LIKELY = b"<p>You may not use our texts for text and data mining.</p>"
OPEN = b"<p>Bread is sold here.</p>"
KEY = "/terms#legal"


@pytest.fixture(scope="module")
def with_sentences():
    names = ("access.toml", "language.toml", "rfc9309.toml")
    return Rules.load(tokens=("KnockfirstBot",), protocols={name: shipped_protocols()[name] for name in names})


def known(terms):
    found = Answer(url="https://example.org/terms", status=200, headers=TYPE, body=terms)
    return {"/robots.txt": Answer(url="", status=404), KEY: found}


@pytest.mark.parametrize("bytes_are_left", [True, False])
@pytest.mark.parametrize(("terms", "verdict"), [(RESERVED, "discarded"), (LIKELY, "held"), (OPEN, "kept")])
def test_terms_that_the_page_linked_to_close_nothing_before_it(with_sentences, entries, terms, verdict, bytes_are_left):
    head = Head(status=200, headers=TYPE)
    facts = Facts(url=URL, documents=known(terms), head=head, body=LINKS, at=1)
    decision = with_sentences.examine(facts)
    assert isinstance(decision, Decision)
    assert (decision.verdict, decision.gate) == (verdict, "body")
    entry = entries(1, url=URL, at=1, http=Http(st=200, ct="text/html", len=len(LINKS)), d="sha256:0")
    left = Material(documents=dict(facts.documents), head=head, body=LINKS if bytes_are_left else None)
    left.gone = {} if bytes_are_left else {"body": "read and not kept"}
    again = decide_again(with_sentences, entry, decision, left, ())
    assert (again.decision, again.basis) == (decision, "bytes" if bytes_are_left else "signals")


def test_terms_that_were_known_before_refuse_again_before_the_page(with_sentences, entries):
    facts = Facts(url=URL, documents=known(RESERVED), at=1)
    decision = with_sentences.examine(facts)
    assert isinstance(decision, Decision)
    assert (decision.verdict, decision.gate) == ("refused", "origin")
    left = Material(documents=dict(facts.documents))
    entry = msgspec.structs.replace(entries(1, url=URL, at=1), http=None)
    assert decide_again(with_sentences, entry, decision, left, ()).decision == decision
