"""Flow files on disk: finding them, cutting them into documents, checking them without a server.

A file may hold several flows, divided by lines of `---`. Positions in messages always count in the file, so that an
editor can jump there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from levada.cli.failures import BadUsage
from levada.model.flow import Flow

if TYPE_CHECKING:
    from levada.sdk.registry import Registry

SUFFIXES = (".yml", ".yaml")
SEPARATOR = re.compile(rb"^---[ \t]*(?:#.*)?\r?$", re.MULTILINE)


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One flow of a file. `line` is how many lines of the file come before it."""

    path: Path
    line: int
    source: bytes

    @property
    def place(self) -> str:
        return f"{self.path}:{self.line + 1}" if self.line else str(self.path)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong (or, as a warning, doubtful) in a flow file. `line` and `column` count from 1."""

    path: Path
    line: int
    column: int
    message: str
    field: str = ""
    warning: bool = False

    @property
    def line_text(self) -> str:
        """`file:line:column: message`, which editors and CI systems turn into a link."""
        return f"{self.path}:{self.line}:{self.column}: {'warning: ' if self.warning else ''}{self.message}"


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What came of checking a document: the flow, unless something is wrong with it."""

    document: Document
    flow: Flow | None = None
    problems: list[Problem] = []
    warnings: list[Problem] = []


def find(paths: Iterable[Path]) -> list[Path]:
    """Return the flow files that are named or lie below a named folder, in order, each once. Raises BadUsage."""
    files: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            files |= dict.fromkeys(sorted(one for one in path.rglob("*") if is_flow_file(one, path) and one.is_file()))
        elif path.is_file():
            files[path] = None
        else:
            raise BadUsage(f"{path}: there is no such file or folder")
    return list(files)


def is_flow_file(path: Path, root: Path) -> bool:
    """Whether a path below `root` is named like a flow file; hidden files and folders are not looked at."""
    return path.suffix in SUFFIXES and not any(part.startswith(".") for part in path.relative_to(root).parts)


def cut(path: Path, content: bytes) -> list[Document]:
    """Return the non-empty documents of a file's content."""
    documents, start = [], 0
    for end, following in [*((found.start(), found.end()) for found in SEPARATOR.finditer(content)), (len(content), 0)]:
        part = content[start:end]
        if part.strip() and not _only_comments(part):
            # The line feed after `---` belongs to the separator, so it is not part of the flow's source.
            feed = 1 if start and part.startswith(b"\n") else 0
            documents.append(Document(path=path, line=content.count(b"\n", 0, start + feed), source=part[feed:]))
        start = following
    return documents


def read(paths: Sequence[Path]) -> list[Document]:
    """Return the documents of all files below `paths`. Raises BadUsage when there is none."""
    documents = [document for path in find(paths) for document in cut(path, path.read_bytes())]
    if not documents:
        raise BadUsage(f"no flow in {', '.join(map(str, paths))}: flow files end in .yml or .yaml")
    return documents


def check(document: Document) -> Checked:
    """Read the flow and say what is wrong with it."""
    from levada import flowfile

    try:
        parsed = flowfile.parse(document.source.decode("utf-8"), registry(), strict=True)
    except UnicodeDecodeError as error:
        line = document.source.count(b"\n", 0, error.start) + 1 + document.line
        problem = Problem(path=document.path, line=line, column=1, message=f"byte {error.start} is not UTF-8")
        return Checked(document=document, problems=[problem])
    except flowfile.InvalidFlow as invalid:
        return Checked(document=document, problems=[_problem(document, one) for one in invalid.problems])
    warnings = [_problem(document, one, warning=True) for one in parsed.doubts]
    return Checked(document=document, flow=parsed.flow, warnings=warnings)


def check_all(documents: Iterable[Document]) -> list[Checked]:
    """Check each document, and that no two are the same flow."""
    checked, first = [], dict[str, Document]()
    for one in map(check, documents):
        if one.flow is not None and (earlier := first.setdefault(one.flow.key, one.document)) is not one.document:
            message = f"{one.flow.namespace}.{one.flow.id} is a flow of {earlier.place} already; ids must differ"
            place = Problem(path=one.document.path, line=one.document.line + 1, column=1, message=message)
            one = Checked(document=one.document, problems=[place])
        checked.append(one)
    return checked


@cache
def registry() -> Registry:
    """Return all types of tasks and triggers; built once, since it imports every plugin."""
    from levada import plugins

    return plugins.discover()


def _problem(document: Document, found: object, *, warning: bool = False) -> Problem:
    line, column = getattr(found, "line", None) or 1, getattr(found, "column", None) or 1
    field, message = getattr(found, "path", "") or "", str(getattr(found, "message", found))
    if field and field not in message:
        message = f"{field}: {message}"
    return Problem(
        path=document.path, line=line + document.line, column=column, message=message, field=field, warning=warning
    )


def _only_comments(part: bytes) -> bool:
    return all(not line.strip() or line.lstrip().startswith(b"#") for line in part.splitlines())
