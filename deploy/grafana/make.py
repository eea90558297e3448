"""Write the dashboards: `python deploy/grafana/make.py`.

What a panel asks and why stands in boards/. tests/meta/test_grafana.py fails when a file is not what this script would write,
when an expression is no PromQL, and when it names a metric or label that Levada does not have (levada/runtime/metrics.py).
"""

from __future__ import annotations

from pathlib import Path

from boards import DASHBOARDS
from boards.document import text_of

HERE = Path(__file__).parent / "dashboards"


def documents() -> dict[str, str]:
    """Return every file by its name."""
    return {f"{each.uid}.json": text_of(each) for each in DASHBOARDS}


def main() -> None:
    HERE.mkdir(exist_ok=True)
    for name, text in documents().items():
        (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
