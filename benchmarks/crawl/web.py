"""The local web: which pages there are, where they stand, what they link to. Says nothing about who asks.

Page `p` stands on host `p % 200` (or on fewer hosts, where a benchmark wants that). Every page is 17 KB, or about 7 KB
as gzip, and no two are the same: a page is a head with its own number before one of at most 2000 bodies. One cycle in
random order goes through all pages, so that every page can be reached from any; the other links of a page are drawn
by lot.
"""

from __future__ import annotations

import random
import struct
import zlib
from typing import Final

import msgspec

HOSTS: Final = 200
LINKS: Final = 50
BODIES: Final = 2000
PAGE_BYTES: Final = 17_000
HTTP: Final = 80

ROBOTS_TXT: Final = b"""\
# All of this web may be crawled.
User-agent: SomeOtherBot
Disallow: /

User-agent: *
Disallow: /cgi-bin/
Disallow: /search
Allow: /
"""

_HEAD: Final = (
    '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Page {:07} of the benchmark</title>\n'
    '<meta name="description" content="A page like many"><meta name="robots" content="index, follow">\n'
)
_HEAD_BYTES: Final = len(_HEAD.format(0))
_GZIP_HEAD: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"


class Page(msgspec.Struct, frozen=True):
    """One page as it goes over the wire, after the head of the answer."""

    identity: bytes
    gzip: bytes


class Web:
    """A web of `size` pages.

    Args:
        size: number of pages, at least one a host.
        port: where all hosts listen.
        named: whether links name hosts by name, or by address; both are equally long.
        hosts: on how many hosts the pages stand.
    """

    def __init__(self, size: int, port: int, *, named: bool, hosts: int = HOSTS) -> None:
        if not hosts <= size <= BODIES * LINKS:
            raise ValueError(f"a web of {size} pages: give a number from {hosts} to {BODIES * LINKS}")
        self.size, self.named, self.hosts = size, named, hosts
        self._port = "" if port == HTTP else f":{port}"
        self._count = min(size, BODIES)
        self._bodies: list[tuple[bytes, bytes]] = []

    def url(self, page: int) -> str:
        """Where a page stands."""
        host = page % self.hosts
        return f"http://{name(host) if self.named else address(host)}{self._port}/articles/{page:07}"

    @property
    def seed(self) -> str:
        """Where everybody starts."""
        return self.url(0)

    def build(self) -> None:
        """Makes the bodies: the server does, before anybody asks."""
        dice = random.Random(9309)
        words = ["".join(dice.choices("etaoinshrdlucm", k=dice.randint(2, 9))) for _ in range(700)]
        cycle = list(range(self.size))
        dice.shuffle(cycle)
        self._next = dict(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
        self._bodies = [self._body(number, dice, words) for number in range(self._count)]

    def _targets(self, body: int, dice: random.Random) -> list[int]:
        """Pages that a body links to: what follows in the cycle on the pages that have this body, the rest by lot."""
        targets = dict.fromkeys(self._next[page] for page in range(body, self.size, self._count))
        while len(targets) < LINKS:
            targets[dice.randrange(self.size)] = None
        return list(targets)

    def _body(self, number: int, dice: random.Random, words: list[str]) -> tuple[bytes, bytes]:
        parts = ['</head><body><nav><a href="#content">To the text</a></nav><main id="content">\n']
        for target in self._targets(number, dice):
            text = " ".join(dice.choices(words, k=30))
            parts.append(f'<p class="t{target % 7}">{text} <a href="{self.url(target)}">{dice.choice(words)}</a></p>\n')
        tail = "</main></body></html>\n"
        room = PAGE_BYTES - _HEAD_BYTES - len(tail)
        text = "".join(parts)
        while len(text) < room:
            text += f"<p>{' '.join(dice.choices(words, k=12))}</p>\n"
        body = (text[: text.rindex(" ", 0, room - 5)] + "</p>\n").ljust(room) + tail
        raw = zlib.compressobj(6, wbits=-15)
        return body.encode(), raw.compress(body.encode()) + raw.flush()

    def page(self, number: int) -> Page:
        """One page. As gzip, its own head is a stored block before the body's blocks, so that nothing is compressed."""
        body, deflated = self._bodies[number % self._count]
        head = _HEAD.format(number).encode()
        stored = struct.pack("<BHH", 0, len(head), len(head) ^ 0xFFFF) + head
        trailer = struct.pack("<II", zlib.crc32(body, zlib.crc32(head)), len(head) + len(body))
        return Page(head + body, _GZIP_HEAD + stored + deflated + trailer)


def name(host: int) -> str:
    """A host's name; nobody but a crawler that is told can resolve it."""
    return f"h{host:03}.example"


def address(host: int) -> str:
    """A host's loopback address."""
    return f"127.77.{1 + host // 100}.{100 + host % 100}"
