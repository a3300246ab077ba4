"""Who a log and its WARC files say is crawling: the name a worker signs under, and the fields that tell it."""

from pathlib import Path

import msgspec
import pytest
from scrapy.settings import Settings

from crawler.folder import CrawlFile
from crawler.introduction import log_origin, run_fields, warc_info
from crawler.options import read_options
from provenance.rules import Rules, Weakening

FILE = CrawlFile(
    run="r1", worker="0a1b2c3d", spider="web", arguments={"seeds": "seeds.txt"}, token="KnockfirstBot", created=""
)
RULES = Rules.load(tokens=("KnockfirstBot",))
SETTINGS = {"KNOCKFIRST_OPERATOR": "Example Lab", "KNOCKFIRST_CONTACT": "https://lab.example/crawler"}


def options(**more):
    read, faults = read_options(Settings({**SETTINGS, "KNOCKFIRST_NO_BLOCKLIST": "a test", **more}), "web")
    assert faults == []
    return read


@pytest.mark.parametrize(
    ("contact", "name"), [("https://lab.example/crawler", "lab.example"), ("crawl@lab.example", "lab.example")]
)
def test_log_is_named_after_contact_spider_run_and_worker(contact, name):
    assert log_origin(options(KNOCKFIRST_CONTACT=contact), FILE) == f"{name}/web/r1/0a1b2c3d"


def test_two_workers_of_a_run_sign_under_two_names():
    other = msgspec.structs.replace(FILE, worker="ffffffff")
    assert log_origin(options(), FILE) != log_origin(options(), other)


def test_run_entry_says_who_with_what_and_whether_others_are_in_it(tmp_path):
    fields = run_fields(options(), FILE, RULES, Settings({"DOWNLOAD_DELAY": 2}))
    assert (fields["operator"], fields["contact"], fields["token"]) == (
        "Example Lab", "https://lab.example/crawler", "KnockfirstBot",
    )  # fmt: skip
    assert (fields["worker"], fields["shared"], fields["seeds"]) == ("0a1b2c3d", False, "seeds.txt")
    assert fields["settings"]["DOWNLOAD_DELAY"] == "2"
    assert fields["no_blocklist"] == "a test"
    shared = options(KNOCKFIRST_FRONTIER=f"sqlite:///{tmp_path}/frontier.db")
    assert run_fields(shared, FILE, RULES, Settings())["shared"]


def test_password_of_the_frontier_is_in_no_entry_and_no_record():
    one = options(KNOCKFIRST_FRONTIER="valkey://crawler:hunter2@127.0.0.1/0?crawl=x")
    assert "hunter2" not in str(run_fields(one, FILE, RULES, Settings()))
    assert "hunter2" not in str(warc_info(one, FILE, RULES))


def test_sentence_why_there_is_no_list_is_left_out_where_there_is_one(tmp_path):
    one = msgspec.structs.replace(options(), blocklist=Path(tmp_path))
    assert run_fields(one, FILE, RULES, Settings())["no_blocklist"] == ""


def test_first_record_of_a_file_names_log_and_rules_and_what_is_weaker_on_one_line():
    info = warc_info(options(), FILE, RULES)
    told = str(info)
    assert "lab.example/web/r1/0a1b2c3d" in told
    assert RULES.policy.digest in told
    assert "knockfirst-weaker-rules" not in info
    weak = Weaker()
    assert warc_info(options(), FILE, weak)["knockfirst-weaker-rules"] == "x (approved by A. Berg: two lines)"


class Weaker:
    """The shipped rules, and one exception of an operator's."""

    policy = RULES.policy
    weakened = (Weakening(rule="x", approver="A. Berg", reason="two\n  lines"),)
