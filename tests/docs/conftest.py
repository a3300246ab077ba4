"""One crawl of the demo web for all guides, and an empty folder to follow them in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))  # for tests/support

from support.guide import PORTS

from crawler.demo.run import crawl_command
from crawler.demo.server import DemoWeb

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """A folder with a crawl that is done, in `out`, and the key of its log."""
    folder = tmp_path_factory.mktemp("demo")
    with DemoWeb.start(PORTS) as web:
        command = crawl_command(web, folder / "out", folder)
        ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)
        assert ran.returncode == 0, ran.stderr
    return folder


@pytest.fixture
def empty_desk(tmp_path, monkeypatch):
    """The working folder of a reader, in which nothing is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in [name for name in os.environ if name.startswith("KNOCKFIRST_")]:
        monkeypatch.delenv(name)
    (tmp_path / "keys").mkdir()
    (tmp_path / "out").mkdir()
    return tmp_path
