"""Reads `levada.yml` into texts with their lines; what the texts mean is decided where all other sources are parsed too.

The file is composed, not loaded: nodes keep their lines, scalars keep their spelling (`off` stays the word `off`, a port
`0800` is not octal), and a key that stands twice is an error rather than a silent choice. Keys may be written with `-`
or `_`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from levada.runtime.config.setting import Spec

LARGEST_FILE_BYTES = 1 << 20
DEEPEST = 12


@dataclass(frozen=True, slots=True)
class Entry:
    """One value found in the file: where, and its text, or its value where it is a list or a map."""

    path: str
    line: int
    value: Any


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a source; `path` is the unknown or ill-valued key."""

    where: str
    message: str


def entries(path: Path, specs: Mapping[str, Spec]) -> Iterator[Entry | Problem]:
    """Yield what the file sets, and what in it cannot be a setting. A key that nobody knows is yielded as an Entry."""
    if path.stat().st_size > LARGEST_FILE_BYTES:
        yield Problem(str(path), f"larger than {LARGEST_FILE_BYTES} bytes; this is no configuration file")
        return
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        yield Problem(_mark(path, error), f"not a YAML file: {_problem(error)}")
        return
    if root is None or _is_null(root):
        return
    if not isinstance(root, yaml.MappingNode):
        yield Problem(f"{path}:1", "must be a mapping of settings, such as `port: 8080`")
        return
    yield from _mapping(path, root, "", specs)


def _mapping(file: Path, node: yaml.MappingNode, prefix: str, specs: Mapping[str, Spec]) -> Iterator[Entry | Problem]:
    seen: dict[str, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            yield Problem(f"{file}:{line}", "a key must be a word")
            continue
        path = f"{prefix}{key_node.value.replace('-', '_')}"
        if path in seen:
            yield Problem(f"{file}:{line}", f"`{path}` is set twice, first in line {seen[path]}")
            continue
        seen[path] = line
        yield from _setting(file, path, line, value_node, specs)


def _setting(file: Path, path: str, line: int, node: yaml.Node, specs: Mapping[str, Spec]) -> Iterator[Entry | Problem]:
    spec = specs.get(path)
    keys = [known.removeprefix(f"{path}.").split(".")[0] for known in specs if known.startswith(f"{path}.")]
    if spec is None and keys:
        if isinstance(node, yaml.MappingNode):
            yield from _mapping(file, node, f"{path}.", specs)
        elif not _is_null(node):
            yield Problem(f"{file}:{line}", f"`{path}` is a section with the keys {', '.join(dict.fromkeys(keys))}")
    elif spec is None or isinstance(node, yaml.ScalarNode):
        yield Entry(path, line, "" if _is_null(node) else getattr(node, "value", ""))
    elif spec.kind == "list" and isinstance(node, yaml.SequenceNode):
        yield Entry(path, line, tuple(str(item.value) for item in node.value))
    elif spec.kind == "map" and isinstance(node, yaml.MappingNode):
        try:
            yield Entry(path, line, _plain(node, DEEPEST))
        except ValueError as error:
            yield Problem(f"{file}:{line}", f"`{path}` {error}")
    else:
        shape = "a mapping" if isinstance(node, yaml.MappingNode) else "a list"
        yield Problem(f"{file}:{line}", f"`{path}` takes {spec.kind}, not {shape}")


# --- free values (`variables.globals`), by the core schema of YAML 1.2

INTEGER = re.compile(r"[-+]?[0-9]+")
NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
WORDS: Mapping[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}


def _plain(node: yaml.Node, depth: int) -> Any:
    if depth == 0:
        raise ValueError(f"is nested more than {DEEPEST} deep")
    match node:
        case yaml.MappingNode():
            return {str(key.value): _plain(value, depth - 1) for key, value in node.value}
        case yaml.SequenceNode():
            return [_plain(item, depth - 1) for item in node.value]
        case yaml.ScalarNode(style=None):
            return _scalar(node.value)
    return node.value


def _scalar(text: str) -> Any:
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    if INTEGER.fullmatch(text):
        return int(text)
    return float(text) if NUMBER.fullmatch(text) else text


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.value.lower() in ("", "~", "null")


def _mark(path: Path, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return str(path) if mark is None else f"{path}:{mark.line + 1}"


def _problem(error: Exception) -> str:
    return str(getattr(error, "problem", None) or error)
