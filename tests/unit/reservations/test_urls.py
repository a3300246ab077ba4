from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from w3lib.url import safe_url_string

from reservations.urls import MAX_OCTETS, Origin, UrlError, canonical_url, faults, origin_of, request_target

A = "https://site.example"


class Bounds:
    secret_keys = frozenset({"token", "api_key"})

    def allows_port(self, port: int, /) -> bool:
        return port in {80, 443} or port >= 1024


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://site.example", A + "/"),
        ("https://site.example?q", A + "/?q"),
        ("https://site.example/a?b#c", A + "/a?b"),
        ("https://site.example/a?#b", A + "/a"),
        ("HTTPS://SITE.Example/A", A + "/A"),
        ("https://site.example:443/", A + "/"),
        ("http://site.example:0080/", "http://site.example/"),
        ("https://site.example:8443/", A + ":8443/"),
        ("https://site.example:/", A + "/"),
        ("https://site.example./a", A + "/a"),
        ("  https://site.example/a\tb\nc \x00", A + "/abc"),
        ("https:\\\\site.example\\a\\b?c\\d", A + "/a/b?c%5Cd"),
        ("https:site.example/a", A + "/a"),
        ("https:////site.example/a", A + "/a"),
        ("https://site.example/a/./b/../c//d", A + "/a/c//d"),
        ("https://site.example/a/%2e/%2E%2e/.%2E", A + "/"),
        ("https://site.example/../..", A + "/"),
        ("https://site.example/a/..b/.c", A + "/a/..b/.c"),
        ("https://site.example/a b'\"<>`{}|^\\é", A + "/a%20b'%22%3C%3E%60%7B%7D%7C%5E/%C3%A9"),
        ("https://site.example/?a b'\"<>`{}|^\\é", A + "/?a%20b%27%22%3C%3E%60%7B%7D%7C%5E%5C%C3%A9"),
        ("https://site.example/%zz%7e%e3", A + "/%zz%7e%e3"),
        ("https://site.example/a[]?b[]=1", A + "/a%5B%5D?b%5B%5D=1"),
        ("https://site.example/\x7f\x80", A + "/%7F%C2%80"),
        ("https://user:pass@site.example/", "https://user:pass@site.example/"),
        ("https://a@b@site.example/", "https://a%40b@site.example/"),
        ("https://@site.example/", A + "/"),
        ("https://:@site.example/", A + "/"),
    ],
)
def test_url_has_one_spelling(url, canonical):
    assert canonical_url(url) == canonical


@pytest.mark.parametrize(
    ("host", "canonical"),
    [
        ("Bücher.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"),  # non-transitional: not fass
        ("ΒΌΛΟΣ.example", "xn--nxasmq6b.example"),  # a capital sigma at the end is mapped, not guessed
        ("日本。jp", "xn--wgv71a.jp"),
        ("ｓｉｔｅ.example", "site.example"),
        ("si\u00adte.example", "site.example"),
        ("s%69te.example", "site.example"),
        ("☕.example", "xn--53h.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("r3---sn-a.example", "r3---sn-a.example"),
        ("_dmarc.example", "_dmarc.example"),
        ("0x7f.1", "127.0.0.1"),
        ("0x7F000001", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0177.0.0.01", "127.0.0.1"),
        ("127.1.", "127.0.0.1"),
        ("0x", "0.0.0.0"),
        ("１２７.0.0.1", "127.0.0.1"),
        ("1.2.3.4.example", "1.2.3.4.example"),
        ("[::1]", "[::1]"),
        ("[0:0:0:0:0:FFFF:1.2.3.4]", "[::ffff:102:304]"),
        ("[1:0:0:2:0:0:0:3]", "[1:0:0:2::3]"),
        ("[1:0:2:3:4:5:6:7]", "[1:0:2:3:4:5:6:7]"),
        ("[::]", "[::]"),
        ("[1::]", "[1::]"),
    ],
)
def test_host_has_one_spelling(host, canonical):
    url = canonical_url(f"https://{host}/a")
    assert url == f"https://{canonical}/a"
    assert canonical_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/a",
        "//site.example/",
        "site.example",
        "ftp://site.example/",
        "javascript:alert(1)",
        "data:text/html,x",
        "mailto:a@site.example",
        "https://",
        "https:///",
        "https://?a",
        "https://a..b/",
        "https://.a/",
        "https://a b/",
        "https://a%00b/",
        "https://a%2Fb/",
        "https://a^b/",
        "https://%ff/",
        "https://" + "a" * 64 + ".example/",
        "https://" + "a." * 130 + "example/",
        "https://xn--a.example/",
        "https://xn--.example/",
        "https://xn--abc-.example/",
        "https://a\u200db.example/",
        "https://\u0301a.example/",
        "https://\u05d0a.example/",
        "https://1.2.3.4.5/",
        "https://256.1.1.1/",
        "https://1.2.3.256/",
        "https://4294967296/",
        "https://09/",
        "https://1_0.1/",
        "https://a.0x1/",
        "https://[::1/",
        "https://[::1]a/",
        "https://[1::2::3]/",
        "https://[fe80::1%25eth0]/",
        "https://[v1.a]/",
        "https://site.example:65536/",
        "https://site.example:-1/",
        "https://site.example:8a/",
        "https://site.example:\u0661/",
        "https://site.example/\ud800",
        "https://site.example/" + "a" * 70_000 + " ",
    ],
)
def test_what_could_not_be_asked_for_is_refused(url):
    with pytest.raises(UrlError):
        canonical_url(url)


def test_error_names_the_url_and_the_problem():
    with pytest.raises(UrlError, match=r"'https://09/': the host ends in a number, but is no IPv4 address"):
        canonical_url("https://09/")


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        ("", A + "/d/e?f"),
        ("#z", A + "/d/e?f"),
        ("?", A + "/d/e"),
        ("?x", A + "/d/e?x"),
        ("g", A + "/d/g"),
        ("/g?x", A + "/g?x"),
        ("./", A + "/d/"),
        ("..", A + "/"),
        ("../../../g", A + "/g"),
        ("//other.example", "https://other.example/"),
        ("\\\\other.example\\g", "https://other.example/g"),
        ("/\\other.example", "https://other.example/"),
        ("https:g", A + "/d/g"),
        ("https:/g", A + "/g"),
        ("https://other.example/", "https://other.example/"),
        ("http:other.example", "http://other.example/"),
        ("a b", A + "/d/a%20b"),
        ("a:b/c", None),
        ("./a:b", A + "/d/a:b"),
        ("1:b", A + "/d/1:b"),
    ],
)
def test_reference_is_resolved_as_browsers_do(reference, url):
    if url is None:
        with pytest.raises(UrlError):
            canonical_url(reference, A + "/d/e?f")
    else:
        assert canonical_url(reference, "HTTPS://SITE.example/d/e?f#g") == url


def test_origin_has_the_effective_port():
    assert origin_of("HTTP://Site.example/a") == Origin("http", "site.example", 80)
    assert str(origin_of("https://u@site.example:8443/")) == "https://site.example:8443"
    assert origin_of("http://site.example:443/").authority == "site.example:443"
    assert origin_of("https://[::1]:443/").authority == "[::1]"
    with pytest.raises(UrlError):
        origin_of("/a")


def test_request_target_is_path_and_query():
    assert request_target("https://site.example") == b"/"
    assert request_target("https://u:p@site.example:8443//a/é?b='#c") == b"//a/%C3%A9?b=%27"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (A + "/", None),
        (A + ":8443/a?b=c", None),
        ("https://user@site.example/", "url.secret"),
        ("https://:pass@site.example/", "url.secret"),
        (A + "/?a=1&token=x", "url.secret"),
        (A + "/?TOKEN=x", "url.secret"),
        (A + "/?%74oken=x", "url.secret"),
        (A + "/?api_key=x#", "url.secret"),
        (A + "/?token=", None),
        (A + "/?tokens=1", None),
        (A + "/token=1", None),
        (A + ":25/", "url.unsupported"),
        (A + ":0/", "url.unsupported"),
        ("ftp://site.example/", "url.unsupported"),
        ("https://user:pass@256.256.256.256/", "url.secret"),
        (A + "/" + "a" * (MAX_OCTETS - len(A) - 1), None),
        (A + "/" + "a" * (MAX_OCTETS - len(A)), "url.unsupported"),
        (A + "/" + "é" * (MAX_OCTETS // 6), "url.unsupported"),
    ],
)
def test_faults_name_the_reason(url, reason):
    assert faults(url, Bounds()) == reason


PIECES = [
    *("https:", "http:", "//", "/", "\\", "a", "B", ".", "..", "%2e", "?", "#", "@", ":", "[", "]", "::1", "é", "xn--"),
    *("0x7f", "1", "443", "%", "%41", "例", "\u200d", "|", "'", "&=", ".example", " ", "\n"),
]
TEXTS = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.sampled_from(PIECES),
        max_size=12,
    ).map("".join),
)


@given(TEXTS, st.none() | TEXTS)
def test_any_text_is_spelt_once_or_refused(text, base):
    try:
        url = canonical_url(text, base)
    except UrlError:
        return
    assert canonical_url(url) == url
    assert canonical_url(url, A) == url
    assert url.isascii()
    assert url.isprintable()
    assert not set(url) & set(' "<>\\^`{|}#')
    assert url.startswith(str(origin_of(url)) + "/") or "@" in url
    assert request_target(url).decode() == "/" + url.split("/", 3)[3]
    assert faults(url, Bounds()) in {None, "url.secret", "url.unsupported"}


@given(TEXTS)
def test_canonical_form_passes_unchanged_through_what_scrapy_does_to_urls(text):
    try:
        url = canonical_url(f"{A}/{text}")
    except UrlError:
        return
    assert safe_url_string(url) == url


SEGMENTS = st.lists(st.sampled_from(["a", "b.html", ".", "..", "c-d"]), max_size=5).map("/".join)


@given(SEGMENTS, SEGMENTS)
def test_plain_references_agree_with_the_standard_library(base, reference):
    expected = urljoin(canonical_url(f"{A}/{base}"), reference)
    assert canonical_url(reference, f"{A}/{base}") == canonical_url(expected)
