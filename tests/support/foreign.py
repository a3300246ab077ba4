"""Components of other people that would lead around the door, each in another way."""

import scrapy.core.downloader
from scrapy.core.scheduler import Scheduler
from scrapy.downloadermiddlewares.httpauth import HttpAuthMiddleware
from scrapy.downloadermiddlewares.retry import RetryMiddleware
from scrapy.exceptions import NotConfigured
from scrapy.utils.misc import load_object

from crawler.assembly import FEEDER
from crawler.handler import DoorHandler

HTTP11 = "scrapy.core.downloader.handlers.http11.HTTP11DownloadHandler"


class SecondTry(RetryMiddleware):
    pass


class Credentials(HttpAuthMiddleware):
    pass


class SideDoor(DoorHandler):
    async def download_request(self, request):
        raise NotImplementedError


class Unconfigured(DoorHandler):
    @classmethod
    def from_crawler(cls, crawler):
        raise NotConfigured


class Downloader(scrapy.core.downloader.Downloader):
    pass


class LaterScheduler:
    def update_settings(self, settings):
        settings.set("SCHEDULER", Scheduler, "addon")


class LaterHandler:
    def update_settings(self, settings):
        settings.set("DOWNLOAD_HANDLERS", {"http": HTTP11}, "addon")


class LaterRetry:
    def update_settings(self, settings):
        settings.set("RETRY_ENABLED", True, "addon")


class NoFeeder:
    def update_settings(self, settings):
        settings.set_in_component_priority_dict("SPIDER_MIDDLEWARES", load_object(FEEDER), None)
