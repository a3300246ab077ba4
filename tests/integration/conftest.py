"""Whole crawls on loopback: the command in a process of its own, the web in this one."""

import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))  # for tests/support

from support.crawling import Crawling
from support.site import serving


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
