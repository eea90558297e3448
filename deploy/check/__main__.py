"""`make deploy-check`: the image, compose and the Helm chart, looked at by the tools that would use them.

Nothing here needs a cluster or Docker. Helm is the real one: from the PATH, else built once by Go into a cache folder
(`LEVADA_TOOLS_CACHE`, by default in the user's cache). Every problem is printed; the exit code is 1 when there is one, and 3
when a tool cannot be had.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import chart
import composition
import image
import tools

ROOT = Path(__file__).parents[2]


def problems(root: Path, helm: Path) -> Iterator[str]:
    """Yield everything that is wrong."""
    yield from image.problems(root / "deploy" / "docker" / "Dockerfile")
    yield from composition.problems(root / "deploy" / "compose" / "compose.yml")
    yield from chart.problems(root / "deploy" / "helm" / "levada", helm)


def main() -> int:
    try:
        helm = tools.helm(build=True)
        found = list(problems(ROOT, helm))
    except tools.Missing as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    for problem in found:
        print(problem)
    print("image, compose and chart are fine" if not found else f"{len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
