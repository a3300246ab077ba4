"""What `check` decides on without a network: a saved file, or the responses in a WARC file.

Documents of origins (robots.txt and its kin) are taken from the same WARC file where it holds them. What was not saved
counts as absent, and is named: a check of saved bytes cannot say what the site would answer today.
"""

from __future__ import annotations

import gzip
import mimetypes
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Final, cast
from urllib.parse import urlsplit

import msgspec

from provenance.message import MessageError, read_content, read_head
from provenance.rules import Rules
from reservations.declarations import snapshots_beside
from reservations.model import Answer, Decision, Facts, Head, Header, Want, Wants
from reservations.urls import UrlError, canonical_url

_MAX_RECORD: Final = 64 << 20
_MAX_HEADER: Final = 1 << 16
_MAX_RECORDS: Final = 1_000_000
_MAX_DOCUMENT: Final = 1 << 20
_LICENCES: Final = (".rsl", ".xml", ".json")
_ABSENT: Final = 404
_STEPS: Final = 64
#: Records of a WARC file that one check looks at.
MOST_SAVED: Final = 1000
_LENGTH: Final = re.compile(rb"(?im)^content-length:[ \t]*(\d{1,15})[ \t]*\r?$")
_TARGET: Final = re.compile(rb"(?im)^warc-target-uri:[ \t]*<?([^\s>]+)>?[ \t]*\r?$")
_RESPONSE: Final = re.compile(rb"(?im)^warc-type:[ \t]*response[ \t]*\r?$")
_WARC: Final = (".warc", ".warc.gz")
#: What the name of an ONIX record ends with that lies beside the file that it is about.
BESIDE: Final = ".onix.xml"


class SavedError(Exception):
    """The file cannot be read, or holds nothing to decide on."""


class Saved(msgspec.Struct, frozen=True):
    """One resource as it was saved."""

    url: str
    head: Head
    body: bytes


class Checked(msgspec.Struct, frozen=True):
    """The decision on one saved resource, and the documents that it wanted and nobody saved."""

    url: str
    decision: Decision
    facts: Facts
    not_saved: tuple[str, ...]


def is_warc(path: Path) -> bool:
    """Whether a file is taken for a WARC file, by its name."""
    return path.name.endswith(_WARC)


def read_file(path: Path, url: str, media_type: str) -> Saved:
    """A saved page or other file, as if it had come from `url`.

    Raises:
        SavedError: it cannot be read or is too large.
    """
    try:
        with path.open("rb") as file:
            body = file.read(_MAX_RECORD + 1)
    except OSError as error:
        raise SavedError(f"{path}: {error.strerror or error}") from error
    if len(body) > _MAX_RECORD:
        raise SavedError(f"{path}: larger than {_MAX_RECORD} bytes")
    declared = media_type or mimetypes.guess_type(path.name)[0] or ""
    return Saved(url, Head(status=200, headers=(Header("Content-Type", declared),) if declared else ()), body)


def rules_beside(path: Path, rules: Rules) -> Rules:
    """The rules with what the ONIX record beside a file (`FILE.onix.xml`) says of it; without one, the rules as given.

    Raises:
        SavedError: a record is there and cannot be read.
    """
    beside = path.with_name(path.name + BESIDE)
    if not beside.exists():
        return rules
    try:
        snapshots = snapshots_beside(rules.registry.protocols, beside.read_bytes(), path.read_bytes(), beside.name)
    except (OSError, ValueError) as error:
        raise SavedError(f"{beside}: {error}") from error
    return Rules(msgspec.structs.replace(rules.bundle, protocols={**rules.bundle.protocols, **snapshots}))


def read_warc(path: Path) -> Iterator[Saved]:
    """The HTTP responses of a WARC file, plain or compressed.

    Raises:
        SavedError: it cannot be read, or is no WARC file.
    """
    try:
        with path.open("rb") as raw, gzip.open(raw) if path.name.endswith(".gz") else raw as file:
            for header, block in _records(cast("IO[bytes]", file)):
                target = _TARGET.search(header)
                if target is None or not _RESPONSE.search(header):
                    continue
                saved = _response(target[1].decode("utf-8", "replace"), block)
                if saved is not None:
                    yield saved
    except (OSError, EOFError) as error:
        raise SavedError(f"{path}: {error}") from error


def _records(file: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for _ in range(_MAX_RECORDS):
        first = file.readline(_MAX_HEADER)
        while first in (b"\r\n", b"\n"):
            first = file.readline(_MAX_HEADER)
        if not first:
            return
        if not first.startswith(b"WARC/"):
            raise SavedError("this is no WARC file")
        header = b""
        while (line := file.readline(_MAX_HEADER)) not in (b"\r\n", b"\n", b""):
            header += line
            if len(header) > _MAX_HEADER:
                raise SavedError("a record has too long a header")
        length = _LENGTH.search(header)
        if length is None or int(length[1]) > _MAX_RECORD:
            raise SavedError("a record says no length that can be read")
        yield header, file.read(int(length[1]))


def _response(target: str, block: bytes) -> Saved | None:
    """A response record as a resource; None when it is no HTTP message that can be read."""
    try:
        head, at = read_head(block)
        return Saved(canonical_url(target), head, read_content(block, at, head.headers, cut=True))
    except (MessageError, UrlError):
        return None


def decide(saved: Saved, rules: Rules, documents: dict[str, Answer], at: int) -> Checked:
    """What a crawl would have decided, with the documents given by absolute URL; others count as absent.

    A crawl that is refused by a file of the origin never sees the page. What is saved can be looked at all the same: it
    changes nothing in the verdict, and every protocol's answer is told.
    """
    missing: dict[str, None] = {}
    start = Facts(url=saved.url, attempt=rules.policy.tries, at=at)
    decision, facts = _follow(start, saved, rules, documents, missing)
    if facts.body is None:
        whole = msgspec.structs.replace(facts, head=saved.head, body=saved.body)
        seen, facts = _follow(whole, saved, rules, documents, missing)
        answers = {name: getattr(seen, name) for name in ("signals", "consulted", "strict", "effective")}
        decision = msgspec.structs.replace(decision, **answers)
    return Checked(saved.url, decision, facts, tuple(missing))


def _follow(
    facts: Facts, saved: Saved, rules: Rules, documents: dict[str, Answer], missing: dict[str, None]
) -> tuple[Decision, Facts]:
    """From facts to a decision, giving the rules what they want; what nobody saved is noted in `missing`."""
    for _ in range(_STEPS):
        wants = rules.examine(facts)
        if isinstance(wants, Decision):
            return wants, facts
        facts = _learn(facts, wants, saved, documents, missing)
    raise SavedError(f"{saved.url}: the rules go in circles")


def _learn(facts: Facts, wants: Wants, saved: Saved, documents: dict[str, Answer], missing: dict[str, None]) -> Facts:
    match wants.what:
        case Want.HEAD:
            return msgspec.structs.replace(facts, head=saved.head)
        case Want.BODY:
            return msgspec.structs.replace(facts, body=saved.body)
        case _:
            found = dict(facts.documents)
            for one in (wants, *wants.beside):
                if one.url not in documents:
                    missing[one.url] = None
                found[one.key] = documents.get(one.url) or Answer(url=one.url, status=_ABSENT)
            return msgspec.structs.replace(facts, documents=found)


def is_document(url: str, rules: Rules) -> bool:
    """Whether a URL is that of a file of its origin (robots.txt and its kin): it speaks of pages, and is none."""
    return urlsplit(url).path in {document.path for document in rules.registry.documents}


def documents_in(path: Path, rules: Rules, at: int) -> dict[str, Answer]:
    """The documents that a WARC file holds, by absolute URL, the newest of each: files of origins, licences, terms.

    Which pages are a site's terms only its other pages say: so the file is gone through twice.
    """
    documents = {
        saved.url: _answer(saved)
        for saved in read_warc(path)
        if is_document(saved.url, rules) or urlsplit(saved.url).path.endswith(_LICENCES)
    }
    pages = islice((saved for saved in read_warc(path) if not is_document(saved.url, rules)), MOST_SAVED)
    wanted = {url for saved in pages for url in decide(saved, rules, documents, at).not_saved}
    found = {saved.url: _answer(saved) for saved in read_warc(path) if saved.url in wanted}
    return {**found, **documents}


def _answer(saved: Saved) -> Answer:
    return Answer(url=saved.url, status=saved.head.status, headers=saved.head.headers, body=saved.body[:_MAX_DOCUMENT])
