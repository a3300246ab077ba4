"""Link fields by RFC 8288, however they are written, and nothing from what is no link."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.readers.links import read_links


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('</l>; rel="license"', [("/l", {"license"}, "")]),
        ('</l>;rel=license;type="application/rsl+xml"', [("/l", {"license"}, "application/rsl+xml")]),
        ('</l> ; REL = "License NoFollow"', [("/l", {"license", "nofollow"}, "")]),
        ('</a>; rel="a, b; c", </l>; rel=license', [("/a", {"a,", "b;", "c"}, ""), ("/l", {"license"}, "")]),
        (r'</l>; title="a \" , <b>"; rel=license', [("/l", {"license"}, "")]),
        ("</l>; rel=license; rel=next", [("/l", {"license"}, "")]),
        ("</l>; rel*=UTF-8''licen%73e", [("/l", {"license"}, "")]),
        ("broken, </l>; rel=license", [("/l", {"license"}, "")]),
        ("<https://isp.example; rel=blocked-by", []),
        ("", []),
        ("</l>", [("/l", set(), "")]),
    ],
)
def test_links_of_a_line(line, expected):
    assert [(link.target, set(link.relations), link.media_type) for link in read_links([line])] == expected


def test_lines_of_a_field_are_one_list():
    assert [link.target for link in read_links(["</a>; rel=a", "</b>; rel=b"])] == ["/a", "/b"]


def test_link_with_an_anchor_is_about_something_else():
    assert [link.elsewhere for link in read_links(['</a>; rel=license; anchor="#b", </b>; rel=license'])] == [
        True,
        False,
    ]


@given(st.text(alphabet="<>;,=\"'\\ arel*%/", max_size=300))
def test_any_text_is_read_without_raising(text):
    assert len(list(read_links([text]))) <= 100


@pytest.mark.parametrize("text", ["<" * 16_000, "<a>;" * 4_000, "<a>;x=" + '"\\' * 8_000, "," * 16_000, "<a> " * 4_000])
def test_hostile_field_takes_no_time(text):
    began = time.process_time()
    list(read_links([text * 4]))
    assert time.process_time() - began < 0.5
