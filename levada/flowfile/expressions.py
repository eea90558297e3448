"""Checking the expressions of a flow: can they be read, and does what they read exist?

A task id in `outputs.<id>` must be one of the flow. Inputs and variables may also come from elsewhere, so an unknown one is
only an error when a known one looks like it; else it is a warning. Absence that the author handles (`??`, `is defined`,
`default`) is no mistake. A template that cannot be read is a warning too, unless checking is strict: Kestra stores such
flows and lets them fail when they run.
"""

from collections.abc import Iterator
from typing import Any, Final

from levada.flowfile.facts import Facts
from levada.flowfile.loader import Document, Path, ScalarMark, position
from levada.flowfile.node import is_dynamic
from levada.flowfile.problems import Report, nearest
from levada.flowfile.templates import Analysis, Read, analyse
from levada.sdk import canonical

#: Parts of a flow that are never rendered.
_STATIC: Final = frozenset({"id", "namespace", "description", "pluginDefaults", "taskDefaults", "revision"})
#: Parts whose expressions see other variables than those of this flow.
_FOREIGN: Final = frozenset({"triggers", "listeners"})
_SPLIT_IDS: Final = ("_split", "_items", "_merge")


def check(facts: Facts, report: Report) -> None:
    """Report templates that cannot be read, and paths that lead nowhere."""
    known = _Known(facts)
    for path, text in _templates(facts.data):
        analysis = analyse(text)
        if analysis.error is not None:
            _unreadable(facts, report, path, text, analysis)
        elif path[0] not in _FOREIGN and not _of_subflow(facts.data, path):
            for read in analysis.reads:
                known.check(read, path, text, report)


def _templates(data: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    pending: list[tuple[Path, Any]] = [((name,), data[name]) for name in reversed(data) if name not in _STATIC]
    while pending:
        path, value = pending.pop()
        if isinstance(value, str):
            if is_dynamic(value):
                yield path, value
        elif isinstance(value, dict):
            pending.extend(((*path, name), value[name]) for name in reversed(value) if name != "description")
        elif isinstance(value, list):
            pending.extend(((*path, index), value[index]) for index in range(len(value) - 1, -1, -1))


def _of_subflow(data: dict[str, Any], path: Path) -> bool:
    """Whether the template is an old `outputs` entry of a Subflow, which reads the outputs of the flow it starts."""
    if "outputs" not in path[1:]:
        return False
    value: Any = data
    for part in path[: path.index("outputs", 1)]:
        value = value[part]
    kind = value.get("type") if isinstance(value, dict) else None
    return isinstance(kind, str) and kind.rpartition(".")[2] in ("Subflow", "Flow")


def _unreadable(facts: Facts, report: Report, path: Path, text: str, analysis: Analysis) -> None:
    at = place(facts.document, path, text, analysis.line, analysis.column)
    message = f"the expression cannot be read: {analysis.error}"
    if facts.strict:
        report.error(path, message, at)
    else:
        report.warn(path, message, at)


class _Known:
    """The names that expressions of this flow may read."""

    def __init__(self, facts: Facts) -> None:
        self._tasks = _task_ids(facts)
        self._open_tasks = any(task.type == "core.flow.Template" for task, _ in facts.tasks)
        self._inputs = {one.id.split(".")[0] for one in facts.flow.inputs}
        self._variables, self._open_variables = _variables(facts)
        self._document = facts.document

    def check(self, read: Read, path: Path, text: str, report: Report) -> None:
        if len(read.names) < 2 or not isinstance(read.names[1], str):
            return
        root, name = read.names[0], read.names[1]
        at = place(self._document, path, text, read.line, read.column)
        if root == "outputs" and not self._open_tasks and name not in self._tasks:
            message = f"`outputs.{name}` reads a task that does not exist{nearest(name, self._tasks)}"
            # A `runIf` that cannot be evaluated has a defined outcome: its task run fails, and nothing else.
            (report.warn if path[-1] == "runIf" else report.error)(path, message, at)
        elif root == "inputs" and name not in self._inputs:
            self._doubtful(f"`inputs.{name}` reads an input that does not exist", name, self._inputs, path, report, at)
        elif root == "vars" and not self._open_variables and name not in self._variables:
            message = f"`vars.{name}` reads a variable that does not exist"
            self._doubtful(message, name, self._variables, path, report, at)

    def _doubtful(
        self, message: str, name: str, known: set[str], path: Path, report: Report, at: tuple[int, int]
    ) -> None:
        hint = nearest(name, known)
        if hint:
            report.error(path, message + hint, at)
        else:
            report.warn(path, message, at)


def _task_ids(facts: Facts) -> set[str]:
    """Return the ids of all tasks, with those that a ForEachItem makes, and those inside types not known here."""
    out = set(facts.unread)
    for task, _ in facts.tasks:
        out.add(task.id)
        if task.type == "core.flow.ForEachItem":
            out.update(task.id + suffix for suffix in _SPLIT_IDS)
        pending: list[Any] = [task.properties]
        while pending:
            value = pending.pop()
            if isinstance(value, dict):
                if isinstance(value.get("id"), str) and "type" in value:
                    out.add(value["id"])
                pending.extend(value.values())
            elif isinstance(value, list):
                pending.extend(value)
    return out


def _variables(facts: Facts) -> tuple[set[str], bool]:
    """Return the names of variables, and whether a task may set others that cannot be known."""
    names = set(facts.flow.variables)
    unknowable = False
    for task, _ in facts.tasks:
        if canonical(task.type) == "core.execution.SetVariables":
            given = task.properties.get("variables")
            if isinstance(given, dict):
                names.update(given)
                unknowable = unknowable or any(is_dynamic(name) for name in given)
            else:
                unknowable = True
    return names, unknowable


def place(document: Document, path: Path, text: str, line: int, column: int) -> tuple[int, int]:
    """Return line and column in the source of a place inside a template (`line`, `column` from 1 within `text`)."""
    mark = document.texts.get(path)
    if mark is None:
        return document.position(path)
    rows = document.source.split("\n")
    first = mark.line - document.line_offset - 1
    wanted = text.split("\n")[line - 1] if line <= text.count("\n") + 1 else ""
    if mark.style == "|":
        row = first + line
        if row < len(rows) and wanted.rstrip("\r") in rows[row]:
            return row + 1 + document.line_offset, rows[row].index(wanted.rstrip("\r")) + column
        return mark.line, mark.column
    if "\n" not in text and first < len(rows) and rows[first].find(text, mark.column - 1) >= 0:
        return mark.line, rows[first].index(text, mark.column - 1) + column
    return _found(document, mark, wanted[column - 1 : column + 15].split("\n")[0])


def _found(document: Document, mark: ScalarMark, piece: str) -> tuple[int, int]:
    """Find a piece of a folded or escaped text in the source; the begin of the text if it does not occur as such."""
    start = 0
    for _ in range(mark.line - document.line_offset - 1):
        start = document.source.index("\n", start) + 1
    at = document.source.find(piece, start + mark.column - 1) if piece.strip() else -1
    if at < 0:
        return mark.line, mark.column
    line, column = position(document.source, at)
    return line + document.line_offset, column
