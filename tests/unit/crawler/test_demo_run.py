"""The demo's crawl as a command, and what is read back from its log."""

import datetime as dt
from itertools import pairwise
from pathlib import Path

import pytest

from crawler.demo.compare import Entry
from crawler.demo.run import PROJECT, crawl_command, entered
from crawler.demo.server import DemoWeb
from crawler.demo.situations import Ports
from crawler.options import read_options
from provenance import builds, keys
from provenance.entry import VERSION, DecisionEntry
from provenance.log import LogWriter
from reservations.model import Verdict

PORTS = Ports(18080, 18443)


@pytest.fixture
def command(tmp_path):
    with DemoWeb.start(PORTS) as web:
        yield crawl_command(web, tmp_path / "out", tmp_path, {"DOWNLOAD_DELAY": "0.01"}), web


def settings_of(words):
    return dict(word.split("=", 1) for option, word in pairwise(words) if option == "-s")


def test_command_starts_the_web_spider_with_seeds_and_scope(command):
    words, web = command
    assert words[1:5] == ["-m", "scrapy", "crawl", "web"]
    arguments = dict(word.split("=", 1) for option, word in pairwise(words) if option == "-a")
    assert arguments["scope"] == "host"
    assert tuple(Path(arguments["seeds"]).read_text().splitlines()) == web.seeds


def test_command_names_settings_that_the_crawl_accepts(command):
    words, web = command
    settings = settings_of(words)
    options, faults = read_options({k: v for k, v in settings.items() if k.startswith("KNOCKFIRST_")}, "web")
    assert faults == []
    assert options.ca_file == web.ca_file
    assert options.allow_private_addresses
    assert not options.no_blocklist
    assert settings["DOWNLOAD_DELAY"] == "0.01"


def test_command_brings_a_signed_list_with_an_eu_source(command):
    words, _ = command
    options, _ = read_options({k: v for k, v in settings_of(words).items() if k.startswith("KNOCKFIRST_")}, "web")
    today = dt.datetime.now(dt.UTC).date()
    blocklist, _ = builds.load_build(options.blocklist, keys=options.blocklist_keys, today=today)
    assert blocklist.has_eu_source
    assert blocklist.match("https://mirror.pirate.example:8443/", today)
    assert blocklist.match("https://news.example:8443/", today) is None


def test_command_is_run_where_the_package_lies():
    assert (PROJECT / "crawler" / "demo" / "web.toml").exists()


def test_superseded_entry_is_not_final(tmp_path):
    writer = LogWriter.open(tmp_path / "out" / "log", "demo.example/test", keys.generate(tmp_path / "log.key"))
    kept = {"verdict": Verdict.KEPT, "reason": "policy.open", "gate": "body", "final": True}
    late = {"verdict": Verdict.DEFERRED, "reason": "http.server-error", "gate": "head"}
    for seq, fields in enumerate((late, kept, {**kept, "supersedes": 1})):
        writer.append(
            DecisionEntry(
                v=VERSION,
                seq=seq,
                n="A" * 22,
                ts="2026-11-22T09:00:00.000Z",
                run="r",
                url="http://a.example/",
                via="seed",
                lease=seq + 1,
                agent="KnockfirstBot",
                purposes=(),
                config=0,
                **fields,
            )
        )
    writer.close()
    url = "http://a.example/"
    assert list(entered(tmp_path / "out")) == [
        Entry(url, "deferred", "http.server-error", final=False),
        Entry(url, "kept", "policy.open", final=False),
        Entry(url, "kept", "policy.open", final=True),
    ]
