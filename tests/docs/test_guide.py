"""The guide for policy staff: its commands are run as they stand there, in order, and print what it says."""

import datetime as dt
from pathlib import Path

import pytest
from support.guide import Desk, steps

from provenance.blocklist_verbs import common

pytestmark = pytest.mark.crawl

PROJECT = Path(__file__).parents[2]
GUIDE = PROJECT / "docs" / "for-policy-staff.md"
NOW = dt.datetime(2026, 11, 24, 9, 30, tzinfo=dt.UTC)


class StaffDesk(Desk):
    """Has an annex that is longer than what the guide shows of it."""

    def show(self, name, text):
        more = "".join(f"{number}. films-{number - 3}[.]example\n" for number in range(5, 303))
        super().show(name, text + (more if name == "annex.txt" else ""))


@pytest.fixture
def desk(empty_desk, demo, monkeypatch):
    monkeypatch.setattr(common, "now", lambda: NOW)
    (empty_desk / "out" / "demo").symlink_to(demo / "out")
    (empty_desk / "reservations").symlink_to(PROJECT / "reservations")
    (empty_desk / "crawler").symlink_to(PROJECT / "crawler")
    (empty_desk / "tests").symlink_to(PROJECT / "tests")
    (empty_desk / "order.pdf").write_bytes(b"%PDF-1.7 the decision")
    return StaffDesk(empty_desk)


def test_every_command_of_the_guide_prints_what_the_guide_says(desk):
    wrong = desk.disagreements(GUIDE)
    assert not wrong, "\n\n".join(wrong)


def test_every_verb_of_the_list_that_staff_need_is_in_the_guide():
    used = {command.split()[2] for command, _ in steps(GUIDE.read_text("utf-8")) if command.startswith("knockfirst bl")}
    needed = {"add", "mirror", "approve", "confirm", "suspend", "import", "compile", "sign", "verify", "lint", "diff"}
    assert needed | {"test", "due", "stats", "who", "explain", "objection", "keygen"} <= used
