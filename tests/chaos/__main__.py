"""The harnesses as commands: `python -m tests.chaos --help`, from the root of the repository."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from reliability.commands import main

if __name__ == "__main__":  # processes of a pool read this module too
    sys.exit(main())
