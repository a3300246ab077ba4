"""Who waits for whom: a slow origin is asked once, and holds up nobody but itself."""

import threading

import pytest
from support.site import Reply, page, robots

pytestmark = pytest.mark.crawl

ALL = robots("User-agent: *\nAllow: /\n")
NONE = "User-agent: *\nDisallow: /\n"


def test_32_urls_waiting_on_a_slow_deny_all_robots_txt_fetch_no_page_and_ask_once(crawling, serve):
    answer = threading.Event()
    paths = [f"/{n}" for n in range(32)]
    site = serve({"slow.example": {"/robots.txt": robots(NONE, gate=answer), **{path: page() for path in paths}}})
    crawl = crawling(site)
    process = crawl.start(crawl.web([site.url(f"slow.example{path}") for path in paths]))
    site.wait_for("slow.example/robots.txt")
    answer.set()
    ran = crawl.finish(process)
    assert ran.returncode == 0, ran.stderr
    assert site.asked.count("slow.example/robots.txt") == 1
    assert site.pages("slow.example") == []
    assert crawl.finals() == {site.url(f"slow.example{path}"): "refused robots.disallow" for path in paths}
    assert crawl.verified()


def test_40_urls_waiting_on_a_robots_txt_delay_no_other_host(crawling, serve):
    answer = threading.Event()
    last = "other.example/9"
    slow = {f"/{n}": page(text=f"slow {n}") for n in range(40)}
    other = {f"/{n}": page(text=f"other {n}") for n in range(10)}
    site = serve({
        "slow.example": {"/robots.txt": robots("", gate=answer), **slow},
        "other.example": {"/robots.txt": ALL, **other},
    })  # fmt: skip
    crawl = crawling(site)
    seeds = [site.url(f"slow.example{path}") for path in slow] + [site.url(f"other.example{path}") for path in other]
    process = crawl.start(crawl.web(seeds))
    site.wait_for("slow.example/robots.txt")
    site.wait_for(last)  # the gate is still shut: every page of the other host was fetched meanwhile
    assert site.pages("slow.example") == []
    assert sorted(site.pages("other.example")) == sorted(other)
    answer.set()
    assert crawl.finish(process).returncode == 0
    assert sorted(site.pages("slow.example")) == sorted(slow)
    assert set(crawl.finals().values()) == {"kept policy.open"}


def test_slow_page_of_one_host_delays_no_other_host(crawling, serve):
    answer = threading.Event()
    site = serve({
        "slow.example": {"/": Reply("late", gate=answer)},
        "other.example": {f"/{n}": page() for n in range(5)},
    })  # fmt: skip
    crawl = crawling(site)
    seeds = [site.url("slow.example/")] + [site.url(f"other.example/{n}") for n in range(5)]
    process = crawl.start(crawl.web(seeds))
    site.wait_for("slow.example/")
    site.wait_for("other.example/4")
    answer.set()
    assert crawl.finish(process).returncode == 0
    assert len(crawl.finals()) == 6


def test_one_product_token_is_sent_with_every_request(crawling, serve):
    site = serve({"a.example": {"/": page("/b"), "/b": page()}})
    crawl = crawling(site)
    assert crawl.run(crawl.web(site.url("a.example/"), KNOCKFIRST_TOKEN="ExampleBot")).returncode == 0
    (agent,) = set(site.agents)
    assert agent.startswith("ExampleBot/")
    assert "(+https://crawler.example/about; Test Lab)" in agent


@pytest.mark.parametrize("token", ["ExampleBot", "KnockfirstBot"])
def test_groups_of_either_token_bind(crawling, serve, token):
    site = serve({"a.example": {"/robots.txt": robots(f"User-agent: {token}\nDisallow: /b\n"), "/b": page()}})
    crawl = crawling(site)
    assert crawl.run(crawl.web(site.url("a.example/b"), KNOCKFIRST_TOKEN="ExampleBot")).returncode == 0
    assert crawl.finals() == {site.url("a.example/b"): "refused robots.disallow"}
    assert site.pages("a.example") == []
