"""Which code is installed, and which public suffix list: digests that stand in every log."""

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


@functools.cache
def suffix_list_digest() -> str:
    """Digest of the bundled public suffix list, by which sites are told apart."""
    snapshot = resources.files("tldextract").joinpath(".tld_set_snapshot").read_bytes()
    return "sha256:" + hashlib.sha256(snapshot).hexdigest()
