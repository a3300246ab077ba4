import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklists.decisions import MAX_CHARS, read_files
from blocklists.fields import DECISION, EXCEPTION, HOST
from blocklists.lint import lint
from blocklists.model import Match, Role, Status

COLUMNS = "host,match,role,of,status,added,added_by,approved_by,verified_on,note\n"
MIRROR = 'm1.example,domain,mirror,pirate.example,active,2026-03-03,a.berg,b.cole;c.dahl,2026-09-01,"one, two"\n'


def _told(files):
    return [(fault.file, fault.line, fault.key) for fault in read_files(files)[1]]


def test_decision_is_read_with_its_entries_and_their_lines(kit):
    book, faults = read_files({"d.toml": kit.decision(kit.row(), kit.row(host='"b.example"'))})
    assert faults == []
    (one,) = book.decisions
    assert one.decision
    assert one.decision.date == dt.date(2026, 3, 2)
    assert [entry.host for entry, _ in one.entries] == ["pirate.example", "b.example"]
    assert {entry.decision for entry, _ in one.entries} == {"dc-example-2026-1"}
    assert [place.line for _, place in one.entries] == [15, 24]
    assert one.entries[1].place.keys["status"] == 28


def test_lines_are_counted_past_texts_that_look_like_keys(kit):
    text = kit.decision(kit.row(match='"all"'), finding='"""\n[[host]]\nhost = 1 # "\n"""')
    assert _told({"d.toml": text}) == [("d.toml", 20, "match")]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", '"No"'),
        ("id", "7"),
        ("authority", '"  "'),
        ("authority", '"two\\nlines"'),
        ("authority", '"bell\\u0007"'),
        ("authority_type", '"tribunal"'),
        ("country", '"EL"'),
        ("country", '"de"'),
        ("date", '"2026-03-02"'),
        ("date", "2026-03-02T10:00:00Z"),
        ("finding", "[]"),
        ("document_sha256", '"0A"'),
        ("document_url", '"ftp://court.example"'),
        ("language", '"German"'),
        ("tier", "0"),
        ("tier", "true"),
        ("tier", "1.0"),
        ("open_ended", '"yes"'),
        ("live_sport", "1"),
    ],
)
def test_value_that_a_key_cannot_hold_is_told_with_what_is_allowed(kit, key, value):
    book, faults = read_files({"d.toml": kit.decision(**{key: value})})
    assert [fault.key for fault in faults] == [key]
    assert faults[0].line > 0
    assert faults[0].allowed == DECISION.all[key].allowed
    assert book.decisions[0].decision is None
    assert len(book.decisions[0].entries) == 1


@pytest.mark.parametrize(
    "text",
    ["id = ", "a = 1\na = 2", "[" * 5000, "x = " + "[" * 5000, "x = " + "9" * 5000, "x = 2026-02-30", "\x00"],
)
def test_file_that_is_no_toml_is_one_fault(text):
    (fault,) = read_files({"d.toml": text})[1]
    assert fault.what.startswith("This is not TOML")


def test_file_without_names_is_told(kit):
    assert _told({"d.toml": kit.decision("")}) == [("d.toml", 1, "host")]


def test_host_that_is_no_table_is_told(kit):
    assert ("d.toml", 1, "host") in _told({"d.toml": 'host = "pirate.example"\n' + kit.decision("")})


def test_file_beyond_the_limit_is_not_read(kit):
    (fault,) = read_files({"d.toml": "#" * (MAX_CHARS + 1)})[1]
    assert "longer" in fault.what
    assert _told({"d.toml": kit.decision(), "d.hosts.csv": "," * (MAX_CHARS + 1)}) == [("d.hosts.csv", 0, "")]


def test_misspelt_key_is_told_with_the_likely_one(kit):
    (fault,) = read_files({"d.toml": kit.decision(kit.row(verified_no="2026-09-01"))})[1]
    assert 'Did you mean "verified_on"?' in fault.allowed


def test_fault_never_shows_control_characters(kit):
    text = kit.decision(authority='"\\u001b[31m\\u202e"') + '"\\u001b]0;x" = 1\n'
    for fault in read_files({"d.toml": text})[1]:
        assert str(fault).isprintable()


def test_sidecar_adds_names_of_the_same_decision(kit):
    files = {"x/d.toml": kit.decision(), "x/d.hosts.csv": "\ufeff" + COLUMNS + MIRROR + ",,,,,,,,,\n"}
    book, faults = read_files(files)
    assert faults == []
    entry, place = book.decisions[0].entries[1]
    assert (entry.host, entry.match, entry.role, entry.of) == (
        "m1.example",
        Match.DOMAIN,
        Role.MIRROR,
        "pirate.example",
    )
    assert (entry.status, entry.approved_by) == (Status.ACTIVE, ("b.cole", "c.dahl"))
    assert (entry.verified_on, entry.note) == (dt.date(2026, 9, 1), "one, two")
    assert (place.file, place.line) == ("x/d.hosts.csv", 2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", [(1, key) for key in HOST.required]),
        (COLUMNS.replace("host,", "hsot,"), [(1, "hsot"), (1, "host")]),
        (COLUMNS.replace("note", "host"), [(1, "")]),
        (
            COLUMNS.replace(",", ";"),
            [(1, COLUMNS.strip().replace(",", ";")[:80]), *[(1, key) for key in HOST.required]],
        ),
        (COLUMNS + MIRROR.replace("2026-03-03", "03.03.2026"), [(2, "added")]),
        (COLUMNS + MIRROR.replace("2026-03-03", "2026-02-30"), [(2, "added")]),
        (COLUMNS + MIRROR.replace("active", ""), [(2, "status")]),
        (COLUMNS + MIRROR.replace('"one, two"', "one, two"), [(2, "")]),
        (COLUMNS + MIRROR + 'm2.example,"domain', [(3, "")]),
        (COLUMNS + "x" * 200_000, [(2, "")]),
    ],
)
def test_sidecar_with_faults_is_told_by_line(kit, text, told):
    files = {"d.toml": kit.decision(), "d.hosts.csv": text}
    assert _told(files) == [("d.hosts.csv", line, key) for line, key in told]


_VALUES = st.recursive(
    st.sampled_from(
        ['"a"', '""', "1", "-1.5", "true", "nan", "2026-01-01", "2026-01-01T00:00:00", "00:01:02", '"pirate.example"',
         '"domain"', '"active"', '"2026-01-01"', '"\\u202e"', "'''\n[[host]]\n'''"]
    ),
    lambda values: st.one_of(
        st.lists(values, max_size=3).map(lambda items: "[" + ", ".join(items) + "]"),
        values.map(lambda value: "{ x = " + value + " }"),
    ),
    max_leaves=4,
)  # fmt: skip
_KEYS = st.sampled_from([*DECISION.all, *HOST.all, *EXCEPTION.all, "odd", '"quoted key"', "a.b"])
_LINES = st.one_of(
    st.tuples(_KEYS, _VALUES).map(" = ".join),
    st.sampled_from(["[[host]]", "[host]", "[[exception]]", "[x.y]", "# x", ""]),
)


@given(st.dictionaries(st.sampled_from(["a.toml", "a.hosts.csv", "exceptions.toml", "b"]), st.text(), max_size=4))
def test_any_text_is_read_or_told(files):
    lint(files, today=dt.date(2026, 11, 22), is_public_suffix=lambda host: host == "com")


@given(st.lists(_LINES, max_size=12).map("\n".join), st.sampled_from(["a.toml", "exceptions.toml"]))
def test_any_toml_is_read_or_told(text, name):
    lint({name: text}, today=dt.date(2026, 11, 22), is_public_suffix=lambda host: host == "com")


@given(st.dictionaries(st.sampled_from(sorted(HOST.all)), _VALUES))
def test_good_decision_with_any_entry_is_read_or_told(kit, changes):
    text = kit.decision(kit.row(**changes), kit.row(host='"b.example"'))
    book, _ = lint({"a.toml": text}, today=kit.today, is_public_suffix=kit.is_public_suffix)
    if book.decisions:
        assert "b.example" in {entry.host for entry, _ in book.decisions[0].entries}
