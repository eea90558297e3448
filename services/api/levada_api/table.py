"""The table of all routes: method, path, handler, and what a caller must be allowed to do.

This is the whole surface of the API. A route whose permission is None must stand in `routing.PUBLIC`. Where two
generations of clients use two paths, both stand here and lead to one handler.
"""

from collections.abc import Iterator

from levada_api import auditlogs, instance, kv, logs, management, namespace_files, namespaces, outputs, stats
from levada_api.executions import actions, bulk, evaluate, file, follow, read, start, webhook
from levada_api.flows import checking, crud, importing, many, search
from levada_api.gateway import files, lines, task, work
from levada_api.gateway.exchange import for_workers
from levada_api.operations import dead_letters, reconcile, why, why_flow
from levada_api.routing import Handler, Permission, Route, Router

T = "/api/v1/{tenant}"
R = "/api/v1"

Row = tuple[str, str, Handler, str | None]

MANAGEMENT: tuple[Row, ...] = (
    ("GET", "/health", management.answer, None),
    ("GET", "/health/liveness", management.answer, None),
    ("GET", "/health/readiness", management.answer, None),
    ("GET", "/metrics", management.answer, "instance:read"),
    ("GET", "/prometheus", management.answer, "instance:read"),
)

INSTANCE: tuple[Row, ...] = (
    ("GET", "/ping", instance.ping, None),
    ("GET", f"{R}/configs", instance.configs, "instance:read"),
    ("GET", f"{T}/configs", instance.configs, "instance:read"),
    ("GET", f"{R}/plugins", instance.plugins, "plugin:read"),
    ("GET", f"{R}/plugins/schemas/{{type}}", instance.schema, "plugin:read"),
    ("GET", f"{R}/plugins/{{cls}}", instance.plugin, "plugin:read"),
    ("GET", f"{R}/pebble/functions", instance.functions, "plugin:read"),
    ("GET", f"{R}/pebble/filters", instance.filters, "plugin:read"),
)

FLOWS: tuple[Row, ...] = (
    ("POST", f"{T}/flows", crud.create, "flow:create"),
    ("GET", f"{T}/flows/search", search.search, "flow:read"),
    ("GET", f"{T}/flows/source", search.source, "flow:read"),
    ("GET", f"{T}/flows/distinct-namespaces", namespaces.distinct, "flow:read"),
    ("POST", f"{T}/flows/validate", checking.validate, "flow:read"),
    ("POST", f"{T}/flows/validate/task", checking.of_part("task"), "flow:read"),
    ("POST", f"{T}/flows/validate/trigger", checking.of_part("trigger"), "flow:read"),
    ("POST", f"{T}/flows/bulk", many.bulk_update, "flow:update"),
    ("POST", f"{T}/flows/import", importing.import_, "flow:update"),
    ("POST", f"{T}/flows/export/by-ids", importing.export_by_ids, "flow:read"),
    ("GET", f"{T}/flows/export/by-query", importing.export_by_query, "flow:read"),
    ("DELETE", f"{T}/flows/delete/by-ids", many.delete_by_ids, "flow:delete"),
    ("DELETE", f"{T}/flows/delete/by-query", many.delete_by_query, "flow:delete"),
    ("POST", f"{T}/flows/disable/by-ids", many.switch(True, False), "flow:update"),
    ("POST", f"{T}/flows/disable/by-query", many.switch(True, True), "flow:update"),
    ("POST", f"{T}/flows/enable/by-ids", many.switch(False, False), "flow:update"),
    ("POST", f"{T}/flows/enable/by-query", many.switch(False, True), "flow:update"),
    ("GET", f"{T}/flows/{{namespace}}", search.of_namespace, "flow:read"),
    ("POST", f"{T}/flows/{{namespace}}", many.replace_namespace, "flow:update"),
    ("GET", f"{T}/flows/{{namespace}}/{{id}}", crud.get, "flow:read"),
    ("PUT", f"{T}/flows/{{namespace}}/{{id}}", crud.update, "flow:update"),
    ("DELETE", f"{T}/flows/{{namespace}}/{{id}}", crud.delete, "flow:delete"),
    ("GET", f"{T}/flows/{{namespace}}/{{id}}/revisions", crud.revisions, "flow:read"),
    ("DELETE", f"{T}/flows/{{namespace}}/{{id}}/revisions", crud.delete_revisions, "flow:delete"),
    ("GET", f"{T}/flows/{{namespace}}/{{id}}/graph", crud.graph, "flow:read"),
    ("GET", f"{T}/flows/{{namespace}}/{{id}}/tasks/{{task}}", crud.task, "flow:read"),
)

X = f"{T}/executions/{{execution}}"

EXECUTIONS: tuple[Row, ...] = (
    ("GET", f"{T}/executions", read.of_flow, "execution:read"),
    ("GET", f"{T}/executions/search", read.search, "execution:read"),
    ("POST", f"{T}/executions/latest", read.latest, "execution:read"),
    ("GET", f"{T}/executions/distinct-field-values", read.distinct, "execution:read"),
    ("GET", f"{T}/executions/namespaces", read.namespaces, "execution:read"),
    ("GET", f"{T}/executions/namespaces/{{namespace}}/flows", read.flows_of_namespace, "execution:read"),
    ("GET", f"{T}/executions/flows/{{namespace}}/{{flow}}", read.flow_by_name, "flow:read"),
    ("GET", f"{T}/executions/webhook/{{namespace}}/{{id}}/{{key}}", webhook.receive, None),
    ("POST", f"{T}/executions/webhook/{{namespace}}/{{id}}/{{key}}", webhook.receive, None),
    ("PUT", f"{T}/executions/webhook/{{namespace}}/{{id}}/{{key}}", webhook.receive, None),
    ("POST", f"{T}/executions/trigger/{{namespace}}/{{id}}", start.create, "execution:create"),
    ("POST", f"{T}/executions/{{namespace}}/{{id}}", start.create, "execution:create"),
    ("POST", f"{T}/executions/{{namespace}}/{{id}}/validate", start.validate, "execution:create"),
    ("GET", X, read.get, "execution:read"),
    ("DELETE", X, actions.delete, "execution:delete"),
    ("GET", f"{X}/flow", read.flow, "execution:read"),
    ("GET", f"{X}/follow", follow.follow, "execution:read"),
    ("GET", f"{X}/follow-dependencies", follow.follow_dependencies, "execution:read"),
    ("GET", f"{X}/file", file.download, "execution:read"),
    ("GET", f"{X}/file/metas", file.metas, "execution:read"),
    ("GET", f"{X}/file/preview", file.preview, "execution:read"),
    ("POST", f"{X}/eval/{{task_run}}", evaluate.evaluate, "execution:read"),
    ("POST", f"{X}/actions/eval", evaluate.evaluate, "execution:read"),
    ("POST", f"{X}/actions/eval/{{task_run}}", evaluate.evaluate, "execution:read"),
    ("DELETE", f"{X}/kill", actions.kill, "execution:execute"),
    ("DELETE", f"{X}/actions/kill", actions.kill_shown, "execution:execute"),
    ("POST", f"{X}/actions/resume", actions.resume_shown, "execution:execute"),
    ("DELETE", f"{T}/executions/kill/by-ids", bulk.by_ids("kill"), "execution:execute"),
    ("DELETE", f"{T}/executions/kill/by-query", bulk.by_query("kill"), "execution:execute"),
    ("DELETE", f"{T}/executions/by-ids", bulk.delete_by_ids, "execution:delete"),
    ("DELETE", f"{T}/executions/by-query", bulk.delete_by_query, "execution:delete"),
)

#: POST actions on one execution, under both generations of paths.
ACTIONS: dict[str, Handler] = {
    "restart": actions.restart,
    "replay": actions.replay,
    "replay-with-inputs": actions.replay_with_inputs,
    "pause": actions.pause,
    "resume": actions.resume,
    "state": actions.change_task_run,
    "change-status": actions.change_status,
    "labels": actions.set_labels,
    "force-run": actions.force_run,
    "unqueue": actions.unqueue,
    "eval": evaluate.evaluate,
}
#: POST actions on many executions.
BULK = ("restart", "replay", "pause", "resume", "change-status", "labels", "force-run", "unqueue")

#: Levada's own routes for those who operate it.
OPERATIONS: tuple[Row, ...] = (
    ("GET", f"{X}/why", why.why, "execution:read"),
    ("GET", f"{T}/flows/{{namespace}}/{{id}}/why", why_flow.why, "flow:read"),
    ("GET", f"{T}/dead-letters", dead_letters.search, "instance:read"),
    ("GET", f"{T}/dead-letters/{{letter}}", dead_letters.get, "instance:read"),
    ("POST", f"{T}/dead-letters/{{letter}}/replay", dead_letters.replay, "instance:update"),
    ("DELETE", f"{T}/dead-letters/{{letter}}", dead_letters.drop, "instance:update"),
    ("POST", f"{T}/reconcile", reconcile.reconcile, "instance:update"),
    ("GET", f"{T}/cluster/services", reconcile.members, "instance:read"),
)

DATA: tuple[Row, ...] = (
    ("GET", f"{T}/outputs/executions/{{execution}}", outputs.of_execution, "execution:read"),
    ("GET", f"{T}/outputs/tasks/{{execution}}", outputs.of_tasks, "execution:read"),
    ("GET", f"{T}/outputs/tasks/{{execution}}/{{task_run}}", outputs.of_task_run, "execution:read"),
    ("GET", f"{T}/outputs/{{execution}}", outputs.of_execution, "execution:read"),
    ("GET", f"{T}/outputs/{{execution}}/{{task_run}}", outputs.of_task_run, "execution:read"),
    ("GET", f"{T}/metrics/{{execution}}", outputs.metrics, "metric:read"),
    ("GET", f"{T}/logs/search", logs.search, "log:read"),
    ("GET", f"{T}/logs/{{execution}}", logs.of_execution, "log:read"),
    ("GET", f"{T}/logs/{{execution}}/download", logs.download, "log:read"),
    ("GET", f"{T}/logs/{{execution}}/follow", logs.follow, "log:read"),
    ("DELETE", f"{T}/logs/{{execution}}", logs.delete_of_execution, "log:delete"),
    ("DELETE", f"{T}/logs/{{namespace}}/{{flow}}", logs.delete_of_flow, "log:delete"),
    ("GET", f"{T}/kv", kv.search, "kv:read"),
    ("GET", f"{T}/auditlogs/search", auditlogs.search, "audit:read"),
    ("POST", f"{T}/stats/executions/daily", stats.daily, "execution:read"),
    ("POST", f"{T}/stats/executions/daily/group-by-flow", stats.daily_by_flow, "execution:read"),
    ("POST", f"{T}/stats/executions/daily/group-by-namespace", stats.daily_by_namespace, "execution:read"),
    ("POST", f"{T}/stats/executions/latest/group-by-flow", stats.latest_by_flow, "execution:read"),
    (
        "GET",
        f"{T}/executions/namespaces/{{namespace}}/flows/{{flow}}/average-duration",
        stats.average_duration,
        "execution:read",
    ),
)

N = f"{T}/namespaces"

NAMESPACES: tuple[Row, ...] = (
    ("GET", f"{N}/search", namespaces.search, "namespace:read"),
    ("POST", f"{N}/autocomplete", namespaces.autocomplete, "namespace:read"),
    ("GET", f"{N}/{{namespace}}", namespaces.get, "namespace:read"),
    ("GET", f"{N}/{{namespace}}/kv", kv.of_namespace, "kv:read"),
    ("DELETE", f"{N}/{{namespace}}/kv", kv.delete_many, "kv:delete"),
    ("GET", f"{N}/{{namespace}}/kv/inheritance", kv.inherited, "kv:read"),
    ("GET", f"{N}/{{namespace}}/kv/{{key}}", kv.get, "kv:read"),
    ("PUT", f"{N}/{{namespace}}/kv/{{key}}", kv.put, "kv:update"),
    ("DELETE", f"{N}/{{namespace}}/kv/{{key}}", kv.delete, "kv:delete"),
    ("GET", f"{N}/{{namespace}}/files", namespace_files.get, "file:read"),
    ("POST", f"{N}/{{namespace}}/files", namespace_files.create, "file:update"),
    ("PUT", f"{N}/{{namespace}}/files", namespace_files.move, "file:update"),
    ("DELETE", f"{N}/{{namespace}}/files", namespace_files.delete, "file:delete"),
    ("GET", f"{N}/{{namespace}}/files/stats", namespace_files.stats, "file:read"),
    ("GET", f"{N}/{{namespace}}/files/directory", namespace_files.listing, "file:read"),
    ("POST", f"{N}/{{namespace}}/files/directory", namespace_files.make_folder, "file:update"),
    ("GET", f"{N}/{{namespace}}/files/search", namespace_files.search, "file:read"),
    ("GET", f"{N}/{{namespace}}/files/export", namespace_files.export, "file:read"),
)


W = f"{R}/worker"

#: The gateway for workers in processes of their own; `for_workers` checks their token.
WORKERS: tuple[Row, ...] = (
    ("POST", f"{W}/claim", for_workers(work.claim), None),
    ("POST", f"{W}/renew", for_workers(work.renew), None),
    ("POST", f"{W}/cancelled", for_workers(work.cancelled), None),
    ("POST", f"{W}/report", for_workers(work.report), None),
    ("POST", f"{W}/lines", for_workers(lines.write), None),
    ("POST", f"{W}/hello", for_workers(work.hello), None),
    ("POST", f"{W}/goodbye", for_workers(work.goodbye), None),
    ("POST", f"{W}/task/{{operation}}", for_workers(task.call), None),
    ("GET", f"{W}/files", for_workers(files.get), None),
    ("PUT", f"{W}/files", for_workers(files.put), None),
    ("DELETE", f"{W}/files", for_workers(files.delete), None),
    ("GET", f"{W}/files/stat", for_workers(files.stat), None),
    ("GET", f"{W}/files/exists", for_workers(files.exists), None),
    ("GET", f"{W}/files/list", for_workers(files.listing), None),
    ("POST", f"{W}/files/move", for_workers(files.move), None),
    ("POST", f"{W}/files/folder", for_workers(files.make_folder), None),
)


def _routes(rows: tuple[Row, ...]) -> Iterator[Route]:
    for method, template, handler, permission in rows:
        yield Route(method, template, handler, None if permission is None else Permission(*permission.split(":")))


def _actions() -> Iterator[Route]:
    asked = Permission("execution", "execute")
    for name, handler in ACTIONS.items():
        yield Route("POST", f"{X}/{name}", actions.or_start(handler, name), asked)
        if name not in ("resume", "eval"):
            yield Route("POST", f"{X}/actions/{name}", handler, asked)
    for name in BULK:
        yield Route("POST", f"{T}/executions/{name}/by-ids", bulk.by_ids(name), asked)
        yield Route("POST", f"{T}/executions/{name}/by-query", bulk.by_query(name), asked)


def routes() -> list[Route]:
    """Every route of the API's port; docs/api.md lists them."""
    return [
        *_routes((*MANAGEMENT, *INSTANCE, *FLOWS, *EXECUTIONS, *OPERATIONS, *DATA, *NAMESPACES, *WORKERS)),
        *_actions(),
    ]


def router() -> Router:
    """What the API's port answers: everything. Raises Defect when the table breaks a rule."""
    return Router(routes())
