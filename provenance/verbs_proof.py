"""`knockfirst proof | consistency`: what is handed to rightsholders and auditors. Runs without Scrapy.

Exit codes: 0 proved, 1 the file proves nothing, 2 there is no such proof or a file cannot be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
import typer

from provenance.checkpoint import CheckpointError, Verifier
from provenance.entry import DecisionEntry, Entry, EvidenceEntry
from provenance.naming import registrable_domain
from provenance.proof import (
    MAX_PROOF_BYTES,
    Finding,
    Proof,
    ProofError,
    check,
    check_consistency,
    prove_consistency,
    prove_site,
    prove_url,
    read_keys,
)
from provenance.segments import LogError
from provenance.terminal import plain, progress_bar
from reservations.urls import UrlError, canonical_url, origin_of

_WRONG = 1
_UNREADABLE = 2

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of sentences.")]
Key = Annotated[str, typer.Option("--key", metavar="VKEY", help="The log's verifier line, from elsewhere.")]
Keys = Annotated[list[str] | None, typer.Option("--key", metavar="VKEY", help="The log's keys, from elsewhere.")]
To = Annotated[Path | None, typer.Option("--to", metavar="FILE", help="Write the proof there instead of printing it.")]


def add_to(app: typer.Typer) -> None:
    """Adds the verbs."""
    app.command(epilog="Example: knockfirst proof out/web https://example.org/page --to page.tlog-proof")(proof)
    app.command(epilog="Example: knockfirst consistency checkpoint-of-last-year out/web")(consistency)


def proof(
    out: Annotated[str, typer.Argument(metavar="OUT", help="Output folder of a crawl; or the word `check`.")],
    about: Annotated[str, typer.Argument(metavar="[URL|FILE]", help="A URL; after `check`, the file.")] = "",
    *,
    site: Annotated[str, typer.Option(metavar="DOMAIN", help="All that the log has of this domain, or nothing.")] = "",
    to: To = None,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Prove what the log says of a URL, or all it has of a site: `proof OUT URL`, `proof OUT --site DOMAIN`.

    `proof check FILE` checks one, and needs nothing but the file. Exit codes: 0 done, 1 the file proves nothing,
    2 there is no such proof to be given.
    """
    if out == "check":
        _check(Path(about), key or None, as_json=as_json)
        return
    if bool(about) == bool(site):
        _give_up("Name a URL, or a domain by --site; not both.")
    try:
        made = _prove(Path(out) / "log", about, site)
    except (OSError, LogError, ProofError, UrlError) as error:
        _give_up(str(error))
    if to is None:
        typer.echo(made.text(), nl=False)
    else:
        to.write_text(made.text(), "utf-8")
        typer.echo(plain(f"{to}: {to.stat().st_size} bytes. To check it: knockfirst proof check {to}"))


def _prove(folder: Path, url: str, site: str) -> Proof:
    with progress_bar() as tell:
        if site:
            return prove_site(folder, registrable_domain(site.lower().rstrip(".")), tell)
        url = canonical_url(url)
        return prove_url(folder, url, registrable_domain(origin_of(url).host), tell)


def _check(path: Path, key: str | None, *, as_json: bool) -> None:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_PROOF_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        _give_up(f"{path}: {error}")
    try:
        found = check(text, key)
    except ProofError as error:
        _say({"proved": False, "why": str(error)} if as_json else f"{path} PROVES NOTHING: {error}.")
        raise typer.Exit(_WRONG) from None
    _say(_as_json(found) if as_json else "\n".join(map(plain, _sentences(found))))


def _sentences(found: Finding) -> Iterator[str]:
    head, about = found.checkpoint, found.about
    where = f"log {head.origin} of {head.size} entries"
    match about.kind:
        case "entry":
            yield f"Proved: this is entry {found.index} of {where}."
            yield from _told(found.entry)
        case "absent":
            yield f"Proved: up to entry {found.index}, {where} has no entry on {about.url} (site {about.site})."
        case _:
            count = len(found.entries)
            told = f"{count} entries of {about.site}, no others" if count else f"no entry of {about.site}"
            yield f"Proved: up to entry {found.index}, {where} has {told}."
            for seq, entry in found.entries:
                yield from _told(entry) if entry else (f"  entry {seq}: its text was erased",)
    yield f"Signed by {found.key.line()}"
    if not found.key_given:
        yield "  as the proof itself says. Compare it with one from the operator, or give it by --key."


def _told(entry: Entry) -> Iterator[str]:
    match entry:
        case DecisionEntry():
            yield f"  entry {entry.seq}, {entry.ts}: {entry.url}"
            yield f"    {entry.verdict}, {entry.reason}{'; the last word' if entry.final else ''}"
            for signal in entry.signals:
                yield f"    {signal.src} {signal.loc}: {signal.rule}"
        case EvidenceEntry():
            yield f"  entry {entry.seq}, {entry.ts}: asked for {entry.url}: {entry.outcome}"
        case _:
            yield f"  entry {entry.seq}, {entry.ts}"


def _as_json(found: Finding) -> dict[str, Any]:
    head = found.checkpoint
    told = [{"seq": seq, "entry": msgspec.to_builtins(entry)} for seq, entry in found.entries]
    return {
        "proved": True,
        "kind": found.about.kind,
        "origin": head.origin,
        "size": head.size,
        "root": head.root.hex(),
        "index": found.index,
        "entry": msgspec.to_builtins(found.entry),
        "site": found.about.site,
        "url": found.about.url,
        "entries": told,
        "key": found.key.line(),
        "key_given": found.key_given,
    }


def consistency(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="An older checkpoint, kept elsewhere; or `OUT` itself.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Output folder of a crawl, or a proof made by --to.")],
    *,
    to: To = None,
    key: Keys = None,
    as_json: Json = False,
) -> None:
    """Show that a log extends an older checkpoint of it: that nothing was rewritten in between.

    Exit codes: 0 it does, 1 it does not, 2 a file cannot be read.
    """
    try:
        note = (old / "log" / "checkpoint" if old.is_dir() else old).read_bytes()
        keys = tuple(Verifier.parse(line.strip()) for line in key or ()) or read_keys(_log_of(new, old))
    except (OSError, CheckpointError, ProofError) as error:
        _give_up(str(error))
    try:
        if new.is_dir():
            with progress_bar() as tell:
                text, before, after = prove_consistency(new / "log", note, keys, tell)
        else:
            text = new.read_text("utf-8")
            before, after = check_consistency(text, keys)
    except (LogError, ProofError) as error:
        _say({"consistent": False, "why": str(error)} if as_json else f"NOT CONSISTENT: {error}.")
        raise typer.Exit(_WRONG) from None
    except (OSError, UnicodeDecodeError) as error:
        _give_up(str(error))
    if to is not None:
        to.write_text(text, "utf-8")
    told = {"consistent": True, "origin": after.origin, "old": before.size, "new": after.size}
    sentence = f"Log {after.origin}: the {after.size} entries begin with the {before.size} of the older checkpoint."
    _say(told if as_json else plain(sentence))


def _log_of(*paths: Path) -> Path:
    """The log whose verifier line is there."""
    for path in paths:
        if path.is_dir():
            return path / "log"
    raise ProofError("neither is an output folder: give the log's verifier line by --key")


def _say(what: object) -> None:
    typer.echo(what if isinstance(what, str) else json.dumps(what, indent=2))


def _give_up(why: str) -> NoReturn:
    typer.echo(plain(why), err=True)
    raise typer.Exit(_UNREADABLE) from None
