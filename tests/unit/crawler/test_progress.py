"""Scrapy's log lines for each page: made when somebody may see them."""

import logging

import pytest
from scrapy import Request, Spider
from scrapy.http import Response

from crawler.progress import Lines


@pytest.mark.parametrize(("level", "heard"), [(logging.DEBUG, True), (logging.NOTSET, True), (logging.INFO, False)])
def test_lines_for_a_page_are_made_when_a_handler_shows_them(monkeypatch, level, heard):
    handler = logging.StreamHandler()
    handler.setLevel(level)
    monkeypatch.setattr(logging.root, "handlers", [handler])
    request = Request("https://a.example/")
    page = Response(request.url, request=request)
    assert (Lines().crawled(request, page, Spider("any")) is not None) is heard
    assert (Lines().scraped({}, page, Spider("any")) is not None) is heard
