"""The values of the core: what is known of a URL (Facts), what was said (Signal), what follows (Decision).

All are frozen. Tuples and sorted mappings only, no floats: the same facts and rules must give the same canonical
Decision, byte for byte (`canonical`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec


class Category(StrEnum):
    """A use that a statement can permit or refuse. The tree is in `PARENT`."""

    CRAWL = "crawl"
    TDM = "tdm"
    AI_TRAIN = "ai-train"
    GENAI_TRAIN = "genai-train"
    AI_INPUT = "ai-input"
    AI_INDEX = "ai-index"
    SEARCH = "search"
    ARCHIVE = "archive"


#: A closed parent closes the child; nothing else is inherited, and nothing upward.
PARENT: Final[Mapping[Category, Category]] = {
    Category.TDM: Category.CRAWL,
    Category.AI_TRAIN: Category.TDM,
    Category.GENAI_TRAIN: Category.AI_TRAIN,
    Category.AI_INPUT: Category.TDM,
    Category.AI_INDEX: Category.TDM,
    Category.SEARCH: Category.CRAWL,
    Category.ARCHIVE: Category.CRAWL,
}


class Value(StrEnum):
    """What one statement, or all together, say of one category. Ordered by `RESTRICTIVENESS`."""

    DENY = "deny"
    CONDITIONAL = "conditional"
    UNDETERMINABLE = "undeterminable"
    ALLOW = "allow"
    UNSET = "unset"


#: The most restrictive value wins across protocols: the smallest number here.
RESTRICTIVENESS: Final[Mapping[Value, int]] = {value: rank for rank, value in enumerate(Value)}


class Verdict(StrEnum):
    """What became of one attempt at a URL."""

    KEPT = "kept"
    UNCHANGED = "unchanged"
    REDIRECTED = "redirected"
    REFUSED = "refused"
    ABORTED = "aborted"
    DISCARDED = "discarded"
    HELD = "held"
    ABSENT = "absent"
    FAILED = "failed"
    DEFERRED = "deferred"


class Header(msgspec.Struct, frozen=True, array_like=True):
    """One header line, octets read as Latin-1, in the sender's case and order."""

    name: str
    value: str


class Hop(msgspec.Struct, frozen=True, array_like=True):
    """One redirect: the URL that redirected, its status, the absolute URL it named."""

    url: str
    status: int
    location: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back for one document that we asked for (robots.txt, tdmrep.json, a licence).

    `status` is None when there was no HTTP answer at all; `failure` then names why, in the words of `transfer.*`
    reason codes ("timeout", "reset", "dns", "tls", "incomplete", "too-large", "inflation", "protocol"), or
    "too-many-redirects", "blocklisted", "address", "robots" (its own robots.txt forbids us).
    A failure may stand beside a status when the head arrived and the body did not.
    `body` is the entity after content codings were removed, cut at the document's limit (`truncated`).
    """

    url: str
    status: int | None = None
    headers: tuple[Header, ...] = ()
    body: bytes = b""
    failure: str | None = None
    redirects: tuple[Hop, ...] = ()
    truncated: bool = False
    tries: int = 1
    fetched_at: int = 0
    """Milliseconds since 1970-01-01 UTC."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Status line and header section of the resource itself."""

    status: int
    headers: tuple[Header, ...] = ()


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of one attempt at one URL. Grows from step to step; nothing else enters a decision.

    Attributes:
        url: the absolute URL exactly as it is asked for.
        documents: answers by key: the path for a document of the URL's own origin ("/robots.txt"), the absolute
            URL for one elsewhere; with "#legal" behind it for a page of the site's own terms, with "#terms" for one of
            a licence's.
        head: None before the request; the final (not 1xx) head after it.
        body: None while not read; the entity after content codings were removed.
        failure: why the exchange with the resource broke ("timeout", "reset", ... as in `Answer`), else None.
        attempt: 1 for the first try of this URL in this run.
        referrer: URL of the page that embeds this one as a medium, else None.
        redirected_from: the hops that led here, oldest first.
        media_type: declared by the caller when no head says it (files on disk, vectors); else None.
        repeats: WARC-Record-ID of an earlier record of this crawl with the identical payload, else None.
        at: when the attempt began, in milliseconds since 1970-01-01 UTC: dates in rules are read as of then.
    """

    url: str
    documents: Mapping[str, Answer] = {}
    head: Head | None = None
    body: bytes | None = None
    failure: str | None = None
    attempt: int = 1
    referrer: str | None = None
    redirected_from: tuple[Hop, ...] = ()
    media_type: str | None = None
    repeats: str | None = None
    at: int = 0


class Signal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One statement found by one protocol on one carrier.

    Attributes:
        protocol: id of the protocol file, for example "tdmrep".
        reason: stable reason code that this statement gives when it decides, for example "tdmrep.reserved".
        carrier: where it stood: "robots_txt", "well_known", "http_field", "html_meta", "status", ...
        source: key of the answer it was read from ("/robots.txt", ...), or "head", "body", "url".
        locator: line number ("line 12"), header name, element: enough to find it again in the source.
        excerpt: the statement's own text, at most 256 characters, controls replaced.
        strict: value per category by the letter of the specification.
        effective: value per category after careful handling (rulings.md): what decides in `standard`.
        vendor: value per category that binds in profile `strict` only (a cell `b` of the matrix).
        addressed_to: "all", "us" or "others".
        issues: stable words for what was odd ("case", "value", "missing-colon", ...).
        conditions: what a `conditional` asks for, in words or as a URL.
    """

    protocol: str
    reason: str
    carrier: str
    source: str
    locator: str = ""
    excerpt: str = ""
    strict: dict[Category, Value] = {}
    effective: dict[Category, Value] = {}
    vendor: dict[Category, Value] = {}
    addressed_to: str = "all"
    issues: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What follows from the facts for one attempt at one URL.

    Attributes:
        verdict: what is to become of it.
        reason: the deciding reason code; "policy.open" for `kept`.
        gate: the step that decided: "url", "blocklist", "origin", "head", "body", "transfer".
        strict: combined value per category by the letter.
        effective: combined value per category after careful handling; categories without a statement are left out.
        open: the declared purposes that are still open, in the policy's order.
        signals: every statement seen, deciding or not, in canonical order.
        consulted: outcome per document and carrier looked at ("/robots.txt": "200", "/ai.txt": "404", ...).
        retry_after_s: for `deferred` only: the seconds the host asked us to wait, 0 when it named none.
        location: for `redirected` only: the absolute URL of the target.
    """

    verdict: Verdict
    reason: str
    gate: str
    strict: dict[Category, Value] = {}
    effective: dict[Category, Value] = {}
    open: tuple[Category, ...] = ()
    signals: tuple[Signal, ...] = ()
    consulted: dict[str, str] = {}
    retry_after_s: int = 0
    location: str | None = None


class Want(StrEnum):
    """What is missing before a decision can be made."""

    DOCUMENT = "document"
    HEAD = "head"
    BODY = "body"


class Wants(msgspec.Struct, frozen=True, kw_only=True):
    """The next thing the caller must fetch and add to the facts, or report as failed.

    `key` is where the answer belongs in `Facts.documents`; `url` the absolute URL to ask for; `why` the protocol
    that wants it; `max_bytes` the cap on the decoded entity; `accept` the media types to name in the request.
    `beside` are further documents that are wanted in the same visit: whoever asks for this one asks for all of them,
    and adds all answers to the facts before it comes back.
    """

    what: Want
    url: str
    key: str = ""
    why: str = ""
    max_bytes: int = 0
    max_redirects: int = 5
    accept: str = "*/*"
    beside: tuple[Wants, ...] = ()


_CANONICAL: Final = msgspec.json.Encoder(order="sorted")


def canonical(value: msgspec.Struct) -> bytes:
    """The one spelling of a value as JSON: keys sorted, no white space. Equal values give equal bytes."""
    return _CANONICAL.encode(value)
