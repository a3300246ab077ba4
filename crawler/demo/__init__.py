"""A small web on loopback that behaves like the large one, to crawl and to test against."""
