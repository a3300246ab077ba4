"""Which code is installed: one digest over the four packages, in every log and every replay."""

from __future__ import annotations

import functools
import hashlib
from importlib import resources
from pathlib import Path
from typing import Final

_PACKAGES: Final = ("reservations", "blocklists", "provenance", "crawler")


@functools.cache
def code_digest() -> str:
    """Digest ("sha256:<hex>") over the installed code and data of the four packages, by path."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        root = Path(str(resources.files(package)))
        for path in sorted(root.rglob("*")):
            if path.suffix in {".py", ".toml"}:
                digest.update(f"{package}/{path.relative_to(root)}\0".encode())
                digest.update(path.read_bytes())
    return "sha256:" + digest.hexdigest()
