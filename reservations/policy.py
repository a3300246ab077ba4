"""An operator's policy file: which uses are declared, how careful to be, and within which bounds to ask.

What weakens the shipped floor (a softer profile, a narrower reading of product tokens) needs a named approver and a
reason in the same file (CoP Copyright 1.1); the weakened settings are reported wherever the policy is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal

import msgspec

from reservations.datafile import Day, DefinitionError, Path, Source
from reservations.model import Category
from reservations.urls import UrlError, origin_of, request_target

Count = Annotated[int, msgspec.Meta(ge=1)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]


_ORIGIN: Final = r"^https?://(\*\.)?[a-z0-9.-]+(:[0-9]+)?(/\S*)?$"
_FIRST_HIGH_PORT: Final = 1024
_MEDIA_TYPE: Final = re.compile(r"(\*|[a-z0-9.+-]+)/(\*|[a-z0-9.+-]+)")
_WEAK: Final[Mapping[str, str]] = {
    "letter": "profile 'letter' ignores refusals that are plain but malformed",
    "own": "tokens 'own' ignores refusals addressed to training crawlers as a class",
}


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Common options of all tables in a policy file."""


class Approval(_Table, frozen=True, kw_only=True):
    """Who allowed a setting that is weaker than the shipped floor, when, and why."""

    setting: Literal["profile", "tokens", "teasers", "metered"]
    approver: Annotated[str, msgspec.Meta(min_length=1)]
    reason: Annotated[str, msgspec.Meta(min_length=10)]
    date: Day


class Licence(_Table, frozen=True, kw_only=True):
    """A licence that the operator holds: it lifts, for its purposes, what sites refuse in protocols that allow for it.

    It lifts nothing else: no refusal to crawl, no restriction of access, no entry of a blocklist.

    Attributes:
        id: name in logs and reports.
        origins: "https://host", "https://*.host" for a host and all below it, or either with a path in front of which
            nothing stands ("https://host/section/").
        purposes: the uses that it covers.
        since, until: first and last day on which a page may be fetched under it.
        conditions: what it asks of us, in words.
        evidence: where the contract can be found, for auditors.
    """

    id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]+$")]
    origins: Annotated[tuple[Annotated[str, msgspec.Meta(pattern=_ORIGIN)], ...], msgspec.Meta(min_length=1)]
    purposes: Annotated[tuple[Category, ...], msgspec.Meta(min_length=1)]
    since: Day
    until: Day
    conditions: tuple[str, ...] = ()
    evidence: Annotated[str, msgspec.Meta(min_length=1)]

    def covers(self, url: str, on: str) -> bool:
        """Whether a URL may be fetched under it on a day."""
        return self.since <= on <= self.until and any(_covers(origin, url) for origin in self.origins)


def _covers(origin: str, url: str) -> bool:
    scheme, _, rest = origin.partition("://")
    host, slash, path = rest.partition("/")
    try:
        there = origin_of(url)
    except UrlError:
        return False
    wild = host.startswith("*.")
    bare = host.removeprefix("*.")
    same = there.authority == bare or (wild and there.authority.endswith("." + bare))
    return there.scheme == scheme and same and request_target(url).decode("ascii").startswith(slash + path)


class Limits(_Table, frozen=True, kw_only=True):
    """Bounds on one exchange.

    Attributes:
        page_bytes: cap on a decoded entity; head_bytes: on status line and header section.
        inflation: decoded octets per octet transferred, beyond the first MiB.
        connect_s, head_s, body_s: seconds for connecting, until the head is there, for the whole exchange.
        redirects: hops followed for a document of an origin.
    """

    page_bytes: Count = 16_777_216
    head_bytes: Count = 65_536
    inflation: Count = 100
    connect_s: Count = 15
    head_s: Count = 30
    body_s: Count = 180
    redirects: Annotated[int, msgspec.Meta(ge=5, le=5)] = 5


class Retention(_Table, frozen=True, kw_only=True):
    """How many days each kind of output may be kept (CDSM Art. 4(2)); `log_days` is at least as long as the data's."""

    warc_days: Count = 365
    evidence_days: Count = 1095
    log_days: Count = 1095
    reports_days: Count = 1095


class Policy(_Table, frozen=True, kw_only=True):
    """One policy file.

    Attributes:
        profile: "strict", "standard" or "letter": which values decide, and what the undeterminable means.
        tokens: whose rules in robots.txt bind besides our own: "own", "class" or "any".
        teasers: of a page that declares a part of itself closed and says which, the words outside of it are kept.
        metered: pages are kept though they count how many of them a visitor may read for nothing.
        purposes: the declared uses; a page is asked for while one of them is open.
        tries: how often a passing failure is tried before it is final.
        ports: ports asked besides those of `high_ports`; high_ports: 1024 and above too.
        licences: what the operator may use though sites refuse it.
        media_types: what is asked for and kept: "type/subtype", "type/*", or "" for a head without Content-Type.
        secret_keys: names of query parameters that carry secrets; a URL with one is never asked for.
        country: establishment of the operator, ISO 3166-1 alpha-2.
        users: classes of user that we are to licensors; gives_attribution: whether the use names its sources.
        digest: "sha256:..." of the file's text; set when it is read.
    """

    name: str
    version: str
    date: Day
    profile: Literal["strict", "standard", "letter"] = "standard"
    tokens: Literal["own", "class", "any"] = "class"
    teasers: bool = False
    metered: bool = False
    purposes: Annotated[tuple[Category, ...], msgspec.Meta(min_length=1)] = (Category.GENAI_TRAIN,)
    tries: Annotated[int, msgspec.Meta(ge=1, le=10)] = 3
    ports: tuple[Port, ...] = (80, 443)
    high_ports: bool = True
    media_types: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    secret_keys: tuple[str, ...] = ()
    country: Annotated[str, msgspec.Meta(pattern=r"^([A-Z]{2})?$")] = ""
    users: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("commercial",)
    gives_attribution: bool = False
    limits: Limits = Limits()
    retention: Retention = Retention()
    licences: tuple[Licence, ...] = ()
    approvals: tuple[Approval, ...] = ()
    digest: str = ""

    @classmethod
    def from_toml(cls, text: str, *, file: str) -> Policy:
        """Reads a policy; raises DefinitionError with all faults of the file."""
        source = Source(text, file)
        policy = source.read(cls)
        faults = [source.fault(path, problem) for path, problem in _contradictions(policy)]
        if faults:
            raise DefinitionError(faults)
        return msgspec.structs.replace(policy, digest="sha256:" + hashlib.sha256(text.encode()).hexdigest())

    @property
    def weakened(self) -> tuple[Approval, ...]:
        """The approvals of the settings that are weaker than the shipped floor."""
        weak = dict(_weak(self))
        return tuple(approval for approval in self.approvals if approval.setting in weak)

    def licences_for(self, url: str, on: str) -> tuple[Licence, ...]:
        """The licences under which a URL may be fetched on a day (YYYY-MM-DD)."""
        return tuple(licence for licence in self.licences if licence.covers(url, on))

    def allows_port(self, port: int) -> bool:
        """Whether a URL with this effective port may be asked for."""
        return port in self.ports or (self.high_ports and port >= _FIRST_HIGH_PORT)

    def wants_media_type(self, media_type: str) -> bool:
        """Whether a body of this type is asked for; an absent type is, for the body itself will tell."""
        major = media_type.partition("/")[0]
        return not media_type or any(item in (media_type, f"{major}/*", "*/*") for item in self.media_types)


def _weak(policy: Policy) -> Iterator[tuple[str, str]]:
    """Settings weaker than the floor, each with what is lost."""
    for setting, value in (("profile", policy.profile), ("tokens", policy.tokens)):
        if value in _WEAK:
            yield setting, _WEAK[value]
    if policy.teasers:
        yield "teasers", "teasers are kept of pages that declare a part of themselves closed"
    if policy.metered:
        yield "metered", "pages that count free visits are kept, though who keeps no cookies is always on the first"


def _contradictions(policy: Policy) -> Iterator[tuple[Path, str]]:
    """What the types cannot say."""
    if policy.digest:
        yield ("digest",), "unknown key; the digest is computed"
    approved = {approval.setting for approval in policy.approvals}
    for setting, loss in _weak(policy):
        if setting not in approved:
            yield (setting,), f'{loss}: needs [[approvals]] with setting = "{setting}", approver, reason and date'
    for index, media_type in enumerate(policy.media_types):
        if not _MEDIA_TYPE.fullmatch(media_type):
            yield ("media_types", index), 'must be "type/subtype", "type/*" or "*/*", in lower case'
    for index, key in enumerate(policy.secret_keys):
        if key != key.lower():
            yield ("secret_keys", index), "must be in lower case; names of queries are compared without regard to case"
    for at in range(len(policy.licences)):
        yield from ((("licences", at, key), problem) for key, problem in _licence_faults(policy, at))
    if policy.retention.log_days < policy.retention.warc_days:
        yield ("retention", "log_days"), "must be at least warc_days: log entries are kept as long as the data"


def _licence_faults(policy: Policy, at: int) -> Iterator[tuple[str, str]]:
    """What is wrong with one licence, by its key."""
    licence = policy.licences[at]
    if licence.since > licence.until:
        yield "until", f"must not be before since ({licence.since})"
    if Category.CRAWL in licence.purposes:
        yield "purposes", "no licence opens crawl: it is not the operator's to lift"
    if licence.id in {other.id for other in policy.licences[:at]}:
        yield "id", f"another licence has the id {licence.id!r} already"
