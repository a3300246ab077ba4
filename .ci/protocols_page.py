"""Prints docs/protocols.md from the protocol files and the test vectors.

.venv/bin/python .ci/protocols_page.py > docs/protocols.md
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from provenance.rules import shipped_protocols
from reservations.matrix import carriers, matrix
from reservations.registry import Registry

#: What the cases of suites that are about one protocol are counted as.
WHOLE_SUITES: Final = {"robots": "P01", "access": "P16"}
VECTORS: Final = Path(__file__).resolve().parents[1] / "tests/vectors"

HEAD: Final = """\
# Protocols

What is read, where it can stand, how early it is obeyed, and which uses it can close. This page is made from
`reservations/protocols/*.toml` by `.ci/protocols_page.py`; a test compares the two. `knockfirst protocols` lists the
files in force, `knockfirst protocols --matrix` the table below.

Before the request: the page is not asked for. At the head: the body is not read. With the body: nothing but the head,
a digest and the statement's own words is kept. A document that a head or a page names is asked for when the page is
whole, because its connection is taken until then.

## Adding a protocol, or following one that changed

Put a TOML file into a folder and name the folder in `KNOCKFIRST_DATA`; `knockfirst lint FOLDER` says what is wrong with
it. A file under a new name adds a protocol (or, with `[[restrictions]]`, sites that your staff does not use). A file
under the name of a shipped one replaces it. What would read or refuse less than the shipped rules needs `[approval]`
with `approver`, `reason` and `date`, and is shown by `lint`, in the WARC files, in every report and in the first line
of `verify`. The digest of all files in force stands in every log. JSON Schemas for editors are in `docs/schemas/`
(`#:schema ../docs/schemas/protocol.json` in the first line of a file).

Content credentials (C2PA) in files are checked: signature, assertions, the file's own digest. What they refuse counts
whatever comes of it. What they permit counts when they are valid and a file of yours names the signing certificate in
`[[signers]]` (name, SHA-256 of the certificate, why); it lifts nothing that is refused elsewhere.

## Declarations on works

What rightsholders declared of a work holds wherever a copy lies. Put such files into the folder `declarations/` of
`KNOCKFIRST_DATA`; they are part of the rules, so their digest stands in the log and replay uses the same ones.
`lint` checks them. Nothing is asked of a registry while a crawl runs. A file that cannot be read keeps the crawl from
starting; without any file, `explain` says for the protocol that none were consulted.

- `*.jsonl`, a snapshot of a registry. First line `{"protocol": "iscc", "source": "where from", "taken": "2026-11-20"}`,
  then one declaration a line: `iscc` or `sha256` (or `isbn`), `label` (`tdm`, `ai-train`, `genai-train`, `ai-input`),
  `value` (`deny`, `conditional`, `allow`), and if known `declarant`, `at`, `signature` (`valid`, `invalid` or
  `unchecked`, as the registry's client found it). At most 100,000 lines and 8 MiB a file.
- `*.xml`, an ONIX 3 message. Its usage constraints hold for EPUB, PDF and other files whose metadata name the ISBN.

An equal Instance-Code (or SHA-256) is the work: refusals count, whatever is known of their signature; a permission
counts when its signature is `valid`, and lifts nothing. A Data-Code that differs in at most six of 64 bits may be the
work: the copy is held for a person. A match by ISBN only refuses. Content-Codes (of pixels, sound, words) are not
computed. ISCCs need the package iscc-lib (`pip install 'knockfirst[iscc]'`). `knockfirst check FILE` also reads an ONIX
message beside the file, `FILE.onix.xml`.

Licences that you hold stand in the policy (`[[licences]]`: origins, purposes, since, until, conditions, evidence). They
lift what is refused in the protocols marked *licensable* below; never a refusal to crawl, a restriction of access or
an entry of the blocklist.
"""


def page() -> Iterator[str]:
    """The lines of the document."""
    registry = Registry.load(shipped_protocols())
    cases: Counter[str] = Counter()
    for path in sorted(VECTORS.glob("*.json")):
        suite = json.loads(path.read_text("utf-8"))
        cases.update(case.get("protocol", WHOLE_SUITES.get(suite["kind"])) for case in suite["cases"])
    yield HEAD
    yield "## Which uses each protocol can close\n"
    yield "`B` binds by default, `b` in profile `strict` only, `-` is silent.\n"
    uses = [str(use) for use in matrix(registry.protocols[0])]
    yield f"| protocol | {' | '.join(uses)} | licensable |"
    yield "| --- " * (len(uses) + 2) + "|"
    for protocol in registry.protocols:
        yield f"| {protocol.id} | {' | '.join(matrix(protocol).values())} | {'yes' if protocol.licensable else ''} |"
    yield "\n## Where each protocol is read\n"
    yield "| protocol | carrier | read | obeyed | cases |\n| --- | --- | --- | --- | --- |"
    for protocol in registry.protocols:
        number = sum(cases[name] for name in protocol.vectors)
        for carrier in carriers(protocol):
            yield f"| {protocol.id} | {_cell(carrier.place)} | yes | {carrier.obeyed} | {number or ''} |"
    yield "\nCases: those in `tests/vectors/` under the protocol's name, over all its carriers.\n"
    yield "## The protocols\n"
    yield "| id | name | version | status | standing in the EU process | reviewed |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for protocol in registry.protocols:
        cells = (protocol.id, protocol.name, protocol.version, protocol.status, protocol.eu_status, protocol.reviewed)
        yield f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print("\n".join(page()))  # noqa: T201
