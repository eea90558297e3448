"""What is wrong with a flow file: every problem with its path and its line, gathered rather than raised one by one.

A `Report` travels through reading and checking. Whoever finds something calls `error`, `warn` or `deprecate` with the path
in the data (`("tasks", 0, "retry")`); the report knows the positions. At the end `raise_if_any` raises one `InvalidFlow`
that carries them all. Nothing here stops the reading: a file with five mistakes gets five lines.
"""

import difflib
from collections.abc import Iterable

import msgspec

from levada.flowfile.loader import Document, Path
from levada.model.errors import UserError

#: Beyond this many problems a file is not a flow with mistakes but something else; the rest is only counted.
MAX_PROBLEMS = 100


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong. `path` is like `tasks[0].retry.interval`; line and column count from 1, None if unknown."""

    message: str
    path: str = ""
    line: int | None = None
    column: int | None = None

    def text(self, file: str = "") -> str:
        """Return `file:line:column path: message` with the parts that are known."""
        where = ":".join(str(part) for part in (file or None, self.line, self.column) if part is not None)
        return f"{where} {self.described()}" if where else self.described()

    def described(self) -> str:
        """Return `path: message`, as Kestra words a constraint violation."""
        return f"{self.path}: {self.message}" if self.path else self.message


class InvalidFlow(UserError):
    """The flow is not valid; `problems` has all that was found, in the order of the file."""

    def __init__(self, problems: list[Problem], file: str = "", more: int = 0) -> None:
        self.problems = problems
        self.file = file
        lines = [problem.text(file) for problem in problems]
        if more:
            lines.append(f"and {more} more problems")
        super().__init__("\n".join(lines))


class Report:
    """Collects what reading and checking one document finds."""

    def __init__(self, document: Document, file: str = "") -> None:
        self.document = document
        self.file = file
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.infos: list[str] = []
        self.deprecations: list[str] = []
        self._seen: set[Problem] = set()
        self._more = 0

    def error(self, path: Path, message: str, at: tuple[int, int] | None = None) -> None:
        """Note a problem; `at` overrules the position that the path has."""
        line, column = at or self.document.position(path)
        problem = Problem(message, render(path), line, column)
        if problem in self._seen:
            return
        if len(self.problems) >= MAX_PROBLEMS:
            self._more += 1
            return
        self._seen.add(problem)
        self.problems.append(problem)

    def warn(self, path: Path, message: str, at: tuple[int, int] | None = None) -> None:
        """Note something that is accepted but probably not meant."""
        line, column = at or self.document.position(path)
        warning = Problem(message, render(path), line, column)
        if warning not in self.warnings and len(self.warnings) < MAX_PROBLEMS:
            self.warnings.append(warning)

    def inform(self, message: str) -> None:
        """Note something worth knowing that needs no action."""
        if message not in self.infos and len(self.infos) < MAX_PROBLEMS:
            self.infos.append(message)

    def deprecate(self, path: Path) -> None:
        """Note that something deprecated is used at `path`."""
        text = render(path)
        if text not in self.deprecations:
            self.deprecations.append(text)

    def raise_if_any(self) -> None:
        """Raise InvalidFlow if there is any problem."""
        if self.problems:
            raise InvalidFlow(in_order(self.problems), self.file, self._more)


def in_order(problems: list[Problem]) -> list[Problem]:
    """Return problems in the order of the file."""
    return sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0))


def render(path: Path) -> str:
    """Return a path as text: `tasks[0].retry.interval`."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            out += f".{part}" if out else part
    return out


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return `; did you mean x or y?`, or an empty text when nothing known looks like `name`."""
    lowered = {option.lower(): option for option in known}
    found = difflib.get_close_matches(name.lower()[:100], list(lowered), n=3, cutoff=cutoff)
    return f"; did you mean {' or '.join(f'`{lowered[match]}`' for match in found)}?" if found else ""
