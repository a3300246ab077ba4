"""The demo web as data: `web.toml` -> sites, their pages, and what a lawful crawl makes of each URL.

Reads and checks; serves nothing and decides nothing. All faults of the file are reported together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.resources import files
from typing import Final, Literal, NamedTuple, Self
from zlib import crc32

import msgspec

#: What stands in a text for an absolute URL: `{news.example/story/1}`, or `{https://split.example/}` where one name
#: is served over both schemes.
_REFERENCE: Final = re.compile(r"\{((?:https?://)?[a-z0-9-]+(?:\.[a-z0-9-]+)*\.example(?:/[^\s{}]*)?)\}")
_FIELD: Final = re.compile(r"\{(n|next|far)\}")

#: How the crawl comes to know a URL. "nowhere": it must not, although a page mentions it.
Via = Literal["seed", "link", "sitemap", "redirect", "nowhere"]

#: How an answer misbehaves on the wire; `crawler.demo.wire` has one function for each.
Fault = Literal["bad-coding", "bomb", "break-off", "endless", "garbage", "never", "reset", "stall"]


class SituationError(ValueError):
    """The data file contradicts itself. The message lists every fault."""


class Ports(NamedTuple):
    """The one port of each scheme, the same for every host: part of every URL of the demo."""

    http: int = 8080
    https: int = 8443


class Reply(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One HTTP answer, byte for byte.

    Attributes:
        status: 304 and 204 are sent without a body.
        type: Content-Type; empty for none.
        headers: further header lines, in the case and order in which they are sent.
        title: of the HTML page that is made when `body` is None.
        text: its paragraphs; when empty, the prose of the web is dealt out by path.
        links: what it links to: "/path" on the same site or "name.example/path" on another.
        nofollow: the same, with rel=nofollow.
        meta: lines of its head element, as written.
        body: the whole entity in place of a page; asset: the same, a file of `assets/`.
        pad: octets of comment lines put where `body` says `{pad}`.
        charset: how text becomes octets; "utf-16" writes a byte order mark.
        coding: Content-Encoding that is applied.
        framing: how the end of the body is told.
        delay_s: the answer waits this long.
        early_hints: a 103 comes before the final head.
        fault: what goes wrong on the wire.
    """

    status: int = 200
    type: str = "text/html; charset=utf-8"
    headers: tuple[str, ...] = ()
    title: str = ""
    text: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    nofollow: tuple[str, ...] = ()
    meta: tuple[str, ...] = ()
    body: str | None = None
    asset: str = ""
    pad: int = 0
    charset: str = "utf-8"
    coding: Literal["", "gzip", "br", "zstd"] = ""
    framing: Literal["length", "chunked", "close"] = "length"
    delay_s: float = 0.0
    early_hints: bool = False
    fault: Fault | None = None


class File(Reply, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An answer that is looked at on the way and has no verdict to compare: robots.txt, tdmrep.json, a sitemap.

    `first`: what the first requests get instead, one each.
    """

    path: str
    first: tuple[Reply, ...] = ()


class Page(File, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A URL of the demo and what a lawful crawl makes of it.

    Attributes:
        expect: final verdict and reason ("refused robots.disallow"); "kept" alone is "kept policy.open".
        via: how the crawl comes to know it.
        before: attempts that are not final and must come first, in the same words.
        count: more than 1: that many pages; `{n}`, `{next}` and `{far}` in path, title and links are numbers.
    """

    expect: str = "kept"
    via: Via = "link"
    before: tuple[str, ...] = ()
    count: int = 1


class Site(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One host under one scheme: one situation.

    Attributes:
        why: the situation in one sentence.
        robots: text of a robots.txt that is simply there; None: a `file` says what is there, or nothing is.
        delay_s: every page of it waits this long.
        crawl_delay_s: least seconds between two pages, as its robots.txt asks.
        server: "wrong-certificate": TLS for another name; "nobody": the address exists, no one listens; "no-name":
            the name has no address.
    """

    host: str
    why: str
    scheme: Literal["http", "https"] = "http"
    robots: str | None = None
    delay_s: float = 0.0
    crawl_delay_s: float = 0.0
    server: Literal["", "wrong-certificate", "nobody", "no-name"] = ""
    file: tuple[File, ...] = ()
    page: tuple[Page, ...] = ()


class Outcome(NamedTuple):
    """Verdict and reason code of one attempt."""

    verdict: str
    reason: str

    @classmethod
    def of(cls, words: str) -> Self:
        """Read "refused robots.disallow", or "kept" for "kept policy.open"."""
        verdict, _, reason = words.partition(" ")
        return cls(verdict, reason or "policy.open")

    def __str__(self) -> str:
        return f"{self.verdict} {self.reason}"


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """What a finished crawl must have entered for one URL.

    Attributes:
        url: as the crawl is to ask for it.
        host: the site's name.
        why: the site's situation.
        via: how the crawl comes to know it; "nowhere": there must be no entry at all.
        outcome: of the one final entry; None with via "nowhere".
        before: outcomes that must stand among the entries that are not final.
    """

    url: str
    host: str
    why: str
    via: Via
    outcome: Outcome | None
    before: tuple[Outcome, ...] = ()

    @property
    def may_be_asked_for(self) -> bool:
        """False when a request for it, however it ends, is a trespass."""
        return self.outcome is not None and self.outcome.verdict != "refused"


class _Prose(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sentences: tuple[str, ...]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    prose: _Prose
    site: tuple[Site, ...]


class Web:
    """All sites of the demo, with absolute URLs filled in."""

    def __init__(self, sites: tuple[Site, ...], sentences: tuple[str, ...], ports: Ports) -> None:
        self.ports = ports
        self.sites = sites
        self._sentences = sentences
        self._scheme_of = {site.host: site.scheme for site in reversed(sites)}

    @classmethod
    def load(cls, ports: Ports = Ports(), text: str | None = None) -> Self:  # noqa: B008 - an immutable value
        """Read `web.toml`, or the text of another such file.

        Raises:
            SituationError: it is not of the form above, or contradicts itself; all faults are named.
        """
        source = text if text is not None else files("crawler.demo").joinpath("web.toml").read_text("utf-8")
        try:
            read = msgspec.toml.decode(source, type=_File)
        except msgspec.DecodeError as fault:
            raise SituationError(f"the demo's web.toml: {fault}") from fault
        web = cls(tuple(_spread(site) for site in read.site), read.prose.sentences, ports)
        if faults := list(web._faults()):
            raise SituationError("the demo's web.toml:\n" + "\n".join(f"- {fault}" for fault in faults))
        return web

    @property
    def named_hosts(self) -> tuple[str, ...]:
        """Every name that has an address, once, in the order of the file."""
        return tuple(dict.fromkeys(site.host for site in self.sites if site.server != "no-name"))

    @property
    def seeds(self) -> tuple[str, ...]:
        """URLs to start from."""
        return tuple(item.url for item in self.expected.values() if item.via == "seed")

    @cached_property
    def expected(self) -> Mapping[str, Expectation]:
        """What a finished crawl must have entered, by URL."""
        return {item.url: item for site in self.sites for item in self._expectations(site)}

    def url(self, reference: str, site: Site | None = None) -> str:
        """Absolute URL of "/path" on `site`, of "name.example/path", or of "scheme://name.example/path"."""
        if reference.startswith("/") and site is not None:
            reference = f"{site.scheme}://{site.host}{reference}"
        scheme, mark, rest = reference.rpartition("://")
        host, _, path = rest.partition("/")
        name = host.rpartition("@")[2]
        scheme = scheme if mark else self._scheme_of[name]
        return f"{scheme}://{host}:{getattr(self.ports, scheme)}/{path}"

    def fill(self, text: str) -> str:
        """`text` with every `{name.example/path}` as absolute URL."""
        return _REFERENCE.sub(lambda found: self.url(found[1] if "/" in found[1] else found[1] + "/"), text)

    def prose(self, key: str) -> tuple[str, ...]:
        """Three paragraphs that are always the same for `key`."""
        step = crc32(key.encode())
        count = len(self._sentences)
        deal = [self._sentences[(step + i * (1 + step % 7)) % count] for i in range(9)]
        return tuple(" ".join(deal[i : i + 3]) for i in (0, 3, 6))

    def _expectations(self, site: Site) -> Iterator[Expectation]:
        for page in site.page:
            outcome = None if page.via == "nowhere" else Outcome.of(page.expect)
            before = tuple(map(Outcome.of, page.before))
            url = self.url(page.path, site)
            yield Expectation(url=url, host=site.host, why=site.why, via=page.via, outcome=outcome, before=before)

    def _faults(self) -> Iterator[str]:
        seen: set[str] = set()
        known = {self.url(item.path, site) for site in self.sites for item in (*site.file, *site.page)}
        for site in self.sites:
            for item in (*site.file, *site.page):
                url = self.url(item.path, site)
                if url in seen:
                    yield f"{url}: stands there twice"
                seen.add(url)
                for target in (*item.links, *item.nofollow, *_locations(item)):
                    if self._unknown(target, site, known):
                        yield f"{url}: leads to {target}, which no site has"

    def _unknown(self, target: str, site: Site, known: set[str]) -> bool:
        try:
            return self.url(target, site).partition("#")[0] not in known
        except KeyError:
            return True


def _locations(reply: Reply) -> Iterator[str]:
    """Where a redirect leads, in the words of `links`."""
    for line in reply.headers:
        name, _, value = line.partition(":")
        if name.lower() == "location":
            yield value.strip().strip("{}")


def _spread(site: Site) -> Site:
    """The site with its robots.txt as a file and its numbered pages written out."""
    robots = () if site.robots is None else (File(path="/robots.txt", type="text/plain", body=site.robots),)
    pages = tuple(one for page in site.page for one in _numbered(page))
    return msgspec.structs.replace(site, file=(*robots, *site.file), page=pages)


def _numbered(page: Page) -> Iterator[Page]:
    if page.count == 1:
        yield page
        return
    for n in range(1, page.count + 1):
        numbers = {"n": n, "next": n % page.count + 1, "far": n * 7 % page.count + 1}
        yield msgspec.structs.replace(
            page,
            count=1,
            path=_put(page.path, numbers),
            title=_put(page.title, numbers),
            links=tuple(_put(link, numbers) for link in page.links),
        )


def _put(text: str, numbers: Mapping[str, int]) -> str:
    return _FIELD.sub(lambda found: str(numbers[found[1]]), text)
