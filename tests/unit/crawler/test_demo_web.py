"""The demo web: what the data file promises, what the servers put on the wire, what the comparison sees."""

import asyncio
import io
import ssl
import zlib
from urllib.parse import urlsplit

import pytest
from rich.console import Console

from crawler.demo.compare import Entry, compare, manners, table, trespasses, verdicts
from crawler.demo.server import Access, DemoError, DemoWeb
from crawler.demo.situations import Outcome, Ports, SituationError, Web

PORTS = Ports(18080, 18443)
SMALL = """
[prose]
sentences = ["One.", "Two.", "Three."]
[[site]]
host = "a.example"
why = "A site."
robots = "User-agent: *"
page = [{ path = "/", via = "seed", links = ["/secret?token=1", "b.example/"] },
        { path = "/secret?token=1", expect = "refused url.secret" },
        { path = "/again", via = "seed", first = [{ status = 503 }], before = ["deferred http.server-error"] }]
[[site]]
host = "b.example"
why = "Not to be visited."
page = [{ path = "/", via = "nowhere" }]
"""


@pytest.fixture(scope="module")
def demo():
    with DemoWeb.start(PORTS) as running:
        yield running


@pytest.fixture(scope="module")
def web():
    return Web.load()


class Client:
    """A connection to one host of the demo; reads octets, understands nothing."""

    def __init__(self, demo, origin):
        self.demo, self.parts = demo, urlsplit(origin)

    async def __aenter__(self):
        tls = None
        if self.parts.scheme == "https":
            tls = ssl.create_default_context(cafile=str(self.demo.ca_file))
        self.reader, self.writer = await asyncio.open_connection(
            self.demo.hosts[self.parts.hostname],
            self.parts.port,
            ssl=tls,
            server_hostname=self.parts.hostname if tls else None,
        )
        return self

    async def __aexit__(self, *_):
        self.writer.transport.abort()

    def ask(self, path, method="GET"):
        self.writer.write(f"{method} {path} HTTP/1.1\r\nHost: {self.parts.netloc}\r\n\r\n".encode())

    async def head(self):
        return await self.reader.readuntil(b"\r\n\r\n")


def exchange(demo, url, size=None):
    """Head and body of one answer; the body as far as Content-Length or `size` says."""

    async def main():
        async with Client(demo, url) as client:
            client.ask("/" + url.split("/", 3)[3])
            head = await client.head()
            length = size
            if length is None:
                found = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                length = int(found[0].split(b":")[1]) if found else 0
            return head, await client.reader.readexactly(length)

    return asyncio.run(asyncio.wait_for(main(), 20))


async def until(condition):
    """Wait for something that happens on the demo's own event loop, in another thread."""
    while not condition():  # noqa: ASYNC110 - no event can be shared between the two
        await asyncio.sleep(0.001)


# --- the data file


def test_data_file_holds_a_web_of_many_hosts(web):
    assert len(web.named_hosts) >= 34
    assert len(web.expected) >= 300
    assert sum(site.scheme == "https" for site in web.sites) >= 8
    assert all(site.why.strip().endswith(".") for site in web.sites)


def test_data_file_shows_every_verdict(web):
    shown = {item.outcome.verdict for item in web.expected.values() if item.outcome}
    final = {"kept", "unchanged", "redirected", "refused", "aborted", "discarded", "held", "absent", "failed"}
    assert shown == final
    assert {outcome.verdict for item in web.expected.values() for outcome in item.before} == {"deferred"}


def test_urls_carry_the_ports_that_were_chosen():
    web = Web.load(Ports(8081, 8444))
    assert web.url("news.example/story/1") == "https://news.example:8444/story/1"
    assert web.url("http://split.example/") == "http://split.example:8081/"
    assert web.fill("Location: {moved.example/new?a=1}") == "Location: http://moved.example:8081/new?a=1"
    assert web.fill('[{"location": "/", "tdm-reservation": 1}]') == '[{"location": "/", "tdm-reservation": 1}]'
    assert all(":8081/" in url or ":8444/" in url for url in web.expected)


def test_prose_is_always_the_same_and_differs_by_page(web):
    assert web.prose("a") == Web.load().prose("a")
    assert web.prose("a") != web.prose("b")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("b.example/", "c.example/", "leads to c.example/, which no site has"),
        ('"/again"', '"/"', "http://a.example:8080/: stands there twice"),
        ("why =", "because =", "unknown field `because`"),
        ('via = "nowhere"', 'via = "chance"', "Invalid enum value 'chance'"),
        ("[[site]]", "[[site", "the demo's web.toml"),
    ],
)
def test_faulty_data_file_is_refused_with_its_fault(before, after, said):
    with pytest.raises(SituationError, match=said.replace("[", r"\[")):
        Web.load(text=SMALL.replace(before, after, 1) if before != "b.example/" else SMALL.replace(before, after))


# --- the servers


def test_every_host_has_a_loopback_address_of_its_own(demo):
    addresses = list(demo.hosts.values())
    assert len(set(addresses)) == len(addresses)
    assert all(address.startswith("127.") for address in addresses)
    assert demo.resolve_file.read_text() == demo.resolve_text
    assert f"news.example={demo.hosts['news.example']}\n" in demo.resolve_text
    assert "no-name.example" not in demo.hosts


def test_two_demos_run_beside_each_other(demo):
    with DemoWeb.start(PORTS) as other:
        assert set(other.hosts.values()).isdisjoint(demo.hosts.values())


def test_ports_taken_on_every_address_are_named():
    async def main():
        squatter = await asyncio.start_server(lambda *_: None, "0.0.0.0", 18099)
        try:
            with pytest.raises(DemoError, match="18099 and 18098") as caught, DemoWeb.start(Ports(18099, 18098)):
                pass
            return str(caught.value)
        finally:
            squatter.close()

    assert "Stop that program" in asyncio.run(main())


def test_page_is_html_with_links_to_other_sites(demo):
    head, body = exchange(demo, "https://news.example:18443/story/7")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"<title>Story 7 of the Gazette</title>" in body
    assert b'<a href="https://wiki.example:18443/article/7">' in body
    assert b'<a href="http://forum.example:18080/topic/7">' in body


def test_unknown_path_is_404_and_unknown_method_405(demo):
    assert exchange(demo, "http://robots-404.example:18080/robots.txt")[0].startswith(b"HTTP/1.1 404 ")

    async def main():
        async with Client(demo, "http://robots-404.example:18080") as client:
            client.ask("/", "POST")
            return await client.head()

    assert asyncio.run(main()).startswith(b"HTTP/1.1 405 ")


def test_connection_is_kept_alive_and_each_request_logged(demo):
    async def main():
        async with Client(demo, "http://forum.example:18080") as client:
            client.ask("/topic/1")
            client.ask("/topic/2")
            return [await client.reader.readuntil(b"</html>\n") for _ in range(2)]

    demo.reset()
    first, second = asyncio.run(main())
    assert b"Topic 1<" in first
    assert b"Topic 2<" in second
    one, two = demo.access_log
    assert (one.url, two.path) == ("http://forum.example:18080/topic/1", "/topic/2")
    assert one.peer == two.peer
    assert ("host", "forum.example:18080") in one.headers
    assert one.ended is not None
    assert one.began <= one.ended <= two.began


def test_first_answers_come_first_and_again_after_reset(demo):
    url = "http://busy.example:18080/429"
    demo.reset()
    first, second = exchange(demo, url)[0], exchange(demo, url)[0]
    assert first.startswith(b"HTTP/1.1 429 ")
    assert b"Retry-After: 1\r\n" in first
    assert second.startswith(b"HTTP/1.1 200 ")
    demo.reset()
    assert exchange(demo, url)[0].startswith(b"HTTP/1.1 429 ")


def test_robots_txt_of_600_kib_has_a_rule_on_either_side_of_the_cut(demo):
    _, body = exchange(demo, "http://robots-600k.example:18080/robots.txt")
    assert len(body) > 600_000
    assert body.index(b"Disallow: /before") < 512_000 < body.index(b"Disallow: /after")


def test_header_lines_keep_their_case_order_and_number(demo):
    head, _ = exchange(demo, "https://wire.example:18443/odd-case")
    assert b"\r\ncOnTeNt-TyPe: Text/HTML; Charset=UTF-8\r\nx-FRAME-options:DENY\r\n" in head
    head, _ = exchange(demo, "https://wire.example:18443/duplicates")
    assert head.index(b"Set-Cookie: a=1") < head.index(b"Set-Cookie: b=2")


def test_chunked_body_ends_with_its_last_chunk_and_103_comes_first(demo):
    head, body = exchange(demo, "https://wire.example:18443/chunked", size=4)
    assert b"Transfer-Encoding: chunked\r\n" in head
    assert int(body.split(b"\r\n")[0], 16) > 0
    assert exchange(demo, "https://wire.example:18443/early-hints")[0].startswith(b"HTTP/1.1 103 Early Hints\r\n")


def test_utf_16_page_has_a_byte_order_mark_and_latin_1_its_octets(demo):
    _, body = exchange(demo, "http://charset.example:18080/utf-16-noai")
    assert body[:2] in (b"\xff\xfe", b"\xfe\xff")
    assert 'content="noai"' in body.decode("utf-16")
    assert "Köln".encode("latin-1") in exchange(demo, "http://charset.example:18080/latin-1")[1]


def test_twins_are_one_payload(demo):
    original, copy = (exchange(demo, f"http://twins.example:18080/{path}")[1] for path in ("original", "copy"))
    assert original == copy


def test_bomb_is_gzip_that_inflates_a_thousandfold(demo):
    head, body = exchange(demo, "http://bomb.example:18080/", size=4096)
    size, _, data = body.partition(b"\r\n")
    inflated = zlib.decompressobj(31).decompress(data[: int(size, 16)])
    assert b"Content-Encoding: gzip\r\n" in head
    assert len(inflated) > 900 * int(size, 16)
    assert not any(inflated)


def test_endless_page_goes_on(demo):
    assert len(exchange(demo, "http://endless.example:18080/", size=8_000_000)[1]) == 8_000_000


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://broken-off.example:18080/", asyncio.IncompleteReadError),
        ("https://resetting.example:18443/", ConnectionResetError),
        ("http://robots-reset.example:18080/robots.txt", ConnectionResetError),
        ("http://dead.example:18080/", ConnectionRefusedError),
        ("https://wrong-name.example:18443/", ssl.SSLCertVerificationError),
    ],
)
def test_fault_reaches_the_client_as_what_it_is(demo, url, error):
    with pytest.raises(error):
        exchange(demo, url)


def test_silent_host_notices_that_the_client_has_gone(demo):
    async def main():
        async with Client(demo, "http://silent.example:18080") as client:
            client.ask("/")
            await until(lambda: demo.access_log)
            assert demo.access_log[0].ended is None
        await until(lambda: demo.access_log[0].ended is not None)

    demo.reset()
    asyncio.run(asyncio.wait_for(main(), 10))


# --- the comparison


def entries_of(web):
    for item in web.expected.values():
        for outcome in item.before:
            yield Entry(item.url, *outcome, final=False)
        if item.outcome:
            yield Entry(item.url, *item.outcome, final=True)


def test_crawl_that_does_as_expected_has_no_faulty_row(web):
    rows = compare(web, entries_of(web))
    assert [row for row in rows if not row.ok] == []
    assert len(rows) == len(web.expected)
    assert sum(verdicts(rows).values()) == sum(item.outcome is not None for item in web.expected.values())


@pytest.mark.parametrize(
    ("entries", "got"),
    [
        ([], "no entry"),
        ([("kept", "policy.open", True)], "kept policy.open, without deferred http.server-error before it"),
        ([("deferred", "http.server-error", False)], "deferred http.server-error, nothing final"),
        ([("kept", "policy.open", True)] * 2, "kept policy.open, then kept policy.open"),
        ([("failed", "crawl.interrupted", False), ("refused", "robots.disallow", True)], "refused robots.disallow"),
    ],
)
def test_entry_that_departs_from_the_data_file_is_a_faulty_row(entries, got):
    web = Web.load(text=SMALL)
    url = "http://a.example:8080/again"
    row = next(row for row in compare(web, [(url, *entry) for entry in entries]) if row.url == url)
    assert (row.ok, row.expected, row.got) == (False, "kept policy.open", got)


def test_masked_url_is_recognised_and_url_out_of_scope_is_not_accepted():
    web = Web.load(text=SMALL)
    rows = {
        row.url: row
        for row in compare(
            web,
            [
                ("http://a.example:8080/secret?token=masked-77", "refused", "url.secret", True),
                ("http://b.example:8080/", "kept", "policy.open", True),
                ("http://c.example:8080/", "kept", "policy.open", True),
                ("http://a.example:8080/robots.txt", "kept", "policy.open", True),
            ],
        )
    }
    assert rows["http://a.example:8080/secret?token=1"].ok
    assert not rows["http://b.example:8080/"].ok
    assert rows["http://c.example:8080/"].expected == "no entry"
    assert "http://a.example:8080/robots.txt" not in rows


def visit(url, began, ended):
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    return Access(began, f"{parts.scheme}://{parts.netloc}", "GET", path, (), ("127.0.0.1", 4000), ended)


def test_request_for_a_refused_url_or_a_closed_site_is_a_trespass():
    log = [
        visit("http://a.example:8080/", 1, 2),
        visit("http://a.example:8080/secret?token=1", 3, 4),
        visit("http://b.example:8080/robots.txt", 5, 6),
    ]
    assert trespasses(Web.load(text=SMALL), log) == [log[1].url, log[2].url]


def test_manners_count_overlaps_and_measure_the_gap_between_pages():
    log = [
        visit("http://a.example:8080/robots.txt", 1.0, 1.1),
        visit("http://a.example:8080/", 2.0, 3.0),
        visit("http://a.example:8080/again", 2.5, None),
    ]
    web = Web.load(text=SMALL.replace('robots = "', 'crawl_delay_s = 0.4\nrobots = "'))
    first, second = manners(web, log)
    assert (first.requests, first.robots_requests, first.overlaps, first.smallest_gap_s) == (3, 1, 1, 0.5)
    assert not first.ok
    assert manners(web, log[:2])[0].ok
    assert not manners(web, [*log[:2], visit("http://a.example:8080/again", 3.1, 3.2)], delay_s=2)[0].ok
    assert (second.requests, second.smallest_gap_s, second.ok) == (0, None, True)


def test_table_names_what_went_wrong_by_host():
    web = Web.load(text=SMALL)
    entries = [("http://a.example:8080/", *Outcome.of("failed transfer.dns"), True)]
    console = Console(width=160, file=io.StringIO())
    console.print(table(compare(web, entries)))
    text = console.file.getvalue()
    assert "failed transfer.dns" in text
    assert "NO" in text
    assert "A site." in text
