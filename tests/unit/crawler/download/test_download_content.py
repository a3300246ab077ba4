"""Content codings: decoded in any pieces, bounded while decoding, refused when broken."""

import contextlib
import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.download.content import STEP, Entity
from crawler.download.errors import TransferError
from crawler.download.limits import Limits

MIB = 1 << 20
PAGE = b"<html><body>" + bytes(range(256)) * 400 + b"</body></html>"


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
    "br": brotli.compress,
    "zstd": zstd.compress,
    "identity": bytes,
}
CODINGS = [name for name in PACKERS if name != "identity"]


def decode(
    data: bytes, *codings: str, max_bytes: int = 4 * MIB, truncate: bool = False, step: int = STEP, **limits: int
) -> Entity:
    entity = Entity(codings, max_bytes=max_bytes, truncate=truncate, limits=Limits(**limits), where="http://a.example")
    for start in range(0, len(data), step):
        entity.feed(data[start : start + step])
        if entity.truncated:
            break
    entity.finish()
    return entity


def fault(data: bytes, *codings: str, **options: int) -> str:
    with pytest.raises(TransferError) as caught:
        decode(data, *codings, **options)
    return caught.value.reason


@pytest.mark.parametrize("coding", PACKERS)
@pytest.mark.parametrize("step", [1, 1000, 1 << 30])
def test_coding_in_any_pieces_gives_the_entity(coding: str, step: int):
    page = PAGE if step > 1 else PAGE[:3000]
    assert decode(PACKERS[coding](page), coding, step=step).content() == page


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=3000), coding=st.sampled_from(sorted(PACKERS)), step=st.integers(1, 500))
def test_any_data_survives_any_coding(data: bytes, coding: str, step: int):
    assert decode(PACKERS[coding](data), coding, step=step).content() == data


@pytest.mark.parametrize("first", CODINGS)
@pytest.mark.parametrize("second", CODINGS)
def test_two_codings_are_removed_last_first(first: str, second: str):
    packed = PACKERS[second](PACKERS[first](PAGE))
    assert decode(packed, f"{first} , {second}").content() == PAGE
    assert decode(packed, first, second).content() == PAGE


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(b"one ") + gzip.compress(b"two"),
        gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two") + b"\0" * 512,
        gzip.compress(b"one ") + b"\0" * 3 + gzip.compress(b"two"),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_gzip_of_several_members_is_one_entity(packed: bytes, step: int):
    assert decode(packed, "gzip", step=step).content() == b"one two"


def test_zstd_of_several_frames_is_one_entity():
    assert decode(zstd.compress(b"one ") + zstd.compress(b"two"), "zstd", step=3).content() == b"one two"


@pytest.mark.parametrize("coding", CODINGS)
def test_empty_body_under_a_coding_is_empty(coding: str):
    assert decode(b"", coding).content() == b""


@pytest.mark.parametrize("coding", ["utf-8", "compress", "gzip, sdch", "gzip, gzip, gzip"])
def test_unknown_or_stacked_coding_is_an_encoding_error(coding: str):
    assert fault(b"hello", coding) == "encoding"


@pytest.mark.parametrize("coding", CODINGS)
def test_broken_coding_is_an_encoding_error(coding: str):
    packed = PACKERS[coding](PAGE)
    assert fault(b"<html>not compressed at all</html>", coding) == "encoding"
    assert fault(packed[:-5], coding) == "encoding"
    assert fault(packed[:1], coding) == "encoding"
    assert fault(packed + b"tail", coding) == "encoding"
    assert fault(packed + b"tail", coding, step=1) == "encoding"


def test_wrong_checksum_is_an_encoding_error():
    packed = bytearray(gzip.compress(PAGE))
    packed[-6] ^= 1
    assert fault(bytes(packed), "gzip") == "encoding"


@pytest.mark.fuzz
@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=100), coding=st.sampled_from(CODINGS), step=st.integers(1, 50))
def test_any_bytes_give_an_entity_or_a_transfer_error(data: bytes, coding: str, step: int):
    for start in (b"", PACKERS[coding](b"start of a page")[:-6]):
        with contextlib.suppress(TransferError):
            decode(start + data, coding, max_bytes=100_000, step=step)


def bomb(coding: str) -> bytes:
    """40 MB of zeros: 40 KB as gzip, some 60 bytes as brotli."""
    return PACKERS[coding](b"\0" * 40_000_000)


@pytest.fixture(scope="module")
def bombs() -> dict[str, bytes]:
    packed = {coding: bomb(coding) for coding in ("gzip", "deflate", "br", "zstd")}
    nested = gzip.compress(packed["gzip"], 9)
    return packed | {"gzip, gzip": nested, "zstd, br": brotli.compress(packed["zstd"])}


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "zstd, br"])
@pytest.mark.parametrize(("max_bytes", "floor", "reason"), [(8 * MIB, MIB, "inflation"), (MIB // 2, MIB, "too-large")])
def test_bomb_costs_no_more_than_its_cap(bombs: dict[str, bytes], coding: str, max_bytes: int, floor: int, reason: str):
    packed = bombs[coding]
    tracemalloc.start()
    try:
        assert fault(packed, coding, max_bytes=max_bytes, inflation_floor=floor, inflation=5) == reason
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < min(max_bytes, floor) * 1.2 + 10 * STEP


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "zstd, br"])
def test_bomb_where_cutting_is_allowed_is_cut(bombs: dict[str, bytes], coding: str):
    entity = decode(bombs[coding], coding, max_bytes=500_000, truncate=True)
    assert entity.truncated
    assert entity.content() == b"\0" * 500_000


def test_well_compressed_page_below_the_floor_is_no_bomb():
    page = b"<td></td>" * 100_000
    assert decode(gzip.compress(page), "gzip", inflation=5, inflation_floor=MIB).content() == page


@pytest.mark.parametrize("coding", PACKERS)
def test_size_exactly_at_the_bound_is_whole(coding: str):
    packed = PACKERS[coding](PAGE)
    entity = decode(packed, coding, max_bytes=len(PAGE), truncate=True)
    assert (entity.content(), entity.truncated) == (PAGE, False)
    assert fault(packed, coding, max_bytes=len(PAGE) - 1) == "too-large"
    assert decode(packed, coding, max_bytes=len(PAGE) - 1, truncate=True).content() == PAGE[:-1]


def test_output_left_in_the_decoder_when_all_input_is_taken_is_not_lost():
    assert decode(raw_deflate(b"\0" * 199_682), "deflate").content() == b"\0" * 199_682


def test_endless_empty_members_are_too_large():
    assert fault(gzip.compress(b"") * 10_000, "gzip", max_bytes=1000) == "too-large"


def test_zstd_window_beyond_the_content_codings_bound_is_an_encoding_error():
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.enable_long_distance_matching: 1}
    packer = zstd.ZstdCompressor(options=options)
    packed = packer.compress(b"x" * 1000) + packer.flush()
    assert fault(packed, "zstd") == "encoding"
