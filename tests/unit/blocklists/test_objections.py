import datetime as dt

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklists.model import BlocklistError
from blocklists.objections import (
    Objection,
    Outcome,
    check_id,
    due,
    read_objection,
    statement,
    working_days_after,
    write_objection,
)

FRIDAY = dt.date(2026, 11, 20)
OPEN = Objection(
    id="o-1",
    host="a.example",
    entries=("d/domain:a.example",),
    grounds='It is "mine".\nReally.',
    contact="letters 7",
    received=FRIDAY,
    opened_by="b.cole",
)


def test_file_is_read_as_it_was_written():
    assert read_objection(write_objection(OPEN), file="x") == OPEN


@pytest.mark.parametrize("text", ["x", "id = 1", write_objection(OPEN) + "mail = 'a@b.example'\n"])
def test_file_that_is_none_is_refused(text):
    with pytest.raises(BlocklistError, match="no objection"):
        read_objection(text, file="x")


def test_decision_by_one_person_is_refused():
    alone = msgspec.structs.replace(OPEN, decided_on=FRIDAY, decided_by=("b", "b"), outcome=Outcome.UPHELD)
    with pytest.raises(BlocklistError, match="two people"):
        read_objection(write_objection(alone), file="x")


@pytest.mark.parametrize("name", ["", "../x", "O-1", "a b", "x/y"])
def test_id_that_is_no_file_name_is_refused(name):
    with pytest.raises(BlocklistError):
        check_id(name)


@given(st.dates(dt.date(2000, 1, 1), dt.date(2100, 1, 1)), st.integers(1, 30))
def test_deadline_is_a_working_day_and_leaves_so_many(day, count):
    last = working_days_after(day, count)
    between = [day + dt.timedelta(days=n) for n in range(1, (last - day).days + 1)]
    assert sum(one.weekday() < 5 for one in between) == count
    assert last.weekday() < 5


def test_what_is_due_follows_from_what_was_done():
    assert [(str(day), what) for day, what in due(OPEN)] == [("2026-11-24", "acknowledge"), ("2026-12-04", "decide")]
    urgent = msgspec.structs.replace(OPEN, urgent=True, acknowledged_on=FRIDAY, suspended_on=FRIDAY)
    assert [what for _, what in due(urgent)] == ["decide", "have the suspension confirmed"]
    decided = msgspec.structs.replace(OPEN, acknowledged_on=FRIDAY, decided_on=FRIDAY)
    assert [what for _, what in due(decided)] == ["tell the objector, and close"]
    assert list(due(msgspec.structs.replace(decided, closed_on=FRIDAY))) == []


def test_statement_names_entry_list_and_reasons_and_no_person():
    decided = msgspec.structs.replace(
        OPEN, decided_on=FRIDAY, decided_by=("b.cole", "c.dahl"), outcome=Outcome.REJECTED, reasons="The order stands."
    )
    text = "\n".join(statement(decided, "2026.11.22-1"))
    for word in ("o-1", "rejected", "d/domain:a.example", "The order stands.", "2026.11.22-1"):
        assert word in text
    assert "b.cole" not in text
    assert "letters 7" not in text
