"""What is held, looked at and decided with the command, and what the next crawl makes of it."""

import datetime as dt
import json
import sys
from pathlib import Path

import pytest
from support.site import page, robots

from provenance.entry import ConfigEntry

pytestmark = pytest.mark.crawl

KNOCKFIRST = Path(sys.executable).parent / "knockfirst"
WALL = '<script src="https://assets.poool.fr/access.min.js"></script>'
WEB = {
    "a.example": {
        "/robots.txt": robots("User-agent: *\nAllow: /\n"),
        "/": page(head=WALL),
        "/two": page(head=WALL, text="Another one."),
    },
    "b.example": {"/robots.txt": robots("User-agent: *\nAllow: /\n"), "/": page(head=WALL)},
}


@pytest.fixture
def held(crawling, serve):
    site = serve(WEB)
    crawl = crawling(site)
    seeds = [site.url(place) for place in ("a.example/", "a.example/two", "b.example/")]
    ran = crawl.run(crawl.web(seeds))
    assert ran.returncode == 0, ran.stderr
    assert set(crawl.finals().values()) == {"held access.unclear"}
    return crawl, seeds


def review(crawl, *words):
    return crawl.run([str(KNOCKFIRST), "review", *map(str, words)])


def decide(crawl, *words, expires=""):

    soon = (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=30)).isoformat()
    options = ("--by", "A. Example", "--why", "The script only counts readers", "--expires", expires or soon)
    return review(crawl, "decide", crawl.out, *words, *options, "--data", crawl.folder / "rules")


def test_list_and_evidence_of_what_is_held(held):
    crawl, _ = held
    listed = json.loads(review(crawl, "list", crawl.out, "--json").stdout)
    assert [(row["host"], row["reason"], row["count"]) for row in listed] == [
        ("a.example", "access.unclear", 2),
        ("b.example", "access.unclear", 1),
    ]
    shown = review(crawl, "show", crawl.out, "a.example").stdout
    assert "https://assets.poool.fr/access.min.js" in shown
    assert "evidence/" in shown
    assert "b.example" not in shown
    assert review(crawl, "show", crawl.out, "c.example").returncode == 1


def test_decision_counts_in_the_next_crawl_for_the_site_it_names(held):
    crawl, seeds = held
    before = next(entry.rules for entry in crawl.entries() if isinstance(entry, ConfigEntry))
    ran = decide(crawl, "a.example", "access.unclear", "open")
    assert ran.returncode == 0, ran.stderr
    assert "decided: open, by A. Example" in review(crawl, "list", crawl.out, "--data", crawl.folder / "rules").stdout
    again = crawl.folder / "again"
    ran = crawl.run(crawl.web(seeds, KNOCKFIRST_OUT=again, KNOCKFIRST_DATA=crawl.folder / "rules"))
    assert ran.returncode == 0, ran.stderr
    crawl.out = again
    finals = crawl.finals()
    assert [finals[seed] for seed in seeds] == ["kept policy.open", "kept policy.open", "held access.unclear"]
    config = next(entry for entry in crawl.entries() if isinstance(entry, ConfigEntry))
    assert config.rules != before
    assert crawl.verified()
    kept = next(entry for entry in crawl.decisions() if entry.url == seeds[0])
    assert "A. Example" in next(signal.rule for signal in kept.signals if signal.reason == "access.reviewed")


def test_decision_that_cannot_be_is_not_written(held):
    crawl, _ = held
    for words, expires, says in (
        (("c.example", "access.unclear", "open"), "", "nothing of it is held"),
        (("a.example", "access.denied", "open"), "", "nothing of it is held"),
        (("a.example", "access.unclear", "free"), "", "open, closed"),
        (("a.example", "access.unclear", "open", "--path", "b"), "", "path"),
        (("a.example", "access.unclear", "open"), "2100-01-01", "within 366 days"),
    ):
        ran = decide(crawl, *words, expires=expires)
        assert (ran.returncode, says in ran.stderr) == (1, True), ran.stderr
    ran = decide(crawl, "a.example", "access.unclear", "closed", "--dry-run")
    assert (ran.returncode, 'finding = "closed"' in ran.stdout) == (0, True)
    assert not (crawl.folder / "rules").exists()
