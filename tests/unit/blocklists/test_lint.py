import datetime as dt

import pytest

from blocklists.lint import lint


def _faults(kit, files, today=None):
    return lint(files, today=today or kit.today, is_public_suffix=kit.is_public_suffix)[1]


def _only(kit, text, today=None):
    faults = _faults(kit, {"d.toml": text}, today)
    return [(str(fault.level), fault.key) for fault in faults]


CLOSED = {
    "changed_on": "2026-10-01",
    "changed_by": '"b.cole"',
    "change_cause": '"objection"',
    "change_reference": '"O-7"',
}


def test_good_decision_has_no_fault(kit):
    assert _only(kit, kit.decision()) == []


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"country": '"GB"'}, ["country"]),
        ({"country": '"IS"'}, []),
        ({"country": '"EU"'}, []),
        ({"authority_type": '"other"'}, ["authority_type"]),
        ({"reference": None}, ["reference"]),
        ({"document_sha256": None}, ["document_sha256"]),
        ({"document_url": None}, ["document_url"]),
        ({"country": '"US"', "tier": "3", "reference": None, "document_sha256": None, "document_url": None}, []),
        ({"open_ended": None}, ["in_force_until"]),
        ({"open_ended": "false"}, ["in_force_until"]),
        ({"in_force_until": "2028-01-01"}, ["in_force_until"]),
        ({"in_force_until": "2028-01-01", "open_ended": None}, []),
        ({"in_force_until": "2026-02-01", "open_ended": None}, ["in_force_until", "in_force_until"]),
        ({"date": "2026-11-23"}, ["date"]),
        ({"review_by": "2027-09-02"}, []),
        ({"review_by": "2027-09-03"}, ["review_by"]),
        ({"review_by": "2026-12-02", "tier": "2"}, ["review_by"]),
        ({"review_by": "2026-12-30", "tier": "2"}, ["review_by"]),
        ({"review_by": "2027-01-01", "live_sport": "true"}, ["review_by"]),
    ],
)
def test_decision_is_judged_by_its_tier_and_terms(kit, changes, keys):
    assert [key for _, key in _only(kit, kit.decision(**changes))] == keys


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"match": '"host"'}, []),
        ({"match": '"path"', "path": '"/user/pirate"'}, []),
        ({"match": '"path"'}, ["path"]),
        ({"path": '"/user"'}, ["path"]),
        ({"match": '"path"', "path": '"/user/"'}, ["path"]),
        ({"match": '"path"', "path": '"user"'}, ["path"]),
        ({"match": '"path"', "path": '"/"'}, ["path"]),
        ({"match": '"path"', "path": '"/a/../b"'}, ["path"]),
        ({"match": '"path"', "path": '"/a?b"'}, ["path"]),
        ({"match": '"path"', "path": '"/%61"'}, ["path"]),
        ({"match": '"path"', "path": '"/1/2/3/4/5/6/7/8/9"'}, ["path"]),
        ({"of": '"pirate.example"'}, ["of"]),
        ({"role": '"mirror"'}, ["of"]),
        ({"role": '"mirror"', "of": '"unknown.example"'}, ["of"]),
        ({"approved_by": None}, ["approved_by"]),
        ({"approved_by": '["b.cole"]'}, ["approved_by"]),
        ({"approved_by": '["b.cole", " B.Cole"]'}, ["approved_by"]),
        ({"approved_by": '["a.berg", "b.cole"]'}, []),
        ({"verified_on": None}, ["verified_on"]),
        ({"status": '"proposed"', "approved_by": None, "verified_on": None}, []),
        ({"status": '"removed"', "approved_by": None, "verified_on": None, **CLOSED}, []),
        ({"status": '"suspended"', **CLOSED}, []),
        ({"status": '"suspended"'}, ["changed_on", "changed_by", "change_cause", "change_reference"]),
        ({"added": "2026-11-23"}, ["added"]),
        ({"status": '"removed"', **CLOSED, "changed_on": "2026-11-23"}, ["changed_on"]),
    ],
)
def test_entry_is_judged_by_its_state(kit, changes, keys):
    assert sorted(key for _, key in _only(kit, kit.decision(kit.row(**changes)))) == sorted(keys)


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("https://pirate.example", "scheme"),
        ("pirate.example:8080", "port"),
        ("me@pirate.example", "user name"),
        ("*.pirate.example", "wildcard"),
        ("pirate.example/film", "path"),
        ("pirate.example.", "ends with a dot"),
        (".pirate.example", "begins or"),
        ("192.0.2.1", "address"),
        ("[2001:db8::1]", "address"),
        ("2001:db8::1", "address"),
        ("example", "single word"),
        ("Pirate.Example", 'Write "pirate.example"'),
        ("m\u00fcller.example", 'Write "xn--mller-kva.example"'),
        ("fa\u00df.example", 'Write "xn--fa-hia.example"'),
        ("pirate_site.example", "not the name of a host"),
        ("-pirate.example", "not the name of a host"),
        ("pirate..example", "not the name of a host"),
        ("a" * 64 + ".example", "not the name of a host"),
        ("pirate site.example", "not the name of a host"),
        (".".join(["a" * 60] * 5), "not the name of a host"),
        ("0x7f.1", "address"),
        ("pirate.127", "address"),
        ("3221225985", "address"),
        ("co.example", "public suffix"),
        ("pages.example", "public suffix"),
    ],
)
def test_host_in_another_form_is_refused_with_what_to_write(kit, host, told):
    faults = _faults(kit, {"d.toml": kit.decision(kit.row(host=f'"{host}"'))})
    assert [fault.key for fault in faults] == ["host"]
    assert told in str(faults[0])


def test_name_that_mixes_alphabets_is_pointed_at(kit):
    imitation = "xn--pirte-4ve.example"  # a Cyrillic letter among Latin ones
    assert _only(kit, kit.decision(kit.row(host=f'"{imitation}"'))) == [("warning", "host")]
    assert _only(kit, kit.decision(kit.row(host='"xn--mller-kva.example"'))) == []


@pytest.mark.parametrize("tier", ["2", "3", "4"])
def test_proposer_cannot_approve_without_a_court(kit, tier):
    text = kit.decision(
        kit.row(approved_by='["a.berg", "b.cole", "c.dahl"]', verified_on="2026-11-20"),
        tier=tier,
        review_by="2027-02-01",
    )
    assert _only(kit, text) == [("error", "approved_by")]


def test_review_is_announced_then_overdue(kit):
    assert _only(kit, kit.decision(), dt.date(2027, 8, 1)) == []
    assert _only(kit, kit.decision(), dt.date(2027, 8, 2)) == [("warning", "review_by")]
    assert _only(kit, kit.decision(), dt.date(2027, 9, 2)) == [("overdue", "review_by")]


def test_lapsed_term_is_pointed_at(kit):
    text = kit.decision(open_ended=None, in_force_until="2026-12-01")
    assert _only(kit, text, dt.date(2026, 12, 2)) == [("warning", "in_force_until")]


def test_mirror_of_a_primary_in_another_file_is_allowed(kit):
    mirror = kit.decision(kit.row(host='"mirror.example"', role='"mirror"', of='"pirate.example"'), id='"dc-2"')
    assert _faults(kit, {"a.toml": kit.decision(), "b.toml": mirror}) == []


def test_same_name_twice_in_one_decision_is_refused_and_in_two_is_not(kit):
    twice = kit.decision(kit.row(), kit.row())
    assert _only(kit, twice) == [("error", "host")]
    assert _faults(kit, {"a.toml": kit.decision(), "b.toml": kit.decision(id='"dc-2"')}) == []


def test_name_below_a_listed_domain_is_needless_unless_its_status_differs(kit):
    below = {"host": '"www.pirate.example"'}
    assert _only(kit, kit.decision(kit.row(), kit.row(**below))) == [("error", "host")]
    assert _only(kit, kit.decision(kit.row(), kit.row(**below, status='"suspended"', **CLOSED))) == []


def test_one_id_for_two_decisions_is_refused(kit):
    faults = _faults(kit, {"a.toml": kit.decision(), "b.toml": kit.decision()})
    assert [(fault.file, fault.key) for fault in faults] == [("b.toml", "id")]
    assert "a.toml" in faults[0].what


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({}, []),
        ({"excepts": '"unknown"'}, ["excepts"]),
        ({"host": '"pirate.example"'}, ["host"]),
        ({"host": '"pirate.example"', "match": '"host"'}, []),
        ({"host": '"pirate.example"', "match": '"path"', "path": '"/legal"'}, []),
        ({"host": '"example.org"'}, ["host"]),
        ({"approved_by": '["a.berg"]'}, ["approved_by"]),
        ({"added": "2026-11-23"}, ["added"]),
        ({"until": "2026-11-21"}, ["until"]),
        ({"until": None}, ["until"]),
        ({"reason": '""'}, ["reason"]),
    ],
)
def test_exception_must_be_narrower_and_answered_for(kit, changes, keys):
    faults = _faults(kit, {"d.toml": kit.decision(), "exceptions.toml": kit.exception(**changes)})
    assert [fault.key for fault in faults] == keys


def test_exception_twice_is_refused(kit):
    files = {"d.toml": kit.decision(), "exceptions.toml": kit.exception() + kit.exception()}
    assert [(fault.line, fault.key) for fault in _faults(kit, files)] == [(12, "host")]


def test_all_faults_of_all_files_are_told_together(kit):
    files = {
        "a.toml": kit.decision(country='"UK"', teir="1"),
        "b.toml": "id = ",
        "c.toml": kit.decision(kit.row(host='"HTTP://x"'), kit.row(status='"on"'), id='"dc-3"'),
        "d.txt": "",
        "e.hosts.csv": "",
        "exceptions.toml": kit.exception(excepts='"nobody"'),
    }
    told = [(fault.file, fault.line, fault.key) for fault in _faults(kit, files)]
    assert told == [
        ("a.toml", 4, "country"),
        ("a.toml", 15, "teir"),
        ("b.toml", 1, ""),
        ("c.toml", 16, "host"),
        ("c.toml", 28, "status"),
        ("d.txt", 0, ""),
        ("e.hosts.csv", 0, ""),
        ("exceptions.toml", 2, "excepts"),
    ]
