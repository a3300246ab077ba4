"""What holds for all tests: how hypothesis searches, and that CI is told the same each time."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# No deadline: timings belong into benchmarks, and the machine may be busy. CI repeats the same examples each time, so
# that a landing never fails by chance; people's own runs look for new ones, and `deep` looks for long.
_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", **_COMMON)
settings.register_profile("ci", derandomize=True, **_COMMON)
settings.register_profile("deep", max_examples=10_000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))
