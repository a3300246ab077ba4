"""WARC records as values: what each type says, and the one spelling of its header.

Decides how an exchange becomes `response`, `request`, `revisit`, `metadata` and `warcinfo` records of WARC 1.1
(ISO 28500:2017, clauses 5 and 6, https://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/).
Writes nothing (`writer`), and does not decide what may be kept: that is the door's, and the recorder's to enforce.

Values come from the web. A value that could begin a header line of its own is refused here, never escaped.
docs/decisions/0003-warc-writer.md says why the fields are as they are.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import msgspec

CONFORMS_TO: Final = "https://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/"

WARC_FIELDS: Final = "application/warc-fields"
HTTP_REQUEST: Final = "application/http; msgtype=request"
HTTP_RESPONSE: Final = "application/http; msgtype=response"

#: Clause 6.7: the two ways in which a revisit refers to what is stored already.
IDENTICAL_PAYLOAD: Final = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"
NOT_MODIFIED: Final = "http://netpreserve.org/warc/1.1/revisit/server-not-modified"

RecordType: TypeAlias = Literal["warcinfo", "response", "request", "metadata", "revisit", "conversion"]

Truncated: TypeAlias = Literal["length", "time", "disconnect", "unspecified"]
"""Clause 5.13, why a block ends early: cut at a limit, out of time, connection lost, or any other reason (ours: we
were told not to keep it)."""

_RECORD_ID: Final = re.compile(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

#: RFC 3986 without the white space, controls and angle brackets that could end the value for some reader.
_TARGET_URI: Final = re.compile(r"https?://[!#-;=?-~]+", re.IGNORECASE)

#: `token` of clause 4: US-ASCII without controls and separators.
_FIELD_NAME: Final = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z|~]+")

#: Controls and what some library or other takes for the end of a line; surrogates cannot be written as UTF-8.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_TRANSFER_ENCODING: Final = re.compile(rb"^transfer-encoding[ \t]*:", re.IGNORECASE | re.MULTILINE)
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r?\n")
_CRLF: Final = re.compile(rb"\r?\n")

_SHOWN: Final = 120


class WarcError(Exception):
    """A record that cannot be written as asked, or a file that cannot be written or repaired. Says what to do."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One record before it is written.

    Attributes:
        type: WARC-Type.
        record_id: WARC-Record-ID without angle brackets.
        date: WARC-Date, aware; the same in all records of one capture.
        content_type: media type of the block.
        block: what stands after the WARC header.
        target_uri: WARC-Target-URI; None for `warcinfo` only.
        concurrent_to: ids of records of the same capture.
        extra: further fields, in the order they are written.
        payload: the entity after transfer decoding, where the record has one; its digest goes into the log.
        payload_at: where the message body begins in the block; WARC-Payload-Digest is over the rest of the block as it
            stands. With chunk framing that is not the digest of `payload`: ISO 28500 means the entity, but what
            `warcio` and `fastwarc` check, and pywb and CDX tools look up, is the body as stored.
    """

    type: RecordType
    record_id: str
    date: datetime
    content_type: str
    block: bytes
    target_uri: str | None = None
    concurrent_to: tuple[str, ...] = ()
    extra: tuple[tuple[str, str], ...] = ()
    payload: bytes | None = None
    payload_at: int | None = None


class Capture(msgspec.Struct, frozen=True, kw_only=True):
    """What the records of one exchange share.

    Attributes:
        target_uri: the URL as it was asked for.
        date: when the request was sent, aware.
        main_id: id of the response or revisit, which the other records name as concurrent.
        ip: address connected to.
        protocols: as `transport.protocols` spells them.
        cipher_suite: as `transport.cipher_suite` spells it.
    """

    target_uri: str
    date: datetime
    main_id: str
    ip: str | None = None
    protocols: tuple[str, ...] = ()
    cipher_suite: str | None = None

    def network(self) -> tuple[tuple[str, str], ...]:
        """The fields on the connection. WARC-Protocol may repeat (consensus of the format's community, 2024)."""
        fields = [("WARC-IP-Address", self.ip)] if self.ip else []
        fields += [("WARC-Protocol", name) for name in self.protocols]
        if self.cipher_suite:
            fields.append(("WARC-Cipher-Suite", self.cipher_suite))
        return tuple(fields)


class Original(msgspec.Struct, frozen=True, array_like=True):
    """The stored record that a revisit refers to. Small, for it is remembered per payload.

    Attributes:
        record_id: its WARC-Record-ID.
        target_uri: its WARC-Target-URI.
        date: its WARC-Date.
        payload_digest: its WARC-Payload-Digest.
    """

    record_id: str
    target_uri: str
    date: datetime
    payload_digest: str


def new_record_id() -> str:
    """A fresh WARC-Record-ID, without angle brackets."""
    return f"urn:uuid:{uuid.uuid4()}"


def response_record(capture: Capture, head: bytes, body: bytes) -> Record:
    """The whole answer as received: `head` to its blank line, `body` as transferred (chunk framing included)."""
    _require_whole(head)
    return Record(
        type="response",
        record_id=capture.main_id,
        date=capture.date,
        content_type=HTTP_RESPONSE,
        block=head + body,
        target_uri=capture.target_uri,
        extra=capture.network(),
        payload=entity(head, body),
        payload_at=len(head),
    )


def partial_record(capture: Capture, head: bytes, body: bytes = b"", *, truncated: Truncated) -> Record:
    """An answer of which not everything may be kept, or not everything came: evidence, not content.

    No payload digest: readers would take it for the digest of the page. The digest of a body that was read and not
    kept belongs into the log entry.
    """
    _require_whole(head)
    return Record(
        type="response",
        record_id=capture.main_id,
        date=capture.date,
        content_type=HTTP_RESPONSE,
        block=head + body,
        target_uri=capture.target_uri,
        extra=(*capture.network(), ("WARC-Truncated", truncated)),
    )


def revisit_record(capture: Capture, head: bytes, original: Original, *, payload: bytes | None = None) -> Record:
    """An answer whose content is stored already: its head, and where the content is.

    Args:
        capture: the exchange.
        head: to its blank line.
        original: where the content is.
        payload: the entity after transfer decoding (`entity`), equal to the original's though perhaps framed in other
            chunks; None when the server answered 304 and sent none.
    """
    _require_whole(head)
    refers_to = (
        ("WARC-Refers-To", _bracketed(original.record_id)),
        ("WARC-Refers-To-Target-URI", _target_uri(original.target_uri)),
        ("WARC-Refers-To-Date", date_field(original.date)),
    )
    profile: tuple[tuple[str, str], ...] = (("WARC-Profile", NOT_MODIFIED),)
    if payload is not None:
        profile = (
            ("WARC-Profile", IDENTICAL_PAYLOAD),
            ("WARC-Truncated", "length"),
            ("WARC-Payload-Digest", original.payload_digest),
        )
    return Record(
        type="revisit",
        record_id=capture.main_id,
        date=capture.date,
        content_type=HTTP_RESPONSE,
        block=head,
        target_uri=capture.target_uri,
        extra=(*capture.network(), *refers_to, *profile),
        payload=payload,
    )


def conversion_record(capture: Capture, text: str, *, of: str) -> Record:
    """Words taken from an answer that itself is not stored (clause 6.8).

    Args:
        capture: the exchange, with an id for this record.
        text: the words.
        of: id of the record with the answer's head.
    """
    return Record(
        type="conversion",
        record_id=capture.main_id,
        date=capture.date,
        content_type="text/plain; charset=utf-8",
        block=text.encode(),
        target_uri=capture.target_uri,
        extra=(("WARC-Refers-To", _bracketed(of)),),
    )


def request_record(capture: Capture, sent: bytes, *, record_id: str) -> Record:
    """The request as it was sent."""
    return Record(
        type="request",
        record_id=record_id,
        date=capture.date,
        content_type=HTTP_REQUEST,
        block=sent,
        target_uri=capture.target_uri,
        concurrent_to=(capture.main_id,),
        extra=capture.network(),
    )


def metadata_record(capture: Capture, fields: Mapping[str, str], *, record_id: str) -> Record:
    """What is said about the capture beside what was sent and received: above all, its entry in the decision log.

    Names in use: `decision-origin`, `decision-seq`, and the standard's `via` and `fetchTimeMs`.
    """
    return Record(
        type="metadata",
        record_id=record_id,
        date=capture.date,
        content_type=WARC_FIELDS,
        block=warc_fields(fields),
        target_uri=capture.target_uri,
        concurrent_to=(capture.main_id,),
    )


def warcinfo_record(fields: Mapping[str, str], *, filename: str, record_id: str, date: datetime) -> Record:
    """The first record of a file: who made it, with what, under which rules."""
    return Record(
        type="warcinfo",
        record_id=record_id,
        date=date,
        content_type=WARC_FIELDS,
        block=warc_fields(fields),
        extra=(("WARC-Filename", filename),),
    )


def crawl_info(
    *,
    software: str,
    operator: str,
    user_agent: str,
    token: str,
    policy: str,
    policy_digest: str,
    log_origin: str,
    crawl: str,
    hostname: str,
) -> dict[str, str]:
    """The fields of every warcinfo of a crawl; more may be added.

    Args:
        software: name and version.
        operator: who answers for the crawl, and how to reach them.
        user_agent: the User-Agent field as sent.
        token: the product token matched in robots.txt.
        policy: name of the policy in force.
        policy_digest: its digest.
        log_origin: origin of the decision log with the reasons for everything in the file.
        crawl: name of the crawl.
        hostname: of the machine; also stands in the file's name.
    """
    return {
        "software": software,
        "operator": operator,
        "hostname": hostname,
        "http-header-user-agent": user_agent,
        "robots": f"RFC 9309 as {token}, and rights reservations by policy {policy} ({policy_digest})",
        "isPartOf": crawl,
        "policy-digest": policy_digest,
        "decision-log": log_origin,
    }


def warc_fields(fields: Mapping[str, str]) -> bytes:
    """A block of type application/warc-fields."""
    return "".join(f"{_name(name)}: {_value(name, value)}\r\n" for name, value in fields.items()).encode()


def header(record: Record, *, digests: tuple[tuple[str, str], ...], warcinfo_id: str | None) -> bytes:
    """The WARC header with its blank line. Content-Length stands last, as close to the block as can be."""
    lines = [
        "WARC/1.1",
        f"WARC-Type: {record.type}",
        f"WARC-Record-ID: {_bracketed(record.record_id)}",
        f"WARC-Date: {date_field(record.date)}",
    ]
    if record.target_uri is not None:
        lines.append(f"WARC-Target-URI: {_target_uri(record.target_uri)}")
    lines += [f"WARC-Concurrent-To: {_bracketed(other)}" for other in record.concurrent_to]
    lines += [f"{_name(name)}: {_value(name, value)}" for name, value in record.extra]
    if warcinfo_id is not None:
        lines.append(f"WARC-Warcinfo-ID: {_bracketed(warcinfo_id)}")
    lines += [f"{name}: {value}" for name, value in digests]
    lines.append(f"Content-Type: {_value('Content-Type', record.content_type)}")
    lines.append(f"Content-Length: {len(record.block)}\r\n\r\n")
    return "\r\n".join(lines).encode()


@lru_cache(maxsize=256)  # the records of one capture have the same
def date_field(date: datetime) -> str:
    """An instant as WARC-Date writes it: UTC, milliseconds.

    >>> date_field(datetime(2026, 11, 22, 8, 0, 0, 123456, tzinfo=UTC))
    '2026-11-22T08:00:00.123Z'
    """
    if date.tzinfo is None:
        raise WarcError(f"WARC-Date {date.isoformat()} has no time zone; pass an aware datetime")
    return date.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def entity(head: bytes, body: bytes) -> bytes | None:
    """The payload of an answer: `body` as transferred without its transfer coding; None when that is broken."""
    return unchunked(body) if _TRANSFER_ENCODING.search(head) else body


def unchunked(body: bytes) -> bytes | None:
    """The data of a chunked message body (RFC 9112 7.1, trailers left out), or None where the framing is broken."""
    data: list[bytes] = []
    at = 0
    while size_line := _CHUNK_SIZE.match(body, at):
        start, size = size_line.end(), int(size_line[1], 16)
        if size == 0:
            return b"".join(data)
        end = _CRLF.match(body, start + min(size, len(body)))
        if end is None:
            return None
        data.append(body[start : start + size])
        at = end.end()
    return None


def _require_whole(head: bytes) -> None:
    # A head without its blank line would make the first line of the body a header.
    if not head.endswith((b"\n\r\n", b"\n\n")):  # with bare line feeds, too: servers send them
        raise WarcError(f"an HTTP head ends with {head[-20:]!r}; hand it over with its blank line")


def _bracketed(record_id: str) -> str:
    if not _RECORD_ID.fullmatch(record_id):
        raise WarcError(f"record id {_shown(record_id)} is no urn:uuid; make it with new_record_id()")
    return f"<{record_id}>"


def _target_uri(url: str) -> str:
    if not _TARGET_URI.fullmatch(url):
        raise WarcError(f"URL {_shown(url)} cannot stand in a WARC header; pass it in canonical form (http or https)")
    return url


def _name(name: str) -> str:
    if not _FIELD_NAME.fullmatch(name):
        raise WarcError(f"field name {_shown(name)} is no token; use letters, digits and hyphens")
    return name


def _value(name: str, value: str) -> str:
    if _UNSAFE.search(value):
        raise WarcError(f"{name}: {_shown(value)} holds a control character or line end; remove it before")
    return value


def _shown(text: str) -> str:
    return ascii(text[:_SHOWN])
