"""`levada health`: the health check of containers, which have no other client in them.

It runs every few seconds beside a service, so it imports as little as it can and asks over a plain connection.
"""

from __future__ import annotations

import http.client
import json

import click

from levada.cli import screen
from levada.cli.connection import reachable
from levada.cli.failures import CheckFailed, Unreachable
from levada.cli.settings import load

TIMEOUT_S = 5.0
KINDS = {"all": "/health", "liveness": "/health/liveness", "readiness": "/health/readiness"}


@click.command()
@click.argument("kind", type=click.Choice(list(KINDS)), default="readiness")
@click.option("--port", type=click.IntRange(1, 65_535), help="Management port to ask; default: the configured one.")
def health(kind: str, port: int | None) -> None:
    """Ask the service of this machine how it is; exit code 1 when it is not well, 3 when it does not answer."""
    config = load().config
    host, asked = reachable(config.host), port or config.management_port
    status, body = _ask(host.strip("[]"), asked, KINDS[kind])
    screen.say(body)
    if status != 200:
        raise CheckFailed(f"{KINDS[kind]} of {host}:{asked} answers {status}")


def _ask(host: str, port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, _brief(answer.read())
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"nothing answers at {host}:{port}: {error or type(error).__name__}") from error
    finally:
        connection.close()


def _brief(body: bytes) -> str:
    """Return the document on one line, as the log of a container wants it."""
    try:
        return json.dumps(json.loads(body), separators=(",", ":"))
    except ValueError:
        return body.decode(errors="replace").strip()[:500]
