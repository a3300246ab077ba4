"""What is SQLite's own: whose file it is, who may have it, what a batch costs, how large it grows."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import crawler
from crawler.frontier import Found, FrontierError, Lease, Outcome
from crawler.frontier.interface import Limits, Recent, fingerprint
from crawler.frontier.sqlite import SqliteFrontier
from crawler.frontier.sqlite_file import SCHEMA_VERSION, SqliteFile

ROOT = Path(crawler.__file__).parents[1]
SITE = "https://a.example"


def frontier_at(path: Path) -> SqliteFrontier:
    return SqliteFrontier(path, now=lambda: 1_000_000.0, worker="one", limits=Limits())


def pages(numbers: range, size: int = 100) -> list[Found]:
    return [Found(f"{SITE}/{number}", SITE, "x" * size) for number in numbers]


@pytest.fixture
def path(tmp_path) -> Path:
    """A frontier with 3,000 URLs, one of them leased, closed."""

    async def main() -> None:
        frontier = frontier_at(tmp_path / "frontier.db")
        await frontier.open()
        await frontier.push(pages(range(3_000)))
        await frontier.claim(1)
        await frontier.close()

    asyncio.run(main())
    return tmp_path / "frontier.db"


def refusal(path: Path) -> FrontierError:
    """How opening fails; and closing after it is allowed."""

    async def main() -> None:
        frontier = frontier_at(path)
        try:
            await frontier.open()
        finally:
            await frontier.close()

    with pytest.raises(FrontierError) as caught:
        asyncio.run(main())
    assert str(path) in str(caught.value)
    assert caught.value.remedy in str(caught.value)
    return caught.value


def test_text_file_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "seeds.txt"
    path.write_text("https://a.example/\n" * 500)
    assert "not a frontier" in refusal(path).what
    assert path.read_text() == "https://a.example/\n" * 500
    assert list(tmp_path.iterdir()) == [path]


def test_file_of_another_program_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "other.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE host (id)")
    db.commit()
    db.close()
    before = path.read_bytes()
    assert "somebody else's" in refusal(path).what
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, SCHEMA_VERSION - 1])
def test_file_of_another_schema_is_refused(path, version):
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {version}")
    db.commit()
    db.close()
    assert f"schema version {version}" in refusal(path).what


def test_file_with_a_trigger_put_in_is_refused(path):
    db = sqlite3.connect(path)
    db.execute("CREATE TRIGGER evil AFTER DELETE ON lease BEGIN DELETE FROM queue; END")
    db.commit()
    db.close()
    assert "tampered" in refusal(path).what


@pytest.mark.parametrize("page", [1, 5, 20, 60])
def test_file_with_a_page_of_rubbish_is_refused(path, page):
    with path.open("r+b") as file:
        file.seek(page * 4096)
        file.write(random.Random(1).randbytes(4096))
    assert "damaged" in refusal(path).what


def test_file_cut_short_is_refused(path):
    os.truncate(path, path.stat().st_size // 2)
    assert "damaged" in refusal(path).what


def test_folder_that_is_not_there_is_refused(tmp_path):
    assert "cannot be opened" in refusal(tmp_path / "none" / "frontier.db").what


def test_empty_file_becomes_a_frontier(tmp_path):
    path = tmp_path / "frontier.db"
    path.touch()

    async def main() -> None:
        frontier = frontier_at(path)
        assert await frontier.open() == []
        await frontier.close()

    asyncio.run(main())


def test_file_is_shared_by_processes(path):
    """Two more processes push at the same time as this one: nothing is refused, nothing counted wrong."""
    script = (
        "import asyncio, sys\nfrom crawler.frontier import Found, open_frontier\n"
        "async def main():\n"
        f"    frontier = open_frontier('sqlite:///{path}', now=lambda: 0.0, worker=sys.argv[1])\n"
        "    await frontier.open()\n"
        "    for n in range(60):\n"
        "        urls = [(f'https://{m % 7}.example', m) for m in range(n, n + 40)]\n"
        "        await frontier.push([Found(f'{site}/{m}', site) for site, m in urls])\n"
        "    await frontier.close()\n"
        "asyncio.run(main())"
    )

    async def main() -> None:
        frontier = frontier_at(path)
        await frontier.open()
        names = ("two", "three")
        others = [await asyncio.create_subprocess_exec(sys.executable, "-c", script, name, cwd=ROOT) for name in names]
        for n in range(3_000, 3_200, 5):
            assert await frontier.push(pages(range(n, n + 5))) == 5
        assert [await other.wait() for other in others] == [0, 0]
        counts = await frontier.counts()
        assert (counts.seen, counts.queued, counts.hosts) == (3_299, 3_298, 8)
        assert [worker.name for worker in await frontier.workers()] == ["one", "three", "two"]
        await frontier.close()

    asyncio.run(main())


def test_file_that_somebody_keeps_busy_is_told_and_readable(path, monkeypatch):
    monkeypatch.setattr("crawler.frontier.sqlite_file._PATIENCE_S", 0.05)

    async def main() -> None:
        frontier = frontier_at(path)
        await frontier.open()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(FrontierError, match="kept busy by another process"):
            await frontier.push(pages(range(3_000, 3_010)))
        assert (await frontier.counts()).seen == 3_000
        other.execute("ROLLBACK")
        other.close()
        assert await frontier.push(pages(range(3_000, 3_010))) == 10
        await frontier.close()

    asyncio.run(main())


def test_commits_wait_for_the_disk(path):
    async def main() -> None:
        frontier = frontier_at(path)
        await frontier.open()

        def pragma(name: str) -> object:
            return frontier._store._sql(f"PRAGMA {name}").fetchone()[0]

        settings = [frontier._thread.submit(pragma, name).result() for name in ("journal_mode", "synchronous")]
        assert settings == ["wal", 2]
        await frontier.close()

    asyncio.run(main())


def commits(frontier: SqliteFrontier) -> list[str]:
    """A list that grows by each transaction that the file sees."""
    seen: list[str] = []
    db = frontier._store._file._db
    frontier._thread.submit(
        db.set_trace_callback, lambda statement: seen.append(statement) if statement == "COMMIT" else None
    ).result()
    return seen


def test_calls_of_one_turn_share_a_transaction(path):
    async def main() -> None:
        frontier = frontier_at(path)
        await frontier.open()
        await frontier.push([Found(f"https://{n}.example/", f"https://{n}.example") for n in range(64)])
        leases = await frontier.claim(64)
        seen = commits(frontier)
        await asyncio.gather(*(frontier.finish([Outcome(lease.id, 0)]) for lease in leases))
        assert len(seen) == 1
        await frontier.close()

    asyncio.run(main())


def test_push_of_what_was_met_lately_does_not_touch_the_file(path):
    async def main() -> None:
        frontier = frontier_at(path)
        await frontier.open()
        await frontier.push(pages(range(3_000, 3_050)))
        seen = commits(frontier)
        assert await frontier.push(pages(range(3_000, 3_050))) == 0
        assert seen == []
        await frontier.close()

    asyncio.run(main())


def test_full_disk_undoes_the_batch_and_is_told(path):
    async def main() -> None:
        frontier = frontier_at(path)
        await frontier.open()
        before = await frontier.counts()
        full = pages(range(5_000, 6_000), size=2_000)

        def room(number: int) -> None:
            frontier._store._sql(f"PRAGMA max_page_count = {number}").fetchone()

        frontier._thread.submit(room, 1).result()
        small = [Found("https://b.example/", "https://b.example")]
        answers = await asyncio.gather(frontier.push(full), frontier.push(small), return_exceptions=True)
        assert ["no room left" in str(answer) for answer in answers] == [True, True]
        assert await frontier.counts() == before
        frontier._thread.submit(room, 1_000_000).result()
        assert await frontier.push(full) == 1_000
        await frontier.close()

    asyncio.run(main())


def test_fault_that_is_not_sqlites_undoes_the_batch(path):
    async def main() -> None:
        frontier = frontier_at(path)
        leases: list[Lease] = await frontier.open()
        before = await frontier.counts()
        with pytest.raises(OverflowError):
            await frontier.finish([Outcome(leases[0].id, 0, tuple(pages(range(9_000, 9_005)))), Outcome(2**80, 0)])
        assert await frontier.counts() == before
        await frontier.finish([Outcome(leases[0].id, 0)])
        await frontier.close()

    asyncio.run(main())


def test_write_ahead_log_left_by_a_crash_is_read(path):
    script = (
        "import asyncio, os, signal\n"
        "from crawler.frontier import Found, open_frontier\n"
        "async def main():\n"
        f"    frontier = open_frontier('sqlite:///{path}', now=lambda: 0.0)\n"
        "    await frontier.open()\n"
        "    await frontier.push([Found('https://b.example/', 'https://b.example')])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert path.with_name("frontier.db-wal").stat().st_size > 0

    async def main() -> None:
        frontier = frontier_at(path)
        await frontier.open()
        assert [lease.url for lease in await frontier.claim(5)] == ["https://b.example/"]
        await frontier.close()

    asyncio.run(main())
    assert not path.with_name("frontier.db-wal").exists()


def test_file_grows_by_the_seen_set_alone(tmp_path):
    """20,000 pages come and go, 1 KiB of payload each: what stays is their fingerprint, not their row."""

    async def main() -> None:
        frontier = frontier_at(tmp_path / "frontier.db")
        await frontier.open()
        sites = [f"https://{n}.example" for n in range(500)]
        for wave in range(40):
            await frontier.push([Found(f"{site}/{wave}", site, "x" * 1024) for site in sites])
            leases = await frontier.claim(500)
            assert len(leases) == 500
            await frontier.finish([Outcome(lease.id, 0) for lease in leases])
            if wave == 9:
                early = await size(frontier)
        grown = await size(frontier) - early
        assert grown / 15_000 < 25
        await frontier.close()

    async def size(frontier: SqliteFrontier) -> int:
        def pages_in_use() -> int:
            sql = frontier._store._sql
            return 4096 * sql("PRAGMA page_count").fetchone()[0]

        return frontier._thread.submit(pages_in_use).result()

    asyncio.run(main())


def test_recent_urls_are_bounded_and_the_freshest_stay():
    recent = Recent(100)
    for number in range(10_000):
        recent.add(f"{SITE}/{number}")
        assert f"{SITE}/{number}" in recent
        assert len(recent) <= 100
    assert f"{SITE}/5" not in recent
    assert all(f"{SITE}/{number}" in recent for number in range(9_950, 10_000))


def test_recent_url_that_is_met_again_stays():
    recent = Recent(100)
    for number in range(1_000):
        recent.add(f"{SITE}/{number}")
        assert f"{SITE}/0" in recent


def test_fingerprint_fits_a_signed_integer_of_64_bits():
    numbers = {fingerprint(f"https://a.example/{number}") for number in range(2_000)}
    assert len(numbers) == 2_000
    assert min(numbers) < 0 < max(numbers)
    assert all(-(2**63) <= number < 2**63 for number in numbers)


def test_file_that_another_worker_makes_while_it_is_looked_at_is_no_stranger(tmp_path):
    path = tmp_path / "frontier.db"

    def make():
        one = SqliteFile(path)
        one.open(check=False)
        one.close()

    other = threading.Thread(target=make)

    class Looking(SqliteFile):
        def sql(self, statement, *values):
            if statement == "PRAGMA user_version" and not other.ident:
                other.start()
                other.join(0.3)  # it makes the file now if it can
            return super().sql(statement, *values)

    looking = Looking(path)
    looking.open(check=True)
    looking.close()
    other.join()
