"""Settings of this project, for `scrapy crawl` in a checkout. Left out of the wheel (docs/decisions/0001)."""

BOT_NAME = "knockfirst"
SPIDER_MODULES = ["crawler.spiders"]
ADDONS = {"crawler.addon.Addon": 100}
LOG_LEVEL = "WARNING"
ASYNCIO_EVENT_LOOP = "uvloop.Loop"
