"""Outputs the way 2.0 reads them (beside the execution) and metrics."""

from aiohttp import web

from levada_api import errors
from levada_api.call import Call, json, page
from levada_api.executions.read import found
from levada_api.render import entries as render


async def of_execution(call: Call) -> web.Response:
    return json((await found(call)).outputs or {})


async def of_tasks(call: Call) -> web.Response:
    """The task runs that have outputs, with what tells them apart."""
    out = []
    for run in (await found(call)).task_runs.values():
        if run.outputs is None:
            continue
        entry: dict[str, object] = {"taskId": run.task_id, "taskRunId": run.id, "inline": True}
        if run.value is not None:
            entry["value"] = run.value
        if run.iteration is not None:
            entry["iteration"] = run.iteration
        out.append(entry)
    return json(out)


async def of_task_run(call: Call) -> web.Response:
    x = await found(call)
    run = x.task_runs.get(call.params["task_run"])
    if run is None:
        raise errors.not_found(f"Unable to find task run {call.params['task_run']} in execution {x.id}")
    return json(run.outputs or {})


async def metrics(call: Call) -> web.Response:
    limit, offset = call.page()
    found, total = await call.api.platform.metrics.read(
        call.tenant,
        call.params["execution"],
        task_id=call.arg("taskId"),
        task_run_id=call.arg("taskRunId"),
        limit=limit,
        offset=offset,
    )
    return page([render.metric(entry) for entry in found], total)
