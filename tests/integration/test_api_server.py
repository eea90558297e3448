"""The API on a real Postgres, with executor and worker, as `levada standalone` composes them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from levada.runtime.clock import SystemClock
from levada.runtime.config import Config
from levada.runtime.config.tree import Database
from levada.runtime.platform import Platform
from levada_api import main as api
from levada_api.server import Listening
from levada_executor import main as executor
from levada_worker import main as worker

FLOW = """\
id: pipeline
namespace: company.team
inputs:
  - {id: data, type: FILE}
  - {id: n, type: INT, defaults: 3}
tasks:
  - id: values
    type: io.kestra.plugin.core.output.OutputValues
    values: {n: "{{ inputs.n }}"}
  - id: shell
    type: io.kestra.plugin.scripts.shell.Commands
    inputFiles: {in.txt: "{{ inputs.data }}"}
    outputFiles: ["out.txt"]
    commands:
      - cat in.txt > out.txt
      - echo '::{"outputs":{"lines":2}}::'
"""


@pytest.fixture
async def url(database: str, tmp_path: Path) -> AsyncIterator[str]:
    config = dataclasses.replace(
        Config(port=0, management_port=0, data_dir=tmp_path), database=Database(url=database, pool_size=5)
    )
    platform = await Platform.open(config, SystemClock())
    stop = asyncio.Event()
    composed = api.compose(platform)
    listening: list[Listening] = await api.start(composed)
    parts = [asyncio.create_task(part.run(platform, stop)) for part in (executor, worker)]
    try:
        yield listening[0].url
    finally:
        for each in listening:
            await each.close()
        stop.set()
        async with asyncio.timeout(20):
            await asyncio.gather(*parts)
        await platform.close()


async def call(session: aiohttp.ClientSession, method: str, url: str, **kind: Any) -> Any:
    async with session.request(method, url, **kind) as response:
        body = await response.read()
        assert response.status < 300, body
        return body


async def test_a_flow_with_a_file_runs_from_upload_to_download(url: str) -> None:
    import json

    root = f"{url}/api/v1/main"
    async with aiohttp.ClientSession() as session:
        await call(session, "POST", f"{root}/flows", data=FLOW)
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("data", b"one\ntwo\n", filename="data.txt")
        ended = json.loads(await call(session, "POST", f"{root}/executions/company.team/pipeline?wait=true", data=form))
        assert ended["state"]["current"] == "SUCCESS", ended
        shell = ended["taskRunList"][1]
        assert shell["outputs"]["vars"] == {"lines": 2}
        stored = await call(
            session,
            "GET",
            f"{root}/executions/{ended['id']}/file",
            params={"path": shell["outputs"]["outputFiles"]["out.txt"]},
        )
        assert stored == b"one\ntwo\n"
        found = json.loads(await call(session, "GET", f"{root}/executions/search?namespace=company&sort=id:desc"))
        assert [each["id"] for each in found["results"]] == [ended["id"]]
        await call(session, "DELETE", f"{root}/executions/{ended['id']}")
        with contextlib.suppress(AssertionError):
            await call(session, "GET", f"{root}/executions/{ended['id']}")
            pytest.fail("the deleted execution is still there")


async def test_many_starts_at_once_are_all_there_and_end(url: str) -> None:
    import json

    root = f"{url}/api/v1/main"
    source = "id: two\nnamespace: company.team\ntasks:\n- {id: a, type: core.output.OutputValues, values: {x: 1}}\n- {id: b, type: core.log.Log, message: hi}\n"
    async with aiohttp.ClientSession() as session:
        await call(session, "POST", f"{root}/flows", data=source)

        async def one() -> str:
            started = json.loads(await call(session, "POST", f"{root}/executions/company.team/two"))
            found = json.loads(await call(session, "GET", f"{root}/executions/{started['id']}"))
            return str(found["id"])

        ids = await asyncio.gather(*(one() for _ in range(100)))
        assert len(set(ids)) == 100
        async with asyncio.timeout(20):
            while True:
                query = {"namespace": "company.team", "state": "SUCCESS", "size": "1"}
                found = json.loads(await call(session, "GET", f"{root}/executions/search", params=query))
                if found["total"] == 100:
                    break
                await asyncio.sleep(0.05)
