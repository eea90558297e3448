"""How a command ends badly, and with which exit code.

Every command raises; only `app.run` prints and exits. The family of the error decides the code, so a command never
calls `sys.exit` with a number of its own.
"""

from __future__ import annotations

import click

from levada.model.errors import LevadaError, Transient, UserError

OK = 0
FAILED = 1
USAGE = 2
UNREACHABLE = 3
INTERRUPTED = 130
"""What shells report for a program ended by Ctrl-C (128 + SIGINT)."""


class CheckFailed(LevadaError):
    """The run or check failed."""


class Silent(LevadaError):
    """The run or check failed, and everything about it has been printed."""


class BadUsage(UserError):
    """The command was called wrongly."""


class Unreachable(LevadaError):
    """Something that the command needs cannot be reached."""


class CannotStart(LevadaError):
    """Levada cannot start here."""


def exit_code(error: BaseException) -> int:
    """Return the exit code for what a command raised."""
    match error:
        case click.exceptions.Exit() | click.ClickException():
            return error.exit_code
        case click.Abort() | KeyboardInterrupt():
            return INTERRUPTED
        case BadUsage():
            return USAGE
        case Unreachable() | CannotStart() | Transient():
            return UNREACHABLE
        case _:
            return FAILED
