"""Makes the files of `crawler/demo/assets` with tools that others wrote, so that nobody reads only what we wrote.

Needs exiftool, qpdf, pandoc and zip on the path, and Pillow, pikepdf and c2pa-python. Run by hand when a file is to
change: `python tests/make_demo_assets.py`. The pictures are plain squares, the book is one sentence.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import c2pa
import pikepdf
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

OUT = Path(__file__).resolve().parents[1] / "crawler/demo/assets"
VOCABULARY = "http://ns.useplus.org/ldf/vocab/"
RSL = """<rsl xmlns="https://rslstandard.org/rsl"><content url=""><license><prohibits type="usage">ai-all</prohibits>
</license></content></rsl>"""
XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<r:Description r:about="">{}</r:Description></r:RDF></x:xmpmeta>"""
EXIFTOOL = r"""
%Image::ExifTool::UserDefined = (
  'Image::ExifTool::PLUS::XMP' => { DataMining => { } },
  'Image::ExifTool::XMP::Main' => { tdm => { SubDirectory => { TagTable => 'Image::ExifTool::UserDefined::tdm' } } });
%Image::ExifTool::UserDefined::tdm = (
  GROUPS => { 0 => 'XMP', 1 => 'XMP-tdm', 2 => 'Document' }, NAMESPACE => { 'tdm' => 'http://www.w3.org/ns/tdmrep/' },
  WRITABLE => 'string', reservation => { }, policy => { });
1;
"""


def run(*words: str | Path, cwd: Path | None = None) -> None:
    subprocess.run(list(map(str, words)), check=True, cwd=cwd)


def picture(name: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (30, 90, 160)).save(file, name)
    return file.getvalue()


def exiftool(folder: Path, target: Path, *tags: str) -> None:
    config = folder / "exiftool.cfg"
    config.write_text(EXIFTOOL)
    run("exiftool", "-config", config, "-q", "-overwrite_original", "-z", *tags, target)


def pictures(folder: Path) -> None:
    files = {
        "refused.jpg": (picture("JPEG"), "DMI-PROHIBITED-AIMLTRAINING"),
        "refused.png": (picture("PNG"), "DMI-PROHIBITED"),
        "refused.webp": (picture("WEBP"), "DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING"),
        "refused.gif": (picture("GIF"), "DMI-PROHIBITED-GENAIMLTRAINING"),
        "refused.tif": (picture("TIFF"), "DMI-PROHIBITED"),
        "refused.avif": (picture("AVIF"), "DMI-PROHIBITED"),
        "constrained.jpg": (picture("JPEG"), "DMI-PROHIBITED-SEECONSTRAINT"),
        "allowed.jpg": (picture("JPEG"), "DMI-ALLOWED"),
        "refused.mp4": (film(), "DMI-PROHIBITED"),
    }
    for name, (content, code) in files.items():
        (OUT / name).write_bytes(content)
        exiftool(folder, OUT / name, f"-XMP-plus:DataMining={VOCABULARY}{code}")
    (OUT / "plain.jpg").write_bytes(picture("JPEG"))
    declared = io.BytesIO()
    Image.new("RGB", (8, 8), (160, 90, 30)).save(declared, "JPEG")
    (OUT / "declared.jpg").write_bytes(declared.getvalue())
    licensed = io.BytesIO()
    Image.new("RGB", (8, 8), (30, 90, 160)).save(licensed, "JPEG", xmp=XMP.format(RSL).encode())
    (OUT / "rsl.jpg").write_bytes(licensed.getvalue())


def film() -> bytes:
    """The least that exiftool takes for an MP4 file."""

    def box(kind: bytes, content: bytes) -> bytes:
        return (8 + len(content)).to_bytes(4, "big") + kind + content

    return box(b"ftyp", b"isom\0\0\2\0isomiso2") + box(b"moov", box(b"mvhd", bytes(100))) + box(b"mdat", b"none")


def documents(folder: Path) -> None:
    for name, value in (("refused.pdf", "1"), ("open.pdf", "0")):
        pdf = pikepdf.new()
        pdf.add_blank_page(page_size=(72, 72))
        pdf.save(OUT / name, deterministic_id=True)
        exiftool(folder, OUT / name, f"-XMP-tdm:reservation={value}")
    run(
        "qpdf",
        "--object-streams=generate",
        "--linearize",
        "--deterministic-id",
        OUT / "refused.pdf",
        OUT / "packed.pdf",
    )
    run("qpdf", "--encrypt", "reader", "owner", "256", "--", OUT / "refused.pdf", OUT / "locked.pdf")


def books(folder: Path) -> None:
    about = "title: A bench\nlang: en\nidentifier:\n- scheme: ISBN-13\n  text: 978-0-306-40615-7\n"
    (folder / "book.md").write_text(f"---\n{about}---\n\nMost of the lighthouse is stairs.\n")
    run("pandoc", "-t", "epub3", "-o", OUT / "numbered.epub", folder / "book.md", cwd=folder)
    (folder / "book.md").write_text("---\ntitle: A bench\nlang: en\n---\n\nMost of the lighthouse is stairs.\n")
    two = '<meta name="tdm:reservation" content="1"/>'
    three = '<meta property="t:reservation">1</meta>'
    for name, writer, meta in (
        ("refused2.epub", "epub2", two),
        ("rsl.epub", "epub3", RSL),
        ("refused3.epub", "epub3", three),
    ):
        book = folder / name
        run("pandoc", "-t", writer, "-o", book, folder / "book.md", cwd=folder)
        inside = folder / f"{name}-files"
        shutil.unpack_archive(book, inside, "zip")
        package = inside / "EPUB/content.opf"
        text = package.read_text().replace("</metadata>", meta + "</metadata>")
        package.write_text(text.replace(' prefix="', ' prefix="t: http://www.w3.org/ns/tdmrep# ', 1))
        rezip(inside, OUT / name)
    (inside / "META-INF/license.lcpl").write_text("{}")
    rezip(inside, OUT / "locked.epub")


def rezip(folder: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    run("zip", "-q", "-X", "-0", target, "mimetype", cwd=folder)
    run("zip", "-q", "-X", "-9", "-r", target, ".", "-x", "mimetype", cwd=folder)


def signer() -> c2pa.Signer:
    """A signer with a certificate that nobody trusts."""
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [
        x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Demo"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
        )
        for name in ("authority", "signer")
    ]
    chain = []
    for number in (1, 0):
        authority = number == 0
        usage = dict.fromkeys(
            (
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        builder = (
            x509.CertificateBuilder(names[0], names[number], keys[number].public_key(), number + 1)
            .not_valid_before(start)
            .not_valid_after(start + dt.timedelta(days=3650))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(
                x509.KeyUsage(digital_signature=not authority, key_cert_sign=authority, crl_sign=authority, **usage),
                True,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(keys[number].public_key()), False)
        )
        if not authority:
            builder = builder.add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), False
            ).add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), True)
        chain.append(builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    private = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return c2pa.Signer.from_info(
        c2pa.C2paSignerInfo(alg=b"es256", sign_cert=b"".join(chain), private_key=private, ta_url=None)
    )


def credential(
    content: bytes,
    media_type: str,
    entries: dict[str, dict[str, str]] | None,
    *,
    label: str = "cawg.training-mining",
    remote: str = "",
    made_of: bytes = b"",
) -> bytes:
    """A file with a signed content credential, made of nothing or of another file."""
    assertions = [{"label": label, "data": {"entries": entries}}] if entries else []
    manifest = {"claim_generator_info": [{"name": "demo", "version": "1"}], "title": "demo", "assertions": assertions}
    builder = c2pa.Builder(json.dumps(manifest))
    intent = c2pa.C2paBuilderIntent.EDIT if made_of else c2pa.C2paBuilderIntent.CREATE
    builder.set_intent(intent, c2pa.C2paDigitalSourceType.DIGITAL_CREATION)
    if remote:
        builder.set_remote_url(remote)
        builder.set_no_embed()
    if made_of:
        builder.add_ingredient(
            json.dumps({"title": "source", "relationship": "parentOf"}), media_type, io.BytesIO(made_of)
        )
    out = io.BytesIO()
    builder.sign(signer(), media_type, io.BytesIO(content), out)
    return out.getvalue()


def credentials() -> None:
    refusal = {"cawg.ai_generative_training": {"use": "notAllowed"}}
    grant = {"cawg.ai_generative_training": {"use": "allowed"}}
    webp = picture("WEBP")
    refused = credential(webp, "image/webp", refusal)
    (OUT / "credential.webp").write_bytes(refused)
    pixel = refused.index(b"VP8 ") + 28
    altered = refused[:pixel] + bytes([refused[pixel] ^ 1]) + refused[pixel + 1 :]
    (OUT / "altered.webp").write_bytes(altered)
    (OUT / "credential.avif").write_bytes(credential(picture("AVIF"), "image/avif", refusal))
    rights = credential(webp, "image/webp", grant, label="jpegtrust.rights.declaration")
    (OUT / "rights.webp").write_bytes(rights)
    (OUT / "granted.webp").write_bytes(credential(webp, "image/webp", grant))
    (OUT / "collage.webp").write_bytes(credential(refused, "image/webp", None, made_of=refused))
    (OUT / "remote.jpg").write_bytes(
        credential(picture("JPEG"), "image/jpeg", refusal, remote="https://credentials.example/1")
    )


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        pictures(Path(name))
        documents(Path(name))
        books(Path(name))
        credentials()
