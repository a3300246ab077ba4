"""What a file says of itself: its metadata and its form, by the tables of all protocols.

Which property or assertion speaks of what stands in the protocol files. What a manifest refuses counts whoever signed
it; what it allows counts when it is valid (`credential`) and the operator's list of signers has its certificate.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from lxml import etree

from reservations.file_tables import Assertion, FileFinding, FileProperty, XmlRecord
from reservations.model import Signal
from reservations.readers.asset import Asset
from reservations.readers.bmff import unbrotli
from reservations.readers.credential import NOT_CHECKED, VALID, validate
from reservations.readers.declared import Declarations
from reservations.readers.epub import read_package
from reservations.readers.jumbf import Content, Pairs, decode, read_boxes
from reservations.readers.pieces import Finding, Kind, Packet, Unreadable
from reservations.readers.xmp import Property, read_properties
from reservations.statement import Place, Reading, Vocabulary, clean, covers

_MAX_SIGNALS: Final = 256
_MAX_RECORDS: Final = 100_000
_ROOT_WITHIN: Final = 4096
_FIRST_ELEMENT: Final = re.compile(rb"<(?:[\w.-]{1,40}:)?([A-Za-z_][\w.-]*)")
#: What is said of a manifest that came with a part of the file: its own file is not at hand.
_OF_A_PART: Final = ("unvalidated", "ingredient")
#: Status code of C2PA for a certificate that is on no list of ours.
_UNTRUSTED: Final = "signingCredential.untrusted"
_SUFFIX: Final = re.compile(r"(?:\.v\d+)?(?:__\d+)?$")


class _Stated(NamedTuple):
    """A reading, whose it is, and where it stood."""

    reading: Reading
    vocabulary: Vocabulary
    place: Place


class _Credential(NamedTuple):
    """What is said of a file's own manifest, and whether what it allows counts."""

    issues: tuple[str, ...]
    trusted: bool


class FileTables:
    """The tables of all protocols about what stands in files."""

    def __init__(self, vocabularies: Iterable[Vocabulary]) -> None:
        self._properties: dict[str, list[tuple[FileProperty, Vocabulary]]] = {}
        self._assertions: list[tuple[Assertion, Vocabulary]] = []
        self._findings: dict[str, list[tuple[FileFinding, Vocabulary]]] = {}
        self._records: list[tuple[XmlRecord, Vocabulary]] = []
        self._prefixes: dict[str, str] = {}
        self._signers: set[str] = set()
        listed = tuple(vocabularies)
        for vocabulary in listed:
            protocol = vocabulary.protocol
            for row in protocol.file_properties:
                for namespace in row.namespaces:
                    self._properties.setdefault(namespace, []).append((row, vocabulary))
                if row.epub_prefix:
                    self._prefixes[row.epub_prefix] = row.namespaces[0]
            for finding in protocol.file_findings:
                for what in finding.what:
                    self._findings.setdefault(what, []).append((finding, vocabulary))
            self._signers |= {row.certificate for row in protocol.signers}
            self._assertions += [(assertion, vocabulary) for assertion in protocol.assertions]
            self._records += [(record, vocabulary) for record in protocol.xml_records]
        self._declarations = Declarations(listed)
        self._roots = {root.encode() for record, _ in self._records for root in record.roots}

    def read(self, asset: Asset) -> list[Signal]:
        """Every statement in a file's metadata and about its form."""
        findings = list(asset.findings)
        signals: list[Signal] = []
        for packet in asset.packets:
            stated, fault = self._stated(packet, asset)
            signals += _signals(stated, asset.media_type)
            if fault is not None and "outside_slot" not in packet.issues:
                findings.append(Finding(fault.what, fault.detail, packet.locator))
        signals += [signal for finding in dict.fromkeys(findings) for signal in self._found(finding)]
        return list({id(signal): signal for signal in signals}.values())

    def read_declared(self, body: bytes, asset: Asset | None) -> list[Signal]:
        """What was declared elsewhere of these very octets."""
        return self._declarations.on(body, asset)

    def read_records(self, body: bytes) -> list[Signal]:
        """Every statement in an XML resource that is a list of records."""
        start = body[:_ROOT_WITHIN]
        if not any(root in start for root in self._roots) or not self._is_root(start):
            return []
        signals: list[Signal] = []
        for record, vocabulary in self._records:
            if any(name.encode() in body for name in record.elements):
                readings, fault = _records(body, record)
                stated = [_Stated(reading, vocabulary, place) for reading, place in readings]
                signals += _signals(stated, "application/xml")
                if fault is not None:
                    signals += self._found(Finding(fault.what, fault.detail, record.elements[0]))
        return signals

    def _is_root(self, start: bytes) -> bool:
        """Whether the first element is the root of a list of records."""
        match = _FIRST_ELEMENT.search(start)
        return match is not None and match[1] in self._roots

    def _stated(self, packet: Packet, asset: Asset) -> tuple[list[_Stated], Unreadable | None]:
        if packet.kind is Kind.JUMBF:
            return self._in_manifests(packet, asset)
        if packet.kind is Kind.OPF:
            properties, fault = read_package(packet.data, self._prefixes)
        else:
            properties, fault = read_properties(packet.data, self._properties)
        return [stated for item in properties for stated in self._in_property(item, packet, asset)], fault

    def _in_property(self, found: Property, packet: Packet, asset: Asset) -> Iterator[_Stated]:
        odd = (*packet.issues, *(() if found.sound else ("part",)))
        place = Place(packet.kind.value, "body", packet.locator, f"{found.name}: {found.value}")
        for row, vocabulary in self._properties.get(found.namespace, ()):
            if not fnmatchcase(found.name, row.name) or row.unless_packet in asset.kinds:
                continue
            standard = row.standard and covers(row.media, asset.media_type)
            issues = odd if standard else (*odd, "nonstandard_carrier")
            for text in (found.value, found.name) if "*" in row.name else (found.value,):
                value, spelt = _without(row.value_prefixes, text)
                reading = Reading(row.label, value)
                reading = reading if spelt else reading.weakened("case")
                if "*" not in row.name or vocabulary.is_negative(row.label, value):
                    yield _Stated(reading.weakened(*issues) if issues else reading, vocabulary, place)

    def _in_manifests(self, packet: Packet, asset: Asset) -> tuple[list[_Stated], Unreadable | None]:
        """Statements in every manifest of a store. The last one is the file's own; others are its parts'."""
        contents, fault = _contents(packet.data)
        own = next((content.labels[1] for content in reversed(contents) if len(content.labels) > 1), "")
        found: list[tuple[Content, Vocabulary, Reading, str]] = []
        for content in contents:
            name = _SUFFIX.sub("", content.labels[-1])
            for assertion, vocabulary in self._assertions:
                if not any(fnmatchcase(name, pattern) for pattern in assertion.names):
                    continue
                try:
                    found += [(content, vocabulary, *said) for said in _readings(content, assertion, vocabulary)]
                except Unreadable as error:
                    fault = fault or error
        if not found:
            return [], fault
        state = self._state(packet, asset)
        stated: list[_Stated] = []
        for content, vocabulary, reading, text in found:
            is_own = content.labels[1:2] == (own,)
            odd = (*(state.issues if is_own else _OF_A_PART), *packet.issues)
            place = Place(Kind.JUMBF.value, "body", content.labels[-1][:64], text)
            counts = (is_own and state.trusted) or vocabulary.is_negative(reading.label, reading.value)
            stated.append(_Stated(reading._replace(sound=reading.sound and counts, issues=odd), vocabulary, place))
        return stated, fault

    def _state(self, packet: Packet, asset: Asset) -> _Credential:
        """Whether a file's own manifest belongs to it and to somebody trusted. Of several stores, none is its own."""
        stores = [one for one in asset.packets if one.kind is Kind.JUMBF]
        if len(stores) != 1 or packet.issues:
            return _Credential(("unvalidated", NOT_CHECKED), trusted=False)
        state = validate(packet.data, asset.body)
        if state.word != VALID:
            return _Credential(("unvalidated", state.word, state.code), trusted=False)
        if state.signer not in self._signers:
            return _Credential((VALID, _UNTRUSTED), trusted=False)
        return _Credential((VALID,), trusted=True)

    def _found(self, finding: Finding) -> Iterator[Signal]:
        """The statement that a finding makes."""
        for row, vocabulary in self._findings.get(finding.what, ()):
            if finding.detail not in row.harmless:
                yield Signal(
                    protocol=vocabulary.protocol.id,
                    reason=row.reason,
                    carrier="file",
                    source="body",
                    locator=clean(finding.locator),
                    excerpt=clean(finding.detail),
                    strict=row.strict,
                    effective=row.effective,
                    vendor=row.vendor,
                    issues=(finding.what,),
                )


def _signals(stated: Sequence[_Stated], media_type: str) -> list[Signal]:
    """Statements as signals, equal ones once, refusals first when there are too many."""
    ordered = sorted(stated, key=lambda item: not item.vocabulary.is_negative(item.reading.label, item.reading.value))
    found = (item.vocabulary.signal(item.reading, item.place, media_type) for item in dict.fromkeys(ordered))
    return [signal for signal in found if signal is not None][:_MAX_SIGNALS]


def _without(prefixes: Iterable[str], value: str) -> tuple[str, bool]:
    """A value without what may stand before it, and whether that was spelt as it should be."""
    for prefix in prefixes:
        if value.startswith(prefix):
            return value[len(prefix) :], True
        if value.lower().startswith(prefix.lower()):
            return value[len(prefix) :], False
    return value, True


def _contents(store: bytes) -> tuple[list[Content], Unreadable | None]:
    """The content boxes of a store, those of compressed manifests among them, as far as it can be read."""
    found: list[Content] = []
    try:
        for content in read_boxes(store):
            if content.kind == "brob" and content.data.startswith(b"jumb"):
                inner = unbrotli(content.data[4:])
                box = (len(inner) + 8).to_bytes(4, "big") + b"jumb" + inner
                found += [item._replace(labels=(*content.labels[:1], *item.labels)) for item in read_boxes(box)]
            else:
                found.append(content)
    except Unreadable as fault:
        return found, fault
    return found, None


def _readings(content: Content, assertion: Assertion, vocabulary: Vocabulary) -> Iterator[tuple[Reading, str]]:
    """What an assertion says, each reading with its own text."""
    if assertion.label:
        yield Reading(assertion.label, ""), content.labels[-1]
        return
    if content.kind not in ("cbor", "json"):
        return
    tree = decode(content.kind, content.data)
    for key, entry in _pairs(_unwrapped(tree, assertion.wrapper)):
        label = next((key[len(prefix) :] for prefix in assertion.prefixes if key.startswith(prefix)), key)
        for value, conditions in _values(entry, assertion):
            if vocabulary.knows(label) or (assertion.others and assertion.others in label):
                name = label if vocabulary.knows(label) else assertion.others
                yield Reading(name, value, conditions=conditions), f"{key}: {value}"


def _unwrapped(tree: object, wrapper: str) -> object:
    """The map itself: what stands under the wrapper and beside it."""
    inner = [pair for key, value in _pairs(tree) if key == wrapper for pair in _raw_pairs(value)]
    return Pairs((*inner, *(pair for pair in _raw_pairs(tree) if pair[0] != wrapper)))


def _raw_pairs(tree: object) -> tuple[tuple[object, object], ...]:
    return tree.pairs if isinstance(tree, Pairs) else ()


def _pairs(tree: object) -> Iterator[tuple[str, object]]:
    """The pairs of a map whose keys are text."""
    yield from ((key, value) for key, value in _raw_pairs(tree) if isinstance(key, str))


def _values(entry: object, assertion: Assertion) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every value of an entry, with what it asks for. Of several, each counts."""
    conditions = tuple(
        clean(text)
        for key, text in _pairs(entry)
        if key in assertion.conditions and isinstance(text, str) and text.strip()
    )
    for key, value in _pairs(entry):
        if key == assertion.value:
            word = value if isinstance(value, str) else ""
            yield word if conditions else assertion.without_conditions.get(word, word), conditions


def _records(body: bytes, record: XmlRecord) -> tuple[list[tuple[Reading, Place]], Unreadable | None]:
    """What the records of an XML resource say, as far as it is well-formed."""
    found: list[tuple[Reading, Place]] = []
    if b"<!ENTITY" in body[:65_536]:
        return [], Unreadable("entities in metadata")
    wanted = [f"{{*}}{name}" for name in record.elements]
    events = etree.iterparse(
        io.BytesIO(body), tag=wanted, resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True
    )
    try:
        for number, (_, element) in enumerate(events, start=1):
            if number > _MAX_RECORDS:
                return found, Unreadable("too many records", "over-budget")
            texts = {etree.QName(child).localname: (child.text or "").strip() for child in element.iterchildren("*")}
            label, value = (
                (next((texts[name] for name in names if name in texts), "")) for names in (record.label, record.value)
            )
            found.append(
                (Reading(label, value), Place("xml", "body", f"{record.elements[0]} {number}", f"{label} {value}"))
            )
            element.clear()
    except (etree.LxmlError, ValueError):
        return found, Unreadable("not well-formed")
    return found, None
