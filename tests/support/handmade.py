"""What makes output folders by hand in the unit tests of `provenance`, for tests elsewhere."""

import importlib.util
from functools import cache
from pathlib import Path


@cache
def handmade():
    """The module with `Crawled` and `RULES`."""
    path = Path(__file__).parents[1] / "unit" / "provenance" / "conftest.py"
    spec = importlib.util.spec_from_file_location("handmade", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
