"""docs/log-format.md: names every field, and what it says of signatures holds for a tool that is not ours."""

import base64
import re
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from provenance import entry
from provenance.lines import from_line, to_line

FORMAT = (Path(__file__).parents[3] / "docs" / "log-format.md").read_text("utf-8")
STRUCTS = [
    value
    for value in vars(entry).values()
    if isinstance(value, type) and issubclass(value, msgspec.Struct) and value.__module__ == "provenance.entry"
]


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_every_field_is_documented_and_has_a_docstring_line(struct):
    for field in struct.__struct_fields__:
        assert f"`{field}`" in FORMAT or re.search(rf"`{{[^}}]*\b{field}\b[^}}]*}}`", FORMAT), field
        docs = "".join(base.__doc__ or "" for base in struct.__mro__)
        assert re.search(rf"^ +{field}: ", docs, re.MULTILINE), field


def test_every_type_of_entry_has_its_section():
    for tag in [struct.__struct_config__.tag for struct in get_args(entry.Entry)]:
        assert f"### `{tag}`" in FORMAT


def test_fields_at_their_defaults_are_left_out_and_no_null_is_written(entries):
    line = to_line(entries(1))
    assert b"null" not in line
    assert b"depth" not in line
    assert from_line(line).depth == 0


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs the openssl command (apt-get install openssl)")
@pytest.mark.parametrize("true", [True, False])
def test_openssl_checks_a_checkpoint_as_documented(whole, tmp_path, true):
    text, signature = (whole / "log/checkpoint").read_text("utf-8").split("\n\n")
    vkey = (whole / "log/log.vkey").read_text().strip()
    (tmp_path / "text").write_text(text + ("\n" if true else "\nmore\n"))
    (tmp_path / "signature").write_bytes(base64.b64decode(signature.split(" ")[2])[-64:])
    public = base64.b64decode(vkey.split("+", 2)[2])[1:]
    (tmp_path / "key.der").write_bytes(bytes.fromhex("302a300506032b6570032100") + public)
    command = "openssl pkeyutl -verify -pubin -keyform DER -inkey key.der -rawin -in text -sigfile signature"
    assert command in FORMAT
    assert (subprocess.run(command.split(), cwd=tmp_path, check=False, capture_output=True).returncode == 0) == true
