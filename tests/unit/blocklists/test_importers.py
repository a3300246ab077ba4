import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklists.exporters import FORMATS as WRITTEN
from blocklists.exporters import export
from blocklists.hosts import host_fault
from blocklists.importers import FORMATS, read, refang
from blocklists.match import read_lines, read_manifest
from blocklists.model import BlocklistError, Match

DOMAIN, HOST = Match.DOMAIN, Match.HOST

ZONE = """$TTL 60
@ SOA x. y. 1 2 3 4 5
@ NS x.
a.example CNAME .
*.a.example 60 IN CNAME .
b.example CNAME rpz-passthru.
32.7.2.0.192.rpz-ip CNAME .
"""
PASTED = (
    "Sites (a[.]example, \u201cb(.)example\u201d; hXXps[://]c.example/x) and 192.0.2.1, see annex.pdf by x@y.example."
)


def _found(form, text):
    return [(one.host, one.match) for one in read(form, text).found]


@pytest.mark.parametrize(
    ("form", "text", "found"),
    [
        (
            "plain",
            "# a list\nPirate.Example\n\n! x\nb.example # why\n",
            [("pirate.example", DOMAIN), ("b.example", DOMAIN)],
        ),
        (
            "plain",
            "m\u00fcller.example\nhttps://c.example/x\n",
            [("xn--mller-kva.example", DOMAIN), ("c.example", DOMAIN)],
        ),
        (
            "hosts",
            "127.0.0.1 localhost\n0.0.0.0 a.example b.example # x\n::1 c.example\n0.0.0.0 0.0.0.0\n",
            [("a.example", HOST), ("b.example", HOST), ("c.example", HOST)],
        ),
        (
            "adblock",
            "[Adblock Plus]\n! t\n||a.example^\n||b.example^$all\n@@||c.example^\n/ads/\n||d.example/x^\n",
            [("a.example", DOMAIN), ("b.example", DOMAIN)],
        ),
        (
            "dnsmasq",
            "local=/a.example/\naddress=/b.example/c.example/0.0.0.0\nserver=/d.example/#\ndomain-needed\n",
            [("a.example", DOMAIN), ("b.example", DOMAIN), ("c.example", DOMAIN), ("d.example", DOMAIN)],
        ),
        ("wildcard", "*.a.example\nb.example\n", [("a.example", DOMAIN), ("b.example", HOST)]),
        ("rpz", ZONE, [("a.example", HOST), ("a.example", DOMAIN)]),
        (
            "csv",
            "Nr;Domain;Since\n1;a.example;2026\n2;www[.]b.example;2026\n3;;\n",
            [("a.example", DOMAIN), ("www.b.example", DOMAIN)],
        ),
        ("csv", '"https://a.example/x","why, indeed"\n', [("a.example", DOMAIN)]),
        (
            "json",
            '{"list": [{"d": "a.example"}, {"u": "hxxp://b[.]example/x"}], "n": 3, "t": "no name"}',
            [("a.example", DOMAIN), ("b.example", DOMAIN)],
        ),
        (
            "misp",
            '{"type": "hostname", "list": ["a.example", ".b.example"]}',
            [("a.example", DOMAIN), ("b.example", DOMAIN)],
        ),
        ("misp", '{"type": "string", "list": ["a.example"]}', [("a.example", HOST)]),
        ("text", PASTED, [("a.example", DOMAIN), ("b.example", DOMAIN), ("c.example", DOMAIN)]),
    ],
)
def test_list_is_read_into_names(form, text, found):
    assert sorted(_found(form, text)) == sorted(found)


@pytest.mark.parametrize(
    ("form", "text", "line"),
    [
        ("plain", "a.example\n192.0.2.1\n", 2),
        ("plain", "no name at all\n", 1),
        ("hosts", "a.example\n", 1),
        ("adblock", "||a.example^\n##.ad\n@@||b.example^\n", 3),
        ("rpz", "a.example CNAME b.example.\n", 1),
        ("text", "x 192.0.2.1\n", 1),
    ],
)
def test_what_is_passed_over_is_said_with_its_line(form, text, line):
    (skipped,) = read(form, text).skipped
    assert skipped.line == line
    assert skipped.why


@pytest.mark.parametrize("form", ["csv", "json", "misp"])
def test_text_of_another_format_is_refused(form):
    with pytest.raises(BlocklistError):
        read(form, '{"type": "cidr", "list": []' if form == "misp" else "nothing here")


def test_unknown_format_is_refused():
    with pytest.raises(BlocklistError, match="There is no format"):
        read("xml", "")


def test_repeated_names_come_once():
    reading = read("plain", "a.example\nA.EXAMPLE\na.example.\n")
    assert (len(reading.found), reading.repeated) == (1, 2)


@pytest.mark.parametrize("text", ["hxxp://a[.]example", "hXXp[:]//a(.)example", "http://a [dot] example"])
def test_names_made_harmless_are_names_again(text):
    assert refang(text) == "http://a.example"


@given(st.sampled_from(sorted(FORMATS)), st.text(max_size=300))
def test_any_text_gives_names_or_a_reason(form, text):
    try:
        reading = read(form, text)
    except BlocklistError:
        return
    assert all(host_fault(one.host) is None for one in reading.found)


def test_deep_json_is_refused_without_a_crash():
    with pytest.raises(BlocklistError):
        read("json", "[" * 200_000)


def _exported(kit, form, *rows, tiers=(1, 2, 3, 4)):
    build = kit.compiled({"d.toml": kit.decision(*rows)})
    return export(form, read_lines(build.jsonl), read_manifest(build.manifest), on=kit.today, tiers=tiers)


@pytest.mark.parametrize("form", sorted(FORMATS.keys() & WRITTEN.keys()))
def test_export_is_read_again_by_its_importer(kit, form):
    rows = (kit.row(), kit.row(host='"b.example"'))
    found = _exported(kit, form, *rows)
    assert found.names == 2
    assert {host for host, _ in _found(form, found.text)} == {"pirate.example", "b.example"}


def test_export_leaves_out_what_is_suspended_and_what_has_a_path(kit):
    closed = {
        "status": '"suspended"',
        "changed_on": "2026-10-01",
        "changed_by": '"b.cole"',
        "change_cause": '"objection"',
        "change_reference": '"O-7"',
    }
    rows = (kit.row(), kit.row(host='"b.example"', **closed), kit.row(host='"c.example"', match='"path"', path='"/x"'))
    found = _exported(kit, "plain", *rows)
    assert (found.names, found.left_out) == (1, 2)
    assert "b.example" not in found.text
    assert "left out, for this format cannot express them: 2" in found.text


def test_export_by_tier_and_without_names(kit):
    assert _exported(kit, "plain", tiers=(3,)).names == 0
    text = _exported(kit, "hashed").text
    assert "pirate" not in text
    assert len(next(line for line in text.splitlines() if not line.startswith("#"))) == 64


def test_misp_list_has_what_its_schema_asks_for(kit):
    listed = json.loads(_exported(kit, "misp").text)
    assert listed.keys() >= {"name", "description", "version", "type", "list"}
    assert listed["version"] == 202611221


def test_no_export_calls_a_site_infringing(kit):
    for form in WRITTEN:
        assert "infring" not in _exported(kit, form).text.lower()
