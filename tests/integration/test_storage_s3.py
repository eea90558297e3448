"""Services as processes of their own with their files in an object store: no folder is shared, and workers know no key of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from apart import apart
from objectstore import ObjectStore

FLOW = """\
id: files
namespace: company.team
inputs:
  - {id: table, type: FILE}
tasks:
  - id: count
    type: io.kestra.plugin.scripts.shell.Commands
    taskRunner: {type: io.kestra.plugin.core.runner.Process}
    inputFiles: {table.csv: "{{ inputs.table }}"}
    outputFiles: ["*.json"]
    commands:
      - env
      - echo "{\\"rows\\":$(wc -l < table.csv)}" > count.json
  - id: say
    type: io.kestra.plugin.core.output.OutputValues
    values: {text: "{{ read(outputs.count.outputFiles['count.json']) }}"}
"""
ROWS = 1000
BOUNDARY = "a-boundary-that-is-in-no-row"
TABLE = "".join(f"{number},row\n" for number in range(ROWS))
FORM = "\r\n".join(
    [
        f"--{BOUNDARY}",
        'Content-Disposition: form-data; name="files"; filename="table"',
        "Content-Type: text/csv",
        "",
        TABLE,
        f"--{BOUNDARY}--",
        "",
    ]
)


@pytest.mark.timeout(120)
def test_files_of_an_execution_live_in_the_object_store(tmp_path: Path, database: str, s3: ObjectStore) -> None:
    with apart(tmp_path, database, **s3.env("installation")) as services:
        for kind in ("api", "executor"):
            services.start(kind)
        worker = services.start("worker")
        for each in services.services.values():
            each.wait_ready()
        told = Path(f"/proc/{worker.process.pid}/environ").read_text()
        assert "LEVADA_STORAGE" not in told
        services.deploy(FLOW)
        status, body = services.request(
            "POST",
            "/api/v1/main/executions/company.team/files",
            FORM,
            {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
        )
        assert status == 200, body
        found = services.ended(body["id"])
        assert found["state"]["current"] == "SUCCESS", services.told()
        outputs = {run["taskId"]: run.get("outputs") for run in found["taskRunList"]}
        assert json.loads(outputs["say"]["values"]["text"]) == {"rows": ROWS}
        uri = outputs["count"]["outputFiles"]["count.json"]
        status, body = services.request("GET", f"/api/v1/main/executions/{body['id']}/file?path={uri}")
        assert (status, body) == (200, {"rows": ROWS})
        assert {each.stop() for each in services.services.values()} == {0}
    assert not list(tmp_path.rglob("*.csv"))
    assert not list(tmp_path.rglob("count.json"))
