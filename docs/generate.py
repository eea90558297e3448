"""Write the pages that are made from code: `python docs/generate.py`.

docs/cli.md comes from the commands themselves, docs/configuration.md from the tree of settings, docs/api.md from the table
of routes. tests/meta/test_docs.py fails when a page is not what this script would write.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from levada.cli import app
from levada.runtime.config import SPECS, VARIABLES, Config, value_at
from levada.runtime.config import setting as settings
from levada_api import table
from levada_api.routing import Route

HERE = Path(__file__).parent

KINDS: Mapping[str, str] = {
    "seconds": "duration",
    "bytes": "size",
    "list": "list",
    "map": "map",
}


def pages() -> dict[Path, str]:
    """Return every generated page by its path."""
    return {HERE / "cli.md": cli(), HERE / "configuration.md": configuration(), HERE / "api.md": api()}


# --- cli.md


def cli() -> str:
    return "\n".join(_cli()) + "\n"


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


def configuration() -> str:
    return "\n".join(_configuration()) + "\n"


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


def api() -> str:
    return "\n".join(_api()) + "\n"


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
            yield f"| {route.method} | `{route.template}` | {f'{asked.resource}:{asked.action}' if asked else '*public*'} |"


def _group(template: str) -> str:
    """Return the resource that a path is about."""
    segments = [part for part in template.removeprefix("/api/v1").split("/") if part and part != "{tenant}"]
    if segments[0] == "namespaces" and len(segments) > 2:
        return {"kv": "kv", "files": "namespace files"}.get(segments[2], "namespaces")
    return segments[0] if template.startswith("/api/") else "instance"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
        print(path.relative_to(HERE.parent))
