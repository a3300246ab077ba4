"""Whole crawls on loopback: the command in a process of its own, the web in this one."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

sys.path.append(str(Path(__file__).parents[1]))  # for tests/support

from support.crawling import Crawling
from support.pages import browsing
from support.site import serving

from crawler.demo.run import PROJECT, crawl_command
from crawler.demo.server import DemoWeb
from crawler.demo.situations import Ports


class Finished(NamedTuple):
    """A finished crawl: its output folder, to be copied and never changed, and its log's private key."""

    out: Path
    key: Path


@pytest.fixture(scope="session")
def demo_crawl(tmp_path_factory):
    """A crawl of the demo web, made once for all who only read it."""
    folder = tmp_path_factory.mktemp("finished")
    with DemoWeb.start(Ports(28082, 28445)) as web:
        command = crawl_command(web, folder / "demo", folder)
        ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=180, check=False)
    assert ran.returncode == 0, ran.stderr
    return Finished(folder / "demo", folder / "log.key")


@pytest.fixture(scope="module")
def browser():
    """One headless browser; each test opens a context of its own in it.

    Its driver has an event loop in this thread, under which no other can run: so it lasts no longer than a module.
    """
    with browsing() as one:
        yield one


@pytest.fixture
def crawling(tmp_path):
    """Makes the commands of this test for a running site, or for none."""
    with ExitStack() as stack:

        def make(site=None):
            crawl = Crawling(tmp_path, resolve=site.resolve if site else "")
            stack.callback(crawl.end)
            return crawl

        yield make


@pytest.fixture
def serve():
    """Runs webs until the test ends."""
    with ExitStack() as stack:
        yield lambda web: stack.enter_context(serving(web))
