"""The rules in force as one bundle with one digest, and the one function that decides."""

import json

import pytest

from provenance.rules import Bundle, Rules, shipped_policy, shipped_protocols
from reservations.datafile import DefinitionError
from reservations.model import Answer, Decision, Facts, Verdict, Want, Wants

AT = 1_795_420_800_000
URL = "https://a.example/x"
RULES = Rules.load(tokens=("ExampleBot", "KnockfirstBot"))


def facts(url=URL, **documents):
    return Facts(url=url, at=AT, documents=documents)


def robots(body, status=200, failure=None):
    answer = Answer(
        url="https://a.example/robots.txt", status=status, body=body.encode(), failure=failure, fetched_at=AT
    )
    return Facts(url=URL, at=AT, documents={"/robots.txt": answer})


def test_bundle_holds_every_text_and_its_digest_is_of_them_all():
    bundle = json.loads(RULES.bundle.encode())
    assert bundle["policy"] == shipped_policy()
    assert bundle["protocols"] == shipped_protocols()
    assert RULES.digest == Rules.load(tokens=("ExampleBot", "KnockfirstBot")).digest
    assert RULES.digest != Rules.load(tokens=("OtherBot", "KnockfirstBot")).digest


def test_bundle_alone_gives_the_same_rules_again():
    import msgspec

    again = Rules(msgspec.json.decode(RULES.bundle.encode(), type=Bundle))
    assert again.digest == RULES.digest
    assert again.registry.digest == RULES.registry.digest
    assert again.examine(facts()) == RULES.examine(facts())


def test_policy_file_of_the_operator_replaces_the_shipped_one(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(shipped_policy().replace("tries = 3", "tries = 2"))
    mine = Rules.load(tokens=RULES.tokens, policy=path)
    assert (mine.policy.tries, RULES.policy.tries) == (2, 3)
    assert mine.digest != RULES.digest


def test_faults_of_a_policy_file_are_reported_with_file_and_line(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(shipped_policy().replace("tries = 3", 'tries = "three"'))
    with pytest.raises(DefinitionError, match=r"mine\.toml:\d+: tries"):
        Rules.load(tokens=RULES.tokens, policy=path)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://user:pw@a.example/", "url.secret"),
        ("https://a.example/?access_token=x", "url.secret"),
        ("ftp://a.example/", "url.unsupported"),
        ("https://a.example:22/", "url.unsupported"),
        ("https://a.example/" + "x" * 8200, "url.unsupported"),
    ],
)
def test_url_that_must_not_be_asked_for_is_refused_before_anything_else(url, reason):
    answer = RULES.examine(facts(url))
    assert isinstance(answer, Decision)
    assert (answer.verdict, answer.reason, answer.gate) == (Verdict.REFUSED, reason, "url")


def test_first_want_is_the_robots_txt_of_the_origin():
    wants = RULES.examine(facts())
    assert isinstance(wants, Wants)
    assert (wants.what, wants.url, wants.key) == (Want.DOCUMENT, "https://a.example/robots.txt", "/robots.txt")


@pytest.mark.parametrize("agent", ["ExampleBot", "knockfirstbot", "*"])
def test_group_of_either_token_closes(agent):
    answer = RULES.examine(robots(f"User-agent: {agent}\nDisallow: /x\n"))
    assert (answer.verdict, answer.reason) == (Verdict.REFUSED, "robots.disallow")


def test_same_facts_give_the_same_decision():
    given = robots("User-agent: *\nDisallow: /\n")
    assert RULES.examine(given) == RULES.examine(given)


def test_crawl_delay_and_sitemaps_are_read_of_an_answer_that_counts():
    text = "User-agent: KnockfirstBot\nCrawl-delay: 7\nSitemap: https://a.example/s.xml\n"
    assert RULES.crawl_delay_s(robots(text)) == 7.0
    assert RULES.sitemaps(robots(text)) == ("https://a.example/s.xml",)
    for nothing in (facts(), robots(text, 404), robots(text, 500), robots(text, 200, "timeout"), robots("")):
        assert RULES.crawl_delay_s(nothing) == 0.0
        assert RULES.sitemaps(nothing) == ()
