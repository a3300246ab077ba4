"""How one exchange becomes the WARC records of one capture. Decides nothing: the recorder says which form is due."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal

import msgspec

from crawler.download.client import Body, Exchange
from crawler.warc import records, transport


class Fetched(msgspec.Struct, kw_only=True):
    """One request and what came of it: the exchange, and the body where it was read."""

    exchange: Exchange
    body: Body | None = None


def whole(exchange: Exchange, body: Body, log: Mapping[str, str] | None = None) -> list[records.Record]:
    """Response as received and request as sent; with `log`, a metadata record that points to the log entry."""
    capture = _capture(exchange)
    return [records.response_record(capture, exchange.head_bytes, body.block_bytes), *_beside(capture, exchange, log)]


def head(
    exchange: Exchange, excerpt: bytes = b"", *, truncated: Literal["unspecified", "length"] = "unspecified"
) -> list[records.Record]:
    """The head as received, the body left out or cut to `excerpt`, and the request as sent."""
    capture = _capture(exchange)
    partial = records.partial_record(capture, exchange.head_bytes, excerpt, truncated=truncated)
    return [partial, *_beside(capture, exchange, None)]


def teaser(exchange: Exchange, text: str, of: str, log: Mapping[str, str]) -> list[records.Record]:
    """Words of the page in place of its answer, of which the head alone is stored, as record `of`."""
    capture = _capture(exchange)
    words = records.conversion_record(capture, text, of=of)
    return [words, records.metadata_record(capture, log, record_id=records.new_record_id())]


def revisit(exchange: Exchange, body: Body, original: records.Original, log: Mapping[str, str]) -> list[records.Record]:
    """The head as received, and where the identical payload is stored already."""
    capture = _capture(exchange)
    payload = records.entity(exchange.head_bytes, body.block_bytes)
    main = records.revisit_record(capture, exchange.head_bytes, original, payload=payload)
    return [main, *_beside(capture, exchange, log)]


def payload_key(exchange: Exchange, body: Body) -> bytes:
    """What two payloads are compared by: SHA-256 of the entity as coded, with the name of its coding."""
    entity = records.entity(exchange.head_bytes, body.block_bytes) or b""
    coding = ",".join(h.value.strip().lower() for h in exchange.headers if h.name.lower() == "content-encoding")
    return hashlib.sha256(coding.encode() + b"\n" + entity).digest()


def _capture(exchange: Exchange) -> records.Capture:
    return records.Capture(
        target_uri=exchange.url,
        date=exchange.sent_at,
        main_id=records.new_record_id(),
        ip=exchange.ip,
        protocols=transport.protocols(exchange.http_version, exchange.tls_version),
        cipher_suite=transport.cipher_suite(exchange.tls_cipher),
    )


def _beside(capture: records.Capture, exchange: Exchange, log: Mapping[str, str] | None) -> list[records.Record]:
    beside = [records.request_record(capture, exchange.request_bytes, record_id=records.new_record_id())]
    if log:
        took = int((exchange.head_at - exchange.sent_at).total_seconds() * 1000)
        fields = {**log, "fetchTimeMs": str(took)}
        beside.append(records.metadata_record(capture, fields, record_id=records.new_record_id()))
    return beside
