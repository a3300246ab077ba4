"""A crawl that is cut off, by Ctrl-C or by a full disk, stops fetching, and the same command finishes it."""

import random
import resource
import signal
import sys
import threading

import pytest
from support.crawling import PROJECT
from support.site import Reply, page

pytestmark = pytest.mark.crawl

NAMES = ("a.example", "b.example", "c.example", "d.example")
PAGES = 10
MEGABYTE = 1 << 20


def chain(pages=PAGES):
    """A web of a few hosts, each page naming the next one."""

    def site(name):
        links = {n: [f"/{n + 1}"] if n + 1 < pages else [] for n in range(pages)}
        return {f"/{n}": page(*links[n], text=f"page {n} of {name} " * 40) for n in range(pages)}

    return {name: site(name) for name in NAMES}


def finished(crawl, site, pages=PAGES):
    """Everything was asked for and has one last word; nothing is wrong with what was written."""
    urls = {site.url(f"{name}/{n}") for name in NAMES for n in range(pages)}
    assert crawl.finals() == dict.fromkeys(urls, "kept policy.open")
    assert crawl.seals()[-1] == "finished"
    assert crawl.verified()


def seeds(site):
    return [site.url(f"{name}/0") for name in NAMES]


# -- Ctrl-C ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["SIGINT", "SIGTERM"])
def test_signal_stops_in_good_order_and_the_same_command_goes_on(crawling, serve, word):
    web = chain()
    gate = web["a.example"]["/3"].gate = threading.Event()
    site = serve(web)
    crawl = crawling(site)
    command = crawl.web(seeds(site), LOG_LEVEL="INFO")
    process = crawl.start(command)
    site.wait_for("a.example/3")  # in flight, and stays there until the signal has been heard
    process.send_signal(signal.Signals[word])
    heard = next(line for line in process.stderr if f"Received {word}" in line)
    gate.set()
    ran = crawl.finish(process)
    assert ran.returncode == 0, ran.stderr
    assert heard
    assert "Traceback" not in ran.stderr
    assert "the same command continues this crawl" in ran.stderr
    assert sum(len(site.pages(name)) for name in NAMES) < len(NAMES) * PAGES
    assert crawl.seals() == ["stopped"]
    assert crawl.verified()
    assert crawl.run(command).returncode == 0
    assert crawl.seals() == ["stopped", "finished"]
    finished(crawl, site)
    pages = [page for name in NAMES for page in site.pages(name)]
    assert len(pages) == len(NAMES) * PAGES, "what was stored before the stop is not asked for again"
    assert len([url for url in site.log if url.endswith("robots.txt")]) == len(NAMES)


def test_signal_while_an_origin_is_being_asked_leaves_its_urls_for_later(crawling, serve):
    web = chain(4)
    gate = threading.Event()
    web["a.example"]["/robots.txt"] = Reply("", headers={"Content-Type": "text/plain"}, gate=gate)
    site = serve(web)
    crawl = crawling(site)
    command = crawl.web(seeds(site), LOG_LEVEL="INFO")
    process = crawl.start(command)
    site.wait_for("a.example/robots.txt")
    site.wait_for("b.example/3")
    process.send_signal(signal.SIGINT)
    ran = crawl.finish(process)  # the origin never answered: nobody waits for it
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    assert crawl.verified()
    gate.set()
    assert crawl.run(command).returncode == 0
    finished(crawl, site, 4)


# -- full disk ---------------------------------------------------------------------------------------------------------


def full(crawl, what, after, command):
    return crawl.run([sys.executable, PROJECT / "tests/support/failing.py", what, str(after), *command[3:]])


@pytest.mark.parametrize(("what", "after"), [("log", 40_001), ("warc", 40_000), ("create", 1), ("sync", 12)])
def test_full_disk_in_the_middle_stops_the_crawl_and_the_same_command_finishes_it(crawling, serve, what, after):
    site = serve(chain())
    crawl = crawling(site)
    command = crawl.web(seeds(site))
    ran = full(crawl, what, after, command)
    assert ran.returncode == 0
    assert "nothing more is fetched" in ran.stderr
    assert "log_failed after" in ran.stderr
    assert "the same command continues this crawl" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert sum(len(site.pages(name)) for name in NAMES) < len(NAMES) * PAGES
    assert crawl.seals() == []
    again = crawl.run(command)
    assert again.returncode == 0, again.stderr
    finished(crawl, site)


def test_full_disk_at_the_start_is_a_refusal_in_words_and_fetches_nothing(crawling, serve):
    site = serve(chain(3))
    crawl = crawling(site)
    command = crawl.web(seeds(site))
    for what, after in (("log", 100), ("sync", 0)):
        ran = full(crawl, what, after, command)
        assert ran.returncode == 1
        assert "the crawl was not started, nothing was fetched; 1 to mend:" in ran.stderr
        assert "Traceback" not in ran.stderr
        assert "No space left on device" in ran.stderr
    assert site.log == []
    assert crawl.run(command).returncode == 0
    finished(crawl, site, 3)


@pytest.mark.parametrize("after", [0, 1, 2, 3], ids=["knocking", "origin known", "head wanted", "body wanted"])
def test_fault_of_ours_leaves_its_url_for_the_next_start_and_the_rest_goes_on(crawling, serve, after):
    site = serve({"a.example": {"/": page("/1"), "/1": page(text="one")}, "b.example": {"/fault": page(text="two")}})
    crawl = crawling(site)
    command = crawl.web([site.url("a.example/"), site.url("b.example/fault")])
    ran = full(crawl, "rules", after, command)
    assert ran.returncode == 0
    assert "No space left" in ran.stderr
    assert crawl.finals() == dict.fromkeys([site.url("a.example/"), site.url("a.example/1")], "kept policy.open")
    assert crawl.seals() == ["stopped"]
    assert crawl.verified()
    assert crawl.run(command).returncode == 0
    assert crawl.finals()[site.url("b.example/fault")] == "kept policy.open"
    assert crawl.seals() == ["stopped", "finished"]
    assert crawl.verified()


def test_file_size_limit_of_the_system_is_met_likewise(crawling, serve):
    """The same with a real refusal by the kernel: one page does not fit under RLIMIT_FSIZE."""
    noise = random.Random(1).randbytes(MEGABYTE).hex()
    web = chain(6)
    web["a.example"]["/2"] = page("/3", text=noise)
    site = serve(web)
    crawl = crawling(site)
    command = crawl.web(seeds(site))
    limit = (MEGABYTE, MEGABYTE)
    ran = crawl.run(command, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    assert ran.returncode == 0
    assert "log_failed after" in ran.stderr
    assert "File too large" in ran.stderr
    assert crawl.run(command).returncode == 0
    finished(crawl, site, 6)
