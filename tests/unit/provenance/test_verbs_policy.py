"""`lint` and `protocols` as policy staff see them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crawler.cli import app
from provenance.rules import shipped_policy, shipped_protocols

RUN = CliRunner()
VECTORS = Path(__file__).resolve().parents[2] / "vectors"
DEMO_DECISION = Path(__file__).parents[3] / "crawler/demo/blocklist/court-of-example.toml"
APPROVED = """
[[approvals]]
setting = "profile"
approver = "A. Approver"
reason = "a trial, until May"
date = "2026-11-22"
"""


def lint(*paths):
    ran = RUN.invoke(app, ["lint", *map(str, paths)])
    return ran.exit_code, ran.stdout


def test_shipped_files_have_no_faults():
    assert lint() == (0, "Nothing is wrong.\n")


def test_files_of_all_kinds_in_a_folder_are_told_apart(tmp_path):
    (tmp_path / "policy.toml").write_text(shipped_policy(), "utf-8")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "court.toml").write_text(DEMO_DECISION.read_text("utf-8"), "utf-8")
    for name in ("tdmrep.toml", "crawler-tokens.toml"):
        (tmp_path / name).write_text(shipped_protocols()[name], "utf-8")
    assert lint(tmp_path) == (0, "Nothing is wrong.\n")


def test_every_fault_of_every_file_is_named_with_its_line(tmp_path):
    (tmp_path / "policy.toml").write_text(shipped_policy().replace("tries = 3", "tries = 99"), "utf-8")
    (tmp_path / "mine.toml").write_text('id = "mine"\nordr = 1\nreviewed = "soon"\n', "utf-8")
    (tmp_path / "broken.toml").write_text("= 1", "utf-8")
    (tmp_path / "declarations").mkdir()
    (tmp_path / "declarations" / "all.jsonl").write_text("not even JSON\n", "utf-8")
    decision = DEMO_DECISION.read_text("utf-8").replace("tier = 1", "tier = 9")
    (tmp_path / "court.toml").write_text(decision, "utf-8")
    code, told = lint(tmp_path)
    assert code == 1
    line = shipped_policy().splitlines().index("tries = 3") + 1
    for expected in (
        f"{tmp_path}/policy.toml:{line}: tries: ",
        f"{tmp_path}/mine.toml:2: ordr: unknown key; did you mean 'order'? allowed: ",
        f"{tmp_path}/mine.toml:3: reviewed: ",
        f"{tmp_path}/mine.toml:1: steward: missing",
        f"{tmp_path}/broken.toml:1: (file): not valid TOML",
        f"{tmp_path}/declarations/all.jsonl:1: ",
        "tier",
    ):
        assert expected in told, expected


def test_files_of_declarations_are_looked_at(tmp_path):
    folder = tmp_path / "declarations"
    folder.mkdir()
    head = '{"protocol": "iscc", "source": "registry", "taken": "2026-11-20"}\n'
    row = f'{{"sha256": "{"0" * 64}", "label": "tdm", "value": "deny"}}\n'
    (folder / "good.jsonl").write_text(head + row, "utf-8")
    assert lint(tmp_path) == (0, "Nothing is wrong.\n")
    (folder / "bad.jsonl").write_text(head + row.replace("tdm", "sing"), "utf-8")
    (folder / "bad.xml").write_text("<ONIXMessage>", "utf-8")
    code, told = lint(tmp_path)
    assert code == 1
    assert f"{folder / 'bad.jsonl'}:2: label: there is no label 'sing'" in told
    assert f"{folder / 'bad.xml'}:1: (file): cannot be read as a list of records" in told


def test_weaker_policy_is_shown_though_it_is_in_order(tmp_path):
    weaker = shipped_policy().replace('profile = "standard"', 'profile = "letter"')
    (tmp_path / "policy.toml").write_text(weaker + APPROVED, "utf-8")
    code, told = lint(tmp_path / "policy.toml")
    assert code == 0
    assert told.startswith("WEAKER THAN THE SHIPPED FLOOR: ")
    assert "profile = letter (approved by A. Approver: a trial, until May)" in told


def test_weaker_protocol_without_approval_is_a_fault(tmp_path):
    text = shipped_protocols()["trust-txt.toml"].replace('also_at = ["/.well-known/trust.txt"]\n', "")
    (tmp_path / "trust-txt.toml").write_text(text, "utf-8")
    code, told = lint(tmp_path)
    assert code == 1
    assert "weaker than the shipped rules" in told


def test_file_that_is_not_there_is_no_fault_of_a_file(tmp_path):
    assert lint(tmp_path / "nothing.toml")[0] == 2


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ('since = "2027-01-01"', "must not be before since"),
        ('purposes = ["crawl"]', "no licence opens crawl"),
        ('origins = ["site.example"]', "origins"),
    ],
)
def test_licences_of_a_policy_are_looked_at(tmp_path, change, problem):
    good = {
        "id": 'id = "l"', "origins": 'origins = ["https://site.example"]', "purposes": 'purposes = ["genai-train"]',
        "since": 'since = "2026-01-01"', "until": 'until = "2026-12-31"', "evidence": 'evidence = "contract"',
    }  # fmt: skip
    path = tmp_path / "policy.toml"
    path.write_text(shipped_policy() + "\n[[licences]]\n" + "\n".join(good.values()), "utf-8")
    assert lint(path)[0] == 0
    changed = {**good, change.partition(" ")[0]: change}
    path.write_text(shipped_policy() + "\n[[licences]]\n" + "\n".join(changed.values()), "utf-8")
    code, told = lint(path)
    assert code == 1
    assert problem in told


def test_protocols_are_listed_with_what_they_bind_and_when_they_were_reviewed():
    told = json.loads(RUN.invoke(app, ["protocols", "--json"]).stdout)
    rows = {row["id"]: row for row in told["protocols"]}
    assert rows["tdmrep"]["binds"]["genai-train"] == "B"
    assert rows["tdmrep"]["binds"]["search"] == "b"
    assert rows["trust-txt"]["binds"]["search"] == "-"
    assert "/.well-known/trust.txt" in rows["trust-txt"]["carriers"]
    assert "B: binds by default" in RUN.invoke(app, ["protocols", "--matrix"]).stdout


@pytest.mark.parametrize("option", ["--matrix", "--stale-after=99999"])
def test_lists_are_whole_on_a_narrow_terminal(option):
    told = RUN.invoke(app, ["protocols", option], env={"COLUMNS": "80"}).stdout
    assert "…" not in told
    for name in json.loads(RUN.invoke(app, ["protocols", "--json"]).stdout)["protocols"]:
        assert f" {name['id']} " in told


def test_case_that_fails_is_told_with_what_it_is_about(tmp_path):
    suite = json.loads((VECTORS / "metas.json").read_text("utf-8"))
    suite["cases"] = suite["cases"][:2]
    suite["cases"][1]["expect"] = {"effective": {"tdm": "allow"}, "outcome": "kept"}
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(suite), "utf-8")
    ran = RUN.invoke(app, ["vectors", str(path)])
    assert ran.exit_code == 1
    assert ran.stdout.splitlines() == [
        f"{path}: HM02 (plain refusal in the header genai)",
        "  effective tdm: expected allow, got unset",
        "  outcome: expected kept, got aborted home-made.genai",
        "1 passed, 1 failed",
    ]


def test_stale_reviews_are_named():
    ran = RUN.invoke(app, ["protocols", "--stale-after", "-1"])
    assert "Not reviewed for more than -1 days: access, " in ran.stdout
