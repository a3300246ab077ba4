"""Prints docs/reason-codes.md from the code and data that define the reason codes.

.venv/bin/python .ci/reason_codes.py > docs/reason-codes.md
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from provenance.rules import shipped_protocols
from reservations.reasons import CORE
from reservations.registry import Registry

HEAD: Final = """\
# Reason codes

Every entry of the decision log names the reason that decided (`reason`), and every signal the one it would be. Codes
are stable: new ones may come, none changes its meaning. This list is made from the data files by
`.ci/reason_codes.py`; a test compares the two.

A verdict does not follow from a code alone: whether a statement closes a page depends on the purposes and the profile
of the policy, and on the other statements. `knockfirst explain OUT URL` tells it for one URL."""


def documented() -> Iterator[str]:
    """The lines of the document."""
    known = {**CORE, **Registry.load(shipped_protocols()).reasons}
    families: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for code, text in known.items():
        families[code.partition(".")[0]][code] = text
    yield HEAD
    for family in sorted(families):
        yield f"\n## {family}\n\n| code | meaning |\n| --- | --- |"
        for code, text in families[family].items():
            yield f"| `{code}` | {text.replace('|', chr(92) + '|')} |"


if __name__ == "__main__":
    print("\n".join(documented()))  # noqa: T201
