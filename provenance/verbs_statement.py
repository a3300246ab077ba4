"""`knockfirst review statement`: what the operator of a site says and signs, checked and put on file.

A statement counts from the next start of a crawl, on its own site, until it expires, and settles `access.unclear`
alone. Exit codes: 0 done, 1 the statement does not count, 2 a file or key cannot be read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from blocklists.model import BlocklistError
from provenance.blocklist_verbs.common import By, today
from provenance.blocklist_verbs.publish import signer_of
from provenance.keys import KeyFileError
from provenance.terminal import plain
from provenance.verbs_review import HEAD, Data, fail, filed_text, plain_lines, toml_table, write_whole
from reservations.access.reviews import REVIEWS_FILE, Reviews, SiteReview, stated_review
from reservations.access.statements import Filed
from reservations.datafile import DefinitionError
from reservations.signed_note import NoteError, signature_line

Note = Annotated[Path, typer.Argument(metavar="NOTE", help="The signed statement as it came.")]
Site = Annotated[str, typer.Option("--host", help="The site that gave the key.")]
Key = Annotated[str, typer.Option("--key", help="The site's public key: name+number+key.")]

app = typer.Typer(name="statement", help="What operators of sites sign: that a page is open.", no_args_is_help=True)


@app.command(epilog="Example: knockfirst review statement sign statement.toml statement.note --key news.key")
def sign(
    text: Annotated[Path, typer.Argument(metavar="TEXT", help="The statement: site, says, because, date, expires.")],
    note: Annotated[Path, typer.Argument(metavar="NOTE", help="File for the signed statement.")],
    *,
    key: Annotated[Path, typer.Option("--key", help="The site's private key, with its .pub file beside it.")],
) -> None:
    """For operators of sites: sign a statement. Any other tool for C2SP signed notes does as well."""
    stated = _text(text).rstrip("\n") + "\n"
    try:
        signer = signer_of(key)
    except (BlocklistError, KeyFileError) as error:
        fail(str(error), 2)
    signed = f"{stated}\n{signature_line(stated.encode(), signer.name, signer.private).decode()}"
    write_whole(note, signed)
    typer.echo(plain(f"Signed as {signer.name}: {note}"))


@app.command(epilog="Example: knockfirst review statement check a.note --host news.example --key news.example+1f...")
def check(note: Note, *, host: Site, key: Key) -> None:
    """Say what a statement would settle, or why it does not count."""
    _tell(_checked(Filed(host=host, key=key, key_from="not on file", by="nobody", added=_day(), note=_text(note))))


@app.command(
    epilog="Example: knockfirst review statement add a.note --host news.example --key news.example+1f... "
    "--key-from 'https://news.example/.well-known/key.txt, 2026-11-24' --by a.berg --data my-rules"
)
def add(
    note: Note,
    *,
    host: Site,
    key: Key,
    key_from: Annotated[str, typer.Option(help="Where you got the key from, and when: nobody else vouches for it.")],
    by: By,
    data: Data = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written, and write nothing.")] = False,
) -> None:
    """Put a statement on file, with the key of the site and where you got that key from."""
    if data is None:
        fail("--data or KNOCKFIRST_DATA: name the folder that holds the operator's own rules", 2)
    filed = Filed(host=host, key=key.strip(), key_from=key_from, by=by, added=_day(), note=_text(note))
    review = _checked(filed)
    table = toml_table("statements", msgspec.to_builtins(filed))
    text = (filed_text(data) or HEAD) + table
    try:
        Reviews.from_toml(text)
    except DefinitionError as error:
        fail("\n".join(str(fault) for fault in error.faults), 1)
    _tell(review)
    if not dry_run:
        write_whole(data / REVIEWS_FILE, text)
    typer.echo(plain(f"{'Would write' if dry_run else 'Written'} to {data / REVIEWS_FILE}:"))
    typer.echo(plain_lines(table))


def _checked(filed: Filed) -> SiteReview:
    try:
        return stated_review(filed)
    except NoteError as error:
        fail(f"The statement does not count: {error}", 1)


def _tell(review: SiteReview) -> None:
    typer.echo(plain(f"{review.host}{review.path} is open, from {review.decided} to {review.expires}: {review.why}"))
    typer.echo(f"The signature is good. It settles {review.reason} there, and lifts no refusal.")


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{path} cannot be read: {error}", 2)


def _day() -> str:
    return today().isoformat()
