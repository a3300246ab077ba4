"""Tables of a protocol file about what stands in files, and about what is declared of files elsewhere."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from reservations.tables import Consequence, Table


class FileProperty(Table, frozen=True, kw_only=True):
    """A property in a file's metadata: XMP in any format, `<meta>` in the package document of an EPUB.

    Attributes:
        namespaces: any of them; the prefix that a file binds to it does not matter.
        name: local name. With "*" it is a pattern: names and values that plainly refuse count, others do not.
        value_prefixes: what may stand before the value, for example the URI of a vocabulary.
        media: media types in which the text defines the property; elsewhere only negatives count
            (`nonstandard_carrier`). Empty: all.
        unless_packet: kind of metadata beside which the property says nothing new.
        epub_prefix: prefix that stands for the namespace in an EPUB that does not declare it.
    """

    namespaces: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    name: str
    label: str
    value_prefixes: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    epub_prefix: str = ""
    unless_packet: Literal["", "c2pa"] = ""
    standard: bool = True


class Assertion(Table, frozen=True, kw_only=True):
    """An assertion in a C2PA manifest: a map from labels to maps that hold a value, or one whose presence says all.

    Attributes:
        names: patterns for its name; suffixes for versions and instances are cut.
        label: the label that its mere presence is; then the content is not read.
        wrapper: key under which the map stands, if it does not stand there bare.
        prefixes: what may stand before a label; value: key of the value.
        conditions: keys of what a value asks for; without_conditions: values that mean another one when they ask for
            nothing.
        others: a label that is not known and contains this is noted under its own name.
    """

    names: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    label: str = ""
    wrapper: str = ""
    prefixes: tuple[str, ...] = ()
    value: str = ""
    conditions: tuple[str, ...] = ()
    without_conditions: dict[str, str] = msgspec.field(default_factory=dict)
    others: str = ""


class Signer(Table, frozen=True, kw_only=True):
    """Somebody whose content credentials may permit something, when they are valid.

    Attributes:
        name: who; why: what the trust rests on.
        certificate: SHA-256 of the signing certificate's DER in lower-case hexadecimal: that one, and no authority.
    """

    name: Annotated[str, msgspec.Meta(min_length=1)]
    certificate: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
    why: Annotated[str, msgspec.Meta(min_length=10)]


class RecordIdentifiers(Table, frozen=True, kw_only=True):
    """Where a list of records says which book a record is about, by element name.

    Attributes:
        record: the element around one record; identifier: in it, an element with a type and a value.
        type, value: its children; isbn: the types that are ISBNs.
    """

    record: tuple[str, ...]
    identifier: tuple[str, ...]
    type: tuple[str, ...]
    value: tuple[str, ...]
    isbn: tuple[str, ...]


class XmlRecord(Table, frozen=True, kw_only=True):
    """A record in an XML resource of a known root: an element with a child for the label and one for the value.

    `about`: how such a resource in the operator's folder says which books it is about.
    """

    roots: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    elements: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    label: tuple[str, ...]
    value: tuple[str, ...]
    about: RecordIdentifiers | None = None


class FileFinding(Consequence, frozen=True, kw_only=True):
    """What a file says by its form: that it is locked, or that its metadata cannot be read.

    `what` names the findings of the readers; `harmless` are details with which a finding means nothing.
    """

    what: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    harmless: tuple[str, ...] = ()


class Declared(Table, frozen=True, kw_only=True):
    """What a rightsholder declared of one work, wherever a copy of it lies.

    Attributes:
        iscc: an ISCC of ISO 24138 with an Instance-Code or a Data-Code; sha256: of the copy, in hexadecimal;
            isbn: 13 digits. One of them at least.
        label, value: in the words of the protocol.
        declarant: who; at: when, as the registry has it.
        signature: what the registry found when it looked at the declarant's signature.
    """

    iscc: str = ""
    sha256: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?$")] = ""
    isbn: Annotated[str, msgspec.Meta(pattern=r"^([0-9]{13})?$")] = ""
    label: str
    value: str
    declarant: str = ""
    at: str = ""
    signature: Literal["valid", "invalid", "unchecked"] = "unchecked"


class DeclarationWords(Table, frozen=True, kw_only=True):
    """How declarations on works are matched.

    Attributes:
        near: most bits in which two Data-Codes of 64 bits differ that may be of the same work.
        similar: reason code of a refusal that a copy may fall under, which a person has to see.
    """

    near: Annotated[int, msgspec.Meta(ge=0, le=16)]
    similar: str
