"""Crawls of the demo web, killed at seeded moments and started again: the short form of `benchmarks.kill_rounds`."""

import random
from itertools import islice

import pytest

from benchmarks.kill_audit import FAULTS, audit
from benchmarks.kill_rounds import a_round
from benchmarks.killing import Killer, Moment, moments
from crawler.demo.run import crawl_command
from crawler.demo.server import DemoWeb
from crawler.demo.situations import Ports

pytestmark = pytest.mark.crawl


@pytest.fixture(scope="module")
def web():
    with DemoWeb.start(Ports(28080, 28443)) as web:
        yield web


@pytest.mark.parametrize("seed", ["one", "two"])
def test_crawl_killed_again_and_again_loses_nothing(web, tmp_path, seed):
    command = crawl_command(web, tmp_path / "out", tmp_path)
    plan = islice(moments(random.Random(seed)), 2)
    result, killed_at = a_round(web, command, tmp_path, plan)
    assert result.details == ()
    assert result.kills == len(killed_at) == 2


def test_audit_sees_what_a_killed_crawl_leaves(web, tmp_path):
    web.reset()
    command = crawl_command(web, tmp_path / "out", tmp_path)
    with Killer(web, command, tmp_path / "out") as killer:
        assert killer.run(Moment("request", 650)).killed
        result = audit([tmp_path / "out"], web, killer.lives)
    seen = {name for name in FAULTS if getattr(result, name)}
    assert {"lost", "unaccounted", "unclean", "leftover"} <= seen
