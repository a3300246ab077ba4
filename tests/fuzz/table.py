"""Every reader of strangers' octets: how it is called, what it may raise, and what it is fed with at first.

A target takes octets and answers with something that can be written down; the same octets, the same answer. Readers of
what rightsholders say are called as the crawl calls them, through `Registry.examine`, so that everything is exercised
that can be reached from there.
"""

from __future__ import annotations

import datetime as dt
import gzip
from collections.abc import Callable
from functools import cache
from io import BytesIO
from itertools import count
from typing import NamedTuple

import msgspec

from blocklists import decisions, importers
from blocklists.build import open_build
from blocklists.model import BlocklistError
from crawler.spiders.links import page_links, sitemap_urls
from crawler.warc.records import unchunked
from provenance import lines, proof
from provenance.checkpoint import CheckpointError, Verifier, open_note
from provenance.rules import Rules
from provenance.warcfile import WarcFileError, read_record
from reservations import signed_note, urls
from reservations.access.statements import Statement
from reservations.datafile import DefinitionError, Source
from reservations.definition import load_protocol
from reservations.model import Answer, Decision, Facts, Head, Header, canonical
from reservations.policy import Policy
from reservations.readers.asset import Asset
from reservations.readers.pieces import Kind, Packet
from reservations.readers.xmp import read_elements, read_properties

URL = "https://site.example/a/b.html?c=d"
_HTML = (Header("Content-Type", "text/html"),)
_LICENCE = "https://licences.example/l.xml"
_POLICY = "https://licences.example/p.json"
_KEY = "log.example+3d2b3bd5+ATqdEq2nvbx6sNcwaNcpFc4VQKLRKpmyl9nnLGmGgkMB"


class Target(NamedTuple):
    """One reader.

    Attributes:
        name: what it reads.
        call: octets in, something out that can be written down.
        seeds: kinds of seeds that fit, see `seeds.gather`.
        raises: what it says of malformed input, as documented; anything else is a fault.
    """

    name: str
    call: Callable[[bytes], object]
    seeds: tuple[str, ...]
    raises: tuple[type[Exception], ...] = ()


class _Judge:
    """The rules of a crawl, twice: what the first remembers must change no answer of the second."""

    def __init__(self) -> None:
        self.rules = Rules.load(tokens=("ExampleBot",))
        self.policy = msgspec.structs.replace(self.rules.policy, profile="strict", media_types=("*/*",), teasers=True)
        self.absent = {document.path: Answer(url="", status=404) for document in self.rules.registry.documents}

    def examine(self, facts: Facts) -> str:
        return canonical(self.rules.registry.examine(facts, self.policy, ("ExampleBot",))).decode()

    def document(self, key: str, body: bytes, **more: object) -> str:
        answer = Answer(url="", status=200, body=body, **more)
        return self.examine(Facts(url=URL, documents={**self.absent, key: answer}, attempt=1))

    def body(self, body: bytes, media_type: str = "text/html", fields: tuple[Header, ...] = ()) -> str:
        head = Head(status=200, headers=(Header("Content-Type", media_type), *fields))
        facts = Facts(url=URL, documents=self.absent, head=head, body=body, attempt=1)
        decided = self.rules.registry.examine(facts, self.policy, ("ExampleBot",))
        teaser = self.rules.registry.teaser(facts) if isinstance(decided, Decision) else ""
        return canonical(decided).decode() + teaser


_turns = count()


def _judge() -> _Judge:
    """One of the two, by turns."""
    return _judges(next(_turns) % 2)


@cache
def _judges(number: int) -> _Judge:
    del number
    return _Judge()


def _document(key: str, **more: object) -> Callable[[bytes], str]:
    return lambda octets: _judge().document(key, octets, **more)


def _body(media_type: str) -> Callable[[bytes], str]:
    return lambda octets: _judge().body(octets, media_type)


def _robots(octets: bytes) -> str:
    judge = _judge()
    facts = Facts(url=URL, documents={**judge.absent, "/robots.txt": Answer(url="", status=200, body=octets)})
    registry = judge.rules.registry
    also = (registry.crawl_delay_s(facts, "ExampleBot"), registry.sitemaps(facts))
    return f"{judge.examine(facts)} {also}"


def _fields(octets: bytes) -> str:
    """A head: one field a line."""
    pairs = (line.partition(b":") for line in octets.split(b"\n")[:100])
    headers = tuple(Header(name.decode("latin-1").strip(), value.decode("latin-1").strip()) for name, _, value in pairs)
    judge = _judge()
    status = 200 + len(octets) % 300
    return judge.examine(Facts(url=URL, documents=judge.absent, head=Head(status=status, headers=headers), attempt=1))


def _named(field: Header, key: str) -> Callable[[bytes], str]:
    """A document that a field of the head names."""

    def call(octets: bytes) -> str:
        judge = _judge()
        documents = {**judge.absent, key: Answer(url=key, status=200, body=octets)}
        reserved = (Header("tdm-reservation", "1"), field, Header("Content-Type", "text/html"))
        return judge.examine(
            Facts(url=URL, documents=documents, head=Head(status=200, headers=reserved), body=b"<p>x", attempt=1)
        )

    return call


def _manifest(octets: bytes) -> object:
    files = _judge().rules.registry._sight._files
    return files.read(Asset("image/jpeg", (Packet(Kind.JUMBF, octets, "packet"),)))


def _xmp(octets: bytes) -> object:
    properties, fault = read_properties(octets, ("http://ns.useplus.org/ldf/xmp/1.0/",))
    return properties, str(fault), read_elements(octets, "https://rslstandard.org/rsl")


def _note(octets: bytes) -> object:
    text = octets.decode("utf-8", "replace")
    key, _, note = text.partition("\n")
    return signed_note.open_note(note, signed_note.parse_public(key))


def _checkpoint(octets: bytes) -> object:
    key, _, note = octets.partition(b"\n")
    return open_note(note, Verifier.parse(key.decode("utf-8", "replace")))


def _decisions(octets: bytes) -> object:
    return decisions.read_files({"a.toml": octets.decode("utf-8", "replace")})


def _import(name: str) -> Callable[[bytes], object]:
    return lambda octets: importers.read(name, octets.decode("utf-8", "replace"))


def _build(octets: bytes) -> object:
    index, manifest, signature = [*octets.split(b"\n--\n", 2), b"", b""][:3]
    return open_build(index, manifest, signature, keys=[], today=dt.date(2026, 11, 22))


def _log_line(octets: bytes) -> object:
    entry = lines.from_line(octets)
    return entry, lines.from_line(lines.to_line(entry)) == entry


def _url(octets: bytes) -> object:
    text = octets.decode("utf-8", "replace")
    url = urls.canonical_url(text, URL)
    return url, urls.canonical_url(url), urls.faults(url, _judge().policy), str(urls.origin_of(url))


def _text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda octets: read(octets.decode("utf-8", "replace"))


TARGETS = (
    Target("robots.txt", _robots, ("robots",)),
    Target("tdmrep.json", _document("/.well-known/tdmrep.json"), ("tdmrep",)),
    Target("ai.txt", _document("/ai.txt"), ("ai.txt", "robots")),
    Target("trust.txt", _document("/trust.txt"), ("trust.txt",)),
    Target("fields", _fields, ("fields",)),
    Target(
        "rsl", _named(Header("Link", f'<{_LICENCE}>; rel="license"; type="application/rsl+xml"'), _LICENCE), ("rsl",)
    ),
    Target("odrl", _named(Header("tdm-policy", _POLICY), _POLICY), ("policy",)),
    Target("legal page", _document("/terms#legal", headers=_HTML), ("html",)),
    Target("html", _body("text/html"), ("html",)),
    Target("html in UTF-16", _body("text/html; charset=utf-16"), ("html",)),
    Target("xhtml", _body("application/xhtml+xml"), ("html",)),
    Target("feed", _body("application/rss+xml"), ("rsl", "xml")),
    Target("onix", _body("application/xml"), ("onix", "xml")),
    Target("json answer", _body("application/json"), ("tdmrep", "policy", "json")),
    *(
        Target(suffix, _body("application/octet-stream"), (suffix,))
        for suffix in ("jpg", "png", "gif", "webp", "tif", "avif", "mp4", "pdf", "epub", "svg", "m3u8", "mpd")
    ),
    Target("manifest", _manifest, ("manifest",)),
    Target("xmp", _xmp, ("xmp",)),
    Target("links", lambda octets: page_links(octets, "utf-8", nofollow_page=False), ("html",)),
    Target("sitemap", lambda octets: list(sitemap_urls(octets)), ("sitemap", "xml")),
    Target("chunks", unchunked, ("chunks",)),
    Target("url", _url, ("url",), (urls.UrlError,)),
    Target("protocol file", _text(lambda text: load_protocol(text, "a.toml")), ("protocol",), (DefinitionError,)),
    Target(
        "policy file", _text(lambda text: Policy.from_toml(text, file="a.toml")), ("policy file",), (DefinitionError,)
    ),
    Target(
        "statement", _text(lambda text: Source(text, "statement").read(Statement)), ("policy file",), (DefinitionError,)
    ),
    Target("signed note", _note, ("note",), (signed_note.NoteError,)),
    Target("checkpoint", _checkpoint, ("note",), (CheckpointError,)),
    Target("proof", _text(proof.check), ("proof",), (proof.ProofError,)),
    Target("log line", _log_line, ("log line",), (ValueError,)),
    Target("warc record", lambda octets: read_record(BytesIO(octets), 0), ("warc",), (WarcFileError,)),
    Target("warc block", lambda octets: read_record(BytesIO(gzip.compress(octets)), 0), ("block",), (WarcFileError,)),
    Target("decisions", _decisions, ("decisions",)),
    Target("blocklist build", _build, ("build",), (BlocklistError,)),
    *(Target(f"list: {name}", _import(name), ("list",), (BlocklistError,)) for name in sorted(importers.FORMATS)),
)
