"""What strangers wrote, on a terminal."""

import io
import sys

import pytest

from provenance.terminal import plain, progress_bar


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


def test_progress_is_shown_on_a_terminal_only(monkeypatch):
    with progress_bar() as tell:
        assert tell is None
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_bar() as tell:
        tell("log", 1, 2)
        tell("log", 2, 2)
    assert "reading log" in sys.stderr.getvalue()


class Terminal(io.StringIO):
    def isatty(self):
        return True
