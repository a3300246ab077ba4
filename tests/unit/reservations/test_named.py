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


RESERVED = "<p>Text and data mining under Article 4 of Directive (EU) 2019/790 is reserved.</p>"
ROBOTS = "User-agent: *\nAllow: /\nLicense: https://lic.example/l.xml\n"


def licence(terms, offer='<permits type="usage">all</permits>'):
    named = "".join(f"<terms>{one}</terms>" for one in terms)
    content = f'<content url="/"><license>{offer}</license>{named}</content>'
    return f'<rsl xmlns="https://rslstandard.org/rsl">{content}</rsl>'


def with_licence(make_facts, text, robots=ROBOTS, **documents):
    return make_facts(robots, documents={"https://lic.example/l.xml": text, **documents})


def test_terms_that_a_permitting_licence_names_are_asked_for_and_refuse(registry, policy, make_facts):
    key = "https://lic.example/terms#terms"
    text = licence(["https://lic.example/terms"])
    assert wanted(registry, with_licence(make_facts, text), policy) == [key]
    decision = wanted(registry, with_licence(make_facts, text, **{key: RESERVED}), policy)
    assert (decision.verdict, decision.reason) == ("refused", "language.reservation")
    assert wanted(registry, with_licence(make_facts, text, **{key: "<p>Bread is sold.</p>"}), policy) == [""]


@pytest.mark.parametrize("terms", ["our terms apply", "see https://lic.example/terms", "/terms", "mailto:a@b.example"])
def test_terms_in_words_are_never_fetched(registry, policy, make_facts, terms):
    assert wanted(registry, with_licence(make_facts, licence([terms])), policy) == [""]


def test_terms_of_a_licence_that_permits_nothing_are_not_asked_for(registry, policy, make_facts):
    text = licence(["https://lic.example/terms"], '<prohibits type="usage">all</prohibits>')
    assert wanted(registry, with_licence(make_facts, text), policy).reason == "rsl.prohibited"


@pytest.mark.parametrize(
    ("answer", "verdicts"),
    [
        (Answer(url="", status=404), ("refused", "held", "wants")),
        (Answer(url="", failure="timeout"), ("refused", "held", "wants")),
        (Answer(url="", status=200, body=b"%PDF-1.7"), ("refused", "held", "wants")),
    ],
)
def test_terms_that_cannot_be_read_leave_the_permission_unknown(registry, policy, make_facts, answer, verdicts):
    facts = with_licence(make_facts, licence(["https://lic.example/t"]), **{"https://lic.example/t#terms": answer})
    for profile, verdict in zip(("strict", "standard", "letter"), verdicts, strict=True):
        decision = registry.examine(facts, msgspec.structs.replace(policy, profile=profile), "ExampleBot")
        assert (decision.verdict if isinstance(decision, Decision) else "wants") == verdict


def test_licences_and_their_terms_are_ten_documents_together(registry, policy, make_facts):
    terms = [f"https://lic.example/{number}" for number in range(12)]
    letter = msgspec.structs.replace(policy, profile="letter")
    assert len(wanted(registry, with_licence(make_facts, licence(terms)), letter)) == 9
    held = wanted(registry, with_licence(make_facts, licence(terms)), policy)
    assert (held.verdict, held.reason) == ("held", "rsl.unreadable")


def test_what_terms_name_is_not_followed(registry, policy, make_facts):
    deeper = '<link rel="license" type="application/rsl+xml" href="/m.xml"><a href="/agb">AGB</a><p>Bread.</p>'
    facts = with_licence(make_facts, licence(["https://site.example/t"]), **{"/t#terms": deeper})
    assert wanted(registry, facts, policy) == [""]


def test_terms_on_the_own_origin_that_robots_txt_closes_are_not_asked_for(registry, policy, make_facts):
    robots = ROBOTS.replace("Allow: /", "Disallow: /t")
    decision = wanted(registry, with_licence(make_facts, licence(["https://site.example/t"]), robots), policy)
    assert (decision.reason, decision.consulted["/t#terms"]) == ("rsl.unreadable", "robots")
