"""Crawls that die at one named step (kill -9) and are started again: what each step leaves is put right, or refused."""

import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from support.site import Reply, page, robots

KILL_AT = Path(__file__).parents[1] / "support" / "kill_at.py"
PUSH = "crawler.frontier.sqlite:SqliteFrontier.push"
EXCHANGE = "crawler.download.client:Client.exchange"
LEARNT = "crawler.frontier.sqlite:SqliteFrontier.remember_origin"
CLAIM = "crawler.frontier.sqlite:SqliteFrontier.claim"
END = "crawler.visits:Visits.finish"
FINISH = "crawler.frontier.sqlite:SqliteFrontier.finish"

pytestmark = pytest.mark.crawl


@pytest.fixture
def a_crawl(crawling, serve):
    """A site, and its crawl, which `kill` ends at a call and `finish` lets run to the end."""

    class ACrawl:
        def __init__(self, web, seeds, **settings):
            self.site = serve(web)
            self.crawling = crawling(self.site)
            self.command = self.crawling.web([self.site.url(seed) for seed in seeds], **settings)
            self.out = self.crawling.out

        def kill(self, place, nth=1, when="before", **settings):
            done = self.signal(place, nth, when, "SIGKILL", settings)
            assert done.returncode == -9, done.stdout + done.stderr
            return self

        def stop(self, place, **settings):
            done = self.signal(place, 1, "before", "SIGTERM", settings)
            assert done.returncode == 0, done.stdout + done.stderr
            assert self.crawling.seals()[-1] == "stopped"
            return self

        def signal(self, place, nth, when, name, settings):
            words = [sys.executable, str(KILL_AT), place, str(nth), when, name, *self.command[3:]]
            return self.crawling.run([*words, *(f"-s{key}={value}" for key, value in settings.items())])

        def finish(self):
            done = self.crawling.run(self.command)
            assert done.returncode == 0, done.stdout + done.stderr
            assert self.crawling.seals()[-1] == "finished", done.stderr
            return self.crawling.verified()

        def refused(self):
            """What a start says that does not take place; the log is left as it was."""
            log = {path.name: path.read_bytes() for path in (self.out / "log").iterdir() if path.is_file()}
            done = self.crawling.run(self.command)
            assert done.returncode != 0
            assert log == {path.name: path.read_bytes() for path in (self.out / "log").iterdir() if path.is_file()}
            return done.stderr

        def attempts(self, place):
            url = self.site.url(place)
            return [f"{e.verdict} {e.reason}" for e in self.crawling.decisions() if e.url == url]

        def frontier(self, query, *values):
            with closing(sqlite3.connect(self.out / "frontier.db", isolation_level=None)) as database:
                return database.execute(query, values).fetchall()

    return ACrawl


def test_kill_between_learning_an_origin_and_its_sitemaps_loses_no_sitemap(a_crawl):
    site = {"a.example": {"/": page(), "/leaf": page(text="A leaf.")}}
    crawl = a_crawl(site, ["a.example/"])
    site["a.example"]["/robots.txt"] = robots(f"Sitemap: {crawl.site.url('a.example/map.xml')}\n")
    leaf = f"<urlset><url><loc>{crawl.site.url('a.example/leaf')}</loc></url></urlset>"
    site["a.example"]["/map.xml"] = Reply(leaf, headers={"Content-Type": "application/xml"})
    crawl.kill(PUSH, 2).finish()
    assert crawl.crawling.finals()[crawl.site.url("a.example/leaf")] == "kept policy.open"


def test_kill_between_entry_and_end_keeps_the_crawl_delay(a_crawl):
    web = {"a.example": {"/robots.txt": robots("User-agent: *\nCrawl-delay: 70\n"), "/": Reply("", 404)}}
    crawl = a_crawl(web, ["a.example/"])
    crawl.kill(FINISH, 1, "after")  # the origin was learnt, and is left in peace now
    crawl.frontier("UPDATE host SET free_at = 0, ready_at = 0")  # 70 seconds go by
    crawl.kill(END)
    began = time.time()
    crawl.kill(CLAIM)
    assert crawl.frontier("SELECT free_at > ?, ready_at FROM host", began + 70) == [(True, None)]
    assert crawl.attempts("a.example/") == ["absent http.not-found"]


def test_kill_between_entry_and_end_keeps_the_retry_after(a_crawl):
    crawl = a_crawl({"a.example": {"/": Reply("", 429, {"Retry-After": "80"})}}, ["a.example/"])
    crawl.kill(END)
    began = time.time()
    crawl.kill(CLAIM)
    assert crawl.frontier("SELECT free_at > ?1, ready_at > ?1 FROM host", began + 80) == [(True, True)]
    assert crawl.frontier("SELECT due > ?, attempt FROM queue", began + 80) == [(True, 2)]


def test_kill_while_an_ended_attempt_is_settled_enters_no_second_attempt(a_crawl):
    crawl = a_crawl({"a.example": {"/": Reply("", 404)}}, ["a.example/"])
    crawl.kill(END).kill(FINISH).finish()
    assert crawl.attempts("a.example/") == ["absent http.not-found"]


def test_page_whose_links_were_lost_is_asked_for_until_it_answers_and_has_one_last_word(a_crawl):
    site = {"a.example": {"/": page("/leaf"), "/leaf": page(text="A leaf.")}}
    crawl = a_crawl(site, ["a.example/"])
    crawl.kill(END)
    whole, site["a.example"]["/"] = site["a.example"]["/"], Reply("", 503)
    crawl.kill(END, 2)
    site["a.example"]["/"] = whole
    crawl.finish()
    kept, deferred = "kept policy.open", "deferred http.server-error"
    assert crawl.attempts("a.example/") == [kept, deferred, deferred, kept]
    assert set(crawl.crawling.finals().values()) == {kept}
    assert len(crawl.crawling.finals()) == 2


def test_stop_while_a_page_is_to_be_asked_for_again_leaves_one_last_word(a_crawl):
    crawl = a_crawl({"a.example": {"/": page()}}, ["a.example/"])
    crawl.kill(END).stop(CLAIM, DOWNLOAD_DELAY=60)
    assert crawl.crawling.verified()
    crawl.finish()
    assert crawl.crawling.finals() == {crawl.site.url("a.example/"): "kept policy.open"}


def test_restart_waits_before_it_asks_a_host_that_was_being_asked(a_crawl):
    crawl = a_crawl({"a.example": {"/": page()}}, ["a.example/"])
    crawl.kill(LEARNT)
    began = time.monotonic()
    crawl.kill(EXCHANGE, DOWNLOAD_DELAY=4)
    assert time.monotonic() - began > 4


def test_kill_before_the_folder_has_its_name_tag_leaves_it_usable(a_crawl):
    crawl = a_crawl({"a.example": {"/": page()}}, ["a.example/"])
    crawl.kill("provenance.disk:Disk.replace")
    assert [path.name for path in crawl.out.iterdir()] == ["crawl.json.tmp"]
    crawl.finish()


def test_kill_while_the_key_is_written_leaves_no_half_key(a_crawl):
    crawl = a_crawl({"a.example": {"/": page()}}, ["a.example/"])
    crawl.kill("provenance.keys:os.fsync")
    assert not crawl.crawling.key.exists()
    crawl.finish()


@pytest.fixture
def half_done(a_crawl):
    """Killed after the end of one page out of two."""
    crawl = a_crawl({"a.example": {"/": page("/2"), "/2": page(text="More.")}}, ["a.example/"])
    return crawl.kill(END, 2)


def test_log_that_lost_a_durable_end_is_not_continued(half_done):
    segment = half_done.out / "log" / "seg-00000000.jsonl"
    segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:-3]))
    assert "entries are left of" in half_done.refused()


def test_frontier_that_lost_its_end_is_not_continued(half_done):
    for path in half_done.out.glob("frontier.db*"):
        path.unlink()
    assert "knows 0 entries of the log" in half_done.refused()


def test_log_that_covers_a_lost_warc_file_is_not_continued(half_done):
    (lost,) = (half_done.out / "warc").iterdir()
    lost.unlink()
    assert lost.name.removesuffix(".open") + " gone, or shorter" in half_done.refused()


def test_tails_that_were_not_durable_are_cut(half_done):
    with (half_done.out / "log" / "seg-00000000.jsonl").open("ab") as segment:
        segment.write(b'{"v":1,"t":"decis')
    for path in half_done.out.glob("*/*.open"):
        with path.open("ab") as file:
            file.write(b"\x1f\x8b\x08 half a member")
    assert half_done.finish()
    assert set(half_done.crawling.finals().values()) == {"kept policy.open"}
