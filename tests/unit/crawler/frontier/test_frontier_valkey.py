"""What is Valkey's own: which servers are refused, lost connections and servers, clocks that differ, a cluster."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from contextlib import ExitStack, asynccontextmanager, contextmanager

import pytest
from redis import Redis

from crawler.frontier import Found, FrontierError, Lease, Outcome, open_frontier, shown
from crawler.frontier.interface import EPOCH, OutdatedError, State
from crawler.frontier.valkey_layout import shard_of_authority
from crawler.frontier.valkey_url import PASSWORD_VARIABLE, parse

A, B = "https://a.example", "https://b.example"
SITES = [f"https://{n}.example" for n in range(24)]


def page(number: int, authority: str = A) -> Found:
    return Found(f"{authority}/{number}", authority)


@asynccontextmanager
async def opened(url: str, leases: list[Lease] | None = None, **options):
    frontier = open_frontier(url, now=options.pop("now", time.time), **{"worker": "one", **options})
    left = await frontier.open()
    try:
        if leases is not None:
            leases += left
        yield frontier
    finally:
        await frontier.close()


async def touch(url: str) -> None:
    async with opened(url):
        pass


def fault(url: str) -> FrontierError | None:
    try:
        asyncio.run(touch(url))
    except FrontierError as error:
        return error
    return None


def refusal(url: str) -> FrontierError:
    error = fault(url)
    assert error is not None
    return error


# -- URLs --------------------------------------------------------------------------------------------------------------


def test_url_says_all_there_is_to_know(tmp_path, monkeypatch):
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    target = parse(
        "valkeys://crawl%2Fer:se%40cret@db.example:7000/3?crawl=web-1&shards=8&urls=1000000000&ca=/etc/ca.pem"
    )
    assert (target.host, target.port, target.db, target.tls, target.ca) == ("db.example", 7000, 3, True, "/etc/ca.pem")
    assert (target.user, target.password) == ("crawl/er", "se@cret")
    assert (target.crawl, target.shards, target.buckets) == ("web-1", 8, 30_518)
    plain = parse("valkey://db.example?crawl=x")
    assert (plain.port, plain.db, plain.tls, plain.shards, plain.password) == (6379, 0, False, 16, "")


def test_password_comes_from_a_file_or_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv(PASSWORD_VARIABLE, "from the environment")
    file = tmp_path / "password"
    file.write_text("from the file\n")
    assert parse("valkey://u@h?crawl=x").password == "from the environment"
    assert parse("valkey://u:in-the-url@h?crawl=x").password == "in-the-url"
    assert parse(f"valkey://u@h?crawl=x&password_file={file}").password == "from the file"


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("valkey://u:secret@h:1/0?crawl=x", "valkey://u:***@h:1/0?crawl=x"),
        ("valkey://:secret@h/0?crawl=x", "valkey://:***@h/0?crawl=x"),
        ("valkey://u:se@cr:et@h/0?crawl=x", "valkey://u:***@h/0?crawl=x"),
        ("valkey://u@h/0?crawl=x", "valkey://u@h/0?crawl=x"),
        ("sqlite:///out/frontier.db", "sqlite:///out/frontier.db"),
    ],
)
def test_password_is_never_shown(url, safe):
    assert shown(url) == safe


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("valkey://u:secret@/0?crawl=x", "names no server"),
        ("valkey://u:secret@h:port/0?crawl=x", "is no URL"),
        ("valkey://u:secret@h/0", "names no crawl"),
        ("valkey://u:secret@h/0?crawl=a b", "names no crawl"),
        ("valkey://u:secret@h/0?crawl=}x", "names no crawl"),
        ("valkey://u:secret@h/zero?crawl=x", "db=zero"),
        ("valkey://u:secret@h/0?crawl=x&shards=0", "shards=0"),
        ("valkey://u:secret@h/0?crawl=x&urls=many", "urls=many"),
        ("valkey://u:secret@h/0?crawl=x&shard=4", "mean nothing: shard"),
        ("valkey://u@h/0?crawl=x&password_file=/none/there", "cannot be read"),
        ("valkey://u:secret@h/0?crawl=x&ca=/etc/ca.pem", "is not over TLS"),
        ("valkeys://u:secret@h/0?crawl=x&ca=/none/there", "holds no certificates"),
        (f"valkeys://u:secret@h/0?crawl=x&ca={__file__}", "holds no certificates"),
    ],
)
def test_url_that_is_not_understood_is_refused(url, fault):
    with pytest.raises(FrontierError, match=fault) as caught:
        open_frontier(url, now=time.time)
    assert "secret" not in str(caught.value)


def test_client_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "crawler.frontier.valkey", raising=False)
    monkeypatch.setitem(sys.modules, "crawler.frontier.valkey_server", None)
    with pytest.raises(FrontierError, match=r"pip install 'knockfirst\[valkey\]'"):
        open_frontier("valkey://h?crawl=x", now=time.time)


# -- servers that are refused ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strange(valkey_server):
    """A server of its own, to be set up badly."""
    with valkey_server("--save", "", safe=False) as server:
        yield server


def test_unsafe_server_is_refused_with_the_line_to_change(strange):
    url, lines = strange.crawl("unsafe"), []
    with Redis(port=strange.port) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendfsync", "no")
        while (error := fault(url)) is not None and len(lines) < 10:
            assert f"127.0.0.1:{strange.port}" in error.where
            lines.append(error.remedy.split("'")[1])
            client.config_set(*lines[-1].split())
    assert lines == [
        "appendonly yes",
        "appendfsync everysec",
        "maxmemory-policy noeviction",
        "zset-max-listpack-entries 512",
        "zset-max-listpack-value 1024",
        "set-max-intset-entries 8192",
    ]


def test_server_that_is_too_old_is_refused(strange, monkeypatch):
    async def old(self, section):
        return {"redis_version": "7.0.15"} if section == "server" else {}

    monkeypatch.setattr("redis.asyncio.Redis.info", old)
    error = refusal(strange.crawl("old"))
    assert "7.0.15" in error.what
    assert "WAITAOF" in error.remedy


def test_user_needs_no_more_than_the_line_that_is_named(valkey):
    url = valkey.crawl("acl")
    name = parse(url).crawl
    login = url.replace("valkey://", "valkey://worker:pass@")
    with Redis(port=valkey.port) as client:
        assert "does not let the user worker in" in refusal(login).what
        client.acl_setuser("worker", enabled=True, passwords=["+pass"])
        error = refusal(login)
        line = error.remedy.partition("ACL SETUSER ")[2]
        assert f"{{kf:{name}:*}}" in line
        client.execute_command("ACL", "SETUSER", *line.split())

        async def main():
            async with opened(login) as frontier:
                await frontier.push([page(1), page(1, B)])
                leases = await frontier.claim(2)
                await frontier.finish([Outcome(lease.id, 0, payload=(b"d", b"r")) for lease in leases])
                await frontier.steer(State.PAUSE)
                assert [one async for one in frontier.queued()] == []
                await frontier.renew()

        asyncio.run(main())
        client.execute_command("ACL", "SETUSER", "worker", "-config|get")
        error = refusal(login)
        assert "does not tell its" in error.what
        assert error.remedy.endswith("ACL SETUSER worker +config|get")
        assert "pass" not in str(error)
        client.acl_deluser("worker")


def test_server_that_is_not_there_is_told_at_once():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        error = refusal(f"valkey://u:secret@127.0.0.1:{port}/0?crawl=x")
    assert "cannot be reached" in error.what
    assert "secret" not in str(error)


def test_shards_of_a_crawl_stay_as_they_were(valkey):
    url = valkey.crawl("layout")
    asyncio.run(touch(url))
    assert "begun with 4 shards" in refusal(url.replace("shards=4", "shards=8")).what
    asyncio.run(touch(url.replace("urls=100000", "urls=5")))


# -- faults ------------------------------------------------------------------------------------------------------------


class Proxy:
    """Stands between client and server, and cuts the connection in place of an answer when told to."""

    def __init__(self, port: int) -> None:
        self.port, self.cut_at, self.cuts = port, None, 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.listening = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _serve(self, reader, writer):
        theirs, ours = await asyncio.open_connection("127.0.0.1", self.port)

        async def there():
            while data := await reader.read(65536):
                ours.write(data)
            ours.close()

        going = asyncio.create_task(there())
        try:
            while data := await theirs.read(65536):
                if self.cut_at is not None:
                    self.cut_at -= 1
                    if self.cut_at < 0:
                        self.cut_at, self.cuts = None, self.cuts + 1
                        break
                writer.write(data)
        finally:  # also when the test ends before its connections do
            going.cancel()
            writer.close()
            ours.close()


@pytest.mark.parametrize("answer", range(3))
def test_answers_that_are_lost_lose_and_repeat_nothing(valkey, answer):
    """Every call is cut off in turn: what was done is not done twice, what was granted is not forgotten."""
    url = valkey.crawl(f"proxy{answer}")

    async def main():
        async with Proxy(valkey.port) as proxy:
            url_ = url.replace(str(valkey.port), str(proxy.listening))
            async with opened(url_) as frontier:

                async def cut(call):
                    proxy.cut_at = answer
                    result = await call
                    proxy.cut_at = None
                    return result

                await cut(frontier.push([page(n, site) for site in SITES for n in range(2)]))
                first = await cut(frontier.claim(30))
                assert sorted(lease.authority for lease in first) == sorted(SITES)
                children = [page(7, site) for site in SITES]
                kept = (b"digest", b"reference")
                outcomes = [Outcome(one.id, 0, (new,), payload=kept) for one, new in zip(first, children, strict=True)]
                await cut(frontier.finish(outcomes))
                number, _ = await cut(frontier.hold(SITES[0]))
                assert number is not None
                await cut(frontier.finish([Outcome(number, 0)]))
                assert await cut(frontier.swap(EPOCH, None, "1"))
                assert await cut(frontier.swap("fact", None, "1"))
                counts = await cut(frontier.counts())
                assert (counts.seen, counts.queued, counts.leased) == (3 * len(SITES), 2 * len(SITES), 0)
                with pytest.raises(FrontierError, match="is not open"):
                    await frontier.finish([Outcome(first[0].id, 0)])
            assert proxy.cuts > 0

    asyncio.run(main())


def test_server_killed_and_started_again_has_lost_nothing(valkey_server):
    with valkey_server() as server:
        url = server.crawl("killed")

        async def main():
            async with opened(url) as frontier:
                await frontier.push([page(n, site) for site in SITES for n in range(2)])
                leases = await frontier.claim(10)
                await frontier.finish([Outcome(lease.id, 0) for lease in leases[:5]])
                before = await frontier.counts()
                server.stop()
                waiting = asyncio.create_task(frontier.counts())
                await asyncio.to_thread(server.start)
                assert await waiting == before
                await frontier.finish([Outcome(lease.id, 0) for lease in leases[5:]])
            left: list[Lease] = []
            async with opened(url, left) as frontier:
                assert left == []
                assert len(await frontier.claim(100)) == len(SITES)

        asyncio.run(main())


@contextmanager
def last_moment_lost(port: int):
    """What the block has a server write is gone afterwards, and so are the lines to it, as when its power fails."""
    with Redis(port=port) as client:
        copy = {key: client.dump(key) for key in client.scan_iter()}
        yield
        client.flushdb()
        for key, value in copy.items():
            client.restore(key, 0, value)
        client.client_kill_filter(_type="normal", skipme=True)


def test_server_that_lost_its_last_moment_gives_no_number_of_a_lease_away_again(valkey_server):
    with valkey_server() as server:

        async def main():
            async with opened(server.crawl("lost")) as frontier:
                await frontier.push([page(1), page(1, SITES[0])])
                with last_moment_lost(server.port):
                    lost = await frontier.claim(2)
                again = await frontier.claim(2)
                assert {lease.url for lease in again} == {lease.url for lease in lost}
                assert min(lease.id for lease in again) > max(lease.id for lease in lost)
                with pytest.raises(FrontierError, match="not open"):
                    await frontier.finish([Outcome(lost[0].id, 0)])

        asyncio.run(main())


def test_links_that_a_server_lost_are_queued_when_they_are_met_again(valkey_server):
    with valkey_server() as server:

        async def main():
            async with opened(server.crawl("lost")) as frontier:
                await frontier.push([page(1)])
                with last_moment_lost(server.port):
                    assert await frontier.push([page(2)]) == 1
                assert (await frontier.counts()).queued == 1
                assert await frontier.push([page(1), page(2)]) == 1
                assert (await frontier.counts()).queued == 2

        asyncio.run(main())


def test_server_that_stays_away_is_told_after_the_patience(valkey_server):
    with valkey_server() as server:

        async def main():
            async with opened(server.crawl("gone"), lease_s=0.3) as frontier:
                server.stop()
                with pytest.raises(FrontierError, match="cannot be reached"):
                    await frontier.push([page(1)])

        asyncio.run(main())


def test_server_without_memory_is_told_and_nothing_is_forgotten(strange):
    url = strange.crawl("full")
    with Redis(port=strange.port) as client:
        for line in (
            "appendonly yes",
            "appendfsync everysec",
            "maxmemory-policy noeviction",
            "zset-max-listpack-entries 512",
            "zset-max-listpack-value 1024",
            "set-max-intset-entries 8192",
        ):
            client.config_set(*line.split())

        async def main():
            async with opened(url) as frontier:
                await frontier.push([page(1)])
                (lease,) = await frontier.claim(1)
                client.config_set("maxmemory", 1)
                with pytest.raises(FrontierError, match="no memory left"):
                    await frontier.finish([Outcome(lease.id, 0, (page(2),))])
                client.config_set("maxmemory", 0)
                await frontier.finish([Outcome(lease.id, 0, (page(2),))])
                assert [one.url for one in await frontier.claim(1)] == [f"{A}/2"]

        asyncio.run(main())


# -- clocks ------------------------------------------------------------------------------------------------------------


def test_workers_whose_clocks_differ_agree(valkey):
    """One is an hour behind: what it says and hears is by its own clock."""
    url = valkey.crawl("clocks")
    behind = 3600.0

    async def main():
        late = {"worker": "two", "now": lambda: time.time() - behind}
        async with opened(url) as one, opened(url, **late) as two:
            await one.push([page(1), page(2)])
            (lease,) = await one.claim(5)
            assert await two.claim(5) == []
            assert 50 < await two.next_due() - (time.time() - behind) <= 60
            await one.finish([Outcome(lease.id, time.time() + 100)])
            assert 90 < await two.next_due() - (time.time() - behind) <= 100
            await two.remember_origin(A, b"facts", time.time() - behind + 50)
            blob, expires = await one.recall_origin(A)
            assert blob == b"facts"
            assert 40 < expires - time.time() <= 50

    asyncio.run(main())


# -- a command that was half given, full sets --------------------------------------------------------------------------


def test_epoch_that_reached_one_shard_only_reaches_the_others_with_the_next_renewal(valkey):
    url = valkey.crawl("half")
    name = parse(url).crawl

    async def main():
        with Redis(port=valkey.port) as client:
            async with opened(url) as frontier:
                await frontier.push([page(1, site) for site in SITES])
                client.hset(f"{{kf:{name}:0}}control", mapping={"epoch": "new", "version": 9})
                await frontier.renew()
                assert client.hget(f"{{kf:{name}:3}}control", "epoch") == b"new"
                with pytest.raises(OutdatedError):
                    await frontier.claim(1, epoch="old")
                assert len(await frontier.claim(99, epoch="new")) == len(SITES)

    asyncio.run(main())


def test_sets_of_seen_urls_that_grow_full_are_told(valkey, caplog):
    url = valkey.crawl("buckets").replace("urls=100000", "urls=1")
    name = parse(url).crawl

    async def main():
        async with opened(url) as frontier:
            await frontier.renew()
            assert "nearly as full" not in caplog.text
            with Redis(port=valkey.port) as client:
                client.sadd(f"{{kf:{name}:2}}s:0", *range(8000))
            await frontier.renew()
            assert "larger urls=" in caplog.text

    asyncio.run(main())


# -- a cluster ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(valkey_server):
    """Three servers that share the slots, and a URL of any of them."""
    with ExitStack() as stack:
        servers = [stack.enter_context(valkey_server("--cluster-enabled", "yes")) for _ in range(3)]
        clients = [stack.enter_context(Redis(port=server.port)) for server in servers]
        for number, client in enumerate(clients):
            first, last = number * 16384 // 3, (number + 1) * 16384 // 3 - 1
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        for server in servers[1:]:
            clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", server.port)
        give_up_at = time.monotonic() + 20
        while not all(b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO") for client in clients):
            assert time.monotonic() < give_up_at
            time.sleep(0.05)
        yield servers, clients


def test_crawl_spread_over_a_cluster_keeps_its_promises(cluster):
    servers, clients = cluster
    url = servers[0].crawl("spread").replace("shards=4", "shards=12")

    async def main():
        async with opened(url, max_per_address=4) as one, opened(url, worker="two", max_per_address=4) as two:
            assert one.servers.many
            await one.push([page(n, site) for site in SITES for n in range(3)])
            done = 0
            while leases := await one.claim(5) + await two.claim(5):
                assert len({lease.authority for lease in leases}) == len(leases)
                for frontier, part in ((one, leases[:5]), (two, leases[5:])):
                    await frontier.finish(
                        [
                            Outcome(lease.id, 0, (page(9, B), page(3, lease.authority)), payload=(b"d", b"r"))
                            for lease in part
                        ]
                    )
                done += len(leases)
            counts = await two.counts()
            assert (counts.seen, counts.queued, counts.leased) == (done, 0, 0)
            assert done == 4 * len(SITES) + 2
            await one.steer(State.DRAIN)
            assert await two.state() == State.DRAIN
            assert await two.swap(EPOCH, None, "1")

    asyncio.run(main())
    assert all(client.dbsize() > 3 for client in clients)


def test_shard_that_moves_to_another_server_is_followed(cluster):
    servers, clients = cluster
    url = servers[0].crawl("moved").replace("shards=4", "shards=1")
    slot = clients[0].execute_command("CLUSTER", "KEYSLOT", f"{{kf:{parse(url).crawl}:0}}")
    ids = [client.execute_command("CLUSTER", "MYID") for client in clients]

    async def main():
        async with opened(url) as frontier:
            await frontier.push([page(n) for n in range(5)])
            owner = next(
                n for n, client in enumerate(clients) if client.execute_command("CLUSTER", "COUNTKEYSINSLOT", slot)
            )
            other = (owner + 1) % 3
            clients[other].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[owner])
            clients[owner].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[other])
            keys = clients[owner].execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100)
            clients[owner].execute_command("MIGRATE", "127.0.0.1", servers[other].port, "", 0, 5000, "KEYS", *keys)
            for number in (other, owner):
                clients[number].execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[other])
            (lease,) = await frontier.claim(5)
            await frontier.finish([Outcome(lease.id, 0)])
            assert (await frontier.counts()).queued == 4

    asyncio.run(main())


def test_authorities_of_one_site_lie_in_one_shard():
    hosts = ["https://site.co.uk", "http://www.site.co.uk:8080", "https://a.b.site.co.uk"]
    assert len({shard_of_authority(host, 1024) for host in hosts}) == 1
    assert len({shard_of_authority(site, 16) for site in SITES}) > 8
