"""Settings that lead around the door, without a crawl: what is a fault, and what `install` leaves in effect."""

import pytest
from scrapy.settings import Settings
from scrapy.utils.conf import build_component_list
from scrapy.utils.misc import load_object

from crawler import assembly
from crawler.spiders.web import WebSpider

DOOR = load_object(assembly.DOOR)


def faults(project=None, *, priority="project"):
    settings = Settings()
    for name, value in (project or {}).items():
        settings.set(name, value, priority)
    return [fault.where for fault in assembly.settings_faults(settings)]


def test_plain_project_has_no_fault_before_and_after_the_installation():
    settings = Settings()
    assert assembly.settings_faults(settings) == []
    assembly.install(settings)
    assert assembly.settings_faults(settings) == []


def test_installation_leaves_one_door_for_both_schemes_and_switches_stock_components_off():
    settings = Settings()
    assembly.install(settings)
    handlers = settings.getwithbase("DOWNLOAD_HANDLERS")
    assert {scheme for scheme, handler in handlers.items() if handler is not None} == {"http", "https"}
    assert load_object(handlers["http"]) is load_object(handlers["https"]) is DOOR
    for fixed in assembly.FIXED:
        assert settings.get(fixed.name) == fixed.value
    built = build_component_list(settings.get_component_priority_dict_with_base("DOWNLOADER_MIDDLEWARES"))
    assert {load_object(path) for path in built}.isdisjoint(load_object(path) for path in assembly.DISPLACED)


def test_what_a_spider_does_not_need_is_not_built_unless_somebody_asked_for_it():
    stats, offsite = (
        next(p for p in WebSpider.unneeded["DOWNLOADER_MIDDLEWARES"] if n in p) for n in ("stats", "offs")
    )
    settings = Settings({"DOWNLOADER_MIDDLEWARES": {stats: 850}})
    assembly.install(settings)
    assembly.leave_out(settings, WebSpider.unneeded)
    built = build_component_list(settings.get_component_priority_dict_with_base("DOWNLOADER_MIDDLEWARES"))
    assert stats in built
    assert load_object(offsite) not in {load_object(path) for path in built}
    assert assembly.settings_faults(settings) == []


@pytest.mark.parametrize("priority", ["project", "spider", "cmdline"])
@pytest.mark.parametrize("fixed", assembly.FIXED, ids=lambda fixed: fixed.name)
def test_other_value_of_a_fixed_setting_is_a_fault_wherever_it_stands(fixed, priority):
    other = True if fixed.value is False else "somewhere.Else"
    assert faults({fixed.name: other}, priority=priority) == [fixed.name]
    if fixed.value is False:
        assert faults({fixed.name: "True"}, priority=priority) == [fixed.name]
        assert faults({fixed.name: "0"}, priority=priority) == []


def test_same_value_as_ours_is_no_fault():
    assert faults({fixed.name: fixed.value for fixed in assembly.FIXED}) == []


@pytest.mark.parametrize("path", assembly.DISPLACED)
def test_stock_middleware_that_is_switched_on_is_a_fault_and_one_switched_off_is_none(path):
    assert faults({"DOWNLOADER_MIDDLEWARES": {path: 500}}) == ["DOWNLOADER_MIDDLEWARES"]
    assert faults({"DOWNLOADER_MIDDLEWARES": {path: None}}) == []


def test_middleware_of_others_that_derives_from_none_of_these_is_no_fault():
    assert faults({"DOWNLOADER_MIDDLEWARES": {"scrapy.downloadermiddlewares.stats.DownloaderStats": 900}}) == []


def test_handlers_of_ours_are_no_fault_and_all_others_are():
    assert faults({"DOWNLOAD_HANDLERS": {"https": assembly.DOOR, "s3": None, "ftp": None}}) == []
    assert faults({"DOWNLOAD_HANDLERS": {"https": None}}) == ["DOWNLOAD_HANDLERS"]
    assert faults(
        {"DOWNLOAD_HANDLERS": {"data": "scrapy.core.downloader.handlers.datauri.DataURIDownloadHandler"}}
    ) == ["DOWNLOAD_HANDLERS"]


def test_every_fault_is_reported_together_with_its_reason():
    settings = Settings({"RETRY_ENABLED": True, "COOKIES_ENABLED": True, "USER_AGENT": "x"})
    found = assembly.settings_faults(settings)
    assert [fault.where for fault in found] == ["RETRY_ENABLED", "COOKIES_ENABLED", "USER_AGENT"]
    assert all(fault.what and fault.remedy for fault in found)
