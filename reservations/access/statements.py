"""What operators of sites say themselves, signed: that pages which look closed to us are free to read.

A statement is a C2SP signed note whose text is TOML. Policy staff files it with the key that the site gave, and with
where they got that key from; nobody else vouches for it. It settles `access.unclear` on its own site and nothing else.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from reservations.datafile import Day, Source
from reservations.signed_note import NoteError, open_note, parse_public

#: The doubt that a statement settles.
SETTLES: Final = "access.unclear"
Sentence = Annotated[str, msgspec.Meta(min_length=10)]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Common options of the tables."""


class Statement(_Table, frozen=True, kw_only=True):
    """What the operator of a site signed.

    Attributes:
        site: exactly this host, in lower case, as A-labels; path: only URLs at or below it.
        says: "open", which is all that a statement can say.
        because: in the operator's words.
        date, expires: first and last day on which it counts.
    """

    site: str
    path: Annotated[str, msgspec.Meta(pattern=r"^/\S*$")] = "/"
    says: Literal["open"]
    because: Sentence
    date: Day
    expires: Day


class Filed(_Table, frozen=True, kw_only=True):
    """A statement as staff filed it.

    Attributes:
        host: the site whose key it is.
        key: the public key that the site gave, name+number+key.
        key_from: where staff got the key from, in words.
        by, added: who filed it, and when.
        note: the signed note as it came.
    """

    host: str
    key: str
    key_from: Sentence
    by: Annotated[str, msgspec.Meta(min_length=1)]
    added: Day
    note: str

    @property
    def signer(self) -> str:
        """The name of the key."""
        return self.key.partition("+")[0]


def open_statement(filed: Filed) -> Statement:
    """What was signed, after its signature was found good.

    Raises:
        NoteError: the key is none, it has not signed the note, or the note is about another site.
        reservations.datafile.DefinitionError: what was signed is no statement; the lines are those of the note.
    """
    statement = Source(open_note(filed.note, parse_public(filed.key)), "statement").read(Statement)
    if statement.site != filed.host:
        raise NoteError(f"it is about {statement.site}, and the key was given by {filed.host}")
    return statement
