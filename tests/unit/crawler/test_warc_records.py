from __future__ import annotations

import shutil
import ssl
import subprocess
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.warc.records import (
    Capture,
    Original,
    Record,
    WarcError,
    crawl_info,
    date_field,
    entity,
    header,
    metadata_record,
    new_record_id,
    partial_record,
    request_record,
    response_record,
    revisit_record,
    unchunked,
    warc_fields,
    warcinfo_record,
)
from crawler.warc.transport import cipher_suite, protocols

ID = "urn:uuid:00000000-0000-4000-8000-00000000000{}"
WHEN = datetime(2026, 11, 22, 8, 0, 0, 123456, tzinfo=UTC)
URL = "https://site.example/a?b=c"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-ENCODING : chunked\r\n\r\n"

CAPTURE = Capture(
    target_uri=URL,
    date=WHEN,
    main_id=ID.format(1),
    ip="192.0.2.7",
    protocols=("http/1.1", "tls/1.3"),
    cipher_suite="TLS_AES_256_GCM_SHA384",
)


def text(record: Record, digests: tuple[tuple[str, str], ...] = ()) -> list[str]:
    return header(record, digests=digests, warcinfo_id=None).decode().split("\r\n")


def test_response_header_has_every_field_in_order() -> None:
    record = response_record(CAPTURE, HEAD, b"hello")
    digests = (("WARC-Block-Digest", "sha1:B"), ("WARC-Payload-Digest", "sha1:P"))
    assert header(record, digests=digests, warcinfo_id=ID.format(0)) == (
        b"WARC/1.1\r\n"
        b"WARC-Type: response\r\n"
        b"WARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-000000000001>\r\n"
        b"WARC-Date: 2026-11-22T08:00:00.123Z\r\n"
        b"WARC-Target-URI: https://site.example/a?b=c\r\n"
        b"WARC-IP-Address: 192.0.2.7\r\n"
        b"WARC-Protocol: http/1.1\r\n"
        b"WARC-Protocol: tls/1.3\r\n"
        b"WARC-Cipher-Suite: TLS_AES_256_GCM_SHA384\r\n"
        b"WARC-Warcinfo-ID: <urn:uuid:00000000-0000-4000-8000-000000000000>\r\n"
        b"WARC-Block-Digest: sha1:B\r\n"
        b"WARC-Payload-Digest: sha1:P\r\n"
        b"Content-Type: application/http; msgtype=response\r\n"
        b"Content-Length: 49\r\n"
        b"\r\n"
    )


def test_request_names_the_response_and_shares_its_date() -> None:
    lines = text(request_record(CAPTURE, b"GET / HTTP/1.1\r\nHost: site.example\r\n\r\n", record_id=ID.format(2)))
    assert lines[1:6] == [
        "WARC-Type: request",
        "WARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-000000000002>",
        "WARC-Date: 2026-11-22T08:00:00.123Z",
        "WARC-Target-URI: https://site.example/a?b=c",
        "WARC-Concurrent-To: <urn:uuid:00000000-0000-4000-8000-000000000001>",
    ]
    assert lines[-4:-2] == ["Content-Type: application/http; msgtype=request", "Content-Length: 38"]


def test_metadata_points_to_the_log() -> None:
    fields = {"decision-origin": "site.example/crawl", "decision-seq": "41", "fetchTimeMs": "12"}
    record = metadata_record(CAPTURE, fields, record_id=ID.format(3))
    assert record.block == b"decision-origin: site.example/crawl\r\ndecision-seq: 41\r\nfetchTimeMs: 12\r\n"
    assert record.content_type == "application/warc-fields"
    assert record.concurrent_to == (CAPTURE.main_id,)


def test_metadata_has_no_payload() -> None:
    assert metadata_record(CAPTURE, {}, record_id=ID.format(3)).payload is None


def test_identical_payload_revisit_refers_to_the_original_and_says_it_is_cut() -> None:
    original = Original(ID.format(9), "http://other.example/", WHEN - timedelta(days=1), "sha1:P")
    record = revisit_record(CAPTURE, HEAD, original, payload=b"hello")
    assert record.block == HEAD
    assert record.payload == b"hello"
    assert record.extra[-6:] == (
        ("WARC-Refers-To", "<urn:uuid:00000000-0000-4000-8000-000000000009>"),
        ("WARC-Refers-To-Target-URI", "http://other.example/"),
        ("WARC-Refers-To-Date", "2026-11-21T08:00:00.123Z"),
        ("WARC-Profile", "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"),
        ("WARC-Truncated", "length"),
        ("WARC-Payload-Digest", "sha1:P"),
    )


def test_not_modified_revisit_has_its_own_profile_and_is_not_cut() -> None:
    head = b"HTTP/1.1 304 Not Modified\r\n\r\n"
    record = revisit_record(CAPTURE, head, Original(ID.format(9), URL, WHEN, "sha1:P"))
    assert record.extra[-1] == ("WARC-Profile", "http://netpreserve.org/warc/1.1/revisit/server-not-modified")
    assert not {"WARC-Truncated", "WARC-Payload-Digest"} & set(dict(record.extra))
    assert record.payload is None


def test_partial_record_keeps_the_head_says_why_and_claims_no_payload() -> None:
    record = partial_record(CAPTURE, HEAD, truncated="unspecified")
    assert (record.type, record.block, record.payload) == ("response", HEAD, None)
    assert record.extra[-1] == ("WARC-Truncated", "unspecified")


def test_partial_record_with_first_bytes_is_cut_by_length() -> None:
    record = partial_record(CAPTURE, HEAD, b"<html>", truncated="length")
    assert record.block == HEAD + b"<html>"
    assert record.extra[-1] == ("WARC-Truncated", "length")


def test_chunked_response_keeps_its_framing_and_knows_the_entity_for_the_log() -> None:
    record = response_record(CAPTURE, CHUNKED_HEAD, b"5\r\nhello\r\n0\r\n\r\n")
    assert record.block == CHUNKED_HEAD + b"5\r\nhello\r\n0\r\n\r\n"
    assert record.payload == b"hello"
    assert record.payload_at == len(CHUNKED_HEAD)


def test_transfer_encoding_named_in_a_value_is_no_transfer_encoding() -> None:
    head = b"HTTP/1.1 200 OK\r\nVary: transfer-encoding: chunked\r\n\r\n"
    assert entity(head, b"5\r\nhello\r\n0\r\n\r\n") == b"5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("body", "data"),
    [
        (b"0\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5;name=value\r\nhello\r\n00\r\nTrailer: x\r\n\r\n", b"hello"),
        (b"0A \r\n0123456789\r\n1\r\n!\r\n0\r\n\r\n", b"0123456789!"),
        (b"5\nhello\n0\n\n", b"hello"),
        (b"", None),
        (b"5\r\nhel", None),
        (b"5\r\nhello", None),
        (b"5\r\nhelloX\r\n0\r\n\r\n", None),
        (b"-1\r\n\r\n0\r\n\r\n", None),
        (b"0x5\r\nhello\r\n0\r\n\r\n", None),
        (b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n", None),
        (b"fffffffffffffffffffff\r\nhello\r\n0\r\n\r\n", None),
    ],
)
def test_chunked_body_gives_its_data_or_nothing(body: bytes, data: bytes | None) -> None:
    assert unchunked(body) == data


@given(st.lists(st.binary(min_size=1, max_size=300)))
def test_any_chunks_come_out_as_they_went_in(chunks: list[bytes]) -> None:
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    assert unchunked(framed) == b"".join(chunks)


@given(st.binary(max_size=100))
def test_noise_as_chunks_never_raises(body: bytes) -> None:
    unchunked(body)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\nA: b\n\n", b"HTTP/1.1 200 OK\nA: b\n\r\n"])
def test_head_with_bare_line_feeds_is_taken_as_it_came(head: bytes) -> None:
    assert response_record(CAPTURE, head, b"x").block == head + b"x"


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nA: b"])
def test_head_without_blank_line_is_refused(head: bytes) -> None:
    with pytest.raises(WarcError, match="blank line"):
        response_record(CAPTURE, head, b"X: y\r\n\r\n")


@pytest.mark.parametrize(
    "url",
    [
        "https://site.example/\r\nWARC-Type: warcinfo",
        "https://site.example/\n",
        "https://site.example/a b",
        "https://site.example/\x00",
        "https://site.example/\u2028",
        "https://site.example/é",
        "<https://site.example/>",
        "https://",
        "ftp://site.example/",
        "",
    ],
)
def test_url_that_could_end_its_line_is_refused(url: str) -> None:
    record = response_record(Capture(target_uri=url, date=WHEN, main_id=ID.format(1)), HEAD, b"")
    with pytest.raises(WarcError, match="canonical form"):
        text(record)
    with pytest.raises(WarcError, match="canonical form"):
        revisit_record(CAPTURE, HEAD, Original(ID.format(9), url, WHEN, "sha1:P"))


@pytest.mark.parametrize("value", ["a\r\nWARC-Type: x", "a\nb", "a\rb", "\x00", "\x7f", "\x85", "\u2029", "\ud800"])
def test_value_that_could_end_its_line_is_refused(value: str) -> None:
    with pytest.raises(WarcError, match="control character"):
        warc_fields({"via": value})
    with pytest.raises(WarcError, match="control character"):
        text(response_record(Capture(target_uri=URL, date=WHEN, main_id=ID.format(1), ip=value), HEAD, b""))


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\nb", "ä"])
def test_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(WarcError, match="token"):
        warc_fields({name: "x"})


@pytest.mark.parametrize("record_id", ["", "urn:uuid:1", ID.format(1) + "\n", "<" + ID.format(1) + ">", ID.format("G")])
def test_record_id_of_another_form_is_refused(record_id: str) -> None:
    with pytest.raises(WarcError, match="new_record_id"):
        text(response_record(Capture(target_uri=URL, date=WHEN, main_id=record_id), HEAD, b""))


@given(st.text(), st.text(), st.text())
def test_whatever_the_web_says_a_header_has_the_lines_we_wrote(url: str, ip: str, suite: str) -> None:
    capture = Capture(target_uri=f"http://a/{url}", date=WHEN, main_id=ID.format(1), ip=ip, cipher_suite=suite)
    try:
        written = header(response_record(capture, HEAD, b""), digests=(), warcinfo_id=None).decode()
    except WarcError:
        return
    assert len(written.splitlines()) == 8 + bool(ip) + bool(suite)


def test_new_ids_are_accepted_and_differ() -> None:
    first, second = new_record_id(), new_record_id()
    assert first != second
    text(response_record(Capture(target_uri=URL, date=WHEN, main_id=first), HEAD, b""))


def test_date_of_another_zone_is_written_in_utc() -> None:
    east = datetime(2026, 11, 22, 9, 0, 0, tzinfo=timezone(timedelta(hours=1)))
    assert date_field(east) == "2026-11-22T08:00:00.000Z"


def test_date_without_zone_is_refused() -> None:
    with pytest.raises(WarcError, match="time zone"):
        date_field(datetime(2026, 11, 22, 8, 0, 0))  # noqa: DTZ001


def test_warcinfo_names_software_rules_and_log() -> None:
    info = crawl_info(
        software="knockfirst/1.0",
        operator="Example Lab, crawl@lab.example",
        user_agent="LabBot/1.0 (+https://lab.example/bot)",
        token="LabBot",
        policy="eu-gpai",
        policy_digest="sha256:00",
        log_origin="lab.example/crawl/w0",
        crawl="crawl",
        hostname="m1.lab.example",
    )
    record = warcinfo_record(info, filename="a.warc.gz", record_id=ID.format(0), date=WHEN)
    assert record.target_uri is None
    assert record.block.decode().splitlines() == [
        "software: knockfirst/1.0",
        "operator: Example Lab, crawl@lab.example",
        "hostname: m1.lab.example",
        "http-header-user-agent: LabBot/1.0 (+https://lab.example/bot)",
        "robots: RFC 9309 as LabBot, and rights reservations by policy eu-gpai (sha256:00)",
        "isPartOf: crawl",
        "policy-digest: sha256:00",
        "decision-log: lab.example/crawl/w0",
    ]
    assert "WARC-Filename: a.warc.gz" in text(record)


@pytest.mark.parametrize(
    ("http", "tls", "names"),
    [
        ("1.1", None, ("http/1.1",)),
        ("1.0", "TLSv1.2", ("http/1.0", "tls/1.2")),
        ("1.1", "TLSv1", ("http/1.1", "tls/1.0")),
        ("1.1", "TLSv1.4", ("http/1.1", "tlsv1.4")),
    ],
)
def test_protocols_are_written_as_name_and_version(http: str, tls: str | None, names: tuple[str, ...]) -> None:
    assert protocols(http, tls) == names


@pytest.mark.parametrize(
    ("openssl", "iana"),
    [(None, None), ("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"), ("UNHEARD-OF-SHA", None)],
)
def test_cipher_suite_is_named_by_iana_or_not_at_all(openssl: str | None, iana: str | None) -> None:
    assert cipher_suite(openssl) == iana


def test_every_suite_of_a_default_context_has_the_name_openssl_gives_for_iana() -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command")
    listing = subprocess.run(["openssl", "ciphers", "-stdname", "ALL"], capture_output=True, text=True, check=True)
    names = {words[2]: words[0] for line in listing.stdout.splitlines() if len(words := line.split()) > 2}
    offered = [suite["name"] for suite in ssl.create_default_context().get_ciphers()]
    assert {name: cipher_suite(name) for name in offered} == {name: names[name] for name in offered}
