"""Tables of a protocol file about what refers elsewhere: links, licences and policies that are documents of their own.

The tables of carriers that speak for themselves stand in `definition`, with the file as a whole.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from reservations.datafile import Day
from reservations.model import Category, Value

Values = dict[Category, Value]
StatusPattern = Annotated[str, msgspec.Meta(pattern=r"^[1-5]([0-9][0-9]|xx)$")]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Common options of all tables in a protocol file."""


class Consequence(Table, frozen=True, kw_only=True):
    """A reason code and the value per category that come with an event: by the letter, in effect, in `strict` only."""

    reason: str = ""
    strict: Values = {}
    effective: Values = {}
    vendor: Values = {}


class AnswerRow(Consequence, frozen=True, kw_only=True):
    """What a status means when it answers for a document of the origin. Rows are tried in order."""

    status: tuple[StatusPattern, ...]
    means: Literal["read", "absent", "denied", "unread"]


class LegalPages(Table, frozen=True, kw_only=True):
    """The pages on which a site sets out its terms, found by the links of its pages.

    Attributes:
        most: how many of one host are asked for; the rest is not.
        words: how many words the text of such a link, or a part of its path, has at most.
        max_bytes: cap on the decoded entity, read up to it; accept: media types to name in the request.
        answers: what each status means; unread: meaning of a failed fetch; forbidden: of one that robots.txt forbids.
    """

    most: Annotated[int, msgspec.Meta(ge=1, le=10)] = 3
    words: Annotated[int, msgspec.Meta(ge=1, le=12)] = 4
    max_bytes: Annotated[int, msgspec.Meta(ge=65_536, le=4_194_304)] = 1_048_576
    accept: str = "text/html"
    answers: tuple[AnswerRow, ...]
    unread: Consequence
    forbidden: Consequence | None = None


class OfferWords(Table, frozen=True, kw_only=True):
    """Words of a licence that makes offers for uses (RSL).

    Attributes:
        namespaces: of the elements.
        uses: word to the categories it stands for.
        groups: word to the uses it stands for, as specific as their names; everything: words for all uses, less so.
        drafts: words of drafts to today's: they say nothing by the letter.
        free: payments that ask for nothing; attribution: payments that ask for being named.
        permitted, prohibited, not_permitted, conditional: reason code of each outcome.
    """

    namespaces: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    uses: dict[str, tuple[Category, ...]]
    groups: dict[str, tuple[str, ...]] = {}
    everything: tuple[str, ...] = ()
    drafts: dict[str, str] = {}
    free: tuple[str, ...] = ()
    attribution: tuple[str, ...] = ()
    permitted: str
    prohibited: str
    not_permitted: str
    conditional: str


class PolicyWords(Table, frozen=True, kw_only=True):
    """Words of a policy that says on which terms a reservation may be lifted (ODRL).

    Attributes:
        categories: what the policy speaks of.
        actions: names of the action it must permit; duties: names of those that are conditions.
        purpose_operand: names of the constraint on the purpose.
        purposes: class of user to the purposes that it may claim.
        reason: reason code of what it says.
    """

    categories: tuple[Category, ...]
    actions: tuple[str, ...]
    duties: tuple[str, ...]
    purpose_operand: tuple[str, ...]
    purposes: dict[str, tuple[str, ...]]
    reason: str


class NamedDocument(Table, frozen=True, kw_only=True):
    """A document that statements of the protocol name by its URL.

    Attributes:
        max_bytes: cap on the decoded entity; accept: media types to name in the request.
        unread: meaning when it was announced and cannot be read; None: nothing is known of it, and nothing follows.
        offers: it is a licence that makes offers; policy: it is a policy that lifts or keeps a reservation.
    """

    max_bytes: Annotated[int, msgspec.Meta(ge=65_536, le=16_777_216)] = 1_048_576
    accept: str = "*/*"
    unread: Consequence | None = None
    offers: OfferWords | None = None
    policy: PolicyWords | None = None


class LinkRelation(Table, frozen=True, kw_only=True):
    """A typed link: the `Link` field, `<link>`, and `<a>` where `anchors` says so.

    Attributes:
        rel: relation type.
        types: media types that the link must declare; not_types: those that it must not. Empty: no matter.
        label: its target is a value of this label.
        document: its target is a document that is to be read.
        elsewhere: its target is the same work at another origin, whose files speak of it too, in profile `strict`.
        anchors: in the text of a page too, where its scope is unclear: then only what it refuses counts.
    """

    rel: str
    types: tuple[str, ...] = ()
    not_types: tuple[str, ...] = ()
    label: str = ""
    document: bool = False
    elsewhere: bool = False
    anchors: bool = False


class SchemaProperty(Table, frozen=True, kw_only=True):
    """A property of the node that is this page, in JSON-LD (schema.org), microdata or RDFa."""

    name: str
    label: str


class Inline(Table, frozen=True, kw_only=True):
    """A licence inside the resource: in `<script type=...>` of a page, or as elements of a feed or another XML."""

    type: str


class Restriction(Table, frozen=True, kw_only=True):
    """What the operator's own staff refuses, whatever sites say: hosts with all below them, and values."""

    hosts: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    reason: str
    values: Values
    why: Annotated[str, msgspec.Meta(min_length=10)]
    until: Day = "9999-12-31"


class Approval(Table, frozen=True, kw_only=True):
    """Who allowed a file that is weaker than the shipped one of its name, when, and why."""

    approver: Annotated[str, msgspec.Meta(min_length=1)]
    reason: Annotated[str, msgspec.Meta(min_length=10)]
    date: Day
