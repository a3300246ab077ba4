"""The rules that a log names, from `log/rules/`: data, compared with the digests in the log, never imported."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from blocklists.match import Blocklist
from blocklists.model import BlocklistError
from provenance.entry import ConfigEntry
from provenance.rules import Bundle, Rules
from provenance.warcfile import open_regular
from reservations.datafile import DefinitionError

_MAX_BUNDLE_BYTES: Final = 16 * 1024 * 1024
_MAX_LIST_BYTES: Final = 1024 * 1024 * 1024


class RulesError(Exception):
    """The rules that a log names are not there, or are not those it names."""


def load_rules(folder: Path, entry: ConfigEntry) -> Rules:
    """The rules that a `config` entry names, from `log/rules/`.

    Raises:
        RulesError: they are not there, cannot be parsed, or are not those that the entry names.
    """
    octets = _read(folder, f"{entry.rules.removeprefix('sha256:')}.json", _MAX_BUNDLE_BYTES, entry.rules)
    listed = b""
    if entry.blocklist:
        name = f"blocklist-{entry.blocklist.removeprefix('sha256:')}.jsonl"
        listed = _read(folder, name, _MAX_LIST_BYTES, entry.blocklist)
    rules = _parse(octets, listed)
    named = (entry.rules, entry.policy, entry.protocols, entry.blocklist)
    blocklist = rules.blocklist.digest if rules.blocklist else ""
    found = (rules.digest, rules.policy.digest, rules.registry.digest, blocklist)
    if named != found or (rules.bundle.blocklist_manifest and not blocklist):
        raise RulesError(f"the bundle holds rules {found}, the entry names {named}")
    return rules


@lru_cache(maxsize=4)
def _parse(octets: bytes, listed: bytes) -> Rules:
    try:
        bundle = msgspec.json.decode(octets, type=Bundle)
        blocklist = Blocklist.load(listed, bundle.blocklist_manifest.encode()) if listed else None
        return Rules(bundle, blocklist)
    except (msgspec.DecodeError, DefinitionError, BlocklistError, RecursionError) as error:
        raise RulesError(f"the rules cannot be parsed ({error})") from error


def _read(folder: Path, name: str, at_most: int, digest: str) -> bytes:
    if not name.replace("-", "").replace(".", "").isalnum():
        raise RulesError(f"{name!r} names no rules")
    try:
        with open_regular(folder / name) as file:
            octets = file.read(at_most + 1)
    except OSError as error:
        raise RulesError(f"log/rules/{name} cannot be read ({error.strerror or error})") from error
    if len(octets) > at_most or "sha256:" + hashlib.sha256(octets).hexdigest() != digest:
        raise RulesError(f"log/rules/{name} has not the digest that its name says")
    return octets
