"""The strict reader of WARC files: one record in one member, or an error."""

import gzip
import io
import zlib

import pytest
from fastwarc.warc import ArchiveIterator
from hypothesis import given
from hypothesis import strategies as st

from provenance import warcfile
from provenance.warcfile import WarcFileError, digest, file_digest, open_regular, read_record

HEADER = "WARC/1.1\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:1>\r\n"


def member(block=b"HTTP/1.1 200 OK\r\n\r\nhello", header=HEADER, length=None, end=b"\r\n\r\n"):
    length = len(block) if length is None else length
    return gzip.compress(f"{header}Content-Length: {length}\r\n\r\n".encode() + block + end, mtime=0)


def read(octets, offset=0):
    return read_record(io.BytesIO(octets), offset)


def test_record_is_read_with_its_place():
    octets = member() + member(b"GET / HTTP/1.1\r\n\r\n")
    first = read(octets)
    second = read(octets, first.length)
    assert (first.type, first.id, first.target_uri, first.block) == (
        "response",
        "urn:uuid:1",
        "",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
    )
    assert first.payload_digest() == digest(b"hello")
    assert (second.offset, second.offset + second.length) == (first.length, len(octets))
    assert second.block_digest() == digest(b"GET / HTTP/1.1\r\n\r\n")


def test_another_reader_finds_the_same(whole):
    for path in sorted(whole.glob("*/*.warc.gz")):
        with path.open("rb") as file:
            theirs = [
                (record.stream_pos, record.record_id.strip("<>"), record.reader.read())
                for record in ArchiveIterator(file, parse_http=False)
            ]
        with path.open("rb") as file:
            ours, offset = [], 0
            while offset < path.stat().st_size:
                record = read_record(file, offset)
                ours.append((record.offset, record.id, record.block))
                offset += record.length
        assert ours == theirs


@pytest.mark.parametrize(
    ("octets", "what"),
    [
        (b"", "ends inside"),
        (member()[:-1], "ends inside"),
        (b"WARC/1.1\r\n", "damaged"),
        (member(length=3), "Content-Length"),
        (member(length=99), "Content-Length"),
        (member(length="1e3"), "Content-Length"),
        (member(length=" -5"), "Content-Length"),
        (member(end=b"\r\n"), "Content-Length"),
        (member(end=b"\r\n\r\nmore"), "Content-Length"),
        (member(header=HEADER.replace("1.1", "2.0")), "does not begin"),
        (member(header=HEADER + "WARC-Type: request\r\n"), "twice"),
        (member(header=HEADER + "no field\r\n"), "no field"),
        (member(header=HEADER + "Folded: a\r\n b\r\n"), "no field"),
        (member(header=HEADER.replace("WARC-Type", "X")), "lacks warc-type"),
        (gzip.compress(b"x" * 1000), "no WARC header"),
        (gzip.compress(b"WARC/1.1\r\nA: \xff\r\n\r\n"), "not UTF-8"),
        (gzip.compress(b"WARC/1.1\r\n" + b"A: b\r\n" * 100_000 + b"\r\n\r\n"), "no WARC header"),
    ],
)
def test_what_is_no_whole_record_is_refused(octets, what):
    with pytest.raises(WarcFileError, match=what):
        read(octets)


def test_record_that_inflates_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(warcfile, "MAX_RECORD_BYTES", 100_000)
    with pytest.raises(WarcFileError, match="inflates to more"):
        read(member(b"\x00" * 10_000_000))


def test_every_flipped_byte_of_contents_is_refused_or_changes_the_record():
    octets = member()
    whole = read(octets)
    header_bytes = 10
    for index in range(header_bytes, len(octets)):
        changed = bytearray(octets)
        changed[index] ^= 4
        try:
            record = read(bytes(changed))
        except WarcFileError:
            continue
        assert (record.fields, record.block) == (whole.fields, whole.block)  # bits that deflate leaves unused


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=6), st.booleans())
def test_chunked_payload_is_the_data_of_its_chunks(chunks, lenient):
    end = b"\n" if lenient else b"\r\n"
    body = b"".join(b"%X" % len(chunk) + end + chunk + end for chunk in chunks) + b"0" + end + end
    record = read(member(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + body))
    assert record.payload_digest() == digest(b"".join(chunks))


@pytest.mark.parametrize("body", [b"", b"zz\r\n", b"5\r\nab", b"2\r\nabc\r\n0\r\n\r\n", b"FFFFFFFFFFFFFFFF\r\nab"])
def test_broken_chunks_have_no_payload(body):
    record = read(member(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body))
    assert record.payload_digest() is None


def test_block_without_head_has_no_payload():
    assert read(member(b"no head")).payload_digest() is None


def test_file_digest_is_of_all_bytes(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert file_digest(tmp_path / "f") == (3, digest(b"abc"))


@pytest.mark.parametrize(
    ("make", "what"),
    [(lambda path: path.symlink_to("elsewhere"), "symbolic links"), (lambda path: path.mkdir(), "not a regular file")],
)
def test_what_is_no_file_is_not_opened(tmp_path, make, what):
    make(tmp_path / "f")
    with pytest.raises(OSError, match=what):
        open_regular(tmp_path / "f")


def test_several_members_in_one_read_are_told_apart():
    small = [member(bytes([65 + index])) for index in range(5)]
    octets, offset = b"".join(small), 0
    for index in range(5):
        record = read(octets, offset)
        assert (record.block, record.length) == (bytes([65 + index]), len(small[index]))
        offset += record.length


def test_member_larger_than_one_read_is_whole():
    block = bytes(range(256)) * 4096
    stored = zlib.compressobj(0, zlib.DEFLATED, 31)
    octets = (
        stored.compress(f"{HEADER}Content-Length: {len(block)}\r\n\r\n".encode() + block + b"\r\n\r\n") + stored.flush()
    )
    assert read(octets + member()).block == block
