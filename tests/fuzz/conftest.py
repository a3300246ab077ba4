"""Makes the room importable by its name, as the command does."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
