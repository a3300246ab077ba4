"""The auditors' pages as a process of their own, where Scrapy cannot be imported, and a browser to look at them."""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager

import pytest

_SERVE = """
import sys
for name in ("scrapy", "twisted"):
    sys.modules[name] = None
from crawler.cli import main
main()
"""
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_PATIENCE_S = 60


@contextmanager
def serving_pages(index, *outs):
    """Serves the pages of output folders; gives their address."""
    command = [sys.executable, "-c", _SERVE, "serve", *map(str, outs), "--port", "0", "--index", str(index)]
    with (
        tempfile.TemporaryFile("w+") as said,  # a pipe that nobody reads would stop a server that says much
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as process,
    ):
        try:
            ready, _, _ = select.select([process.stdout], [], [], _PATIENCE_S)
            line = process.stdout.readline() if ready else ""
            address = re.search(r"http://127\.0\.0\.1:\d+", line)
            assert address, line
            yield address[0]
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=_PATIENCE_S)
            said.seek(0)
            errors = said.read()
    assert "Traceback" not in errors, errors
    assert process.returncode == 0


def chromium():
    """Where the browser is; without one, tests fail in CI and are skipped elsewhere."""
    path = shutil.which("chromium")
    if path is None:
        reason = "needs the chromium command (on Debian: apt-get install -y chromium)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return path


@contextmanager
def browsing():
    """A headless browser."""
    from playwright.sync_api import sync_playwright

    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()
