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

from reservations.datafile import DefinitionError, Path, Source
from reservations.model import Category

Count = Annotated[int, msgspec.Meta(ge=1)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Day = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]


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

    setting: Literal["profile", "tokens"]
    approver: Annotated[str, msgspec.Meta(min_length=1)]
    reason: Annotated[str, msgspec.Meta(min_length=10)]
    date: Day


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
        purposes: the declared uses; a page is asked for while one of them is open.
        tries: how often a passing failure is tried before it is final.
        ports: ports asked besides those of `high_ports`; high_ports: 1024 and above too.
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
    if policy.retention.log_days < policy.retention.warc_days:
        yield ("retention", "log_days"), "must be at least warc_days: log entries are kept as long as the data"
