"""Whose an output folder is: told by `crawl.json` alone, and refused rather than guessed."""

import json

import msgspec
import pytest

from crawler import folder
from crawler.folder import CRAWL_FILE, CrawlFile
from crawler.options import Fault
from provenance.disk import UNFINISHED

TASK = {"spider": "web", "arguments": {"seeds": "https://a.example/"}, "token": "KnockfirstBot"}
NOW = 1_795_420_800_000


def look_at(out, **other):
    return folder.look_at(out, **{**TASK, **other}, now_ms=NOW)


def test_folder_that_is_not_there_would_begin_a_crawl_and_is_not_made(tmp_path):
    file = look_at(tmp_path / "out")
    assert (file.spider, file.created) == ("web", "2026-11-23T08:00:00.000Z")
    assert (len(file.run), len(file.worker)) == (12, 8)
    assert not (tmp_path / "out").exists()


def test_two_new_folders_are_two_workers(tmp_path):
    one, two = look_at(tmp_path / "1"), look_at(tmp_path / "2")
    assert one.run != two.run
    assert one.worker != two.worker
    assert one.task() == two.task()


def test_folder_remembers_its_crawl(tmp_path):
    file = look_at(tmp_path)
    folder.write(tmp_path, file)
    assert look_at(tmp_path) == file
    assert json.loads((tmp_path / CRAWL_FILE).read_bytes())["worker"] == file.worker


@pytest.mark.parametrize("other", [{"spider": "own"}, {"arguments": {}}, {"token": "OtherBot"}])
def test_another_task_is_refused_and_says_what_is_there(tmp_path, other):
    file = look_at(tmp_path)
    folder.write(tmp_path, file)
    fault = look_at(tmp_path, **other)
    assert isinstance(fault, Fault)
    assert "spider 'web' as KnockfirstBot" in fault.what
    assert msgspec.structs.replace(file, **other).task() != file.task()


def test_order_of_arguments_makes_no_other_task():
    one, two = ({"a": "1", "b": "2"}, {"b": "2", "a": "1"})
    files = [CrawlFile(run="r", worker="w", spider="web", arguments=args, token="T", created="") for args in (one, two)]
    assert files[0].task() == files[1].task()


def test_folder_with_something_else_in_it_is_refused_but_not_one_that_a_crash_left(tmp_path):
    (tmp_path / (CRAWL_FILE + UNFINISHED)).write_text("{")
    assert isinstance(look_at(tmp_path), CrawlFile)
    (tmp_path / "notes.txt").write_text("mine")
    assert "is not empty" in look_at(tmp_path).what


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run": 1}', '{"run": "r"}'])
def test_file_that_cannot_be_read_is_a_fault_and_no_new_crawl(tmp_path, text):
    (tmp_path / CRAWL_FILE).write_text(text)
    assert "cannot be used" in look_at(tmp_path).what


def test_path_that_is_no_folder_is_a_fault(tmp_path):
    (tmp_path / "file").write_text("")
    assert isinstance(look_at(tmp_path / "file"), Fault)
