"""The guide for policy staff: its commands are run as they stand there, in order, and print what it says."""

import datetime as dt
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crawler.cli import app
from crawler.demo.run import crawl_command
from crawler.demo.server import DemoWeb
from crawler.demo.situations import Ports
from provenance.blocklist_verbs import common

pytestmark = pytest.mark.crawl

PROJECT = Path(__file__).parents[2]
GUIDE = PROJECT / "docs" / "for-policy-staff.md"
NOW = dt.datetime(2026, 11, 24, 9, 30, tzinfo=dt.UTC)
PORTS = Ports(38080, 38443)

BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
#: A file that the reader is taken to have, shown by the guide itself.
SHOWN = re.compile(r"(?:cat|head -\d+) (\S+)")


def steps(text):
    """Each command of the guide with what should follow it."""
    for block in BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def agrees(expected, printed):
    """Whether the text printed is the one in the guide, in which "..." stands for anything."""
    pattern = ".*?".join(map(re.escape, expected.rstrip().split("...")))
    return re.fullmatch(pattern, printed.rstrip(), re.DOTALL) is not None


class Desk:
    """A terminal in an empty folder."""

    def __init__(self, folder):
        self.folder = folder

    def run(self, command, output):
        if shown := SHOWN.fullmatch(command):
            return self.show(shown[1], output)
        if not command.startswith("knockfirst "):
            return subprocess.run(["bash", "-c", command], check=True, capture_output=True, text=True).stdout
        arguments = shlex.split(re.sub(r"\$\(cat ([^)]*)\)", self.content, command))
        return CliRunner().invoke(app, arguments[1:]).output

    def show(self, name, output):
        path = self.folder / name
        if not path.exists():
            more = "".join(f"{number}. films-{number - 3}[.]example\n" for number in range(5, 303))
            path.write_text(output + (more if name == "annex.txt" else ""), "utf-8")
        return output

    @staticmethod
    def content(found):
        return " ".join(Path(name).read_text("utf-8").strip() for name in found[1].split())


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A crawl that is done."""
    folder = tmp_path_factory.mktemp("demo")
    with DemoWeb.start(PORTS) as web:
        command = crawl_command(web, folder / "out", folder)
        ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)
        assert ran.returncode == 0, ran.stderr
    return folder / "out"


@pytest.fixture
def desk(tmp_path, demo, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(common, "now", lambda: NOW)
    for name in [name for name in os.environ if name.startswith("KNOCKFIRST_")]:
        monkeypatch.delenv(name)
    (tmp_path / "keys").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "demo").symlink_to(demo)
    (tmp_path / "reservations").symlink_to(PROJECT / "reservations")
    (tmp_path / "tests").symlink_to(PROJECT / "tests")
    (tmp_path / "order.pdf").write_bytes(b"%PDF-1.7 the decision")
    return Desk(tmp_path)


def test_every_command_of_the_guide_prints_what_the_guide_says(desk):
    wrong = []
    for command, expected in steps(GUIDE.read_text("utf-8")):
        printed = desk.run(command, expected)
        if not agrees(expected, printed):
            wrong.append(f"$ {command}\n--- guide\n{expected}--- printed\n{printed}")
    assert not wrong, "\n\n".join(wrong)


def test_every_verb_of_the_list_that_staff_need_is_in_the_guide():
    used = {command.split()[2] for command, _ in steps(GUIDE.read_text("utf-8")) if command.startswith("knockfirst bl")}
    needed = {"add", "mirror", "approve", "confirm", "suspend", "import", "compile", "sign", "verify", "lint", "diff"}
    assert needed | {"test", "due", "stats", "who", "explain", "objection", "keygen"} <= used
