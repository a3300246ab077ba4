"""Entries as lines: harmless whatever a page said, never too long, read back as they were."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.entry import LoggedSignal, Pointer, new_nonce, timestamp
from provenance.lines import MAX_LINE_BYTES, from_line, to_line, to_text
from reservations.model import Category, Signal, Value

HOSTILE = '\x00\x1b[2J\u2028\u2029\x85\u202e\x7f"\\/é\U0001f600</script>\r\n'
any_text = st.text(st.characters(), max_size=40)  # lone surrogates too


def signal(**fields):
    return LoggedSignal(
        **({"p": "tdmrep", "reason": "tdmrep.reserved", "carrier": "http_field", "src": "head"} | fields)
    )


def test_entry_is_read_back_as_it_was(entries):
    pointer = Pointer(f="warc/x.warc.gz", o=1, l=2, id="urn:uuid:1", type="response", d="sha256:0")
    entry = entries(7, signals=(signal(strict={Category.TDM: Value.DENY}, ev=3),), warc=(pointer,), consulted={"/a": 3})
    assert from_line(to_line(entry)) == entry


def test_hostile_text_is_printable_ascii_and_read_back(entries):
    entry = entries(1, signals=(signal(rule=HOSTILE),), target="https://example.org/" + HOSTILE)
    line = to_line(entry)
    assert line.isascii()
    assert line.decode().isprintable()
    assert from_line(line) == entry


@given(url=any_text, rule=any_text)
def test_any_text_at_all_makes_a_line(entries, url, rule):
    line = to_line(entries(1, url=url, signals=(signal(rule=rule),)))
    assert line.decode("ascii").isprintable()
    assert json.loads(line)["seq"] == 1
    from_line(line)


def test_too_many_signals_are_counted_and_first_are_kept(entries):
    signals = tuple(signal(rule=f"rule {index} " + "x" * 240) for index in range(5_000))
    line = to_line(entries(1, signals=signals))
    entry = from_line(line)
    assert len(line) <= MAX_LINE_BYTES
    assert entry.cut["signals"] == 5_000 - len(entry.signals)
    assert entry.signals[0].rule.startswith("rule 0 ")


def test_too_long_url_keeps_its_beginning_and_its_digest(entries):
    urls = [f"https://example.org/{'x' * 100_000}{index}" for index in range(2)]
    found = [from_line(to_line(entries(1, url=url))) for url in urls]
    assert all(entry.url.startswith("https://example.org/xxx") for entry in found)
    assert all(entry.cut == {"url": 0} for entry in found)
    assert found[0].url != found[1].url


def test_pointers_are_never_cut(entries):
    pointers = tuple(
        Pointer(f="warc/x.warc.gz", o=index, l=2, id=f"urn:uuid:{index}", type="response", d="sha256:" + "0" * 64)
        for index in range(20)
    )
    entry = from_line(to_line(entries(1, warc=pointers, target="\u202e" * 1_000_000)))
    assert entry.warc == pointers


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(0, 300),
    rule=st.integers(0, 3_000),
    url=st.integers(0, 70_000),
    char=st.sampled_from('a\U0001f600\x00\ud800"'),
)
def test_line_of_any_size_fits(entries, count, rule, url, char):
    entry = entries(1, url=char * url, signals=tuple(signal(rule=char * rule, loc=str(i)) for i in range(count)))
    line = to_line(entry)
    assert len(line) <= MAX_LINE_BYTES
    from_line(line)


def test_entry_that_fits_is_not_cut(entries):
    signals = tuple(signal(rule="x" * 256) for _ in range(100))
    assert not from_line(to_line(entries(1, signals=signals))).cut


def test_no_fraction_can_stand_in_an_entry(entries):
    with pytest.raises(msgspec.ValidationError):
        from_line(to_line(entries(1)).replace(b'"lease":1', b'"lease":1.5'))


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]", b'{"t":"other","v":1}', b'{"t":"decision"}', b"\xff", b"{" * 10_000]
)
def test_line_that_is_no_entry_is_refused(line):
    with pytest.raises(ValueError, match=r".") as raised:
        from_line(line)
    assert isinstance(raised.value, ValueError)


def test_search_text_is_how_the_line_spells_it(entries):
    url = "https://example.org/é?\u202e"
    assert b'"url":' + to_text(url) in to_line(entries(1, url=url))


def test_signal_of_the_core_survives_the_log():
    core = Signal(
        protocol="tdmrep",
        reason="tdmrep.reserved",
        carrier="http_field",
        source="head",
        locator="tdm-reservation",
        excerpt="1",
        strict={Category.TDM: Value.DENY},
        effective={Category.TDM: Value.DENY},
        vendor={Category.SEARCH: Value.DENY},
        addressed_to="us",
        issues=("case",),
        conditions=("https://example.org/policy",),
    )
    assert LoggedSignal.of(core, ev=4).signal() == core


def test_nonces_have_128_bits_and_differ():
    nonces = {new_nonce() for _ in range(100)}
    assert len(nonces) == 100
    assert {len(nonce) for nonce in nonces} == {22}


@pytest.mark.parametrize(
    ("ms", "text"), [(0, "1970-01-01T00:00:00.000Z"), (1_795_420_800_007, "2026-11-23T08:00:00.007Z")]
)
def test_time_is_written_with_milliseconds(ms, text):
    assert timestamp(ms) == text
