"""When a host and a URL may be asked again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.politeness import LONGEST_BACKOFF_S, LONGEST_WAIT_S, Pace

PACE = Pace(delay_s=1.0, backoff_s=60.0)


@pytest.mark.parametrize(("crawl_delay", "wait"), [(0, 1), (0.5, 1), (10, 10), (1e9, LONGEST_WAIT_S)])
def test_host_waits_for_the_longer_of_our_delay_and_its_own_up_to_a_day(crawl_delay, wait):
    assert PACE.host_free_at(100.0, crawl_delay_s=crawl_delay) == 100.0 + wait


@pytest.mark.parametrize(
    ("attempt", "wait"), [(1, 60), (2, 120), (3, 240), (7, LONGEST_BACKOFF_S), (900, LONGEST_BACKOFF_S)]
)
def test_pause_before_the_next_try_doubles_up_to_an_hour(attempt, wait):
    assert PACE.again_at(0.0, attempt=attempt) == wait


@pytest.mark.parametrize(("retry_after", "wait"), [(0, 60), (30, 60), (600, 600), (10**9, LONGEST_WAIT_S)])
def test_retry_after_is_kept_when_it_is_longer_than_our_own_pause(retry_after, wait):
    assert PACE.again_at(0.0, attempt=1, retry_after_s=retry_after) == wait


@given(attempt=st.integers(1, 2000), retry_after=st.integers(0, 2**63))
def test_pause_is_bounded_whatever_is_asked(attempt, retry_after):
    assert 60 <= PACE.again_at(0.0, attempt=attempt, retry_after_s=retry_after) <= LONGEST_WAIT_S
