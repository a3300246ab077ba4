"""Servers and spiders that ask too much of the frontier: refused or cut short, and the crawl goes on and ends."""

import pytest
from support.site import Reply, page

pytestmark = pytest.mark.crawl


def to(target, status=302):
    return Reply("", status, {"Location": target})


def ran_well(crawl, ran):
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    assert crawl.seals() == ["finished"]
    assert crawl.verified()


def test_redirects_through_very_long_urls_lead_nowhere_and_break_nothing(crawling, serve):
    long = [f"/{letter * 6000}" for letter in "abcd"]
    chain = {here: to(there) for here, there in zip(["/", *long], [*long, "/end"], strict=True)}
    site = serve({"a.example": {**chain, "/end": page(), "/other": page(text="other")}})
    crawl = crawling(site)
    command = crawl.web([site.url("a.example/"), site.url("a.example/other")])
    ran_well(crawl, crawl.run(command))
    finals = crawl.finals()
    assert finals[site.url("a.example/other")] == "kept policy.open"
    assert finals[site.url("a.example/")] == "redirected http.redirect"
    assert "/end" not in site.pages("a.example")
    assert crawl.run(command).returncode == 0, "a second start is not stopped by it"


def test_circle_of_redirects_and_a_chain_without_end_end(crawling, serve):
    chain = {f"/{n}": to(f"/{n + 1}") for n in range(30)}
    site = serve({"a.example": {"/circle": to("/back"), "/back": to("/circle"), **chain}})
    crawl = crawling(site)
    ran_well(crawl, crawl.run(crawl.web([site.url("a.example/circle"), site.url("a.example/0")])))
    assert set(crawl.finals().values()) == {"redirected http.redirect"}
    assert len(site.pages("a.example")) < 20


NO_URLS = ("ftp://a.example/x", "javascript:alert(1)", "http://[::1", "http://", "//", "")


def test_redirects_to_what_is_no_url_lead_nowhere(crawling, serve):
    site = serve({"a.example": {f"/{n}": to(target) for n, target in enumerate(NO_URLS)} | {"/": page()}})
    crawl = crawling(site)
    ran_well(
        crawl,
        crawl.run(crawl.web([site.url("a.example/"), *(site.url(f"a.example/{n}") for n in range(len(NO_URLS)))])),
    )
    assert crawl.finals()[site.url("a.example/")] == "kept policy.open"
    assert len(crawl.finals()) == len(NO_URLS) + 1


def test_links_that_are_no_urls_are_passed_over(crawling, serve):
    odd = ["http://[::1", "&#xD800;", f"http://{'a' * 300}.example/", "mailto:x@y.example", "http://\x00/", "%", "?"]
    site = serve({"a.example": {"/": page(*odd, "/1"), "/1": page(text="one")}})
    crawl = crawling(site)
    ran_well(crawl, crawl.run(crawl.web(site.url("a.example/"))))
    assert crawl.finals()[site.url("a.example/1")] == "kept policy.open"


@pytest.mark.parametrize("extra", ["priority=10**12", "priority=-(10**12)", "cb_kwargs={'x': '\\ud800'}"])
def test_request_that_no_frontier_could_keep_is_refused_and_the_rest_goes_on(crawling, serve, extra, tmp_path):
    site = serve({"a.example": {"/": page(), "/1": page(text="1"), "/2": page(text="2")}})
    body = f"""
from scrapy import Request, Spider

class Foreign(Spider):
    name = "foreign"
    start_urls = [{site.url("a.example/")!r}]

    def parse(self, response):
        yield response.follow("/1", self.after, {extra})
        yield response.follow("/2", self.after)

    def after(self, response, **_):
        yield {{"url": response.url}}
"""
    crawl = crawling(site)
    ran = crawl.run(crawl.spider(body, LOG_LEVEL="ERROR"), cwd=tmp_path)
    ran_well(crawl, ran)
    assert "/1: cannot be stored" in ran.stderr or "/1: its meta or cb_kwargs" in ran.stderr
    assert crawl.finals()[site.url("a.example/2")] == "kept policy.open"
    assert "/1" not in site.pages("a.example")
