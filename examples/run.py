"""What `make run` does: start Levada, deploy the examples, run the pipeline on real data, and stay up.

Everything lives in the data folder (`.levada`), so a second run finds the history of the first. The pipeline fetches its
data over HTTP from a small file server that this script runs, and works in a database `examples` beside Levada's own; the
addresses of both are put where its flow looks for them, the key-value store of its namespace.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
from aiohttp import web

from levada.cli import app, checkup, follow, screen
from levada.cli.client import Client
from levada.cli.failures import Silent
from levada.cli.live_folder import LiveFolder
from levada.cli.settings import load
from levada.cli.standalone import Running, announce, embedded, is_private
from levada.runtime.config import Config, Loaded
from levada.runtime.config.layers import DEFAULT
from levada.runtime.lifecycle import run_process

HERE = Path(__file__).parent
FLOWS, DATA = HERE / "flows", HERE / "data"
NAMESPACE, PIPELINE = "examples.flights", "on_time"
DATABASE = "examples"
PORTS_TRIED = 20


async def main() -> None:
    async with (
        embedded(configuration(), signals=True) as running,
        file_server(DATA) as source,
        Client(running.server) as client,
    ):
        history = int((await client.get("executions/search", size=1))["total"])
        await client.put(f"namespaces/{NAMESPACE}/kv/source_url", source)
        await client.put(f"namespaces/{NAMESPACE}/kv/database_url", await database(_own(running)))
        folder, stop = LiveFolder(FLOWS, client), asyncio.Event()
        deployed = await folder.deploy_all()
        running.lifecycle.add("live-folder", lambda: folder.watch(stop), stop=_event_setter(stop))
        announce(running, FLOWS, deployed)
        earlier = f"{history} execution{'' if history == 1 else 's'} of earlier runs" if history else "none yet"
        screen.note(f"  history  {earlier}")
        pipeline = asyncio.create_task(run_pipeline(client), name="pipeline")
        await asyncio.wait([pipeline, running.life], return_when=asyncio.FIRST_COMPLETED)
        if pipeline.done():
            show(running.url, pipeline.result())
        else:
            pipeline.cancel()
        await asyncio.wait([running.life])
    if pipeline.done() and not pipeline.cancelled() and follow.current(pipeline.result()) not in follow.GOOD:
        raise Silent


def configuration() -> Loaded:
    """Return the configuration, on the first free port from 8080 on unless a port was configured."""
    loaded, options = load(), dict[str, Any]()
    if loaded.sources["log.level"] == DEFAULT:
        options["log.level"] = "warning"
    if is_private(loaded.config) and not loaded.config.basic_auth.username:
        options["auth.mode"] = "none"
    if loaded.sources["port"] == DEFAULT:
        options |= {name: _free_port(loaded.config, name) for name in ("port", "management_port")}
        if options["port"] != loaded.config.port:
            screen.note(f"port {loaded.config.port} is taken, using {options['port']}")
    return load(options)


def _free_port(config: Config, name: str) -> int:
    first = int(getattr(config, name))
    # The two defaults are neighbours: steps of two keep them apart.
    for port in range(first, first + 2 * PORTS_TRIED, 2):
        try:
            return checkup.free(config.host, port)
        except OSError:
            continue
    return first


@asynccontextmanager
async def file_server(folder: Path) -> AsyncIterator[str]:
    """Serve the files of a folder on loopback; yields the address."""
    application = web.Application()
    application.router.add_static("/", folder)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _own(running: Running) -> str:
    assert running.platform.database is not None
    return running.platform.database.dsn


async def database(own: str) -> str:
    """Return the address of the database that the pipeline works in, beside Levada's own, made if it is not there."""
    connection = await asyncpg.connect(own)
    try:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f'CREATE DATABASE "{DATABASE}"')
    finally:
        await connection.close()
    return urlunsplit(urlsplit(own)._replace(path=f"/{DATABASE}"))


async def run_pipeline(client: Client) -> dict[str, Any]:
    """Run the example pipeline with its log on the screen, and return the ended execution."""
    execution = await client.start(NAMESPACE, PIPELINE, {})
    screen.say(f"\nrunning {NAMESPACE}.{PIPELINE}  {execution['id']}")
    return await follow.Watch(client, execution["id"], screen.say).until_end()


def show(url: str, execution: dict[str, Any]) -> None:
    """Print how the pipeline ended, its table, and where to go on."""
    outputs = execution.get("outputs") or {}
    screen.say(f"\n{screen.state(follow.current(execution))} in {screen.duration(execution['state'].get('duration'))}")
    for line in outputs.get("table") or []:
        screen.say(f"  {line}")
    api = f"{url}/api/v1/main"
    screen.say("\nlook at it:")
    screen.say(f"  .venv/bin/levada executions show {execution['id']}")
    screen.say(f"  curl {api}/executions/{execution['id']}")
    if "report" in outputs:
        path = quote(outputs["report"], safe="")
        screen.say(f"  curl '{api}/executions/{execution['id']}/file?path={path}'     (the report)")
    screen.say("  .venv/bin/levada run examples/flows/hello.yml --input name=Ada")
    screen.say(f"\nLevada stays up at {url}; Ctrl-C stops it")


def _event_setter(event: asyncio.Event) -> Any:
    async def set_event() -> None:
        event.set()

    return set_event


if __name__ == "__main__":
    sys.exit(app.guarded(lambda: run_process(main)))
