"""One pass for all readers finds what each would find by itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.readers import needles as module
from reservations.readers.html import HtmlPage
from reservations.readers.needles import Needles

LETTERS = st.text("abc", max_size=60).map(str.encode)


@given(octets=LETTERS, chunk=st.integers(3, 9))
def test_every_place_is_found_once_across_chunks(octets, chunk):
    words = (b"a", b"ab", b"bab", b"cab")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", chunk)
        found = Needles(words).places(octets)
    expected = {word: [at for at in range(len(octets)) if octets.startswith(word, at)] for word in words}
    assert found == {word: places for word, places in expected.items() if places}


def test_no_needles_are_found_nowhere():
    assert Needles(()).places(b"anything") == {}


def test_more_places_than_told_are_not_kept():
    assert len(Needles((b"a",)).places(b"a" * 5000)[b"a"]) == Needles.most


def test_joined_needles_are_found_for_each_reader():
    one, two, other = Needles((b"one",)), Needles((b"two",)), Needles((b"three",))
    page = HtmlPage(b"<p>ONE two three", "", Needles.together(Needles.together(one), two))
    assert page.places(one)[b"one"] == [3]
    assert page.places(two) is page.places(one)
    assert dict(page.places(other)) == {b"three": [11]}
