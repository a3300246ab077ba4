"""A blocklist that is replaced while a crawl runs: in force before the next request, or the crawl stops."""

import datetime as dt
import threading

import pytest
from support.site import Reply, page

from blocklists.signing import StaffKey
from provenance import builds
from provenance.entry import ConfigEntry

pytestmark = pytest.mark.crawl

DECISION = """
id = "dc-example-{number}"
authority = "District Court of Example (fictitious)"
authority_type = "court"
country = "DE"
reference = "7 O 1/26"
date = 2026-03-02
legal_basis = "Order"
finding = "Invented."
document_url = "https://court.example/1"
document_sha256 = "{digest}"
language = "de"
tier = 1
open_ended = true
review_by = {review}
"""
HOST = """
[[host]]
host = "{host}"
match = "domain"
role = "primary"
status = "{status}"
added = 2026-03-03
added_by = "a.berg"
approved_by = ["b.cole", "c.dahl"]
verified_on = {verified}
"""
STAFF = StaffKey.new("lists.example/a.berg")
TODAY = dt.datetime.now(dt.UTC)


class Lists:
    """The folder of a build, and its staff."""

    def __init__(self, folder):
        self.decisions, self.build = folder / "decisions", folder / "build"
        self.decisions.mkdir()
        self.settings = {
            "KNOCKFIRST_NO_BLOCKLIST": None,
            "KNOCKFIRST_BLOCKLIST": self.build,
            "KNOCKFIRST_BLOCKLIST_KEYS": STAFF.public_text(),
        }

    def publish(self, *hosts, key=STAFF, because=""):
        day = TODAY.date()
        head = DECISION.format(number=1, digest="0a" * 32, review=day + dt.timedelta(days=90))
        rows = (HOST.format(host=host, status="active", verified=day) for host in hosts)
        (self.decisions / "one.toml").write_text(head + "".join(rows), "utf-8")
        version = builds.next_version(self.build, day)
        now = dt.datetime.now(dt.UTC)
        built = builds.compile_folder(self.decisions, version=version, now=now, shrunk_because=because)
        builds.write_build(self.build, built, key)


@pytest.fixture
def lists(tmp_path):
    made = Lists(tmp_path)
    made.publish("pirate.example", "second.example")
    return made


@pytest.fixture
def under_way(crawling, serve, lists):
    """A crawl whose first page is being waited for; three more are to come, on the same host and another."""
    gate = threading.Event()
    site = serve({
        "a.example": {"/": Reply(page("/2", "/3").body, gate=gate), "/2": page(text="2"), "/3": page(text="3")},
        "b.example": {"/": page(text="b"), "/robots.txt": Reply("", gate=gate)},
    })  # fmt: skip
    crawl = crawling(site)
    command = crawl.web([site.url("a.example/"), site.url("b.example/")], **lists.settings)
    process = crawl.start(command)
    site.wait_for("a.example/")
    site.wait_for("b.example/robots.txt")

    def finish():
        gate.set()
        return crawl.finish(process)

    return site, crawl, command, finish


def test_new_list_is_in_force_before_the_next_request_and_before_writing(under_way, lists):
    site, crawl, _, finish = under_way
    lists.publish("pirate.example", "second.example", "a.example", "b.example")
    ran = finish()
    assert ran.returncode == 0, ran.stderr
    assert crawl.finals() == {
        site.url("a.example/"): "aborted blocklist.listed",
        site.url("b.example/"): "refused blocklist.listed",
    }
    assert site.pages("b.example") == []
    configs = [entry for entry in crawl.entries() if isinstance(entry, ConfigEntry)]
    assert [config.blocklist_version[-2:] for config in configs] == ["-1", "-2"]
    assert {decision.config for decision in crawl.decisions()} == {configs[1].seq}
    assert crawl.verified()


def test_list_that_changes_nothing_here_lets_the_crawl_go_on(under_way, lists):
    _site, crawl, _, finish = under_way
    lists.publish("pirate.example", "second.example", "third.example")
    assert finish().returncode == 0
    assert set(crawl.finals().values()) == {"kept policy.open"}
    assert len(crawl.finals()) == 4
    assert crawl.verified()


@pytest.mark.parametrize("bad", ["other signer", "damaged", "gone"])
def test_bad_list_stops_the_crawl_and_says_why(under_way, lists, bad):
    site, crawl, command, finish = under_way
    if bad == "other signer":
        lists.publish("pirate.example", "second.example", key=StaffKey.new("lists.example/a.berg"))
    elif bad == "damaged":
        lists.publish("pirate.example", "second.example", "third.example")
        (lists.build / builds.INDEX).write_bytes(b"x")
    else:
        (lists.build / builds.MANIFEST).unlink()
    ran = finish()
    assert "nothing more is fetched" in ran.stderr
    assert "blocklist_refused" in ran.stderr
    assert crawl.finals() == {}
    assert site.pages("a.example") == ["/"]
    assert site.pages("b.example") == []
    lists.publish("pirate.example", "second.example", "third.example")
    again = crawl.run(command)
    assert again.returncode == 0, again.stderr
    assert set(crawl.finals().values()) == {"kept policy.open"}
    assert crawl.verified()


def test_shrunken_list_is_refused_at_the_next_start_also_by_another_crawl(crawling, serve, lists, tmp_path):
    site = serve({"a.example": {"/": page()}})
    crawl = crawling(site)
    command = crawl.web([site.url("a.example/")], **lists.settings)
    assert crawl.run(command).returncode == 0
    for file in lists.build.iterdir():
        file.unlink()  # so that nobody compares when the next one is compiled
    lists.publish("pirate.example")
    for words in (command, crawl.web([site.url("a.example/")], **lists.settings, KNOCKFIRST_OUT=tmp_path / "other")):
        ran = crawl.run(words)
        assert ran.returncode == 1
        assert "keeps 1 names out" in ran.stderr
    lists.publish("pirate.example", because="order lifted")
    assert crawl.run(command).returncode == 0
