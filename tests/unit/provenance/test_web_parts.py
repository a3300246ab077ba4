"""Parts of the auditors' pages by themselves: ladder, marked lines, differences, charts, lists, one way into HTML."""

import re
import sys
import xml.etree.ElementTree as ET

import pytest
from markupsafe import Markup
from typer.testing import CliRunner

from crawler.cli import app
from provenance.entry import Http, LoggedSignal
from provenance.index import UNITS, update
from provenance.lookup import Lookup
from provenance.material import Material
from provenance.web import archived, charts, listing
from provenance.web.gates import DECIDED, NOT_REACHED, PASSED, ladder
from provenance.web.jobs import Job
from provenance.web.rendering import _environment, defanged, octets, short, when
from provenance.web.shelf import Shelf
from reservations.model import Answer, Head, Header, Verdict

BIDI = "a\u202eb\x1b[2J\u200b"


def signal(**fields):
    return LoggedSignal(**({"p": "p", "reason": "p.r", "carrier": "robots_txt", "src": "/robots.txt"} | fields))


# -- the ladder --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gate", "http", "wanted"),
    [
        ("url", None, [DECIDED, *[NOT_REACHED] * 4]),
        ("blocklist", None, [PASSED, DECIDED, *[NOT_REACHED] * 3]),
        ("body", Http(st=200), [*[PASSED] * 4, DECIDED]),
        ("transfer", None, [PASSED, PASSED, PASSED, DECIDED]),
        ("transfer", Http(st=200), [*[PASSED] * 5, DECIDED]),
        ("a gate of a later version", None, [PASSED, PASSED, PASSED, DECIDED]),
    ],
)
def test_gates_before_the_deciding_one_were_passed_those_behind_not_reached(entries, gate, http, wanted):
    assert [rung.answer for rung in ladder(entries(3, gate=gate, http=http), {})] == wanted


def test_statements_and_documents_stand_at_their_gate(entries):
    signals = (signal(src="head"), signal(src="url", p="blocklist"), signal(), signal(src="https://x.example/l.xml"))
    consulted = {"/robots.txt": 2, "/ai.txt": "forbidden", "head": "200", "https://x.example/l.xml": 9}
    entry = entries(3, gate="head", signals=signals, consulted=consulted, read_as={"/robots.txt": "soft-404"})
    rungs = {rung.gate: rung for rung in ladder(entry, {})}
    assert {gate: [number for number, _ in rung.signals] for gate, rung in rungs.items()} == {
        "url": [], "blocklist": [2], "origin": [3, 4], "head": [1], "body": [],
    }  # fmt: skip
    assert [(one.what, one.outcome, one.entry) for one in rungs["origin"].looked] == [
        ("/robots.txt", "soft-404", 2),
        ("/ai.txt", "forbidden", None),
        ("https://x.example/l.xml", "not found in the log", 9),
    ]


# -- archived text -----------------------------------------------------------------------------------------------------


def marked(signals, body, head=None):
    left = Material(documents={"/robots.txt": Answer(url="", status=200, body=body)}, head=head, gone={}, lost=[])
    return {
        text.title: {line.number: line.marks for line in text.lines if line.marks}
        for text in archived.texts(signals, {"/robots.txt": 2}, left)
    }


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_line_that_a_locator_names_is_marked(end):
    body = end.join(b"line %d" % number for number in range(1, 40))
    assert marked([signal(loc="line 12"), signal(loc="line 12, line 30 (GPTBot)")], body) == {
        "/robots.txt": {12: (1, 2), 30: (2,)}
    }


def test_line_with_the_statement_s_own_words_is_marked():
    body = b"x\nDisallow: /private\ny\nDisallow: /private/more\n"
    assert marked([signal(rule="Disallow: /private")], body) == {"/robots.txt": {2: (1,), 4: (1,)}}


def test_rule_of_a_json_file_is_marked_by_its_location():
    body = b'[\n {"location": "/a", "tdm-reservation": 1},\n {"location": "/b", "tdm-reservation": 0}\n]'
    rule = signal(loc="rule 2", rule="location: /b, tdm-reservation: 0")
    assert marked([rule], body) == {"/robots.txt": {3: (1,)}}


def test_header_field_is_marked_by_its_name():
    head = Head(status=200, headers=(Header("Server", "x"), Header("X-Robots-Tag", "noai")))
    found = marked([signal(src="head", loc="x-robots-tag (otherbot)"), signal(src="head", loc="status")], b"", head)
    assert found == {"head": {1: (2,), 3: (1,)}}


def test_only_the_surroundings_of_marked_lines_are_shown():
    left = Material(documents={"/robots.txt": Answer(url="", status=200, body=b"x\n" * 500)}, gone={}, lost=[])
    (text,) = archived.texts([signal(loc="line 100"), signal(loc="line 9999")], {"/robots.txt": 2}, left)
    assert [line.number for line in text.lines] == [0, *range(96, 105), 0]
    assert text.total == 500


def test_document_that_is_gone_says_why():
    left = Material(documents={}, gone={"/robots.txt": "erased"}, lost=[])
    (text,) = archived.texts([signal()], {"/robots.txt": 2}, left)
    assert (text.lines, text.why_not) == ((), "erased")


def test_lines_are_bounded():
    assert len(archived.lines_of(b"x" * 10_000)[0]) < 700
    text = archived.whole("t", 1, archived.lines_of(b"\n" * 5_000))
    assert len(text.lines) == archived.MAX_LINES + 1
    assert archived.lines_of("\ufeffUser-agent: *\n".encode("utf-16-le")) == ["User-agent: *"]


def test_differences_show_what_came_and_went():
    found = archived.differences(["a", "b", "c"], ["a", "B", "c", "d"])
    assert [(line.sign, line.number, line.text) for line in found if line.sign] == [
        ("-", 0, "b"),
        ("+", 2, "B"),
        ("+", 4, "d"),
    ]
    assert archived.differences(["a"], ["a"]) == []
    assert archived.differences(["--- x"], ["+++ y"])[1:] == [
        archived.Line(0, "--- x", (), "-"),
        archived.Line(1, "+++ y", (), "+"),
    ]
    assert len(archived.differences(["a"] * 900, ["b"] * 900)) <= 402


# -- charts ------------------------------------------------------------------------------------------------------------


def drawn(svg):
    return ET.fromstring(str(svg)).findall("rect")


def test_bars_of_a_timeline_are_as_high_as_their_counts():
    counts = ((0, "kept", 30), (0, "refused", 10), (60, "kept", 20), (240, "kept", 40))
    rows = [{"at": at, "name": name, "n": n} for at, name, n in counts]
    chart = charts.timeline(rows, 60)
    heights = {rect.find("title").text: float(rect.get("height")) for rect in drawn(chart.svg)}
    assert heights == {
        "01 Jan 00:00: 30 kept": 142.5,
        "01 Jan 00:00: 10 refused": 47.5,
        "01 Jan 00:01: 20 kept": 95.0,
        "01 Jan 00:04: 40 kept": 190.0,
    }
    assert chart.names == {"kept": "v-kept", "refused": "v-refused"}
    assert chart.rows == [(0, {"kept": 30, "refused": 10}), (60_000, {"kept": 20}), (240_000, {"kept": 40})]


def test_reasons_beyond_the_most_frequent_ones_are_one_bar_together():
    rows = [{"at": at, "name": f"r.{number}", "n": 20 - number} for at in (0, 60) for number in range(10)]
    chart = charts.timeline(rows, 60)
    assert list(chart.names) == [f"r.{number}" for number in range(7)] + ["others"]
    assert chart.rows[0][1]["others"] == 13 + 12 + 11


def test_timeline_of_centuries_has_few_bars():
    rows = [{"at": at, "name": "kept", "n": 1} for at in (-62_135_596_800, 253_402_300_799)]
    chart = charts.timeline(rows, UNITS[-1])
    assert len(drawn(chart.svg)) == 2
    assert "days" in chart.unit


def test_chart_without_span_or_rows_is_a_table_alone():
    assert charts.timeline([], 60).rows == []
    assert str(charts.timeline([{"at": 5, "name": "kept", "n": 1}], 60).svg) == ""
    assert str(charts.bars([])) == ""


def test_names_in_bars_are_text():
    svg = charts.bars([('<script>"', 3), (BIDI, 1)])
    assert "<script" not in svg
    assert "\u202e" not in svg
    assert len(drawn(svg)) == 2


# -- lists -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", ["x", "-1", "1.2.3", "1e3", "٣", "9" * 30, ".", " 1"])
def test_place_that_is_none_is_refused(whole, tmp_path, after):
    update(whole, tmp_path / "one.sqlite")
    with Lookup.open(whole, tmp_path / "one.sqlite") as look:
        with pytest.raises(ValueError, match="no place"):
            listing.page(look, listing.attempts(), after, {})
        with pytest.raises(ValueError, match="no place"):
            listing.part(listing.attempts(), [], after, {})


def test_parts_of_a_list_make_the_whole_one(crawled, tmp_path):
    for number in range(40):
        crawled.decide(site=f"s{number % 9}.example", verdict=Verdict.HELD if number % 2 else Verdict.REFUSED)
    crawled.log.close()
    update(crawled.out, tmp_path / "one.sqlite")
    with Lookup.open(crawled.out, tmp_path / "one.sqlite") as look:
        of_site = listing.attempts(site=look.site("s1.example"))
        both = listing.attempts(verdict="held", reason="robots.disallow")
        for one in (listing.attempts(), listing.sites(), listing.others(), of_site, both):
            everything, found, after = list(listing.whole(look, one)), [], ""
            while not found or after:
                page = listing.page(look, one, after, {"after": "1", "format": "csv", "verdict": "held"}, rows=7)
                found, after = found + page.rows, page.after
                assert page.query == {"verdict": "held"}
            assert found == everything
        assert len(list(listing.whole(look, listing.attempts(verdict="held")))) == 20


def test_exports_of_nothing_are_whole_files():
    columns = (listing.Column("a", "A"),)
    assert [b"".join(form.write(columns, [])) for form in listing.FORMATS.values()] == [b"a\r\n", b"[]\n", b""]


# -- one way into html -------------------------------------------------------------------------------------------------


def rendered(text, **values):
    return _environment.from_string(text).render(values)


def test_everything_a_template_puts_out_is_escaped():
    assert rendered("{{ one }}", one=f"<b title='x'>&{BIDI}") == (
        "&lt;b title=&#x27;x&#x27;&gt;&amp;a\\u202eb\\x1b[2J\\u200b"
    )
    assert rendered('<a title="{{ one }}">', one='" onclick="x') == '<a title="&quot; onclick=&quot;x">'
    assert rendered("{{ one|short(9) }}", one="<" * 40) == "&lt;&lt;&lt;&lt;&lt;&lt;[...]&lt;&lt;&lt;"
    assert rendered("{% for a in one %}{{ a }}{% endfor %}", one=["<", None, 7]) == "&lt;7"
    assert rendered("{{ one }}", one=Markup("<svg>")) == "<svg>"


def test_no_template_turns_escaping_off():
    for name in _environment.list_templates():
        source, _, _ = _environment.loader.get_source(_environment, name)
        assert not re.search(r"\|\s*safe|autoescape|style=|javascript:|\son\w+=", source), name


# -- the command -------------------------------------------------------------------------------------------------------


def test_serve_without_a_log_or_without_the_extra_says_what_to_do(tmp_path, monkeypatch):
    ran = CliRunner().invoke(app, ["serve", str(tmp_path), "--index", str(tmp_path)])
    assert (ran.exit_code, "no log" in ran.output) == (2, True)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    ran = CliRunner().invoke(app, ["serve", str(tmp_path), "--index", str(tmp_path)])
    assert (ran.exit_code, "pip install 'knockfirst[pages]'" in ran.output) == (2, True)


def test_log_that_cannot_be_verified_leaves_a_reason(whole, tmp_path):
    (book,) = Shelf([whole], tmp_path)
    job = Job(book)
    (whole / "log" / "log.vkey").unlink()
    job.run()
    assert (job.done, job.report, "no verifier line" in job.fault) == (True, None, True)


def test_folders_of_one_name_are_told_apart(whole, new_folder, tmp_path):
    other = new_folder(1)
    other.finish()
    moved = tmp_path / "elsewhere" / whole.name
    moved.parent.mkdir()
    other.out.rename(moved)
    shelf = Shelf([whole, moved], tmp_path)
    assert [book.name for book in shelf] == ["out", "out-2"]
    assert shelf.get("out-2").out == moved
    assert shelf.get("static") is None


def test_small_texts():
    assert defanged("HTTPS://a.example/") == "hxxpS://a.example/"
    assert defanged("/robots.txt") == "/robots.txt"
    assert short("x" * 200, 100).count("x") == 66 + 25
    assert (octets(None), octets(999), octets(10**6)) == ("", "999 B", "976.6 KiB")
    assert (when(None), when(0), when(10**18), when(1_795_420_800_123)) == ("", "", "", "2026-11-23 08:00:00")
