"""Pages and schemas that are made from definitions are those that the definitions make now."""

import importlib.util
import json
from pathlib import Path

import msgspec
import pytest

from provenance.rules import shipped_policy, shipped_protocols
from reservations.registry import Registry

ROOT = Path(__file__).parents[2]


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_protocols_page_is_up_to_date():
    made = "\n".join(script("protocols_page").page()) + "\n"
    written = (ROOT / "docs/protocols.md").read_text("utf-8")
    assert written == made, "run: .venv/bin/python .ci/protocols_page.py > docs/protocols.md"


def test_protocols_page_names_every_protocol_and_carrier():
    page = (ROOT / "docs/protocols.md").read_text("utf-8")
    for protocol in Registry.load(shipped_protocols()).protocols:
        assert f"| {protocol.id} |" in page
        for document in protocol.documents:
            assert all(f"`{path}`" in page for path in (document.path, *document.also_at))


@pytest.mark.parametrize("name", ["protocol.json", "policy.json", "tokens.json", "report.json"])
def test_schema_is_up_to_date(name):
    made = script("schemas").schemas()[name]
    assert (ROOT / "docs/schemas" / name).read_text("utf-8") == made, "run: .venv/bin/python .ci/schemas.py"


def test_schemas_name_every_key_that_shipped_files_use():
    schema = json.loads((ROOT / "docs/schemas/protocol.json").read_text("utf-8"))
    known = schema["$defs"]["Protocol"]["properties"].keys()
    for name, text in shipped_protocols().items():
        if "[[tokens]]" not in text and "/" not in name:
            assert msgspec.toml.decode(text).keys() <= known, name
    policy = json.loads((ROOT / "docs/schemas/policy.json").read_text("utf-8"))
    assert msgspec.toml.decode(shipped_policy()).keys() <= policy["$defs"]["Policy"]["properties"].keys()
