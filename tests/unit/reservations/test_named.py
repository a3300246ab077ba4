"""Documents that statements name: asked for together, bounded, never a way round, never a permission by absence."""

import msgspec
import pytest

from reservations.model import Answer, Decision, Wants

LINES = "".join(f"License: https://site.example/{number}.xml\n" for number in range(12))


def wanted(registry, facts, policy):
    answer = registry.examine(facts, policy, "ExampleBot")
    return [one.key for one in (answer, *answer.beside)] if isinstance(answer, Wants) else answer


def test_files_of_the_origin_and_what_robots_txt_names_are_wanted_in_one_visit(registry, policy, make_facts):
    robots = "User-agent: *\nAllow: /\nLicense: /a.xml\nLicense: https://lic.example/b.xml\n"
    facts = make_facts(robots, None, documents={"/ai.txt": None})
    assert wanted(registry, facts, policy) == [
        "/.well-known/tdmrep.json", "/ai.txt", "/a.xml", "https://lic.example/b.xml",
    ]  # fmt: skip


def test_no_more_than_ten_are_asked_for_and_the_rest_counts_as_unread(registry, policy, make_facts):
    facts = make_facts(f"User-agent: *\nAllow: /\n{LINES}")
    first = wanted(registry, facts, policy)
    assert isinstance(first, Decision)
    assert (first.verdict, first.reason) == ("held", "rsl.unreadable")
    letter = msgspec.structs.replace(policy, profile="letter")
    assert wanted(registry, facts, letter) == [f"/{number}.xml" for number in range(10)]


@pytest.mark.parametrize(
    "value", ["mailto:a@b.example", "javascript:alert(1)", "ftp://a.example/x", "our terms apply", ""]
)
def test_what_is_no_web_address_is_never_asked_for(registry, policy, make_facts, value):
    facts = make_facts(f"User-agent: *\nAllow: /\nLicense: {value}\n")
    assert wanted(registry, facts, policy) == [""]


def test_robots_txt_binds_for_named_documents_of_its_own_origin(registry, policy, make_facts):
    facts = make_facts("User-agent: *\nDisallow: /l.xml\nLicense: /l.xml\n")
    decision = wanted(registry, facts, policy)
    assert (decision.verdict, decision.reason, decision.consulted["/l.xml"]) == ("held", "rsl.unreadable", "robots")


def test_what_a_head_names_is_asked_for_when_the_page_is_whole(registry, policy, make_facts, make_head):
    head = make_head(200, ("Link", '</l.xml>; rel=license; type="application/rsl+xml"'))
    assert wanted(registry, make_facts(head=head), policy) == [""]
    assert wanted(registry, make_facts(head=head, body=b"<p>text"), policy) == ["/l.xml"]


def test_nothing_is_asked_for_on_behalf_of_a_page_that_is_refused_anyway(registry, policy, make_facts, make_head):
    head = make_head(200, ("Link", '</l.xml>; rel=license; type="application/rsl+xml"'))
    body = b"<meta name=robots content=noai><p>text"
    decision = wanted(registry, make_facts(head=head, body=body), policy)
    assert (decision.verdict, decision.reason) == ("discarded", "page-robots.noai")
    robots = "User-agent: *\nDisallow: /\nLicense: /l.xml\n"
    assert wanted(registry, make_facts(robots), policy).reason == "robots.disallow"


def test_policy_is_asked_for_only_when_nothing_else_closes_the_case(registry, policy, make_facts):
    tdmrep = '[{"location": "/", "tdm-reservation": 1, "tdm-policy": "https://p.example/p.json"}]'
    assert wanted(registry, make_facts(tdmrep=tdmrep), policy) == ["https://p.example/p.json"]
    closed = make_facts("User-agent: *\nContent-Signal: ai-train=no\n", tdmrep)
    assert wanted(registry, closed, policy).verdict == "refused"


def test_canonical_origin_is_asked_in_profile_strict_only(registry, policy, make_facts, make_head):
    body = b'<link rel="canonical" href="https://first.example/story"><p>text'
    facts = make_facts(head=make_head(), body=body)
    assert wanted(registry, facts, policy).verdict == "kept"
    strict = msgspec.structs.replace(policy, profile="strict")
    assert wanted(registry, facts, strict) == ["https://first.example/.well-known/tdmrep.json"]


def test_each_failure_of_an_announced_document_leaves_it_unknown(registry, policy, make_facts):
    robots = "User-agent: *\nAllow: /\nLicense: https://lic.example/l.xml\n"
    for answer in (
        Answer(url="", status=403),
        Answer(url="", failure="blocklisted"),
        Answer(url="", status=200, failure="inflation"),
        Answer(url="", status=200, body=b"<rsl/>", truncated=True),
        Answer(url="", status=302),
    ):
        decision = wanted(registry, make_facts(robots, documents={"https://lic.example/l.xml": answer}), policy)
        assert (decision.verdict, decision.reason) == ("held", "rsl.unreadable")
