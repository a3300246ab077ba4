"""`check` on saved files and WARC files: each protocol's answer and the combined one, without a network."""

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crawler import verbs
from crawler.cli import app

RUN = CliRunner()
PAGE = "<!doctype html><title>t</title>{head}<p>Text."
URL = "https://site.example/a"


@pytest.fixture(scope="module", autouse=True)
def _with_crawling_verbs():
    if "check" not in {command.callback.__name__ for command in app.registered_commands}:
        verbs.add_to(app)


def check(*words):
    ran = RUN.invoke(app, ["check", *map(str, words), "--json"])
    return ran.exit_code, [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]


def record(url, body, *headers, kind="response"):
    block = "\r\n".join(["HTTP/1.1 200 OK", *headers, f"Content-Length: {len(body)}", "", ""]).encode() + body.encode()
    head = f"WARC/1.1\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nContent-Length: {len(block)}\r\n\r\n"
    return head.encode() + block + b"\r\n\r\n"


def warc(folder, *records, name="a.warc.gz"):
    path = folder / name
    path.write_bytes(b"".join(gzip.compress(item) if name.endswith(".gz") else item for item in records))
    return path


def test_saved_page_is_decided_on_and_each_protocol_answers(tmp_path):
    path = tmp_path / "page.html"
    path.write_text(PAGE.format(head='<meta name="robots" content="noai">'), "utf-8")
    code, [told] = check(path, "--url", URL)
    assert code == 1
    assert (told["decision"]["verdict"], told["decision"]["reason"]) == ("discarded", "page-robots.noai")
    answer = told["protocols"]["page-robots"]
    assert answer["decisive"]
    assert answer["effective"]["genai-train"] == "deny"
    assert not told["protocols"]["tdmrep"]["decisive"]
    assert "https://site.example/robots.txt" in told["not_saved"]


def test_open_page_would_be_kept(tmp_path):
    path = tmp_path / "page.html"
    path.write_text(PAGE.format(head=""), "utf-8")
    assert check(path)[0] == 0


@pytest.mark.parametrize("name", ["a.warc.gz", "a.warc"])
def test_responses_of_a_warc_file_are_decided_on_with_its_own_robots_txt(tmp_path, name):
    html = "Content-Type: text/html"
    path = warc(
        tmp_path,
        record(URL, "GET", kind="request"),
        record(URL, PAGE.format(head=""), html),
        record("https://site.example/b", PAGE.format(head=""), html, "tdm-reservation: 1"),
        record("https://other.example/", PAGE.format(head=""), html),
        record("https://site.example/robots.txt", "User-agent: *\nDisallow: /a\n", "Content-Type: text/plain"),
        name=name,
    )
    code, told = check(path)
    assert code == 1
    assert [(item["url"], item["decision"]["verdict"]) for item in told] == [
        (URL, "refused"),
        ("https://site.example/b", "aborted"),
        ("https://other.example/", "kept"),
    ]
    assert "https://site.example/robots.txt" not in told[0]["not_saved"]
    for url in ("https://other.example/", "https://site.example/robots.txt"):
        code, told = check(path, "--url", url)
        assert (code, len(told)) == (0, 1)


def test_page_of_a_warc_file_speaks_too_though_robots_txt_would_have_kept_a_crawl_away(tmp_path):
    path = warc(
        tmp_path,
        record(URL, PAGE.format(head='<meta name="tdm-reservation" content="1">'), "Content-Type: text/html"),
        record("https://site.example/robots.txt", "User-agent: *\nDisallow: /a\n", "Content-Type: text/plain"),
    )
    code, [told] = check(path)
    assert code == 1
    assert (told["decision"]["verdict"], told["decision"]["reason"]) == ("refused", "robots.disallow")
    assert told["protocols"]["rfc9309"]["decisive"]
    assert told["protocols"]["tdmrep"]["weight"] == "closes"


def test_terms_that_a_page_links_to_are_read_where_the_warc_file_holds_them(tmp_path):
    terms = PAGE.format(head="") + "Text and data mining under Article 4 of Directive (EU) 2019/790 is reserved."
    page = record(URL, PAGE.format(head="") + '<a href="/legal">Terms of use</a>', "Content-Type: text/html")
    code, [told] = check(warc(tmp_path, page))
    assert (code, told["not_saved"][-1]) == (0, "https://site.example/legal")
    both = warc(tmp_path, page, record("https://site.example/legal", terms, "Content-Type: text/html"))
    code, [told] = check(both, "--url", URL)
    assert (told["decision"]["verdict"], told["decision"]["reason"]) == ("discarded", "language.reservation")


@pytest.mark.parametrize(
    "content", [b"", b"no WARC", b"WARC/1.1\r\n\r\n", b"WARC/1.1\r\nContent-Length: 99999999999\r\n\r\n"]
)
def test_what_is_no_warc_file_is_said_to_be_none(tmp_path, content):
    path = tmp_path / "a.warc"
    path.write_bytes(content)
    ran = RUN.invoke(app, ["check", str(path)])
    assert ran.exit_code == 2
    assert str(ran.exception) == "2"


@pytest.mark.parametrize(
    ("name", "issues"),
    [
        ("credential.webp", ["valid", "signingCredential.untrusted"]),
        ("altered.webp", ["unvalidated", "invalid", "assertion.dataHash.mismatch"]),
    ],
)
def test_picture_is_read_though_no_crawl_wants_pictures(name, issues):
    code, [told] = check(Path(__file__).resolve().parents[3] / "crawler/demo/assets" / name)
    assert (code, told["in_scope"]) == (1, False)
    assert (told["decision"]["verdict"], told["decision"]["reason"]) == ("discarded", "cawg.training-mining")
    assert told["protocols"]["cawg"]["found"][0]["issues"] == issues


RECORD = (
    "<ONIXMessage><Product><DescriptiveDetail><EpubUsageConstraint><EpubUsageType>11</EpubUsageType>"
    "<EpubUsageStatus>{}</EpubUsageStatus></EpubUsageConstraint></DescriptiveDetail></Product></ONIXMessage>"
)


def test_onix_record_beside_a_file_is_read_with_it(tmp_path):
    path = tmp_path / "book.html"
    path.write_text(PAGE.format(head=""), "utf-8")
    beside = tmp_path / "book.html.onix.xml"
    beside.write_text(RECORD.format("03"), "utf-8")
    code, [told] = check(path)
    assert code == 1
    assert (told["decision"]["verdict"], told["decision"]["reason"]) == ("discarded", "onix.tdm")
    assert "book.html.onix.xml" in told["protocols"]["onix"]["found"][0]["text"]
    beside.write_text(RECORD.format("01"), "utf-8")
    assert check(path)[0] == 0
    beside.write_text("<ONIXMessage><Product>", "utf-8")
    assert check(path) == (2, [])


def test_table_names_what_spoke_and_what_decided(tmp_path):
    path = tmp_path / "page.html"
    path.write_text(PAGE.format(head='<meta name="tdm-reservation" content="1">'), "utf-8")
    told = RUN.invoke(app, ["check", str(path)], env={"COLUMNS": "200"}).stdout
    row = next(line for line in told.splitlines() if "tdmrep " in line and "│" in line)
    assert "the page's meta 1" in row
    assert "refuses" in row
    assert "decisive" in row
