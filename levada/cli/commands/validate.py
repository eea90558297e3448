"""`levada validate`: flow files checked without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from levada.cli import screen, sources
from levada.cli.commands.flows import paths_argument
from levada.cli.connection import output_option
from levada.cli.failures import Silent


@click.command()
@paths_argument
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
@output_option
def validate(paths: tuple[Path, ...], strict: bool, output: str) -> None:
    """Check flow files without a server.

    Prints FILE:LINE:COLUMN: MESSAGE for each problem and exits with 1 when there is one. Folders are searched for
    .yml and .yaml files; a file may hold several flows, divided by lines of `---`.
    """
    checked = sources.check_all(sources.read(paths))
    found = [problem for one in checked for problem in [*one.problems, *one.warnings]]
    errors = [one for one in found if strict or not one.warning]
    if output == "json":
        screen.document({"flows": len(checked), "problems": [_plain(one) for one in found]})
    else:
        for one in found:
            screen.say(one.line_text)
        flows = f"{len(checked)} flow{'' if len(checked) == 1 else 's'}"
        screen.note(
            f"{flows}, {len(errors)} problem{'' if len(errors) == 1 else 's'}" if errors else f"{flows}, all right"
        )
    if errors:
        raise Silent


def _plain(problem: sources.Problem) -> dict[str, Any]:
    """The keys are stable: scripts read them."""
    return {
        "file": str(problem.path),
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
        "path": problem.field,
        "severity": "warning" if problem.warning else "error",
    }
