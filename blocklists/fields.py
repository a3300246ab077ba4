"""What each key of a decision file may hold, in tables, with the sentence that tells staff what is allowed.

Each key is looked at alone here; rules between keys are in `lint`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from blocklists.model import AuthorityType, Cause, Match, Role, Status

_MAX_TEXT: Final = 4000
_MAX_LINE: Final = 500
_MAX_PEOPLE: Final = 20
_MAX_STEPS: Final = 200
_SHOWN: Final = 120
_TIERS: Final = (1, 2, 3, 4)


class Kind(NamedTuple):
    """A kind of value: which values it accepts, and the sentence that says what is allowed."""

    accepts: Callable[[object], bool]
    allowed: str


class Fields(NamedTuple):
    """The keys of one table: those that must stand there and those that may."""

    required: Mapping[str, Kind]
    optional: Mapping[str, Kind]

    @property
    def all(self) -> Mapping[str, Kind]:
        """Every key that is allowed."""
        return {**self.required, **self.optional}


def shown(value: object) -> str:
    """A value as a message shows it: short, and without anything a terminal would act on."""
    if isinstance(value, dt.date):
        return value.isoformat()
    text = ascii(value) if not (isinstance(value, str) and value.isprintable()) else f'"{value}"'
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _printable(text: str) -> bool:
    return all(part.isprintable() for part in text.splitlines())


def _is_line(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value.strip()) <= _MAX_LINE and value.isprintable()


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value.strip()) <= _MAX_TEXT and _printable(value)


def _is_people(value: object) -> bool:
    return isinstance(value, list) and 0 < len(value) <= _MAX_PEOPLE and all(map(_is_line, value))


def _is_date(value: object) -> bool:
    return isinstance(value, dt.date) and not isinstance(value, dt.datetime)


_STEP: Final = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}} ({'|'.join(Status)}) by [^;\n]{{1,400}}")


def _is_step(value: object) -> bool:
    return _is_line(value) and isinstance(value, str) and _STEP.fullmatch(value) is not None


def _shaped(pattern: str, allowed: str) -> Kind:
    compiled = re.compile(pattern)
    return Kind(lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None, allowed)


def _one_of(words: type[StrEnum]) -> Kind:
    values = frozenset(str(word) for word in words)
    listed = ", ".join(f'"{word}"' for word in words)
    return Kind(lambda value: isinstance(value, str) and value in values, f"Write one of {listed}.")


LINE: Final = Kind(_is_line, f"Write a text in quotes on one line, at most {_MAX_LINE} characters.")
TEXT: Final = Kind(_is_text, f"Write a text in quotes, at most {_MAX_TEXT} characters.")
PEOPLE: Final = Kind(_is_people, 'Write names in quotes between brackets, for example ["a.berg", "c.dahl"].')
HISTORY: Final = Kind(
    lambda value: isinstance(value, list) and len(value) <= _MAX_STEPS and all(map(_is_step, value)),
    'Write each step as "2026-11-02 suspended by b.cole: objection, O-7".',
)
DATE: Final = Kind(_is_date, "Write a date as year-month-day without quotes, for example 2026-03-31.")
FLAG: Final = Kind(lambda value: isinstance(value, bool), "Write true or false, without quotes.")
TIER: Final = Kind(
    lambda value: type(value) is int and value in _TIERS,
    "Write 1 (court or authority of the EU or EEA), 2 (extension under such an order), 3 (other public list) "
    "or 4 (internal).",
)
ID: Final = _shaped(
    r"[a-z0-9][a-z0-9.-]{2,79}",
    'Write 3 to 80 small letters, digits, dots and hyphens, for example "lg-example-2026-7".',
)
COUNTRY: Final = _shaped(
    r"(?!EL|UK)[A-Z]{2}", 'Write the two capital letters of ISO 3166, for example "DE" (Greece is "GR", Britain "GB").'
)
LANGUAGE: Final = _shaped(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", 'Write the language\'s code, for example "de" or "pt-BR".')
SHA256: Final = _shaped(r"[0-9a-f]{64}", "Write the SHA-256 of the document: 64 digits and small letters a to f.")
URL: Final = _shaped(
    r"https?://[^\s\x00-\x1f\x7f]{1,2000}", "Write the document's address, beginning with https:// or http://."
)

DECISION: Final = Fields(
    required={
        "id": ID,
        "authority": LINE,
        "authority_type": _one_of(AuthorityType),
        "country": COUNTRY,
        "date": DATE,
        "legal_basis": LINE,
        "finding": TEXT,
        "language": LANGUAGE,
        "tier": TIER,
        "review_by": DATE,
    },
    optional={
        "reference": LINE,
        "document_sha256": SHA256,
        "document_url": URL,
        "live_sport": FLAG,
        "in_force_until": DATE,
        "open_ended": FLAG,
    },
)

#: Host and path have rules of their own, with their own words, in `lint`; here only: is it a text at all.
HOST: Final = Fields(
    required={
        "host": LINE,
        "match": _one_of(Match),
        "role": _one_of(Role),
        "status": _one_of(Status),
        "added": DATE,
        "added_by": LINE,
    },
    optional={
        "path": LINE,
        "of": LINE,
        "approved_by": PEOPLE,
        "verified_on": DATE,
        "changed_on": DATE,
        "changed_by": LINE,
        "change_cause": _one_of(Cause),
        "change_reference": LINE,
        "override": TEXT,
        "history": HISTORY,
        "note": TEXT,
    },
)

EXCEPTION: Final = Fields(
    required={
        "excepts": ID,
        "host": LINE,
        "match": _one_of(Match),
        "reason": TEXT,
        "added": DATE,
        "added_by": LINE,
        "approved_by": PEOPLE,
        "until": DATE,
    },
    optional={"path": LINE},
)
