"""`knockfirst blocklist ...`: the verbs of those who keep the list of sites that are not crawled, put together.

Exit codes: 0 done and nothing wrong, 1 faults found, something late, or the list cannot be used, 2 the command was not
understood. Whoever acts is named with `--by`: such names are claims, and the verbs say so where they show them.
"""

from __future__ import annotations

from provenance.blocklist_verbs import ask, change, exchange, objection, publish
from provenance.blocklist_verbs.common import app

__all__ = ["app", "ask", "change", "exchange", "objection", "publish"]
