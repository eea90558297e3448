"""The command line: what a person types, and what scripts call.

It translates between people and the rest: options in, one line per problem out, an exit code for scripts. It holds no
rule of its own; what a flow means is decided by `levada.flowfile` and the engine, and a running server is asked over
HTTP like any other client would (`client`). Nothing heavy is imported before it is needed: `levada --help` must answer
at once, so each command lives in a module of its own under `commands/` and is loaded when it is called (`app`).

Exit codes: 0 success, 1 the run or check failed, 2 wrong usage, 3 something cannot be reached or started.
"""

import sys


def main() -> None:
    """The program `levada`."""
    from levada.cli.app import run

    sys.exit(run(sys.argv[1:]))
