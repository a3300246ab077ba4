"""The auditors' pages in a real browser: from a search to a proof by keyboard, verification, hostile text, WCAG.

As one command: `python -m pytest tests/integration/test_pages.py`. The material is a crawl of the demo web, and a
folder made by hand that holds what nobody would want to see executed.
"""

import csv
import io
import json
import re
import shutil
import time
import urllib.request
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import pytest
from support.handmade import handmade
from support.pages import serving_pages

from provenance import keys
from provenance.entry import DecisionEntry, EvidenceEntry, Http, LoggedHop, LoggedSignal
from provenance.log import read_entries
from provenance.proof import check
from provenance.story import story
from reservations.model import Category, Value, Verdict

pytestmark = pytest.mark.crawl

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
EVIL = '"><script>document.title="owned"</script><img src=x onerror="document.title=\'owned\'">'
RTL = "\u202egnp.exe\u2066\u200b"
LONG = "https://long.example/" + "a%2F" * 2_000
HOSTILE = (
    "https://evil.example/" + EVIL,
    "javascript:document.title='owned'//https://evil.example/",
    f"https://evil.example/{RTL}",
    "https://evil.example/{{ 7*7 }}{% raw %}'\"`${7*7}",
    '=HYPERLINK("https://evil.example/","x")',
    LONG,
)


class Hostile(NamedTuple):
    out: Path
    decisions: list[int]
    documents: list[int]


def hostile_folder(folder):
    """A folder full of it: its entries by kind, and last a line that is no entry."""
    made = handmade().Crawled(folder / "hostile", keys.generate(folder / "hostile.key"))
    seqs, documents = [], []
    deny = {Category.CRAWL: Value.DENY}
    for url in HOSTILE:
        site = f"{EVIL}.example" if "script" in url else "evil.example"
        robots = f"User-agent: *\nDisallow: {EVIL}{RTL}\x1b[2J\n<script>document.title='owned'</script>\n".encode()
        authority = f"https://{len(url)}.evil.example"
        head = f"HTTP/1.1 200 OK\r\nX-Evil: {EVIL}\r\nRefresh: 0;url=https://evil.example/\r\n\r\n".encode()
        evidence = made.document(authority, "/robots.txt", head, robots)
        signal = LoggedSignal(
            p=EVIL, reason="robots.disallow", carrier="robots_txt", src="/robots.txt", loc="line 2", rule=EVIL + RTL,
            strict=deny, effective=deny, issues=(EVIL,), cond=("javascript:alert(1)",), ev=evidence,
        )  # fmt: skip
        documents.append(evidence)
        seqs.append(made.log.next_seq)
        made.decide(
            url=url, site=site, verdict=Verdict.REFUSED, reason="robots.disallow", final=True, signals=(signal,),
            consulted={"/robots.txt": evidence, EVIL: EVIL}, effective=deny, target=url, failure=EVIL,
            http=Http(st=200, ct=EVIL, ip=EVIL, tls=EVIL),
        )  # fmt: skip
    for rule in ("Disallow:", "Disallow:", f"Disallow: /{EVIL}"):
        made.document("https://versions.example", "/robots.txt", HEAD, f"User-agent: *\n{rule}\nAllow: /x\n".encode())
    made.document(f"https://{EVIL}.example", f"/{EVIL}", HEAD, EVIL.encode())
    made.raw(b"<script>document.title='owned'</script>")
    made.finish()
    return Hostile(made.out, seqs, documents)


@pytest.fixture(scope="module")
def outs(demo_crawl, tmp_path_factory):
    """A crawl of the demo web; the same, altered; the same, to be altered later."""
    altered = shutil.copytree(demo_crawl.out, tmp_path_factory.mktemp("pages") / "altered")
    segment = altered / "log" / "seg-00000000.jsonl"
    segment.write_bytes(segment.read_bytes().replace(b'"verdict":"refused"', b'"verdict":"aborted"', 1))
    later = shutil.copytree(demo_crawl.out, altered.with_name("later"))
    return {"demo": demo_crawl.out, "altered": altered, "later": later}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    return hostile_folder(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """What one of several workers has written that is not at its end."""
    folder = tmp_path_factory.mktemp("running")
    made = handmade().Crawled(folder / "running", keys.generate(folder / "key"), "crawler.example.org/w1", shared=True)
    made.decide(url="https://example.org/first", site="example.org")
    hop = LoggedHop(url="https://example.org/old", st=301, to="https://example.org/new")
    made.led = made.kept("https://example.org/new", via="redirect", src=2, src_log="w2", hops=(hop,))
    made.took = made.enter(
        EvidenceEntry, key="/robots.txt", url="https://taken.example/robots.txt", authority="https://taken.example",
        outcome="404", st=404, fetched=0, expires=0, taken="w2#7",
    )  # fmt: skip
    made.log.sync()
    made.log.checkpoint()
    yield made
    made.log.close()


@pytest.fixture(scope="module")
def pages(outs, hostile, running, tmp_path_factory):
    with serving_pages(tmp_path_factory.mktemp("index"), *outs.values(), hostile.out, running.out) as address:
        yield address


@pytest.fixture
def page(browser, pages):
    """A page of the browser; whatever it says or asks for elsewhere is remembered."""
    context = browser.new_context(base_url=pages, viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.strayed, page.said = [], []
    page.on("request", lambda request: None if request.url.startswith(pages) else page.strayed.append(request.url))
    page.on("console", lambda message: page.said.append(message.text))
    page.on("dialog", lambda dialog: page.said.append(dialog.message))
    yield page
    context.close()
    assert page.strayed == []
    assert page.said == []


def get(address, path):
    with urllib.request.urlopen(address + path, timeout=30) as answer:
        return answer.read().decode(), answer.headers


def status(address, path, method="GET", **headers):
    connection = HTTPConnection(urlsplit(address).netloc)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    connection.close()
    return answer.status


def decisions(out):
    return [entry for _, entry in read_entries(out / "log") if isinstance(entry, DecisionEntry)]


def reserved(out):
    """An attempt that robots.txt ended, by a rule with a line."""
    return next(one for one in decisions(out) if one.reason == "robots.disallow" and one.signals[0].rule)


# -- finding and understanding -----------------------------------------------------------------------------------------


def test_from_the_search_to_a_proof_by_keyboard_alone(page, outs):
    entry = reserved(outs["demo"])
    page.goto("/demo")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.type(entry.url)
    page.keyboard.press("Enter")
    page.wait_for_url("**/url?of=*")
    walk_to(page, str(entry.seq))
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/entry/{entry.seq}")
    assert entry.url in page.text_content("h1")
    walk_to(page, "Download the proof")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    found = check(Path(download.value.path()).read_text())
    assert (found.index, found.entry) == (entry.seq, entry)


def walk_to(page, text):
    """Press Tab until the focus is on something that reads so; and it shows."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == text:
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
            return
    raise AssertionError(f"no way to {text!r} by keyboard")


def test_page_of_a_decision_says_what_explain_says_and_marks_the_rule(page, outs):
    entry = reserved(outs["demo"])
    (told,) = [one for one in story(outs["demo"] / "log", entry.url).attempts if one.entry == entry]
    page.goto(f"/demo/entry/{entry.seq}")
    shown = page.inner_text("main")
    for sentence in told.sentences:
        assert sentence in shown
    gates = page.locator(".ladder > li")
    assert [text.split("\n")[0] for text in gates.all_inner_texts()] == ["url", "blocklist", "origin", "head", "body"]
    assert page.locator(".ladder .answer").all_inner_texts() == [
        "passed", "passed", "refused here", "not reached", "not reached",
    ]  # fmt: skip
    marked = page.locator("tr.marked").first
    assert marked.locator("td.at").inner_text() == entry.signals[0].loc.removeprefix("line ")
    assert marked.locator("mark").inner_text() == entry.signals[0].rule


def test_every_page_of_the_demo_crawl_can_be_made(pages, outs):
    seen, todo = set(), ["/demo", "/demo/entry/0"]
    todo += [f"/demo/entry/{one.seq}" for one in decisions(outs["demo"])[::9]]
    while todo:
        path = todo.pop()
        kind = re.sub(r"\d+|=[^&]*", "", path)
        if path in seen or sum(re.sub(r"\d+|=[^&]*", "", other) == kind for other in seen) > 6:
            continue
        seen.add(path)
        text, headers = get(pages, path)
        if headers["Content-Type"].startswith("text/html"):
            links = [one.replace("&amp;", "&") for one in re.findall(r'href="([^"#]*)', text)]
            assert all(link.startswith(("/", "?")) or not link for link in links), path
            todo += [path.partition("?")[0] + link if link.startswith("?") else link for link in links
                     if link.startswith(("/demo", "?"))]  # fmt: skip
    assert len(seen) > 60


def test_lists_are_to_be_had_as_csv_json_and_json_lines(pages, outs):
    attempts = sorted(decisions(outs["demo"]), key=lambda one: -one.seq)
    rows = json.loads(get(pages, "/demo/attempts?format=json")[0])
    assert [row["url"] for row in rows] == [one.url for one in attempts]
    lines = get(pages, "/demo/attempts?format=jsonl")[0].splitlines()
    assert list(map(json.loads, lines)) == rows
    text, headers = get(pages, "/demo/attempts?format=csv")
    table = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["url"] for row in table] == [row["url"] for row in rows]
    assert headers["Content-Disposition"] == 'attachment; filename="demo-attempts.csv"'
    for path in ("/demo/sites", "/demo/runs", "/demo/checkpoints", "/demo/blocklist", "/demo/site?name=pirate.example"):
        assert json.loads(get(pages, f"{path}{'&' if '?' in path else '?'}format=json")[0])


def test_turning_pages_shows_every_row_once(pages, outs):
    path, found = "/demo/attempts", []
    while path:
        text, _ = get(pages, path)
        found += re.findall(r'<td class="number"><a href="/demo/entry/(\d+)"', text)
        following = re.search(r'rel="next" href="([^"]+)"', text)
        path = f"/demo/attempts{following[1]}" if following else ""
    assert list(map(int, found)) == sorted((one.seq for one in decisions(outs["demo"])), reverse=True)


def test_search_finds_sites_digests_and_numbers_and_says_what_to_do(pages, outs):
    document = next(one for _, one in read_entries(outs["demo"] / "log") if isinstance(one, EvidenceEntry) and one.d)
    for text, wanted in (
        (document.site, "site?name="),
        ("https://www." + document.site + "/never-seen?x=1", f"site?name={document.site}"),
        ("7", "/demo/entry/7"),
        (document.d, "/demo/entry/"),
    ):
        with urllib.request.urlopen(f"{pages}/search?{urlencode({'q': text, 'log': 'demo'})}", timeout=30) as answer:
            assert wanted in answer.url + answer.read().decode()
    assert "Nothing on" in get(pages, f"/search?q={quote('nowhere.invalid')}")[0]


def test_versions_of_a_robots_txt_are_shown_with_what_changed(page):
    page.goto("/hostile/document?name=versions.example&authority=https://versions.example&path=/robots.txt")
    rows = [row.split("\t") for row in page.locator("tbody tr").all_inner_texts()]
    assert [row[3] for row in rows] == ["yes", "no", "no"]
    page.click(f"text='{rows[0][0]}'")
    page.wait_for_url("**/entry/*")
    lines = page.locator("[aria-labelledby=diff-h] tr")
    assert lines.locator(".sign").all_inner_texts() == ["", "", "-", "+", ""]
    assert lines.locator("td:last-child").all_inner_texts()[1:] == [
        "User-agent: *", "Disallow:", f"Disallow: /{EVIL}", "Allow: /x",
    ]  # fmt: skip


def test_blocklist_is_shown_as_it_stood_on_a_day(page):
    page.goto("/demo/blocklist")
    page.fill("#name", "https://www.pirate.example/x")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=*")
    assert "was kept out on" in page.inner_text("main")
    page.goto("/demo/blocklist?at=2020-01-01")
    assert "No rules were in force on that day" in page.inner_text("main")


# -- verification ------------------------------------------------------------------------------------------------------


def results(page):
    return page.locator("#verified h3 .result").all_inner_texts()


@pytest.mark.parametrize("script", [True, False])
def test_verify_button_shows_each_step(browser, pages, outs, script):
    context = browser.new_context(base_url=pages, java_script_enabled=script)
    page = context.new_page()
    page.goto(f"/demo/entry/{reserved(outs['demo']).seq}")
    page.click("text=Verify this entry")
    page.wait_for_selector("#verified")
    assert results(page) == ["Good", "Good", "Good"]
    assert page.locator("#verified li").count() >= 6
    context.close()


def test_every_kind_of_decision_of_the_demo_verifies(pages, outs):
    kinds = {(one.verdict, one.gate, one.via, one.http is None): one.seq for one in decisions(outs["demo"])}
    for kind, seq in kinds.items():
        request = urllib.request.Request(f"{pages}/demo/entry/{seq}/verify", method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert "r-wrong" not in answer.read().decode(), (kind, seq)


def test_verify_button_finds_an_altered_line(page, outs):
    entry = next(
        one for one in decisions(outs["altered"]) if one.gate in {"blocklist", "origin"} and one.verdict == "aborted"
    )
    page.goto(f"/altered/entry/{entry.seq}")
    page.click("text=Verify this entry")
    page.wait_for_selector("#verified")
    assert results(page)[0] == "Wrong"
    assert "does not lead to the signed root" in page.inner_text("#verified")
    page.said.clear()  # the browser notes that the proof was refused
    assert status(page.url.partition("/altered")[0], f"/altered/entry/{entry.seq}/proof") == 409


def test_line_altered_after_it_was_indexed_is_noticed(pages, outs):
    segment = outs["later"] / "log" / "seg-00000000.jsonl"
    entry = reserved(outs["demo"])
    assert "was changed since" not in get(pages, f"/later/entry/{entry.seq}")[0]
    rule = entry.signals[0].rule.encode()
    segment.write_bytes(segment.read_bytes().replace(rule, rule[:-1] + b"!"))
    assert "was changed since" in get(pages, f"/later/entry/{entry.seq}")[0]


@pytest.mark.parametrize(("log", "wanted"), [("demo", "nothing differs"), ("altered", "difference")])
def test_whole_log_is_verified_with_progress(page, log, wanted):
    page.goto(f"/{log}/verify")
    page.click("text=Verify now")
    page.wait_for_selector("#result-h")
    levels = dict(text.split(", ", 1) for text in page.locator(".level h3").all_inner_texts())
    assert wanted in levels["L1"]
    assert sorted(levels) == ["L1", "L2", "L3", "L4"]


# -- hostile text ------------------------------------------------------------------------------------------------------


def hostile_paths(hostile):
    seqs = hostile.decisions
    yield from ("/hostile", "/hostile/sites", "/hostile/attempts", "/hostile/runs", "/hostile/blocklist")
    yield f"/hostile/site?{urlencode({'name': f'{EVIL}.example'})}"
    document = {"name": f"{EVIL}.example", "authority": f"https://{EVIL}.example", "path": f"/{EVIL}"}
    yield f"/hostile/document?{urlencode(document)}"
    yield from (f"/hostile/{page}" for seq in seqs for page in (f"entry/{seq}", f"url?of={seq}"))
    yield from (f"/hostile/entry/{seq}" for seq in (hostile.documents[0], hostile.documents[-1], seqs[-1] + 1))
    yield from (f"/search?{urlencode({'q': text})}" for text in (EVIL, RTL, LONG, HOSTILE[1]))


def test_nothing_archived_is_executed_and_nothing_leads_out(page, hostile, pages):
    for path in hostile_paths(hostile):
        page.goto(path)
        assert page.title() != "owned", path
        assert page.evaluate("document.querySelectorAll('img, iframe, object, embed').length") == 0
        assert page.evaluate("document.scripts.length") == 1
        links = page.evaluate("[...document.querySelectorAll('a, form')].map(one => one.href || one.action)")
        assert all(link.startswith(pages + "/") for link in links), path
        assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\x1b]", page.content()), path
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, path


def test_hostile_cells_are_no_formulas(pages):
    text, _ = get(pages, "/hostile/attempts?format=csv")
    cells = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
    assert any("HYPERLINK" in cell for cell in cells)
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t"))]


def test_archived_text_is_plain_text_that_no_browser_sniffs(pages, hostile):
    seq = hostile.documents[0]
    for path in (f"/hostile/entry/{seq}/text", f"/hostile/entry/{seq}/line"):
        text, headers = get(pages, path)
        assert headers["Content-Type"] == "text/plain; charset=utf-8"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "\u202e" not in text


# -- who may ask -------------------------------------------------------------------------------------------------------


def test_answers_carry_their_rules_and_set_no_cookie(pages):
    for path in ("/", "/demo", "/static/pages.css", "/demo/attempts?format=csv"):
        headers = get(pages, path)[1]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Set-Cookie"] is None


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[::2]:80"]
)
def test_other_names_are_refused(pages, host):
    assert status(pages, "/demo", Host=host) == 403


@pytest.mark.parametrize("host", ["localhost:80", "LOCALHOST", "[::1]:9", "127.0.0.1"])
def test_names_of_loopback_are_answered(pages, host):
    assert status(pages, "/demo", Host=host) == 200


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "same-origin", "Origin": "null"}, 200),
        ({}, 200),
    ],
)
def test_only_the_pages_themselves_ask_for_verification(pages, headers, wanted):
    assert status(pages, "/demo/entry/1/verify", "POST", **headers) == wanted


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/nowhere", 404),
        ("/demo/entry/99999999", 404),
        ("/demo/entry/99999999999999999999999", 404),
        ("/demo/entry/-1", 404),
        ("/demo/attempts?after=x", 400),
        ("/demo/attempts?after=1.2", 400),
        ("/demo/attempts?after=" + "9" * 400, 400),
        ("/demo/attempts?format=exe", 400),
        ("/demo/blocklist?at=yesterday", 400),
        ("/demo/blocklist?after=-1", 400),
        ("/demo/url?of=" + "9" * 30, 404),
        ("/demo/site?name=%00", 404),
        ("/demo/document?name=pirate.example", 404),
        ("/demo/entry/0/text", 404),
        ("/static/..%2fapp.py", 404),
        ("/demo/../../etc/passwd", 404),
        ("/search?q=" + "%F0%9F" * 9_000, 200),
    ],
)
def test_addresses_that_lead_nowhere_say_so(pages, path, wanted):
    assert status(pages, path) == wanted


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST", "OPTIONS"])
def test_pages_are_only_read(pages, method):
    assert status(pages, "/demo", method) == 405


# -- accessibility -----------------------------------------------------------------------------------------------------

KINDS = (
    "/", "/demo/sites", "/demo/runs", "/demo/site?name=pirate.example", "/demo/checkpoints", "/demo/verify",
    "/demo/blocklist", "/search?q=", "/nowhere", "/demo", "{document}", "{url}", "{decision}",
)  # fmt: skip


def paths_of_kinds(out):
    entry = reserved(out)
    names = {"decision": f"/demo/entry/{entry.seq}", "url": f"/demo/url?of={entry.seq}",
             "document": f"/demo/entry/{entry.signals[0].ev}"}  # fmt: skip
    return [path.format(**names) for path in KINDS]


EVERYTHING = {"resultTypes": ["violations"]}
COLOURS = EVERYTHING | {"runOnly": ["color-contrast"]}


@pytest.mark.parametrize(("scheme", "options", "every"), [("light", EVERYTHING, 1), ("dark", COLOURS, 3)])
def test_pages_are_accessible(browser, pages, outs, scheme, options, every):
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(base_url=pages, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    for path in paths_of_kinds(outs["demo"])[::-every]:
        page.goto(path)
        found = Axe().run(page, options=options)
        assert found.violations_count == 0, f"{path}\n{found.generate_report()}"
    context.close()


def test_narrow_screens_need_no_scrolling_sideways(browser, pages, outs):
    context = browser.new_context(base_url=pages, viewport={"width": 360, "height": 800})
    page = context.new_page()
    for path in paths_of_kinds(outs["demo"]):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
    context.close()


def test_entries_of_a_running_crawl_come_into_the_pages(pages, running):
    running.decide(url="https://example.org/second", site="example.org")
    running.log.sync()
    began = time.monotonic()
    while "hxxps://example.org/second" not in get(pages, "/running/attempts")[0]:
        assert time.monotonic() - began < 60


def test_what_stands_in_another_workers_log_is_shown_and_verified_as_that(page, running):
    page.goto(f"/running/entry/{running.led}")
    shown = page.inner_text("main")
    assert "the last word on this URL in this log; other workers have logs of their own" in shown
    assert "redirect in entry 2 of another worker's log, w2" in shown
    assert "301 from https://example.org/old to https://example.org/new" in " ".join(shown.split())
    page.click("text=Verify this entry")
    page.wait_for_selector("#verified")
    assert results(page) == ["Good", "Good", "Good"]
    page.goto(f"/running/entry/{running.took}")
    assert "from another worker, who asked and entered it as w2#7" in page.inner_text("main")
