"""Everything that is wrong with data files of any kind: protocols, declarations, policies, tables on pages, decisions.

The kind of a file is told by its keys, so that staff name files or a folder and nothing else. Protocol files are looked
at beside the shipped ones, as a crawl with KNOCKFIRST_DATA would.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from blocklists.model import Level
from provenance import builds
from provenance.rules import shipped_policy, shipped_protocols
from reservations.access.reviews import review_faults
from reservations.access.tables import PAGE_TABLES, table_faults
from reservations.datafile import DefinitionError, Fault
from reservations.declarations import DECLARATIONS, ONIX, SNAPSHOT
from reservations.overlay import Weakening, merge, weakenings
from reservations.policy import Policy
from reservations.registry import Registry

#: Keys at the top of a file that only one kind of file has.
_KINDS: Final[Mapping[str, frozenset[str]]] = {
    "decision": frozenset({"host", "legal_basis", "finding", "authority"}),
    "policy": frozenset({"purposes", "media_types", "profile", "retention", "secret_keys"}),
    "tables": frozenset({"patterns", "metas", "schema", "answers"}),
    "reviews": frozenset({"sites", "statements"}),
}


class Linted(NamedTuple):
    """What was found: faults, and what is weaker than the shipped floor although it is in order."""

    faults: list[str]
    weaker: list[Weakening]


class UnreadableError(Exception):
    """A file or folder cannot be read."""


def lint_shipped() -> Linted:
    """The package's own files."""
    faults = _faults_of(lambda: Policy.from_toml(shipped_policy(), file="eu-gpai.toml"))
    return Linted([*faults, *_faults_of(lambda: Registry.load(shipped_protocols()))], [])


def lint_paths(paths: Iterable[Path], today: dt.date) -> Linted:
    """Files, and every TOML file and file of declarations in folders.

    Raises:
        UnreadableError: one cannot be read.
    """
    faults: list[str] = []
    weaker: list[Weakening] = []
    protocols: dict[str, tuple[str, str]] = {}
    decisions: set[Path] = set()
    for path in _files(paths):
        text = _read(path)
        match "declarations" if path.suffix in (SNAPSHOT, ONIX) else _kind(text):
            case "declarations":
                protocols[f"{DECLARATIONS}{path.name}"] = str(path), text
            case "decision":
                decisions.add(path.parent)
            case "policy":
                found = _policy(str(path), text)
                faults += found.faults
                weaker += found.weaker
            case "tables":
                faults += [str(fault) for fault in table_faults({str(path): text})]
            case "reviews":
                faults += [str(fault) for fault in review_faults(text, str(path))]
            case _:
                protocols[path.name] = str(path), text
    found = _protocols(protocols)
    for folder in sorted(decisions):
        listed = builds.lint_folder(folder, today)
        faults += [str(fault) for fault in listed if fault.level is not Level.WARNING]
    return Linted([*faults, *found.faults], [*weaker, *found.weaker])


def _files(paths: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            declared = (one for end in (SNAPSHOT, ONIX) for one in path.rglob(f"{DECLARATIONS}*{end}"))
            found += sorted((*path.rglob("*.toml"), *declared))
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError(f"{path}: cannot be read: {error}") from error


def _kind(text: str) -> str:
    """What kind of file a text is; one that is no TOML is looked at as a protocol file, which says so."""
    try:
        keys = tomllib.loads(text).keys()
    except tomllib.TOMLDecodeError:
        return "protocol"
    if "steward" in keys or ("tokens" in keys and "statements" in keys):
        return "protocol"
    return next((kind for kind, named in _KINDS.items() if keys & named), "protocol")


def _policy(file: str, text: str) -> Linted:
    try:
        policy = Policy.from_toml(text, file=file)
    except DefinitionError as error:
        return Linted([str(fault) for fault in error.faults], [])
    return Linted(
        [],
        [
            Weakening(f"{file}: {item.setting} = {getattr(policy, item.setting)}", item.approver, item.reason)
            for item in policy.weakened
        ],
    )


def _protocols(named: Mapping[str, tuple[str, str]]) -> Linted:
    """Protocol files, each by its name with its path and text: by themselves, then beside the shipped ones."""
    shipped = shipped_protocols()
    files = {f"{PAGE_TABLES}{name}" if f"{PAGE_TABLES}{name}" in shipped else name: text
             for name, (_, text) in named.items()}  # fmt: skip
    try:
        merged = merge(shipped, {name: text for name, text in files.items() if shipped.get(name) != text})
        Registry.load(merged)
    except DefinitionError as error:
        paths = {name: path for name, (path, _) in named.items()}
        found = dict.fromkeys(_with_path(fault, paths) for fault in error.faults)
        # Declarations are looked at last, and not at all beside protocols with faults: so once more beside ours alone.
        declared = {name: text for name, text in files.items() if name.startswith(DECLARATIONS)}
        try:
            Registry.load(shipped | declared)
        except DefinitionError as more:
            found |= dict.fromkeys(_with_path(fault, paths) for fault in more.faults)
        return Linted(list(found), [])
    return Linted([], weakenings(shipped, merged))


def _with_path(fault: Fault, paths: Mapping[str, str]) -> str:
    return str(Fault(paths.get(fault.file, fault.file), fault.line, fault.key, fault.problem))


def _faults_of(load: Callable[[], object]) -> list[str]:
    try:
        load()
    except DefinitionError as error:
        return [str(fault) for fault in error.faults]
    return []
