"""An erased URL leaves the frontier file, too: its text, its errand and what refers to it. Everything else stays."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing

import pytest

from crawler.frontier import Found, Outcome
from crawler.frontier.forgetting import forget, forget_in
from crawler.frontier.interface import Limits
from crawler.frontier.sqlite import SqliteFrontier
from provenance.erase import EraseError

SITE = "https://a.example"
URL = f"{SITE}/erased"
AFTER = f"{SITE}/after"
HOPS = {"via": "redirect", "depth": 3, "hops": [[URL, 302, AFTER]]}


def frontier_at(path):
    return SqliteFrontier(path, now=lambda: 1_000_000.0, worker="one", limits=Limits())


def run(path, work):
    async def main():
        frontier = frontier_at(path)
        await frontier.open()
        try:
            return await work(frontier)
        finally:
            await frontier.close()

    return asyncio.run(main())


@pytest.fixture
def path(tmp_path):
    """URLs that wait, one that the erased URL led to, a payload known from it, another that it shares a host with."""

    async def fill(frontier):
        await frontier.push([Found(URL, SITE, "{}"), Found(AFTER, SITE, json.dumps(HOPS, separators=(",", ":")))])
        await frontier.push([Found("https://b.example/", "https://b.example", "{}")])

    run(tmp_path / "frontier.db", fill)
    with closing(sqlite3.connect(tmp_path / "frontier.db", isolation_level=None)) as db:
        for digest, url in (b"1", URL), (b"2", URL + "/else"):
            db.execute("INSERT INTO payload VALUES (?, ?)", (digest, json.dumps({"uri": url}).encode()))
    return tmp_path / "frontier.db"


def test_erased_url_is_nowhere_in_the_file_and_the_rest_goes_on(path):
    assert forget(path, URL) == 3
    octets = b"".join(one.read_bytes() for one in path.parent.iterdir())
    assert URL.encode() + b'"' not in octets
    assert forget(path, URL) == 0

    async def rest(frontier):
        counts = await frontier.counts()
        leases = await frontier.claim(10)
        assert await frontier.first_payload(b"1") is None
        assert await frontier.first_payload(b"2") is not None
        await frontier.push([Found(URL, SITE, "{}")])
        return (
            counts.queued,
            {lease.url: json.loads(lease.payload) for lease in leases},
            (await frontier.counts()).queued,
        )

    queued, leases, later = run(path, rest)
    assert queued == 2
    assert leases == {AFTER: {"via": "redirect", "depth": 3}, "https://b.example/": {}}
    assert later == 0  # it was seen before: nobody asks for it again


def test_url_that_was_given_up_or_is_held_is_forgotten(path):
    async def hold(frontier):
        for lease in await frontier.claim(10):
            if lease.url == URL:
                await frontier.finish([Outcome(lease.id, 0.0, dead=True)])

    run(path, hold)
    assert forget(path, URL) == 3
    assert forget(path, AFTER) in (0, 1)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT dead FROM standing").fetchone() == (0,)


def test_folder_without_a_frontier_has_nothing_to_forget(tmp_path):
    assert forget_in(tmp_path, URL) == "frontier.db: 0 rows held the URL, and hold it no more."


def test_file_that_cannot_be_changed_is_said(tmp_path):
    (tmp_path / "frontier.db").write_bytes(b"no database at all, but long enough to be looked at" * 40)
    with pytest.raises(EraseError, match="still in there"):
        forget_in(tmp_path, URL)
