"""Sealed segments and tiles: smaller, the same log, and no trap for readers."""

import shutil
import subprocess

import pytest
import zstandard

from provenance import seal as sealing
from provenance import segments
from provenance.checkpoint import Verifier, open_note
from provenance.log import LogWriter
from provenance.seal import Tiles, seal
from provenance.segments import LogError, read_leaves, read_lines
from provenance.tree import leaf_hash, root_of
from provenance.verify import verify

SEGMENT = "seg-00000000.jsonl"


@pytest.fixture
def log(whole):
    return whole / "log"


def test_sealed_log_is_the_same_log(whole, log):
    before = (log / SEGMENT).read_bytes()
    root = verify(whole).root
    assert [path.name for path in seal(log)] == [SEGMENT + ".zst"]
    assert not (log / SEGMENT).exists()
    assert b"".join(read_lines(log / (SEGMENT + ".zst"))) == before
    report = verify(whole)
    assert report.clean
    assert report.root == root
    assert seal(log) == []


def test_zstd_itself_reads_a_sealed_segment(log):
    before = (log / SEGMENT).read_bytes()
    seal(log)
    if not shutil.which("zstd"):
        pytest.skip("no zstd command here")
    done = subprocess.run(["zstd", "-dc", log / (SEGMENT + ".zst")], check=True, capture_output=True)
    assert done.stdout == before


def test_writer_goes_on_in_a_new_segment_behind_a_sealed_one(whole, log, key, crawled):
    seal(log)
    crawled.log = LogWriter.open(log, "crawler.example.org/test", key)
    crawled.kept("https://example.org/later")
    crawled.log.sync()
    assert (log / "seg-00000001.jsonl").exists()
    crawled.log.close()
    assert [leaf.seq for leaf in read_leaves(log)] == list(range(11))
    assert not [found for found in verify(whole, ["L1"]).levels[0].differences if "signed" in found.what]


def test_frames_hold_256_lines_and_a_table_ends_the_file(tmp_path):
    lines = [b"line %d\n" % number for number in range(600)]
    octets = b"".join(segments.frames(iter(lines)))
    assert octets[-4:] == (0x8F92EAB1).to_bytes(4, "little")
    assert int.from_bytes(octets[-9:-5], "little") == 3
    first = int.from_bytes(octets[-9 - 24 : -9 - 20], "little")
    assert zstandard.ZstdDecompressor().decompress(octets[:first]) == b"".join(lines[:256])


def test_sealing_that_broke_off_is_begun_again(whole, log, key):
    (log / (SEGMENT + ".zst")).write_bytes(b"half")
    found = [one.what for one in verify(whole, ["L1"]).levels[0].differences]
    assert found == ["sealing broke off: the open segment lies beside it"]
    LogWriter.open(log, "crawler.example.org/test", key).close()
    assert verify(whole, ["L1"]).clean
    (log / (SEGMENT + ".zst")).write_bytes(b"half")
    seal(log)
    assert verify(whole, ["L1"]).clean


def test_torn_segment_is_not_sealed(log):
    with (log / SEGMENT).open("ab") as file:
        file.write(b'{"t":')
    with pytest.raises(LogError, match="not complete"):
        seal(log)
    assert (log / SEGMENT).exists()
    assert not list(log.glob("*.zst"))


def test_log_that_is_written_is_not_sealed(crawled):
    crawled.kept("https://example.org/a")
    with pytest.raises(LogError, match="another process"):
        seal(crawled.out / "log")
    crawled.log.close()


def test_full_segments_are_sealed_when_the_log_is_closed(tmp_path, key, entries):
    log = LogWriter.open(tmp_path / "log", "a/b", key, segment_lines=4)
    for seq in range(10):
        log.append(entries(seq))
    log.close()
    names = sorted(path.name for path in (tmp_path / "log").glob("seg-*"))
    assert names == [SEGMENT + ".zst", "seg-00000001.jsonl.zst", "seg-00000002.jsonl"]
    assert len(list(read_leaves(tmp_path / "log"))) == 10


@pytest.mark.parametrize("place", [0, 0.3, 0.6, 0.95])
def test_damaged_frame_is_found(whole, log, place):
    seal(log)
    path = log / (SEGMENT + ".zst")
    octets = bytearray(path.read_bytes())
    octets[int(place * len(octets))] ^= 0xFF
    path.write_bytes(octets)
    assert not verify(whole, ["L1"]).clean or place > 0.9  # the table is no part of the log


def test_bomb_in_a_sealed_segment_is_not_inflated(log):
    bomb = zstandard.ZstdCompressor(level=19).compress(b"\n" * (64 * 1024 * 1024))
    path = log / (SEGMENT + ".zst")
    path.write_bytes(bomb)
    with pytest.raises(LogError, match="inflates to more"):
        for _ in read_lines(path):
            pass


def test_window_larger_than_ours_is_refused(log):
    parameters = zstandard.ZstdCompressionParameters(window_log=27, compression_level=1)
    path = log / (SEGMENT + ".zst")
    writer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    path.write_bytes(writer.compress(b"x" * 1000) + writer.flush())
    with pytest.raises(LogError, match="damaged"):
        list(read_lines(path))


# -- tiles -------------------------------------------------------------------------------------------------------------


def test_tiles_hold_the_tree():
    leaves = [leaf_hash(b"%d" % number) for number in range(256 * 256 + 300)]
    found = {}
    tiles = Tiles(found.__setitem__)
    for hashed in leaves:
        tiles.add(hashed)
    tiles.finish()
    assert found["tile/0/000"] == b"".join(leaves[:256])
    assert found["tile/0/257.p/44"] == b"".join(leaves[-44:])
    assert found["tile/1/000"][:32] == root_of(leaves[:256])
    assert found["tile/1/001.p/1"] == root_of(leaves[65536 : 65536 + 256])
    assert found["tile/2/000.p/1"] == root_of(leaves[:65536])
    assert sealing._number(1234067) == "x001/x234/067"


def test_sealed_log_has_tiles_for_its_size_and_planted_ones_are_found(whole, log):
    seal(log)
    head = open_note((log / "checkpoint").read_bytes(), Verifier.parse((log / "log.vkey").read_text().strip()))
    tile = log / f"tile/0/000.p/{head.size}"
    hashes = tile.read_bytes()
    assert root_of([hashes[at : at + 32] for at in range(0, len(hashes), 32)]) == head.root
    tile.write_bytes(hashes[:-1] + b"\0")
    assert [one.what for one in verify(whole, ["L1"]).levels[0].differences] == ["not a tile of this log"]
