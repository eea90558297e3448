"""POST /executions/{id}/eval: what an expression would give in this execution, or in one of its task runs.

For people who debug a flow. What is wrong with the expression is part of the answer (200 with `error`), and nothing it
says can reach a service or show a secret: what derives from one is masked.
"""

from typing import Any

from aiohttp import web

from levada import expr
from levada.engine import context, environment
from levada.engine.plan import plan_of
from levada.model.execution import Execution
from levada.model.flow import Flow
from levada_api import errors
from levada_api.call import Call, json
from levada_api.executions.actions import flow_for
from levada_api.executions.read import found

MASK = "******"


async def evaluate(call: Call) -> web.Response:
    x = await found(call)
    run_id = call.params.get("task_run")
    if run_id is not None and run_id not in x.task_runs:
        raise errors.not_found(f"Unable to find task run {run_id} in execution {x.id}")
    expression = await _expression(call)
    flow = await flow_for(call, x)
    variables = variables_of(x, flow, run_id, call.api.environment)
    return json(outcome(expression, variables, context.PureHost(call.api.now(), call.api.new_id())))


async def _expression(call: Call) -> str:
    """The body is the expression; as JSON it may be a string or `{"expression": "…"}`."""
    if call.request.content_type != "application/json":
        return await call.text()
    text = await call.text()
    if not text.lstrip().startswith(('{"', '"')):
        return text
    data = await call.json()
    if isinstance(data, dict):
        data = data.get("expression")
    if not isinstance(data, str):
        raise errors.unprocessable('the body must be an expression, or {"expression": "{{ … }}"}')
    return data


def variables_of(x: Execution, flow: Flow, run_id: str | None, env: environment.Environment) -> dict[str, Any]:
    plan = plan_of(flow)
    shared = context.base(x, plan, env)
    shared["tasks"] = context.task_states(x)
    if run_id is None:
        return shared
    run = x.task_runs[run_id]
    node = plan.nodes.get(run.task_id)
    if node is None:
        raise errors.not_found(f"Unable to find task {run.task_id} in revision {x.flow_revision} of the flow")
    return context.of_run(shared, x, plan, run, node)


def outcome(expression: str, variables: dict[str, Any], host: context.PureHost) -> dict[str, str]:
    try:
        result = expr.render(expression, variables, host)
    except expr.ExpressionError as error:
        return {"error": str(error), "stackTrace": f"{type(error).__name__}: {error}"}
    if isinstance(result, expr.Secret):
        return {"result": MASK}
    return {"result": str(result)}
