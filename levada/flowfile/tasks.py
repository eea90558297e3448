"""Tasks: from YAML to `model.Task`, with their children as branches and their properties checked against their class.

What all tasks have in common is read here; what a type declares beside that is checked by `properties`. A flowable's class
says which of its properties hold tasks. A type that Kestra has but Levada does not travels along with a warning; a type that
nobody knows is an error, and its properties are not looked at.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from levada.flowfile import inputs, limits, properties
from levada.flowfile.loader import Path
from levada.flowfile.node import Node, kind_of
from levada.flowfile.problems import Report, nearest
from levada.model import flow as model
from levada.model import ids
from levada.sdk import FlowableTask, Registry, canonical
from levada.sdk.registry import PREFIX, Declared

COMMON: Final = frozenset(
    {
        "id",
        "type",
        "version",
        "description",
        "retry",
        "timeout",
        "disabled",
        "runIf",
        "allowFailure",
        "allowWarning",
        "logLevel",
        "logToFile",
        "taskCache",
        "workerGroup",
        "workerSelector",
        "assets",
        "policyRefs",
        "pluginDefaultsRef",
        "onWorkerLost",
    }
)
LEVELS: Final = ("ERROR", "WARN", "INFO", "DEBUG", "TRACE")
_PAUSE = "core.flow.Pause"
_WORKING_DIRECTORY = "core.flow.WorkingDirectory"


@dataclass(slots=True)
class Reading:
    """What reading one flow shares: the types, and where mistakes go."""

    registry: Registry
    report: Report
    #: Everything read so far, with its path, for the rules of `check`.
    tasks: list[tuple[model.Task, Path]] = field(default_factory=list)
    triggers: list[tuple[model.Trigger, Path]] = field(default_factory=list)
    #: Ids of tasks whose type is not known: they exist, so that reading them is no second mistake.
    unread: set[str] = field(default_factory=set)


def resolve(node: Node, reading: Reading, kind: str) -> tuple[str, Declared | None] | None:
    """Return the canonical type name and its class (None if only known by name); None after reporting a bad type.

    `kind` is task, trigger or condition: a class of another kind does not count.
    """
    written = node.get("type")
    report, registry = reading.report, reading.registry
    if not isinstance(written, str) or not written.strip():
        message = "Invalid type: null" if written is None else f"must be a text, but is {kind_of(written)}"
        report.error(node.at("type") if "type" in node.data else node.path, f"{message}; a {kind} needs a type")
        return None
    written = written.strip()
    declared = getattr(registry, kind)(written)
    if declared is not None:
        name = canonical(declared.TYPE)
        if canonical(written) != name:
            report.inform(f"{written} is replaced by {PREFIX}{name}")
        if declared.DEPRECATED:
            report.deprecate(node.path)
        return name, declared
    other = registry.find(written)
    if other is None and canonical(written) in registry.known:
        report.warn(
            node.path, f"{canonical(written)} exists in Kestra but not in this version of Levada; it cannot run"
        )
        return canonical(written), None
    if other is not None:
        report.error(node.at("type"), f"Invalid type: {written}; it exists, but is not a {kind}")
        return None
    report.error(node.at("type"), f"Invalid type: {written}{_near_types(written, registry)}")
    return None


def _near_types(written: str, registry: Registry) -> str:
    """Return a hint with types of the same last name, else with types that are spelled alike."""
    names = [*(canonical(declared.TYPE) for declared in registry.all()), *registry.known]
    last = canonical(written).rpartition(".")[2].lower()
    same = sorted(
        {name for name in names if name.rpartition(".")[2].lower() == last}, key=lambda name: (len(name), name)
    )
    if same:
        return f"; did you mean {' or '.join(f'`{name}`' for name in same[:3])}?"
    return nearest(canonical(written), names, cutoff=0.75)


def read_list(items: Any, path: Path, reading: Reading) -> tuple[model.Task, ...]:
    """Read a list of tasks; what cannot be read is reported and left out."""
    if items is None:
        return ()
    if not isinstance(items, list):
        reading.report.error(path, f"must be a list of tasks, but is {kind_of(items)}")
        return ()
    read = (read_one(item, (*path, index), reading) for index, item in enumerate(items))
    return tuple(task for task in read if task is not None)


def read_one(item: Any, path: Path, reading: Reading) -> model.Task | None:
    """Read one task."""
    if not isinstance(item, dict):
        reading.report.error(path, f"must be a task, but is {kind_of(item)}")
        return None
    node = Node(item, path, reading.report)
    identity = limits.identifier(node, ids.TASK_ID, ids.TASK_ID_MAX, of="a task")
    resolved = resolve(node, reading, "task")
    if resolved is None:
        reading.unread.add(identity)
        return None
    name, declared = resolved
    branches, depends_on, branch_names = _branches(node, name, declared, reading)
    own = frozenset(properties.fields_of(declared)) if declared is not None else frozenset()
    skip = (COMMON | branch_names | ({"when"} - own)) - (own & (COMMON - {"id", "type"}))
    values = {key: value for key, value in item.items() if key not in skip and value is not None}
    if declared is not None:
        properties.check(item, declared, path, reading.report, skip=skip, of=name)
        deprecated_properties(node, declared)
    if "onResume" in values and name == _PAUSE:
        inputs.read(node.sequence("onResume"), node.at("onResume"), reading.report)
    task = _build(node, identity, name, values, branches, depends_on)
    reading.tasks.append((task, path))
    return task


def _build(
    node: Node,
    identity: str,
    name: str,
    values: dict[str, Any],
    branches: dict[str, tuple[model.Task, ...]],
    depends_on: dict[str, tuple[str, ...]],
) -> model.Task:
    when = node.text("when") if "when" not in values else None
    run_if = node.text("runIf")
    cache = node.mapping("taskCache")
    if cache:
        _check_cache(Node(cache, node.at("taskCache"), node.report))
    return model.Task(
        id=identity,
        type=name,
        properties=values,
        branches=branches,
        depends_on=depends_on,
        description=node.text("description"),
        retry=limits.retry(node),
        timeout=limits.timeout(node),
        disabled=node.flag("disabled"),
        run_if=run_if if run_if is not None else when,
        allow_failure=node.flag("allowFailure"),
        allow_warning=node.flag("allowWarning"),
        log_level=node.choice("logLevel", LEVELS),
        log_to_file=node.flag("logToFile"),
        task_cache=cache or None,
        worker_group=limits.worker_group(node),
        on_worker_lost=node.choice("onWorkerLost", ("retry", "fail"), "retry") or "retry",
    )


def _check_cache(node: Node) -> None:
    node.required("enabled")
    node.flag("enabled")
    node.duration("ttl")
    node.finish("taskCache")


def deprecated_properties(node: Node, declared: Declared) -> None:
    """Note which properties of `node` its class calls deprecated."""
    for name in sorted(getattr(declared, "DEPRECATED_PROPERTIES", frozenset())):
        if name in node.data:
            node.report.deprecate(node.at(name))


Branches = dict[str, tuple[model.Task, ...]]


def _branches(
    node: Node, name: str, declared: Declared | None, reading: Reading
) -> tuple[Branches, dict[str, tuple[str, ...]], frozenset[str]]:
    """Read the child tasks of a flowable: branches, the dependencies of a Dag, and which properties these were."""
    if declared is None or not issubclass(declared, FlowableTask):
        return {}, {}, frozenset()
    branches: Branches = {}
    depends_on: dict[str, tuple[str, ...]] = {}
    names = set(declared.BRANCHES) | set(declared.SINGLE)
    for branch in declared.BRANCHES:
        if branch == "tasks" and declared.DAG:
            branches["tasks"], depends_on = _dag(node, reading)
        elif node.get(branch) is not None:
            branches[branch] = read_list(node.get(branch), node.at(branch), reading)
    if declared.DAG and "tasks" not in declared.BRANCHES:
        names.add("tasks")
        branches["tasks"], depends_on = _dag(node, reading)
    if declared.CASES is not None:
        names.add(declared.CASES)
        for key, items in node.mapping(declared.CASES).items():
            path = (*node.at(declared.CASES), key)
            branches[f"{declared.CASES}.{key}"] = read_list(items, path, reading)
    for branch in declared.SINGLE:
        child = read_one(node.get(branch), node.at(branch), reading) if node.get(branch) is not None else None
        if child is not None:
            branches[branch] = (child,)
    _require_children(node, name, declared)
    return {key: tasks for key, tasks in branches.items() if tasks}, depends_on, frozenset(names)


def _require_children(node: Node, name: str, declared: type[FlowableTask]) -> None:
    """A flowable without the tasks that it orders is a mistake: it would do nothing."""
    for branch in declared.REQUIRED:
        if not node.data.get(branch):
            text = f"{node.data.get('id')}: The 'tasks' property cannot be empty"
            node.error(branch, text if name == _WORKING_DIRECTORY else "must not be empty")


def _dag(node: Node, reading: Reading) -> tuple[tuple[model.Task, ...], dict[str, tuple[str, ...]]]:
    """Read the tasks of a Dag: a list of {task, dependsOn}."""
    tasks: list[model.Task] = []
    depends_on: dict[str, tuple[str, ...]] = {}
    for item in node.nodes("tasks"):
        child = read_one(item.get("task"), item.at("task"), reading) if item.required("task") else None
        wanted = []
        for index, other in enumerate(item.sequence("dependsOn")):
            if isinstance(other, str | int):
                wanted.append(str(other))
            else:
                item.report.error((*item.at("dependsOn"), index), f"must be the id of a task, but is {kind_of(other)}")
        item.finish("a Dag's task")
        if child is not None:
            tasks.append(child)
            if wanted:
                depends_on[child.id] = tuple(wanted)
    return tuple(tasks), depends_on
