"""Refuses to start when the settings in effect lead around the door.

A spider's `custom_settings` outrank an add-on's, and Scrapy merely leaves out a component that raises NotConfigured.
So nothing is assumed: the values in effect are read when the settings are complete (`settings_faults`), and the
components that were built are looked at once more before the first request (`component_faults`).
What stands in the way of the one is reported by the other: the feeder asks for the first when it is built, the
scheduler for the second when it is opened, and without either of them the handler sends nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.cookies import CookiesMiddleware
from scrapy.downloadermiddlewares.httpauth import HttpAuthMiddleware
from scrapy.downloadermiddlewares.httpcache import HttpCacheMiddleware
from scrapy.downloadermiddlewares.httpproxy import HttpProxyMiddleware
from scrapy.downloadermiddlewares.redirect import BaseRedirectMiddleware
from scrapy.downloadermiddlewares.retry import RetryMiddleware
from scrapy.downloadermiddlewares.robotstxt import RobotsTxtMiddleware
from scrapy.settings import SETTINGS_PRIORITIES, BaseSettings
from scrapy.utils.misc import load_object

from crawler.options import Fault

DOOR: Final = "crawler.handler.DoorHandler"
SCHEDULER: Final = "crawler.frontier.scheduler.LeaseScheduler"
FEEDER: Final = "crawler.frontier.feeder.Feeder"
PROGRESS: Final = "crawler.progress.Progress"

_STOCK: Final = "scrapy.downloadermiddlewares."
#: Stock middlewares that would ask again, elsewhere, under another guise, or from a cache. Left out of every crawl.
DISPLACED: Final = {
    _STOCK + "robotstxt.RobotsTxtMiddleware": "lets pages through while robots.txt is on its way; the door reads it",
    _STOCK + "retry.RetryMiddleware": "asks again past the host's clock; tries are entries of the frontier",
    _STOCK + "redirect.RedirectMiddleware": "follows past blocklist and robots.txt; each hop is a URL of its own",
    _STOCK + "redirect.MetaRefreshMiddleware": "follows past blocklist and robots.txt; each hop is a URL of its own",
    _STOCK + "cookies.CookiesMiddleware": "keeps cookies, which can open what is closed to a first visit",
    _STOCK + "httpcache.HttpCacheMiddleware": "answers from a cache, with no decision for today",
    _STOCK + "httpproxy.HttpProxyMiddleware": "sends requests by way of an address that is not ours",
    _STOCK + "httpauth.HttpAuthMiddleware": "sends credentials; a site that wants them is closed to us",
    _STOCK + "httpcompression.HttpCompressionMiddleware": "decodes a second time; the door hands on decoded bodies",
    _STOCK + "useragent.UserAgentMiddleware": "sets a User-Agent; there is one identity",
}
_NEVER_BUILT: Final = (
    RobotsTxtMiddleware,
    RetryMiddleware,
    BaseRedirectMiddleware,
    CookiesMiddleware,
    HttpCacheMiddleware,
    HttpProxyMiddleware,
    HttpAuthMiddleware,
)


class Fixed(msgspec.Struct, frozen=True, kw_only=True):
    """A setting that has one value in every crawl of ours, and why."""

    name: str
    value: Any
    why: str


#: Set by the add-on; a project or spider that sets another value is not started.
FIXED: Final[tuple[Fixed, ...]] = (
    Fixed(name="SCHEDULER", value=SCHEDULER, why="requests are durable intents of the frontier before they are sent"),
    Fixed(name="DOWNLOADER", value="scrapy.core.downloader.Downloader", why="every request must reach the door"),
    Fixed(name="RETRY_ENABLED", value=False, why=DISPLACED[_STOCK + "retry.RetryMiddleware"]),
    Fixed(name="REDIRECT_ENABLED", value=False, why=DISPLACED[_STOCK + "redirect.RedirectMiddleware"]),
    Fixed(name="METAREFRESH_ENABLED", value=False, why=DISPLACED[_STOCK + "redirect.MetaRefreshMiddleware"]),
    Fixed(name="COOKIES_ENABLED", value=False, why=DISPLACED[_STOCK + "cookies.CookiesMiddleware"]),
    Fixed(name="HTTPCACHE_ENABLED", value=False, why=DISPLACED[_STOCK + "httpcache.HttpCacheMiddleware"]),
    Fixed(name="HTTPPROXY_ENABLED", value=False, why=DISPLACED[_STOCK + "httpproxy.HttpProxyMiddleware"]),
    Fixed(name="COMPRESSION_ENABLED", value=False, why=DISPLACED[_STOCK + "httpcompression.HttpCompressionMiddleware"]),
    Fixed(name="AUTOTHROTTLE_ENABLED", value=False, why="the pace of a host is kept in the frontier, over restarts"),
    Fixed(name="REMOTE_CONTROL_ENABLED", value=False, why="whoever reaches it can run code beside the door"),
    Fixed(name="JOBDIR", value=None, why="a kill loses requests from it; the frontier in the output folder keeps them"),
)

#: Values that suit the door better than Scrapy's defaults; a project may choose others.
SUGGESTED: Final[dict[str, Any]] = {
    "CONCURRENT_REQUESTS": 64,
    "CONCURRENT_ITEMS": 1,
    "DOWNLOAD_DELAY": 1.0,
    "DOWNLOAD_DELAY_JITTER": 0.0,
    "SCRAPER_SLOT_MAX_ACTIVE_SIZE": 50_000_000,
    "TELNETCONSOLE_ENABLED": False,
    "REFERER_ENABLED": False,
    "LOG_FORMATTER": "crawler.progress.Lines",
}


def install(settings: BaseSettings) -> None:
    """Puts door, frontier and progress line into `settings` at the add-on's priority."""
    schemes = settings.getwithbase("DOWNLOAD_HANDLERS")
    settings.set("DOWNLOAD_HANDLERS_BASE", dict.fromkeys(schemes) | {"http": DOOR, "https": DOOR}, "addon")
    for fixed in FIXED:
        settings.set(fixed.name, fixed.value, "addon")
    for name, value in SUGGESTED.items():
        settings.set(name, value, "addon")
    for path in DISPLACED:
        settings.set_in_component_priority_dict("DOWNLOADER_MIDDLEWARES", load_object(path), None)
    settings.setdefault_in_component_priority_dict("SPIDER_MIDDLEWARES", load_object(FEEDER), 10)
    settings.setdefault_in_component_priority_dict("EXTENSIONS", load_object(PROGRESS), 10)


def leave_out(settings: BaseSettings, unneeded: Mapping[str, Iterable[str]]) -> None:
    """Has Scrapy not build what a spider has no use for, where nobody asked for it: setting to components."""
    for name, paths in unneeded.items():
        for path in paths:
            settings.setdefault_in_component_priority_dict(name, load_object(path), None)


def _handler_faults(settings: BaseSettings) -> Iterable[Fault]:
    own = (settings.getpriority("DOWNLOAD_HANDLERS_BASE") or 0) > SETTINGS_PRIORITIES["default"]
    base = settings.getdict("DOWNLOAD_HANDLERS_BASE") if own else {}
    for scheme, handler in {**base, **settings.getdict("DOWNLOAD_HANDLERS")}.items():
        if handler is None and scheme in ("http", "https"):
            yield Fault("DOWNLOAD_HANDLERS", f"{scheme!r} is switched off", f"remove the entry for {scheme!r}")
        elif handler is not None and load_object(handler) is not load_object(DOOR):
            what = f"{scheme!r} is handled by {handler}, a second way in beside the door"
            yield Fault("DOWNLOAD_HANDLERS", what, f"remove the entry for {scheme!r}")


def _fixed_faults(settings: BaseSettings) -> Iterable[Fault]:
    remedy = "remove it from your settings or custom_settings"
    for fixed in FIXED:
        if (settings.getpriority(fixed.name) or 0) <= SETTINGS_PRIORITIES["default"]:
            continue  # Scrapy's own default; the add-on sets it
        value = settings.get(fixed.name)
        asked = settings.getbool(fixed.name) if fixed.value is False else value or None
        if asked != fixed.value:
            yield Fault(fixed.name, f"is set to {value!r}, but {fixed.why}", remedy)
    if settings.getpriority("USER_AGENT"):
        what = "is set, but a crawler that must be recognised sends one name only"
        yield Fault("USER_AGENT", what, "remove it; KNOCKFIRST_TOKEN, _OPERATOR and _CONTACT make the agent")


def _middleware_faults(settings: BaseSettings) -> Iterable[Fault]:
    """Entries that a project or spider made itself: a stock middleware that was displaced, or one derived from it."""
    for path, order in settings.getdict("DOWNLOADER_MIDDLEWARES").items():
        if order is None:
            continue
        built = load_object(path)
        for stock, why in DISPLACED.items():
            if isinstance(built, type) and issubclass(built, load_object(stock)):
                yield Fault("DOWNLOADER_MIDDLEWARES", f"{path} is switched on, but it {why}", "remove the entry")
                break


def _feeder_faults(settings: BaseSettings) -> Iterable[Fault]:
    for path, order in settings.getdict("SPIDER_MIDDLEWARES").items():
        if order is None and load_object(path) is load_object(FEEDER):
            what = f"{FEEDER} is switched off; no request would come from the frontier"
            yield Fault("SPIDER_MIDDLEWARES", what, "remove the entry")


_CHECKS: Final[tuple[Callable[[BaseSettings], Iterable[Fault]], ...]] = (
    _handler_faults,
    _fixed_faults,
    _middleware_faults,
    _feeder_faults,
)


def settings_faults(settings: BaseSettings) -> list[Fault]:
    """Every setting of a project, spider or other add-on that leads around the door.

    Asked before `install`, and again when all add-ons are done: a later one may undo what `install` did.
    """
    return [fault for check in _CHECKS for fault in check(settings)]


def component_faults(crawler: Crawler) -> list[Fault]:
    """Every component that was built although it must not be, or is not ours although it must be."""
    faults = []
    door = load_object(DOOR)
    downloader = crawler.engine.downloader
    for scheme in ("http", "https"):
        built = downloader.handlers._handlers.get(scheme)  # noqa: SLF001  (the only place that knows what was built)
        if type(built) is not door:
            faults.append(Fault("DOWNLOAD_HANDLERS", f"{scheme!r} is served by {built!r}", "remove what replaces it"))
    faults.extend(
        Fault("DOWNLOADER_MIDDLEWARES", f"{type(built).__qualname__} was built into the chain", "remove it")
        for built in downloader.middleware.middlewares
        if isinstance(built, _NEVER_BUILT)
    )
    feeder = load_object(FEEDER)
    if not any(type(built) is feeder for built in crawler.engine.scraper.spidermw.middlewares):
        faults.append(Fault("SPIDER_MIDDLEWARES", f"{FEEDER} was not built into the chain", "remove what displaces it"))
    return faults
