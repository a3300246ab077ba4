"""`knockfirst blocklist ...`: staff's verbs for the list of excluded sites.

Exit codes: 0 done and nothing wrong, 1 faults found or the list cannot be used, 2 the command was not understood.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from blocklists.build import MAX_AGE_DAYS
from blocklists.match import Blocklist, Key, locate, read_lines, walk
from blocklists.model import BlocklistError, Entry, FaultsError, Hit, Level, ListingDecision
from blocklists.signing import StaffKey, parse_public
from provenance import builds, keys
from reservations.urls import UrlError

app = typer.Typer(name="blocklist", help="The list of sites that are not crawled.", no_args_is_help=True)

#: Control characters, line breaks within a line, and what turns the direction of writing.
_UNSAFE: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
KeyFile = Annotated[Path, typer.Option("--key", envvar="KNOCKFIRST_BLOCKLIST_KEY", help="The private key's file.")]
_DEFAULT_KEY: Final = Path("~/.config/knockfirst/blocklist.key")


@app.command(epilog="Example: knockfirst blocklist lint blocklist/decisions")
def lint(
    folder: Annotated[Path, typer.Argument(help="Folder with the decisions.")],
    *,
    as_json: Json = False,
) -> None:
    """Say everything that is wrong with the decisions of a folder."""
    with _told(as_json=as_json):
        faults = builds.lint_folder(folder, _now().date())
        _show({"faults": faults}, [str(fault) for fault in faults] or ["Nothing is wrong."], as_json=as_json)
        if any(fault.level is not Level.WARNING for fault in faults):
            raise typer.Exit(1)


@app.command("compile", epilog="Example: knockfirst blocklist compile blocklist/decisions blocklist/build")
def compile_(
    folder: Annotated[Path, typer.Argument(help="Folder with the decisions.")],
    out: Annotated[Path, typer.Argument(help="Folder for the build; a build that is there is replaced.")],
    *,
    key: KeyFile = _DEFAULT_KEY,
    shrunk_because: Annotated[str, typer.Option(help="Why the list is much smaller than the last one.")] = "",
    as_json: Json = False,
) -> None:
    """Compile the decisions of a folder and sign the build."""
    with _told(as_json=as_json):
        signer = _signer(key.expanduser())
        now = _now()
        version = builds.next_version(out, now.date())
        build = builds.compile_folder(folder, version=version, now=now, shrunk_because=shrunk_because)
        builds.write_build(out, build, signer)
        _show(
            msgspec.json.decode(build.manifest),
            _summary(Blocklist.open(build.indexed, build.manifest)),
            as_json=as_json,
        )


@app.command(epilog="Example: knockfirst blocklist keygen --name lists.example.org/a.berg")
def keygen(
    name: Annotated[str, typer.Option(help="Whose key it is; stands in every signature.")],
    *,
    key: KeyFile = _DEFAULT_KEY,
    as_json: Json = False,
) -> None:
    """Make a key to sign builds with. Its public half is printed, and kept beside it in a file ending in .pub."""
    with _told(as_json=as_json):
        path = key.expanduser()
        StaffKey.new(name)  # a bad name is told before a key lies there
        public = StaffKey.of(name, keys.generate(path).private).public_text()
        _public_file(path).write_text(f"{public}\n", encoding="utf-8")
        lines = [
            f"The private key is in {path}.",
            "For KNOCKFIRST_BLOCKLIST_KEYS of those who use your builds:",
            public,
        ]
        _show({"key": str(path), "public": public}, lines, as_json=as_json)


@app.command(epilog="Example: knockfirst blocklist verify blocklist/build --keys a.berg+85c95724+AQt...")
def verify(
    build: Annotated[Path, typer.Argument(help="Folder of a build.")],
    *,
    trusted: Annotated[str, typer.Option("--keys", envvar="KNOCKFIRST_BLOCKLIST_KEYS", help="Public keys, by commas.")],
    max_age: Annotated[int, typer.Option(min=1, help="Days.")] = MAX_AGE_DAYS,
    previous: Annotated[Path | None, typer.Option(help="Folder of the build used before.")] = None,
    as_json: Json = False,
) -> None:
    """Check a build as the crawler does before it uses it: signature, digest, age, size."""
    with _told(as_json=as_json):
        before = builds.read_build(previous)[0].manifest if previous else None
        blocklist, _ = builds.load_build(
            build, keys=_words(trusted), today=_now().date(), max_age_days=max_age, previous=before
        )
        _show(blocklist.manifest, ["The build can be used.", *_summary(blocklist)], as_json=as_json)


@app.command(epilog="Example: knockfirst blocklist explain blocklist/build https://files.pirate.example/film")
def explain(
    build: Annotated[Path, typer.Argument(help="Folder of a build.")],
    url: Annotated[str, typer.Argument(help="A URL or the name of a host.")],
    *,
    at: Annotated[str, typer.Option(help="The day to judge by, year-month-day; today if left out.")] = "",
    as_json: Json = False,
) -> None:
    """Say whether a site is listed, by whom, since when, and who approved it. The signature is not looked at."""
    with _told(as_json=as_json):
        files, _ = builds.read_build(build)
        blocklist = Blocklist.open(files.indexed, files.manifest)
        on = _day(at) if at else _now().date()
        host, path = locate(url)
        tried = list(walk(host, path))
        entries = [line for line in read_lines(files.jsonl) if isinstance(line, Entry) and _key(line) in tried]
        known = {line.id: line for line in read_lines(files.jsonl) if isinstance(line, ListingDecision)}
        hit = blocklist.match(url, on)
        lines = [f"List {blocklist.version} ({blocklist.digest}), on {on}: {host}{path}"]
        lines += _verdict(hit)
        lines += [line for entry in entries for line in _history(entry, known[entry.decision], on)]
        answer = {"version": blocklist.version, "digest": blocklist.digest, "on": on, "host": host, "hit": hit}
        _show({**answer, "tried": [_spelt(key) for key in tried], "entries": entries}, lines, as_json=as_json)


def _verdict(hit: Hit | None) -> list[str]:
    if hit is None:
        return ["Not listed: it may be crawled as far as the blocklist is concerned."]
    word = (
        "Held: the entry is suspended, so the site is neither crawled nor called infringing" if hit.held else "Listed"
    )
    return [f"{word}, by {hit.entry}."]


def _history(entry: Entry, decision: ListingDecision, on: dt.date) -> list[str]:
    term = f"until {decision.in_force_until}" if decision.in_force_until else "open-ended"
    over = " (the term is over)" if decision.lapsed(on) else ""
    people = ", ".join(entry.approved_by) or "nobody yet"
    lines = [
        f"- {_spelt(_key(entry))}: {entry.status}{over}, tier {decision.tier}",
        f"  decided by {decision.authority} ({decision.country}), {decision.date}, {decision.reference}, {term}",
        f"  proposed by {entry.added_by} on {entry.added}, approved by {people}",
        f"  verified on: {entry.verified_on or 'never'}",
    ]
    if entry.changed_on:
        lines.append(f"  {entry.changed_on}, {entry.changed_by}: {entry.change_cause}, {entry.change_reference}")
    return lines


def _summary(blocklist: Blocklist) -> list[str]:
    manifest = blocklist.manifest
    counts = ", ".join(f"{count} {word}" for word, count in manifest.counts.items())
    lines = [f"Version {manifest.version}, {manifest.digest}", f"Counts: {counts}"]
    lines += [
        f"- tier {source.tier}: {source.authority} ({source.country}), {source.enforced} in force,"
        f" latest decision {source.latest_decision}"
        for source in manifest.sources
    ]
    if manifest.overdue:
        lines.append(f"Review overdue: {', '.join(manifest.overdue)}")
    if not blocklist.has_eu_source:
        lines.append("No court or authority of the EU or EEA stands behind this list: a crawl will not start with it.")
    return lines


def _signer(path: Path) -> StaffKey:
    """The private key, under the name that its .pub file gives it."""
    public = _public_file(path)
    try:
        line = public.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise BlocklistError("It cannot be read.", str(public), "Make a key with `blocklist keygen`.") from fault
    signer = StaffKey.of(parse_public(line).name, keys.load(path).private)
    if signer.public_text() != line.strip():
        raise BlocklistError("It belongs to another private key.", str(public), "Restore the pair, or make a new key.")
    return signer


def _public_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.pub")


def _key(entry: Entry) -> Key:
    return Key(entry.host, entry.match, entry.path)


def _spelt(key: Key) -> str:
    return f"{key.match} {key.host}{key.path}"


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[\s,]+", text) if word)


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise BlocklistError(f"{text!r} is not a day.", "--at", "Write it like 2026-11-22.") from None


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _show(value: Any, lines: list[str], *, as_json: bool, wrong: bool = False) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(value, order="sorted").decode())
        return
    for line in lines:
        typer.echo(_plain(line), err=wrong)


def _plain(text: str) -> str:
    """The text without anything that a terminal would act on."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


@contextmanager
def _told(*, as_json: bool) -> Iterator[None]:
    """Turn what is wrong into words and exit code 1."""
    try:
        yield
    except FaultsError as wrong:
        _show({"faults": wrong.faults}, [str(fault) for fault in wrong.faults], as_json=as_json, wrong=True)
        raise typer.Exit(1) from None
    except BlocklistError as wrong:
        error = {"what": wrong.what, "where": wrong.where, "remedy": wrong.remedy}
        _show({"error": error}, [str(wrong)], as_json=as_json, wrong=True)
        raise typer.Exit(1) from None
    except (keys.KeyFileError, UrlError, OSError) as wrong:
        _show({"error": {"what": str(wrong)}}, [str(wrong)], as_json=as_json, wrong=True)
        raise typer.Exit(1) from None
