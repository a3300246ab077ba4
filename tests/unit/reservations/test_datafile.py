"""All faults of a data file at once, each with its line."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import pytest

from reservations.datafile import Day, DefinitionError, Source
from reservations.model import Value


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    word: Literal["one", "two"]
    many: tuple[int, ...] = ()


class Outer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: str
    size: Annotated[int, msgspec.Meta(ge=1, le=9)] = 1
    inner: tuple[Inner, ...] = ()
    values: dict[Value, int] = {}
    one: Inner | None = None


def faults(text):
    with pytest.raises(DefinitionError) as caught:
        Source(text, "x.toml").read(Outer)
    return [(fault.line, fault.key, fault.problem) for fault in caught.value.faults]


def test_sound_file_is_read():
    read = Source('name = "a"\n[[inner]]\nword = "two"\n[values]\ndeny = 3', "x.toml").read(Outer)
    assert read == Outer(name="a", inner=(Inner("two"),), values={Value.DENY: 3})


def test_all_faults_are_told_with_their_lines():
    text = """size = 10
nmae = "x"
values = { nope = 1 }

[[inner]]
word = "one"
[[inner]]
word = "three"
colour = "red"
many = [1, "x"]
"""
    found = faults(text)
    assert [(line, key) for line, key, _ in found] == [
        (1, "size"),
        (2, "nmae"),
        (3, "values.nope"),
        (8, "inner[1].word"),
        (9, "inner[1].colour"),
        (10, "inner[1].many[1]"),
        (1, "name"),
    ]
    told = {key: problem for _, key, problem in found}
    assert "at least 1, at most 9" in told["size"]
    assert told["nmae"] == "unknown key; did you mean 'name'? allowed: inner, name, one, size, values"
    assert "one of deny, conditional" in told["values.nope"]
    assert "one of one, two" in told["inner[1].word"]
    assert told["name"] == "missing; it must be text"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("size = 10", "10 is not allowed; it must be a whole number (at least 1, at most 9)"),
        ("inner = 3", "3 is not allowed; it must be a list, each item a table of word, many"),
        (
            "many = []",
            "nothing is not allowed; it must be a list (of length at least 1), each item text (of length at least 2)",
        ),
        ('many = [""]', '"" is not allowed; it must be text (of length at least 2)'),
        ('day = "2026-02-30"', '"2026-02-30" is no day of the calendar; it must be a day, "YYYY-MM-DD"'),
        ("day = 2026-02-03", '2026-02-03 is no day of the calendar; it must be a day, "YYYY-MM-DD"'),
        ("day = true", 'true is no day of the calendar; it must be a day, "YYYY-MM-DD"'),
        (f'size = "{"x" * 100}"', f'"{"x" * 59}... is not allowed; it must be a whole number (at least 1, at most 9)'),
    ],
)
def test_fault_says_what_stands_there_and_what_may(text, problem):
    class Row(msgspec.Struct, forbid_unknown_fields=True):
        size: Annotated[int, msgspec.Meta(ge=1, le=9)] = 1
        inner: tuple[Inner, ...] = ()
        many: Annotated[tuple[Annotated[str, msgspec.Meta(min_length=2)], ...], msgspec.Meta(min_length=1)] = ("ab",)
        day: Day = "2026-11-22"

    globals().update(Day=Day)
    with pytest.raises(DefinitionError) as caught:
        Source(text, "x.toml").read(Row)
    assert [fault.problem for fault in caught.value.faults] == [problem]


def test_broken_toml_names_its_line():
    (line, key, problem), *others = faults('name = "a"\nsize = = 3\n')
    assert (line, key, others) == (2, "(file)", [])
    assert "not valid TOML" in problem


@pytest.mark.parametrize("text", ["size = " + "9" * 5000, "size = " + "[" * 100_000, "one = " + "{a=" * 50_000])
def test_numbers_and_tables_without_end_are_a_fault(text):
    ((line, key, problem),) = faults(text)
    assert (line, key) == (1, "(file)")
    assert problem.startswith("not valid TOML")


def test_wrong_kind_of_table_is_a_fault():
    assert faults('name = "a"\ninner = ["x"]')[0][1:] == ("inner[0]", "must be a table")
    assert faults('name = "a"\n[one]\nword = "one"\nhow = 1')[0][:2] == (4, "one.how")


def test_nested_arrays_are_told_apart():
    class Tree(msgspec.Struct, forbid_unknown_fields=True):
        inner: tuple[Leaf, ...]

    class Leaf(msgspec.Struct, forbid_unknown_fields=True):
        leaf: tuple[Inner, ...] = ()

    globals().update(Leaf=Leaf)
    text = (
        '[[inner]]\n[[inner.leaf]]\nword = "one"\n[[inner]]\n[[inner.leaf]]\nword = "one"\n[[inner.leaf]]\nword = 1\n'
    )
    with pytest.raises(DefinitionError) as caught:
        Source(text, "x.toml").read(Tree)
    assert [(fault.line, fault.key) for fault in caught.value.faults] == [(8, "inner[1].leaf[1].word")]


def test_error_text_is_one_line_a_fault():
    with pytest.raises(DefinitionError, match=r"x\.toml:1: size: .*\nx\.toml:1: name: missing"):
        Source("size = 0", "x.toml").read(Outer)
