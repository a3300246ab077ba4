"""What a verification found, as values: per level its result, its figures, its differences, and what it proves."""

from __future__ import annotations

from typing import Final

import msgspec

MAX_DIFFERENCES: Final = 200
"""Differences listed per level; all are counted."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it must be.

    Attributes:
        file: file, relative to the output folder.
        where: place in it: "line 12", "offset 4711", or empty for the whole file.
        what: what is wrong.
        remedy: what to do now.
    """

    file: str
    where: str
    what: str
    remedy: str


class Level(msgspec.Struct, kw_only=True):
    """One level of verification.

    Attributes:
        name: "L1" to "L4".
        title: what it looks at.
        proves: what holds when nothing differs.
        proves_not: what may be wrong all the same.
        counts: what was looked at, by name.
        differences: the first of them.
        total: how many there are in all.
        notes: what is worth knowing and is no difference.
        looked: whether there was anything to look at.
    """

    name: str
    title: str
    proves: str
    proves_not: str
    counts: dict[str, int] = {}
    differences: list[Difference] = []
    total: int = 0
    notes: list[str] = []
    looked: bool = True

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return not self.total

    def differs(self, file: str, where: str, what: str, remedy: str) -> None:
        """Enter a difference."""
        self.total += 1
        if self.total <= MAX_DIFFERENCES:
            self.differences.append(Difference(file=file, where=where, what=what, remedy=remedy))

    def count(self, name: str, number: int = 1) -> None:
        """Add to a figure."""
        self.counts[name] = self.counts.get(name, 0) + number


class Report(msgspec.Struct, kw_only=True):
    """The result of `provenance.verify.verify`.

    Attributes:
        out: the output folder.
        origin: the log's origin.
        key: verifier line of the key that was used.
        key_given: whether the caller named the key; else it came from the folder itself.
        size: entries in the log.
        signed_size: entries under the newest good checkpoint.
        root: root hash over all entries, hexadecimal.
        seal: how the log ends: "finished", "stopped", "crashed", "running", "manifest" (a run log), or
            "missing".
        weaker: rules in force that are weaker than the shipped floor, a sentence each.
        no_blocklist: the operator's sentence why no blocklist was in force; empty when one was.
        levels: the levels that were looked at.
    """

    out: str
    origin: str = ""
    key: str = ""
    key_given: bool = False
    size: int = 0
    signed_size: int = 0
    root: str = ""
    seal: str = "missing"
    weaker: list[str] = []
    no_blocklist: str = ""
    levels: list[Level] = []

    @property
    def clean(self) -> bool:
        """Whether no level found a difference."""
        return all(level.ok for level in self.levels)
