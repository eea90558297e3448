"""`parse`: from the source of a flow to `model.Flow`.

In order: read the YAML, merge plugin defaults, read every part, check the rules that span parts. Nothing stops at the first
mistake except a source that is not YAML at all: `InvalidFlow` carries everything that was found, with line and column.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from levada.flowfile import check, defaults, inputs, labels, limits, tasks, triggers
from levada.flowfile.facts import Facts
from levada.flowfile.loader import BadYaml, Document, load
from levada.flowfile.node import Node, kind_of
from levada.flowfile.problems import InvalidFlow, Problem, Report, in_order, render
from levada.flowfile.tasks import Reading
from levada.model import flow as model
from levada.model import ids
from levada.sdk import Registry

#: Written by the server into what it hands out; accepted back and ignored.
_SERVER = ("revision", "updated", "created", "deleted", "tenantId", "source", "policyRefs")
_ENTERPRISE = ("quotas",)


class ParsedFlow(msgspec.Struct, frozen=True):
    """A valid flow, what to tell its author about it, and its data as written (plain JSON types, do not change it).

    `doubts` are the warnings with their positions; `warnings` the same as texts.
    """

    flow: model.Flow
    warnings: list[str]
    deprecations: list[str]
    data: dict[str, Any]
    infos: list[str] = []
    doubts: list[Problem] = []


def parse(
    source: str,
    registry: Registry,
    *,
    tenant: str = "main",
    revision: int = 1,
    lenient: bool = False,
    strict: bool = False,
    file: str = "",
    line_offset: int = 0,
    server_defaults: Sequence[defaults.Default] = (),
) -> ParsedFlow:
    """Return the flow; raises InvalidFlow with all problems. CPU only, some milliseconds for a long flow.

    `lenient` is for sources that were accepted before: what check.py finds are warnings then, because its rules may have
    grown since. `strict` makes expressions that cannot be read errors. `file` is named in problems; `line_offset` counts
    the lines before `source` in that file.
    """
    document = _load(source, file, line_offset)
    report = Report(document, file)
    for duplicate in document.duplicates:
        report.error(duplicate.path, duplicate.message, (duplicate.line, duplicate.column))
    if not isinstance(document.data, dict):
        report.error((), f"a flow is a map with id, namespace and tasks, but this is {_called(document.data)}")
        report.raise_if_any()
    facts = _read(Reading(registry, report), document, tenant, revision, server_defaults)
    facts.strict = strict
    rules = Report(document, file) if lenient else report
    check.check(facts, rules)
    report.raise_if_any()
    doubts = in_order(report.warnings if rules is report else [*report.warnings, *rules.problems, *rules.warnings])
    warnings = [doubt.described() for doubt in doubts]
    return ParsedFlow(facts.flow, warnings, report.deprecations, document.data, report.infos, doubts)


def _called(data: Any) -> str:
    return "empty" if data is None else kind_of(data)


def _load(source: str, file: str, line_offset: int) -> Document:
    try:
        return load(source, line_offset=line_offset)
    except BadYaml as problem:
        found = Problem(problem.message, render(problem.path), problem.line, problem.column)
        raise InvalidFlow([found], file) from problem


def _read(
    reading: Reading, document: Document, tenant: str, revision: int, server_defaults: Sequence[defaults.Default]
) -> Facts:
    report, registry = reading.report, reading.registry
    own_defaults = defaults.read(Node(document.data, (), report), registry)
    data = defaults.apply(document.data, own_defaults, server_defaults, registry)
    node = Node(data, (), report)
    node.known((*_SERVER, "pluginDefaults", "taskDefaults"))
    flow = _flow(node, reading, tenant, revision, own_defaults)
    node.integer("revision", minimum=1)
    node.finish("a flow")
    if not node.data.get("tasks"):
        node.error("tasks", "must not be empty")
    return Facts(flow, data, document, registry, tasks=reading.tasks, triggers=reading.triggers, unread=reading.unread)


def _flow(
    node: Node, reading: Reading, tenant: str, revision: int, own_defaults: Sequence[defaults.Default]
) -> model.Flow:
    report = reading.report
    identity = limits.identifier(node, ids.FLOW_ID, ids.FLOW_ID_MAX, of="a flow")
    namespace = node.text("namespace", required=True) or ""
    if namespace:
        limits.check_identifier(namespace, ids.NAMESPACE, ids.NAMESPACE_MAX, ("namespace",), report, of="a flow")
    for name in _ENTERPRISE:
        if node.get(name) is not None:
            node.error(name, "is not supported; remove it from the flow")
    return model.Flow(
        id=identity,
        namespace=namespace,
        revision=revision,
        tenant=tenant,
        description=node.text("description"),
        disabled=node.flag("disabled"),
        deleted=node.flag("deleted"),
        draft=node.flag("draft"),
        labels=labels.read(node.get("labels"), ("labels",), report, of_flow=True),
        inputs=inputs.read(node.sequence("inputs"), ("inputs",), report),
        outputs=inputs.outputs(node),
        variables=node.mapping("variables"),
        tasks=_section(node, "tasks", reading),
        errors=_section(node, "errors", reading),
        finally_=_section(node, "finally", reading),
        after_execution=_section(node, "afterExecution", reading),
        listeners=_listeners(node, reading),
        triggers=triggers.read(node, reading),
        concurrency=limits.concurrency(node),
        retry=limits.retry(node),
        sla=limits.sla(node),
        checks=limits.checks(node),
        plugin_defaults=tuple(msgspec.to_builtins(one) for one in own_defaults),
        worker_group=limits.worker_group(node),
    )


def _section(node: Node, name: str, reading: Reading) -> tuple[model.Task, ...]:
    return tasks.read_list(node.get(name), (name,), reading)


def _listeners(node: Node, reading: Reading) -> tuple[model.Listener, ...]:
    """Read the listeners of Kestra 0.x."""
    out = []
    if node.get("listeners") is not None:
        reading.report.deprecate(("listeners",))
    for item in node.nodes("listeners"):
        children = tasks.read_list(item.get("tasks"), item.at("tasks"), reading)
        if not item.data.get("tasks"):
            item.error("tasks", "must not be empty")
        conditions = triggers.read_conditions(item.sequence("conditions"), item.at("conditions"), reading)
        description = item.text("description")
        item.finish("a listener")
        out.append(model.Listener(tasks=children, conditions=tuple(conditions), description=description))
    return tuple(out)
