"""Teasers: off unless the policy says otherwise; then the words outside of the closed part, and never the response."""

import pytest
from isal import igzip
from support.site import Reply, page, robots

from provenance.rules import shipped_policy
from reservations.datafile import DefinitionError
from reservations.policy import Policy

pytestmark = pytest.mark.crawl

LD = '<script type="application/ld+json">{"@type":"Article","isAccessibleForFree":false%s}</script>'
PART = LD % ',"hasPart":{"@type":"WebPageElement","isAccessibleForFree":false,"cssSelector":".paywall"}'
WEB = {
    "a.example": {
        "/robots.txt": robots("User-agent: *\nAllow: /\n"),
        "/part": Reply(
            f"<title>t</title>{PART}<h1>The ferry</h1><p>It turned back.</p>"
            '<div class="paywall"><p>Because of the SECRET cow.</p></div><p>More tomorrow.</p><a href="/part/amp">x</a>'
        ),
        "/whole": page(head=LD % "", text="The SECRET ferry."),
        "/lost": page(head=PART.replace(".paywall", ".gone"), text="The SECRET crane."),
        "/odd": page(head=PART.replace(".paywall", "div > p"), text="The SECRET gull."),
    }
}
APPROVED = """
[[approvals]]
setting = "teasers"
approver = "A. Example"
reason = "agreed with the publisher"
date = "2026-11-22"
"""
CLOSED = "discarded access.paywall-declared"
PATHS = ("part", "whole", "lost", "odd")


def policy_with_teasers():
    text = shipped_policy().replace('tokens = "class"\n', 'tokens = "class"\nteasers = true\n')
    assert "teasers = true" in text
    return text


def crawled(crawling, serve, policy):
    """The crawl, its verdicts in the order of PATHS, and the site."""
    site = serve(WEB)
    crawl = crawling(site)
    path = crawl.folder / "policy.toml"
    path.write_text(policy, "utf-8")
    seeds = [site.url(f"a.example/{name}") for name in PATHS]
    ran = crawl.run(crawl.web(seeds, KNOCKFIRST_POLICY=path))
    assert ran.returncode == 0, ran.stderr
    assert crawl.verified()
    finals = crawl.finals()
    return crawl, [finals[seed] for seed in seeds], site


def stored(crawl):
    files = [path for name in ("warc", "evidence") for path in (crawl.out / name).glob("*.gz")]
    return b"".join(igzip.decompress(path.read_bytes()) for path in files)


def test_teaser_is_dropped_with_its_page_by_default(crawling, serve):
    crawl, finals, _ = crawled(crawling, serve, shipped_policy())
    assert finals == [CLOSED] * 4
    assert b"ferry" not in stored(crawl)


def test_teaser_is_kept_as_a_conversion_and_the_response_is_not(crawling, serve):
    crawl, finals, site = crawled(crawling, serve, policy_with_teasers() + APPROVED)
    assert finals == ["kept access.teaser", CLOSED, CLOSED, CLOSED]
    (entry,) = [entry for entry in crawl.decisions() if entry.reason == "access.teaser"]
    assert [pointer.type for pointer in entry.warc] == ["response", "request", "conversion", "metadata"]
    assert [pointer.f.split("/")[0] for pointer in entry.warc] == ["evidence", "evidence", "warc", "warc"]
    octets = stored(crawl)
    assert b"The ferry\n\nIt turned back.\n\nMore tomorrow." in octets
    assert b"WARC-Type: conversion" in octets
    assert b"SECRET" not in octets
    assert site.pages("a.example") == [f"/{name}" for name in PATHS]


def test_policy_with_teasers_needs_somebody_who_answers_for_it():
    with pytest.raises(DefinitionError, match="teasers"):
        Policy.from_toml(policy_with_teasers(), file="policy.toml")
    assert [item.setting for item in Policy.from_toml(policy_with_teasers() + APPROVED, file="x").weakened] == [
        "teasers"
    ]
