"""What strangers wrote, on a terminal."""

import pytest

from provenance.terminal import plain


@pytest.mark.parametrize(
    "char",
    [
        "\x00",
        "\x07",
        "\n",
        "\r",
        "\x1b",
        "\x7f",
        "\x9b",
        "\u200f",
        "\u2028",
        "\u202e",
        "\u2066",
        "\ufeff",
        "\ud800",
        "\U000e0041",
    ],
)
def test_character_that_acts_is_spelled_out(char):
    shown = plain(f"a{char}b")
    assert char not in shown
    assert shown.startswith("a\\")
    assert shown.encode()


def test_ordinary_text_of_any_script_stays():
    text = "Grüße, 你好, עברית, emoji 🙂, 'quotes' \\ back"
    assert plain(text) == text
