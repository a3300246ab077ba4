"""Finds the package documents of an EPUB 2 or 3, their statements, and protection (OCF 3.3, LCP 1.0, Adobe ADEPT).

A ZIP archive is opened in memory and within bounds; entries that are not named by the format are never inflated.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final

from reservations.readers.pieces import MAX_PACKET, Finding, Kind, Packet, Piece, Unreadable, over_budget
from reservations.readers.xmp import Property, parse, text_of

_MAX_DIRECTORY: Final = 1 << 20
_MAX_ROOTFILES: Final = 16
_MAX_RATIO: Final = 100
_MAX_METAS: Final = 2000
_CONTAINER: Final = "META-INF/container.xml"
_ENCRYPTION: Final = "META-INF/encryption.xml"
_LOCKS: Final = {"META-INF/license.lcpl": "epub-lcp", "META-INF/rights.xml": "epub-rights"}
_MANIFEST: Final = "META-INF/content_credential.c2pa"
_END_OF_DIRECTORY: Final = b"PK\x05\x06"


def is_epub(body: bytes) -> bool:
    """Whether an archive says that it is an EPUB, or holds what makes one."""
    return body.startswith(b"PK\x03\x04") and (
        b"application/epub+zip" in body[30:160] or _CONTAINER.encode() in body[-_MAX_DIRECTORY:]
    )


def walk_epub(body: bytes) -> Iterator[Piece]:
    """Every package document, every lock, and the manifest store if there is one."""
    try:
        with zipfile.ZipFile(io.BytesIO(_bounded(body))) as archive:
            yield from _walk(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, OSError):
        raise Unreadable("not a readable archive") from None


def _bounded(body: bytes) -> bytes:
    """The archive, when its directory is of a size that a book can have."""
    at = body.rfind(_END_OF_DIRECTORY, max(0, len(body) - 65_557))
    if at >= 0 and int.from_bytes(body[at + 12 : at + 16], "little") > _MAX_DIRECTORY:
        raise over_budget("archive with too many entries")
    return body


def _walk(archive: zipfile.ZipFile) -> Iterator[Piece]:
    names = set(archive.namelist())
    for name, what in _LOCKS.items():
        if name in names:
            yield Finding(what, "", name)
    if _ENCRYPTION in names:
        for algorithm in _algorithms(_read(archive, _ENCRYPTION)):
            yield Finding("epub-encryption", algorithm, _ENCRYPTION)
    if _MANIFEST in names:
        yield Packet(Kind.JUMBF, _read(archive, _MANIFEST), _MANIFEST)
    container = parse(text_of(_read(archive, _CONTAINER)))
    rootfiles = [item.get("full-path") or "" for item in container.iter("{*}rootfile")]
    if not rootfiles or len(rootfiles) > _MAX_ROOTFILES:
        raise Unreadable("no package document" if not rootfiles else "too many package documents")
    for path in dict.fromkeys(rootfiles):
        yield Packet(Kind.OPF, _read(archive, path), path)


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    """An entry's content; raises Unreadable when it is missing, locked, too large or inflated too much."""
    try:
        entry = archive.getinfo(name)
    except KeyError:
        raise Unreadable("an entry is missing") from None
    limit = min(MAX_PACKET, max(1 << 20, entry.compress_size * _MAX_RATIO))
    if entry.flag_bits & 1:
        raise Unreadable("an entry is encrypted")
    with archive.open(entry) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise over_budget("an entry inflates beyond the bound")
    return content


def _algorithms(document: bytes) -> Iterator[str]:
    """By which algorithms entries of the book are encrypted."""
    for item in parse(text_of(document)).iter("{*}EncryptedData"):
        method = next(item.iterchildren("{*}EncryptionMethod"), None)
        yield (method.get("Algorithm") or "") if method is not None else ""


def read_package(document: bytes, spaces: Mapping[str, str]) -> tuple[list[Property], Unreadable | None]:
    """Statements of a package document, `<meta name content>` (EPUB 2) and `<meta property>` (EPUB 3).

    Args:
        document: the package document.
        spaces: prefixes that count though the package does not declare them, each with its namespace.
    """
    text, fault = text_of(document), None
    try:
        root = parse(text)
    except Unreadable as error:
        fault = error
        try:
            root = parse(text, recover=True)
        except Unreadable:
            return [], fault
    known = {**spaces, **_declared(root.get("prefix") or "")}
    found: list[Property] = []
    for number, meta in enumerate(root.iter("{*}meta")):
        if number >= _MAX_METAS:
            return found, over_budget("too many metas in a package document")
        named, value = meta.get("property"), "".join(meta.itertext())
        if named is None:
            named, value = meta.get("name"), meta.get("content") or ""
        prefix, colon, name = (named or "").strip().partition(":")
        if colon and prefix in known:
            # A meta that refines another is about a part of the book.
            whole = fault is None and meta.get("refines") is None
            found.append(Property(known[prefix], name, value.strip(), whole))
    return found, fault


def _declared(prefixes: str) -> dict[str, str]:
    """`a: http://... b: http://...` as a mapping."""
    words = prefixes.split()[:200]
    return {name[:-1]: url for name, url in pairwise(words) if name.endswith(":")}
