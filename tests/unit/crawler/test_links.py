"""Links of pages and URLs of sitemaps, from bytes that may be anything."""

import gzip
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.spiders import links
from crawler.spiders.links import SitemapUrl, header_says_nofollow, page_links, sitemap_urls


def hrefs(body, *, nofollow=False):
    return list(page_links(body.encode(), "utf-8", nofollow_page=nofollow).hrefs)


def test_references_of_a_page_come_in_order_and_once():
    body = '<a href="/a">a</a><area href="/b"><iframe src="/c"></iframe><a href="/a">again</a><a href=" /d ">d</a>'
    assert hrefs(body) == ["/a", "/b", "/c", "/d"]


def test_fragments_empty_references_and_resources_are_no_links():
    body = '<a href="#x">x</a><a href="">e</a><img src="/i.png"><link rel="stylesheet" href="/s.css"><a>none</a>'
    assert hrefs(body) == []


def test_next_page_that_a_link_element_names_is_followed():
    assert hrefs('<head><link rel="next" href="/2"></head>') == ["/2"]


def test_base_is_the_first_one():
    found = page_links(b'<base href="/deep/"><base href="/other/"><a href="x">x</a>', "utf-8", nofollow_page=False)
    assert (found.base, list(found.hrefs)) == ("/deep/", ["x"])


@pytest.mark.parametrize("rel", ["nofollow", "noopener NoFollow", "nofollow ugc"])
def test_nofollow_of_a_link_is_honoured_and_counted(rel):
    found = page_links(f'<a rel="{rel}" href="/a">a</a><a href="/b">b</a>'.encode(), "utf-8", nofollow_page=False)
    assert (list(found.hrefs), found.nofollow) == (["/b"], 1)


@pytest.mark.parametrize("content", ["nofollow", "index, NoFollow", "none", " noindex ,nofollow"])
def test_nofollow_of_a_page_is_honoured_wherever_the_meta_stands(content):
    for body in (
        f'<meta name="ROBOTS" content="{content}"><a href="/a">a</a>',
        f'<a href="/a">a</a><meta name=robots content="{content}">',
    ):
        found = page_links(body.encode(), "utf-8", nofollow_page=False)
        assert (list(found.hrefs), found.nofollow) == ([], 1)


def test_nofollow_of_a_header_is_honoured():
    assert hrefs('<a href="/a">a</a>', nofollow=True) == []
    assert header_says_nofollow(["noindex, NOFOLLOW"])
    assert header_says_nofollow(["all", "none"])
    assert not header_says_nofollow(["noindex", "follow"])


def test_number_of_links_of_a_page_is_bounded(monkeypatch):
    monkeypatch.setattr(links, "MOST_LINKS", 3)
    assert hrefs("".join(f'<a href="/{n}">n</a>' for n in range(10))) == ["/0", "/1", "/2"]


@pytest.mark.parametrize("body", [b"", b"\x00", b"<", b"<!--", b"\xff\xfe<\x00a", b"<a href='/x", b"%PDF-1.7"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "no-such-encoding"])
def test_broken_pages_give_fewer_links_and_no_error(body, encoding):
    assert page_links(body, encoding, nofollow_page=False).nofollow == 0


@pytest.mark.parametrize(
    "hidden",
    [
        "<!-- {} -->",
        "<!doctype '{}",
        '<p title="{}">',
        "<script>{}</script>",
        "<STYLE media=all>{}</Style >",
        "<textarea>{}</textareas></textarea>",
        "<iframe>{}</iframe>",
    ],
)
def test_what_stands_in_comments_values_and_texts_is_no_tag(hidden):
    assert hrefs(hidden.format("<a href=/no>") + "<a href=/yes>") == ["/yes"]


def test_tags_are_read_as_browsers_read_them():
    tags = "<A\nHREF = '/1' href=/x><a/href=/2><a title=\"a > b\" href=/3>"
    assert hrefs(tags + "<svg><style/><title/></svg><a href=/4/><!--><a href=/5>") == ["/1", "/2", "/3", "/4/", "/5"]
    assert hrefs("<abbr href=/x><a href><a =href=/y>" + "<a href=/cut") == []


def test_references_to_characters_in_values_are_resolved():
    assert hrefs("<a href='?a=1&amp;b=2&copy=3&copy;&lt&#65;&#x42;&#128;&none;\0'>") == [
        "?a=1&b=2&copy=3©<AB€&none;\ufffd"
    ]


@pytest.mark.parametrize(
    ("encoding", "path"), [("utf-8", "/é表"), ("utf-16", "/é表"), ("cp1252", "/é"), ("iso2022_jp", "/表")]
)
def test_references_are_read_in_the_encoding_of_the_page(encoding, path):
    body = f'<a href="{path}">'.encode(encoding)
    assert list(page_links(body, encoding, nofollow_page=False).hrefs) == [path]


@pytest.mark.parametrize(
    "part", ["<a ", "<a x='", "<a x=", "<a =", "<", "</", "<!--", "<script>", "<title></titl", "&", '<a href="&']
)
def test_time_for_a_page_grows_no_faster_than_the_page(part):
    octets = (part * 400_000)[:400_000].encode()
    began = time.process_time()
    page_links(octets, "utf-8", nofollow_page=False)
    assert time.process_time() - began < 10  # where it grew with the square: minutes


SITEMAP = '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{}</urlset>'
ENTRY = "<url><loc>{}</loc></url>"


def urls(body):
    return [entry.url for entry in sitemap_urls(body if isinstance(body, bytes) else body.encode())]


def test_sitemap_in_xml_plain_text_and_gzip():
    xml = SITEMAP.format(ENTRY.format(" https://a.example/1 ") + ENTRY.format("https://a.example/2?a=1&amp;b=2"))
    assert urls(xml) == urls(gzip.compress(xml.encode())) == ["https://a.example/1", "https://a.example/2?a=1&b=2"]
    assert urls("\ufeffhttps://a.example/1\r\nnot one\nhttps://a.example/2\n") == [
        "https://a.example/1",
        "https://a.example/2",
    ]


def test_index_names_sitemaps():
    body = "<sitemapindex><sitemap><loc>https://a.example/s.xml</loc></sitemap></sitemapindex>"
    assert list(sitemap_urls(body.encode())) == [SitemapUrl("https://a.example/s.xml", index=True)]


def test_loc_of_another_vocabulary_is_none():
    image = '<image:image xmlns:image="x"><image:loc>https://a.example/i.png</image:loc></image:image>'
    assert urls(SITEMAP.format(f"<url><loc>https://a.example/1</loc>{image}</url>")) == ["https://a.example/1"]


def test_sitemap_that_breaks_off_gives_what_came_before():
    xml = SITEMAP.format("".join(ENTRY.format(f"https://a.example/{n}") for n in range(50)))
    found = urls(xml[: len(xml) // 2])
    assert 20 <= len(found) < 30
    assert urls(gzip.compress(xml.encode())[:60]) == urls(gzip.compress(xml.encode())[:60])


def test_entities_are_not_expanded_and_nothing_is_fetched():
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY f SYSTEM "file:///etc/passwd">]>'
    found = urls(bomb + SITEMAP.format(ENTRY.format("https://a.example/&b;&f;") + ENTRY.format("https://a.example/2")))
    assert "root:" not in "".join(found)
    assert all(len(url) < 100 for url in found)


def test_number_of_urls_is_bounded(monkeypatch):
    monkeypatch.setattr(links, "MOST_SITEMAP_URLS", 3)
    assert len(urls(SITEMAP.format(ENTRY.format("https://a.example/") * 10))) == 3
    assert len(urls("https://a.example/\n" * 10)) == 3


def test_inflation_is_bounded(monkeypatch):
    monkeypatch.setattr(links, "MOST_SITEMAP_BYTES", 100)
    assert len(urls(gzip.compress(b"https://a.example/\n" * 10_000))) <= 6


def test_sitemap_with_names_that_xml_forbids_is_read():
    assert urls("<?x?><urlset><:/>" + ENTRY.format("https://a.example/")) == ["https://a.example/"]


@pytest.mark.fuzz
@given(st.binary(max_size=400))
def test_any_bytes_are_a_sitemap_without_error(body):
    for begin in (b"", b"<", b"\x1f\x8b", b"<urlset>"):
        list(sitemap_urls(begin + body))
