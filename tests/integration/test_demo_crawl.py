"""The demo web, crawled once as a command: what was decided, what was stored, and that nobody can alter it unseen."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from isal import igzip

from crawler.demo.compare import compare, manners, trespasses
from crawler.demo.run import DELAY_S, PROJECT, crawl_command, entered
from crawler.demo.server import DemoWeb
from crawler.demo.situations import Ports
from crawler.demo.wire import message_of
from provenance.verify import VerifyError, verify

pytestmark = pytest.mark.crawl

BIN = Path(sys.executable).parent
PORTS = Ports(28080, 28443)
FLIPS_PER_FILE = 6


class Crawled:
    """One finished crawl of the demo web."""

    def __init__(self, web, folder):
        self.web, self.out, self.items = web, folder / "out", folder / "pages.jsonl"
        command = [*crawl_command(web, self.out, folder), "-O", str(self.items)]
        self.ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)

    def files(self, *folders):
        return sorted(path for name in folders for path in (self.out / name).rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def crawled(tmp_path_factory):
    with DemoWeb.start(PORTS) as web:
        demo = Crawled(web, tmp_path_factory.mktemp("demo"))
        assert demo.ran.returncode == 0, demo.ran.stderr
        yield demo


def is_clean(out):
    try:
        return verify(out).clean
    except VerifyError:
        return False


def test_crawl_ends_well_and_prints_no_error(crawled):
    assert "ERROR" not in crawled.ran.stderr
    assert "Traceback" not in crawled.ran.stderr
    assert ": finished after" in crawled.ran.stderr


def test_every_url_ends_as_the_data_file_says(crawled):
    rows = compare(crawled.web.web, entered(crawled.out))
    assert len(rows) >= len(crawled.web.expected)
    assert [row for row in rows if not row.ok] == []


def test_no_server_saw_what_it_must_not_see(crawled):
    assert trespasses(crawled.web.web, crawled.web.access_log) == []
    assert [one for one in manners(crawled.web.web, crawled.web.access_log, DELAY_S) if not one.ok] == []


def test_verify_is_clean(crawled):
    ran = subprocess.run([BIN / "knockfirst", "verify", crawled.out, "--json"], capture_output=True, check=False)
    report = json.loads(ran.stdout)
    assert ran.returncode == 0, report
    assert report["clean"]
    assert report["seal"] == "finished"
    assert report["size"] == report["signed_size"]


#: warcio 1.8 cannot set up the decoder of brotli 1.2, which it does not need for checking; without it, it checks.
WARCIO = "import sys; sys.modules['brotli'] = None; from warcio.cli import main; main(sys.argv[1:])"


@pytest.mark.parametrize("folder", ["warc", "evidence"])
@pytest.mark.parametrize("tool", [(sys.executable, "-c", WARCIO), (BIN / "fastwarc",)], ids=["warcio", "fastwarc"])
def test_foreign_tools_find_nothing_wrong(crawled, tool, folder):
    files = crawled.files(folder)
    assert files
    for path in files:
        ran = subprocess.run([*tool, "check", path], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "fail" not in ran.stdout


@pytest.mark.parametrize("secret", ["3f1c9ab2", "9d4e71aa", "5b1e0c77", "lovelace"])
def test_secret_of_a_url_stands_nowhere_in_the_log(crawled, secret):
    assert secret in (PROJECT / "crawler" / "demo" / "web.toml").read_text()
    assert not [path.name for path in crawled.files("log") if secret.encode() in path.read_bytes()]


def test_items_point_to_the_bytes_of_their_page(crawled):
    """The pointer alone suffices: seek, inflate one member, and there is the page as the server sent it."""
    sites = {
        crawled.web.web.url(page.path, site): (site, page)
        for site in crawled.web.web.sites
        for page in site.page
        if not page.first and page.framing != "close"
    }
    items = [json.loads(line) for line in crawled.items.read_text().splitlines()]
    kept = [entry.url for entry in entered(crawled.out) if entry.final and entry.verdict == "kept"]
    known = {item["url"] for item in items}
    assert known <= set(kept)
    assert all(".xml" in url for url in set(kept) - known), "sitemaps are read, and are no items"
    compared = 0
    for item in items:
        pointer = item["warc"]
        octets = (crawled.out / pointer["file"]).read_bytes()[pointer["offset"] :][: pointer["length"]]
        head, _, block = igzip.decompress(octets).partition(b"\r\n\r\n")
        assert pointer["record_id"].encode() in head
        assert f"WARC-Target-URI: {item['url']}".encode() in head
        assert item["open"] == ["genai-train"]
        if item["url"] in sites:
            site, page = sites[item["url"]]
            message = message_of(crawled.web.web, site, page.path, page)
            final = message.head.rpartition(b"HTTP/1.1")
            assert block == final[1] + final[2] + message.body + b"\r\n\r\n"
            compared += 1
    assert compared > 100


def test_log_entry_of_an_item_is_the_decision_that_kept_it(crawled):
    lines = [line for path in sorted((crawled.out / "log").glob("seg-*")) for line in path.read_bytes().splitlines()]
    for line in crawled.items.read_text().splitlines():
        item = json.loads(line)
        entry = json.loads(lines[item["log_entry"]])
        assert (entry["t"], entry["url"], entry["verdict"]) == ("decision", item["url"], "kept")


def test_one_flipped_byte_anywhere_is_found(crawled, tmp_path):
    copy = tmp_path / "out"
    shutil.copytree(crawled.out, copy)
    assert verify(copy).clean
    chance = random.Random(9309)
    unseen = []
    for path in sorted(path for name in ("log", "warc", "evidence") for path in (copy / name).rglob("*")):
        if path.is_dir() or not path.stat().st_size:
            continue
        whole = path.read_bytes()
        offsets = {0, len(whole) - 1, *chance.sample(range(len(whole)), min(FLIPS_PER_FILE, len(whole)))}
        for offset in sorted(offsets):
            with path.open("r+b") as file:
                file.seek(offset)
                file.write(bytes([whole[offset] ^ (1 << chance.randrange(8))]))
            if is_clean(copy):
                unseen.append(f"{path.relative_to(copy)} at {offset}")
        path.write_bytes(whole)
    assert unseen == []
    assert verify(copy).clean


@pytest.mark.parametrize("path", ["log/checkpoint", "log/checkpoints", "log/log.vkey", "log/seg-00000000.jsonl"])
def test_missing_file_of_the_log_is_found(crawled, tmp_path, path):
    copy = tmp_path / "out"
    shutil.copytree(crawled.out, copy)
    (copy / path).unlink()
    assert not is_clean(copy)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://news.example:28443/search?q=bees", "Disallow: /search"),
        ("http://pirate.example:28080/", "blocklist.listed"),
    ],
)
def test_explain_tells_the_rule(crawled, url, words):
    ran = subprocess.run(
        [BIN / "knockfirst", "explain", crawled.out, url], capture_output=True, text=True, check=False
    )  # fmt: skip
    assert ran.returncode == 0
    assert words in ran.stdout


def test_same_command_again_finds_nothing_to_do_and_alters_nothing_signed(crawled, tmp_path):
    copy = tmp_path / "out"
    shutil.copytree(crawled.out, copy)
    before = (copy / "log" / "seg-00000000.jsonl").read_bytes()
    requests = len(crawled.web.access_log)
    command = [word.replace(str(crawled.out), str(copy)) for word in crawled.ran.args]
    ran = subprocess.run(command[:-2], cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert len(crawled.web.access_log) == requests
    assert (copy / "log" / "seg-00000000.jsonl").read_bytes().startswith(before)
    assert verify(copy).clean
