"""A protocol that nobody has heard of, from one TOML file in a folder of the operator's: read, obeyed, in the log."""

import hashlib
import json
import sys
from pathlib import Path

from support.crawling import PROJECT
from support.site import Reply, page, robots

from provenance.entry import ConfigEntry
from provenance.rules import shipped_protocols
from reservations.registry import Registry

MADE_UP = """
id = "no-robot-writing"
name = "A protocol that nobody has heard of"
steward = "a test"
version = "1"
date = "2026-11-22"
status = "test"
eu_status = "none"
reviewed = "2026-11-22"
order = 90
sources = [{ title = "this test", read = "verified" }]
[[reasons]]
code = "robot-writing.never"
text = "Robots may not learn to write from this."
[[reasons]]
code = "robot-writing.unread"
text = "writing.json could not be read."
unread = "reservation-file"
[[reasons]]
code = "robot-writing.ours"
text = "Our staff does not use this site."
[[documents]]
path = "/.well-known/writing.json"
format = "json_rules"
max_bytes = 1000000
location = "where"
answers = [{ status = ["2xx"], means = "read" }, { status = ["4xx"], means = "absent" }]
unread = { reason = "robot-writing.unread", effective = { genai-train = "undeterminable" } }
[[robots_lines]]
name = "Robot-Writing"
syntax = "pairs"
paths = "scoped"
[[http_fields]]
name = "Robot-Writing"
syntax = "dictionary"
[[html_metas]]
name = "robot-writing"
syntax = "directives"
[[restrictions]]
hosts = ["ours.example"]
reason = "robot-writing.ours"
values = { genai-train = "deny" }
why = "the staff promised it to the site"
[[labels]]
name = "learn"
reason = "robot-writing.never"
[[labels.values]]
value = "never"
strict = { genai-train = "deny" }
effective = { genai-train = "deny" }
[[labels.values]]
value = '"never"'
effective = { genai-train = "deny" }
[[labels]]
name = "never"
reason = "robot-writing.never"
values = [{ value = "", strict = { genai-train = "deny" }, effective = { genai-train = "deny" } }]
"""
DECLARED = """\
{"protocol": "iscc", "source": "https://registry.example/", "taken": "2026-11-20"}
{"sha256": "SHA256", "label": "genai-train", "value": "deny", "declarant": "did:web:rights.example"}
""".replace("SHA256", hashlib.sha256(b"<p>a work that was declared").hexdigest())
KNOCKFIRST = Path(sys.executable).with_name("knockfirst")


def folder_with(tmp_path, **files):
    folder = tmp_path / "rules"
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text, "utf-8")
    return folder


def test_made_up_protocol_works_on_four_carriers_from_one_file(crawling, serve, tmp_path):
    site = serve({
        "line.example": {
            "/robots.txt": robots("User-agent: *\nAllow: /\nRobot-Writing: /poems/ learn=never\n"),
            "/": page("/poems/1"),
            "/poems/1": page(),
        },
        "file.example": {
            "/.well-known/writing.json": Reply(
                json.dumps([{"where": "/poems/", "learn": "never"}]), headers={"Content-Type": "application/json"}
            ),
            "/": page("/poems/1"),
            "/poems/1": page(),
        },
        "head.example": {"/": Reply("<p>text", headers={"Robot-Writing": "learn=never"})},
        "meta.example": {"/": page(head='<meta name="robot-writing" content="never">')},
        "ours.example": {"/": page()},
        "works.example": {"/": Reply("<p>a work that was declared")},
    })  # fmt: skip
    crawl = crawling(site)
    folder = folder_with(tmp_path, writing=MADE_UP)
    (folder / "declarations").mkdir()
    (folder / "declarations" / "snapshot.jsonl").write_text(DECLARED, "utf-8")
    seeds = [site.url(f"{name}/") for name in site.web]
    ran = crawl.run(crawl.web(seeds, KNOCKFIRST_DATA=folder))
    assert ran.returncode == 0, ran.stderr
    assert crawl.finals() == {
        site.url("line.example/"): "kept policy.open",
        site.url("line.example/poems/1"): "refused robot-writing.never",
        site.url("file.example/"): "kept policy.open",
        site.url("file.example/poems/1"): "refused robot-writing.never",
        site.url("head.example/"): "aborted robot-writing.never",
        site.url("meta.example/"): "discarded robot-writing.never",
        site.url("ours.example/"): "refused robot-writing.ours",
        site.url("works.example/"): "discarded iscc.declared",
    }
    assert "file.example/.well-known/writing.json" in site.asked
    assert crawl.verified()
    [config] = [entry for entry in crawl.entries() if isinstance(entry, ConfigEntry)]
    assert config.protocols != Registry.load(shipped_protocols()).digest
    bundle = json.loads((crawl.out / "log" / "rules" / f"{config.rules[7:]}.json").read_bytes())
    assert bundle["protocols"]["writing.toml"] == MADE_UP
    assert bundle["protocols"]["declarations/snapshot.jsonl"] == DECLARED
    assert config.weaker == ()


def test_weaker_file_without_approval_stops_the_crawl_and_with_one_is_shown(crawling, serve, tmp_path):
    site = serve({"a.example": {"/": page(), "/trust.txt": robots("datatrainingallowed=no\n")}})
    crawl = crawling(site)
    shipped = (PROJECT / "reservations/protocols/trust-txt.toml").read_text("utf-8")
    weaker = shipped.replace('effective = { ai-train = "deny", genai-train = "deny" }', "effective = {}", 1)
    folder = folder_with(tmp_path, **{"trust-txt": weaker})
    ran = crawl.run(crawl.web(site.url("a.example/"), KNOCKFIRST_DATA=folder))
    assert ran.returncode == 1
    assert "KNOCKFIRST_DATA: trust-txt.toml:1: (file): weaker than the shipped rules" in ran.stderr
    assert "label datatrainingallowed: value 'no' refuses less" in ran.stderr
    assert not crawl.out.exists()
    approval = '\n[approval]\napprover = "Ada Approver"\nreason = "a trial on our own site"\ndate = "2026-11-22"\n'
    (folder / "trust-txt.toml").write_text(weaker + approval, "utf-8")
    ran = crawl.run(crawl.web(site.url("a.example/"), KNOCKFIRST_DATA=folder))
    assert ran.returncode == 0, ran.stderr
    assert crawl.finals() == {site.url("a.example/"): "kept policy.open"}
    [config] = [entry for entry in crawl.entries() if isinstance(entry, ConfigEntry)]
    assert [(item.approver, item.reason) for item in config.weaker] == [("Ada Approver", "a trial on our own site")]
    assert config.weaker[0].rule.startswith("trust-txt.toml: label datatrainingallowed")
    verified = crawl.run([KNOCKFIRST, "verify", crawl.out])
    assert "Ada Approver" in verified.stdout.splitlines()[0]


def test_folder_that_is_not_there_and_file_with_faults_are_named(crawling, serve, tmp_path):
    site = serve({"a.example": {"/": page()}})
    crawl = crawling(site)
    ran = crawl.run(crawl.web(site.url("a.example/"), KNOCKFIRST_DATA=tmp_path / "nowhere"))
    assert "KNOCKFIRST_DATA" in ran.stderr
    assert "there is no such folder" in ran.stderr
    folder = folder_with(tmp_path, odd='id = "odd"\nordr = 1\n')
    ran = crawl.run(crawl.web(site.url("a.example/"), KNOCKFIRST_DATA=folder))
    assert "odd.toml:2: ordr: unknown key" in ran.stderr
