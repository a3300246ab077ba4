"""Metadata in pictures, sound and film: every slot of every format, files of other makers, files of enemies."""

from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from reservations.readers.asset import read_asset
from reservations.readers.pieces import MAX_PACKET, Kind

ASSETS = Path(__file__).resolve().parents[3] / "crawler/demo/assets"
PACKET = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'
)
BARE = {"plain", "declared"}
SIGNED = {"credential", "altered", "granted", "collage", "rights"}
MADE = sorted(
    path.name for path in ASSETS.iterdir() if path.suffix in {".jpg", ".png", ".webp", ".gif", ".tif", ".avif", ".mp4"}
)


def picture(form, **options):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (9, 99, 200)).save(file, form, **options)
    return file.getvalue()


def packets(body, media_type=""):
    asset = read_asset(body, media_type)
    assert asset.findings == (), asset.findings
    return [(str(packet.kind), packet.locator, packet.data, packet.issues) for packet in asset.packets]


def findings(body, media_type=""):
    return [(finding.what, finding.detail) for finding in read_asset(body, media_type).findings]


def itxt(text, *, zipped):
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", text.decode(), zip=zipped)
    return info


@pytest.mark.parametrize(
    ("body", "locator"),
    [
        (picture("JPEG", xmp=PACKET), "APP1"),
        (picture("JPEG", progressive=True, xmp=PACKET), "APP1"),
        (picture("PNG", pnginfo=itxt(PACKET, zipped=False)), "iTXt"),
        (picture("PNG", pnginfo=itxt(PACKET, zipped=True)), "iTXt"),
        (picture("WEBP", xmp=PACKET), "XMP"),
        (picture("WEBP", lossless=True, xmp=PACKET), "XMP"),
        (picture("TIFF", tiffinfo={700: PACKET}), "tag 700"),
        (picture("TIFF", tiffinfo={700: PACKET}, big_tiff=True), "tag 700"),
        (picture("AVIF", xmp=PACKET), "item 2"),
    ],
)
def test_packet_written_by_pillow_is_found_in_its_slot(body, locator):
    assert packets(body) == [("xmp", locator, PACKET, ())]


@pytest.mark.parametrize("name", MADE)
def test_file_of_other_makers_is_read_without_findings(name):
    found = packets((ASSETS / name).read_bytes())
    stem = name.partition(".")[0]
    assert [kind for kind, *_ in found] == ([] if stem in BARE else ["c2pa"] if stem in SIGNED else ["xmp"])


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "AVIF"])
def test_picture_without_metadata_has_none(form):
    assert packets(picture(form)) == []


def segment(marker, data):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg(*segments):
    plain = picture("JPEG")
    return plain[:2] + b"".join(segments) + plain[2:]


def extension(guid, total, offset, data):
    return segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + guid + struct.pack(">II", total, offset) + data)


GUID = b"E195B3699AA57701335BE9D88305D2D3"
MAIN = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + PACKET.replace(b"<r:RDF", b'<r:RDF e="' + GUID + b'"'))


def test_extended_packet_is_put_together_in_any_order():
    body = jpeg(MAIN, extension(GUID, len(PACKET), 50, PACKET[50:]), extension(GUID, len(PACKET), 0, PACKET[:50]))
    assert packets(body)[1:] == [("xmp", "APP1 extension", PACKET, ())]
    alone = jpeg(extension(GUID, len(PACKET), 0, PACKET))
    assert packets(alone) == [("xmp", "APP1 extension", PACKET, ("unannounced",))]


@pytest.mark.parametrize(
    "segments",
    [
        (extension(GUID, 500, 0, b"a" * 100), extension(GUID, 500, 200, b"b" * 300)),
        (extension(GUID, 500, 0, b"a" * 100),),
        (extension(GUID, 0xFFFFFFFF, 0xFFFFFFF0, b"a" * 100),),
        (extension(GUID[:20], 1, 1, b""),),
    ],
)
def test_extended_packet_with_a_hole_is_unreadable(segments):
    assert findings(jpeg(MAIN, *segments))[0][0] in {"broken", "over-budget"}


def test_manifest_store_in_several_segments_is_put_together():
    box = struct.pack(">I", 40) + b"jumb" + bytes(range(32))
    first = segment(0xEB, b"JP\0\1\0\0\0\1" + box[:20])
    second = segment(0xEB, b"JP\0\1\0\0\0\2" + box[:8] + box[20:])
    assert packets(jpeg(second, first)) == [("c2pa", "APP11", box, ())]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks):
    plain = picture("PNG")
    return plain[:-12] + b"".join(chunks) + plain[-12:]


def test_raw_profile_of_imagemagick_is_read():
    text = b"\nxmp\n%8d\n" % len(PACKET) + PACKET.hex().encode() + b"\n"
    for made in (
        chunk(b"tEXt", b"Raw profile type xmp\0" + text),
        chunk(b"zTXt", b"Raw profile type xmp\0\0" + zlib.compress(text)),
    ):
        assert packets(png(made))[0][2] == PACKET


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(MAX_PACKET + 1)))), "over-budget"),
        (png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0no zlib")), "broken"),
        (png(chunk(b"tEXt", b"Raw profile type xmp\0\nxmp\n 9\nzz")), "broken"),
        (png()[:-12], "broken"),
        (png()[:-20], "broken"),
        (picture("PNG")[:8] + b"\xff\xff\xff\xffiTXt", "broken"),
        (jpeg()[:300], "broken"),
        (b"\xff\xd8\xff\xe1\0", "broken"),
        (b"\xff\xd8\xff\xe1\0\0", "broken"),
        (picture("GIF")[:-8], "broken"),
        (picture("GIF")[:20] + b"?", "broken"),
        (picture("WEBP")[:-8], "broken"),
        (picture("TIFF")[:40], "broken"),
        (b"II*\0\x08\0\0\0" + b"\xff\xff" * 40, "broken"),
        (picture("AVIF")[:100], "broken"),
        (b"\0\0\0\x10ftypavif" + b"\0\0\0\0" + b"\0\0\0\x01meta\xff\xff\xff\xff\xff\xff\xff\xff", "broken"),
        (png(*[chunk(b"caBX", b"x")] * 70), "over-budget"),
        (png(*[chunk(b"abCd", b"")] * 50_001), "over-budget"),
    ],
)
def test_what_cannot_be_walked_to_its_end_is_a_finding(body, what):
    assert [finding for finding, _ in findings(body)] == [what]


def test_directories_in_a_circle_end():
    body = (
        b"II*\0"
        + struct.pack("<I", 8)
        + struct.pack("<H", 1)
        + struct.pack("<HHII", 330, 4, 1, 8)
        + struct.pack("<I", 8)
    )
    assert packets(body) == []


def box(kind, *parts):
    content = b"".join(parts)
    return struct.pack(">I", len(content) + 8) + kind + content


def nested(*kinds):
    *outer, content = kinds
    for kind in reversed(outer):
        content = box(kind, content)
    return content


ENTRY = box(b"stsd", bytes(8), box(b"encv", bytes(8)))
PSSH = box(b"moov", box(b"pssh", bytes(4), bytes(range(16))))
DASH = b'<?xml version="1.0"?><MPD><ContentProtection schemeIdUri="urn:uuid:edef8ba9"/></MPD>'
FILE_TYPE = box(b"ftyp", b"isom\0\0\2\0isom")


@pytest.mark.parametrize(
    ("body", "what", "detail"),
    [
        (FILE_TYPE + PSSH, "media-encryption", bytes(range(16)).hex()),
        (FILE_TYPE + nested(b"moov", b"trak", b"mdia", b"minf", b"stbl", ENTRY), "media-encryption", "encv"),
        (b'#EXTM3U\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://x"\n', "media-encryption", "SAMPLE-AES"),
        (DASH, "media-encryption", "urn:uuid:edef8ba9"),
    ],
)  # fmt: skip
def test_protected_media_say_so(body, what, detail):
    assert findings(body) == [(what, detail)]


def test_media_without_protection_say_nothing():
    assert findings(b"#EXTM3U\n#EXT-X-KEY:METHOD=NONE\n") == []
    assert findings(b"<MPD><Period/></MPD>") == []


@pytest.mark.parametrize(
    "inner",
    [box(b"xml ", PACKET), box(b"brob", b"xml ", brotli.compress(PACKET))],
)
def test_jpeg_xl_holds_packets_plain_or_compressed(inner):
    body = b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ") + inner
    assert packets(body)[0][2] == PACKET


def test_compressed_box_is_bounded():
    start = b"\0\0\0\x0cJXL \r\n\x87\n"
    assert findings(start + box(b"brob", b"xml ", brotli.compress(bytes(MAX_PACKET + 1))))[0][0] == "over-budget"
    assert findings(start + box(b"brob", b"xml ", brotli.compress(PACKET)[:-4]))[0][0] == "broken"
    assert findings(start + box(b"brob", b"xml ", b"\xff\xff\xff"))[0][0] == "broken"
    assert packets(start + box(b"brob", b"Exif", b"?")) == []


def test_quicktime_keeps_its_packet_in_user_data():
    body = FILE_TYPE + box(b"moov", box(b"udta", box(b"XMP_", PACKET)))
    assert packets(body)[0][1:3] == ("XMP_", PACKET)


def test_vector_graphics_are_read_despite_their_usual_document_type():
    doctype = (
        b'<?xml version="1.0"?>\n<!-- a --><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/x.dtd">\n'
    )
    asset = read_asset(
        doctype + b"<svg xmlns='http://www.w3.org/2000/svg'><metadata>" + PACKET + b"</metadata></svg>", ""
    )
    assert asset.media_type == "image/svg+xml"
    assert b"<!DOCTYPE" not in asset.packets[0].data
    assert read_asset(doctype + b"<svg/>", "").packets == ()
    manifest = read_asset(b"<svg xmlns:c2pa='http://c2pa.org/manifest'><c2pa:manifest>QUJD</c2pa:manifest></svg>", "")
    assert manifest.packets[0].data == b"ABC"
    assert findings(b"<svg><c2pa:manifest>QUJ</c2pa:manifest></svg>") == [("broken", "a manifest that is no base64")]


def test_packets_outside_of_slots_are_looked_for():
    for body, media_type in (
        (picture("JPEG") + PACKET, ""),
        (b"8BPS\0\1" + PACKET, "image/vnd.adobe.photoshop"),
        (b"ID3" + PACKET, "audio/mpeg"),
    ):
        ((kind, _, data, issues),) = packets(body, media_type)
        assert (kind, data, issues) == ("xmp", PACKET, ("outside_slot",))
    store = struct.pack(">I", 60) + b"jumb" + struct.pack(">I", 30) + b"jumdc2pa" + bytes(44)
    assert packets(b"ID3...." + store, "audio/mpeg")[0][:2] == ("c2pa", "octet 7")


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"<html><svg></svg>", "text/html"),
        (b"<!DOCTYPE html><p>How to write %PDF- and <MPD> by hand", "text/html"),
        (b"<!-- GIF89a --><p>", "text/html"),
        (b"plain", "text/plain"),
        (b"", "text/html"),
        (b"PK\3\4zip", "application/zip"),
    ],
)
def test_texts_are_no_assets(body, media_type):
    assert read_asset(body, media_type) is None


def test_octets_decide_and_not_the_name():
    assert read_asset(picture("PNG"), "text/html").media_type == "image/png"
    assert read_asset(b"no picture", "image/png").media_type == ""


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xd8\xff" + b"\xff" * (16 << 20),
        b"GIF89a" + bytes(7) + b"!\xff" + b"\1a" * (8 << 20),
        b"RIFF\xff\xff\xff\xffWEBP" + b"abcd\0\0\0\0" * (2 << 20),
        FILE_TYPE + box(b"free") * (2 << 20),
        b"II*\0\x08\0\0\0" + struct.pack("<H", 65535) + b"\x4a\1\4\0\1\0\0\0\x0c\0\0\0" * 65535,
        b"<x:xmpmeta" * (1 << 20),
    ],
)
def test_large_hostile_file_is_done_soon(body):
    began = time.process_time()
    read_asset(body, "image/x")
    assert time.process_time() - began < 1.5


STARTS = [
    b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\xff\0\0\0WEBP", b"II*\0", b"MM\0+", b"<svg>",
    FILE_TYPE,
]  # fmt: skip


@given(st.binary(max_size=600), st.sampled_from(STARTS))
def test_no_octets_make_it_raise(data, start):
    read_asset(start + data, "image/x")


@given(
    st.sampled_from(MADE),
    st.lists(st.tuples(st.integers(0, 4000), st.binary(min_size=1, max_size=8)), max_size=6),
    st.integers(0, 5000),
)
def test_no_altered_file_makes_it_raise(name, changes, end):
    body = bytearray((ASSETS / name).read_bytes())
    for at, data in changes:
        body[at : at + len(data)] = data
    asset = read_asset(bytes(body[: len(body) - end]), "image/x")
    assert asset is None or all(packet.kind in Kind for packet in asset.packets)
