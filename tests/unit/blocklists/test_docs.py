import re
from pathlib import Path

import pytest

from blocklists.fields import DECISION, EXCEPTION, HOST
from blocklists.lint import REVIEW_DAYS, REVIEW_DAYS_LIVE_SPORT, lint
from blocklists.model import AuthorityType, Cause, Match, Role, Status

DOCUMENT = (Path(__file__).parents[3] / "docs" / "blocklist-format.md").read_text("utf-8")
WORDS = set(re.findall(r"`([^`\s]+)`", DOCUMENT))


@pytest.mark.parametrize("key", sorted({**DECISION.all, **HOST.all, **EXCEPTION.all}))
def test_every_key_is_documented(key):
    assert key in WORDS


@pytest.mark.parametrize("word", [*AuthorityType, *Match, *Role, *Status, *Cause])
def test_every_word_is_documented(word):
    assert str(word) in WORDS


def test_every_review_period_is_documented():
    for days in {*REVIEW_DAYS.values(), REVIEW_DAYS_LIVE_SPORT}:
        assert re.search(rf"\b{days}\b", DOCUMENT)


def test_examples_are_without_fault(kit):
    decision, exception = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)
    sidecar = re.search(r"```\n(host,.*?)```", DOCUMENT, re.DOTALL)[1]
    files = {"d.toml": decision, "d.hosts.csv": sidecar, "exceptions.toml": exception}
    assert lint(files, today=kit.today, is_public_suffix=kit.is_public_suffix)[1] == []
