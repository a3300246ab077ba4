from importlib import resources

import pytest

from blocklists.guard import Guards, guards, read_platforms, read_top_sites, registrable
from blocklists.lint import lint
from blocklists.model import BlocklistError

FILE = """
name = "x"
source = "here"
dated = 2026-11-22
[[platform]]
host = "drive.shared.example"
why = "Files of everybody."
source = "https://shared.example/"
"""
GUARDS = guards([read_platforms(FILE, file="x")], {"busy.example": 7}, {})


def _keys(kit, given=GUARDS, **row):
    texts = {"d.toml": kit.decision(kit.row(**row))}
    faults = lint(texts, today=kit.today, is_public_suffix=lambda host: host == "example", guards=given)[1]
    return [fault.key for fault in faults]


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("drive.shared.example", "override"),
        ("shared.example", "override"),
        ("busy.example", "override"),
        ("www.busy.example", "override"),
        ("pirate.example", None),
    ],
)
def test_guarded_name_needs_a_reason_in_writing(kit, host, key):
    assert _keys(kit, host=f'"{host}"') == ([key] if key else [])
    assert _keys(kit, host=f'"{host}"', override='"The order names it."') == []


def test_folder_of_a_platform_is_what_folders_are_for(kit):
    assert _keys(kit, host='"drive.shared.example"', match='"path"', path='"/u/1"') == []
    assert _keys(kit, host='"pirate.example"', match='"path"', path='"/u/1"') == ["match"]


def test_names_out_of_force_need_no_reason(kit):
    closed = {
        "changed_on": "2026-10-01",
        "changed_by": '"b"',
        "change_cause": '"wrong-host"',
        "change_reference": '"x"',
    }
    assert _keys(kit, host='"busy.example"', status='"removed"', **closed) == []


def test_without_guards_nothing_is_guarded(kit):
    assert _keys(kit, given=Guards(), host='"busy.example"') == []


def test_shipped_platforms_have_reason_source_and_date():
    text = resources.files("blocklists.guards").joinpath("shared-platforms.toml").read_text("utf-8")
    file = read_platforms(text, file="shipped")
    assert len({one.host for one in file.platform}) == len(file.platform) > 40
    assert all(one.why and one.source.startswith("https://") for one in file.platform)


@pytest.mark.parametrize("text", ["x", "name = 1", FILE.replace("drive.", "*."), FILE + "more = 1"])
def test_faulty_file_of_platforms_is_refused(text):
    with pytest.raises(BlocklistError):
        read_platforms(text, file="x")


def test_snapshot_is_read_in_both_forms():
    assert read_top_sites("# id 7\n1,a.example\n2,B.example\nc.example\n\nnot a host\n") == {
        "a.example": 1,
        "b.example": 2,
        "c.example": 3,
    }


@pytest.mark.parametrize(
    ("host", "owned"), [("a.b.c.example", "c.example"), ("c.example", "c.example"), ("example", "example")]
)
def test_registrable_name_is_one_below_the_suffix(host, owned):
    assert registrable(host, lambda name: name == "example") == owned
