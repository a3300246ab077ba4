"""What can be set, run, read in an output or met as an exit code is documented, and nothing is that is not there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from crawler import cli
from crawler.options import OPTIONS, PREFIX
from crawler.spiders.web import ARGUMENTS, SCOPES, WebSpider
from provenance.rules import shipped_protocols
from reservations.model import Category, Value, Verdict
from reservations.reasons import CORE
from reservations.registry import Registry

ROOT = Path(__file__).parents[2]
SOURCES = "".join(
    path.read_text("utf-8") for name in ("crawler", "provenance", "tests") for path in (ROOT / name).rglob("*.py")
)
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
README = (ROOT / "README.md").read_text("utf-8")
OUTPUTS = (ROOT / "docs/outputs.md").read_text("utf-8")
SETTINGS = (ROOT / "docs/settings.md").read_text("utf-8")
EXIT_CODES = (ROOT / "docs/exit-codes.md").read_text("utf-8")


def rows(text):
    """Tables of a document: first cell without backticks, to the other cells."""
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("|")]
    return {row[0].strip().strip("`"): [cell.strip() for cell in row[1:]] for row in cells}


def verbs():
    """Every command of `knockfirst` by its words, as click sees it."""
    app = typer.Typer()
    app.registered_commands, app.registered_groups = list(cli.app.registered_commands), list(cli.app.registered_groups)
    from crawler import verbs as crawling

    crawling.add_to(app)
    found = {}

    def walk(command, words):
        if hasattr(command, "commands"):
            for name, child in command.commands.items():
                walk(child, (*words, name))
        else:
            found[" ".join(words)] = command

    walk(typer.main.get_command(app), ())
    return found


VERBS = verbs()
GROUPS = {words.partition(" ")[0] for words in VERBS}


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_setting_is_documented_with_its_text_and_default(option):
    text, default = rows(SETTINGS)[option.name]
    assert text == option.text
    assert default.strip("`") == ("required" if option.required else str(option.default or "") or default.strip("`"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_no_document_names_a_setting_that_is_not_there(path):
    named = set(re.findall(rf"\b{PREFIX}[A-Z_]+\b", path.read_text("utf-8")))
    unknown = named - {option.name for option in OPTIONS}
    assert {name for name in unknown if f'"{name}"' not in SOURCES} == set(), "nor a variable of a command or test"


# -- reason codes, verdicts, values, items -----------------------------------------------------------------------------


def test_list_of_reason_codes_is_the_one_made_from_the_data():
    made = subprocess.run(
        [sys.executable, ROOT / ".ci/reason_codes.py"], capture_output=True, text=True, cwd=ROOT, check=True
    ).stdout
    same = (ROOT / "docs/reason-codes.md").read_text("utf-8") == made
    assert same, "run: .venv/bin/python .ci/reason_codes.py > docs/reason-codes.md"


def test_every_reason_code_has_one_sentence_and_is_documented():
    described = rows((ROOT / "docs/reason-codes.md").read_text("utf-8"))
    for code, text in {**CORE, **Registry.load(shipped_protocols()).reasons}.items():
        assert re.fullmatch(r"[a-z0-9-]+\.[a-z0-9-]+", code)
        assert text.endswith("."), code
        assert described[code] == [text.replace("|", "\\|")]


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_is_documented_with_what_is_kept_of_it(verdict):
    meaning, kept = rows(OUTPUTS)[verdict]
    assert meaning
    assert kept


def test_every_value_and_category_is_documented():
    told = OUTPUTS + (ROOT / "docs/log-format.md").read_text("utf-8")
    for word in (*Value, *Category):
        assert f"`{word}`" in told


@pytest.mark.parametrize("field", ["url", "media_type", "open", "categories", "warc", "log_entry"])
def test_every_field_of_an_item_is_documented(field):
    import inspect

    assert f'"{field}":' in inspect.getsource(WebSpider._item)
    assert field in rows(OUTPUTS)


# -- commands ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", sorted(VERBS))
def test_every_command_has_a_row_of_exit_codes_and_help_with_an_example(words):
    table = rows(EXIT_CODES)
    row = table.get(f"knockfirst {words}") or table.get(f"knockfirst {words.partition(' ')[0]}")
    assert row, f"docs/exit-codes.md has no row for `knockfirst {words}`"
    assert len(row) == 3
    command = VERBS[words]
    assert command.help
    assert f"knockfirst {words}" in (command.epilog or command.help)


def test_exit_codes_name_no_command_that_is_not_there():
    for name in rows(EXIT_CODES):
        if name.startswith("knockfirst "):
            assert name.removeprefix("knockfirst ") in {*VERBS, *GROUPS}


def commands_in(text):
    """Command lines and inline commands of a document that begin with `knockfirst`, continuation lines joined."""
    text = text.replace("\\\n", " ")
    lines = re.findall(r"^(?:    |\t)?(?:\.venv/bin/)?(knockfirst .*)$", text, re.MULTILINE)
    return lines + re.findall(r"`(knockfirst [^`]+)`", text)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_a_document_names_exists_with_its_options(path):
    for line in commands_in(path.read_text("utf-8")):
        words = [word for word in shlex.split(line.partition("  #")[0].replace("...", "")) if word]
        if len(words) < 2 or words[1].startswith(("-", "|")) or not re.fullmatch(r"[a-z-]+", words[1]):
            continue
        two = " ".join(words[1:3])
        name = two if two in VERBS else words[1]
        assert name in VERBS or name in GROUPS, f"{path.name}: {line}"
        if name in VERBS:
            known = {option for parameter in VERBS[name].params for option in parameter.opts} | {"--help"}
            used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
            assert used <= known, f"{path.name}: {line}"


def test_readme_shows_the_spider_with_arguments_and_settings_that_exist():
    (line,) = re.findall(r"^    .venv/bin/scrapy crawl web.*$", README.replace("\\\n", " "), re.MULTILINE)
    words = shlex.split(line)
    assert (ROOT / "scrapy.cfg").exists()
    assert words[2] == WebSpider.name
    given = dict(zip(words[3::2], words[4::2], strict=False))
    assert set(given) <= {"-a", "-s", "-O"}
    for option, value in zip(words[3::2], words[4::2], strict=True):
        name, _, text = value.partition("=")
        if option == "-a":
            assert name in ARGUMENTS
            assert name != "scope" or text in SCOPES
        if option == "-s":
            assert name in {one.name for one in OPTIONS}


@pytest.mark.parametrize("script", ["demo", "test"])
def test_scripts_of_the_readme_are_there_and_can_be_run(script):
    assert f"./{script}" in README
    assert (ROOT / script).stat().st_mode & 0o111
    subprocess.run(["sh", "-n", ROOT / script], check=True)


def test_readme_names_the_addon_as_it_is():
    from scrapy.utils.misc import load_object

    (path,) = re.findall(r'ADDONS = \{"([\w.]+)": \d+\}', README)
    assert load_object(path).__name__ == "Addon"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(path):
    text = path.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
