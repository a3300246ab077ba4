"""What bytes mean, without a socket: exact ends, odd heads, framing that could be read in two ways, garbage."""

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.download.content import Entity
from crawler.download.errors import TransferError
from crawler.download.limits import Limits
from crawler.download.wire import Wire

LIMITS = Limits()
REQUEST = h11.Request(method="GET", target="/", headers=[("Host", "a.example")])
OK = b"HTTP/1.1 200 OK\r\n"


def started(limits: Limits = LIMITS) -> Wire:
    wire = Wire(limits, "http://a.example")
    wire.start(REQUEST)
    return wire


def entity(max_bytes: int = 1 << 20, *codings: str) -> Entity:
    return Entity(codings, max_bytes=max_bytes, truncate=False, limits=LIMITS, where="http://a.example")


def receive(
    answer: bytes, *, limits: Limits = LIMITS, eof: bool = False, step: int | None = None
) -> tuple[Wire, bytes]:
    wire = started(limits)
    body = entity()
    wire.message.decode_into(body)
    for start in range(0, len(answer), step or len(answer) or 1):
        wire.receive(answer[start : start + (step or len(answer))])
    if eof:
        wire.receive_eof()
    return wire, body.content()


def fault(answer: bytes, *, limits: Limits = LIMITS, eof: bool = False) -> str:
    with pytest.raises(TransferError) as caught:
        receive(answer, limits=limits, eof=eof)
    return caught.value.reason


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"

#: answer: head, block, content, needs the end of the connection
WHOLE = {
    "content-length": (OK + b"Content-Length: 5\r\n\r\n", b"hello", b"hello", False),
    "empty": (OK + b"Content-Length: 0\r\n\r\n", b"", b"", False),
    "chunked": (OK + CHUNKED, b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", b"hello", False),
    "chunked with trailers": (OK + CHUNKED, b"5\r\nhello\r\n0\r\nDigest: x\r\nB: c\r\n\r\n", b"hello", False),
    "close-delimited": (OK + b"\r\n", b"hello", b"hello", True),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\n", b"hello", b"hello", True),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", b"", False),
    "304 that names a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", b"", b"", False),
    "LF only": (b"HTTP/1.1 200 OK\nContent-Length: 5\n\n", b"hello", b"hello", False),
    "mixed line ends": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\n\r\n", b"hello", b"hello", False),
    "no reason phrase": (b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n", b"hello", b"hello", False),
    "length said twice": (OK + b"content-LENGTH: 5\r\nContent-Length: 5\r\n\r\n", b"hello", b"hello", False),
    "folded line": (OK + b"X-A: one\r\n  two\r\nContent-Length: 5\r\n\r\n", b"hello", b"hello", False),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("step", [1, 7, None])
def test_whole_answer_gives_exact_parts(name: str, step: int | None):
    head, block, content, eof = WHOLE[name]
    wire, decoded = receive(head + block, eof=eof, step=step)
    assert (wire.message.head, wire.message.block(), decoded) == (head, block, content)
    assert wire.message.complete
    assert wire.reusable is not eof


@pytest.mark.parametrize("name", [name for name, case in WHOLE.items() if not case[3]])
def test_bytes_after_the_end_belong_to_no_message_and_spoil_the_connection(name: str):
    head, block, content, _ = WHOLE[name]
    wire, decoded = receive(head + block + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    assert (wire.message.head, wire.message.block(), decoded) == (head, block, content)
    assert not wire.reusable


def test_bytes_after_the_end_in_a_later_segment_spoil_the_connection():
    wire, _ = receive(OK + b"Content-Length: 0\r\n\r\n")
    assert wire.reusable
    wire.receive(b"H")
    assert not wire.reusable


def test_interim_heads_are_kept_apart():
    first, second = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", b"HTTP/1.1 100 Continue\n\n"
    head = OK + b"Content-Length: 2\r\n\r\n"
    for step in (1, 11, None):
        wire, content = receive(first + second + head + b"ok", step=step)
        assert wire.message.interim == (first, second)
        assert (wire.message.head, wire.message.block(), content) == (head, b"ok", b"ok")


def test_header_lines_stay_as_sent():
    lines = b"x-oDD: 1\r\nSET-cookie: a\r\nset-Cookie: b\r\nX-L:\t\xe9t\xe9 \r\nEmpty:\r\nContent-Length: 0\r\n"
    wire, _ = receive(OK + lines + b"Content-Length: 0\r\n\r\n")
    assert [(header.name, header.value) for header in wire.message.headers] == [
        ("x-oDD", "1"),
        ("SET-cookie", "a"),
        ("set-Cookie", "b"),
        ("X-L", "été"),
        ("Empty", ""),
        ("Content-Length", "0"),
        ("Content-Length", "0"),
    ]
    assert wire.message.values("set-cookie") == ["a", "b"]


def test_folded_line_continues_the_one_before():
    wire, _ = receive(OK + b"X-Robots-Tag: noindex,\r\n\t noai\r\nContent-Length: 0\r\n\r\n")
    assert wire.message.values("x-robots-tag") == ["noindex, noai"]


def test_control_that_is_a_line_end_elsewhere_ends_no_line():
    wire, _ = receive(OK + b"X-A: a\x85Content-Usage: train-ai=y\r\nContent-Length: 0\r\n\r\n")
    assert wire.message.values("content-usage") == []


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5, 6\r\n",
        b"Content-Length: -5\r\n",
        b"Content-Length: 0x5\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"no colon here\r\n",
        b"X: a\x00b\r\n",
        b" folded: first\r\n",
    ],
)
def test_head_that_can_be_read_in_two_ways_is_a_protocol_error(lines: bytes):
    assert fault(OK + lines + b"\r\nhello") == "protocol"


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>no head at all</html>\r\n\r\n",
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"HTTP/1.1 099 Low\r\n\r\n",
        b"HTTP/1.1 2000 High\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        OK + CHUNKED + b"zz\r\n",
        OK + CHUNKED + b"-1\r\n",
        OK + CHUNKED + b"3\r\nabcdef\r\n",
    ],
)
def test_garbage_is_a_protocol_error(answer: bytes):
    assert fault(answer) == "protocol"


def test_head_over_its_bound_is_too_large_in_one_segment_or_many():
    limits = Limits(head_bytes=1000)
    head = OK + b"X: " + b"y" * 2000
    assert fault(head, limits=limits) == "too-large"
    assert fault(head + b"\r\nContent-Length: 0\r\n\r\n", limits=limits) == "too-large"
    assert fault(OK + b"A: b\r\n" * 300 + b"\r\n") == "too-large"


def test_more_interim_heads_than_the_bound_is_a_protocol_error():
    assert fault(b"HTTP/1.1 102 Processing\r\n\r\n" * (LIMITS.interim_heads + 1)) == "protocol"


@pytest.mark.parametrize("chunk", [b"1\r\nx\r\n", b"1;" + b"e" * 500 + b"\r\nx\r\n"])
def test_more_framing_than_data_is_a_protocol_error(chunk: bytes):
    assert fault(OK + CHUNKED + chunk * (300_000 // len(chunk))) == "protocol"


def test_many_small_chunks_as_real_servers_flush_them_are_read():
    _, content = receive(OK + CHUNKED + b"8\r\n12345678\r\n" * 5000 + b"0\r\n\r\n")
    assert content == b"12345678" * 5000


@pytest.mark.parametrize(
    "answer",
    [OK[:9], OK, OK + b"Content-Length: 5\r\n\r\nhell", OK + CHUNKED + b"5\r\nhello\r\n", OK + CHUNKED + b"5\r\nhe"],
)
def test_connection_closed_within_an_answer_is_incomplete(answer: bytes):
    assert fault(answer, eof=True) == "incomplete"


def test_connection_closed_before_an_answer_is_reset():
    assert fault(b"", eof=True) == "reset"


def test_many_requests_on_one_wire_have_a_message_each():
    wire = started()
    messages = []
    for number in range(3):
        if number:
            wire.start(REQUEST)
        wire.receive(OK + b"Content-Length: 1\r\n\r\n%d" % number)
        messages.append(wire.message)
        assert wire.reusable
    assert [message.block() for message in messages] == [b"0", b"1", b"2"]


PIECES = (
    *(b"HTTP/1.1 200 OK", b"HTTP/1.0 204", b"HTTP/1.1 100", b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\0", b"\xff"),
    *(b"Content-Length", b"Transfer-Encoding", b"chunked", b"5", b"0", b"ffffffff", b"a", b",", b";", b"X: y\r\n"),
)
HEADISH = st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)


@pytest.mark.fuzz
@settings(max_examples=300, deadline=None)
@given(answer=st.one_of(HEADISH, st.binary(max_size=200)), step=st.integers(1, 50), eof=st.booleans())
def test_any_bytes_give_a_message_or_a_transfer_error(answer: bytes, step: int, eof: bool):
    wire = started()
    wire.message.decode_into(entity())
    sent = b""
    try:
        for start in range(0, len(answer), step):
            if wire.message.complete:
                break
            wire.receive(answer[start : start + step])
            sent = answer[: start + step]
        if eof:
            wire.receive_eof()
    except TransferError:
        assert wire.spoiled
    else:
        whole = b"".join(wire.message.interim) + wire.message.head + wire.message.block()
        assert sent.startswith(whole)
        assert not (eof and wire.reusable)


@settings(max_examples=100, deadline=None)
@given(
    chunks=st.lists(st.binary(min_size=1, max_size=300), max_size=10),
    step=st.integers(1, 200),
    tail=st.binary(max_size=5),
)
def test_any_chunking_in_any_segments_gives_the_same_block_and_content(chunks: list[bytes], step: int, tail: bytes):
    head = OK + CHUNKED
    block = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    wire, content = receive(head + block + tail, step=step)
    assert (wire.message.head, wire.message.block(), content) == (head, block, b"".join(chunks))
    assert wire.reusable is not bool(tail)
