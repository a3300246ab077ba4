import datetime as dt
import tomllib

import msgspec
import pytest

from blocklists.decisions import read_files
from blocklists.edit import MAX_TABLES, Texts, closing, status_on, step
from blocklists.lint import lint
from blocklists.model import BlocklistError, Cause, Status

TODAY = dt.date(2026, 11, 22)


def _read(texts):
    return read_files(texts)[0].decisions[0]


def _closed(entry):
    return closing(entry, Status.SUSPENDED, TODAY, by="b.cole", cause=Cause.OBJECTION, reference="O-7; urgent")


def test_change_touches_nothing_but_its_keys(kit):
    text = "# first\n" + kit.decision(kit.row() + "# kept\n", kit.row(host='"b.example"')).replace(
        "tier = 1", "tier = 1 # x"
    )
    desk = Texts({"d.toml": text})
    decision = _read(desk.texts)
    desk.change(decision, [decision.entries[1]], [_closed(decision.entries[1].entry)])
    fresh = desk.texts["d.toml"]
    lost = [line for line in text.splitlines() if line not in fresh.splitlines()]
    assert lost == []
    assert tomllib.loads(fresh)["host"][1]["status"] == "suspended"
    assert tomllib.loads(fresh)["host"][0]["status"] == "active"
    assert lint(desk.texts, today=TODAY, is_public_suffix=kit.is_public_suffix)[1] == []
    assert list(desk.changed()) == ["d.toml"]


def test_change_of_a_sidecar_leaves_its_other_lines(kit):
    csv = (
        "host,match,role,status,added,added_by,approved_by,verified_on,note\r\n"
        'a.example,domain,primary,active,2026-03-03,a.berg,b.cole;c.dahl,2026-09-01,"one\r\nnote"\r\n'
        "b.example,domain,primary,active,2026-03-03,a.berg,b.cole;c.dahl,2026-09-01,\r\n"
    )
    desk = Texts({"d.toml": kit.decision(), "d.hosts.csv": csv.replace("one\r\nnote", "one note")})
    decision = _read(desk.texts)
    row = next(row for row in decision.entries if row.entry.host == "b.example")
    desk.change(decision, [row], [_closed(row.entry)])
    again = {one.entry.host: one.entry for one in _read(desk.texts).entries}
    assert again["b.example"].status == "suspended"
    assert again["b.example"].history[-1] == "2026-11-22 suspended by b.cole: objection, O-7, urgent"
    assert again["a.example"].note == "one note"
    assert "\r\n" in desk.texts["d.hosts.csv"]
    assert lint(desk.texts, today=TODAY, is_public_suffix=kit.is_public_suffix)[1] == []


def _new(count):
    return [
        {
            "host": f"p{n}.example",
            "match": "domain",
            "role": "primary",
            "status": "proposed",
            "added": TODAY,
            "added_by": "a",
        }
        for n in range(count)
    ]


@pytest.mark.parametrize(("count", "files"), [(3, {"d.toml"}), (MAX_TABLES + 1, {"d.toml", "d.hosts.csv"})])
def test_few_names_become_tables_and_many_a_sidecar(kit, count, files):
    desk = Texts({"d.toml": kit.decision()})
    desk.add_rows(_read(desk.texts), _new(count))
    assert set(desk.texts) == files
    assert len(_read(desk.texts).entries) == count + 1
    desk.add_rows(_read(desk.texts), [{**_new(1)[0], "host": "more.example", "note": "x"}])
    assert len(_read(desk.texts).entries) == count + 2
    assert lint(desk.texts, today=TODAY, is_public_suffix=kit.is_public_suffix)[1] == []


def test_new_decision_never_replaces_a_file(kit):
    desk = Texts({"d.toml": kit.decision()})
    with pytest.raises(BlocklistError, match="such a file already"):
        desk.add_decision("d.toml", {}, [])


def test_head_is_changed_in_place(kit):
    desk = Texts({"d.toml": kit.decision()})
    desk.set_head(_read(desk.texts), {"review_by": dt.date(2027, 1, 1)})
    assert _read(desk.texts).decision.review_by == dt.date(2027, 1, 1)


@pytest.mark.parametrize(
    ("day", "status"),
    [("2026-03-02", None), ("2026-03-03", "proposed"), ("2026-11-21", "proposed"), ("2026-11-22", "suspended")],
)
def test_history_tells_the_status_of_a_day(kit, day, status):
    entry = _read({"d.toml": kit.decision()}).entries[0].entry
    entry = msgspec.structs.replace(entry, status=Status.SUSPENDED, history=tuple(_closed(entry)["history"]))
    assert status_on(entry, dt.date.fromisoformat(day)) == (status, True)


def test_without_history_the_time_before_a_change_is_a_guess(kit):
    closed = {
        "status": '"removed"',
        "changed_on": "2026-10-01",
        "changed_by": '"b.cole"',
        "change_cause": '"wrong-host"',
        "change_reference": '"x"',
    }
    entry = _read({"d.toml": kit.decision(kit.row(**closed))}).entries[0].entry
    assert status_on(entry, dt.date(2026, 9, 1)) == (Status.ACTIVE, False)
    assert status_on(entry, dt.date(2026, 10, 1)) == (Status.REMOVED, True)
    again = step(entry, Status.ACTIVE, TODAY, "b.cole and c.dahl", "")
    assert again["history"][1] == "2026-10-01 removed by b.cole: wrong-host, x"


@pytest.mark.parametrize(
    ("history", "key"),
    [
        ('["2026-11-01 active by a", "2026-10-01 active by b"]', "history"),
        ('["2026-11-01 suspended by a"]', "history"),
        ('["yesterday"]', "history"),
        ('["2027-11-01 active by a"]', "history"),
    ],
)
def test_history_that_cannot_be_is_a_fault(kit, history, key):
    faults = lint(
        {"d.toml": kit.decision(kit.row(history=history))}, today=TODAY, is_public_suffix=kit.is_public_suffix
    )[1]
    assert [fault.key for fault in faults] == [key]
