"""The leaves of the decision log: what one line says, field by field. Decides nothing, reads and writes no file.

Integers, texts and truth values only, no fractions. `lines` turns an entry into its line and back;
docs/log-format.md describes the same fields for people who write another reader.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

import msgspec

from reservations.model import Category, Signal, Value, Verdict

VERSION: Final = 1
"""Version of this schema, in every entry's `v`."""


class Pointer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where one WARC record lies and what it holds. Digest and record id are the authority, offsets a convenience.

    Attributes:
        f: file, relative to the output folder, for example "warc/knockfirst-20261122-00000.warc.gz".
        o: offset of the record's gzip member in the file.
        l: stored length of the member.
        id: WARC-Record-ID without the angle brackets ("urn:uuid:...").
        type: WARC-Type.
        d: digest of the record's block, "sha256:<hex>".
        pd: digest of the payload inside the block, "sha256:<hex>", where the record has one.
    """

    f: str
    o: int
    l: int  # noqa: E741
    id: str
    type: str
    d: str
    pd: str | None = None


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One source of the blocklist in force.

    Attributes:
        id: the source's name in the build.
        date: day of the source's own edition, ISO 8601.
        country: country or "EU" whose authority speaks.
    """

    id: str
    date: str
    country: str = ""


class Weaker(msgspec.Struct, frozen=True, kw_only=True):
    """One rule in force that is weaker than the shipped floor, and who answers for it.

    Attributes:
        rule: what was weakened.
        approver: the person who approved it.
        reason: why.
    """

    rule: str
    approver: str
    reason: str


class LoggedHop(msgspec.Struct, frozen=True, kw_only=True):
    """One redirect on the way to a document or page. Secrets in URLs are masked as in an entry's `url`.

    Attributes:
        url: the URL that redirected.
        st: its status.
        to: the absolute URL it named.
    """

    url: str
    st: int
    to: str


class LoggedSignal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One statement that was seen, deciding or not.

    Attributes:
        p: id of the protocol file.
        reason: the reason code the statement gives when it decides.
        carrier: what it stood on ("robots_txt", "http_field", ...).
        src: where it was read: key of a document ("/robots.txt"), "head", "body" or "url".
        loc: place in the source: line number, header name, element.
        rule: the statement's own text, at most 256 characters.
        strict: value per category by the letter.
        effective: value per category after careful handling.
        vendor: value per category that binds in profile `strict` only.
        to: whom it addresses: "all" (default), "us", "others".
        issues: what was odd about it.
        cond: what a conditional asks for.
        ev: `seq` of the evidence entry it was read from; absent when it stands in this entry's own records.
    """

    p: str
    reason: str
    carrier: str
    src: str
    loc: str = ""
    rule: str = ""
    strict: dict[Category, Value] = {}
    effective: dict[Category, Value] = {}
    vendor: dict[Category, Value] = {}
    to: str = "all"
    issues: tuple[str, ...] = ()
    cond: tuple[str, ...] = ()
    ev: int | None = None

    @classmethod
    def of(cls, signal: Signal, *, ev: int | None = None) -> LoggedSignal:
        """The core's signal as the log writes it, with the entry of the document it came from."""
        return cls(
            p=signal.protocol,
            reason=signal.reason,
            carrier=signal.carrier,
            src=signal.source,
            loc=signal.locator,
            rule=signal.excerpt,
            strict=signal.strict,
            effective=signal.effective,
            vendor=signal.vendor,
            to=signal.addressed_to,
            issues=signal.issues,
            cond=signal.conditions,
            ev=ev,
        )

    def signal(self) -> Signal:
        """The core's signal again, for replay and for sentences."""
        return Signal(
            protocol=self.p,
            reason=self.reason,
            carrier=self.carrier,
            source=self.src,
            locator=self.loc,
            excerpt=self.rule,
            strict=self.strict,
            effective=self.effective,
            vendor=self.vendor,
            addressed_to=self.to,
            issues=self.issues,
            conditions=self.cond,
        )


class Http(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The exchange with the resource itself, in figures.

    Attributes:
        st: status.
        ct: media type as declared.
        len: octets of the block after the head, as transferred; 0 when it was not read.
        ip: address connected to.
        ver: HTTP version, "1.1".
        tls: TLS version and cipher, empty without TLS.
        trunc: why the body ends early, in WARC-Truncated's words; empty when it is whole.
    """

    st: int
    ct: str = ""
    len: int = 0
    ip: str = ""
    ver: str = ""
    tls: str = ""
    trunc: str = ""


class _Leaf(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="t"):
    """What every entry begins with.

    Attributes:
        v: version of the schema (`VERSION`).
        seq: index of the entry in this log, equal to its leaf index.
        n: 128 random bits, base64url without padding, so that a leaf's hash cannot be guessed from a URL.
        ts: when the entry was made, RFC 3339 with milliseconds, UTC.
        run: id of the crawl; a restart continues under the same id and enters another `run` leaf.
        cut: fields shortened to fit a line, with the number of elements left out (0: texts shortened only).
    """

    v: int
    seq: int
    n: str
    ts: str
    run: str
    cut: dict[str, int] = {}


class RunEntry(_Leaf, frozen=True, kw_only=True, tag="run"):
    """A process began to write: who crawls, with what, for what.

    Attributes:
        origin: the log's origin, as in its checkpoints.
        worker: id of this output folder among those of the crawl.
        software: name and version.
        code: digest of the installed code of the four packages.
        operator: who answers for the crawl.
        contact: where to reach them.
        agent: the User-Agent field as sent.
        token: the product token matched in robots.txt.
        purposes: declared purposes.
        spider: name of the spider.
        shared: whether other workers may have crawled on the same frontier, each with a log of its own.
        seeds: digest of the seeds.
        settings: settings that matter for what is asked for and kept, as text.
        settings_d: digest of the settings in effect.
        resolve: KNOCKFIRST_RESOLVE, when set: names that were pinned to addresses.
        private: whether private addresses were allowed.
        key: verifier line of the log's key (signed-note vkey).
        no_blocklist: the operator's sentence why no list is in force, when none is.
        resumed: whether an earlier process of this crawl had written before.
    """

    origin: str
    worker: str = ""
    software: str
    code: str
    operator: str
    contact: str
    agent: str
    token: str
    purposes: tuple[Category, ...]
    spider: str
    shared: bool = False
    seeds: str = ""
    settings: dict[str, str] = {}
    settings_d: str = ""
    resolve: str = ""
    private: bool = False
    key: str = ""
    no_blocklist: str = ""
    resumed: bool = False


class ConfigEntry(_Leaf, frozen=True, kw_only=True, tag="config"):
    """The rules in force from here on.

    Attributes:
        rules: digest over all of them.
        policy: digest of the policy.
        policy_name: name and version of the policy.
        protocols: digest of the protocol files.
        blocklist: digest of the compiled list; empty when none is in force.
        blocklist_version: its version.
        sources: its sources with their dates.
        psl: digest of the public suffix list.
        weaker: rules weaker than the shipped floor, each with its approver.
    """

    rules: str
    policy: str
    policy_name: str
    protocols: str
    blocklist: str = ""
    blocklist_version: str = ""
    sources: tuple[Source, ...] = ()
    psl: str = ""
    weaker: tuple[Weaker, ...] = ()


class Sites(msgspec.Struct, frozen=True, kw_only=True):
    """The second tree over a log: its entries that name a URL, sorted by hashed site and URL (`provenance.sites`).

    Attributes:
        salt: what sites and URLs are hashed with: the nonce of the log's first entry.
        size: leaves of the tree.
        root: its root, "sha256:<hex>".
    """

    salt: str
    size: int
    root: str


class EvidenceEntry(_Leaf, frozen=True, kw_only=True, tag="evidence"):
    """A document that was asked for before a decision (robots.txt, tdmrep.json, ...), answered or not.

    Attributes:
        key: its key in the facts: a path of the authority, or an absolute URL.
        url: the URL asked for.
        authority: the origin it speaks for, "https://host".
        site: registrable domain of the authority.
        outcome: one word or status for people and for `consulted` ("200", "404", "timeout", ...).
        st: final status; absent when there was no HTTP answer.
        failure: why there was none, or why the body is missing.
        redirects: hops, oldest first.
        fetched: when it was fetched, milliseconds since 1970-01-01 UTC.
        expires: until when it is used, same unit.
        tries: attempts made.
        truncated: whether the entity was cut at the document's limit.
        d: digest of the bytes as parsed, "sha256:<hex>"; empty without a body.
        len: number of those bytes.
        warc: records of the exchange, in evidence/.
        taken: where another worker of the crawl entered it when it was asked for, "<worker>#<seq>": the records are
            copies of those there under other ids. Empty when this worker asked.
    """

    key: str
    url: str
    authority: str
    site: str = ""
    outcome: str
    st: int | None = None
    failure: str = ""
    redirects: tuple[LoggedHop, ...] = ()
    fetched: int
    expires: int
    tries: int = 1
    truncated: bool = False
    d: str = ""
    len: int = 0
    warc: tuple[Pointer, ...] = ()
    taken: str = ""


class DecisionEntry(_Leaf, frozen=True, kw_only=True, tag="decision"):
    """What became of one attempt at one URL, and why.

    Attributes:
        url: the URL exactly as asked for.
        masked: whether secrets in `url` were replaced by a keyed digest.
        surt: SURT form of the URL.
        site: registrable domain.
        via: how it was found: "seed", "sitemap", "link", "redirect", or "filter".
        src: `seq` of the decision on the page that named it, when known.
        src_log: the worker of the crawl in whose log that is; empty when it is this log.
        hops: the redirects that led here, oldest first, when the decisions on them stand in another log.
        depth: links followed from a seed.
        lease: the frontier's id of this attempt.
        attempt: 1 for the first try of this URL.
        final: whether this is the last word on the URL in this run.
        supersedes: `seq` of an earlier final entry on the same URL that this one replaces.
        verdict: what became of it.
        reason: the deciding reason code.
        gate: the step that decided.
        failure: how the exchange broke, when it did.
        at: when the attempt began, milliseconds since 1970-01-01 UTC: dates in rules are read as of then.
        agent: product token that was matched.
        purposes: purposes declared.
        open: those still open at the end.
        strict: combined value per category by the letter.
        effective: combined value per category after careful handling.
        signals: every statement seen.
        consulted: per document or carrier looked at, `seq` of its evidence, or what came of it in a word.
        read_as: what came of a document, in a word, where that is not the outcome of its evidence ("soft-404").
        config: `seq` of the config entry in force.
        target: where a redirect led, secrets masked as in `url`.
        wait: seconds that the host asked us to wait.
        http: the exchange in figures, when a head arrived.
        warc: records of the exchange, each in warc/ or evidence/.
        d: digest of the body read and not stored, "sha256:<hex>".
        t_req: when the request was sent, milliseconds since 1970-01-01 UTC.
        t_resp: when the head was there, same unit.
    """

    url: str
    masked: bool = False
    surt: str = ""
    site: str = ""
    via: str
    src: int | None = None
    src_log: str = ""
    hops: tuple[LoggedHop, ...] = ()
    depth: int = 0
    lease: int
    attempt: int = 1
    final: bool = False
    supersedes: int | None = None
    verdict: Verdict
    reason: str
    gate: str
    failure: str = ""
    at: int = 0
    agent: str
    purposes: tuple[Category, ...]
    open: tuple[Category, ...] = ()
    strict: dict[Category, Value] = {}
    effective: dict[Category, Value] = {}
    signals: tuple[LoggedSignal, ...] = ()
    consulted: dict[str, int | str] = {}
    read_as: dict[str, str] = {}
    config: int
    target: str = ""
    wait: int = 0
    http: Http | None = None
    warc: tuple[Pointer, ...] = ()
    d: str = ""
    t_req: int | None = None
    t_resp: int | None = None


class RedecisionEntry(_Leaf, frozen=True, kw_only=True, tag="redecision"):
    """A complaint, a new list or a late reservation changed the status of an earlier decision.

    Attributes:
        of: `seq` of the decision concerned.
        url: its URL; empty when its text was erased.
        site: registrable domain of the URL.
        verdict: what holds from now on.
        reason: the reason code.
        why: the cause in words, without personal data.
        config: `seq` of the config entry in force.
        erased: ids of the records whose bytes were erased.
        was: the verdict of the entry whose text was erased; absent while it stands.
        was_final: whether that entry was the last word on its URL.
    """

    of: int
    url: str
    site: str = ""
    verdict: Verdict
    reason: str
    why: str
    config: int
    erased: tuple[str, ...] = ()
    was: Verdict | None = None
    was_final: bool = False


class FileEntry(_Leaf, frozen=True, kw_only=True, tag="file"):
    """A WARC file is finished, and changes no more but when records in it are erased; then it is entered again.

    Pointers prove the records that matter; this proves every byte of the file, WARC headers included.

    Attributes:
        f: file, relative to the output folder.
        size: octets.
        d: digest of the whole file as stored, "sha256:<hex>".
        gone: why the file was removed (its retention period has passed); empty while it is there.
    """

    f: str
    size: int
    d: str
    gone: str = ""


class SealEntry(_Leaf, frozen=True, kw_only=True, tag="seal"):
    """A process stopped writing and says how.

    Attributes:
        end: "finished" (nothing was left to do), "stopped" (by wish, work left), "crashed" (entered afterwards).
        counts: decisions by verdict, all of this run, earlier processes' too.
        finals: final decisions by verdict, superseded ones left out, likewise.
        counted: what is counted and not entered (duplicates, out of scope, nofollow, over budget).
        files: number of `file` entries in this log.
        sites: the second tree over all entries before this one.
    """

    end: Literal["finished", "stopped", "crashed"]
    counts: dict[Verdict, int] = {}
    finals: dict[Verdict, int] = {}
    counted: dict[str, int] = {}
    files: int = 0
    sites: Sites | None = None


class KeyEntry(_Leaf, frozen=True, kw_only=True, tag="key"):
    """The log is signed by another key from here on. The old key vouches for it: it signs the checkpoint over this.

    Attributes:
        key: verifier line of the new key.
        why: the cause, in words.
    """

    key: str
    why: str = ""


class ManifestEntry(_Leaf, frozen=True, kw_only=True, tag="manifest"):
    """In a run log, which holds nothing else: what all workers of a crawl had signed when it was made.

    Attributes:
        f: the manifest's file, relative to the run log's output folder.
        size: octets.
        d: digest of the file, "sha256:<hex>".
        workers: number of logs it lists.
    """

    f: str
    size: int
    d: str
    workers: int


Entry: TypeAlias = (
    RunEntry
    | ConfigEntry
    | EvidenceEntry
    | DecisionEntry
    | RedecisionEntry
    | FileEntry
    | SealEntry
    | KeyEntry
    | ManifestEntry
)


def new_nonce() -> str:
    """128 random bits as 22 characters of base64url."""
    return secrets.token_urlsafe(16)


def timestamp(ms: int) -> str:
    """Milliseconds since 1970-01-01 UTC as RFC 3339 with milliseconds.

    >>> timestamp(1795420800123)
    '2026-11-23T08:00:00.123Z'
    """
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
