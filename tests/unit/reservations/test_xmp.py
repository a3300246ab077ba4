"""Properties in XMP packets: however they are written, and whatever the packet is filled with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.readers.xmp import Property, find_packets, read_elements, read_properties

NS = "http://ns.useplus.org/ldf/xmp/1.0/"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"


def packet(inside, more=""):
    return (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF xmlns:rdf="{RDF}" xmlns:p="{NS}"{more}>{inside}</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )


def description(inside="", attributes=""):
    return packet(f'<rdf:Description rdf:about=""{attributes}>{inside}</rdf:Description>')


def values(text, encoding="utf-8"):
    found, fault = read_properties(text.encode(encoding) if isinstance(text, str) else text, {NS})
    assert fault is None, fault.detail
    return [(item.name, item.value, item.sound) for item in found]


NO = ("DataMining", "NO", True)


@pytest.mark.parametrize(
    "text",
    [
        description(attributes=' p:DataMining="NO"'),
        description("<p:DataMining>NO</p:DataMining>"),
        description("<p:DataMining> NO\n </p:DataMining>"),
        description("<p:DataMining>N<!-- not this -->O</p:DataMining>"),
        description("<p:DataMining><![CDATA[NO]]></p:DataMining>"),
        description('<p:DataMining rdf:resource="NO"/>'),
        description("<p:DataMining><rdf:Alt><rdf:li xml:lang='x-default'>NO</rdf:li></rdf:Alt></p:DataMining>"),
        description("<p:DataMining><rdf:Description><rdf:value>NO</rdf:value></rdf:Description></p:DataMining>"),
        description("<p:DataMining rdf:parseType='Resource'><rdf:value>NO</rdf:value></p:DataMining>"),
        description('<plus:DataMining xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/">NO</plus:DataMining>'),
        description('<DataMining xmlns="http://ns.useplus.org/ldf/xmp/1.0/">NO</DataMining>'),
        description("<p:DataMining>NO</p:DataMining>") + "<trailing>" + "\0" * 40,
    ],
)
def test_property_is_found_however_it_is_written(text):
    assert values(text) == [NO]


def test_every_item_of_a_container_is_a_value():
    text = description("<p:DataMining><rdf:Bag><rdf:li>A</rdf:li><rdf:li>NO</rdf:li></rdf:Bag></p:DataMining>")
    assert values(text) == [("DataMining", "A", True), NO]


def test_namespace_counts_and_not_the_prefix():
    foreign = '<rdf:Description xmlns:p="http://other.example/" p:DataMining="NO"/>'
    assert values(packet(foreign)) == []


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_encoding_hides_nothing(encoding):
    assert values(description(attributes=' p:DataMining="NO"'), encoding) == [NO]


def test_what_speaks_of_a_part_is_not_sound():
    nested = "<p:Parts><rdf:Description><p:DataMining>YES</p:DataMining></rdf:Description></p:Parts>"
    assert ("DataMining", "YES", False) in values(description(nested))
    attribute = '<x:Parts xmlns:x="urn:x"><rdf:Description p:DataMining="YES"/></x:Parts>'
    assert values(description(attribute)) == [("DataMining", "YES", False)]


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE r [<!ENTITY a "NO">]>' + description("<p:DataMining>&a;</p:DataMining>"),
        '<!DOCTYPE r SYSTEM "http://evil.example/x.dtd">' + description("<p:DataMining>NO</p:DataMining>"),
    ],
)
def test_document_type_is_refused(text):
    found, fault = read_properties(text.encode(), {NS})
    assert found == []
    assert fault.what == "broken"


def test_broken_packet_is_read_as_far_as_it_goes_and_only_for_refusals():
    text = description("<p:DataMining>NO</p:DataMining>").replace("</rdf:Description>", "")
    found, fault = read_properties(text.encode(), {NS})
    assert found == [Property(NS, "DataMining", "NO", sound=False)]
    assert fault.detail == "not well-formed"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (description("<a/>" * 200_001 + f"<!-- {NS} -->"), "over-budget"),
        (description("<p:DataMining>NO</p:DataMining>" * 2001), "over-budget"),
        (description("<a>" * 2000 + "</a>" * 2000), "broken"),
    ],
)
def test_packet_out_of_bounds_is_said_to_be(text, what):
    found, fault = read_properties(text.encode(), {NS})
    assert fault.what == what
    assert not any(item.sound for item in found)


def test_values_are_cut():
    assert len(values(description(f"<p:DataMining>{'x' * 9000}</p:DataMining>"))[0][1]) == 4096


def test_elements_of_a_namespace_are_handed_on_whole():
    text = packet('<rdf:Description><p:content url=""><p:license/></p:content></rdf:Description>')
    (element,) = read_elements(text.encode(), NS)
    assert element.startswith(b"<p:content xmlns:")
    assert b"<p:license/></p:content>" in element
    assert read_elements(text.encode(), "urn:other") == []
    assert read_elements(b"<!DOCTYPE x>" + text.encode(), NS) == []
    assert read_elements(text.encode()[:-120], NS) == []


def test_packets_are_found_anywhere():
    one = '<x:xmpmeta xmlns:x="adobe:ns:meta/">a</x:xmpmeta>'
    body = b"\x89" + one.encode() + b"--" + one.encode("utf-16-le") + b"<x:xmpmeta open"
    assert [at for at, _ in find_packets(body)] == [1, body.index(b"<x:xmpmeta open"), body.index(b"<\0x\0:\0")]


@given(st.binary(max_size=400))
def test_no_octets_make_it_raise(data):
    read_properties(data, {NS})
    read_elements(data, NS)
    list(find_packets(data))


@given(st.text(st.sampled_from(list("<>/=\"' ap:xrdfRDF&;!-[]\x00")), max_size=200))
def test_no_markup_makes_it_raise(text):
    read_properties(description(text).encode(), {NS})
    read_elements(description(text).encode(), NS)
