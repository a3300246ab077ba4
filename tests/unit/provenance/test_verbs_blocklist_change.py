"""Verbs that change decisions, as staff uses them: what is written, what is refused, and who it says did it."""

import datetime as dt
import json
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest
from typer.testing import CliRunner

from provenance import builds, verbs_blocklist
from provenance.blocklist_verbs import common
from provenance.blocklist_verbs.common import Desk

TODAY = dt.datetime(2026, 11, 24, 9, 30, tzinfo=dt.UTC)
EXAMPLE = Path(str(resources.files("crawler.demo"))) / "blocklist" / "court-of-example.toml"
ID = "dc-example-2026-1"
HEAD = [
    *("--authority", "Court", "--country", "DE", "--date", "2026-11-20", "--reference", "1 O 2/26", "--language", "de"),
    *("--legal-basis", "Order", "--finding", "Persistent.", "--document-url", "https://court.example/2"),
]


@pytest.fixture
def clock(monkeypatch):
    days = [TODAY]
    monkeypatch.setattr(common, "now", lambda: days[-1])
    return days


@pytest.fixture
def folder(tmp_path, clock):
    decisions = tmp_path / "decisions"
    decisions.mkdir()
    shutil.copy(EXAMPLE, decisions)
    return decisions


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "keys" / "a.key"
    run("keygen", "--name", "lists.example/a.berg", "--key", path)
    return path


def run(*words, code=0):
    result = CliRunner().invoke(verbs_blocklist.app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output


def entry(folder, host):
    return Desk(folder).entry(host)[1].entry


def test_add_makes_a_decision_whose_names_wait_for_two(tmp_path, clock):
    folder, order, annex = tmp_path / "new", tmp_path / "order.pdf", tmp_path / "annex.txt"
    order.write_bytes(b"x")
    annex.write_text("1. a[.]example\n2. 192.0.2.7\n", "utf-8")
    words = [
        "add",
        folder,
        "dc-2",
        *HEAD,
        "--document",
        order,
        "--hosts",
        annex,
        "--host",
        "b.example",
        "--by",
        "a.berg",
    ]
    assert "+id" in run(*words, "--dry-run")
    assert not folder.exists()
    told = run(*words)
    assert "2 names are proposed by a.berg" in told
    assert "192.0.2.7: It is an address" in told
    assert run("lint", folder) == "Nothing is wrong.\n"
    assert entry(folder, "a.example").status == "proposed"
    assert "need one more person" in run("approve", folder, "dc-2", "--by", "b.cole")
    run("approve", folder, "dc-2", "--by", "B.Cole", "--json")
    assert entry(folder, "a.example").status == "proposed"
    assert json.loads(run("approve", folder, "dc-2", "--by", "c.dahl", "--json"))["in_force"] == 2
    assert entry(folder, "a.example").approved_by == ("b.cole", "c.dahl")
    assert "such a file already" in run(*words, code=1)


def test_proposer_approves_nothing_without_a_court(tmp_path, clock):
    folder = tmp_path / "new"
    words = ["add", folder, "own-1", *HEAD, "--tier", "4", "--authority-type", "other", "--host", "a.example"]
    run(*words, "--by", "a.berg")
    assert "cannot approve it" in run("approve", folder, "own-1", "--by", "A.Berg", code=1)


def test_change_that_the_lint_refuses_is_not_written(folder):
    before = (folder / EXAMPLE.name).read_bytes()
    told = run("mirror", folder, "pirate.example", "www.pirate.example", "--by", "a.berg")
    assert "proposed as mirror" in told
    (folder / EXAMPLE.name).write_bytes(before)
    assert "is shared by many" in run("mirror", folder, "pirate.example", "drive.google.com", "--by", "a", code=1)
    assert "public suffix" in run("mirror", folder, "pirate.example", "github.io", "--by", "a", code=1)
    assert (folder / EXAMPLE.name).read_bytes() == before


def test_faults_that_were_there_before_stop_no_suspension(folder):
    (folder / "other.toml").write_text("nothing = 1\n", "utf-8")
    because = ("--because", "wrong-host", "--reference", "x", "--by", "b.cole")
    run("suspend", folder, "pirate.example", *because)
    assert entry(folder, "pirate.example").status == "suspended"
    assert "already" in run("suspend", folder, "pirate.example", *because, code=1)


@pytest.mark.parametrize(("verb", "status"), [("suspend", "suspended"), ("expire", "expired"), ("remove", "removed")])
def test_one_person_takes_a_name_out_and_it_stays_on_file(folder, verb, status):
    words = [verb, folder, "pirate.example", "--because", "order-lifted", "--reference", "7 O 1/26", "--by", "b.cole"]
    assert f'+status = "{status}"' in run(*words, "--dry-run")
    assert entry(folder, "pirate.example").status == "active"
    run(*words)
    changed = entry(folder, "pirate.example")
    assert (changed.status, changed.changed_by, str(changed.changed_on)) == (status, "b.cole", "2026-11-24")
    assert changed.history[-1] == f"2026-11-24 {status} by b.cole: order-lifted, 7 O 1/26"
    assert (folder / EXAMPLE.name).read_text("utf-8").startswith(EXAMPLE.read_text("utf-8")[:100])


def test_restoring_takes_two(folder):
    run("suspend", folder, "pirate.example", "--because", "wrong-host", "--reference", "x", "--by", "b.cole")
    words = ["restore", folder, "pirate.example", "--reference", "checked", "--by", "b.cole", "--second"]
    assert "Two different people" in run(*words, "B.Cole", code=1)
    run(*words, "c.dahl")
    assert entry(folder, "pirate.example").status == "active"
    assert "Only what is suspended" in run(*words, "c.dahl", code=1)


def test_unknown_host_is_told_with_what_is_near(folder):
    words = ("--because", "wrong-host", "--reference", "x", "--by", "b.cole")
    assert "pirate.example" in run("suspend", folder, "pirat.example", *words, code=1)
    assert "Known are: dc-example-2026-1" in run("approve", folder, "none", "--by", "b", code=1)


def test_confirming_moves_the_review(folder, clock):
    clock.append(TODAY.replace(year=2027))
    assert "LATE: review 1 names" in run("due", folder, code=1)
    run("confirm", folder, ID, "--by", "b.cole")
    assert run("lint", folder) == "Nothing is wrong.\n"
    assert run("due", folder) == "Nothing is due.\n"
    assert "is no number of days" in run("due", folder, "--within", "soon", code=1)


def test_import_proposes_only_when_told_to_and_notes_the_raw_file(folder, tmp_path):
    raw = tmp_path / "list.txt"
    raw.write_text("new.example\nwww.pirate.example\nnot a name\n", "utf-8")
    words = ["import", "plain", raw, folder, "--decision", ID, "--by", "a.berg"]
    answer = json.loads(run(*words, "--json"))
    assert (answer["proposed"], answer["known"], answer["written"]) == (["new.example"], 1, False)
    assert answer["skipped"][0]["line"] == 3
    run(*words, "--write")
    assert entry(folder, "new.example").status == "proposed"
    assert answer["digest"][7:] in (tmp_path / "evidence" / "MANIFEST").read_text("utf-8")
    assert answer["digest"][7:23] in entry(folder, "new.example").note
    assert json.loads(run(*words, "--json"))["proposed"] == []


def test_import_of_a_source_needs_a_licence(folder, tmp_path):
    raw, source = tmp_path / "list.txt", tmp_path / "sources" / "their-list.toml"
    raw.write_text("new.example\n", "utf-8")
    words = ["import", "plain", raw, folder, "--source", "their-list", "--by", "a.berg", "--write"]
    assert "cannot be read" in run(*words, code=1)
    source.parent.mkdir()
    text = """authority = "A university"
authority_type = "other"
country = "FR"
tier = 3
url = "https://list.example/"
licence = "unknown"
licence_allows_use = false
legal_basis = "none"
language = "fr"
cadence_days = 30
contact = "list@list.example"
"""
    source.write_text(text, "utf-8")
    assert "is not known to allow this use" in run(*words, code=1)
    source.write_text(text.replace("false", "true"), "utf-8")
    run(*words)
    assert entry(folder, "new.example").decision == "their-list-2026-11-24"
    assert run("lint", folder).count("error") == 0
    assert "Whose names are they" in run("import", "plain", raw, folder, "--by", "a", code=1)


def test_export_and_test_and_diff_and_stats_read_a_build(folder, tmp_path, key):
    out, old, urls = tmp_path / "build", tmp_path / "old", tmp_path / "urls.txt"
    run("compile", folder, out, "--key", key)
    shutil.copytree(out, old)
    run("suspend", folder, "pirate.example", "--because", "wrong-host", "--reference", "x", "--by", "b.cole")
    run("compile", folder, out, "--key", key)
    assert "pirate.example" not in run("export", "plain", out)
    assert "||pirate.example^" in run("export", "adblock", old)
    urls.write_text("https://www.pirate.example/\nhttps://a.example/\n", "utf-8")
    assert "2 asked, 1 kept out (50.00 %)" in run("test", out, urls)
    top = tmp_path / "top.csv"
    top.write_text("1,pirate.example\n", "utf-8")
    assert "FREQUENTLY VISITED, number 1" in run("diff", old, out, "--top-sites", top)
    assert json.loads(run("stats", out, "--json"))["by_status"] == {"suspended": 1}


def test_much_larger_list_needs_a_reason_and_a_second_person(folder, tmp_path, key):
    out, names = tmp_path / "build", tmp_path / "names.txt"
    run("compile", folder, out, "--key", key)
    names.write_text("\n".join(f"p{number}.example" for number in range(60)), "utf-8")
    run("import", "plain", names, folder, "--decision", ID, "--by", "a.berg", "--write")
    run("approve", folder, ID, "--by", "b.cole")
    run("approve", folder, ID, "--by", "c.dahl")
    words = ["compile", folder, out, "--key", key]
    assert "60 more at once" in run(*words, code=1)
    reason = ["--grown-because", "annex of the order", "--second"]
    assert "Another person" in run(*words, *reason, "a.berg", code=1)
    assert "as claimed" in run(*words, *reason, "b.cole")
    before = builds.read_build(out)[0].manifest
    run(*words, "--dry-run")
    assert builds.read_build(out)[0].manifest == before


def test_signature_of_an_approver_is_told_from_a_claim(folder, tmp_path, key):
    out, other = tmp_path / "build", tmp_path / "keys" / "b.key"
    run("keygen", "--name", "lists.example/b.cole", "--key", other)
    run("compile", folder, out, "--key", key)
    public = ",".join(path.with_name(f"{path.name}.pub").read_text("utf-8").strip() for path in (key, other))
    assert "nobody's signature backs: b.cole, c.dahl" in run("verify", out, "--keys", public)
    run("sign", out, "--key", other)
    run("sign", out, "--key", other)
    told = run("verify", out, "--keys", public)
    assert "Approvers whose signature is on the build: b.cole" in told
    assert "nobody's signature backs: c.dahl" in told
    assert "b.cole (signed), c.dahl (claimed)" in run("explain", out, "pirate.example", "--keys", public)


def test_index_that_is_not_that_of_the_list_does_not_verify(folder, tmp_path, key):
    from blocklists.index import build_index, digest_of
    from blocklists.match import read_lines
    from blocklists.signing import sign_manifest
    from provenance.blocklist_verbs.publish import signer_of

    out = tmp_path / "build"
    run("compile", folder, out, "--key", key)
    files, _ = builds.read_build(out)
    empty = build_index([line for line in read_lines(files.jsonl) if hasattr(line, "tier")], [], [])
    manifest = files.manifest.replace(digest_of(files.indexed).encode(), digest_of(empty).encode())
    (out / builds.INDEX).write_bytes(empty)
    (out / builds.MANIFEST).write_bytes(manifest)
    (out / builds.SIGNATURE).write_bytes(sign_manifest(manifest, signer_of(key)))
    public = key.with_name("a.key.pub").read_text("utf-8").strip()
    assert "other names than the list" in run("verify", out, "--keys", public, code=1)


def test_objection_goes_its_way_from_arrival_to_rejection(folder, tmp_path):
    name = ("objection", "open", folder, "o-2026-7", "https://www.pirate.example/x")
    told = run(*name, "--grounds", "Mine.", "--contact", "letters 7", "--by", "b.cole", "--urgent")
    assert "about dc-example-2026-1/domain:pirate.example" in told
    assert "decide by 2026-11-25" in told
    assert "already" in run(*name, "--grounds", "x", "--contact", "x", "--by", "b", code=1)
    run("objection", "acknowledge", folder, "o-2026-7", "--by", "b.cole")
    run("objection", "suspend", folder, "o-2026-7", "--by", "b.cole")
    assert entry(folder, "pirate.example").status == "suspended"
    assert "is not decided" in run("objection", "close", folder, "o-2026-7", "--by", "b", code=1)
    words = [
        "objection",
        "decide",
        folder,
        "o-2026-7",
        "--outcome",
        "rejected",
        "--reasons",
        "It stands.",
        "--by",
        "b.cole",
    ]
    assert "Two different people" in run(*words, "--second", "b.cole", code=1)
    run(*words, "--second", "c.dahl")
    assert entry(folder, "pirate.example").status == "active"
    assert "was decided" in run(*words, "--second", "c.dahl", code=1)
    told = run("objection", "close", folder, "o-2026-7", "--by", "b.cole")
    assert "Your objection is rejected" in told
    assert "letters 7" not in told
    assert "rejected, closed on 2026-11-24" in run("objection", "list", folder)
    assert "was closed" in run("objection", "acknowledge", folder, "o-2026-7", "--by", "b", code=1)
    assert "no such objection" in run("objection", "acknowledge", folder, "o-1", "--by", "b", code=1)


def test_upheld_objection_removes_the_entry(folder):
    run("objection", "open", folder, "o-1", "pirate.example", "--grounds", "x", "--contact", "x", "--by", "b.cole")
    assert "acknowledge: objection o-1" in run("due", folder)
    words = ("--outcome", "upheld", "--because", "wrong-host", "--reasons", "x", "--by", "b.cole", "--second", "c.dahl")
    run("objection", "decide", folder, "o-1", *words)
    removed = entry(folder, "pirate.example")
    assert (removed.status, removed.change_cause, removed.change_reference) == ("removed", "wrong-host", "o-1")


@pytest.mark.parametrize("name", ["../../x", "a b", "X"])
def test_objection_is_never_written_elsewhere(folder, name):
    words = ("--grounds", "x", "--contact", "x", "--by", "b")
    assert "cannot be an id" in run("objection", "open", folder, name, "pirate.example", *words, code=1)


def test_who_says_whether_more_than_the_file_bears_witness(folder, tmp_path, monkeypatch):
    assert "no git history" in run("who", folder, "pirate.example")
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, "/dev/null")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=A. Berg", "-c", "user.email=a@lists.example"]
    subprocess.run([*git[:3], "init", "-q"], check=True)
    assert "not committed yet" in run("who", folder, "pirate.example")
    subprocess.run([*git, "add", "decisions"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "List pirate.example"], check=True)
    told = run("who", folder, "pirate.example")
    assert "A. Berg, no signature: List pirate.example" in told


def test_explain_judges_a_day_by_the_records(folder, tmp_path, key, clock):
    out = tmp_path / "build"
    run("suspend", folder, "pirate.example", "--because", "wrong-host", "--reference", "x", "--by", "b.cole")
    clock.append(TODAY + dt.timedelta(days=1))
    run("remove", folder, "pirate.example", "--because", "wrong-host", "--reference", "x", "--by", "b.cole")
    (folder / "other.toml").write_text(
        EXAMPLE.read_text("utf-8").replace(ID, "dc-2").replace("pirate.ex", "b.ex"), "utf-8"
    )
    run("compile", folder, out, "--key", key)
    words = ("explain", out, "www.pirate.example", "--at")
    assert "Not listed" in run(*words, "2026-03-01")
    assert "Held" in run(*words, "2026-11-24")
    assert "Not listed" in run(*words, "2026-11-25")


@pytest.mark.parametrize(
    "words",
    [
        *(("add",), ("mirror",), ("approve",), ("confirm",), ("suspend",), ("expire",), ("remove",), ("restore",)),
        *(("import",), ("export",), ("diff",), ("due",), ("test",), ("who",), ("stats",), ("sign",)),
        *(("objection", name) for name in ("open", "acknowledge", "suspend", "decide", "close", "list")),
    ],
)
def test_help_of_every_verb_shows_an_example(words):
    told = " ".join(run(*words, "--help").split())
    assert f"Example: knockfirst blocklist {' '.join(words)}" in told
    assert "--json" in told
