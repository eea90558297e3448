"""Which server a command talks to.

Named by `--server` or `LEVADA_URL`: that one, and nothing else, so a mistyped address is an error rather than another
server. Not named: the Levada that runs on this data folder, which leaves its address in `server.json` there, else
whoever answers at the configured host and port.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click
import msgspec

from levada.cli.client import Client, Server
from levada.cli.failures import BadUsage, Unreachable

P = ParamSpec("P")
T = TypeVar("T")

ADDRESS_FILE = "server.json"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the person said about the server; None where nothing was said."""

    url: str | None
    username: str | None
    password: str | None
    tenant: str
    data_dir: Path | None


_OPTIONS = [
    click.option("--server", metavar="URL", envvar="LEVADA_URL", help="Address of the server (env LEVADA_URL)."),
    click.option("--user", metavar="NAME", envvar="LEVADA_BASIC_AUTH_USERNAME", help="User name, if it wants one."),
    click.option(
        "--password", metavar="TEXT", envvar="LEVADA_BASIC_AUTH_PASSWORD", help="Password; better in the env."
    ),
    click.option("--tenant", metavar="ID", envvar="LEVADA_TENANT", default="main", show_default=True, help="Tenant."),
    click.option(
        "--data-dir",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="LEVADA_DATA_DIR",
        help="Data folder whose running server is meant when no address is given.",
    ),
]


def server_options(command: Callable[Concatenate[Wanted, P], T]) -> Callable[P, T]:
    """Add the options that name a server; the command gets them as its first argument, a `Wanted`."""

    @functools.wraps(command)
    def with_wanted(*args: P.args, **kwargs: P.kwargs) -> T:
        wanted = Wanted(
            url=kwargs.pop("server"),  # type: ignore[arg-type]
            username=kwargs.pop("user"),  # type: ignore[arg-type]
            password=kwargs.pop("password"),  # type: ignore[arg-type]
            tenant=kwargs.pop("tenant"),  # type: ignore[arg-type]
            data_dir=kwargs.pop("data_dir"),  # type: ignore[arg-type]
        )
        return command(wanted, *args, **kwargs)

    result: Callable[P, T] = with_wanted
    for option in reversed(_OPTIONS):
        result = option(result)
    return result


output_option = click.option(
    "--output",
    "-o",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Form of the result.",
)


def talk(wanted: Wanted, conversation: Callable[[Client], Awaitable[T]]) -> T:
    """Run `conversation` with a client of the wanted server. Raises Unreachable when there is none."""

    async def main() -> T:
        async with Client(await find(wanted)) as client:
            return await conversation(client)

    return run_async(main())


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on an event loop of its own; Ctrl-C cancels it and comes out as KeyboardInterrupt."""
    return asyncio.run(main)


async def find(wanted: Wanted) -> Server:
    """Return the server to talk to. Raises Unreachable when none was named and none runs here."""
    if wanted.url is not None:
        return _server(wanted, checked_url(wanted.url))
    places = candidates(wanted.data_dir)
    for url in places:
        server = _server(wanted, url)
        async with Client(server) as client:
            if await client.alive():
                return server
    raise Unreachable(
        f"no Levada is running here (asked {', '.join(places)}). "
        "Start one with `levada dev`, or name another with --server or LEVADA_URL"
    )


def candidates(data_dir: Path | None) -> list[str]:
    """Return the addresses where a server of this folder may answer, most certain first."""
    folder = data_dir if data_dir is not None else Path(".levada")
    host, port = os.environ.get("LEVADA_HOST", "127.0.0.1"), os.environ.get("LEVADA_PORT", "8080")
    recorded = recorded_address(folder)
    places = ([recorded] if recorded else []) + [f"http://{reachable(host)}:{port}"]
    return list(dict.fromkeys(places))


def recorded_address(folder: Path) -> str | None:
    """Return what the server of this data folder wrote when it started; it may be gone since."""
    try:
        content = json.loads((folder / ADDRESS_FILE).read_text())
    except (OSError, ValueError):
        return None
    url = content.get("url") if isinstance(content, dict) else None
    return url if isinstance(url, str) else None


def record_address(folder: Path, url: str) -> None:
    """Leave the address for the commands of this folder."""
    (folder / ADDRESS_FILE).write_text(json.dumps({"url": url, "pid": os.getpid()}) + "\n")


def forget_address(folder: Path) -> None:
    (folder / ADDRESS_FILE).unlink(missing_ok=True)


def checked_url(text: str) -> str:
    """Return an address without its last slash. Raises BadUsage for what is none."""
    if not text.startswith(("http://", "https://")):
        raise BadUsage(f"{text!r} is no address of a server; write it like http://127.0.0.1:8080")
    return text.rstrip("/")


def reachable(host: str) -> str:
    """Return the host to call for a host to bind to: a wildcard is reached over loopback."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)


def _server(wanted: Wanted, url: str) -> Server:
    return Server(url=url, username=wanted.username, password=wanted.password, tenant=wanted.tenant)
