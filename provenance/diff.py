"""What other rules would have decided about the attempts of a log: before anyone enforces a change, its effect.

The machinery of replay (`again`, `replay.Attempts`) with other rules. A URL that they would ask for and that was never
asked for has an unknown result: nobody knows what it would have said.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from blocklists.match import Blocklist
from blocklists.model import BlocklistError
from provenance.again import Again
from provenance.entry import ConfigEntry, DecisionEntry, Entry
from provenance.kept_rules import RulesError, load_rules
from provenance.replay import Attempts
from provenance.rules import Bundle, Rules
from provenance.segments import read_leaves
from reservations.datafile import DefinitionError

UNKNOWN: Final = "result unknown"
SAMPLES: Final = 5
_INTERRUPTED: Final = "crawl.interrupted"


class DiffError(Exception):
    """The rules or the log cannot be read. The message says what to do."""


class Change(msgspec.Struct, frozen=True, order=True):
    """One kind of difference.

    Attributes:
        was, reason_was: verdict and reason in the log.
        now, reason_now: by the other rules; "result unknown" and what would be asked for.
    """

    was: str
    reason_was: str
    now: str
    reason_now: str


class Diff(msgspec.Struct, kw_only=True):
    """What the other rules would change.

    Attributes:
        rules: digest of the other rules.
        urls: URLs whose last word was looked at.
        same: those with the same verdict and reason.
        from_signals: those decided on statements as recorded, since bytes are gone.
        changes: how many of each kind.
        samples: some URLs of each kind.
        sites: differing URLs by registrable domain.
    """

    rules: str
    urls: int = 0
    same: int = 0
    from_signals: int = 0
    changes: Counter[Change] = msgspec.field(default_factory=Counter)
    samples: dict[Change, list[str]] = {}
    sites: Counter[str] = msgspec.field(default_factory=Counter)


def other_rules(path: Path, base: Rules) -> Rules:
    """The rules of a log with one part replaced by what lies at `path`.

    Args:
        path: a policy file (TOML), a bundle of rules (JSON), a folder of protocol files, or a compiled blocklist's.
        base: the rules of the log.

    Raises:
        DiffError: it is none of these, or has faults; all of them are named.
    """
    replace = msgspec.structs.replace
    try:
        if path.suffix == ".json":
            bundle = msgspec.json.decode(path.read_bytes(), type=Bundle)
            return Rules(bundle, base.blocklist if bundle.blocklist_manifest else None)
        if path.is_file():
            return Rules(replace(base.bundle, policy_name=path.name, policy=path.read_text("utf-8")), base.blocklist)
        if (path / "manifest.json").exists():
            manifest = (path / "manifest.json").read_bytes()
            listed = Blocklist.load((path / "blocklist.jsonl").read_bytes(), manifest)
            return Rules(replace(base.bundle, blocklist_manifest=manifest.decode()), listed)
        protocols = {file.name: file.read_text("utf-8") for file in sorted(path.glob("*.toml"))}
        if not protocols:
            raise DiffError(f"{path}: no policy file, no folder of protocol files or of a blocklist build, no bundle")
        return Rules(replace(base.bundle, protocols=protocols), base.blocklist)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError, BlocklistError) as error:
        raise DiffError(f"{path}: {error}") from error
    except DefinitionError as error:
        raise DiffError("\n".join(map(str, error.faults))) from error


def diff(out: Path, path: Path) -> Diff:
    """Decide every last word of a log again by the rules at `path`.

    Raises:
        DiffError: the rules cannot be read.
        provenance.segments.LogError: the log cannot be read.
    """
    with closing(Attempts(out)) as attempts:
        comparison = _Comparison(out, path, attempts)
        for leaf in read_leaves(out / "log"):
            if leaf.entry is not None:
                comparison.see(leaf.entry)
                attempts.note(leaf.entry)
    return comparison.result()


class _Comparison:
    """One pass over a log."""

    def __init__(self, out: Path, path: Path, attempts: Attempts) -> None:
        self._out, self._path, self._attempts = out, path, attempts
        self._rules: dict[int, Rules] = {}
        self._made: dict[str, Rules] = {}
        self._found: dict[int, tuple[Change | None, str, str, bool]] = {}

    def see(self, entry: Entry) -> None:
        """Take in one entry."""
        if isinstance(entry, ConfigEntry):
            if entry.rules not in self._made:
                self._made[entry.rules] = other_rules(self._path, _recorded(self._out, entry))
            self._rules[entry.seq] = self._made[entry.rules]
        elif isinstance(entry, DecisionEntry) and entry.final and entry.config in self._rules:
            if entry.supersedes is not None:
                self._found.pop(entry.supersedes, None)
            again = self._attempts.case(self._rules[entry.config], entry).again
            change = _change(entry, again)
            place = (entry.url, entry.site) if change else ("", "")
            self._found[entry.seq] = (change, *place, again.basis == "signals")

    def result(self) -> Diff:
        """The figures.

        Raises:
            DiffError: the log has no rules.
        """
        if not self._made:
            raise DiffError(f"{self._out}: the log has no rules yet, so nothing was decided")
        total = Diff(rules=next(reversed(self._made.values())).digest, urls=len(self._found))
        for change, url, site, from_signals in self._found.values():
            total.from_signals += from_signals
            if change is None:
                total.same += 1
                continue
            total.changes[change] += 1
            total.sites[site] += 1
            samples = total.samples.setdefault(change, [])
            if len(samples) < SAMPLES:
                samples.append(url)
        return total


def _recorded(out: Path, entry: ConfigEntry) -> Rules:
    try:
        return load_rules(out / "log" / "rules", entry)
    except RulesError as error:
        raise DiffError(f"{out}: the log's own rules cannot be read: {error}") from error


def _change(entry: DecisionEntry, again: Again) -> Change | None:
    now = (UNKNOWN, f"would ask for {again.unknown}")
    if again.decision is not None:
        now = (again.decision.verdict.value, again.decision.reason)
    if now == (entry.verdict.value, entry.reason) or entry.reason == _INTERRUPTED:
        return None
    return Change(entry.verdict.value, entry.reason, *now)
