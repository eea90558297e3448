"""Write the pages that are made from code: `python docs/generate.py`.

cli.md comes from the commands themselves, configuration.md from the tree of settings, api.md from the table of routes,
expressions.md from the tables of the language, tasks.md from the classes of the plugins, metrics.md from the declarations
of metrics. tests/meta/test_docs.py fails when a page is not what this script would write.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
import msgspec

from levada import expr, plugins, sdk
from levada.cli import app
from levada.expr.registry import Entry, Parameter
from levada.model import states
from levada.runtime import metrics
from levada.runtime.config import SPECS, VARIABLES, Config, value_at
from levada.runtime.config import setting as settings
from levada_api import table
from levada_api.routing import WORKER_GATEWAY, Route

HERE = Path(__file__).parent

KINDS: Mapping[str, str] = {
    "seconds": "duration",
    "bytes": "size",
    "list": "list",
    "map": "map",
}


def pages() -> dict[Path, str]:
    """Return every generated page by its path."""
    made = {
        "cli": _cli,
        "configuration": _configuration,
        "api": _api,
        "expressions": _expressions,
        "tasks": _tasks,
        "states": _states,
        "metrics": _metrics,
    }
    return {HERE / f"{name}.md": "\n".join(lines()) + "\n" for name, lines in made.items()}


# --- states.md


def _states() -> Iterator[str]:
    yield "# States"
    yield ""
    yield "Made by `python docs/generate.py` from the tables in levada/model/states.py; do not edit."
    yield ""
    yield f"Terminal: {', '.join(sorted(states.TERMINAL))}. The state of a container is the worst of its children:"
    yield f"{' < '.join(sorted(states.SEVERITY, key=lambda state: states.SEVERITY[state]))} (SKIPPED counts as SUCCESS)."
    for title, table_ in (
        ("Execution", states.EXECUTION_TRANSITIONS),
        ("Task run", states.TASK_RUN_TRANSITIONS),
    ):
        yield ""
        yield f"## {title}"
        yield ""
        yield "```mermaid"
        yield "stateDiagram-v2"
        yield "    [*] --> CREATED"
        for state, following in table_.items():
            if not state.is_terminal:
                yield from (f"    {state} --> {after}" for after in sorted(following))
        yield from (f"    {state} --> [*]" for state in sorted(states.TERMINAL) if _reached(table_, state))
        yield "```"
        yield ""
        yield "A person may go on from a terminal state: " + _reopening(table_) + "."


def _reached(table_: Mapping[states.State, frozenset[states.State]], state: states.State) -> bool:
    return any(state in following for before, following in table_.items() if not before.is_terminal)


def _reopening(table_: Mapping[states.State, frozenset[states.State]]) -> str:
    ways = {after for state, following in table_.items() if state.is_terminal for after in following}
    return ", ".join(sorted(ways))


# --- metrics.md


def _metrics() -> Iterator[str]:
    yield "# Metrics"
    yield ""
    yield "Made by `python docs/generate.py` from `levada/runtime/metrics.py`; do not edit."
    yield ""
    yield "Every process shows them at `/metrics` on its management port, in the text format of Prometheus; a process shows"
    yield "the gauges that it has something to say about. How to watch Levada with them stands in"
    yield "[guides/observability.md](guides/observability.md)."
    yield ""
    yield "| metric | type | labels | |"
    yield "| --- | --- | --- | --- |"
    for name, metric in metrics.REGISTRY.metrics.items():
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        yield f"| `{name}` | {metric.kind} | {labels} | {_cell(metric.help)} |"


# --- cli.md


def _cli() -> Iterator[str]:
    yield "# Command line"
    yield ""
    yield "Made by `python docs/generate.py` from the commands; do not edit."
    yield ""
    yield "Exit codes: 0 success, 1 the run or check failed, 2 wrong usage, 3 something cannot be reached or started;"
    yield "130 after Ctrl-C. Results go to stdout, everything else to stderr. `--output json` prints one JSON document with"
    yield "the keys of the REST API."
    yield ""
    yield "| command | |"
    yield "| --- | --- |"
    for name, (_, text) in app.COMMANDS.items():
        yield f"| [`levada {name}`](#levada-{name}) | {text} |"
    for name in app.COMMANDS:
        yield from _command(app.load(name), f"levada {name}", 2)


def _command(command: click.Command, path: str, depth: int) -> Iterator[str]:
    context = click.Context(command, info_name=path, help_option_names=["-h", "--help"])
    yield ""
    yield f"{'#' * depth} {path}"
    if isinstance(command, click.Group):
        yield ""
        yield _prose(command.help)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from _command(child, f"{path} {name}", depth + 1)
        return
    yield ""
    yield f"    {path} {' '.join(command.collect_usage_pieces(context))}"
    yield ""
    yield _prose(command.help)
    rows = [record for param in command.get_params(context) if (record := param.get_help_record(context)) is not None]
    if rows:
        yield ""
        yield "| option | |"
        yield "| --- | --- |"
        for option, text in rows:
            yield f"| `{_cell(option)}` | {_cell(' '.join(text.split()))} |"


def _prose(text: str | None) -> str:
    """Return a docstring without its indentation."""
    return inspect.cleandoc(text or "").replace("\b\n", "")


# --- configuration.md


def _configuration() -> Iterator[str]:
    yield "# Configuration"
    yield ""
    yield "Made by `python docs/generate.py` from `levada/runtime/config/tree.py`; do not edit."
    yield ""
    yield "Every setting has one path. It is the key in `levada.yml` (nested, `worker: {slots: 4}`) and, in capitals with"
    yield "underscores, an environment variable (`LEVADA_WORKER_SLOTS=4`). Sources from weakest to strongest: default,"
    yield "`levada.yml` (or the file that `--config` or `LEVADA_CONFIG` names), environment, option. `levada config show`"
    yield "prints each value with its source. A key or variable that does not exist is an error."
    yield ""
    yield "Durations are written `500ms`, `15s`, `2m`, `1h`, `PT15S`; sizes `64KiB`, `10MiB`; lists with commas; maps as JSON"
    yield "in variables and as YAML in the file. Besides settings the environment holds secrets: `LEVADA_SECRET_<NAME>` as"
    yield "they are, `SECRET_<NAME>` in base64; and `ENV_<NAME>`, which expressions read as `envs.<name>`."
    sections: dict[str, list[str]] = {}
    for path in SPECS:
        sections.setdefault(path.rpartition(".")[0], []).append(path)
    for section, paths in sections.items():
        yield ""
        yield f"## {section or 'top level'}"
        yield ""
        yield "| setting | variable | kind | default | |"
        yield "| --- | --- | --- | --- | --- |"
        yield from map(_row, paths)


def _row(path: str) -> str:
    spec, variable = SPECS[path], {setting: name for name, setting in VARIABLES.items()}[path]
    default = settings.shown(spec, value_at(Config(), path))
    kind = " or ".join(f"`{choice}`" for choice in spec.choices) or KINDS.get(spec.kind, spec.kind)
    if spec.secret:
        kind += ", secret"
    return f"| `{path}` | `{variable}` | {kind} | {f'`{default}`' if default else ''} | {_cell(spec.doc)} |"


# --- api.md

GROUPS = ("flows", "executions", "logs", "outputs", "metrics", "kv", "namespaces", "plugins", "pebble", "configs")


def _api() -> Iterator[str]:
    yield "# Routes"
    yield ""
    yield "Made by `python docs/generate.py` from `services/api/levada_api/table.py`; do not edit. How to use them is told in"
    yield "[guides/http-api.md](guides/http-api.md)."
    yield ""
    yield "`{tenant}` is `main`, and may be left out. *Public* routes need no sign-in; every other one names the permission that"
    yield "it asks for. Where two generations of clients use two paths, both are listed."
    groups: dict[str, list[Route]] = {}
    for route in table.routes():
        groups.setdefault(_group(route.template), []).append(route)
    for name in sorted(groups, key=lambda group: (GROUPS.index(group) if group in GROUPS else len(GROUPS), group)):
        yield ""
        yield f"## {name}"
        yield ""
        yield "| method | path | permission |"
        yield "| --- | --- | --- |"
        for route in groups[name]:
            asked = route.permission
            workers = (route.method, route.template) in WORKER_GATEWAY
            shown = f"{asked.resource}:{asked.action}" if asked else "*workers' token*" if workers else "*public*"
            yield f"| {route.method} | `{route.template}` | {shown} |"


def _group(template: str) -> str:
    """Return the resource that a path is about."""
    segments = [part for part in template.removeprefix("/api/v1").split("/") if part and part != "{tenant}"]
    if segments[0] == "namespaces" and len(segments) > 2:
        return {"kv": "kv", "files": "namespace files"}.get(segments[2], "namespaces")
    return segments[0] if template.startswith("/api/") else "instance"


# --- expressions.md


def _expressions() -> Iterator[str]:
    yield "# Expressions: everything there is"
    yield ""
    yield "Made by `python docs/generate.py` from the tables of `levada/expr`; do not edit. The language is explained in"
    yield "[guides/expressions.md](guides/expressions.md). *(service)* marks what a worker has to ask a service for."
    yield ""
    yield "## Operators"
    yield ""
    yield "From weakest to strongest; of two on one level the left one is applied first."
    yield ""
    yield "| operator | |"
    yield "| --- | --- |"
    for operator in sorted(expr.OPERATORS.values(), key=lambda one: one.precedence):
        yield f"| `{_cell(operator.signature)}` | {_cell(operator.doc)} |"
    for title, entries in (("Filters", expr.FILTERS), ("Functions", expr.FUNCTIONS), ("Tests", expr.TESTS)):
        yield ""
        yield f"## {title}"
        yield ""
        yield "| | |"
        yield "| --- | --- |"
        for name in sorted(entries, key=str.lower):
            entry = entries[name]
            service = " *(service)*" if entry.io else ""
            yield f"| `{_cell(_signature(title, entry))}` | {_cell(entry.doc)}{service} |"


def _signature(title: str, entry: Entry) -> str:
    arguments = ", ".join(_argument(parameter) for parameter in entry.parameters) + (", …" if entry.variadic else "")
    if title == "Tests":
        return f"x is {entry.name}" + (f"({arguments})" if arguments else "")
    if title == "Filters":
        return f"x | {entry.name}" + (f"({arguments})" if arguments else "")
    return f"{entry.name}({arguments})"


def _argument(parameter: Parameter) -> str:
    return parameter.name if parameter.required else f"{parameter.name}={parameter.default}"


# --- tasks.md


def _tasks() -> Iterator[str]:
    yield "# Tasks, triggers and conditions"
    yield ""
    yield "Made by `python docs/generate.py` from the classes under `levada/plugins`; do not edit."
    yield ""
    yield "A type may be written in full (`io.kestra.plugin.core.log.Log`) or without `io.kestra.plugin.`. **Bold** properties"
    yield "must be given; the others show their default. Beside these every task has `id`, `type`, `description`, `retry`,"
    yield "`timeout`, `disabled`, `runIf`, `allowFailure`, `allowWarning`, `logLevel`, `logToFile`, `workerGroup`, `taskCache`"
    yield "and `onWorkerLost`."
    family = ""
    for declared in plugins.discover().all():
        if declared.TYPE.rpartition(".")[0] != family:
            family = declared.TYPE.rpartition(".")[0]
            yield ""
            yield f"## {family}"
        yield ""
        yield f"### {declared.TYPE}"
        yield ""
        yield _what(declared)
        properties = [_property(field) for field in msgspec.structs.fields(declared)]
        if properties:
            yield ""
            yield from properties


def _what(declared: type[sdk.Task | sdk.Trigger | sdk.Condition]) -> str:
    """Return the first paragraph of the class, and what kind of thing it is."""
    text = inspect.cleandoc(declared.__doc__ or "").partition("\n\n")[0] if "__doc__" in vars(declared) else ""
    if text.startswith(f"{declared.__name__}("):
        text = ""  # what a dataclass would write for itself
    kind = (
        "trigger"
        if issubclass(declared, sdk.Trigger)
        else "condition"
        if issubclass(declared, sdk.Condition)
        else "task"
    )
    return f"*{kind}{', deprecated' if declared.DEPRECATED else ''}*" + (f" – {text}" if text else "")


def _property(field: msgspec.structs.FieldInfo) -> str:
    kind = _type_name(field.type)
    if field.required:
        return f"- **`{field.encode_name}`** {kind}"
    default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    plain = msgspec.to_builtins(default, str_keys=True, enc_hook=str)
    shown = "" if plain in (None, "", [], {}) else f" = `{json.dumps(plain, ensure_ascii=False)}`"
    return f"- `{field.encode_name}` {kind}{shown}"


def _type_name(kind: Any) -> str:
    """Return a type in the words of a flow's author."""
    origin, arguments = get_origin(kind), [one for one in get_args(kind) if one is not type(None)]
    if origin is Annotated:
        return _type_name(arguments[0])
    if origin in (UnionType, Union):
        return " or ".join(dict.fromkeys(map(_type_name, arguments)))
    if origin is Literal:
        return " or ".join(f"`{choice}`" for choice in arguments)
    if origin is not None:
        kind = origin
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " or ".join(f"`{member.value}`" for member in kind)
    return WORDS.get(getattr(kind, "__name__", str(kind)), "object")


WORDS: Mapping[str, str] = {
    "str": "text",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "list": "list",
    "tuple": "list",
    "dict": "map",
    "Mapping": "map",
    "Any": "any",
    "Duration": "duration",
    "datetime": "date and time",
    "date": "date",
    "time": "time",
}


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
        print(path.relative_to(HERE.parent))
