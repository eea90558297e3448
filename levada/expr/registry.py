"""The tables of functions, filters and tests: the only things that an expression can call.

A table entry is a plain Python function, registered by a decorator; its own signature says which arguments exist, what they
are called and what they default to, so that the parser can refuse a wrong call and the documentation needs no second list.
Argument names are therefore written as users write them (`existingFormat`). A first parameter called `frame` gets the frame
of the evaluation and is not an argument.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from levada.expr.errors import ExpressionError
from levada.expr.frame import Frame
from levada.expr.host import service
from levada.expr.taint import conceal

Taint = Literal["derive", "keep", "secret"]
Paths = tuple[tuple[str, ...], ...]
Registrar = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument; `default` is shown in documentation and absent (None) when the argument is required."""

    name: str
    required: bool
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One function, filter or test.

    `io`: another service performs it. `ambient`: it needs the host's clock or randomness. `whole`: it can read any
    variable. `reads`: variables that it reads besides its arguments. `taint`: whether a text it returns becomes secret when
    an argument is (`derive`), is passed on as it is (`keep`), or is always secret (`secret`).
    """

    name: str
    parameters: tuple[Parameter, ...]
    doc: str
    call: Callable[..., Any]
    wants_frame: bool = False
    variadic: bool = False
    io: bool = False
    ambient: bool = False
    whole: bool = False
    heavy: bool = False
    cheap: bool = False
    reads: Paths = ()
    taint: Taint = "derive"
    is_filter: bool = False

    @property
    def signature(self) -> str:
        """How a call is written, with defaults."""
        shown = [p.name if p.required else f"{p.name}={p.default}" for p in self.parameters]
        if self.variadic:
            shown.append("…")
        return f"{self.name}({', '.join(shown)})" if shown or not self.is_filter else self.name

    def check(self, positional: int, named: tuple[str, ...]) -> None:
        """Refuse a call whose arguments do not fit. Raises ExpressionError without a position."""
        names = [parameter.name for parameter in self.parameters]
        if positional > len(names) and not self.variadic:
            raise ExpressionError(
                f"`{self.name}` takes at most {len(names)} arguments, {positional} given: {self.signature}"
            )
        for name in named:
            if name not in names:
                raise ExpressionError(f"`{self.name}` has no argument `{name}`: {self.signature}")
            if names.index(name) < positional:
                raise ExpressionError(f"`{self.name}` gets the argument `{name}` twice: {self.signature}")
        for parameter in self.parameters[positional:]:
            if parameter.required and parameter.name not in named:
                raise ExpressionError(f"`{self.name}` needs the argument `{parameter.name}`: {self.signature}")


FUNCTIONS: Final[dict[str, Entry]] = {}
FILTERS: Final[dict[str, Entry]] = {}
TESTS: Final[dict[str, Entry]] = {}


def function(
    name: str, *, ambient: bool = False, whole: bool = False, reads: Paths = (), taint: Taint = "derive"
) -> Registrar:
    """Register a function of the language."""

    def register(call: Callable[..., Any]) -> Callable[..., Any]:
        entry = _entry(name, call, skip=0, ambient=ambient, whole=whole, reads=reads, taint=taint)
        return _add(FUNCTIONS, entry)

    return register


def filter_(*names: str, taint: Taint = "derive", heavy: bool = False, cheap: bool = False) -> Registrar:
    """Register a filter under one or more names; its first argument is the filtered value."""

    def register(call: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            _add(FILTERS, _entry(name, call, skip=1, taint=taint, heavy=heavy, cheap=cheap, is_filter=True))
        return call

    return register


def test(name: str) -> Registrar:
    """Register a test for `is`; its first argument is the tested value."""

    def register(call: Callable[..., Any]) -> Callable[..., Any]:
        return _add(TESTS, _entry(name, call, skip=1, cheap=name != "json", is_filter=True))

    return register


def service_function(name: str, signature: str, doc: str, *, taint: Taint = "derive") -> None:
    """Register a function that the host performs; `signature` reads like `key, namespace=null`, `...` takes any more."""

    def call(frame: Frame, *args: Any, **kwargs: Any) -> Any:
        result = service(frame.host, name).call(name, list(args), kwargs)
        return conceal(result) if taint == "secret" else result

    parts = [part.strip() for part in signature.split(",") if part.strip()]
    parameters = tuple(_parameter(part) for part in parts if part != "...")
    entry = Entry(name, parameters, doc, call, wants_frame=True, variadic="..." in parts, io=True, taint=taint)
    _add(FUNCTIONS, entry)


def _parameter(text: str) -> Parameter:
    name, equals, default = text.partition("=")
    return Parameter(name, required=not equals, default=default or None)


def _entry(name: str, call: Callable[..., Any], *, skip: int, **flags: Any) -> Entry:
    given = list(inspect.signature(call).parameters.values())
    wants_frame = bool(given) and given[0].name == "frame"
    given = given[skip + wants_frame :]
    variadic = any(p.kind is p.VAR_POSITIONAL for p in given)
    parameters = tuple(
        Parameter(p.name, p.default is p.empty, None if p.default is p.empty else _shown(p.default))
        for p in given
        if p.kind is p.POSITIONAL_OR_KEYWORD
    )
    doc = inspect.getdoc(call) or ""
    return Entry(name, parameters, doc.partition("\n\n")[0].replace("\n", " "), call, wants_frame, variadic, **flags)


def _shown(default: Any) -> str:
    match default:
        case None:
            return "null"
        case bool():
            return "true" if default else "false"
        case str():
            return f"'{default}'"
    return str(default)


def _add(table: dict[str, Entry], entry: Entry) -> Callable[..., Any]:
    if entry.name in table:
        raise ValueError(f"{entry.name} is registered twice")
    if not entry.doc:
        raise ValueError(f"{entry.name} has no documentation")
    table[entry.name] = entry
    return entry.call
