"""URLs that are asked for again: on a schedule, and by an operator's word. The newest answer is the one that counts."""

import signal

import pytest
from support.site import page, robots
from typer.testing import CliRunner

from crawler.frontier_verbs import app
from provenance.finality import superseded

pytestmark = pytest.mark.crawl

ALL = robots("User-agent: *\nAllow: /\n")


def test_scheduled_crawl_asks_again_and_has_one_last_word_that_holds(crawling, serve):
    site = serve({"a.example": {"/robots.txt": ALL, "/": page()}})
    crawl = crawling(site)
    process = crawl.start(crawl.web([site.url("a.example/")], KNOCKFIRST_RECRAWL_DAYS=1e-6))
    site.wait_for("a.example/", times=3)
    process.send_signal(signal.SIGTERM)
    assert crawl.finish(process).returncode == 0
    finals = [entry for entry in crawl.decisions() if entry.final]
    assert len(finals) >= 3
    assert {entry.attempt for entry in finals} == {1}
    assert [str(entry.verdict) for entry in finals][:2] == ["kept", "unchanged"]
    assert len(list(superseded(("log", entry) for entry in finals))) == len(finals) - 1
    assert site.asked.count("a.example/robots.txt") == 1
    assert crawl.verified()


def test_requeued_url_is_asked_for_by_the_next_start(crawling, serve):
    site = serve({"a.example": {"/robots.txt": ALL, "/": page(), "/other": page(text="other")}})
    crawl = crawling(site)
    command = crawl.web([site.url("a.example/"), site.url("a.example/other")])
    assert crawl.run(command).returncode == 0
    requeued = CliRunner().invoke(app, ["requeue", str(crawl.out), site.url("a.example/")])
    assert requeued.exit_code == 0, requeued.output
    assert crawl.run(command).returncode == 0
    assert site.pages("a.example").count("/") == 2
    assert site.pages("a.example").count("/other") == 1
    assert crawl.seals() == ["finished", "finished"]
    assert crawl.verified()
