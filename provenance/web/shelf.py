"""The output folders that are shown, each with its index, by the names that stand in the pages' addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from provenance.entry import ConfigEntry
from provenance.index import Progress, index_path, update
from provenance.kept_rules import load_rules
from provenance.lookup import Lookup
from provenance.proof import read_verifier
from provenance.rules import Rules

_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")
#: First parts of addresses that are no folder's.
_TAKEN: Final = frozenset({"search", "static", "."})


class Book:
    """One output folder.

    Attributes:
        name: how addresses call it.
        out: the folder.
        index: its index.
        origin: the log's origin, as its verifier line names it.
        key: that line.
    """

    def __init__(self, name: str, out: Path, index: Path) -> None:
        verifier = read_verifier(out / "log")
        self.name = name
        self.out = out
        self.index = index
        self.origin = verifier.name
        self.key = verifier.line()
        self._rules: dict[str, Rules] = {}

    def update(self, progress: Progress | None = None) -> bool:
        """Take in what the log has gained; see `index.update`."""
        return update(self.out, self.index, progress)

    def rules(self, config: ConfigEntry) -> Rules:
        """The rules that an entry names, for explanations; read from the log once, since a list may be large.

        Raises:
            provenance.kept_rules.RulesError: they are not there.
        """
        if config.rules not in self._rules:
            self._rules = {config.rules: load_rules(self.out / "log" / "rules", config)}
        return self._rules[config.rules]

    def look(self) -> AbstractContextManager[Lookup]:
        """Look things up, in one state of the index."""
        return Lookup.open(self.out, self.index)


class Shelf:
    """The folders of one server."""

    def __init__(self, outs: Sequence[Path], folder: Path | None = None) -> None:
        """Take the folders.

        Raises:
            OSError, provenance.proof.ProofError: one of them holds no log.
        """
        self._books: dict[str, Book] = {}
        for out in outs:
            name = self._name(out)
            self._books[name] = Book(name, out, index_path(out, folder))

    def _name(self, out: Path) -> str:
        plain = _NOT_IN_A_NAME.sub("-", out.resolve().name).strip(".-") or "log"
        names = (plain if number == 1 else f"{plain}-{number}" for number in range(1, len(self._books) + 3))
        return next(name for name in names if name not in self._books and name not in _TAKEN)

    def __iter__(self) -> Iterator[Book]:
        return iter(self._books.values())

    def __len__(self) -> int:
        return len(self._books)

    def get(self, name: str) -> Book | None:
        """The folder of that name."""
        return self._books.get(name)
