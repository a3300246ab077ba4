"""`knockfirst frontier ...` beside a frontier that a worker has open: a real file, two connections."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from crawler.frontier import Found, Outcome, open_frontier
from crawler.frontier_verbs import app

HOSTS = ("https://a.example", "https://b.example")


def run(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture
def out(tmp_path):
    """An output folder whose worker holds one URL of host a, has given up one of b, and has one more queued."""

    async def main():
        frontier = open_frontier(f"sqlite:///{tmp_path}/frontier.db", now=time.time, worker="w1")
        await frontier.open()
        await frontier.push([Found(f"{host}/", host, '{"via":"seed"}') for host in HOSTS])
        await frontier.push([Found("https://b.example/2", "https://b.example")])
        held = {lease.authority: lease.id for lease in await frontier.claim(2)}
        await frontier.renew('{"verdicts":{"kept":3},"under_way":1,"rules":"sha256:0123456789abcdef"}')
        await frontier.finish([Outcome(held[HOSTS[1]], 0, dead=True)])
        await frontier.close()

    asyncio.run(main())
    return tmp_path


def claims(out):
    async def main():
        frontier = open_frontier(f"sqlite:///{out}/frontier.db", now=time.time, worker="w2")
        await frontier.open()
        try:
            return sorted(lease.url for lease in await frontier.claim(9))
        finally:
            await frontier.close()

    return asyncio.run(main())


def test_stats_show_what_is_queued_held_and_given_up_and_who_works(out):
    told = json.loads(run("stats", out, "--json"))
    assert told["state"] == "run"
    assert {name: told["counts"][name] for name in ("queued", "leased", "dead", "seen")} == {
        "queued": 1, "leased": 1, "dead": 1, "seen": 3,
    }  # fmt: skip
    assert [(worker["name"], worker["leases"]) for worker in told["workers"]] == [("w1", 1)]
    shown = run("stats", out)
    assert "w1" in shown
    assert "0123456789ab"[:5] in shown


def test_metrics_are_read_by_prometheus_own_parser(out):
    families = {one.name: one for one in text_string_to_metric_families(run("stats", out, "--prometheus"))}
    assert families["knockfirst_frontier_queued"].samples[0].value == 1
    (kept,) = families["knockfirst_decisions"].samples
    assert (kept.labels, kept.value) == ({"worker": "w1", "verdict": "kept"}, 3)


def test_paused_fleet_claims_nothing_until_it_is_resumed(out):
    run("pause", out)
    assert claims(out) == []
    run("resume", out)
    assert claims(out) == ["https://b.example/2"]


def test_blocked_host_is_left_alone_and_its_urls_stay(out):
    run("block", out, "b.example", "--reason", "asked by mail")
    assert claims(out) == []
    assert "asked by mail" in run("stats", out)
    assert json.loads(run("unblock", out, "b.example", "--json"))["unblocked"][0] == "https://b.example"
    run("unblock", out, "b.example", code=1)
    assert claims(out) == ["https://b.example/2"]


def test_dead_urls_are_asked_for_again_and_leave_the_list(out):
    assert json.loads(run("requeue", out, "--dead", "--json")) == {"requeued": 1}
    run("requeue", out, "--dead", code=1)
    assert json.loads(run("stats", out, "--json"))["counts"]["dead"] == 0


def test_requeue_wants_urls_or_dead_and_not_both(out):
    run("requeue", out, code=2)
    run("requeue", out, "https://a.example/", "--dead", code=2)
    run("requeue", out, "no-url", code=2)


def test_exported_queue_is_imported_elsewhere_with_all_that_travels_with_it(out, tmp_path):
    file, other = tmp_path / "queue.jsonl", tmp_path / "other"
    other.mkdir()
    run("export", out, "--to", file)
    asyncio.run(_make(other))
    assert json.loads(run("import", other, file, "--json")) == {"new": 1, "seen": 0}
    assert json.loads(run("import", other, file, "--json")) == {"new": 0, "seen": 1}
    assert claims(other) == ["https://b.example/2"]


async def _make(folder):
    frontier = open_frontier(f"sqlite:///{folder}/frontier.db", now=time.time)
    await frontier.open()
    await frontier.close()


@pytest.mark.parametrize(
    "line",
    ["{", '{"url":"https://a.example/"}', '{"url":"HTTPS://a.example/x","authority":"https://a.example"}'],
)
def test_line_that_cannot_be_queued_is_named_and_nothing_is(out, tmp_path, line):
    file = tmp_path / "queue.jsonl"
    file.write_text('{"url":"https://c.example/","authority":"https://c.example"}\n' + line + "\n")
    result = CliRunner().invoke(app, ["import", str(out), str(file)])
    assert result.exit_code == 2
    assert f"{file}:2" in result.output.replace("\n", "")
    assert json.loads(run("stats", out, "--json"))["counts"]["seen"] == 3


def test_frontier_that_is_not_there_is_not_made(tmp_path):
    run("stats", tmp_path, code=2)
    assert list(tmp_path.iterdir()) == []
