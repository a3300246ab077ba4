"""What it costs to read all reservations of one page, beside a bare lxml parse of the same page's head.

.venv/bin/python -m benchmarks.bench_readers

A page of 17 KB: with nothing in it, and with five statements on five carriers. The origin's files were read before, as
in a crawl: they are asked for once a day. Figures are the best of several rounds, per page, in milliseconds of CPU.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from lxml import etree

from provenance.rules import Rules
from reservations.model import Answer, Facts, Head, Header

SIZE = 17 * 1024
ROUNDS = 7
REPEATS = 200
#: What the issue asks for: times of a bare lxml parse of the page's head.
MOST_EMPTY = 0.35 / 0.13
MOST_FULL = 2 * MOST_EMPTY
#: Milliseconds.
MOST_PDF = 100.0
PDF_SIZE = 10 << 20

_HEAD = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>A page of a newspaper</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="description" content="About bees.">
<meta name="robots" content="index, follow, max-image-preview:large"><link rel="canonical" href="https://site.example/a">
<meta property="og:title" content="A page"><meta property="og:type" content="article">
<link rel="stylesheet" href="/style.css"><link rel="preload" href="/font.woff2" as="font"><script src="/x.js"></script>
<link rel="alternate" type="application/rss+xml" href="/feed"><link rel="icon" href="/icon.png">
{statements}{usual}</head>"""
#: What else stands in the head of a newspaper's page: it fills more than half of the file.
_USUAL = "".join(
    f'<meta property="og:thing:{number}" content="A text of a sentence, number {number}, for a network">\n'
    f'<link rel="preload" href="/assets/bundle-{number}.css" as="style"><meta name="app:{number}" content="{number}">\n'
    for number in range(48)
)
_FIVE = (
    '<meta name="robots" content="noarchive"><meta name="tdm-reservation" content="0">'
    '<link rel="license" href="https://creativecommons.org/licenses/by/4.0/">'
    '<script type="application/ld+json">{"@context":"https://schema.org","@type":"NewsArticle",'
    '"license":"https://creativecommons.org/licenses/by/4.0/"}</script>'
    '<meta name="googlebot" content="nosnippet">'
)
_PROSE = "<p>Hives are opened at noon, when most of the <a href='/bees'>bees</a> are out and in a better mood.</p>\n"


def page(statements: str) -> bytes:
    """A page of the size."""
    head = _HEAD.format(statements=statements, usual=_USUAL).encode()
    body = (_PROSE * (SIZE // len(_PROSE) + 1)).encode()
    return (head + b"<body><main><article>" + body)[: SIZE - 30] + b"</article></main></body></html>"


def pdf() -> bytes:
    """A PDF of a thousand pages with images in streams, and a packet of metadata."""
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'
    streams = [random.Random(number).randbytes(PDF_SIZE // 1000) for number in range(1000)]
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /Metadata 3 0 R >>",
        b"<< /Type /Pages /Kids [] /Count 0 >>",
        b"<< /Type /Metadata /Subtype /XML /Length %d >>\nstream\n%s\nendstream" % (len(xmp), xmp),
        *(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream) for stream in streams),
    ]
    octets, places = bytearray(b"%PDF-1.7\n"), []
    for number, item in enumerate(objects, 1):
        places.append(len(octets))
        octets += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    return bytes(octets) + end % (len(objects) + 1, table, len(objects) + 1, len(octets))


def best(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Milliseconds of one call: the best round."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(repeats):
            work()
        rounds.append((time.process_time() - began) * 1000 / repeats)
    return min(rounds)


def reader(body: bytes, media_type: str = "text/html; charset=utf-8") -> Callable[[], object]:
    """Reads all reservations of a page whose origin said nothing."""
    rules = Rules.load(tokens=("ExampleBot",))
    documents = {document.path: Answer(url="", status=404) for document in rules.registry.documents}
    headers = (Header("Content-Type", media_type), Header("Server", "x"), Header("Vary", "Accept"))
    facts = Facts(
        url="https://site.example/a", documents=documents, head=Head(status=200, headers=headers), body=body, attempt=1
    )
    return lambda: rules.examine(facts)


def bare_parse(body: bytes) -> Callable[[], object]:
    """A parse of the page's head by lxml, and nothing else."""
    head = body[: body.index(b"</head>") + 7]
    return lambda: etree.fromstring(head, etree.HTMLParser(encoding="utf-8"))


def main() -> None:
    """Prints one row a case."""
    empty, full = page(""), page(_FIVE)
    whole = best(lambda: etree.fromstring(empty, etree.HTMLParser(encoding="utf-8")))
    bare = best(bare_parse(empty))
    print(f"| {'case':42} | {'ms':>7} | {'x head parse':>12} | {'at most':>7} |")
    print(f"| {'-' * 42} | {'-' * 7} | {'-' * 12} | {'-' * 7} |")
    rows = (
        ("lxml: the head alone", bare, 0.0),
        ("lxml: the whole page", whole, 0.0),
        ("all protocols, nothing found", best(reader(empty)), MOST_EMPTY),
        ("all protocols, five statements", best(reader(full)), MOST_FULL),
    )
    for name, took, most in rows:
        limit = f"{most:.1f}" if most else ""
        print(f"| {name:42} | {took:7.3f} | {took / bare:12.1f} | {limit:>7} |")
    whole_file = pdf()
    for name, body in (("a PDF of 10 MB", whole_file), ("the same, its end cut off", whole_file[:-40_000])):
        took = best(reader(body, "application/pdf"), repeats=1)
        print(f"| {name:42} | {took:7.3f} | {'':12} | {MOST_PDF:4.0f} ms |")


if __name__ == "__main__":
    main()
