"""Writes docs/schemas/*.json: of our data files for editors, of reports for their readers, from the definitions.

.venv/bin/python .ci/schemas.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import msgspec

from provenance.reports.files import Form
from reservations.definition import Protocol
from reservations.policy import Policy
from reservations.readers.tokens import TokenList

FOLDER: Final = Path(__file__).resolve().parents[1] / "docs/schemas"
_KINDS: Final = {"protocol": Protocol, "policy": Policy, "tokens": TokenList, "report": Form}


def schemas() -> dict[str, str]:
    """File name to text."""
    texts = {}
    for name, kind in _KINDS.items():
        schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(kind)}
        schema["$defs"][kind.__name__]["properties"].pop("digest", None)
        texts[f"{name}.json"] = json.dumps(schema, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    return texts


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in schemas().items():
        (FOLDER / file).write_text(text, "utf-8")
