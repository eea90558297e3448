"""Cutting a text that holds several flows into its documents.

A line of `---` divides them, as in YAML; `strange---string` does not. Each document keeps its text as it stands and knows
how many lines come before it, so that problems can name the line of the whole file.
"""

import re
from typing import Final

import msgspec

SEPARATOR: Final = re.compile(r"^---[ \t]*(?:#.*)?(?:\r?\n|\r?\Z)", re.MULTILINE)


class Piece(msgspec.Struct, frozen=True):
    """One document. `line_offset` counts the lines of the file before it."""

    source: str
    line_offset: int


def split(text: str) -> list[Piece]:
    """Return the documents that hold more than blank lines and comments; a text without any gives one empty document."""
    pieces, start = [], 0
    for found in [*SEPARATOR.finditer(text), None]:
        end = found.start() if found else len(text)
        source = text[start:end]
        if _has_content(source):
            pieces.append(Piece(source, text.count("\n", 0, start)))
        start = found.end() if found else end
    return pieces or [Piece(text, 0)]


def _has_content(source: str) -> bool:
    return any(line.strip() and not line.lstrip().startswith("#") for line in source.splitlines())
