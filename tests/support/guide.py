"""Guides with commands: each is run as it stands there, in order, and must print what the guide says."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import typer
from typer.testing import CliRunner

from crawler import verbs
from crawler.cli import app
from crawler.demo.situations import Ports

#: Where the demo web stands in the guides.
PORTS = Ports(38080, 38443)

_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
#: A file that the reader is taken to have, shown by the guide itself.
_SHOWN = re.compile(r"(?:cat|head -\d+) (\S+)")
_CONTENT = re.compile(r"\$\(cat ([^)]*)\)")


def steps(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a guide with what should follow it."""
    for block in _BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def agrees(expected: str, printed: str) -> bool:
    """Whether the text printed is the one in the guide, in which "..." stands for anything."""
    pattern = ".*?".join(map(re.escape, expected.rstrip().split("...")))
    return re.fullmatch(pattern, printed.rstrip(), re.DOTALL) is not None


def whole() -> typer.Typer:
    """The command with the verbs of data teams, as its entry point makes it."""
    made = typer.Typer()
    made.registered_commands, made.registered_groups = list(app.registered_commands), list(app.registered_groups)
    verbs.add_to(made)
    return made


class Desk:
    """A terminal in an empty folder."""

    app = whole()

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def disagreements(self, guide: Path) -> list[str]:
        """Runs a guide. Returns what was printed otherwise."""
        wrong = []
        for command, expected in steps(guide.read_text("utf-8")):
            printed = self.run(command, expected)
            if not agrees(expected, printed):
                wrong.append(f"$ {command}\n--- guide\n{expected}--- printed\n{printed}")
        return wrong

    def run(self, command: str, output: str) -> str:
        """Runs a command. What it should print is known to it for files that only the guide shows."""
        shown = _SHOWN.fullmatch(command)
        if shown and not (self.folder / shown[1]).exists():
            self.show(shown[1], output)
            return output
        if not command.startswith("knockfirst "):
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            ran = subprocess.run(
                ["bash", "-c", command], check=True, capture_output=True, text=True, env={**os.environ, "PATH": path}
            )
            return ran.stdout
        arguments = shlex.split(_CONTENT.sub(_content, command))
        if arguments[1] == "serve":
            return _served(arguments[1:])
        return CliRunner().invoke(self.app, arguments[1:]).output

    def show(self, name: str, text: str) -> None:
        """Puts a file there, of which the guide shows the beginning."""
        (self.folder / name).write_text(text, "utf-8")


def _content(found: re.Match[str]) -> str:
    return " ".join(Path(name).read_text("utf-8").strip() for name in found[1].split())


def _served(arguments: list[str]) -> str:
    """What a server says when it is up; it answers, and Ctrl-C ends it."""
    command = [sys.executable, "-c", "from crawler.cli import app; app()", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            said = server.stdout.readline() if server.stdout else ""
            with urlopen(re.findall(r"http://\S+", said)[0], timeout=30) as page:
                assert page.status == 200
        finally:
            server.send_signal(signal.SIGINT)
    return said
