"""The guide for auditors: its commands are run as they stand there, in order, and print what it says."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support.guide import Desk, steps

PROJECT = Path(__file__).parents[2]
GUIDE = PROJECT / "docs" / "for-auditors.md"


@pytest.fixture
def desk(empty_desk, demo):
    shutil.copytree(demo / "out", empty_desk / "out" / "demo")
    shutil.copy(demo / "log.key", empty_desk / "keys" / "log.key")
    return Desk(empty_desk)


@pytest.mark.crawl
def test_every_command_of_the_guide_prints_what_the_guide_says(desk):
    wrong = desk.disagreements(GUIDE)
    assert not wrong, "\n\n".join(wrong)


def test_every_verb_of_auditors_is_in_the_guide():
    used = {command.split()[1] for command, _ in steps(GUIDE.read_text("utf-8")) if command.startswith("knockfirst ")}
    assert {"verify", "explain", "proof", "consistency", "erase", "report"} <= used


def test_packages_that_the_guide_names_are_those_that_the_verbs_need():
    """Without the packages of the project that the guide leaves out, the command has the auditors' verbs."""
    (listed,) = re.findall(r"pip install (typer[^`]*)", GUIDE.read_text("utf-8"))
    named = set(listed.replace("\\", "").split())
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    needed = {re.match(r"[\w.-]+", line)[0] for line in project} - {"certifi"}  # which tldextract brings along
    assert named <= needed
    script = f"""
import sys
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in { ({name.replace("-", "_") for name in needed - named} | {"twisted"})!r}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Gone())
from importlib.metadata import packages_distributions
from crawler import cli
cli._add_crawling()
tops = {{name.partition(".")[0] for name in sys.modules}} | {{"backports.zstd"}}
print(*{{one for top, names in packages_distributions().items() if top in tops for one in names}})
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=PROJECT, check=False)
    assert ran.returncode == 0, ran.stderr
    assert named <= {name.lower().replace("_", "-") for name in ran.stdout.split()}, "named, and not needed"
