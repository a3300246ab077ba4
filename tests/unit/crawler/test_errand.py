"""What travels with a URL through the frontier: data, there and back."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy import FormRequest, Request, Spider
from scrapy.http import JsonRequest, XmlRpcRequest

from crawler.frontier.errand import Errand, RequestNotDataError, decode_errand, found, found_from_request, request_for
from reservations.model import Hop
from reservations.urls import UrlError


class Foreign(Spider):
    name = "foreign"

    def parse(self, response):
        pass

    def other(self, response):
        pass

    def failed(self, failure):
        pass


SPIDER = Foreign()
URL = "https://a.example/x"


def there_and_back(request, errand=None):
    item = found_from_request(request, SPIDER, errand or Errand(via="link", depth=2))
    return request_for(item.url, decode_errand(item.payload), SPIDER)


def test_errand_of_our_own_comes_back_as_it_was():
    errand = Errand(via="redirect", depth=3, root="a.example", src=7, hops=(Hop("https://b.example/", 302, URL),))
    assert decode_errand(found(URL, errand).payload) == errand


def test_seeds_come_before_sitemaps_and_those_before_links_and_what_is_deeper_later():
    ranks = [found(URL, Errand(via=via, depth=depth)).priority for via, depth in
             (("seed", 0), ("sitemap", 0), ("link", 1), ("link", 2))]  # fmt: skip
    assert ranks == sorted(ranks, reverse=True)


def test_request_comes_back_with_callback_errback_meta_and_arguments():
    request = Request(
        URL + "#fragment",
        SPIDER.other,
        errback=SPIDER.failed,
        meta={"tag": ["é", None, 1.5, {"deep": True}], "depth": 9},
        cb_kwargs={"n": 1},
        headers={"Accept": "text/plain", "User-Agent": "x", "Referer": "y"},
        flags=["f"],
        priority=5,
    )
    back = there_and_back(request)
    assert back.url == URL
    assert back.callback == SPIDER.other
    assert back.errback == SPIDER.failed
    assert back.meta == {"tag": ["é", None, 1.5, {"deep": True}], "depth": 2}
    assert back.cb_kwargs == {"n": 1}
    assert back.flags == ["f"]
    assert back.headers.to_unicode_dict() == {"Accept": "text/plain"}


def test_priority_of_a_request_counts():
    ranks = [found_from_request(Request(URL, priority=n), SPIDER, Errand(via="link")).priority for n in (0, 5, -5)]
    assert ranks[1] > ranks[0] > ranks[2]


def test_request_without_callback_has_none():
    assert there_and_back(Request(URL)).callback is None


def test_sitemap_of_the_web_spider_goes_to_its_own_callback():
    class Web(Foreign):
        def parse_sitemap(self, response):
            pass

    spider = Web()
    assert request_for(URL, Errand(via="sitemap", kind="sitemap"), spider).callback == spider.parse_sitemap


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request(URL, callback=lambda response: None), "no method of the spider"),
        (Request(URL, callback=print), "no method of the spider"),
        (Request(URL, errback=lambda failure: None), "no method of the spider"),
        (Request(URL, meta={"when": dt.date(2026, 1, 1)}), "not plain JSON"),
        (Request(URL, meta={"request": Request(URL)}), "not plain JSON"),
        (Request(URL, meta={"pair": (1, 2)}), "not plain JSON"),
        (Request(URL, meta={"n": float("nan")}), "not plain JSON"),
        (Request(URL, meta={1: 2}), "not plain JSON"),
        (Request(URL, meta={"b": b"x"}), "not plain JSON"),
        (Request(URL, cb_kwargs={"set": {1}}), "not plain JSON"),
        (Request(URL, cb_kwargs={"half": "\ud800"}), "cannot be stored"),
        (Request(URL, meta={"long": "x" * 9000}), "larger than 8192 bytes"),
        (Request(URL, priority=10**12), "cannot be stored"),
        (Request(URL, method="POST"), "only asks (GET)"),
        (Request(URL, method="HEAD"), "only asks (GET)"),
        (Request(URL, body="x"), "only asks (GET)"),
        (FormRequest(URL, formdata={"a": "b"}), "only asks (GET)"),
        (JsonRequest(URL, data={"a": 1}), "only asks (GET)"),
        (XmlRpcRequest(URL, params=(1,), methodname="m"), "only asks (GET)"),
        (Request(URL, headers={"Authorization": "Basic eA=="}), "Authorization"),
        (Request(URL, headers={"proxy-authorization": "x"}), "Proxy-Authorization"),
        (Request(URL, headers={"Cookie": "a=b"}), "Cookie"),
        (Request(URL, cookies={"a": "b"}), "cookies"),
    ],
    ids=range(23),
)
def test_request_that_is_no_data_or_no_question_is_refused_in_words(request_, words):
    with pytest.raises(RequestNotDataError) as caught:
        found_from_request(request_, SPIDER, Errand(via="link"))
    assert words in str(caught.value)
    assert str(caught.value).startswith(URL)


@pytest.mark.parametrize("url", ["ftp://a.example/", "data:,x", "file:///etc/passwd", "about:blank"])
def test_url_that_cannot_be_asked_for_is_refused(url):
    with pytest.raises(UrlError):
        found_from_request(Request(url), SPIDER, Errand(via="link"))


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(meta=st.dictionaries(st.text(max_size=6), json, max_size=4))
def test_any_json_comes_back_as_it_was(meta):
    kept = {key: value for key, value in meta.items() if key not in ("depth", "download_slot", "knockfirst")}
    assert there_and_back(Request(URL, meta=meta)).meta == {**kept, "depth": 2}


def test_callback_that_cannot_be_looked_up_is_refused_as_any_other_that_is_no_method():
    class Odd:
        __hash__ = None

        def __call__(self, response):
            pass

    with pytest.raises(RequestNotDataError, match="no method of the spider"):
        found_from_request(Request(URL, Odd()), SPIDER, Errand(via="link"))
