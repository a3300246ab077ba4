"""Declarations on works: snapshots and ONIX records of the operator's, matched with octets."""

from __future__ import annotations

import hashlib
import io
import json
import random
import zipfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.datafile import DefinitionError
from reservations.decide import closing, combine, in_effect
from reservations.declarations import with_declarations
from reservations.file_tables import Declared
from reservations.model import Category, Decision, Value, Verdict
from reservations.readers.books import isbn13, named_isbns, read_books
from reservations.readers.declared import Declarations
from reservations.registry import Registry
from reservations.statement import Vocabulary

iscc_lib = pytest.importorskip("iscc_lib")

BODY = (Path(__file__).resolve().parents[3] / "crawler/demo/assets/plain.jpg").read_bytes()
GENAI = {Category.GENAI_TRAIN: Value.DENY}
ONIX = '<ONIXMessage release="3.0" xmlns="http://ns.editeur.org/onix/3.0/reference">{}</ONIXMessage>'
PRODUCT = """<Product><RecordReference>r</RecordReference><ProductIdentifier><ProductIDType>15</ProductIDType>
<IDValue>{isbn}</IDValue></ProductIdentifier><DescriptiveDetail><EpubUsageConstraint><EpubUsageType>{type}</EpubUsageType>
<EpubUsageStatus>{status}</EpubUsageStatus></EpubUsageConstraint></DescriptiveDetail><RelatedMaterial><RelatedProduct>
<ProductIdentifier><ProductIDType>15</ProductIDType><IDValue>9780306406157</IDValue></ProductIdentifier></RelatedProduct>
</RelatedMaterial></Product>"""


def sha256(body):
    return hashlib.sha256(body).hexdigest()


def iscc_of(body):
    codes = [iscc_lib.gen_data_code_v0(body)["iscc"], iscc_lib.gen_instance_code_v0(body)["iscc"]]
    return iscc_lib.gen_iscc_code_v0(codes)["iscc"]


def snapshot(*rows, protocol="iscc"):
    head = {"protocol": protocol, "source": "https://registry.example/", "taken": "2026-11-20"}
    return "\n".join(json.dumps(line) for line in (head, *rows)) + "\n"


def declared(use="genai-train", value="deny", **more):
    return {"label": use, "value": value, **more}


@pytest.fixture(scope="session")
def load(protocol_texts):
    """The few protocols that matter here, with files of declarations: `a_jsonl` for "a.jsonl"."""
    few = {
        name: protocol_texts[name] for name in ("access.toml", "files.toml", "iscc.toml", "onix.toml", "rfc9309.toml")
    }

    def load(**files):
        return Registry.load(few | {f"declarations/{name.replace('_', '.')}": text for name, text in files.items()})

    return load


@pytest.fixture
def look(load, policy, make_facts, make_head):
    """The statements of declarations on a file, and what becomes of it under the shipped policy with images wanted."""

    def look(body, media_type="image/jpeg", policy=policy, **files):
        registry = load(**files)
        facts = make_facts(head=make_head(200, ("Content-Type", media_type), html=False), body=body)
        decision = registry.examine(facts, msgspec.structs.replace(policy, media_types=("*/*",)), "ExampleBot")
        assert isinstance(decision, Decision)
        return [signal for signal in decision.signals if signal.carrier == "declaration"], decision

    return look


@pytest.mark.parametrize(
    "by",
    [{"sha256": sha256(BODY)}, {"iscc": iscc_of(BODY)}, {"iscc": iscc_lib.gen_instance_code_v0(BODY, 256)["iscc"]}],
)
def test_declaration_on_these_very_octets_refuses(look, by):
    (signal,), decision = look(BODY, a_jsonl=snapshot(declared(**by, declarant="did:web:rights.example")))
    assert (signal.effective, signal.strict) == (GENAI, GENAI)
    assert "did:web:rights.example" in signal.excerpt
    assert (decision.verdict, decision.reason) == (Verdict.DISCARDED, "iscc.declared")


def test_octets_that_differ_are_not_the_work(look):
    found, decision = look(BODY + b"\0", a_jsonl=snapshot(declared(sha256=sha256(BODY))))
    assert (found, decision.verdict) == ([], Verdict.KEPT)


def test_work_that_is_nearly_the_same_is_held(look):
    noise = random.Random(1).randbytes(60_000)  # always the same
    body = BODY + noise
    near = body[:-1] + b"\0"
    (signal,), decision = look(near, a_jsonl=snapshot(declared(iscc=iscc_of(body))))
    assert signal.reason == "iscc.similar"
    assert (signal.strict, signal.effective) == ({}, {Category.GENAI_TRAIN: Value.UNDETERMINABLE})
    assert decision.verdict is Verdict.HELD
    assert look(body[::-1], a_jsonl=snapshot(declared(iscc=iscc_of(body))))[0] == []
    allowed = snapshot(declared(value="allow", iscc=iscc_of(body), signature="valid"))
    assert look(near, a_jsonl=allowed)[0] == []


def test_of_two_declarations_the_refusal_counts(look):
    rows = [declared(value="allow", sha256=sha256(BODY), signature="valid"), declared(sha256=sha256(BODY))]
    for order in (rows, rows[::-1]):
        found, decision = look(BODY, a_jsonl=snapshot(*order))
        assert len(found) == 2
        assert decision.effective[Category.GENAI_TRAIN] is Value.DENY


@pytest.mark.parametrize(("signature", "allowed"), [("valid", "allow"), ("invalid", "unset"), ("unchecked", "unset")])
def test_refusal_needs_no_signature_and_a_permission_does(look, signature, allowed):
    (refused,), _ = look(BODY, a_jsonl=snapshot(declared(sha256=sha256(BODY), signature=signature)))
    (permitted,), _ = look(BODY, a_jsonl=snapshot(declared(value="allow", sha256=sha256(BODY), signature=signature)))
    assert refused.effective == GENAI
    assert permitted.effective.get(Category.GENAI_TRAIN, Value.UNSET) == allowed
    assert [issue for issue in refused.issues if issue.startswith("signature")] == (
        [] if signature == "valid" else [f"signature-{signature}"]
    )


def test_snapshot_changes_the_digest_of_the_rules(load):
    one, other = (load(a_jsonl=snapshot(declared(value=value, sha256=sha256(BODY)))) for value in ("deny", "allow"))
    assert len({one.digest, other.digest, load().digest}) == 3


def test_any_resource_is_compared_not_only_media(look):
    page = b"<!doctype html><title>t</title><p>text"
    (signal,), _ = look(page, "text/html", a_jsonl=snapshot(declared(sha256=sha256(page))))
    assert signal.effective == GENAI


def test_every_fault_of_a_snapshot_is_named_with_its_line(load):
    text = snapshot(
        declared(), declared(iscc="ISCC:X"), declared(use="sing", sha256=sha256(b"")), declared(sha256="ab"),
        declared(iscc=iscc_lib.gen_meta_code_v0("title")["iscc"]), {"odd": 1},
    )  # fmt: skip
    with pytest.raises(DefinitionError) as caught:
        load(a_jsonl=text, b_jsonl="", c_jsonl=snapshot(protocol="none"), d_xml="<ONIXMessage>")
    told = [(fault.file, fault.line) for fault in caught.value.faults]
    assert told == [("declarations/a.jsonl", line) for line in range(2, 8)] + [
        (f"declarations/{name}", 1) for name in ("b.jsonl", "c.jsonl", "d.xml")
    ]
    assert "names no work" in caught.value.faults[0].problem
    assert "neither an Instance-Code nor a Data-Code" in caught.value.faults[4].problem


# -- books -------------------------------------------------------------------------------------------------------------


def epub(isbn):
    opf = f"""<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata
      xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier>urn:isbn:{isbn}</dc:identifier></metadata></package>"""
    container = """<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>
      <rootfile full-path="c.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, text in (("mimetype", "application/epub+zip"), ("META-INF/container.xml", container), ("c.opf", opf)):
            file.writestr(name, text)
    return out.getvalue()


BOOK = "978-3-16-148410-0"


@pytest.mark.parametrize(
    ("status", "value"), [("03", "deny"), ("02", "conditional"), ("", "conditional"), ("01", "unset")]
)
def test_record_kept_beside_a_book_is_read_by_its_isbn(look, status, value):
    record = ONIX.format(PRODUCT.format(isbn="9783161484100", type="11", status=status))
    found, _ = look(epub(BOOK), "application/epub+zip", a_xml=record)
    assert [signal.effective.get(Category.TDM, Value.UNSET) for signal in found] == [value]
    assert found[0].protocol == "onix"
    assert "by-isbn" in found[0].issues
    assert look(epub("0-306-40615-2"), "application/epub+zip", a_xml=record)[0] == []  # only a related product's


@pytest.mark.parametrize(
    ("text", "isbn"),
    [
        ("978-3-16-148410-0", "9783161484100"), ("3-16-148410-X", "9783161484100"), ("3-16-148410-1", ""),
        ("316148410X", "9783161484100"),
        ("978-3-16-148410-1", ""), ("0306406152", "9780306406157"), ("", ""), ("9773161484100", ""),
    ],
)  # fmt: skip
def test_isbn_counts_with_its_check_digit_only(text, isbn):
    assert isbn13(text) == isbn


@given(st.text(max_size=200))
def test_isbns_named_in_any_text_are_isbns(text):
    for isbn in named_isbns(text):
        assert isbn13(isbn) == isbn


ROWS = st.builds(
    declared,
    use=st.sampled_from(["tdm", "ai-train", "genai-train", "ai-input"]),
    value=st.sampled_from(["deny", "Denied", "conditional", "allow", "perhaps", ""]),
    sha256=st.sampled_from([sha256(BODY), sha256(b"")]),
    signature=st.sampled_from(["valid", "invalid", "unchecked"]),
)


@given(st.lists(ROWS, max_size=4), ROWS)
def test_one_more_refusal_never_opens_anything_and_order_is_nothing(registry, rows, more):
    (protocol,) = (one for one in registry.protocols if one.id == "iscc")

    def closed(*rows):
        kept = msgspec.structs.replace(protocol, declared=msgspec.convert(rows, tuple[Declared, ...]))
        found = Declarations([Vocabulary(kept)]).on(BODY, None)
        standings = combine({"iscc": kept}, found, in_effect)
        return {category for category in Category if closing(standings, category)}

    assert closed(*rows) <= closed(*rows, {**more, "value": "deny"})
    assert closed(*rows) == closed(*rows[::-1])


@given(st.binary(max_size=300), st.text(max_size=300))
def test_nothing_that_a_folder_can_hold_makes_it_raise(registry, octets, text):
    known = {protocol.id: protocol for protocol in registry.protocols}
    (record,) = known["onix"].xml_records
    for message in (octets, b"<ONIXMessage><Product>" + octets + b"</Product></ONIXMessage>"):
        read_books(message, record)
    head = snapshot().strip()
    for file in ("declarations/a.jsonl", "declarations/a.xml"):
        for content in (text, f"{head}\n{text}"):
            protocols, faults = with_declarations(known, {file: content})
            assert protocols.keys() == known.keys()
            assert all(fault.file == file for fault in faults)
