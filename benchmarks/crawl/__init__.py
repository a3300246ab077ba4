"""This crawler, stock Scrapy and wget, side by side on one local web: `python -m benchmarks.crawl --help`."""
