"""The rules a crawl goes by: loaded with every fault told, kept beside the log, entered before they count."""

import asyncio
from types import SimpleNamespace

import msgspec
import pytest
from scrapy.settings import Settings

from crawler.in_force import RulesInForce
from crawler.listing import ListRefusedError
from crawler.options import read_options
from provenance import entry as leaves
from provenance.rules import Rules

TOKENS = ("KnockfirstBot",)
SETTINGS = {
    "KNOCKFIRST_OPERATOR": "Example Lab",
    "KNOCKFIRST_CONTACT": "https://lab.example/crawler",
    "KNOCKFIRST_NO_BLOCKLIST": "a test",
}
RULES = Rules.load(tokens=TOKENS)


def load(**more):
    options, faults = read_options(Settings({**SETTINGS, **more}), "web")
    assert faults == []
    return RulesInForce.load(options, TOKENS)


class Log:
    """Takes entries down."""

    def __init__(self):
        self.entered = []

    def enter(self, kind, **fields):
        self.entered.append((kind, fields))
        return len(self.entered) - 1


class Builds:
    """A list that gets newer builds; `word` is what happens to it, in order."""

    def __init__(self, *versions):
        self.versions, self.words = list(versions), []
        self.manifest, self.blocklist = "{}", None

    def current(self):
        return not self.versions

    async def renew(self):
        self.words.append("renewed")
        await asyncio.sleep(0)
        self.blocklist = SimpleNamespace(version=self.versions.pop(0))
        return True

    def keep(self, _folder):
        self.words.append("kept")

    def adopted(self):
        self.words.append("adopted")


class Known(msgspec.Struct):
    """Rules of which only the list changes."""

    digest: str = RULES.digest
    blocklist: object = None

    def __getattr__(self, name):
        return getattr(RULES, name)

    def with_blocklist(self, blocklist, _manifest):
        listed = SimpleNamespace(version=blocklist.version, digest="sha256:1", sources=())
        return Known(f"sha256:{blocklist.version}", listed)


def renew(in_force, log, *, ending=False, times=1):
    async def main():
        return await asyncio.gather(*(in_force.renew(log, ending=lambda: ending) for _ in range(times)))

    return asyncio.run(main())


def test_shipped_rules_are_in_force_where_nothing_is_named():
    in_force, faults = load()
    assert faults == []
    assert in_force.rules.digest == RULES.digest
    assert (in_force.listing, in_force.config, in_force.current()) == (None, -1, True)


def test_faults_of_policy_and_protocols_are_told_by_the_setting_that_named_them(tmp_path):
    policy, data = tmp_path / "policy.toml", tmp_path / "data"
    policy.write_text("name = 3\n", "utf-8")
    in_force, faults = load(KNOCKFIRST_POLICY=str(policy))
    assert in_force is None
    assert {fault.where for fault in faults} == {"KNOCKFIRST_POLICY"}
    assert all(str(policy) in fault.what for fault in faults)
    data.mkdir()
    (data / "mine.toml").write_text("id = ", "utf-8")
    in_force, faults = load(KNOCKFIRST_DATA=str(data))
    assert in_force is None
    assert {fault.where for fault in faults} == {"KNOCKFIRST_DATA"}


def test_list_that_cannot_be_relied_on_is_a_fault_beside_the_others(tmp_path):
    policy, build = tmp_path / "policy.toml", tmp_path / "build"
    policy.write_text("name = 3\n", "utf-8")
    build.mkdir()
    listed = {"KNOCKFIRST_BLOCKLIST": str(build), "KNOCKFIRST_BLOCKLIST_KEYS": "lists.example/a+1+x"}
    _, faults = load(KNOCKFIRST_POLICY=str(policy), **listed)
    assert {fault.where for fault in faults} == {"KNOCKFIRST_BLOCKLIST", "KNOCKFIRST_POLICY"}


def test_rules_lie_beside_the_log_and_are_entered(tmp_path):
    in_force, log = RulesInForce(RULES, None, tmp_path / "log" / "rules"), Log()
    asyncio.run(in_force.enter(log))
    ((kind, fields),) = log.entered
    assert (kind, in_force.config) == (leaves.ConfigEntry, 0)
    assert (fields["rules"], fields["blocklist"], fields["blocklist_version"]) == (RULES.digest, "", "")
    (bundle,) = (tmp_path / "log" / "rules").iterdir()
    assert bundle.name == f"{RULES.digest.removeprefix('sha256:')}.json"
    assert bundle.read_bytes() == RULES.bundle.encode()


def test_newer_list_is_kept_and_entered_before_it_is_in_force(tmp_path):
    builds, log = Builds("2"), Log()
    in_force = RulesInForce(Known(), builds, tmp_path)
    assert not in_force.current()
    assert renew(in_force, log) == [True]
    assert builds.words == ["renewed", "kept", "adopted"]
    assert (in_force.rules.digest, in_force.config) == ("sha256:2", 0)
    assert log.entered[0][1]["blocklist_version"] == "2"


def test_many_who_notice_at_once_renew_once(tmp_path):
    builds, log = Builds("2"), Log()
    changed = renew(RulesInForce(Known(), builds, tmp_path), log, times=4)
    assert sorted(changed) == [False, False, False, True]
    assert builds.words.count("renewed") == len(log.entered) == 1


def test_crawl_that_is_ending_takes_up_no_list(tmp_path):
    builds, log = Builds("2"), Log()
    with pytest.raises(ListRefusedError):
        renew(RulesInForce(Known(), builds, tmp_path), log, ending=True)
    assert log.entered == []


def test_crawl_without_a_list_has_nothing_to_renew(tmp_path):
    assert renew(RulesInForce(RULES, None, tmp_path), Log()) == [False]
