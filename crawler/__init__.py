"""The Scrapy side: the door that every request passes, downloading, WARC, frontier, spiders, command line."""
