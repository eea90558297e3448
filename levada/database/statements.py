"""SQL in files: one statement per file, named like the method that runs it.

    SQL = Statements(Path(__file__).parent / "executions")
    await database.fetch(SQL["load_heads"], ids)

Files are read once, when the module that uses them is imported, so a missing one is found before the first request.
"""

from __future__ import annotations

from pathlib import Path

from levada.model.errors import Defect


class Statements:
    """The statements of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._texts = {path.stem: path.read_text(encoding="utf-8").strip() for path in folder.glob("*.sql")}
        if not self._texts:
            raise Defect(f"{folder} holds no .sql file")

    def __getitem__(self, name: str) -> str:
        try:
            return self._texts[name]
        except KeyError:
            raise Defect(f"no statement {self._folder / name}.sql") from None
