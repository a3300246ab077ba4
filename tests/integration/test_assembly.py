"""Nothing leads around the door: settings that would are refused before anything is fetched, wherever they stand."""

import json
import re
import sys

import pytest
from support.crawling import PROJECT, Crawling
from support.site import page, robots, serving

from crawler import assembly

pytestmark = pytest.mark.crawl

STOCK = "scrapy.downloadermiddlewares."
HTTP11 = "scrapy.core.downloader.handlers.http11.HTTP11DownloadHandler"

#: Setting, value, and words of the reason that must be given.
LEADS_AROUND = [
    ("DOWNLOAD_HANDLERS", {"http": HTTP11}, "a second way in"),
    ("DOWNLOAD_HANDLERS", {"https": HTTP11}, "a second way in"),
    ("DOWNLOAD_HANDLERS", {"http": HTTP11, "https": HTTP11}, "a second way in"),
    ("DOWNLOAD_HANDLERS", {"ftp": "scrapy.core.downloader.handlers.ftp.FTPDownloadHandler"}, "a second way in"),
    ("DOWNLOAD_HANDLERS", {"s3": "scrapy.core.downloader.handlers.s3.S3DownloadHandler"}, "a second way in"),
    ("DOWNLOAD_HANDLERS", {"http": None}, "switched off"),
    ("DOWNLOAD_HANDLERS_BASE", {"http": HTTP11, "https": HTTP11}, "a second way in"),
    ("SCHEDULER", "scrapy.core.scheduler.Scheduler", "durable"),
    ("RETRY_ENABLED", True, "asks again"),
    ("REDIRECT_ENABLED", True, "follows past"),
    ("METAREFRESH_ENABLED", True, "follows past"),
    ("COOKIES_ENABLED", True, "cookies"),
    ("HTTPCACHE_ENABLED", True, "cache"),
    ("HTTPPROXY_ENABLED", True, "address that is not ours"),
    ("COMPRESSION_ENABLED", True, "decodes a second time"),
    ("AUTOTHROTTLE_ENABLED", True, "pace"),
    ("JOBDIR", "jobs", "frontier"),
    ("REMOTE_CONTROL_ENABLED", True, "beside the door"),
    ("USER_AGENT", "Mozilla/5.0", "one name"),
    ("DOWNLOADER_MIDDLEWARES", {STOCK + "retry.RetryMiddleware": 550}, "asks again"),
    ("DOWNLOADER_MIDDLEWARES", {STOCK + "redirect.RedirectMiddleware": 600}, "follows past"),
    ("DOWNLOADER_MIDDLEWARES", {STOCK + "redirect.MetaRefreshMiddleware": 580}, "follows past"),
    ("DOWNLOADER_MIDDLEWARES", {STOCK + "cookies.CookiesMiddleware": 700}, "cookies"),
    ("DOWNLOADER_MIDDLEWARES", {STOCK + "httpcache.HttpCacheMiddleware": 900}, "cache"),
    ("DOWNLOADER_MIDDLEWARES", {STOCK + "httpproxy.HttpProxyMiddleware": 750}, "address that is not ours"),
    ("DOWNLOADER_MIDDLEWARES", {STOCK + "httpauth.HttpAuthMiddleware": 300}, "credentials"),
    ("DOWNLOADER_MIDDLEWARES", {STOCK + "httpcompression.HttpCompressionMiddleware": 590}, "decodes a second time"),
    ("DOWNLOADER_MIDDLEWARES", {STOCK + "useragent.UserAgentMiddleware": 500}, "one identity"),
    ("DOWNLOADER_MIDDLEWARES", {STOCK + "robotstxt.RobotsTxtMiddleware": 100}, "the door reads it"),
    ("DOWNLOADER_MIDDLEWARES", {"foreign.SecondTry": 551}, "asks again"),
    ("DOWNLOADER_MIDDLEWARES_BASE", {"foreign.Credentials": 300}, "was built into the chain"),
    ("DOWNLOAD_HANDLERS", {"http": "foreign.SideDoor"}, "a second way in"),
    ("DOWNLOAD_HANDLERS", {"https": "foreign.Unconfigured"}, "a second way in"),
    ("DOWNLOADER", "foreign.Downloader", "reach the door"),
    ("ADDONS", {"crawler.addon.Addon": 100, "foreign.LaterScheduler": 200}, "SCHEDULER: is set to"),
    ("ADDONS", {"crawler.addon.Addon": 100, "foreign.LaterHandler": 200}, "a second way in"),
    ("ADDONS", {"crawler.addon.Addon": 100, "foreign.LaterRetry": 200}, "RETRY_ENABLED: is set to"),
    ("ADDONS", {"crawler.addon.Addon": 100, "foreign.NoFeeder": 200}, "Feeder was not built"),
    ("SPIDER_MIDDLEWARES", {assembly.FEEDER: None}, "no request would come from the frontier"),
]  # fmt: skip
CASES = [(*case, place) for case in LEADS_AROUND for place in ("project", "spider")]
CASES = [case for case in CASES if case[0] != "ADDONS" or case[3] == "project"]


@pytest.fixture(scope="module")
def attempts(tmp_path_factory):
    """What came of every case, and the site that none of them may have asked for anything."""
    folder = tmp_path_factory.mktemp("assembly")
    with serving({"a.example": {"/": page(), "/robots.txt": robots("User-agent: *\nDisallow: /\n")}}) as site:
        crawl = Crawling(folder, resolve=site.resolve)
        ours = {**{k: str(v) for k, v in crawl.settings.items()}, "ADDONS": {"crawler.addon.Addon": 100}}
        common = {"url": site.url("a.example/")}
        cases = [
            {"settings": ours | ({setting: value} if place == "project" else {}),
             "custom": {setting: value} if place == "spider" else {}, **common}
            for setting, value, _, place in CASES
        ]  # fmt: skip
        ran = crawl.run([sys.executable, PROJECT / "tests/support/assemble.py", json.dumps(cases)])
        assert ran.returncode == 0, ran.stderr
        yield dict(zip(map(repr, CASES), json.loads(ran.stdout), strict=True)), crawl, site


@pytest.mark.parametrize(
    ("setting", "value", "reason", "place"), CASES, ids=[f"{s}-{n}-{p}" for n, (s, _, _, p) in enumerate(CASES)]
)
def test_setting_that_leads_around_the_door_is_refused_with_its_name_and_reason(
    attempts, setting, value, reason, place
):
    outcomes, _, _ = attempts
    faults = outcomes[repr((setting, value, reason, place))]
    assert isinstance(faults, list), faults
    where = "" if setting == "ADDONS" else setting.removesuffix("_BASE")
    assert any(fault.startswith(where) and reason in fault for fault in faults), faults


def test_none_of_them_asked_for_anything_or_wrote_a_file(attempts):
    _, crawl, site = attempts
    assert site.log == []
    assert not crawl.out.exists()
    assert not crawl.key.exists()


def test_every_setting_that_the_manual_names_is_tried():
    text = (PROJECT / "docs/settings.md").read_text().partition("refuse to start")[2].partition("each would be")[0]
    named = set(re.findall(r"`([A-Z_]+)`", text))
    assert named <= {setting for setting, *_ in LEADS_AROUND}
    assert {fixed.name for fixed in assembly.FIXED} <= named
