"""Other rules against a log: exactly the URLs they affect, and nothing claimed of what was never asked for."""

import msgspec
import pytest

from provenance.diff import Change, DiffError, diff, other_rules
from provenance.rules import Rules, shipped_policy


@pytest.fixture
def log(crawled):
    crawled.kept("https://a.example/1")
    crawled.kept("https://b.example/2")
    crawled.refused("https://a.example/private/3")
    crawled.refused("https://a.example/4?api_key=5")
    crawled.finish()
    return crawled.out


@pytest.fixture
def policy(tmp_path):
    def write(old, new):
        text = shipped_policy()
        assert old in text
        path = tmp_path / "policy.toml"
        path.write_text(text.replace(old, new), "utf-8")
        return path

    return write


def test_same_rules_change_nothing(log, policy):
    found = diff(log, policy("# ", "## "))
    assert (found.urls, found.same, dict(found.changes)) == (4, 4, {})


def test_one_line_changed_shows_exactly_the_urls_it_affects(log, policy):
    found = diff(log, policy('"text/html", ', ""))
    change = Change("kept", "policy.open", "aborted", "scope.media-type")
    assert dict(found.changes) == {change: 2}
    assert found.samples == {change: ["https://a.example/1", "https://b.example/2"]}
    assert dict(found.sites) == {"a.example": 1, "b.example": 1}


def test_url_that_would_now_be_asked_for_has_an_unknown_result(log, policy):
    found = diff(log, policy('"api_key", ', ""))
    what = "would ask for https://a.example/robots.txt, which was not asked for"
    assert dict(found.changes) == {Change("refused", "url.secret", "result unknown", what): 1}


def test_rules_can_be_a_bundle_or_a_folder_of_protocol_files(log, tmp_path, rules):
    bundle = tmp_path / "bundle.json"
    bundle.write_bytes(rules.bundle.encode())
    assert diff(log, bundle).same == 4
    folder = tmp_path / "protocols"
    folder.mkdir()
    for name, text in rules.bundle.protocols.items():
        (folder / name).write_text(text, "utf-8")
    assert diff(log, folder).same == 4


@pytest.mark.parametrize("what", ["nowhere", "empty", "faulty"])
def test_rules_that_cannot_be_read_are_refused(log, tmp_path, what):
    (tmp_path / "empty").mkdir()
    (tmp_path / "faulty").write_text("name = 1\n", "utf-8")
    with pytest.raises(DiffError):
        diff(log, tmp_path / what)


def test_parts_that_are_not_replaced_stay(tmp_path, policy):
    base = Rules.load(tokens=("KnockfirstBot", "Other"))
    made = other_rules(policy("# ", "## "), base)
    assert made.tokens == base.tokens
    assert msgspec.structs.replace(made.bundle, policy="", policy_name="") == msgspec.structs.replace(
        base.bundle, policy="", policy_name=""
    )
