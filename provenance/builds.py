"""Blocklists as files: staff's folder of decisions, and the folder of a compiled, signed build.

The rules are in `blocklists`, which reads no files; here are the folders, the bundled public suffix list and the order
in which a build's files are put in place.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Final

import tldextract

from blocklists.build import MAX_AGE_DAYS, Build, check_succession, compile_build, open_build
from blocklists.decisions import Book
from blocklists.guard import Guards, guards, read_platforms, read_top_sites
from blocklists.index import digest_of
from blocklists.lint import lint
from blocklists.match import Blocklist, read_manifest
from blocklists.model import BlocklistError, Fault, FaultsError, Level
from blocklists.signing import StaffKey, sign_manifest

PLATFORMS: Final = "shared-platforms.toml"
TOP_SITES: Final = "top-sites.csv"
LIST: Final = "blocklist.jsonl"
INDEX: Final = "blocklist.index"
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"

#: What the bundled public suffix list is called in a manifest.
SUFFIX_LIST: Final = f"tldextract {tldextract.__version__}, bundled, with private section"

EMPTY: Final = Book((), ())
"""A folder without any decision yet."""

_suffixes: Final = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None, include_psl_private_domains=True)


def is_public_suffix(host: str) -> bool:
    """Whether anybody can register names directly below this one, by the bundled list with its private section."""
    return _suffixes(host).suffix == host


def read_decisions(folder: Path) -> tuple[dict[str, str], list[Fault]]:
    """Every TOML and CSV file below a folder, by its name relative to it, with a fault for each that is no text.

    Raises:
        BlocklistError: there is no such folder, or a file cannot be opened.
    """
    if not folder.is_dir():
        raise BlocklistError("There is no such folder.", str(folder), "Name the folder with the decisions.")
    texts: dict[str, str] = {}
    faults: list[Fault] = []
    for path in sorted(_files(folder)):
        name = path.relative_to(folder).as_posix()
        try:
            texts[name] = path.read_bytes().decode()
        except UnicodeDecodeError as fault:
            what = f"Octet {fault.start} is not UTF-8."
            faults.append(Fault(file=name, line=0, key="", what=what, allowed="Save the file as UTF-8 text."))
        except OSError as fault:
            raise BlocklistError(f"It cannot be read: {fault.strerror}.", str(path), "Look at its rights.") from fault
    if not texts and not faults:
        raise BlocklistError("No decision is in it.", str(folder), "Name the folder with the decisions.")
    return texts, faults


def read_guards(folder: Path) -> Guards:
    """Names to be careful with: those shipped, and those in `guards/` beside the folder of decisions.

    `guards/shared-platforms.toml` adds platforms; `guards/top-sites.csv` is a snapshot of frequently visited sites
    that the operator chose (none is shipped: such lists have licences of their own).

    Raises:
        BlocklistError: one of the files cannot be read.
    """
    shipped = resources.files("blocklists.guards").joinpath(PLATFORMS).read_text("utf-8")
    texts = {f"shipped/{PLATFORMS}": shipped}
    beside = folder.absolute().parent / "guards"
    for name in (PLATFORMS, TOP_SITES):
        if (beside / name).exists():
            texts[name] = _read(beside / name).decode(errors="replace")
    files = [read_platforms(text, file=name) for name, text in texts.items() if name.endswith(PLATFORMS)]
    ranks = read_top_sites(texts.get(TOP_SITES, ""))
    return guards(files, ranks, {name: digest_of(text.encode()) for name, text in texts.items()})


def read_book(folder: Path, today: dt.date) -> tuple[dict[str, str], Book, list[Fault]]:
    """The texts of a folder, what stands in them, and everything that is wrong, in the order of files and lines."""
    texts, faults = read_decisions(folder)
    book, found = lint(texts, today=today, is_public_suffix=is_public_suffix, guards=read_guards(folder))
    return texts, book, sorted(faults + found)


def lint_folder(folder: Path, today: dt.date) -> list[Fault]:
    """Everything that is wrong with the decisions of a folder, in the order of files and lines."""
    return read_book(folder, today)[2]


def compile_folder(
    folder: Path,
    *,
    version: str,
    now: dt.datetime,
    shrunk_because: str = "",
    grown_because: str = "",
    second: str = "",
) -> Build:
    """The build of a folder's decisions.

    Raises:
        FaultsError: the files have errors; all of them are named.
        BlocklistError: the folder cannot be read.
    """
    texts, faults = read_decisions(folder)
    if faults:
        listed = lint_folder(folder, now.date())
        raise FaultsError([fault for fault in listed if fault.level is Level.ERROR])
    return compile_build(
        texts,
        version=version,
        now=now,
        is_public_suffix=is_public_suffix,
        suffix_list=SUFFIX_LIST,
        guards=read_guards(folder),
        shrunk_because=shrunk_because,
        grown_because=grown_because,
        second=second,
    )


def next_version(out: Path, today: dt.date) -> str:
    """The version after the one in `out`: the day, and a counter within it.

    Raises:
        BlocklistError: what lies in `out` is not a build.
    """
    day = today.strftime("%Y.%m.%d")
    before = read_manifest((out / MANIFEST).read_bytes()).version if (out / MANIFEST).exists() else ""
    count = int(before.rpartition("-")[2]) + 1 if before.startswith(f"{day}-") else 1
    return f"{day}-{count}"


def check_after(out: Path, build: Build) -> None:
    """Whether a build may follow the one in `out`, if there is one.

    Raises:
        BlocklistError: it is a step back from it, or of a suspiciously different size.
    """
    if (out / MANIFEST).exists():
        check_succession(read_manifest((out / MANIFEST).read_bytes()), read_manifest(build.manifest))


def write_signature(out: Path, signature: bytes) -> None:
    """Puts the signatures of a build in place."""
    _replace(out / SIGNATURE, signature)


def write_build(out: Path, build: Build, key: StaffKey) -> None:
    """Sign a build and put it in place. A reader who comes between the files finds them not to fit, and refuses.

    Raises:
        BlocklistError: it may not follow what is there; or it cannot be written.
    """
    check_after(out, build)
    try:
        out.mkdir(parents=True, exist_ok=True)
        _replace(out / LIST, build.jsonl)
        _replace(out / INDEX, build.indexed)
        _replace(out / SIGNATURE, sign_manifest(build.manifest, key))
        _replace(out / MANIFEST, build.manifest)
    except OSError as fault:
        raise BlocklistError(f"It cannot be written: {fault.strerror}.", str(out), "Name another folder.") from fault


def read_build(out: Path) -> tuple[Build, bytes]:
    """The files of a build and its signature, unjudged.

    Raises:
        BlocklistError: one of them is missing or cannot be read.
    """
    jsonl, index, manifest, signature = (_read(out / name) for name in (LIST, INDEX, MANIFEST, SIGNATURE))
    return Build(jsonl, index, manifest), signature


def load_build(
    out: Path,
    *,
    keys: Iterable[str],
    today: dt.date,
    max_age_days: int = MAX_AGE_DAYS,
    previous: bytes | None = None,
) -> tuple[Blocklist, bytes]:
    """The list of a folder, verified as `blocklists.build.open_build` does, with its manifest's bytes.

    The readable list is compared with its digest and not kept in memory.

    Raises:
        BlocklistError: missing, unsigned, signed by others, damaged, too old, a step back, or shrunken.
    """
    manifest, signature, index = (_read(out / name) for name in (MANIFEST, SIGNATURE, INDEX))
    blocklist = open_build(
        index, manifest, signature, keys=keys, today=today, max_age_days=max_age_days, previous=previous
    )
    if _digest_of_file(out / LIST) != blocklist.digest:
        raise BlocklistError(
            "The list is not the one that its manifest describes.",
            str(out / LIST),
            "Take all files from the same build.",
        )
    return blocklist, manifest


def keep_list(out: Path, blocklist: Blocklist, target: Path) -> None:
    """Copies a build's readable list to a name that bears its digest, unless it is there; whole or not at all.

    Raises:
        BlocklistError: the build was replaced meanwhile, or the copy cannot be written.
    """
    if target.exists():
        return
    fresh = target.with_name(f".{target.name}.new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(out / LIST, fresh)
        with fresh.open("rb+") as file:
            os.fsync(file.fileno())
        if _digest_of_file(fresh) != blocklist.digest:
            raise BlocklistError("The build was replaced while it was read.", str(out / LIST), "Try again.")
        fresh.replace(target)
    except OSError as fault:
        raise BlocklistError(f"It cannot be copied: {fault.strerror}.", str(target), "Look at the disk.") from fault


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as fault:
        raise BlocklistError(
            f"It cannot be read: {fault.strerror}.",
            str(path),
            "Name the folder of a build, as `knockfirst blocklist compile` leaves it.",
        ) from fault


def _digest_of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as fault:
        raise BlocklistError(
            f"It cannot be read: {fault.strerror}.", str(path), "Take all files of the build."
        ) from fault


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.suffix in {".toml", ".csv"} and path.is_file():
            yield path


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
