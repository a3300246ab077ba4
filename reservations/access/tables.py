"""The tables by which pages are judged: patterns of walls, vendors, challenges, phrases, and the words of schema.org.

Policy staff edit them; every row is a fact with a source and a date. All conditions that a pattern states must hold,
each by any one of its alternatives; another way to the same finding is another row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal

import msgspec

from reservations.access.selectors import SelectorError, literal_of, xpath_of
from reservations.datafile import Day, DefinitionError, Fault, Path, Source
from reservations.definition import Reference

#: Where these files stand among those of the protocols.
PAGE_TABLES: Final = "access/"

#: What a finding says of the page. The protocol's label `page` knows what follows from each.
Says = Literal["closed", "metered", "challenge", "payment", "unclear", "free", "note", "video", "audio", "image"]
Text = Annotated[str, msgspec.Meta(min_length=4)]

#: Shorter runs of plain letters in a phrase would be found on every page.
_LEAST_RUN: Final = 5
_PLAIN: Final = re.compile(r"[ -%(-;=?-~]+")
_NUMBER: Final = "{n}"
_NUMBERS: Final = (
    r"(?:\d{1,3}|one|two|three|four|five|eine?|zwei|drei|une?|deux|trois|due|tre|dos|tres|een|twee|drie|en|to)"
)


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Common options of all tables in these files."""


class Pattern(_Table, frozen=True, kw_only=True):
    """One way to tell.

    Attributes:
        name: whose page or wall it is.
        inline: text inside of a script.
        loads: part of the URL of a script, frame, image or style sheet.
        hosts: host of a script, or a domain above it.
        elements: selectors of elements that are shown (`selectors`).
        titles: the page's title begins like this.
        phrases: words shown to readers, in lower case; `{n}` stands for a number.
        most_text: the page shows fewer characters than this; 0: no matter.
        most_block: the words stand in a paragraph of at most this many characters; 0: no matter.
        delimits: selectors of the part that is closed, where the declaration says so.
    """

    name: str
    says: Says
    inline: tuple[Text, ...] = ()
    loads: tuple[Text, ...] = ()
    hosts: tuple[Text, ...] = ()
    elements: tuple[Text, ...] = ()
    titles: tuple[Text, ...] = ()
    phrases: tuple[Text, ...] = ()
    most_text: int = 0
    most_block: int = 0
    delimits: tuple[Text, ...] = ()

    def literals(self) -> tuple[str, ...]:
        """Octets of which one must stand in every page that fits, in lower case."""
        if plain := self.inline or self.hosts or self.loads:
            return tuple(text.lower() for text in plain)
        if self.elements:
            return tuple(literal_of(selector) for selector in self.elements)
        return tuple(_run(phrase) for phrase in self.phrases or self.titles)


class Tier(_Table, frozen=True, kw_only=True):
    """A `<meta>` whose content says how the page may be read; "*" stands for any other content."""

    name: str
    values: dict[str, Says]


class Schema(_Table, frozen=True, kw_only=True):
    """The words of schema.org: which items are the page, and how "closed" is written."""

    page_types: tuple[str, ...]
    part_types: tuple[str, ...]
    site_types: tuple[str, ...]
    media_types: dict[str, Says]
    closed: tuple[str, ...]
    free: tuple[str, ...]
    same: tuple[str, ...]
    parts: tuple[str, ...]
    others: tuple[str, ...]
    inline_marks: tuple[str, ...]


class Answers(_Table, frozen=True, kw_only=True):
    """JSON answers that are an error in all but status: under one of `errors` stands one of `words`."""

    errors: tuple[str, ...]
    words: tuple[str, ...]


class _File(_Table, frozen=True, kw_only=True):
    reviewed: Day
    sources: tuple[Reference, ...]
    patterns: tuple[Pattern, ...] = ()
    metas: tuple[Tier, ...] = ()
    schema: Schema | None = None
    answers: Answers | None = None


class Tables(msgspec.Struct, frozen=True, kw_only=True):
    """All files together."""

    patterns: tuple[Pattern, ...] = ()
    metas: tuple[Tier, ...] = ()
    schema: Schema | None = None
    answers: Answers | None = None


def table_faults(texts: Mapping[str, str]) -> tuple[Fault, ...]:
    """What is wrong with the files."""
    try:
        load_tables(texts)
    except DefinitionError as error:
        return error.faults
    return ()


def load_tables(texts: Mapping[str, str]) -> Tables:
    """Reads the files, given by name; raises DefinitionError with all faults of all files."""
    faults: list[Fault] = []
    files: list[_File] = []
    for name in sorted(texts):
        source = Source(texts[name], name)
        try:
            files.append(read := source.read(_File))
        except DefinitionError as error:
            faults.extend(error.faults)
            continue
        faults += [source.fault(path, problem) for path, problem in _contradictions(read)]
        for key in ("schema", "answers"):
            if getattr(read, key) is not None and any(getattr(other, key) for other in files[:-1]):
                faults.append(source.fault((key,), "another file has this table already"))
    if faults:
        raise DefinitionError(faults)
    return Tables(
        patterns=tuple(pattern for file in files for pattern in file.patterns),
        metas=tuple(meta for file in files for meta in file.metas),
        schema=next((file.schema for file in files if file.schema), None),
        answers=next((file.answers for file in files if file.answers), None),
    )


def _contradictions(file: _File) -> Iterator[tuple[Path, str]]:
    """What the types cannot say."""
    for at, pattern in enumerate(file.patterns):
        path: Path = ("patterns", at)
        if not (pattern.inline or pattern.loads or pattern.hosts or pattern.elements or pattern.phrases):
            yield path, "needs at least one of inline, loads, hosts, elements, phrases"
        for key in ("elements", "delimits"):
            for index, selector in enumerate(getattr(pattern, key)):
                try:
                    xpath_of(selector)
                except SelectorError as error:
                    yield (*path, key, index), str(error)
        for index, phrase in enumerate(pattern.phrases):
            if phrase != phrase.lower():
                yield (*path, "phrases", index), "must be in lower case; pages are compared without regard to case"
            elif len(_run(phrase)) < _LEAST_RUN:
                yield (*path, "phrases", index), f"needs {_LEAST_RUN} plain letters in a row, or every page is searched"


def _run(phrase: str) -> str:
    """The longest part of a phrase that is written alike in every encoding, and without character references."""
    runs = [run.strip() for part in phrase.split(_NUMBER) for run in _PLAIN.findall(part)]
    return max(runs, key=len, default="")


def expression_of(phrase: str) -> str:
    """A phrase as a regular expression."""
    return re.escape(phrase).replace(re.escape(_NUMBER), _NUMBERS)
