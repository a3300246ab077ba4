"""The document's metadata in PDF files as qpdf and others write them, whole, revised, broken and locked."""

from __future__ import annotations

import io
import re
import time
import zlib
from pathlib import Path

import pikepdf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.readers.asset import read_asset
from reservations.readers.pdf import walk_pdf

ASSETS = Path(__file__).resolve().parents[3] / "crawler/demo/assets"
PACKET = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'
)
MODE = pikepdf.ObjectStreamMode


def made(pages=3, packet=PACKET, edit=None, **options):
    pdf = pikepdf.new()
    for _ in range(pages):
        pdf.add_blank_page()
    stream = pdf.make_stream(packet)
    stream.Type, stream.Subtype = pikepdf.Name.Metadata, pikepdf.Name.XML
    pdf.Root.Metadata = stream
    if edit:
        edit(pdf)
    file = io.BytesIO()
    pdf.save(file, fix_metadata_version=False, **options)
    return file.getvalue()


def read(body):
    asset = read_asset(body, "application/pdf")
    return [packet.data.strip() for packet in asset.packets], [(item.what, item.detail) for item in asset.findings]


def plain(content, entries=b""):
    """The least that is a PDF file: no cross-references at all."""
    return (
        b"%%PDF-1.7\n1 0 obj << /Type /Catalog /Metadata 2 0 R >> endobj\n"
        b"2 0 obj << /Length %d %s >> stream\n%s\nendstream endobj\ntrailer << /Root 1 0 R >>"
    ) % (len(content), entries, content)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"object_stream_mode": MODE.generate},
        {"linearize": True},
        {"linearize": True, "object_stream_mode": MODE.generate},
        {"force_version": "1.3"},
        {"pages": 3000, "object_stream_mode": MODE.generate},
        {"pages": 3000},
        {"edit": lambda pdf: pdf.docinfo.update({"/Title": pikepdf.String("(a) \\) >> endobj")})},
    ],
)
def test_packet_is_found_however_the_file_is_written(options):
    assert read(made(**options)) == ([PACKET], [])


@pytest.mark.parametrize("filters", [b"/FlateDecode", b"[/FlateDecode]", b"[ /Crypt /FlateDecode ]", b"/Flate#44ecode"])
def test_packet_may_be_compressed(filters):
    assert read(plain(zlib.compress(PACKET), b"/Filter " + filters)) == ([PACKET], [])


def test_file_without_metadata_has_none():
    pdf, file = pikepdf.new(), io.BytesIO()
    pdf.add_blank_page()
    pdf.save(file)
    assert read(file.getvalue()) == ([], [])


def test_metadata_of_a_picture_are_not_the_documents():
    def picture(pdf):
        image = pdf.make_stream(b"\0", Type=pikepdf.Name.XObject, Subtype=pikepdf.Name.Image)
        image.Metadata = pdf.make_indirect(pikepdf.Stream(pdf, b"<other/>", Type=pikepdf.Name.Metadata))
        pdf.pages[0].Resources.XObject = pikepdf.Dictionary(Im=image)
        del pdf.Root.Metadata

    assert read(made(edit=picture)) == ([], [])


def revised(body, packet):
    """The same file with a newer metadata stream appended, as an editor saves it."""
    number = int(re.search(rb"/Metadata (\d+) 0 R", body)[1])
    root = re.search(rb"/Root (\d+) 0 R", body)[0]
    size = re.search(rb"/Size (\d+)", body)[0]
    previous = re.findall(rb"startxref\s+(\d+)", body)[-1]
    place = len(body)
    stream = b"%d 0 obj\n<< /Type /Metadata /Length %d >>\nstream\n%s\nendstream\nendobj\n" % (
        number,
        len(packet),
        packet,
    )
    table = b"xref\n0 1\n0000000000 65535 f \n%d 1\n%010d 00000 n \n" % (number, place)
    trailer = b"trailer\n<< %s %s /Prev %s >>\nstartxref\n%d\n%%%%EOF\n" % (root, size, previous, place + len(stream))
    return body + stream + table + trailer


def test_newest_revision_counts():
    assert read(revised(made(), b"<newer/>")) == ([b"<newer/>"], [])
    assert read(revised(revised(made(linearize=True), b"<newer/>"), b"<newest/>")) == ([b"<newest/>"], [])


@pytest.mark.parametrize(
    "broken",
    [
        lambda body: body.replace(b"startxref", b"startxxxx"),
        lambda body: re.sub(rb"startxref\s+\d+", b"startxref\n999999", body),
        lambda body: re.sub(rb"startxref\s+\d+", b"startxref\n7", body),
        lambda body: body[: body.rindex(b"trailer")],
        lambda body: body[: body.rindex(b"trailer") + 20],
        lambda body: re.sub(rb"00000 n", b"0000x n", body),
        lambda body: body.replace(b"%PDF", b"junk junk\n%PDF"),
        lambda body: body.replace(b"%PDF", b"<br /><b>Warning</b>: something\n%PDF"),
        lambda body: re.sub(rb"/Length \d+", b"/Length 7", body),
        lambda body: body + b"\0" * 500,
    ],
)
def test_broken_cross_references_hide_nothing(broken):
    assert read(broken(made())) == ([PACKET], [])


def test_packed_file_whose_cross_references_are_gone_is_unreadable():
    body = made(object_stream_mode=MODE.generate)
    assert read(re.sub(rb"startxref\s+\d+", b"startxref\n999999", body))[1][0][0] == "broken"


@pytest.mark.parametrize(
    ("options", "packets", "findings"),
    [
        ({"owner": "a", "user": ""}, [], ["pdf-encrypt", "encrypted"]),
        ({"owner": "a", "user": "b", "R": 4}, [], ["pdf-encrypt", "encrypted"]),
        ({"owner": "a", "user": "b", "metadata": False}, [PACKET], ["pdf-encrypt"]),
    ],
)
@pytest.mark.parametrize("mode", [MODE.disable, MODE.generate])
def test_locked_file_says_so_and_shows_what_is_open(options, packets, findings, mode):
    body = made(encryption=pikepdf.Encryption(**options), object_stream_mode=mode)
    found, said = read(body)
    assert found == packets
    assert said[0][0] == findings[0]
    assert len(said) == len(findings)


def test_associated_manifest_is_handed_on():
    def associate(pdf):
        embedded = pdf.make_stream(b"....jumb....", Type=pikepdf.Name.EmbeddedFile)
        file = pikepdf.Dictionary(Type=pikepdf.Name.Filespec, AFRelationship=pikepdf.Name.C2PA_Manifest)
        file.EF = pikepdf.Dictionary(F=embedded)
        pdf.Root.AF = pikepdf.Array([pdf.make_indirect(file)])

    (_, manifest) = read_asset(made(edit=associate), "").packets
    assert (manifest.kind, manifest.data) == ("c2pa", b"....jumb....")


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"%PDF-1.7\n", "broken"),
        (b"%PDF-1.7\nxref\n0 0\ntrailer\n<< /Root 1 0 R >>\nstartxref\n9\n", "broken"),
        (b"%PDF-1.7\n1 0 obj\n2 0 R\nendobj\n2 0 obj\n1 0 R\nendobj\ntrailer << /Root 1 0 R >>", "broken"),
        (b"%PDF-1.7\n1 0 obj\n" + b"[" * 5000 + b"\ntrailer << /Root 1 0 R >>", "over-budget"),
        (b"%PDF-1.7\n1 0 obj\n" + b"<< /A " * 5000 + b"\ntrailer << /Root 1 0 R >>", "over-budget"),
        (b"%PDF-1.7\n1 0 obj\n(" + b"(" * 60_000 + b"\ntrailer << /Root 1 0 R >>", "over-budget"),
        (b"%PDF-1.7\n1 0 obj << /Metadata 1 0 R >> stream\nx\ntrailer << /Root 1 0 R >>", "broken"),
        (plain(b"x", b"/Filter /LZWDecode"), "broken"),
        (plain(b"x", b"/Filter /FlateDecode"), "broken"),
        (plain(zlib.compress(bytes(9 << 20)), b"/Filter /FlateDecode"), "over-budget"),
    ],
)
def test_hostile_file_is_a_finding(body, what):
    assert [item for item, _ in read(body)[1]] == [what]


def test_revisions_in_a_circle_end():
    body = made()
    start = re.search(rb"startxref\s+(\d+)", body)[1]
    assert read(body.replace(b"trailer <<", b"trailer << /Prev " + start)) == ([PACKET], [])


def large(pages=20, octets=500_000):
    def fill(pdf):
        for number, page in enumerate(pdf.pages):
            page.Contents = pdf.make_stream(zlib.compress(bytes([number])) + b"\x8f" * octets)

    return made(pages, edit=fill, compress_streams=False)


def test_ten_megabytes_cost_little():
    body = large()
    assert len(body) > 10_000_000
    began = time.process_time()
    assert read(body) == ([PACKET], [])
    assert time.process_time() - began < 0.1
    hurt = re.sub(rb"startxref\s+\d+", b"startxref\n999999", body[-200:])
    began = time.process_time()
    assert read(body[:-200] + hurt) == ([PACKET], [])
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    "filler",
    [
        b"1 0 obj ",
        b"xref\n0 9\n",
        b"trailer << /Root 1 0 R >>",
        b"/Type /XRef ",
        b"/Type/Catalog ",
        b"(",
        b"1 0 obj<<>>stream\n",
    ],
)
def test_sixteen_megabytes_of_anything_are_done_soon(filler):
    body = b"%PDF-1.7\n" + filler * ((16 << 20) // len(filler))
    began = time.process_time()
    read(body)
    assert time.process_time() - began < 6


@given(st.binary(max_size=400))
def test_no_octets_make_it_raise(data):
    read(b"%PDF-1.7\n" + data)
    read(b"%PDF-1.7\n1 0 obj << /Type /Catalog " + data + b" >> endobj trailer << /Root 1 0 R " + data + b">>")


PDFS = [made(), made(object_stream_mode=MODE.generate), *(path.read_bytes() for path in sorted(ASSETS.glob("*.pdf")))]


@given(st.sampled_from(PDFS), st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=8)), max_size=6))
def test_no_altered_file_makes_it_raise(body, changes):
    altered = bytearray(body)
    for at, data in changes:
        altered[at : at + len(data)] = data
    read(b"%PDF-" + bytes(altered))


@pytest.mark.parametrize("name", ["refused.pdf", "packed.pdf", "open.pdf"])
def test_pikepdf_and_we_see_the_same_packet(name):
    body = (ASSETS / name).read_bytes()
    with pikepdf.open(io.BytesIO(body)) as pdf:
        (packet,) = walk_pdf(body)
        assert packet.data.strip() == pdf.Root.Metadata.read_bytes().strip()
