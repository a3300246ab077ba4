import datetime as dt

from blocklists.changes import diff, due, numbers
from blocklists.decisions import read_files
from blocklists.match import read_lines

CLOSED = {
    "status": '"suspended"',
    "changed_on": "2026-11-20",
    "changed_by": '"b.cole"',
    "change_cause": '"objection"',
    "change_reference": '"O-7"',
}


def _lines(kit, *rows, **head):
    return read_lines(kit.compiled({"d.toml": kit.decision(*rows, **head)}).jsonl)


def test_difference_tells_what_comes_in_goes_out_and_changes(kit):
    old = _lines(kit, kit.row(), kit.row(host='"b.example"'), kit.row(host='"c.example"'))
    new = _lines(
        kit,
        kit.row(**CLOSED),
        kit.row(host='"b.example"', status='"removed"', **{k: v for k, v in CLOSED.items() if k != "status"}),
        kit.row(host='"c.example"'),
        kit.row(host='"d.example"'),
    )
    changes = {one.entry.rpartition(":")[2]: one for one in diff(old, new, {"d.example": 3})}
    assert {name: one.what for name, one in changes.items()} == {
        "pirate.example": "changed",
        "b.example": "removed",
        "d.example": "added",
    }
    assert changes["pirate.example"].fields["status"] == ("active", "suspended")
    assert changes["d.example"].rank == 3
    assert diff(old, old, {}) == []


def test_due_names_reviews_terms_proposals_and_suspensions(kit):
    rows = (kit.row(), kit.row(host='"b.example"', status='"proposed"'), kit.row(host='"c.example"', **CLOSED))
    text = kit.decision(*rows, open_ended=None, in_force_until="2026-12-01", review_by="2026-12-10")
    book, _ = read_files({"d.toml": text, "exceptions.toml": kit.exception()})
    whats = [one.what for one in due(book, dt.date(2027, 12, 31))]
    for word in ("review 2 names", "the term of", "approve or remove 1", "decide on c.example", "the exception for"):
        assert any(word in what for what in whats), word
    assert [one.what[:7] for one in due(book, dt.date(2026, 11, 22))] == ["approve", "decide "]


def test_numbers_sum_up_a_list(kit):
    found = numbers(_lines(kit, kit.row(), kit.row(host='"b.example"', status='"proposed"')), kit.today)
    assert (found.by_status, found.by_tier, found.decisions) == ({"active": 1, "proposed": 1}, {1: 1}, 1)
    assert (found.verified_days, found.overdue) == (82, ())
    assert numbers([], kit.today).verified_days is None
