"""Verbs that make a list of decisions and show that it can be relied on: lint, compile, sign, verify, keygen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from blocklists.build import MAX_AGE_DAYS
from blocklists.index import Index
from blocklists.match import Blocklist, index_of, read_lines
from blocklists.model import ENFORCED, BlocklistError, Entry, Level
from blocklists.signing import StaffKey, parse_public, person_of, sign_manifest, verify_manifest
from provenance import builds, keys
from provenance.blocklist_verbs import common
from provenance.blocklist_verbs.common import Build, Folder, Json, Keys, app, show, told, words

KeyFile = Annotated[Path, typer.Option("--key", envvar="KNOCKFIRST_BLOCKLIST_KEY", help="The private key's file.")]
DEFAULT_KEY: Final = Path("~/.config/knockfirst/blocklist.key")


@app.command(epilog="Example: knockfirst blocklist lint blocklist/decisions")
def lint(folder: Folder, *, as_json: Json = False) -> None:
    """Say everything that is wrong with the decisions of a folder."""
    with told(as_json=as_json):
        faults = builds.lint_folder(folder, common.today())
        show({"faults": faults}, [str(fault) for fault in faults] or ["Nothing is wrong."], as_json=as_json)
        if any(fault.level is not Level.WARNING for fault in faults):
            raise typer.Exit(1)


@app.command("compile", epilog="Example: knockfirst blocklist compile blocklist/decisions blocklist/build")
def compile_(
    folder: Folder,
    out: Annotated[Path, typer.Argument(help="Folder for the build; a build that is there is replaced.")],
    *,
    key: KeyFile = DEFAULT_KEY,
    shrunk_because: Annotated[str, typer.Option(help="Why the list is much smaller than the last one.")] = "",
    grown_because: Annotated[str, typer.Option(help="Why the list is much larger than the last one.")] = "",
    second: Annotated[str, typer.Option(help="Who else looked at a list that grew so much.")] = "",
    dry_run: common.DryRun = False,
    as_json: Json = False,
) -> None:
    """Compile the decisions of a folder and sign the build."""
    with told(as_json=as_json):
        signer = signer_of(key.expanduser())
        if second and second == person_of(signer.name):
            raise BlocklistError(f"{second} signs the build.", "--second", "Another person has to look at it.")
        now = common.now()
        build = builds.compile_folder(
            folder,
            version=builds.next_version(out, now.date()),
            now=now,
            shrunk_because=shrunk_because,
            grown_because=grown_because,
            second=second,
        )
        builds.check_after(out, build)
        if not dry_run:
            builds.write_build(out, build, signer)
        done = ["Nothing was written."] if dry_run else []
        summary = _summary(Blocklist.open(build.indexed, build.manifest))
        show(msgspec.json.decode(build.manifest), [*summary, *done], as_json=as_json)


@app.command(epilog="Example: knockfirst blocklist keygen --name lists.example.org/a.berg")
def keygen(
    name: Annotated[str, typer.Option(help="Whose key it is; stands in every signature.")],
    *,
    key: KeyFile = DEFAULT_KEY,
    as_json: Json = False,
) -> None:
    """Make a key to sign builds with. Its public half is printed, and kept beside it in a file ending in .pub."""
    with told(as_json=as_json):
        path = key.expanduser()
        StaffKey.new(name)  # a bad name is told before a key lies there
        public = StaffKey.of(name, keys.generate(path).private).public_text()
        _public_file(path).write_text(f"{public}\n", encoding="utf-8")
        lines = [
            f"The private key is in {path}.",
            "For KNOCKFIRST_BLOCKLIST_KEYS of those who use your builds:",
            public,
        ]
        show({"key": str(path), "public": public}, lines, as_json=as_json)


@app.command(epilog="Example: knockfirst blocklist sign blocklist/build")
def sign(build: Build, *, key: KeyFile = DEFAULT_KEY, as_json: Json = False) -> None:
    """Add your signature to a build that somebody else signed: your approval of it is then more than a name."""
    with told(as_json=as_json):
        signer = signer_of(key.expanduser())
        files, signature = builds.read_build(build)
        Blocklist.open(files.indexed, files.manifest)
        fresh = sign_manifest(files.manifest, signer)
        if fresh not in signature:
            builds.write_signature(build, signature + fresh)
        show({"signed": signer.name}, [f"Signed as {signer.name}."], as_json=as_json)


@app.command(epilog="Example: knockfirst blocklist verify blocklist/build --keys a.berg+85c95724+AQt...")
def verify(
    build: Build,
    *,
    trusted: Keys,
    max_age: Annotated[int, typer.Option(min=1, help="Days.")] = MAX_AGE_DAYS,
    previous: Annotated[Path | None, typer.Option(help="Folder of the build used before.")] = None,
    as_json: Json = False,
) -> None:
    """Check a build as the crawler does before it uses it (signature, digests, age, size), and its index besides."""
    with told(as_json=as_json):
        before = builds.read_build(previous)[0].manifest if previous else None
        allowed = words(trusted)
        blocklist, manifest = builds.load_build(
            build, keys=allowed, today=common.today(), max_age_days=max_age, previous=before
        )
        files, signature = builds.read_build(build)
        lines = read_lines(files.jsonl)
        if Index(files.indexed).content() != Index(index_of(lines)).content():
            raise BlocklistError("The index holds other names than the list.", str(build), "Compile it again.")
        signers = verify_manifest(manifest, signature, allowed)
        backed = backing([line for line in lines if isinstance(line, Entry)], signers)
        said = ["The build can be used.", *_summary(blocklist), f"Signed by: {', '.join(signers)}", *backed]
        value = msgspec.to_builtins(blocklist.manifest)
        show({**value, "signers": signers}, said, as_json=as_json)


def backing(entries: list[Entry], signers: tuple[str, ...]) -> list[str]:
    """Which approvers' names are backed by a signature on the build, and which are claims of the files."""
    signed = {person_of(name) for name in signers}
    named = sorted({person for entry in entries if entry.status in ENFORCED for person in entry.approved_by})
    if not named:
        return []
    claims = [name for name in named if name not in signed]
    lines = [f"Approvers whose signature is on the build: {', '.join(sorted(signed & set(named))) or 'none'}"]
    if claims:
        lines.append(f"Approvers named in the files only, which nobody's signature backs: {', '.join(claims)}")
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
    if manifest.grown_because:
        lines.append(f"Grown because: {manifest.grown_because} (second look: {manifest.second}, as claimed)")
    if manifest.shrunk_because:
        lines.append(f"Shrunk because: {manifest.shrunk_because}")
    if not blocklist.has_eu_source:
        lines.append("No court or authority of the EU or EEA stands behind this list: a crawl will not start with it.")
    return lines


def signer_of(path: Path) -> StaffKey:
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
