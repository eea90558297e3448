"""Puts the configuration together: defaults < `levada.yml` < environment < options.

Every value remembers its source, and every source is complete: a key that no setting has is an error with the nearest
known one, in the file as in `LEVADA_…` variables, because a misspelt setting that is ignored is found out in production.
All problems are reported at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from levada.model.errors import UserError
from levada.runtime.config import check, setting
from levada.runtime.config.file import Problem, entries
from levada.runtime.config.secret import PLAIN_PREFIX, Secrets, encryption_key, envs, secrets
from levada.runtime.config.tree import Config

T = TypeVar("T")

PREFIX = "LEVADA_"
DEFAULT_FILE = Path("levada.yml")
DEFAULT = "default"

NOT_SETTINGS = frozenset(
    {
        "LEVADA_CONFIG",
        "LEVADA_URL",
        "LEVADA_TENANT",
        "LEVADA_FAILPOINTS",
        "LEVADA_CONFORMANCE_DIR",
        "LEVADA_CHAOS",
        "LEVADA_REQUIRE_KAFKA",
    }
)
"""Variables of this prefix that are read elsewhere: the file's name, the server that the command line calls, what tests use."""

FROM_KUBERNETES = re.compile(
    r"LEVADA_(\w+_)?(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
"""What Kubernetes sets in every container beside a Service called `levada` or `levada-…`: LEVADA_PORT=tcp://10.0.0.1:8080."""

SPECS: Mapping[str, setting.Spec] = setting.specs(Config)
VARIABLES: Mapping[str, str] = {f"{PREFIX}{path.replace('.', '_').upper()}": path for path in SPECS}
assert len(VARIABLES) == len(SPECS), "two settings share the name of an environment variable"


class ConfigError(UserError):
    """The configuration is wrong."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One line of `levada config show`."""

    path: str
    value: str
    source: str
    variable: str
    doc: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """The configuration and what the environment holds besides it."""

    config: Config
    sources: Mapping[str, str]
    secrets: Secrets
    envs: Mapping[str, str]
    encryption_key: bytes | None = dataclasses.field(repr=False)

    def show(self) -> Iterator[Shown]:
        """Yield every setting with its value and source, secrets masked, in the order of the tree."""
        variables = {path: name for name, path in VARIABLES.items()}
        for path, spec in SPECS.items():
            value = setting.shown(spec, value_at(self.config, path))
            yield Shown(path, value, self.sources[path], variables[path], spec.doc)


def load(
    options: Mapping[str, Any] | None = None,
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Loaded:
    """Return the configuration. Raises ConfigError naming every problem and its place.

    `options` are command line options by path (`{"worker.slots": "4"}`); None means not given. Without `file`,
    LEVADA_CONFIG names it, else `levada.yml` in the working directory is read if it is there.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    sources = dict.fromkeys(SPECS, DEFAULT)
    problems: list[Problem] = []
    for layer in (_from_file(_file(file, environ)), _from_environment(environ), _from_options(options or {})):
        for found in layer:
            if isinstance(found, Problem):
                problems.append(found)
                continue
            path, where, value = found
            try:
                values[path] = setting.parse(SPECS[path], value) if isinstance(value, str) else value
                sources[path] = where
            except ValueError as error:
                problems.append(Problem(where, f"`{path}` {error}"))
    config = _build(Config, values)
    problems += [Problem(sources[path], message) for path, message in check.problems(config)]
    if problems:
        raise ConfigError("\n".join(f"{problem.where}: {problem.message}" for problem in problems))
    key = config.encryption.key
    return Loaded(
        config,
        sources,
        secrets(environ),
        envs(environ, config.variables.env_vars_prefix),
        encryption_key(key) if key else None,
    )


def value_at(config: Config, path: str) -> Any:
    """Return the value of the setting with this path."""
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    return value


Found = tuple[str, str, Any]
"""Path, place, and text (or the value itself where the source has types)."""


def _file(given: Path | None, environ: Mapping[str, str]) -> Path | None:
    named = given or (Path(environ["LEVADA_CONFIG"]) if environ.get("LEVADA_CONFIG") else None)
    if named is not None and not named.is_file():
        raise ConfigError(f"{named}: there is no such configuration file")
    return named or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)


def _from_file(file: Path | None) -> Iterator[Found | Problem]:
    for entry in entries(file, SPECS) if file is not None else ():
        if isinstance(entry, Problem):
            yield entry
        elif entry.path in SPECS:
            yield entry.path, f"{file}:{entry.line}", entry.value
        else:
            yield Problem(f"{file}:{entry.line}", f"unknown key `{entry.path}`{_nearest(entry.path, SPECS)}")


def _from_environment(environ: Mapping[str, str]) -> Iterator[Found | Problem]:
    for name, text in environ.items():
        if not name.startswith(PREFIX) or name in NOT_SETTINGS or name.startswith(PLAIN_PREFIX):
            continue
        if FROM_KUBERNETES.fullmatch(name) and (name not in VARIABLES or "://" in text):
            continue
        if name in VARIABLES:
            yield VARIABLES[name], name, text
        else:
            yield Problem(name, f"unknown environment variable{_nearest(name, VARIABLES)}")


def _from_options(options: Mapping[str, Any]) -> Iterator[Found | Problem]:
    for path, value in options.items():
        option = f"--{path.replace('.', '-').replace('_', '-')}"
        if path not in SPECS:
            yield Problem(option, f"unknown setting{_nearest(path, SPECS)}")
        elif value is not None:
            text = ",".join(value) if isinstance(value, list | tuple) else str(value)
            yield path, option, text


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    last = name.rpartition(".")[2]
    close = [path for path in known if path.rpartition(".")[2] == last]  # the right word in the wrong section
    close = close or difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else "; `levada config show` lists what there is"


def _build(section: type[T], values: Mapping[str, Any], prefix: str = "") -> T:
    hints = get_type_hints(section)
    given: dict[str, Any] = {}
    for field in dataclasses.fields(section):  # type: ignore[arg-type]  # every section is a dataclass
        path = f"{prefix}{field.name}"
        if path in values:
            given[field.name] = values[path]
        elif "setting" not in field.metadata:
            given[field.name] = _build(hints[field.name], values, f"{path}.")
    return section(**given)
