"""A protocol file: who says what, where it may stand, which words it uses, and what each word means to us.

The readers know carriers and syntaxes; everything a protocol has of its own stands in its file. A protocol that rides
on a carrier we read is therefore one TOML file and its vectors, and no code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal

import msgspec

from reservations.datafile import Day, DefinitionError, Path, Source
from reservations.file_tables import Assertion, DeclarationWords, Declared, FileFinding, FileProperty, Signer, XmlRecord
from reservations.model import Value
from reservations.tables import (
    AnswerRow,
    Approval,
    Consequence,
    Inline,
    LegalPages,
    LinkRelation,
    NamedDocument,
    Restriction,
    SchemaProperty,
    StatusPattern,
    Values,
)
from reservations.wording import Language, faults_of

Syntax = Literal["value", "url", "dictionary", "pairs", "directives", "path"]
Unread = Literal["robots", "reservation-file", "announced", "asset"]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Common options of all tables in a protocol file."""


class Reference(_Table, frozen=True, kw_only=True):
    """Where the file's content was taken from: `read` says how well it was read."""

    title: str
    date: str = ""
    url: str = ""
    read: Literal["verified", "secondary", "recalled", "unverified"]


class ReasonText(_Table, frozen=True, kw_only=True):
    """A reason code with its one-sentence description; `unread` names the row of design section 4 it falls under."""

    code: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]+\.[a-z0-9-]+$")]
    text: str
    unread: Unread | None = None


class ForeignWords(_Table, frozen=True, kw_only=True):
    """Words by which a home-made file under the protocol's name says no (ruling 17)."""

    label: str
    value: str
    refusals: tuple[str, ...]
    uses: tuple[str, ...]


class Document(_Table, frozen=True, kw_only=True):
    """A file at a fixed path of every origin.

    Attributes:
        path: for example "/robots.txt"; also_at: further places, each asked for and read by itself.
        format: which reader takes it.
        max_bytes: cap on the decoded entity; accept: media types to name in the request.
        answers: what each status means.
        unread: meaning of a failed fetch and of a body that cannot be read within bounds.
        forbidden: meaning when robots.txt forbids us to fetch it.
        malformed: reason code for a body that is not of the format; reading continues with plain negatives.
        max_rules: rules beyond it make the document unreadable.
        refused, permitted: labels of "this URL is disallowed" and "is allowed", for a file of rules like robots.txt.
    """

    path: Annotated[str, msgspec.Meta(pattern=r"^/\S+$")]
    also_at: tuple[str, ...] = ()
    format: Literal["robots_txt", "json_rules", "usage_rules", "name_values"]
    max_bytes: Annotated[int, msgspec.Meta(ge=512_000, le=16_777_216)]
    accept: str = "*/*"
    answers: tuple[AnswerRow, ...]
    unread: Consequence
    forbidden: Consequence | None = None
    malformed: str = ""
    location: str = "location"
    max_rules: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 10_000
    foreign: ForeignWords | None = None
    refused: str = ""
    permitted: str = ""


class RobotsRules(_Table, frozen=True, kw_only=True):
    """Allow and Disallow of RFC 9309.

    Attributes:
        disallowed: the label that stands for "this URL is disallowed".
        too_complex: reason code of rules that cannot be answered within bounds.
        note: reason code of what was odd about the file without deciding anything.
    """

    disallowed: str
    too_complex: str
    note: str


class RobotsLine(_Table, frozen=True, kw_only=True):
    """A directive inside robots.txt groups.

    Attributes:
        name: the key before the colon.
        paths: "none": the value has no path. "scoped": a value that starts with "/" is scoped to that path.
            "tolerated": the same, though the protocol knows no paths: issue `path`, negatives only.
        crawlable_only: the protocol knows no preference for a URL that may not be crawled.
        label: the label that a bare value has; the name when there is none.
        document: the value is the URL of a document that is to be read.
    """

    name: str
    syntax: Syntax
    label: str = ""
    paths: Literal["none", "scoped", "tolerated"] = "none"
    crawlable_only: bool = False
    document: bool = False


class HttpField(_Table, frozen=True, kw_only=True):
    """A response field. `standard = false`: no text defines it, so only negatives count (`nonstandard_carrier`)."""

    name: str
    syntax: Syntax
    label: str = ""
    standard: bool = True


class HtmlMeta(_Table, frozen=True, kw_only=True):
    """A `<meta>`. `tokens`: counts under our own product token as name too; `to`: token of whom it speaks to, or ""."""

    name: str
    syntax: Syntax
    label: str = ""
    standard: bool = True
    tokens: bool = False
    to: str = ""


class StatusRow(Consequence, frozen=True, kw_only=True):
    """What the status of the resource itself means. Rows are tried in order; the first that fits counts.

    Attributes:
        fields: one of these must be there, by name or as "name: prefix of the value"; empty: no matter.
        outcome: "content" the body is what was asked for; "signal" the values below are a statement; else a verdict.
    """

    status: tuple[StatusPattern, ...]
    fields: tuple[str, ...] = ()
    outcome: Literal["content", "signal", "redirected", "unchanged", "absent", "deferred", "failed"]


class RedirectRow(Consequence, frozen=True, kw_only=True):
    """A redirect to a page that asks for something a crawler has not: a login, a subscription, a consent.

    `segments` are compared whole with the last two segments of the target's path, file suffix cut.
    """

    segments: tuple[str, ...]


class Meaning(_Table, frozen=True, kw_only=True):
    """What one value of a label means.

    Attributes:
        value: the exact spelling; "*" stands for any value, "" for none. With "*" among other characters it is a
            pattern, in any letter case, for values that nobody defined: only what it refuses counts.
        also: other spellings that plainly mean the same. Only for denials: a positive must be well-formed.
        strict: by the letter; effective: after careful handling; vendor: binds in profile `strict` only.
        media: only for resources of these media types ("image/*"); empty: all.
        embedded: when said by a page, it also covers the media that the page embeds.
        reason: overrides the label's reason code.
        silent: known, so that it is not taken for something else; worth an entry only when it names somebody.
    """

    value: str
    also: tuple[str, ...] = ()
    strict: Values = {}
    effective: Values = {}
    vendor: Values = {}
    issues: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    embedded: bool = False
    reason: str = ""
    silent: bool = False


class Label(_Table, frozen=True, kw_only=True):
    """One word of a protocol.

    Attributes:
        condition: its value is a condition (a policy's URL), not a statement of its own.
        patterns: values with "*" are how the protocol itself writes them (the URLs of licences), so they may permit.
    """

    name: str
    reason: str
    condition: bool = False
    patterns: bool = False
    values: tuple[Meaning, ...]


class Protocol(_Table, frozen=True, kw_only=True):
    """One protocol file.

    Attributes:
        order: which protocol is named first when several decide alike (small first).
        vectors: names of the protocol in test vectors.
        supersedes: carriers in rising precedence when later ones override earlier ones; empty: the most restrictive
            statement counts, whatever its carrier.
        case_sensitive: labels and values in another case count as negatives only (`case`).
        token_list: name of the file that says which rules for other crawlers count, and what they say.
        page_refusals: reason codes of statements that refuse, when a page makes them to other crawlers.
        licensable: a licence that the operator has can lift what it refuses (never access, crawling or a blocklist).
        grants: it holds no words of sites, but the licences of the operator's policy.
        named: what a document is that its statements name.
        language: the sentences that it reads; its labels are what they are about, its values how sure they are.
        declarations: how declarations on works count; declared: such, beside those in files of `declarations/`.
        approval: for a file of an operator that is weaker than the shipped one of its name.
    """

    id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]+$")]
    name: str
    steward: str
    version: str
    date: str
    status: str
    eu_status: str
    reviewed: Day
    order: int
    sources: tuple[Reference, ...]
    vectors: tuple[str, ...] = ()
    supersedes: tuple[str, ...] = ()
    case_sensitive: bool = False
    token_list: str = ""
    page_refusals: tuple[str, ...] = ()
    licensable: bool = False
    grants: str = ""
    approval: Approval | None = None
    reasons: tuple[ReasonText, ...]
    documents: tuple[Document, ...] = ()
    robots_rules: RobotsRules | None = None
    robots_lines: tuple[RobotsLine, ...] = ()
    http_fields: tuple[HttpField, ...] = ()
    html_metas: tuple[HtmlMeta, ...] = ()
    named: NamedDocument | None = None
    links: tuple[LinkRelation, ...] = ()
    properties: tuple[SchemaProperty, ...] = ()
    inline: Inline | None = None
    restrictions: tuple[Restriction, ...] = ()
    file_properties: tuple[FileProperty, ...] = ()
    assertions: tuple[Assertion, ...] = ()
    signers: tuple[Signer, ...] = ()
    xml_records: tuple[XmlRecord, ...] = ()
    declarations: DeclarationWords | None = None
    declared: tuple[Declared, ...] = ()
    file_findings: tuple[FileFinding, ...] = ()
    statuses: tuple[StatusRow, ...] = ()
    redirects: tuple[RedirectRow, ...] = ()
    labels: tuple[Label, ...] = ()
    language: Language | None = None

    @property
    def title(self) -> str:
        """Name and version, for people."""
        return f"{self.name}, {self.version}"

    def carriers(self) -> tuple[str, ...]:
        """Where its statements may stand, for people."""
        return (
            *(path for document in self.documents for path in (document.path, *document.also_at)),
            *(f"robots.txt {line.name}" for line in self.robots_lines),
            *(f"header {field.name}" for field in self.http_fields),
            *(f"meta {meta.name}" for meta in self.html_metas),
            *(f"link {link.rel}" for link in self.links),
            *(f"schema {item.name}" for item in self.properties),
            *((f"inline {self.inline.type}",) if self.inline else ()),
            *(("the operator's restrictions",) if self.restrictions else ()),
            *(("the policy's licences",) if self.grants else ()),
            *(f"property {property_.name}" for property_ in self.file_properties),
            *(f"assertion {name}" for assertion in self.assertions for name in assertion.names),
            *(f"XML {record.elements[0]}" for record in self.xml_records),
            *(("declarations on works",) if self.declarations or self.declared else ()),
            *(f"file {what}" for finding in self.file_findings for what in finding.what),
            *(("status",) if self.statuses else ()),
            *(("rules for other crawlers",) if self.token_list else ()),
            *(("sentences in comments, metadata and notices",) if self.language else ()),
        )

    def row(self) -> dict[str, str]:
        """The protocol as a row of a table: what it is, where it stands, when it was last looked at."""
        return {
            "id": self.id,
            "name": self.name,
            "version": self.version,
            "date": self.date,
            "status": self.status,
            "carriers": ", ".join(self.carriers()),
            "reviewed": self.reviewed,
        }


#: Where a statement can stand, as signals name it.
CARRIERS: Final = (
    "robots_txt", "well_known", "named", "terms", "http_field", "status", "redirect", "html_meta", "html_link",
    "schema", "html_text", "inline", "epub_meta", "xmp", "c2pa", "file",
)  # fmt: skip
#: Values that close a category.
CLOSING: Final = frozenset({Value.DENY, Value.CONDITIONAL})


def load_protocol(text: str, file: str) -> Protocol:
    """A protocol file's text to its value; raises DefinitionError naming all faults of the file."""
    source = Source(text, file)
    protocol = source.read(Protocol)
    faults = [source.fault(path, problem) for path, problem in _contradictions(protocol)]
    if faults:
        raise DefinitionError(faults)
    return protocol


def digest_of(texts: Mapping[str, str]) -> str:
    """One digest over a set of named texts, independent of their order."""
    whole = hashlib.sha256()
    for name in sorted(texts):
        for part in (name.encode(), texts[name].encode()):
            whole.update(len(part).to_bytes(8, "big") + part)
    return "sha256:" + whole.hexdigest()


def _contradictions(protocol: Protocol) -> Iterator[tuple[Path, str]]:
    """What the types cannot say: codes that are not described, labels that do not exist, leniency towards consent."""
    codes = {reason.code for reason in protocol.reasons}
    labels = {label.name for label in protocol.labels}
    for path, code in (*_codes_used(protocol), *_codes_of_declarations(protocol.declarations)):
        if code not in codes:
            yield path, f"reason {code!r} is not described; [[reasons]] describes: {', '.join(sorted(codes))}"
    for path, name in _labels_used(protocol):
        if name and name not in labels:
            yield path, f"there is no label {name!r}; [[labels]] are: {', '.join(sorted(labels))}"
    for at, label in enumerate(protocol.labels):
        for index, meaning in enumerate(label.values):
            if meaning.also and any(value not in CLOSING for value in meaning.effective.values()):
                yield (
                    ("labels", at, "values", index, "also"),
                    "only a denial may have other spellings; allowed in effective: deny, conditional",
                )
    yield from ((("language", *path), problem) for path, problem in faults_of(protocol.language))
    for index, carrier in enumerate(protocol.supersedes):
        if carrier not in CARRIERS:
            yield ("supersedes", index), f"unknown carrier {carrier!r}; allowed: {', '.join(CARRIERS)}"


def _codes_used(protocol: Protocol) -> Iterator[tuple[Path, str]]:
    for at, label in enumerate(protocol.labels):
        yield ("labels", at, "reason"), label.reason
        for index, meaning in enumerate(label.values):
            if meaning.reason:
                yield ("labels", at, "values", index, "reason"), meaning.reason
    for at, document in enumerate(protocol.documents):
        yield from ((("documents", at, *path), code) for path, code in _codes_of_answers(document))
    if protocol.language is not None:
        yield from ((("language", *path), code) for path, code in _codes_of_language(protocol.language))
    speaking = ((at, row) for at, row in enumerate(protocol.statuses) if row.outcome != "content")
    yield from ((("statuses", at, "reason"), row.reason) for at, row in speaking)
    for table in ("redirects", "file_findings", "restrictions"):
        yield from (((table, at, "reason"), row.reason) for at, row in enumerate(getattr(protocol, table)))
    if protocol.grants:
        yield ("grants",), protocol.grants
    if protocol.named is not None:
        yield from ((("named", *path), code) for path, code in _codes_of_named(protocol.named))


def _codes_of_declarations(words: DeclarationWords | None) -> Iterator[tuple[Path, str]]:
    if words is not None:
        yield ("declarations", "similar"), words.similar


def _codes_of_named(named: NamedDocument) -> Iterator[tuple[Path, str]]:
    if named.unread is not None:
        yield ("unread", "reason"), named.unread.reason
    if named.policy is not None:
        yield ("policy", "reason"), named.policy.reason
    if named.offers is not None:
        for name in ("permitted", "prohibited", "not_permitted", "conditional"):
            yield ("offers", name), getattr(named.offers, name)


def _codes_of_language(language: Language) -> Iterator[tuple[Path, str]]:
    if language.over_budget is not None:
        yield ("over_budget", "reason"), language.over_budget.reason
    if language.linked is not None:
        yield from ((("linked", *path), code) for path, code in _codes_of_answers(language.linked))


def _codes_of_answers(document: Document | LegalPages) -> Iterator[tuple[Path, str]]:
    if isinstance(document, Document) and document.malformed:
        yield ("malformed",), document.malformed
    for index, row in enumerate(document.answers):
        if row.reason:
            yield ("answers", index, "reason"), row.reason
    yield ("unread", "reason"), document.unread.reason
    if document.forbidden is not None:
        yield ("forbidden", "reason"), document.forbidden.reason


def _labels_used(protocol: Protocol) -> Iterator[tuple[Path, str]]:
    rows = [
        ((table, at), row)
        for table in ("http_fields", "html_metas", "links", "properties", "file_properties", "assertions", "declared")
        for at, row in enumerate(getattr(protocol, table))
    ]
    for path, row in rows:
        bare = getattr(row, "syntax", "") in ("value", "url")
        if row.label or bare:
            yield (*path, "label" if row.label else "name"), row.label or row.name
    for at, document in enumerate(protocol.documents):
        yield from ((("documents", at, key), getattr(document, key)) for key in ("refused", "permitted"))
    if protocol.robots_rules:
        yield ("robots_rules", "disallowed"), protocol.robots_rules.disallowed
