"""The reports themselves: fields, the rule on domains, every medium, the command."""

import csv
import datetime as dt
import io
import json
import re
from contextlib import closing
from html.parser import HTMLParser

import msgspec
import pytest
from typer.testing import CliRunner

from crawler.cli import app
from provenance import keys
from provenance.entry import ConfigEntry, DecisionEntry, Http, RunEntry, SealEntry, Weaker
from provenance.erase import Eraser
from provenance.log import LogWriter
from provenance.reports.crawl import crawl
from provenance.reports.files import Form, as_csv, as_json, as_markdown, write
from provenance.reports.html import SHOWN, as_html
from provenance.reports.summary import listed, modality, percent, summary
from provenance.reports.tally import read_log
from reservations.model import Category, Verdict

NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
OPEN = (Category.GENAI_TRAIN,)
HOSTILE = "x\u202e<script>alert(1)</script>|=cmd()\n# \x1b[2J"


def run(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def fields(document):
    return json.loads(as_json(document))["fields"]


def table(document, name):
    return next(one for section in document.sections for one in section.tables if one.name == name)


@pytest.fixture
def page(crawled):
    def enter(url, octets=100, **more):
        http = Http(st=200, ct=more.pop("ct", "text/html"), len=octets)
        known = {"verdict": Verdict.KEPT, "reason": "policy.open", "gate": "body", "final": True}
        known |= {"open": (Category.GENAI_TRAIN,), "site": url.split("/")[2]}
        return crawled.decide(url=url, http=http, **(known | more))

    return enter


@pytest.fixture
def sites(crawled, page):
    """25 sites with one page each, the later the larger; one of them is an image."""
    for number in range(25):
        page(f"https://s{number:02}.example/", 1000 + number, ct="image/webp" if number == 3 else "text/html")
    crawled.refused("https://example.org/private/x")
    crawled.finish()
    return crawled.out


# -- the summary -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domains", "scale", "number"),
    [(0, "all", 0), (1, "all", 1), (10, "all", 1), (11, "all", 2), (25, "all", 3), (10_001, "all", 1_001),
     (1, "sme", 1), (20, "sme", 1), (21, "sme", 2), (20_000, "sme", 1_000), (20_001, "sme", 1_000)],
)  # fmt: skip
def test_number_of_domains_follows_the_template_rounded_up(domains, scale, number):
    assert listed(domains, scale) == number


def test_summary_names_the_largest_domains_and_their_shares(sites, rules):
    document = summary([read_log(sites)], [rules])
    rows = table(document, "domains").rows
    octets = sum(1000 + number for number in range(25))
    assert [row[1] for row in rows] == ["s24.example", "s23.example", "s22.example"]
    assert rows[0] == (1, "s24.example", 1, 1024, percent(1024, octets), "2026-11-23", "2026-11-23")
    assert [row[:3] for row in table(document, "domains-by-modality").rows if row[0] == "image"] == [
        ("image", 1, "s03.example")
    ]
    assert len(table(summary([read_log(sites)], [rules], "sme"), "domains").rows) == 2


def test_domains_of_equal_size_come_by_pages_then_by_name(crawled, page, rules):
    for url in ("https://b.example/1", "https://b.example/2", "https://a.example/", "https://c.example/"):
        page(url, 50 if "b.ex" in url else 100)
    crawled.finish()
    document = summary([read_log(crawled.out)], [rules])
    assert [row[1] for row in table(document, "domains").rows] == ["b.example"]


def test_summary_answers_each_field_of_the_template(sites, rules):
    told = fields(summary([read_log(sites)], [rules]))
    assert list(told) == [
        "2.3", "2.3.i", "2.3.ii", "2.3.iii", "2.3.iv", "2.3.v", "2.3.vi", "2.3.vii", "2.3.viii",
        "3.1.signatory", "3.1.measures", "3.1.protocols", "3.1.comments", "3.2",
    ]  # fmt: skip
    assert told["2.3"]["value"] is True
    assert told["2.3.i"]["value"][0]["token"] == "KnockfirstBot"
    assert told["2.3.ii"]["value"] == ["genai-train"]
    assert told["2.3.iv"] == {
        "title": "Period of collection",
        "answered_by": "log",
        "told": ["11/2026 to 11/2026 (2026-11-23 to 2026-11-23)"],
        "value": {"first": "2026-11-23", "last": "2026-11-23"},
    }
    assert told["2.3.vi"]["value"] == ["text", "image"]
    assert told["3.1.protocols"]["value"] == ["access", "rfc9309", "tdmrep"]
    by_protocol = {row["protocol"]: row["urls"] for row in told["3.1.protocols"]["tables"]["protocols"]}
    assert by_protocol == {"access": 0, "rfc9309": 1, "tdmrep": 0}
    assert [code for code, field in told.items() if field["answered_by"] == "provider"] == [
        "2.3.viii", "3.1.signatory", "3.1.comments",
    ]  # fmt: skip


def test_summary_names_the_head_that_it_was_made_from(sites, rules):
    tally = read_log(sites)
    (made,) = json.loads(as_json(summary([tally], [rules])))["made_from"]
    note = (sites / "log" / "checkpoint").read_text().splitlines()
    assert (made["origin"], str(made["size"])) == (note[0], note[1])
    assert bytes.fromhex(made["root"]) == __import__("base64").b64decode(note[2])
    assert made["time"] == tally.until
    assert made["end"] == "finished"


def test_sites_that_are_addresses_have_no_top_level_domain(crawled, page, rules):
    for number, site in enumerate(("a.example", "b.example", "192.0.2.7", "[2001:db8::1]")):
        page(f"https://{site}/", 100 * (number + 1), site=site)
    crawled.finish()
    document = summary([read_log(crawled.out)], [rules])
    assert table(document, "top-level-domains").rows == (("(address)", 2, 700), ("example", 2, 300))


def test_summary_of_nothing_kept_says_so(crawled, rules):
    crawled.refused("https://example.org/private/x")
    crawled.finish()
    told = fields(summary([read_log(crawled.out)], [rules]))
    assert told["2.3"]["value"] is False
    assert told["2.3.vii"]["value"] == {"rule": "all", "listed": 0, "domains": 0, "octets": 0}
    assert told["2.3.iv"]["told"] == []


def test_same_log_gives_the_same_report(sites, rules):
    one, other = (summary([read_log(sites)], [rules]) for _ in range(2))
    assert (as_json(one), as_html(one), as_markdown(one)) == (as_json(other), as_html(other), as_markdown(other))


def test_json_is_of_the_form_that_the_schema_describes_and_plain_ascii(hostile):
    for document in hostile:
        text = as_json(document)
        assert text.isascii()
        assert msgspec.json.decode(text, type=Form).report == document.name


@pytest.mark.parametrize(
    ("media_type", "name"),
    [("text/html", "text"), ("application/pdf", "text"), ("image/png", "image"), ("audio/ogg", "audio"),
     ("video/mp4", "video"), ("application/zip", "other"), ("(none)", "other"), ("other/x", "other")],
)  # fmt: skip
def test_modality_of_a_media_type(media_type, name):
    assert modality(media_type) == name


def test_weaker_rules_and_the_want_of_a_blocklist_stand_at_the_head_of_every_form(crawled, page, rules):
    crawled.enter(
        RunEntry, origin=crawled.log.origin, software="k", code="c", operator="O", contact="C", agent="A", token="T",
        purposes=(Category.GENAI_TRAIN,), spider="web", no_blocklist="none was to be had",
    )  # fmt: skip
    weaker = Weaker(rule="tokens = own", approver="A. Berg", reason="a test")
    crawled.enter(ConfigEntry, rules="r", policy="p", policy_name="p", protocols="p", weaker=(weaker,))
    page("https://a.example/")
    crawled.finish()
    tally = read_log(crawled.out)
    for document in (summary([tally], [rules]), crawl([tally], [rules])):
        for text in (as_html(document), as_markdown(document), as_json(document)):
            assert "tokens = own (approved by A. Berg: a test)" in text
            assert "No blocklist was in force: none was to be had" in text


# -- the crawl report --------------------------------------------------------------------------------------------------


def test_crawl_report_says_what_became_of_every_url(sites, rules):
    document = crawl([read_log(sites)], [rules])
    assert {row[0]: row[2] for row in table(document, "verdicts").rows} == {"kept": 25, "refused": 1}
    reasons = {row[:2]: row[2:] for row in table(document, "reasons").rows}
    assert reasons["refused", "robots.disallow"][1:] == (1, 1)
    assert reasons["refused", "robots.disallow"][0].startswith("robots.txt")
    by_site = {row[0]: row for row in table(document, "sites").rows}
    assert by_site["example.org"][:4] == ("example.org", 1, 0, "robots.disallow")
    assert by_site["s24.example"][:4] == ("s24.example", 1, 1024, "")
    types = {row[0]: row[1:4] for row in table(document, "types").rows}
    assert types["image/webp"] == ("image", 1, 1003)
    assert types["(none)"] == ("other", 1, 0)
    assert [row[:2] for row in table(document, "days").rows] == [("2026-11-23", 26)]
    assert ("/robots.txt", "200", 1) in table(document, "documents").rows


# -- media -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hostile(crawled, page, rules):
    page("https://a.example/", ct=HOSTILE, site=HOSTILE, reason=HOSTILE)
    for number in range(SHOWN + 5):
        page(f"https://s{number}.example/")
    crawled.finish()
    tally = read_log(crawled.out)
    tally.runs[0] = msgspec.structs.replace(tally.runs[0], operator=HOSTILE, contact=HOSTILE, no_blocklist=HOSTILE)
    return [summary([tally], [rules]), crawl([tally], [rules])]


class Seen(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.tags = [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_whole_and_holds_nothing_of_strangers_but_text(hostile):
    for document in hostile:
        text = as_html(document)
        seen = Seen()
        seen.feed(text)
        assert seen.open == []
        assert not seen.tags & {"script", "img", "link", "a", "iframe"}
        assert not re.search("[\u202e\x1b]", text)
        assert "default-src 'none'" in text


def test_page_shows_so_many_rows_and_names_the_file_that_has_all(hostile):
    text = as_html(hostile[1])
    assert f"The first {SHOWN} of {SHOWN + 6} rows; all of them are in crawl-sites.csv." in text
    assert text.count('<th scope="row">s') == SHOWN


def test_markdown_and_csv_hold_nothing_of_strangers_but_text(hostile):
    for document in hostile:
        text = as_markdown(document)
        assert "<script>" not in text.replace("\\<script\\>", "")
        assert not re.search("[\u202e\x1b]", text)
        for section in document.sections:
            for one in section.tables:
                rows = list(csv.reader(io.StringIO(as_csv(one))))
                assert len(rows) == len(one.rows) + 1
                assert not [cell for row in rows for cell in row if cell[:1] in set("=+-@|")]


def test_no_url_and_no_erased_site_stands_in_any_file(crawled, page, rules, key, tmp_path):
    page("https://gone.example/secret-page")
    page("https://a.example/?token=masked-0123456789abcdef", masked=True, verdict=Verdict.REFUSED, reason="url.secret")
    page("https://b.example/some-page")
    crawled.finish()
    with closing(Eraser(crawled.out, key, url="https://gone.example/secret-page", now=NOW)) as eraser:
        eraser.carry_out(eraser.plan_url(text=True), "complaint 7")
    tally = read_log(crawled.out)
    for document in (summary([tally], [rules]), crawl([tally], [rules])):
        for path in write(document, tmp_path / "reports"):
            text = path.read_text()
            assert not re.search("gone|secret-page|masked-0123|some-page|token=", text), path.name
    assert "b.example" in (tmp_path / "reports" / "crawl-sites.csv").read_text()
    assert "(erased)" in (tmp_path / "reports" / "crawl-sites.csv").read_text()


def test_file_is_not_written_through_a_link(sites, rules, tmp_path):
    document = summary([read_log(sites)], [rules])
    (tmp_path / "away").mkdir()
    folder = tmp_path / "reports"
    folder.symlink_to(tmp_path / "away")
    with pytest.raises(OSError, match="a link"):
        write(document, folder)
    folder.unlink()
    folder.mkdir()
    (tmp_path / "precious").write_text("precious")
    (folder / "summary.json").symlink_to(tmp_path / "precious")
    write(document, folder)
    assert (tmp_path / "precious").read_text() == "precious"
    assert json.loads((folder / "summary.json").read_text())["report"] == "summary"


# -- the command -------------------------------------------------------------------------------------------------------


def test_command_writes_every_form_and_says_where(sites):
    ran = run(sites)
    assert ran.exit_code == 0, ran.output
    assert "26 URLs of 26 sites." in ran.output
    assert {path.name for path in (sites / "reports").iterdir()} == {
        "summary.html", "summary.md", "summary.json", "summary-domains.csv", "summary-domains-by-modality.csv",
        "summary-protocols.csv",
    }  # fmt: skip
    told = json.loads(run(sites, "--kind", "crawl", "--json").output)
    assert told["urls"] == 26
    assert told["logs"][0]["origin"] == "crawler.example.org/test"
    assert str(sites / "reports" / "crawl-sites.csv") in told["files"]


def test_command_refuses_a_log_that_is_not_sealed_unless_told_and_then_says_so(crawled, page, tmp_path):
    page("https://a.example/")
    crawled.log.sync()
    crawled.log.checkpoint()
    ran = run(crawled.out)
    assert ran.exit_code == 1
    assert "not sealed" in ran.output
    assert not (crawled.out / "reports").exists()
    ran = run(crawled.out, "--as-is", "--to", tmp_path / "to")
    crawled.log.close()
    assert ran.exit_code == 0
    for name in ("summary.html", "summary.md", "summary.json"):
        assert "NOT TO BE RELIED ON: log crawler.example.org/test" in (tmp_path / "to" / name).read_text()


def test_command_refuses_a_log_whose_rules_are_gone(sites):
    for path in (sites / "log" / "rules").iterdir():
        path.unlink()
    ran = run(sites)
    assert ran.exit_code == 1
    assert "the rules of entry 1 cannot be read" in ran.output


def test_command_refuses_another_key(sites, tmp_path):
    other = keys.generate(tmp_path / "k" / "key").verifier("crawler.example.org/test").line()
    assert run(sites, "--key", other).exit_code == 1
    assert run(sites, "--key", "nonsense").exit_code == 2


@pytest.mark.parametrize("also", [[], ["--to", "somewhere"]])
def test_command_takes_no_log_twice_and_several_only_with_a_folder(sites, also, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = run(sites, sites, *also)
    assert ran.exit_code == 2
    assert ("would count twice" if also else "--to") in ran.output


def test_command_on_no_log_says_what_is_missing(tmp_path):
    assert run(tmp_path).exit_code == 2


def test_several_logs_of_a_crawl_count_each_url_once(sites, tmp_path, key):
    """The second worker has the newer last word on one URL of the first, and one page of its own."""
    out = tmp_path / "two"
    with closing(LogWriter.open(out / "log", "crawler.example.org/test/w2", key)) as log:
        head = {"v": 1, "n": "x" * 22, "ts": "2026-11-23T08:00:00.000Z", "run": "r1"}
        who = {"operator": "O", "contact": "C", "agent": "A", "token": "T", "spider": "web"}
        run_entry = RunEntry(**head, **who, seq=0, origin=log.origin, software="k", code="c", purposes=OPEN)
        log.append(run_entry)
        kept = {"verdict": Verdict.KEPT, "reason": "policy.open", "gate": "body", "final": True, "open": OPEN}
        for seq, name in enumerate(("s24.example", "new.example"), 1):
            where = {
                "url": f"https://{name}/",
                "site": name,
                "via": "link",
                "agent": "T",
                "purposes": OPEN,
                "config": 1,
            }
            http = Http(st=200, ct="text/html", len=7)
            log.append(DecisionEntry(**head, **where, **kept, seq=seq, lease=1000 + seq, http=http))
        log.append(SealEntry(**head, seq=3, end="finished"))
    ran = run(sites, out, "--to", tmp_path / "both", "--kind", "crawl")
    assert ran.exit_code == 0, ran.output
    assert "27 URLs of 27 sites." in ran.output
    rows = list(csv.DictReader(io.StringIO((tmp_path / "both" / "crawl-sites.csv").read_text())))
    assert {row["site"]: row["octets"] for row in rows if row["site"] in {"s24.example", "new.example"}} == {
        "s24.example": "7",
        "new.example": "7",
    }
