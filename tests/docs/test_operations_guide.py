"""The page for operators: its commands over a small web and real servers, its files read by what they are for."""

import asyncio
import datetime as dt
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from support.guide import Desk, steps
from support.site import page, serving
from support.valkey import free_port, relay, server_program, speaks_tls
from typer.testing import CliRunner

from blocklists.signing import StaffKey
from crawler.demo.authority import Authority
from crawler.frontier import open_frontier
from crawler.frontier.valkey_server import _COPIES, _SETTINGS
from crawler.frontier.valkey_url import parse
from provenance import builds

PROJECT = Path(__file__).parents[2]
GUIDE = PROJECT / "docs" / "operations.md"
FILES = PROJECT / "docs" / "operations"
TEXT = GUIDE.read_text("utf-8")
PASSWORD = "put-the-crawlers-password-here"
NAMES = ("a.example", "b.example", "c.example")
PROGRAM = server_program()
#: What the files name, by the name it has here.
MACHINE = {"bind 10.0.0.5": "bind 127.0.0.1", "/etc/valkey/": "", "dir /var/lib/valkey": "dir ."}


@contextmanager
def server(folder, *words, listen="--port"):
    """A real server on loopback, in that folder; its port."""
    if PROGRAM is None:
        pytest.skip("neither Valkey nor Redis 7.2 is installed")
    port = free_port()
    command = [PROGRAM, *words, listen, str(port), "--bind", "127.0.0.1"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stdout:
                if "Ready to accept connections" in line:
                    break
            else:
                raise AssertionError(f"{command} ended")
            yield port
        finally:
            process.kill()


class Served(NamedTuple):
    """A server that the guide's files make.

    Attributes:
        port: its own; over TLS, where it was built with it.
        tls_port: over TLS in any case.
        folder: its files.
    """

    port: int
    tls_port: int
    folder: Path

    def client(self, **options):
        return Redis(
            host="localhost", port=self.tls_port, ssl=True, ssl_ca_certs=self.folder / "ca.crt", retry=None, **options
        )


@contextmanager
def of_the_files(folder, *more):
    """The server that valkey.conf, users.acl and further lines make; its TLS is a relay's where it has none itself."""
    folder.mkdir()
    authority = Authority(folder, dt.datetime.now(dt.UTC))
    context = authority.server_context("localhost")
    authority.ca_file.rename(folder / "ca.crt")
    for name in ("server.crt", "server.key"):
        shutil.copy(folder / "localhost.pem", folder / name)
    shutil.copy(FILES / "users.acl", folder)
    conf = (FILES / "valkey.conf").read_text("utf-8")
    for place, here in MACHINE.items():
        assert place in conf
        conf = conf.replace(place, here)
    file = folder / "valkey.conf"
    if PROGRAM and speaks_tls(PROGRAM):
        file.write_text("\n".join([conf, *more]), "utf-8")
        with server(folder, file, listen="--tls-port") as port:
            yield Served(port, port, folder)
    else:
        plain = [line for line in conf.splitlines() if not line.startswith(("port", "tls-"))]
        file.write_text("\n".join([*plain, *more]), "utf-8")
        with server(folder, file) as port, relay(port, context) as tls_port:
            yield Served(port, tls_port, folder)


@pytest.fixture
def of_the_guide(tmp_path):
    with of_the_files(tmp_path / "safe", "repl-diskless-sync-delay 0") as served:
        yield served


@pytest.fixture
def careless(tmp_path):
    (tmp_path / "careless").mkdir()
    with server(tmp_path / "careless", "--save", "", "--requirepass", PASSWORD) as port:
        yield port


@pytest.fixture
def site():
    web = {
        name: {"/": page("/1", "/2", "/3"), **{f"/{n}": page(text=f"{n} of {name}") for n in (1, 2, 3)}}
        for name in NAMES
    }
    with serving(web) as site:
        yield site


class OperatorDesk(Desk):
    """Has a small web in the place of the guide's sites, and servers in the place of its machines."""

    def __init__(self, folder, site, places):
        super().__init__(folder)
        self._site = site
        self._places = {**places, **{f"https://{name}/": site.url(f"{name}/") for name in NAMES}}

    def run(self, command, output):
        for place, here in self._places.items():
            command = command.replace(place, here)
        return super().run(command, output)

    def show(self, name, text):
        if name == "seeds.txt":
            text = "".join(f"{self._site.url(f'{host}/')}\n" for host in NAMES)
        if name == "worker.sh":
            loopback = {
                "KNOCKFIRST_RESOLVE": self._site.resolve,
                "KNOCKFIRST_ALLOW_PRIVATE_ADDRESSES": "True",
                "DOWNLOAD_DELAY": "0",
            }
            text = text.rstrip() + "".join(f" -s {setting}={value}" for setting, value in loopback.items()) + "\n"
        super().show(name, text)


@pytest.fixture
def desk(empty_desk, site, of_the_guide, careless, monkeypatch):
    staff = StaffKey.new("lists.example/a.berg")
    (empty_desk / "keys" / "staff.pub").write_text(staff.public_text(), "utf-8")
    now = dt.datetime.now(dt.UTC)
    decisions = PROJECT / "crawler" / "demo" / "blocklist"
    build = builds.compile_folder(decisions, version=builds.next_version(empty_desk / "blocklist", now.date()), now=now)
    builds.write_build(empty_desk / "blocklist", build, staff)
    monkeypatch.setenv("KNOCKFIRST_FRONTIER_PASSWORD", PASSWORD)
    monkeypatch.setenv("COLUMNS", "100")
    shutil.copy(of_the_guide.folder / "ca.crt", empty_desk)
    places = {
        "valkeys://crawler@10.0.0.5/": f"valkeys://crawler@localhost:{of_the_guide.tls_port}/",
        "valkey://10.0.0.9/": f"valkey://127.0.0.1:{careless}/",
    }
    return OperatorDesk(empty_desk, site, places)


@pytest.mark.crawl
def test_every_command_of_the_guide_prints_what_the_guide_says(desk, site):
    wrong = desk.disagreements(GUIDE)
    said = [f"{path.name}: {path.read_text()}" for path in sorted(desk.folder.glob("[wm][0-9].txt"))] if wrong else []
    assert not wrong, "\n\n".join([*wrong, *said])
    assert {path.parent.name for path in desk.folder.glob("out/*/crawl.json")} == {"w1", "w2", "m1", "m2", "m3"}
    assert site.log.count(site.url("a.example/1")) == 2, "once by each of the two crawls"


def test_every_verb_of_operators_is_in_the_guide():
    used = {command.split()[2] for command, _ in steps(TEXT) if command.startswith("knockfirst frontier ")}
    assert {"stats", "pause", "resume", "drain", "block", "unblock", "requeue", "export", "import"} <= used


def test_every_file_beside_the_guide_is_named_in_it():
    assert {path.name for path in FILES.iterdir()} == set(re.findall(r"\(operations/([^)]+)\)", TEXT))


def test_settings_that_are_refused_are_in_the_table_with_their_lines():
    table = TEXT[TEXT.index("| refused |") :].partition("\n\n")[0]
    conf = (FILES / "valkey.conf").read_text("utf-8").splitlines()
    for name, _, line in _SETTINGS:
        assert f"`{line}`" in table, name
        assert line in conf, name


def test_user_of_the_list_may_do_what_a_crawl_does_and_nothing_else(of_the_guide):
    with of_the_guide.client(username="crawler", password=PASSWORD) as client:
        client.set("{kf:autumn:0}x", "1")
        for words in (["SET", "other", "1"], ["FLUSHALL"], ["CONFIG", "SET", "appendonly", "no"], ["ACL", "LIST"]):
            with pytest.raises(Exception, match="permission"):
                client.execute_command(*words)
    with of_the_guide.client() as anybody, pytest.raises(Exception, match="authenticated"):
        anybody.ping()


def test_replica_of_the_files_holds_what_the_master_holds(of_the_guide, tmp_path):
    text = (FILES / "replica.conf").read_text("utf-8").replace("10.0.0.5 6379", f"127.0.0.1 {of_the_guide.port}")
    lines = [line for line in text.splitlines() if not line.startswith("bind")]
    with (
        of_the_files(tmp_path / "replica", *lines) as second,
        of_the_guide.client(username="crawler", password=PASSWORD) as master,
        second.client(username="crawler", password=PASSWORD) as replica,
    ):
        master.set("{kf:autumn:0}x", "1")
        assert master.wait(1, 20_000) == 1
        assert replica.get("{kf:autumn:0}x") == b"1"


def test_master_of_the_files_has_workers_wait_for_its_replica():
    assert f"{_COPIES} 1" in (FILES / "master.conf").read_text("utf-8").splitlines()


def test_units_are_what_systemd_accepts(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not here")
    units = []
    for file in sorted(FILES.glob("*.service")):
        here = tmp_path / file.name
        here.write_text(file.read_text("utf-8").replace("/opt/knockfirst/bin/knockfirst", "/bin/true"), "utf-8")
        units.append(here)
    assert len(units) == 2
    ran = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert (ran.returncode, [line for line in ran.stderr.splitlines() if str(tmp_path) in line]) == (0, []), ran.stderr


def test_variables_that_units_and_containers_use_are_in_the_file_of_the_environment():
    given = set(re.findall(r"^([A-Z_]+)=", (FILES / "fleet.env").read_text("utf-8"), re.MULTILINE))
    for file in (*FILES.glob("*.service"), FILES / "compose.yaml"):
        text = file.read_text("utf-8")
        used = set(re.findall(r"\$\$?\{?([A-Z_]+)\}?", text))
        assert used <= given | set(re.findall(r"^    ([A-Z_]+): ", text, re.MULTILINE)), file.name


def test_frontier_of_the_environment_is_one_that_can_be_opened(tmp_path):
    (url,) = re.findall(r"^FRONTIER=(.*)$", (FILES / "fleet.env").read_text("utf-8"), re.MULTILINE)
    here = Authority(tmp_path, dt.datetime.now(dt.UTC)).ca_file
    open_frontier(url.replace("/etc/knockfirst/ca.crt", str(here)), now=time.time)


def test_containers_run_commands_that_exist_on_a_frontier_of_theirs(monkeypatch):
    yaml = pytest.importorskip("yaml")
    services = yaml.safe_load((FILES / "compose.yaml").read_text("utf-8"))["services"]
    workers = {name: one for name, one in services.items() if name.startswith("w")}
    assert [one["command"][-1] for one in workers.values()] == list(workers)
    assert len({one["command"][2] for one in workers.values()}) == 1
    served = " ".join(services["frontier"]["command"])
    assert all(line in served for name, _, line in _SETTINGS if name != "appendfsync"), "which is so by itself"
    given = dict(re.findall(r"^([A-Z_]+)=(.*)$", (FILES / "fleet.env").read_text("utf-8"), re.MULTILINE))
    for one in (*workers.values(), services["metrics"]):
        for name, value in {**given, **one["environment"]}.items():
            monkeypatch.setenv(name, value)
        assert parse(one["environment"]["FRONTIER"]).password == "", "their server asks for none, and refuses any"
        words = one["command"][2].split()[2:]
        verb = words[:1] if words[0] == "crawl" else words[:2]
        assert CliRunner().invoke(Desk.app, [*verb, "--help"]).exit_code == 0


def test_alerts_ask_for_metrics_that_there_are(tmp_path):
    yaml = pytest.importorskip("yaml")
    (group,) = yaml.safe_load((FILES / "alerts.yml").read_text("utf-8"))["groups"]
    shown = metrics_of_a_worker(tmp_path)
    for rule in group["rules"]:
        assert rule["annotations"]["summary"]
        assert set(re.findall(r"knockfirst_\w+", rule["expr"])) <= shown, rule["alert"]


def test_metrics_of_the_table_are_those_that_are_served(tmp_path):
    table = TEXT[TEXT.index("| metric |") :].partition("\n\n")[0]
    named = set()
    for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE):
        first, *more = [name.partition("{")[0] for name in re.findall(r"`([^`]+)`", cell)]
        named |= {first, *(first.rpartition("_")[0] + name for name in more)}
    assert named == metrics_of_a_worker(tmp_path)


def metrics_of_a_worker(folder):
    """Names of all metrics of a frontier that a worker has told something."""

    async def main():
        frontier = open_frontier(f"sqlite:///{folder}/frontier.db", now=time.time, worker="w1")
        await frontier.open()
        await frontier.renew('{"verdicts":{"kept":3}}')
        await frontier.close()

    asyncio.run(main())
    text = CliRunner().invoke(Desk.app, ["frontier", "stats", str(folder), "--prometheus"]).stdout
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}
