"""Replay: the same decision from the same bytes, and every other decision named with what differs first."""

import hashlib
import json

import pytest

from provenance.entry import ConfigEntry, LoggedSignal
from provenance.verify import verify
from reservations.model import Category, Value, Verdict

URL = "https://example.org/a"
RESERVED = b'<html><head><meta name="tdm-reservation" content="1"></head></html>'


def level_3(out):
    return verify(out, ["L3"]).levels[-1]


def whats(out):
    return [one.what for one in level_3(out).differences]


def test_decisions_are_read_again_from_bytes(whole):
    assert level_3(whole).counts == {"read again from bytes": 3}
    assert not level_3(whole).differences


def test_page_that_was_not_kept_is_decided_again_from_recorded_signals(crawled):
    crawled.discarded(URL, RESERVED)
    crawled.finish()
    level = level_3(crawled.out)
    assert level.counts == {"decided again from recorded signals": 1}
    assert level.ok


def test_reservation_left_out_of_a_kept_page_s_entry_is_found(crawled):
    crawled.kept(URL, RESERVED, verdict=Verdict.KEPT, reason="policy.open", signals=())
    crawled.finish()
    (what,) = whats(crawled.out)
    assert "says kept, policy.open at body; its rules give discarded, tdmrep.reserved at body" in what
    assert "signal 1 is missing in the log" in what


def test_invented_signal_is_found(crawled):
    deny = {Category.TDM: Value.DENY}
    signal = LoggedSignal(p="tdmrep", reason="tdmrep.reserved", carrier="html_meta", src="body", effective=deny)
    crawled.kept(URL, signals=(signal,))
    crawled.finish()
    assert "missing in the replay" in whats(crawled.out)[0]


def test_page_asked_for_against_robots_txt_is_found(crawled):
    url = "https://example.org/private/x"
    fields = crawled.examined(URL, b"<p>")
    crawled.kept(url, **fields)
    crawled.finish()
    assert "says kept, policy.open at body; its rules give refused, robots.disallow at origin" in whats(crawled.out)[0]


def test_page_refused_though_nothing_forbids_it_is_found(crawled):
    fields = crawled.examined("https://example.org/private/x")
    crawled.refused(URL, **(fields | {"signals": ()}))
    crawled.finish()
    assert (
        "the rules would have asked for https://example.org/.well-known/tdmrep.json, which was not asked for"
        in whats(crawled.out)[0]
    )


def test_discarded_page_whose_verdict_does_not_follow_from_its_signals_is_found(crawled):
    crawled.discarded(URL, RESERVED, verdict=Verdict.HELD)
    crawled.finish()
    assert "says held, tdmrep.reserved at body; its rules give discarded, tdmrep.reserved" in whats(crawled.out)[0]


def test_attempt_that_a_crash_cut_off_is_no_decision(crawled):
    crawled.decide(url=URL, verdict=Verdict.FAILED, reason="crawl.interrupted", gate="transfer")
    crawled.finish()
    level = level_3(crawled.out)
    assert level.counts == {"interrupted, not decided by rules": 1}
    assert level.ok


# -- the rules in the folder -------------------------------------------------------------------------------------------


def test_rules_that_are_missing_are_said_and_nothing_is_replayed(whole):
    next((whole / "log/rules").iterdir()).unlink()
    level = level_3(whole)
    assert "cannot be read" in level.differences[0].what
    assert level.counts == {"not replayed, for want of their rules": 3}


def test_rules_that_were_changed_are_refused(whole):
    path = next((whole / "log/rules").iterdir())
    bundle = json.loads(path.read_bytes())
    bundle["policy"] = bundle["policy"].replace('"text/html", ', "")
    path.write_bytes(json.dumps(bundle).encode())
    assert "has not the digest that its name says" in whats(whole)[0]


def test_rules_behind_a_link_are_not_read(whole, tmp_path):
    path = next((whole / "log/rules").iterdir())
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert "cannot be read" in whats(whole)[0]


@pytest.mark.parametrize("octets", [b"", b"{}", b"[" * 100_000, b"\x00" * 1000])
def test_hostile_rules_are_a_difference_not_a_crash(crawled, octets):
    digest = hashlib.sha256(octets).hexdigest()
    (crawled.out / f"log/rules/{digest}.json").write_bytes(octets)
    crawled.enter(ConfigEntry, rules=f"sha256:{digest}", policy="", policy_name="", protocols="")
    crawled.finish()
    assert "cannot be parsed" in whats(crawled.out)[0]


def test_config_that_names_another_policy_than_its_bundle_is_found(crawled, rules):
    crawled.enter(ConfigEntry, rules=rules.digest, policy="sha256:1", policy_name="", protocols=rules.registry.digest)
    crawled.finish()
    assert "the bundle holds rules" in whats(crawled.out)[0]


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "..", ""])
def test_names_of_rules_lead_nowhere_else(crawled, name):
    crawled.enter(ConfigEntry, rules=f"sha256:{name}", policy="", policy_name="", protocols="")
    crawled.finish()
    assert "cannot be read" in whats(crawled.out)[0] or "names no rules" in whats(crawled.out)[0]
