"""What strangers wrote does nothing in a page, a Markdown file or a spreadsheet."""

import csv
import io

import pytest

from provenance.escaping import csv_text, in_cell, in_html, in_markdown


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\uff1d1+1", "|calc", "\r\n=1"])
def test_formula_becomes_no_formula(text):
    cell = in_cell(text)
    assert cell[0] == "'" or cell[0] == "\\"
    assert "\n" not in cell


def test_number_stays_a_number_though_it_is_negative():
    assert in_cell(-3) == "-3"


def test_cells_with_separators_are_read_back_whole():
    row = ["a,b", 'say "x"', "plain", 5]
    assert list(csv.reader(io.StringIO(csv_text([row])))) == [["a,b", 'say "x"', "plain", "5"]]


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '" onmouseover="x', "a\u202eb", "a\x00b\nc"])
def test_html_holds_no_markup_and_no_mark_of_direction(text):
    shown = in_html(text)
    assert not set(shown) & set("<>\"\u202e\x00\n'")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", "a\\|b"),
        ("[x](http://y)", "\\[x\\](http\\://y)"),
        ("<img src=x>", "\\<img src=x\\>"),
        ("www.example.org", "www\\.example.org"),
        ("# title", "\\# title"),
        ("- item", "\\- item"),
        ("1. item", "1\\. item"),
        ("&lt;", "\\&lt;"),
        ("line\nend", "line\\\\nend"),
        ("plain example.org, 3 pages", "plain example.org, 3 pages"),
    ],
)
def test_markdown_shows_the_text_and_means_nothing(text, shown):
    assert in_markdown(text) == shown
