"""Statements and locks of books, whoever made them."""

from __future__ import annotations

import io
import struct
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.readers.asset import read_asset
from reservations.readers.epub import read_package
from reservations.readers.xmp import Property

ASSETS = Path(__file__).resolve().parents[3] / "crawler/demo/assets"
BOOKS = sorted(path.name for path in ASSETS.glob("*.epub"))
NS = "http://www.w3.org/ns/tdmrep#"
CONTAINER = "META-INF/container.xml"


def container(*paths):
    files = "".join(f'<rootfile full-path="{path}" media-type="application/oebps-package+xml"/>' for path in paths)
    space = "urn:oasis:names:tc:opendocument:xmlns:container"
    return f'<?xml version="1.0"?><container xmlns="{space}"><rootfiles>{files}</rootfiles></container>'


def package(metas, attributes=""):
    return f'<package xmlns="http://www.idpf.org/2007/opf" {attributes}><metadata>{metas}</metadata></package>'


def book(files, compression=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def simple(**more):
    return book({CONTAINER: container("a.opf"), "a.opf": package(""), **more})


def findings(body):
    asset = read_asset(body, "")
    assert asset.media_type == "application/epub+zip"
    return [(finding.what, finding.detail) for finding in asset.findings]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (package('<meta name="tdm:reservation" content="1"/>'), ("reservation", "1", True)),
        (package('<meta property="tdm:reservation"> 1 </meta>'), ("reservation", "1", True)),
        (package('<meta property="t:reservation">1</meta>', f'prefix="t: {NS}"'), ("reservation", "1", True)),
        (package('<meta property="t:policy">u</meta>', f'prefix="a: urn:a\n t: {NS} b: urn:b"'), ("policy", "u", True)),
        (package('<meta refines="#p" property="tdm:reservation">0</meta>'), ("reservation", "0", False)),
        (package('<meta name="tdm:reservation" content="1"/>', "a='1' a='1'"), ("reservation", "1", False)),
        (
            "<package><metadata><o><meta name='tdm:reservation' content='1'/></o></metadata></package>",
            ("reservation", "1", True),
        ),
    ],
)  # fmt: skip
def test_statement_is_found_in_each_edition_of_the_format(document, expected):
    found, _ = read_package(document.encode(), {"tdm": NS})
    assert [tuple(item)[1:] for item in found] == [expected]


def test_prefix_that_is_bound_to_something_else_says_nothing_of_ours():
    document = package('<meta property="tdm:reservation">1</meta>', 'prefix="tdm: http://other.example/"')
    assert read_package(document.encode(), {"tdm": NS})[0] == [
        Property("http://other.example/", "reservation", "1", sound=True)
    ]
    assert read_package(package('<meta property="x:y">1</meta>').encode(), {})[0] == []


def test_every_package_document_is_read():
    body = book({CONTAINER: container("a.opf", "b/c.opf"), "a.opf": package(""), "b/c.opf": package("")})
    assert [packet.locator for packet in read_asset(body, "").packets] == ["a.opf", "b/c.opf"]


def test_elements_of_another_vocabulary_are_handed_on():
    rsl = '<rsl:rsl xmlns:rsl="https://rslstandard.org/rsl"><rsl:content url=""/></rsl:rsl>'
    body = book({CONTAINER: container("a.opf"), "a.opf": package(rsl)})
    ((element, locator),) = read_asset(body, "").elements("https://rslstandard.org/rsl")
    assert element.startswith(b"<rsl:rsl ")
    assert locator == "a.opf"


def encryption(*algorithms):
    space = "http://www.w3.org/2001/04/xmlenc#"
    data = "".join(
        f'<e:EncryptedData xmlns:e="{space}"><e:EncryptionMethod Algorithm="{name}"/></e:EncryptedData>'
        for name in algorithms
    )
    return f'<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container">{data}</encryption>'


def test_locks_are_named():
    assert findings(simple(**{"META-INF/license.lcpl": "{}"})) == [("epub-lcp", "")]
    assert findings(simple(**{"META-INF/rights.xml": "<rights/>"})) == [("epub-rights", "")]
    algorithms = ("http://www.idpf.org/2008/embedding", "http://www.w3.org/2001/04/xmlenc#aes256-cbc")
    assert findings(simple(**{"META-INF/encryption.xml": encryption(*algorithms)})) == [
        ("epub-encryption", name) for name in algorithms
    ]
    assert findings(simple(**{"META-INF/encryption.xml": encryption()})) == []
    assert findings(simple(**{"META-INF/encryption.xml": "<broken"})) == [("broken", "not well-formed")]


def test_manifest_store_of_an_archive_is_handed_on():
    (manifest, _) = read_asset(simple(**{"META-INF/content_credential.c2pa": b"jumb"}), "").packets
    assert (str(manifest.kind), manifest.data) == ("c2pa", b"jumb")


def test_compressed_mimetype_is_still_a_book():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(CONTAINER, container("a.opf"))
        archive.writestr("a.opf", package(""))
    assert len(read_asset(file.getvalue(), "").packets) == 1


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (book({}), "broken"),
        (book({CONTAINER: "<container/>"}), "broken"),
        (book({CONTAINER: "no xml"}), "broken"),
        (book({CONTAINER: '<!DOCTYPE c [<!ENTITY a "b">]>' + container("a.opf")}), "broken"),
        (book({CONTAINER: container("missing.opf")}), "broken"),
        (book({CONTAINER: container(*(f"{n}.opf" for n in range(17)))}), "broken"),
        (book({CONTAINER: container("a.opf"), "a.opf": bytes(9 << 20)}), "over-budget"),
        (book({CONTAINER: container("a.opf"), "a.opf": bytes(9 << 20)}, zipfile.ZIP_LZMA), "over-budget"),
        (simple()[:-30], "broken"),
        (simple()[:200], "broken"),
        (simple().replace(b"PK\1\2", b"PK\1\1"), "broken"),
        (simple()[:-10] + struct.pack("<IIH", 0xFFFFFFFF, 1, 0), "over-budget"),
    ],
)
def test_broken_or_excessive_book_is_a_finding(body, what):
    assert [item for item, _ in findings(body)][:1] == [what]


def test_locked_entry_is_not_tried():
    body = bytearray(book({CONTAINER: container("a.opf"), "a.opf": package("")}))
    for mark, offset in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        at = body.index(CONTAINER.encode(), 0) if mark == b"PK\3\4" else body.rindex(CONTAINER.encode())
        body[body.rindex(mark, 0, at) + offset] |= 1
    assert findings(bytes(body)) == [("broken", "an entry is encrypted")]


def test_many_small_entries_are_bounded():
    body = book({f"{number:06}": b"" for number in range(25_000)}, zipfile.ZIP_STORED)
    began = time.process_time()
    assert findings(body)[0][0] in {"over-budget", "broken"}
    assert time.process_time() - began < 2


@given(st.binary(max_size=400))
def test_no_octets_make_it_raise(data):
    read_asset(b"PK\x03\x04" + bytes(26) + b"mimetypeapplication/epub+zip" + data, "")
    read_package(data, {"tdm": NS})


@given(st.sampled_from(BOOKS), st.lists(st.tuples(st.integers(0, 5000), st.binary(min_size=1, max_size=8)), max_size=6))
def test_no_altered_book_makes_it_raise(name, changes):
    body = bytearray((ASSETS / name).read_bytes())
    for at, data in changes:
        body[at : at + len(data)] = data
    read_asset(bytes(body), "")
