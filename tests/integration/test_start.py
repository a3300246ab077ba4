"""A crawl that cannot start says everything that is wrong at once, in words, and leaves no trace."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.crawling import PROJECT
from support.site import page

from blocklists.signing import StaffKey
from provenance import keys
from provenance.log import LogWriter


def refused(ran):
    """What is to be mended, of a command that was refused in good order."""
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr
    assert ran.stderr.count("the crawl was not started, nothing was fetched") == 1
    first, *lines = ran.stderr.rstrip("\n").splitlines()
    faults = [line.strip() for line in lines if not line.startswith("    ->")]
    assert first.endswith(f"; {len(faults)} to mend:")
    assert sum(line.startswith("    -> ") for line in lines) == len(faults), "each fault has its remedy"
    return faults


def everything_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_all_faults_are_reported_at_once_and_nothing_is_written(crawling, serve, tmp_path):
    site = serve({"a.example": {"/": page()}})
    seeds = tmp_path / "seeds.txt"
    seeds.write_text(f"{site.url('a.example/')}\n# a comment\n\nnot a URL\nftp://a.example/file\n")
    policy = tmp_path / "policy.toml"
    policy.write_text('name = "mine"\nprofile = "lenient"\n')
    crawl = crawling(site)
    command = crawl.web(
        str(seeds),
        "-a",
        "scope=planet",
        "-a",
        "speed=9",
        KNOCKFIRST_POLICY=policy,
        KNOCKFIRST_OPERATR="misspelt",
        KNOCKFIRST_OPERATOR=None,
        KNOCKFIRST_CONTACT="nobody",
        KNOCKFIRST_NO_BLOCKLIST=None,
        KNOCKFIRST_BACKOFF="soon",
        RETRY_ENABLED="True",
    )
    before = everything_in(tmp_path)
    faults = refused(crawl.run(command))
    for beginning in (
        f"{seeds}:4: 'not a URL' is no seed",
        f"{seeds}:5: 'ftp://a.example/file' is no seed",
        "-a scope: 'planet' is no scope",
        "-a speed: is no argument",
        "KNOCKFIRST_OPERATR: is no setting",
        "KNOCKFIRST_OPERATOR: is not set",
        "KNOCKFIRST_CONTACT: 'nobody' cannot be used",
        "KNOCKFIRST_BLOCKLIST: no list",
        "KNOCKFIRST_BACKOFF: 'soon' is not understood",
        "RETRY_ENABLED: is set to",
    ):
        assert any(fault.startswith(beginning) for fault in faults), beginning
    assert any("policy.toml" in fault and "profile" in fault for fault in faults)
    assert everything_in(tmp_path) == before
    assert site.log == []


def test_command_knockfirst_crawl_reports_likewise(crawling, tmp_path):
    crawl = crawling()
    knockfirst = Path(sys.executable).with_name("knockfirst")
    ran = crawl.run([knockfirst, "crawl", "http://a.example/", "--out", str(crawl.out)], cwd=tmp_path)
    assert [fault.partition(":")[0] for fault in refused(ran)] == [
        "KNOCKFIRST_OPERATOR",
        "KNOCKFIRST_CONTACT",
        "KNOCKFIRST_BLOCKLIST",
    ]
    assert not crawl.out.exists()


def test_switched_off_log_does_not_silence_a_refusal(crawling):
    crawl = crawling()
    refused(crawl.run(crawl.web("http://a.example/", LOG_ENABLED=False, KNOCKFIRST_OPERATOR=None)))


def test_folder_of_another_crawl_is_refused_and_left_as_it_is(crawling, serve):
    site = serve({"a.example": {"/": page()}})
    crawl = crawling(site)
    assert crawl.run(crawl.web(site.url("a.example/"))).returncode == 0
    asked, before = list(site.log), {path: path.read_bytes() for path in crawl.out.rglob("*") if path.is_file()}
    for other in (
        crawl.web(site.url("a.example/other")),
        crawl.web(site.url("a.example/"), "-a", "depth=1"),
        crawl.web(site.url("a.example/"), KNOCKFIRST_TOKEN="OtherBot"),
    ):
        (fault,) = refused(crawl.run(other))
        assert fault.startswith(f"KNOCKFIRST_OUT: {crawl.out} holds a crawl by spider 'web' as KnockfirstBot")
    assert site.log == asked
    assert {path: path.read_bytes() for path in crawl.out.rglob("*") if path.is_file()} == before


def test_folder_with_something_else_in_it_is_refused(crawling):
    crawl = crawling()
    crawl.out.mkdir()
    (crawl.out / "thesis.odt").write_text("years of work")
    (fault,) = refused(crawl.run(crawl.web("http://a.example/")))
    assert fault.startswith(f"KNOCKFIRST_OUT: {crawl.out} is not empty")
    assert everything_in(crawl.out) == ["thesis.odt"]


def test_log_of_another_key_is_refused_in_words(crawling, serve):
    site = serve({"a.example": {"/": page()}})
    crawl = crawling(site)
    command = crawl.web(site.url("a.example/"))
    assert crawl.run(command).returncode == 0
    crawl.key.unlink()
    asked = list(site.log)
    (fault,) = refused(crawl.run(command))
    assert "log.vkey" in fault
    assert site.log == asked


def test_second_process_on_one_folder_is_refused(crawling, serve):
    site = serve({"a.example": {"/": page()}})
    crawl = crawling(site)
    command = crawl.web(site.url("a.example/"))
    assert crawl.run(command).returncode == 0
    origin = (crawl.out / "log" / "log.vkey").read_text().partition("+")[0]
    writer = LogWriter.open(crawl.out / "log", origin, keys.load(crawl.key))
    try:
        (fault,) = refused(crawl.run(command))
    finally:
        writer.close()
    assert "another process" in fault
    assert crawl.verified()


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"KNOCKFIRST_KEY": "{out}/log.key"}, "KNOCKFIRST_KEY: {out}/log.key: lies inside {out}"),
        ({"KNOCKFIRST_BLOCKLIST": "{folder}"}, "KNOCKFIRST_BLOCKLIST_KEYS: is empty"),
        ({"KNOCKFIRST_BLOCKLIST": "{folder}", "KNOCKFIRST_BLOCKLIST_KEYS": "{staff}"}, "KNOCKFIRST_BLOCKLIST: "),
        ({"KNOCKFIRST_BLOCKLIST": "{folder}/none"}, "KNOCKFIRST_BLOCKLIST: "),
        ({"KNOCKFIRST_POLICY": "{folder}/none.toml"}, "KNOCKFIRST_POLICY: "),
        ({"KNOCKFIRST_CA_FILE": "{folder}/none.pem"}, "KNOCKFIRST_CA_FILE: "),
        ({"KNOCKFIRST_CA_FILE": "{folder}/not.pem"}, "KNOCKFIRST_CA_FILE: "),
        ({"KNOCKFIRST_RESOLVE": "a.example=nowhere"}, "KNOCKFIRST_RESOLVE: "),
        ({"KNOCKFIRST_TOKEN": "Googlebot"}, "KNOCKFIRST_TOKEN: "),
        ({"KNOCKFIRST_TOKEN": "Two Words"}, "KNOCKFIRST_TOKEN: "),
        ({"KNOCKFIRST_FRONTIER": "valkey://localhost"}, "KNOCKFIRST_FRONTIER: "),
        ({"KNOCKFIRST_ALLOW_PRIVATE_ADDRESSES": "perhaps"}, "KNOCKFIRST_ALLOW_PRIVATE_ADDRESSES: "),
        ({"KNOCKFIRST_MAX_PER_HOST": "-1"}, "KNOCKFIRST_MAX_PER_HOST: "),
        ({"KNOCKFIRST_OUT": "/proc/nowhere"}, "KNOCKFIRST_OUT: "),
    ],
    ids=lambda value: "-".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_each_bad_value_is_refused_by_name(crawling, tmp_path, settings, fault):
    crawl = crawling()
    (tmp_path / "not.pem").write_text("no certificate")
    words = {"out": crawl.out, "folder": tmp_path, "staff": StaffKey.new("a.example/b").public_text()}
    chosen = {name: value.format(**words) for name, value in settings.items()}
    faults = refused(crawl.run(crawl.web("http://a.example/", **chosen)))
    assert len(faults) == 1
    assert faults[0].startswith(fault.format(**words))
    assert not crawl.out.exists()


def test_script_that_awaits_the_crawl_gets_the_exception_and_nothing_is_printed(crawling, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("""
import asyncio
from scrapy.crawler import AsyncCrawlerRunner
from scrapy.utils.reactor import install_reactor
install_reactor("twisted.internet.asyncioreactor.AsyncioSelectorReactor")
from twisted.internet.task import react
from scrapy.utils.defer import deferred_from_coro
from crawler.addon import StartRefusedError
from crawler.spiders.web import WebSpider

async def main():
    try:
        await AsyncCrawlerRunner({"ADDONS": {"crawler.addon.Addon": 100}}).crawl(WebSpider)
    except StartRefusedError as error:
        print(*(fault.where for fault in error.faults))

react(lambda _: deferred_from_coro(main()))
""")
    ran = crawling().run([sys.executable, str(script)], cwd=PROJECT)
    assert ran.stdout.split() == [
        "KNOCKFIRST_OPERATOR", "KNOCKFIRST_CONTACT", "KNOCKFIRST_BLOCKLIST", "-a", "seeds"
    ]  # fmt: skip
    assert ran.stderr == ""
    assert isinstance(ran, subprocess.CompletedProcess)
