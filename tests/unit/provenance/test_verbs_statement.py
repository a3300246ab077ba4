"""`knockfirst review statement`: signed by the site, checked, put on file by staff, and part of the rules."""

from __future__ import annotations

import datetime as dt

import pytest
from typer.testing import CliRunner

from crawler.cli import app
from provenance.blocklist_verbs import common
from provenance.rules import Rules
from reservations.datafile import DefinitionError

TEXT = """\
site = "news.example"
path = "/archive/"
says = "open"
because = "Nobody pays for our archive \N{NEWSPAPER}"
date = "2026-11-24"
expires = "2027-05-01"
"""


def run(*words, env=None):
    return CliRunner().invoke(app, ["review", "statement", *map(str, words)], env=env)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with a statement that its site has signed, and the words that go with it."""
    monkeypatch.setattr(common, "now", lambda: dt.datetime(2026, 11, 24, 9, tzinfo=dt.UTC))
    monkeypatch.delenv("KNOCKFIRST_DATA", raising=False)
    key = tmp_path / "news.key"
    made = CliRunner().invoke(app, ["blocklist", "keygen", "--name", "news.example/desk", "--key", str(key)])
    assert made.exit_code == 0, made.output
    (tmp_path / "a.toml").write_text(TEXT, "utf-8")
    signed = run("sign", tmp_path / "a.toml", tmp_path / "a.note", "--key", key)
    assert signed.exit_code == 0, signed.output
    return tmp_path


def site_of(desk):
    return ("--host", "news.example", "--key", (desk / "news.key.pub").read_text("utf-8").strip())


def add(desk, *more, host="news.example"):
    whose = ("--host", host, *site_of(desk)[2:], "--key-from", "its imprint, 2026-11-24", "--by", "a.berg")
    return run("add", desk / "a.note", *whose, "--data", desk / "rules", *more)


def rules_of(desk):
    return Rules.load(tokens=("KnockfirstBot",), data=desk / "rules")


def test_statement_on_file_is_in_the_rules_and_their_digest(desk):
    before = rules_of(desk).digest
    done = add(desk)
    assert done.exit_code == 0, done.output
    assert "news.example/archive/ is open, from 2026-11-24 to 2027-05-01" in done.output
    rules = rules_of(desk)
    assert rules.digest != before
    assert "its imprint, 2026-11-24" in rules.bundle.reviews
    assert add(desk).exit_code == 0
    assert rules_of(desk).bundle.reviews.count("[[statements]]") == 2


def test_check_says_what_it_settles_and_writes_nothing(desk):
    checked = run("check", desk / "a.note", *site_of(desk))
    assert (checked.exit_code, "settles access.unclear there, and lifts no refusal" in checked.output) == (0, True)
    assert add(desk, "--dry-run").exit_code == 0
    assert not (desk / "rules").exists()


def test_statement_that_was_changed_is_refused_and_not_written(desk):
    note = desk / "a.note"
    note.write_text(note.read_text("utf-8").replace("/archive/", "/"), "utf-8")
    for refused in (run("check", note, *site_of(desk)), add(desk)):
        assert (refused.exit_code, "changed after signing" in refused.output) == (1, True), refused.output
    assert not (desk / "rules").exists()


def test_file_changed_by_hand_keeps_the_rules_from_loading(desk):
    assert add(desk).exit_code == 0
    path = desk / "rules" / "reviews" / "sites.toml"
    path.write_text(path.read_text("utf-8").replace("/archive/", "/"), "utf-8")
    with pytest.raises(DefinitionError, match=r"statements\[0\]\.note: the statement does not count"):
        rules_of(desk)
    linted = CliRunner().invoke(app, ["lint", str(path)])
    assert (linted.exit_code, "statements[0].note" in linted.output) == (1, True), linted.output


def test_what_is_missing_is_said(desk):
    assert "given by other.example" in add(desk, host="other.example").output
    assert run("check", desk / "no.note", *site_of(desk)).exit_code == 2
    assert run("sign", desk / "a.toml", desk / "b.note", "--key", desk / "no.key").exit_code == 2
    unplaced = run("add", desk / "a.note", *site_of(desk), "--key-from", "its imprint page", "--by", "a")
    assert (unplaced.exit_code, "KNOCKFIRST_DATA" in unplaced.output) == (2, True)
