"""What files say of themselves, from octets to the decision: tables, precedence, profiles, locks, new properties."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservations.model import Answer, Category, Decision, Facts, Head, Header, Wants
from reservations.registry import Registry

ASSETS = Path(__file__).resolve().parents[3] / "crawler/demo/assets"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"


def packet(inside, **spaces):
    declared = "".join(f' xmlns:{prefix}="{space}"' for prefix, space in spaces.items())
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"{declared}>'
        f'<rdf:Description rdf:about="">{inside}</rdf:Description></rdf:RDF></x:xmpmeta>'
    ).encode()


def svg(metadata):
    return b"<svg xmlns='http://www.w3.org/2000/svg'><metadata>" + metadata + b"</metadata></svg>"


def pdf(metadata):
    return (
        b"%%PDF-1.7\n1 0 obj << /Type /Catalog /Metadata 2 0 R >> endobj\n"
        b"2 0 obj << /Length %d >> stream\n%s\nendstream endobj\ntrailer << /Root 1 0 R >>"
    ) % (len(metadata), metadata)


@pytest.fixture(scope="module")
def visit(registry, policy):
    """The decision on a file, every reservation file of its origin being absent."""

    def visit(
        body, media_type="image/jpeg", *fields, profile="standard", registry=registry, tdmrep=None, purposes=None
    ):
        documents = {document.path: Answer(url="", status=404) for document in registry.documents}
        if tdmrep is not None:
            documents["/.well-known/tdmrep.json"] = Answer(url="", status=200, body=tdmrep)
        headers = tuple(Header(*field) for field in (("Content-Type", media_type), *fields))
        facts = Facts(
            url="https://site.example/a",
            documents=documents,
            head=Head(status=200, headers=headers),
            body=body,
            attempt=3,
        )
        asked = msgspec.structs.replace(
            policy, profile=profile, media_types=("*/*",), purposes=purposes or policy.purposes
        )
        while isinstance(decision := registry.examine(facts, asked, "ExampleBot"), Wants):
            facts = msgspec.structs.replace(
                facts, documents={**facts.documents, decision.key: Answer(url="", status=404)}
            )
        assert isinstance(decision, Decision), decision
        return decision

    return visit


def outcome(decision):
    return f"{decision.verdict} {decision.reason}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain.jpg", "kept policy.open"),
        ("allowed.jpg", "kept policy.open"),
        ("granted.webp", "kept policy.open"),
        ("open.pdf", "kept policy.open"),
        ("constrained.jpg", "discarded plus.constrained"),
        ("refused.jpg", "discarded plus.data-mining"),
        ("refused.mp4", "discarded plus.data-mining"),
        ("credential.webp", "discarded cawg.training-mining"),
        ("collage.webp", "discarded cawg.training-mining"),
        ("remote.jpg", "held cawg.remote-manifest"),
        ("refused.pdf", "discarded tdmrep.reserved"),
        ("packed.pdf", "discarded tdmrep.reserved"),
        ("refused2.epub", "discarded tdmrep.reserved"),
        ("refused3.epub", "discarded tdmrep.reserved"),
        ("locked.pdf", "discarded access.protected-media"),
        ("locked.epub", "discarded access.protected-media"),
    ],
)
@pytest.mark.parametrize("media_type", ["application/octet-stream", "text/html", ""])
def test_file_is_read_before_it_is_kept_whatever_it_is_called(visit, name, expected, media_type):
    assert outcome(visit((ASSETS / name).read_bytes(), media_type)) == expected


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (svg(packet("<broken>")), "files.unreadable"),
        (svg(packet("") * 3)[:-40], "files.unreadable"),
        (b"\xff\xd8\xff\xe1", "files.unreadable"),
        ((ASSETS / "remote.jpg").read_bytes(), "cawg.remote-manifest"),
    ],
)
@pytest.mark.parametrize(
    ("profile", "expected"), [("strict", "discarded"), ("standard", "held"), ("letter", "kept policy.open")]
)
def test_what_cannot_be_read_follows_its_row_of_the_table(visit, body, reason, profile, expected):
    decision = visit(body, profile=profile)
    assert outcome(decision) == (expected if profile == "letter" else f"{expected} {reason}")
    assert reason in {signal.reason for signal in decision.signals}


@pytest.mark.parametrize(
    ("carriers", "expected"),
    [
        ({"body": "1"}, "deny"),
        ({"body": "0"}, "allow"),
        ({"head": "1", "body": "0"}, "allow"),
        ({"head": "0", "body": "1"}, "deny"),
        ({"file": "1", "body": "0"}, "allow"),
        ({"head": "1", "body": "7"}, "deny"),
        ({"body": '"1"'}, "deny"),
    ],
)
def test_later_carrier_overrides_as_tdmrep_says(visit, registry, policy, carriers, expected):
    body = pdf(packet(f"<t:reservation>{carriers['body']}</t:reservation>", t="http://www.w3.org/ns/tdmrep/"))
    fields = [("tdm-reservation", carriers["head"])] if "head" in carriers else []
    rules = f'[{{"location": "/", "tdm-reservation": {carriers["file"]}}}]'.encode() if "file" in carriers else None
    decision = visit(body, "application/pdf", *fields, tdmrep=rules, purposes=(Category.ARCHIVE,))
    assert decision.effective[Category.TDM] == expected


def test_tdmrep_in_a_picture_refuses_and_never_permits(visit):
    space = "http://www.w3.org/ns/tdmrep/"
    refused = visit(svg(packet("<t:reservation>1</t:reservation>", t=space)), "image/svg+xml")
    assert outcome(refused) == "discarded tdmrep.reserved"
    assert refused.signals[0].issues == ("nonstandard_carrier",)
    permitted = visit(svg(packet("<t:reservation>0</t:reservation>", t=space)), "image/svg+xml")
    assert permitted.effective == {}


PLUS = {"p": "http://ns.useplus.org/ldf/xmp/1.0/", "e": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"}
VOCABULARY = "http://ns.useplus.org/ldf/vocab/"


@pytest.mark.parametrize(
    ("statement", "strict", "effective"),
    [
        ("<p:DataMining>DMI-PROHIBITED</p:DataMining>", "deny", "deny"),
        ("<p:DataMining>dmi-prohibited</p:DataMining>", None, "deny"),
        (f"<p:DataMining>{VOCABULARY.upper()}DMI-PROHIBITED</p:DataMining>", None, "deny"),
        (f"<p:DataMining>{VOCABULARY.replace('http:', 'https:')}DMI-PROHIBITED</p:DataMining>", "deny", "deny"),
        ("<p:DataMining>DMI-PROHIBITED-BY-THE-MOON</p:DataMining>", None, "deny"),
        ("<p:DataMining>DMI-PROHIBITED-SEECONSTRAINT</p:DataMining>", "conditional", "conditional"),
        ("<p:DataMining>DMI-PROHIBITED-SEELINKEDRIGHTSEXPR</p:DataMining>", "conditional", "conditional"),
        ("<p:DataMining>dmi-prohibited-seeembeddedrightsexpr</p:DataMining>", None, "conditional"),
        ("<p:DataMining>DMI-ALLOWED</p:DataMining>", "allow", "allow"),
        ("<p:DataMining>dmi-allowed</p:DataMining>", None, None),
        (f"<p:DataMining>{VOCABULARY.upper()}DMI-ALLOWED</p:DataMining>", None, None),
        ("<p:DataMining>DMI-UNSPECIFIED</p:DataMining>", None, None),
        ("<p:DataMining/>", None, None),
        ("<e:DMI-PROHIBITED>x</e:DMI-PROHIBITED>", None, "deny"),
        ("<e:DataMining>DMI-PROHIBITED-AIMLTRAINING</e:DataMining>", None, "deny"),
        ("<e:DMI-ALLOWED>x</e:DMI-ALLOWED>", None, None),
        ("<e:PersonInImage>DMI-ALLOWED</e:PersonInImage>", None, None),
    ],
)
def test_each_code_of_plus_means_what_its_table_says(visit, statement, strict, effective):
    decision = visit(svg(packet(statement, **PLUS)), "image/svg+xml", purposes=(Category.ARCHIVE,))
    assert decision.strict.get(Category.GENAI_TRAIN) == strict
    assert decision.effective.get(Category.GENAI_TRAIN) == effective


def test_ordinary_properties_are_no_statements(visit):
    decision = visit(svg(packet("<e:PersonInImage>Ada</e:PersonInImage><p:ImageSupplier/>", **PLUS)), "image/svg+xml")
    assert decision.signals == ()
    assert decision.consulted["body"] == "image/svg+xml xmp"


def test_packet_outside_of_its_slot_only_refuses(visit):
    plain = (ASSETS / "plain.jpg").read_bytes()
    for code, expected in (("DMI-PROHIBITED", "deny"), ("DMI-ALLOWED", None)):
        decision = visit(plain + packet(f"<p:DataMining>{code}</p:DataMining>", **PLUS), purposes=(Category.ARCHIVE,))
        assert decision.effective.get(Category.GENAI_TRAIN) == expected
        assert "outside_slot" in decision.signals[0].issues
    assert visit(plain + b"<x:xmpmeta broken").signals == ()


MADE_UP = """
id = "made-up"
name = "Made up"
steward = "us"
version = "1"
date = "2026"
status = "test"
eu_status = "none"
reviewed = "2026-11-22"
order = 90
sources = []
[[reasons]]
code = "made-up.no"
text = "Nobody may train with it."
[[file_properties]]
namespaces = ["https://made-up.example/ns#"]
name = "training"
label = "training"
epub_prefix = "mu"
[[assertions]]
names = ["example.made-up"]
wrapper = "rules"
value = "verdict"
[[labels]]
name = "training"
reason = "made-up.no"
[[labels.values]]
value = "no"
strict = { genai-train = "deny" }
effective = { genai-train = "deny" }
"""


def test_new_property_needs_its_table_only(visit, protocol_texts):
    registry = Registry.load({**protocol_texts, "made-up.toml": MADE_UP})
    body = svg(packet("<m:training>no</m:training>", m="https://made-up.example/ns#"))
    assert outcome(visit(body, registry=registry)) == "discarded made-up.no"
    assert outcome(visit(body)) == "kept policy.open"


ONIX = "<ONIXMessage><Product>{}</Product></ONIXMessage>"
CONSTRAINT = "<EpubUsageConstraint><EpubUsageType>{}</EpubUsageType>{}</EpubUsageConstraint>"


def constraint(kind, status=None):
    return ONIX.format(
        CONSTRAINT.format(kind, f"<EpubUsageStatus>{status}</EpubUsageStatus>" if status else "")
    ).encode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (constraint("11", "03"), "discarded onix.tdm"),
        (constraint("11", "02"), "discarded onix.tdm"),
        (constraint("11", "77"), "discarded onix.tdm"),
        (constraint("11"), "discarded onix.tdm"),
        (constraint("11", "01"), "kept policy.open"),
        (constraint("00", "01"), "kept policy.open"),
        (constraint("05", "03"), "kept policy.open"),
        (ONIX.format("").encode(), "kept policy.open"),
        (constraint("11", "01")[:-20], "held files.unreadable"),
        (b'<!DOCTYPE ONIXMessage [<!ENTITY a "03">]>' + constraint("11", "&a;"), "held files.unreadable"),
        (b"<rss>" + constraint("11", "01")[14:], "kept policy.open"),
    ],
)
def test_records_of_books_are_read(visit, body, expected):
    assert outcome(visit(body, "application/xml")) == expected


def test_record_that_allows_and_one_that_prohibits_prohibit(visit):
    body = constraint("11", "01").replace(b"</Product>", b"</Product>" + constraint("11", "03")[13:-14])
    assert outcome(visit(body, "text/xml")) == "discarded onix.tdm"


def test_page_that_calls_itself_a_picture_is_read_as_a_page(visit):
    body = b'<!DOCTYPE html><html><head><meta name="robots" content="noai"></head></html>'
    decision = visit(body, "image/jpeg")
    assert outcome(decision) == "discarded page-robots.noai"


def test_link_to_a_manifest_elsewhere_is_one_too(visit):
    plain = (ASSETS / "plain.jpg").read_bytes()
    decision = visit(plain, "image/jpeg", ("Link", '</a.c2pa>; rel="c2pa-manifest"'))
    assert (outcome(decision), decision.gate) == ("held cawg.remote-manifest", "body")
    page = b'<!DOCTYPE html><html><head><link rel="c2pa-manifest" href="/a.c2pa"></head></html>'
    assert outcome(visit(page, "text/html")) == "held cawg.remote-manifest"


@given(
    st.sampled_from(["DMI-ALLOWED", "DMI-UNSPECIFIED", "DMI-PROHIBITED-GENAIMLTRAINING", "DMI-PROHIBITED", "x"]),
    st.sampled_from(["DMI-PROHIBITED", "dmi-prohibited-x", "DMI-PROHIBITED-SEECONSTRAINT"]),
)
def test_refusal_added_beside_never_opens(visit, code, refusal):
    one, other = (f"<p:DataMining>{item}</p:DataMining>" for item in (code, refusal))
    for inside in (one + other, other + one):
        assert visit(svg(packet(inside, **PLUS)), "image/svg+xml").verdict == "discarded"
        assert visit(svg(packet(one, **PLUS) + packet(other, **PLUS)), "image/svg+xml").verdict == "discarded"


def test_protected_playlist_is_refused(visit):
    body = b'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="k"\n'
    assert outcome(visit(body, "application/vnd.apple.mpegurl")) == "discarded access.protected-media"


def test_obfuscated_fonts_lock_nothing(visit):
    file = io.BytesIO((ASSETS / "refused3.epub").read_bytes())
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(
            "META-INF/encryption.xml",
            '<e:encryption xmlns:e="u"><e:EncryptedData><e:EncryptionMethod Algorithm="http://ns.adobe.com/pdf/enc#RC"/>'
            "</e:EncryptedData></e:encryption>",
        )
    decision = visit(file.getvalue(), "application/epub+zip")
    assert outcome(decision) == "discarded tdmrep.reserved"
    assert {signal.reason for signal in decision.signals} == {"tdmrep.reserved"}


@given(
    st.binary(max_size=300),
    st.sampled_from(["image/png", "application/pdf", "application/epub+zip", "text/xml", "video/mp4"]),
)
def test_no_octets_keep_a_decision_from_being_made(visit, body, media_type):
    assert isinstance(visit(body, media_type), Decision)


@given(
    st.sampled_from(sorted(path.name for path in ASSETS.iterdir())),
    st.integers(0, 5000),
    st.binary(min_size=1, max_size=6),
)
def test_damaged_file_gets_a_verdict_and_stricter_profiles_keep_no_more(visit, name, at, data):
    body = bytearray((ASSETS / name).read_bytes())
    body[at : at + len(data)] = data
    for altered in (bytes(body), bytes(body[: at + 1])):
        kept = [visit(altered, profile=profile).verdict == "kept" for profile in ("strict", "standard", "letter")]
        assert kept == sorted(kept)
