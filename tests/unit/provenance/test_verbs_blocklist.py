import datetime as dt
import json
import re
import shutil
from importlib import resources
from pathlib import Path

import pytest
from typer.testing import CliRunner

from blocklists.model import BlocklistError
from blocklists.signing import StaffKey
from provenance import builds, verbs_blocklist
from provenance.blocklist_verbs import common

TODAY = dt.datetime(2026, 11, 22, 9, 30, tzinfo=dt.UTC)
EXAMPLE = Path(str(resources.files("crawler.demo"))) / "blocklist" / "court-of-example.toml"


@pytest.fixture
def clock(monkeypatch):
    days = [TODAY]
    monkeypatch.setattr(common, "now", lambda: days[-1])
    return days


@pytest.fixture
def folder(tmp_path, clock):
    decisions = tmp_path / "decisions"
    decisions.mkdir()
    shutil.copy(EXAMPLE, decisions)
    return decisions


def _run(*words, code=0):
    result = CliRunner().invoke(verbs_blocklist.app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def signed(tmp_path, folder):
    key, out = tmp_path / "keys" / "list.key", tmp_path / "build"
    public = json.loads(_run("keygen", "--name", "a.berg", "--key", key, "--json").stdout)["public"]
    _run("compile", folder, out, "--key", key)
    return out, key, public


def test_example_of_the_demo_is_without_fault(folder):
    assert _run("lint", folder).stdout == "Nothing is wrong.\n"


def test_lint_tells_every_fault_with_its_line_and_fails(folder):
    text = EXAMPLE.read_text("utf-8").replace("tier = 1", "tier = 9").replace('"pirate.example"', '"*.example"')
    (folder / EXAMPLE.name).write_text(text, "utf-8")
    (folder / "other.toml").write_bytes(b"\xff")
    told = _run("lint", folder, code=1).stdout.splitlines()
    assert [re.match(r"[^:]+(:\d+)?: error: ?(\w*)", line)[2] for line in told] == ["tier", "host", "Octet"]
    as_json = json.loads(_run("lint", folder, "--json", code=1).stdout)["faults"]
    assert [fault["key"] for fault in as_json] == ["tier", "host", ""]


def test_overdue_review_fails_the_lint_and_not_the_build(signed, folder, clock):
    out, key, _ = signed
    clock.append(TODAY.replace(year=2027))
    assert "overdue" in _run("lint", folder, code=1).stdout
    assert "Review overdue: dc-example-2026-1" in _run("compile", folder, out, "--key", key).stdout


def test_key_is_the_owners_alone_and_is_never_overwritten(signed):
    _, key, public = signed
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.with_name("list.key.pub").read_text("utf-8").strip() == public
    assert "never overwritten" in _run("keygen", "--name", "b", "--key", key, code=1).stderr
    assert "name of a key" in _run("keygen", "--name", "b c", "--key", key, code=1).stderr


def test_build_that_was_signed_verifies_and_the_crawler_can_load_it(signed):
    out, _, public = signed
    assert "can be used" in _run("verify", out, "--keys", public).stdout
    blocklist, manifest = builds.load_build(out, keys=[public], today=TODAY.date())
    assert blocklist.has_eu_source
    assert blocklist.version == "2026.11.22-1"
    assert (out / "manifest.json").read_bytes() == manifest


def test_build_verifies_as_a_signed_note(signed):
    out, _, _ = signed
    note = (out / "manifest.json").read_bytes() + b"\n" + (out / "manifest.sig").read_bytes()
    assert re.fullmatch(rb"\{[^\n]+\}\n\n\xe2\x80\x94 a\.berg [A-Za-z0-9+/=]+\n", note)


@pytest.mark.parametrize("name", ["blocklist.jsonl", "blocklist.index", "manifest.json", "manifest.sig"])
def test_build_with_a_file_changed_or_missing_fails(signed, name):
    out, _, public = signed
    whole = (out / name).read_bytes()
    (out / name).write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    _run("verify", out, "--keys", public, code=1)
    (out / name).unlink()
    assert name in _run("verify", out, "--keys", public, code=1).stderr


def test_build_of_another_signer_or_time_fails(signed, clock):
    out, _, public = signed
    assert "not signed by anybody" in _run("verify", out, "--keys", StaffKey.new("x").public_text(), code=1).stderr
    clock.append(TODAY + dt.timedelta(days=31))
    assert "31 days old" in _run("verify", out, "--keys", public, code=1).stderr


def test_versions_count_within_the_day(signed, folder, clock):
    out, key, _ = signed
    _run("compile", folder, out, "--key", key)
    assert builds.load_build(out, keys=[signed[2]], today=TODAY.date())[0].version == "2026.11.22-2"
    clock.append(TODAY + dt.timedelta(days=1))
    answer = json.loads(_run("compile", folder, out, "--key", key, "--json").stdout)
    assert answer["version"] == "2026.11.23-1"


def test_shrunken_build_is_not_put_in_place_without_a_reason(signed, folder):
    out, key, public = signed
    text = EXAMPLE.read_text("utf-8").replace('status = "active"', 'status = "proposed"')
    (folder / EXAMPLE.name).write_text(text, "utf-8")
    assert "keeps 0 names out" in _run("compile", folder, out, "--key", key, code=1).stderr
    assert builds.load_build(out, keys=[public], today=TODAY.date())[0].version == "2026.11.22-1"
    told = _run("compile", folder, out, "--key", key, "--shrunk-because", "order lifted").stdout
    assert "a crawl will not start with it" in told


def test_verify_compares_with_the_build_before(signed, folder, tmp_path):
    out, key, public = signed
    before = shutil.copytree(out, tmp_path / "before")
    _run("compile", folder, out, "--key", key)
    assert _run("verify", out, "--keys", public, "--previous", before)


def test_key_under_another_name_signs_nothing(signed, folder):
    out, key, _ = signed
    key.with_name("list.key.pub").write_text(StaffKey.new("a.berg").public_text(), "utf-8")
    assert "another private key" in _run("compile", folder, out, "--key", key, code=1).stderr
    key.with_name("list.key.pub").unlink()
    assert "blocklist keygen" in _run("compile", folder, out, "--key", key, code=1).stderr


def test_folder_without_decisions_is_an_error(tmp_path, clock):
    assert "No decision" in _run("lint", tmp_path, code=1).stderr
    assert "no such folder" in _run("lint", tmp_path / "none", code=1).stderr


def test_explain_says_who_decided_and_who_approved(signed):
    told = _run("explain", signed[0], "https://www.pirate.example/film").stdout
    for word in (
        "Listed",
        "dc-example-2026-1/domain:pirate.example",
        "(fictitious)",
        "b.cole (claimed), c.dahl (claimed)",
        "2026-03-03",
    ):
        assert word in told
    answer = json.loads(_run("explain", signed[0], "www.pirate.example", "--json").stdout)
    assert answer["hit"]["tier"] == 1
    assert "domain example" in answer["tried"]


def test_explain_says_that_a_site_is_not_listed_and_what_is_no_site(signed):
    assert "Not listed" in _run("explain", signed[0], "other.example", "--at", "2026-12-01").stdout
    assert _run("explain", signed[0], "https://\x1b[31m/", code=1).stderr.isascii()
    assert "is not a day" in _run("explain", signed[0], "other.example", "--at", "tomorrow", code=1).stderr


def test_bundled_suffix_list_knows_both_sections():
    suffixes = ("co.uk", "github.io", "pirate.example", "example.co.uk")
    assert [builds.is_public_suffix(name) for name in suffixes] == [True, True, False, False]


def test_folder_that_is_no_build_is_refused(tmp_path):
    with pytest.raises(BlocklistError, match=r"manifest\.json"):
        builds.load_build(tmp_path, keys=[], today=TODAY.date())


def test_control_characters_reach_no_terminal(signed, folder):
    (folder / "x\x1b[31m.toml").write_text("x", "utf-8")
    assert "\x1b" not in _run("lint", folder, code=1).stdout


@pytest.mark.parametrize("verb", ["lint", "compile", "keygen", "verify", "explain"])
def test_help_shows_an_example(verb):
    assert f"knockfirst blocklist {verb}" in " ".join(_run(verb, "--help").stdout.split())
