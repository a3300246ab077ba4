"""What auditors see: exit codes, sentences, JSON, and nothing of a stranger's that acts on a terminal."""

import json

import pytest
import typer
from typer.testing import CliRunner

from provenance import verbs
from provenance.entry import ConfigEntry, EvidenceEntry, LoggedHop, LoggedSignal, RedecisionEntry, Weaker
from provenance.log import LogWriter
from reservations.model import Category, Value, Verdict

URL = "https://example.org/private/b"


@pytest.fixture(scope="module")
def run():
    app = typer.Typer()
    app.command()(verbs.verify)
    app.command()(verbs.explain)
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])


# -- verify ------------------------------------------------------------------------------------------------------------


def test_clean_folder_exits_0_and_says_what_it_proves(run, whole):
    result = run("verify", whole)
    assert result.exit_code == 0
    assert "10 entries, 10 of them signed; sealed: the crawl had nothing left to do." in result.stdout
    assert result.stdout.count("nothing differs") == 3
    assert result.stdout.count("This proves:") == result.stdout.count("This does not prove:") == 3
    assert "as the folder says" in result.stdout


def test_differing_folder_exits_1_and_says_where_and_what_to_do(run, whole):
    path = whole / "warc/warc-0.warc.gz"
    path.write_bytes(path.read_bytes()[:-3])
    result = run("verify", whole)
    assert result.exit_code == 1
    assert "warc/warc-0.warc.gz, offset " in result.stdout
    assert "the file ends inside a record" in result.stdout
    assert "Keep the folder as it is" in result.stdout


def test_folder_without_log_exits_2_with_remedy(run, tmp_path):
    result = run("verify", tmp_path)
    assert result.exit_code == 2
    assert "Name the output folder of a crawl" in result.stderr


def test_key_from_elsewhere_is_used(run, whole, key):
    line = key.verifier("crawler.example.org/test").line()
    assert "as the folder says" not in run("verify", whole, "--key", line).stdout
    assert run("verify", whole, "--key", "x").exit_code == 2


def test_verify_answers_in_json(run, whole):
    told = json.loads(run("verify", whole, "--json").stdout)
    assert told["clean"] is True
    assert [level["name"] for level in told["levels"]] == ["L1", "L2", "L3", "L4"]
    assert told["levels"][0]["proves_not"]


def test_weaker_rules_are_the_first_line(run, crawled):
    weaker = Weaker(rule="tdmrep off", approver="A. Person", reason="licence\x1b[2J")
    crawled.enter(ConfigEntry, rules="", policy="", policy_name="", protocols="", weaker=(weaker,))
    crawled.finish()
    first = run("verify", crawled.out).stdout.splitlines()[0]
    assert first == (
        "RULES WEAKER THAN THE SHIPPED FLOOR WERE IN FORCE: tdmrep off (approved by A. Person: licence\\x1b[2J)"
    )


# -- explain -----------------------------------------------------------------------------------------------------------


def test_refused_url_is_explained_with_rule_and_evidence(run, whole):
    result = run("explain", whole, URL)
    assert result.exit_code == 0
    assert "The last word: refused, robots.disallow (try 1," in result.stdout
    assert 'says "Disallow: /private"' in result.stdout
    assert "/robots.txt, line 2" in result.stdout
    assert "evidence: https://example.org/robots.txt: 200, fetched " in result.stdout
    assert "response in evidence/evidence-0.warc.gz at " in result.stdout
    assert "entry 5: log/seg-00000000.jsonl, line 6; rules of entry 1" in result.stdout


def test_kept_url_is_explained_with_its_records(run, whole):
    result = run("explain", whole, "https://example.org/a")
    assert "record: response in warc/warc-0.warc.gz at " in result.stdout
    assert "record: request in warc/warc-0.warc.gz at " in result.stdout


def test_each_protocol_of_the_recorded_rules_has_its_row(run, whole):
    (attempt,) = json.loads(run("explain", whole, URL, "--json").stdout)["attempts"]
    assert list(attempt["protocols"]) == ["access", "rfc9309", "tdmrep"]
    answer = attempt["protocols"]["rfc9309"]
    assert (answer["weight"], answer["found"][0]["text"]) == ("decisive", "Disallow: /private")
    assert {(item["source"], item["outcome"]) for item in answer["looked"]} == {("/robots.txt", "200")}
    assert "What each protocol answered" in run("explain", whole, URL).stdout


def test_rules_that_are_gone_are_named_and_nothing_is_made_up(run, whole):
    for path in (whole / "log/rules").glob("*.json"):
        path.unlink()
    result = run("explain", whole, URL)
    assert result.exit_code == 0
    assert "What each protocol answered cannot be told: log/rules/" in result.stdout
    assert 'says "Disallow: /private"' in result.stdout
    assert json.loads(run("explain", whole, URL, "--json").stdout)["attempts"][0]["protocols"] == {}


def test_of_several_workers_the_last_word_of_the_newest_lease_holds(run, new_worker):
    older, newer = new_worker("w1", 1), new_worker("w2", 100)
    for worker in (older, newer):
        seq = worker.kept("https://example.org/a")
        worker.finish()
    alone = run("explain", older.out, "https://example.org/a").stdout
    assert "The last word: kept" in alone
    assert "Other workers may have shared this crawl" in alone
    both = run("explain", older.out, newer.out, "https://example.org/a").stdout
    assert both.count("The last word: kept") == 1
    assert f"Replaced by entry {seq} in {newer.out}, of a newer lease: kept" in both
    assert both.index(f"== {older.out}, worker w1") < both.index(f"== {newer.out}, worker w2")
    found = json.loads(run("explain", older.out, newer.out, "https://example.org/a", "--json").stdout)
    assert [one["out"] for one in found] == [str(older.out), str(newer.out)]
    nowhere = run("explain", older.out, newer.out, "https://example.org/nowhere")
    assert (nowhere.exit_code, "none of the logs has an entry on it" in nowhere.stdout) == (1, True)


def test_what_stands_in_another_workers_log_is_said_to(run, new_worker):
    worker = new_worker("w1", 1)
    document = worker.enter(
        EvidenceEntry, key="/robots.txt", url="https://example.org/robots.txt", authority="https://example.org",
        outcome="404", fetched=0, expires=0, taken="w2#7",
    )  # fmt: skip
    hop = LoggedHop(url="https://example.org/old", st=301, to=URL)
    worker.decide(url=URL, via="redirect", src=9, src_log="w2", hops=(hop,), consulted={"/robots.txt": document})
    worker.finish()
    told = run("explain", worker.out, URL).stdout
    assert "Found by redirect in entry 9 of the log of worker w2; https://example.org/old redirected (301) to" in told
    assert f"(entry {document}, copied from entry 7 of worker w2, who asked)" in told


def test_url_in_another_spelling_is_found(run, whole):
    assert run("explain", whole, "HTTPS://EXAMPLE.org:443/a#part").exit_code == 0


@pytest.mark.parametrize("url", ["https://example.org/none", "not a url", "https://example.org/\x1b]0;x"])
def test_unknown_url_exits_1(run, whole, url):
    result = run("explain", whole, url)
    assert result.exit_code == 1
    assert "the log has no entry on it" in result.stdout
    assert "\x1b" not in result.stdout


def test_folder_without_log_cannot_explain(run, tmp_path):
    assert run("explain", tmp_path, URL).exit_code == 2


def test_every_attempt_is_told_last_word_first(run, crawled, key):
    crawled.decide(url=URL, verdict=Verdict.DEFERRED, reason="transfer.timeout", gate="transfer", wait=5)
    first = crawled.decide(url=URL, final=True, attempt=2)
    crawled.finals = {}
    crawled.decide(url=URL, final=True, attempt=2, supersedes=first)
    crawled.finish()
    crawled.log = LogWriter.open(crawled.out / "log", "crawler.example.org/test", key)
    crawled.enter(
        RedecisionEntry, of=4, url=URL, verdict=Verdict.HELD, reason="complaint.upheld", why="complaint 7", config=1
    )
    crawled.log.close()
    told = run("explain", crawled.out, URL).stdout
    order = [
        told.index(text) for text in ("The last word", "Replaced by entry 4", "not the last: deferred", "Changed later")
    ]
    assert order == sorted(order)
    story = json.loads(run("explain", crawled.out, URL, "--json").stdout)
    assert [attempt["entry"]["seq"] for attempt in story["attempts"]] == [4, 3, 2]
    assert story["changes"][0]["why"] == "complaint 7"


def test_hostile_text_is_spelled_out(run, crawled):
    signal = LoggedSignal(
        p="x",
        reason="x.y",
        carrier="html_meta",
        src="body",
        rule="\x1b[31m\u202eevil\n",
        effective={Category.TDM: Value.DENY},
        strict={Category.TDM: Value.DENY},
    )
    crawled.decide(url=URL, final=True, verdict=Verdict.DISCARDED, reason="x.y", signals=(signal,))
    crawled.finish()
    for arguments in (["explain", crawled.out, URL], ["explain", crawled.out, URL, "--json"]):
        told = run(*arguments).stdout
        assert "evil" in told
        assert not {"\x1b", "\u202e"} & set(told)


def test_help_of_each_verb_names_its_exit_codes(run):
    for verb in ("verify", "explain"):
        assert "Exit codes" in run(verb, "--help").stdout
