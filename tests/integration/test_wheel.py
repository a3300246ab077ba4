"""The wheel, installed: what is in it, and the door in somebody else's project, with one line in its settings."""

import json
import subprocess
import sys
import sysconfig
import zipfile

import pytest
from support.crawling import NO_LIST, PROJECT, WHO
from support.site import page, robots

pytestmark = pytest.mark.crawl

PACKAGES = ("reservations", "blocklists", "provenance", "crawler")
SETTINGS = """
BOT_NAME = "theirs"
SPIDER_MODULES = ["theirs.spiders"]
ADDONS = {"crawler.addon.Addon": 100}
ITEM_PIPELINES = {"theirs.pipelines.Count": 300}
"""
PIPELINES = """
class Count:
    def __init__(self):
        self.seen = 0

    def process_item(self, item):
        self.seen += 1
        return {**item, "seen": self.seen}
"""
SPIDER = """
from scrapy import Request, Spider


class Foreign(Spider):
    name = "foreign"

    def __init__(self, site):
        super().__init__()
        self.site = site

    async def start(self):
        yield Request(self.site, self.parse_home, cb_kwargs={"n": 1}, meta={"trail": ["start", {"deep": "\\u00e9"}]})

    def parse_home(self, response, n):
        yield {"url": response.url, "n": n, "trail": response.meta["trail"], "title": response.css("title::text").get()}
        trail = [*response.meta["trail"], n]
        yield response.follow("/b", self.parse_home, cb_kwargs={"n": n + 1}, meta={"trail": trail}) if n == 1 else None
        yield response.follow("/private", self.parse_home, errback=self.refused, meta={"trail": trail})
        yield response.follow("/lambda", lambda response: None)

    def refused(self, failure):
        yield {"url": failure.request.url, "refused": str(failure.value), "trail": failure.request.meta["trail"]}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel as pip builds it from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    built = subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(PROJECT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment of its own with the wheel in it; the dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python", str(python)]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], check=True)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_wheel_holds_the_four_packages_whole_but_for_the_settings_of_the_checkout(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    ours = {
        str(path.relative_to(PROJECT))
        for package in PACKAGES
        for path in (PROJECT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == ours - {"crawler/settings.py"}
    assert {
        "crawler/addon.py",
        "crawler/py.typed",
        "crawler/demo/web.toml",
        "reservations/policies/eu-gpai.toml",
        "reservations/protocols/rfc9309.toml",
    } <= names


def test_wheel_names_the_command_the_licence_and_no_test(wheel):
    archive = zipfile.ZipFile(wheel)
    about = {name.partition(".dist-info/")[2]: name for name in archive.namelist() if ".dist-info/" in name}
    assert "knockfirst = crawler.cli:main" in archive.read(about["entry_points.txt"]).decode()
    assert "Apache License" in archive.read(about["licenses/LICENSE"]).decode()
    assert "License-Expression: Apache-2.0" in archive.read(about["METADATA"]).decode()


@pytest.fixture
def elsewhere(crawling, tmp_path):
    """Runs commands with the installed wheel, in a folder that knows nothing of the checkout."""

    def make(site):
        crawl = crawling(site)
        crawl.environment = {k: v for k, v in crawl.environment.items() if not k.startswith(("PYTHON", "SCRAPY"))}
        project = tmp_path / "project"
        (project / "theirs" / "spiders").mkdir(parents=True)
        for path, text in {
            "scrapy.cfg": "[settings]\ndefault = theirs.settings\n",
            "theirs/__init__.py": "",
            "theirs/settings.py": SETTINGS,
            "theirs/pipelines.py": PIPELINES,
            "theirs/spiders/__init__.py": "",
            "theirs/spiders/foreign.py": SPIDER,
        }.items():
            (project / path).write_text(text)
        return crawl, project

    return make


def test_foreign_project_crawls_through_the_door_with_the_addon_alone(installed, elsewhere, serve):
    site = serve({
        "a.example": {
            "/robots.txt": robots("User-agent: *\nDisallow: /private\n"),
            "/": page(text="home"),
            "/b": page(text="b"),
            "/private": page(text="private"),
            "/lambda": page(text="lambda"),
        }
    })  # fmt: skip
    crawl, project = elsewhere(site)
    options = [word for name, value in crawl.settings.items() for word in ("-s", f"{name}={value}")]
    command = [
        installed,
        "-m",
        "scrapy",
        "crawl",
        "foreign",
        "-a",
        f"site={site.url('a.example/')}",
        "-O",
        "items.jsonl",
    ]
    ran = crawl.run([*command, "-s", "LOG_LEVEL=WARNING", *options], cwd=project)
    assert ran.returncode == 0, ran.stderr
    items = [json.loads(line) for line in (project / "items.jsonl").read_text().splitlines()]
    by_path = {item["url"].rpartition("/")[2]: item for item in items}
    assert by_path[""] == {
        "url": site.url("a.example/"),
        "n": 1,
        "trail": ["start", {"deep": "é"}],
        "title": "page",
        "seen": 1,
    }
    assert by_path["b"]["n"] == 2
    assert by_path["b"]["trail"] == ["start", {"deep": "é"}, 1]
    assert by_path["private"]["refused"].startswith("refused: robots.disallow")
    assert by_path["private"]["trail"] == ["start", {"deep": "é"}, 1]
    assert sorted(item["seen"] for item in items) == [1, 2, 3]
    assert sorted(site.pages("a.example")) == ["/", "/b"]
    assert "/lambda: refused for" in ran.stderr or "/lambda: its callback or errback is no method" in ran.stderr
    assert crawl.verified()
    assert (crawl.out / "crawl.json").exists()


def test_installed_packages_are_those_of_the_wheel_and_shadow_no_settings(installed, elsewhere, tmp_path):
    crawl, _ = elsewhere(None)
    found = crawl.run([installed, "-c", "import crawler; print(crawler.__file__)"], cwd=tmp_path)
    assert found.stdout.startswith(str(installed.parents[1]))
    assert "No module named" in crawl.run([installed, "-c", "import crawler.settings"], cwd=tmp_path).stderr


def test_knockfirst_crawl_and_verify_run_from_the_wheel(installed, elsewhere, serve, tmp_path):
    site = serve({"a.example": {"/": page("/b"), "/b": page(text="b")}})
    crawl, _ = elsewhere(site)
    knockfirst = installed.with_name("knockfirst")
    settings = {**crawl.settings, "KNOCKFIRST_OUT": None, **dict.fromkeys(WHO)}
    options = [word for name, value in settings.items() if value is not None for word in ("-s", f"{name}={value}")]
    who = ["--operator", WHO["KNOCKFIRST_OPERATOR"], "--contact", WHO["KNOCKFIRST_CONTACT"]]
    ran = crawl.run(
        [knockfirst, "crawl", site.url("a.example/"), *who, "--out", str(crawl.out), *options], cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    assert len(crawl.finals()) == 2
    told = crawl.run([knockfirst, "verify", str(crawl.out)], cwd=tmp_path)
    assert told.returncode == 0, told.stdout
    assert NO_LIST["KNOCKFIRST_NO_BLOCKLIST"] in told.stdout


NO_CRAWLER = """
import sys
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("scrapy", "twisted", "h11"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Gone())
from crawler import cli
"""


def test_auditors_need_no_scrapy(installed, elsewhere, tmp_path):
    """The command with Scrapy and Twisted out of reach has the auditors' verbs, and not the others."""
    crawl, _ = elsewhere(None)
    ran = crawl.run([installed, "-c", f"{NO_CRAWLER}\nsys.argv = ['knockfirst', '--help']\ncli.main()"], cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "verify" in ran.stdout
    assert "bot-page" not in ran.stdout


def test_folder_is_verified_explained_proved_and_reported_where_there_is_no_scrapy(
    installed, elsewhere, serve, tmp_path
):
    site = serve({
        "a.example": {
            "/robots.txt": robots("User-agent: *\nDisallow: /private\n"),
            "/": page("/private"),
            "/private": page(text="private"),
        }
    })  # fmt: skip
    crawl, _ = elsewhere(site)
    assert crawl.run(crawl.web(site.url("a.example/"))).returncode == 0
    given, auditor = tmp_path / "given", tmp_path / "auditor"
    crawl.out.rename(given)
    auditor.mkdir()
    url = site.url("a.example/private")
    commands = {
        "verified": ["verify", str(given)],
        "explained": ["explain", str(given), url],
        "proved": ["proof", str(given), url, "--to", "page.tlog-proof"],
        "checked": ["proof", "check", "page.tlog-proof"],
        "all of the site": ["proof", str(given), "--site", "a.example", "--to", "site.tlog-proof"],
        "consistent": ["consistency", str(given / "log" / "checkpoint"), str(given)],
        "reported": ["report", str(given), "--kind", "summary", "--to", "reports"],
    }
    steps = f"for words in {list(commands.values())!r}:\n    assert not cli.app(words, standalone_mode=False), words"
    ran = crawl.run([installed, "-c", f"{NO_CRAWLER}\n{steps}"], cwd=auditor)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for says in ("L3, replay of every decision by the rules in force: nothing differs", "refused, robots.disallow",
                 "Proved: this is entry", "begin with", "2 URLs of 1 sites."):  # fmt: skip
        assert says in ran.stdout
    alone = auditor / "verifier.py"
    alone.write_bytes((PROJECT / "provenance" / "standalone.py").read_bytes())
    for words in (["log", str(given)], ["proof", "page.tlog-proof"], ["proof", "site.tlog-proof"]):
        ran = crawl.run([sys.executable, "-I", alone, *words], cwd=auditor)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert json.loads((auditor / "reports" / "summary.json").read_text())["fields"]["2.3"]["value"] is True
