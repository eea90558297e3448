"""`levada doctor`: what is wrong here, and what to do."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from levada.cli import checkup, screen
from levada.cli.connection import output_option, run_async
from levada.cli.failures import Silent
from levada.cli.settings import load, server_settings


@click.command()
@server_settings
@output_option
def doctor(
    host: str | None, port: str | None, data_dir: str | None, flows: str | None, config: Path | None, output: str
) -> None:
    """Check this machine and data folder, and say what to do.

    Changes nothing. The exit code is 1 when something must be mended before Levada can run.
    """
    loaded = load({"host": host, "port": port, "data_dir": data_dir, "flows": flows}, file=config)

    async def main() -> list[checkup.Finding]:
        return [finding async for finding in checkup.examine(loaded)]

    findings = run_async(main())
    if output == "json":
        screen.document(msgspec.to_builtins(findings))
    else:
        for one in findings:
            screen.say(f"{screen.state(MARKS[one.level], 7)} {one.check.ljust(18)} {one.detail}")
            if one.remedy:
                screen.say(f"{' ' * 27}-> {one.remedy}")
    if any(one.level == checkup.BAD for one in findings):
        raise Silent


MARKS = {checkup.GOOD: "ok", checkup.DOUBTFUL: "WARN", checkup.BAD: "ERROR"}
