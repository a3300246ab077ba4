"""Somebody else's spider with the add-on alone: what it may ask for, what it gets, what it is told."""

import json
import threading

import pytest
from support.site import Reply, page, robots

from provenance.together import verify_together

pytestmark = pytest.mark.crawl

ROBOTS = robots("User-agent: *\nDisallow: /private\n")
HEAD = """
import datetime
from scrapy import FormRequest, Request, Spider

SITE = {site!r}

class Foreign(Spider):
    name = "foreign"
"""


def spider(site, body):
    return HEAD.format(site=site.url("a.example/")[:-1]) + body


@pytest.fixture
def foreign(crawling, serve, tmp_path):
    """Runs a spider's body on a web of one name; its items, and the crawl."""

    def run(body, web, **settings):
        site = serve({"a.example": {"/robots.txt": ROBOTS, **web}})
        crawl = crawling(site)
        items = tmp_path / "items.jsonl"
        ran = crawl.run(
            crawl.spider(spider(site, body), "-O", str(items), LOG_LEVEL="WARNING", **settings), cwd=tmp_path
        )
        assert ran.returncode == 0, ran.stderr
        got = [json.loads(line) for line in items.read_text().splitlines()] if items.exists() else []
        return got, crawl, site, ran.stderr

    return run


def test_meta_cannot_switch_robots_txt_off(foreign):
    body = """
    async def start(self):
        yield Request(SITE + "/private", meta={"dont_obey_robotstxt": True})
        yield Request(SITE + "/open", meta={"dont_obey_robotstxt": True})

    def parse(self, response):
        yield {"url": response.url}
"""
    items, crawl, site, _ = foreign(body, {"/private": page(), "/open": page()}, ROBOTSTXT_OBEY=False)
    assert [item["url"] for item in items] == [site.url("a.example/open")]
    assert crawl.finals()[site.url("a.example/private")] == "refused robots.disallow"
    assert site.pages("a.example") == ["/open"]
    assert crawl.verified()


def test_errback_hears_of_a_page_that_was_not_kept_and_why(foreign):
    body = """
    async def start(self):
        for path in ("/private", "/gone", "/"):
            yield Request(SITE + path, errback=self.failed, meta={"path": path}, cb_kwargs={"n": len(path)})

    def parse(self, response, n):
        yield {"n": n, "path": response.meta["path"]}

    async def failed(self, failure):
        decision = failure.value.passage.decision
        yield {"failed": failure.request.meta["path"], "why": f"{decision.verdict} {decision.reason}"}
"""
    items, crawl, _, errors = foreign(body, {"/": page()})
    assert sorted(items, key=str) == [
        {"failed": "/gone", "why": "absent http.not-found"},
        {"failed": "/private", "why": "refused robots.disallow"},
        {"n": 1, "path": "/"},
    ]
    assert "ERROR" not in errors
    assert crawl.verified()


def test_request_of_an_errback_is_followed(foreign):
    body = """
    async def start(self):
        yield Request(SITE + "/gone", errback=self.failed)

    def failed(self, failure):
        return Request(SITE + "/instead")

    def parse(self, response):
        yield {"url": response.url}
"""
    items, crawl, site, _ = foreign(body, {"/instead": page()})
    assert [item["url"] for item in items] == [site.url("a.example/instead")]
    assert crawl.seals() == ["finished"]


REFUSED = {
    "Request(SITE + '/lambda', callback=lambda response: None)": "no method of the spider",
    "Request(SITE + '/errback', errback=lambda failure: None)": "no method of the spider",
    "Request(SITE + '/date', meta={'when': datetime.date.today()})": "not plain JSON",
    "Request(SITE + '/pair', cb_kwargs={'pair': (1, 2)})": "not plain JSON",
    "Request(SITE + '/long', meta={'long': 'x' * 9000})": "larger than 8192 bytes",
    "FormRequest(SITE + '/form', formdata={'a': 'b'})": "only asks (GET)",
    "Request(SITE + '/auth', headers={'Authorization': 'Basic eA=='})": "credentials",
    "Request(SITE + '/cookie', cookies={'a': 'b'})": "credentials",
}


def test_requests_that_are_no_data_or_no_question_are_refused_in_words_and_the_rest_goes_on(foreign):
    body = f"""
    async def start(self):
        yield Request(SITE + "/")

    def parse(self, response, **_):
        yield from ({", ".join(REFUSED)})
        yield Request(SITE + "/next", self.after)

    def after(self, response):
        yield {{"url": response.url}}
"""
    items, crawl, site, errors = foreign(body, {"/": page(), "/next": page(text="next")})
    lines = [line for line in errors.splitlines() if "ERROR" in line]
    for line, (request, words) in zip(lines, REFUSED.items(), strict=True):
        assert words in line
        assert request.split("'")[1] in line
    assert len(items) == 1
    assert site.pages("a.example") == ["/", "/next"]
    assert crawl.verified()


def test_request_past_the_scheduler_is_not_sent(foreign):
    body = """
    async def start(self):
        yield Request(SITE + "/")

    async def parse(self, response):
        try:
            await self.crawler.engine.download_async(Request(SITE + "/b"))
        except Exception as error:
            yield {"error": type(error).__name__, "text": str(error)}
        try:
            again = response.request.replace(url=SITE + "/b", dont_filter=True)
            await self.crawler.engine.download_async(again)
        except Exception as error:
            yield {"error": type(error).__name__, "text": str(error)}
        try:
            await self.crawler.engine.download_async(response.request.copy())
        except Exception as error:
            yield {"error": type(error).__name__, "text": str(error)}
"""
    items, crawl, site, _ = foreign(body, {"/": page(), "/b": page()})
    assert [item["error"] for item in items] == ["NotLeasedError"] * 3
    assert "yield it as a Request" in items[0]["text"]
    assert site.pages("a.example") == ["/"]
    assert crawl.verified()


def test_headers_of_a_spider_are_wishes_only(foreign):
    body = """
    async def start(self):
        yield Request(SITE + "/", headers={"User-Agent": "Mozilla/5.0", "Accept": "text/html", "Referer": "https://x.example/"})
"""
    _, _, site, _ = foreign(body, {"/": page()})
    assert site.pages("a.example") == ["/"]
    assert all(agent.startswith("KnockfirstBot/") for agent in site.agents)


def test_failing_callback_ends_its_page_and_nothing_else(foreign):
    body = """
    async def start(self):
        yield Request(SITE + "/")

    def parse(self, response):
        yield Request(SITE + "/next", self.after)
        raise RuntimeError("a fault of the spider's")

    def after(self, response):
        yield {"url": response.url}
"""
    items, crawl, site, errors = foreign(body, {"/": page(), "/next": page(text="next")})
    assert [item["url"] for item in items] == [site.url("a.example/next")]
    assert "a fault of the spider's" in errors
    assert crawl.seals() == ["finished"]


def test_pipelines_see_items_and_dropped_ones_end_their_page(crawling, serve, tmp_path):
    site = serve({"a.example": {f"/{n}": page(text=str(n)) for n in range(4)}})
    body = """
    async def start(self):
        for n in range(4):
            yield Request(f"{SITE}/{n}", cb_kwargs={"n": n})

    async def parse(self, response, n):
        yield {"n": n}
        yield {"n": n + 10}

class Odd:
    async def process_item(self, item):
        from scrapy.exceptions import DropItem
        if item["n"] == 12:
            raise ValueError("a fault of the pipeline's")
        if item["n"] % 2 == 0:
            raise DropItem("even")
        item["seen"] = True
        return item
"""
    crawl = crawling(site)
    items = tmp_path / "items.jsonl"
    command = crawl.spider(
        spider(site, body), "-O", str(items), ITEM_PIPELINES=json.dumps({"foreign.Odd": 300}), LOG_LEVEL="ERROR"
    )
    crawl.environment["PYTHONPATH"] = str(tmp_path)
    ran = crawl.run(command, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    got = [json.loads(line) for line in items.read_text().splitlines()]
    assert sorted(item["n"] for item in got) == [1, 3, 11, 13]
    assert all(item["seen"] for item in got)
    assert crawl.seals() == ["finished"]
    assert crawl.verified()


def test_two_workers_of_a_foreign_project_share_its_crawl(crawling, serve, tmp_path):
    pages = {"/": page("/x"), **{f"/{n}": page(text=str(n)) for n in range(3)}}
    hosts = ("a.example", "b.example", "c.example", "d.example")
    gate = threading.Event()
    gated = {**pages, "/": Reply(pages["/"].body, gate=gate)}
    site = serve({host: {"/robots.txt": ROBOTS, **gated} for host in hosts})
    crawl = crawling(site)
    body = f"""
    async def start(self):
        for host in {hosts}:
            yield Request(SITE.replace("a.example", host) + "/", meta={{"host": host}})

    def parse(self, response):
        for n in range(3):
            yield response.follow(f"/{{n}}", self.leaf, cb_kwargs={{"n": n}})

    def leaf(self, response, n):
        yield {{"url": response.url, "n": n}}
"""
    shared = {"KNOCKFIRST_FRONTIER": f"sqlite:///{tmp_path}/frontier.db", "CONCURRENT_REQUESTS": 2}
    outs, items = [tmp_path / name for name in ("w1", "w2")], [tmp_path / f"w{n}.jsonl" for n in (1, 2)]
    commands = [
        crawl.spider(spider(site, body), "-O", str(file), KNOCKFIRST_OUT=out, LOG_LEVEL="WARNING", **shared)
        for out, file in zip(outs, items, strict=True)
    ]
    processes = [crawl.start(command, cwd=tmp_path) for command in commands]
    for host in hosts:
        site.wait_for(f"{host}/")
    gate.set()  # each of the two holds two hosts now
    for process in processes:
        ran = crawl.finish(process)
        assert ran.returncode == 0, ran.stderr
        assert "ERROR" not in ran.stderr
    got = [json.loads(line)["url"] for file in items for line in file.read_text().splitlines()]
    assert sorted(got) == sorted(site.url(f"{host}/{n}") for host in hosts for n in range(3))
    assert sorted(site.pages("a.example")) == ["/", "/0", "/1", "/2"]
    asked = [url for url in site.log if url.endswith("robots.txt")]
    assert len(asked) == len(hosts), "asked for once by both"
    together = verify_together(outs)
    assert together.clean, together


def test_project_that_empties_addons_runs_without_us_and_nothing_of_ours_is_written(crawling, serve, tmp_path):
    site = serve({"127.0.0.1": {"/robots.txt": ROBOTS, "/": page()}})
    crawl = crawling(site)
    body = f"""
    async def start(self):
        yield Request("{site.url("127.0.0.1/")}")

    def parse(self, response):
        yield {{"url": response.url}}
"""
    before = {path for path in tmp_path.rglob("*") if "home" not in path.parts}
    ran = crawl.run(crawl.spider(HEAD.format(site="") + body, ADDONS="{}", LOG_LEVEL="ERROR"), cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert site.pages("127.0.0.1") == ["/"]
    assert not any(agent.startswith("KnockfirstBot") for agent in site.agents)
    written = {path.name for path in tmp_path.rglob("*") if "home" not in path.parts and path not in before}
    assert written <= {"foreign.py", "__pycache__"}
    assert not crawl.out.exists()
    assert not crawl.key.exists()


def test_our_spider_without_the_addon_says_so_and_asks_for_nothing(crawling, serve):
    site = serve({"127.0.0.1": {"/": page()}})
    crawl = crawling(site)
    ran = crawl.run(crawl.web(site.url("127.0.0.1/"), ADDONS="{}"))
    assert "put crawler.addon.Addon into ADDONS" in ran.stderr
    assert site.log == []
    assert not crawl.out.exists()
