"""The page as Scrapy sees it: decoded once, told by what is declared."""

from types import SimpleNamespace

import pytest
from scrapy import Request
from scrapy.http import HtmlResponse, Response, TextResponse, XmlResponse

from crawler.download.client import Body
from crawler.handler import encoding_of, response_of
from reservations.model import Header

URL = "https://a.example/x"


def response(content=b"<p>x</p>", **headers):
    named = tuple(Header(name.replace("_", "-"), value) for name, value in headers.items())
    exchange = SimpleNamespace(url=URL, status=200, headers=named, http_version="1.1", ip="192.0.2.1")
    return response_of(Request(URL), exchange, Body(block_bytes=b"coded", content=content))


@pytest.mark.parametrize(
    ("kind", "declared"),
    [
        (HtmlResponse, "text/html; charset=utf-8"),
        (XmlResponse, "application/xml"),
        (TextResponse, "text/plain"),
        (Response, "application/pdf"),
    ],
)
def test_class_of_response_follows_the_media_type(kind, declared):
    assert type(response(b"\x00\x01" if kind is Response else b"x", Content_Type=declared)) is kind


def test_body_is_decoded_and_codings_are_gone_from_the_headers():
    got = response(
        b"plain", Content_Type="text/plain", Content_Encoding="gzip", Transfer_Encoding="chunked", Content_Length="5"
    )
    assert got.body == b"plain"
    assert set(got.headers) == {b"Content-Type"}
    assert got.protocol == "HTTP/1.1"


def test_repeated_headers_all_stay():
    named = (Header("X-Robots-Tag", "noindex"), Header("x-robots-tag", "noai"))
    exchange = SimpleNamespace(url=URL, status=200, headers=named, http_version="1.1", ip="")
    got = response_of(Request(URL), exchange, Body(block_bytes=b"", content=b"<p>"))
    assert got.headers.getlist("X-Robots-Tag") == [b"noindex", b"noai"]


@pytest.mark.parametrize(
    ("content_type", "content", "encoding"),
    [
        (None, b"plain", "utf-8"),
        (None, "é".encode(), "utf-8"),
        (None, "é".encode("latin-1"), "cp1252"),
        (b"text/html; charset=iso-8859-2", b"x", "iso8859-2"),
        (b"text/html; charset=utf-8", "\ufeffx".encode("utf-16-le"), "utf-16-le"),
        (b"text/html", b'<meta charset="windows-1251">', "cp1251"),
        (b"text/html; charset=no-such", b"x", "utf-8"),
    ],
)
def test_encoding_by_mark_then_header_then_declaration_then_bytes(content_type, content, encoding):
    assert encoding_of(content_type, content) == encoding


def test_declaration_in_html_does_not_count_elsewhere():
    assert encoding_of(None, b'<meta charset="windows-1251">', html=False) == "utf-8"
