"""The blocklist in force of a crawl: what is accepted, noticed, remembered and refused."""

import asyncio
import datetime as dt
import os

import pytest

from blocklists.build import Build, compile_build
from blocklists.model import BlocklistError
from blocklists.signing import StaffKey, sign_manifest
from crawler.listing import Listing
from provenance import builds
from provenance.entry import ConfigEntry
from provenance.rules import Bundle

STAFF = StaffKey.new("lists.example/a.berg")
DAY = dt.date(2026, 11, 22)
DECISION = """
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
review_by = 2027-09-01
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
verified_on = 2026-09-01
"""


def _build(count, *, hour=9, day=DAY, because="", status="active") -> Build:
    text = DECISION.format(digest="0a" * 32) + "".join(HOST.format(host=f"p{n}.example") for n in range(count))
    return compile_build(
        {"d.toml": text.replace('status = "active"', f'status = "{status}"')},
        version="2026.11.22-1",
        now=dt.datetime.combine(day, dt.time(hour), dt.UTC),
        is_public_suffix=lambda _: False,
        suffix_list="test",
        shrunk_because=because,
    )


class Case:
    """A listing, its folder, and the day."""

    def __init__(self, folder):
        self.folder, self.rules, self.memory, self.day = folder / "build", folder / "rules", folder / "memory", DAY
        self.put(_build(20))
        self.listing = self.fresh()

    def fresh(self, settle_s=0.0):
        keys = (STAFF.public_text(),)
        return Listing(self.folder, keys, self.memory, today=lambda: self.day, settle_s=settle_s)

    def put(self, build):
        for file in self.folder.glob("*"):
            file.unlink()  # so that the writer compares nothing: the reader has to
        builds.write_build(self.folder, build, STAFF)

    def begin(self):
        self.listing.accept()
        self.listing.keep(self.rules)
        self.listing.adopted()
        return self.listing

    def renew(self):
        return asyncio.run(self.listing.renew())


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path)


def test_accepted_list_is_current_until_its_manifest_changes(case):
    listing = case.begin()
    assert listing.current()
    assert (case.rules / f"blocklist-{listing.blocklist.digest[7:]}.jsonl").exists()
    case.put(_build(21, hour=10))
    assert not listing.current()
    assert case.renew()
    assert not listing.current()  # it is only when it was put in force
    listing.adopted()
    assert listing.current()
    assert listing.blocklist.match("p20.example", DAY)


def test_same_list_put_there_again_is_no_other(case):
    listing = case.begin()
    os.utime(case.folder / builds.MANIFEST, ns=(1, 1))
    assert not listing.current()
    assert not case.renew()
    listing.adopted()
    assert listing.current()


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (_build(5, hour=10), "keeps 5 names out"),
        (_build(20, hour=8), "is older than"),
        (_build(200, hour=10), "180 more at once"),
        (_build(20, day=DAY - dt.timedelta(days=40)), "40 days old"),
    ],
)
def test_list_that_may_not_follow_is_refused_now_and_by_the_next_crawl(case, build, says):
    case.begin()
    case.put(build)
    with pytest.raises(BlocklistError, match=says):
        case.renew()
    with pytest.raises(BlocklistError, match=says):
        case.fresh().accept()


def test_shrinkage_with_a_reason_is_accepted(case):
    case.begin()
    case.put(_build(5, hour=10, because="order lifted"))
    assert case.renew()


def test_list_grows_stale_while_a_crawl_runs(case):
    listing = case.begin()
    case.day = DAY + dt.timedelta(days=1)
    assert not listing.current()
    assert not case.renew()
    listing.adopted()
    assert listing.current()
    case.day = DAY + dt.timedelta(days=31)
    with pytest.raises(BlocklistError, match="31 days old"):
        case.renew()


def test_files_that_do_not_fit_yet_are_waited_for(case):
    case.listing = case.fresh(settle_s=30.0)
    listing = case.begin()
    build = _build(21, hour=10)
    (case.folder / builds.MANIFEST).write_bytes(build.manifest)

    async def main():
        renewing = asyncio.create_task(listing.renew())
        await asyncio.sleep(0)
        (case.folder / builds.LIST).write_bytes(build.jsonl)
        (case.folder / builds.INDEX).write_bytes(build.indexed)
        (case.folder / builds.SIGNATURE).write_bytes(sign_manifest(build.manifest, STAFF))
        return await renewing

    assert asyncio.run(main())


def test_list_without_a_court_or_authority_of_the_eu_is_refused(case):
    case.put(_build(3, status="proposed"))
    with pytest.raises(BlocklistError, match="EU or EEA"):
        case.listing.accept()


def test_memory_that_cannot_be_used_is_an_error(case):
    case.memory.write_text("", "utf-8")  # a file where the folder should be
    with pytest.raises(BlocklistError, match="Look at its rights"):
        case.begin()


def _config(rules="sha256:aa", blocklist="sha256:bb"):
    fields = {"v": 1, "seq": 1, "n": "A" * 22, "ts": "2026-11-22T09:00:00.000Z", "run": "r"}
    texts = {"policy": "sha256:cc", "policy_name": "x", "protocols": "sha256:dd"}
    return ConfigEntry(**fields, **texts, rules=rules, blocklist=blocklist)


def test_log_remembers_what_the_other_memory_lost(case):
    listing = case.begin()
    listing.follows(None, case.rules)
    listing.follows(_config(blocklist=""), case.rules)
    bundle = Bundle(
        policy_name="x", policy="", protocols={}, tokens=(), blocklist_manifest=_build(40).manifest.decode()
    )
    (case.rules / f"{bundle.digest[7:]}.json").write_bytes(bundle.encode())
    with pytest.raises(BlocklistError, match="keeps 20 names out"):
        listing.follows(_config(rules=bundle.digest), case.rules)


def test_rules_that_the_log_names_and_that_are_gone_are_an_error(case):
    with pytest.raises(BlocklistError, match="Restore the output folder"):
        case.begin().follows(_config(), case.rules)
