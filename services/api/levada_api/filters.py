"""The query grammar of searches, new and old, turned into the filters of the store.

New: `filters[field][OPERATOR]=value`, for maps `filters[labels][EQUALS][key]=value`, repeated filters must all hold; groups
`filters[or][0][field][OP]=value` hold when one of them does. Old (0.x): `namespace`, `flowId`, `state`, `labels=key:value`,
`q`, `startDate`, … by name. Each resource has a table that says which field with which operator it understands; anything
else is refused by name, never ignored, because a filter that is ignored deletes too much in a by-query operation.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from levada.model import durations
from levada.model.states import State
from levada.store.port import ExecutionFilter, LogFilter
from levada_api import errors
from levada_api.call import Call, instant

_KEY = re.compile(
    r"filters(?P<groups>(?:\[(?:and|or)\]\[\d+\]){0,2})\[(?P<field>\w+)\]\[(?P<op>[A-Z_]+)\](?:\[(?P<key>.+)\])?"
)

LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR")


class Term(msgspec.Struct, frozen=True):
    """One condition. `key` is the key within a map field; `any_of` marks a member of an or-group."""

    field: str
    op: str
    value: str
    key: str | None = None
    any_of: bool = False

    @property
    def values(self) -> list[str]:
        return [part.strip() for part in self.value.split(",") if part.strip()]

    @property
    def name(self) -> str:
        return f"filters[{self.field}][{self.op}]"


def terms(query: Iterable[tuple[str, str]]) -> list[Term]:
    """Return the new-style conditions of a query string. Raises 422 for a `filters…` parameter that is none."""
    out = []
    for name, value in query:
        if not name.startswith("filters"):
            continue
        found = _KEY.fullmatch(name)
        if found is None:
            raise errors.unprocessable(f"`{name}` is not a filter; it must look like filters[namespace][EQUALS]=value")
        out.append(Term(found["field"], found["op"], value, found["key"], "[or]" in found["groups"]))
    return _merge_alternatives(out)


def _merge_alternatives(found: list[Term]) -> list[Term]:
    """Join an or-group over one field into one IN; other alternatives have no filter in the store."""
    plain = [term for term in found if not term.any_of]
    either = [term for term in found if term.any_of]
    if not either:
        return plain
    fields = {term.field for term in either}
    if len(fields) > 1 or any(term.op not in ("EQUALS", "IN") for term in either):
        raise errors.unprocessable(
            "an `or` group may only list alternatives of one field with EQUALS or IN, this one has "
            + ", ".join(sorted({term.name for term in either}))
        )
    return [*plain, Term(fields.pop(), "IN", ",".join(term.value for term in either))]


def duration_us(text: str, name: str) -> int:
    """Return an ISO 8601 duration in microseconds."""
    try:
        return durations.parse(text)
    except durations.BadDuration as error:
        raise errors.unprocessable(f"`{name}`: {error}") from None


def state(text: str, name: str) -> State:
    try:
        return State(text.upper())
    except ValueError:
        raise errors.unprocessable(
            f"`{name}` must be one of {', '.join(state.value for state in State)}, is `{text}`"
        ) from None


def level(text: str, name: str) -> str:
    if text.upper() not in LEVELS:
        raise errors.unprocessable(f"`{name}` must be one of {', '.join(LEVELS)}, is `{text}`")
    return text.upper()


def label(text: str) -> tuple[str, str]:
    """Return key and value of `key:value`. Raises 422 when one of them is empty."""
    key, colon, value = text.partition(":")
    if not colon or not key or not value:
        raise errors.unprocessable(f"Invalid label `{text}`, it must look like `key:value`")
    return key, value


Values = dict[str, Any]
Setter = Callable[[Values, Term, int], None]


def _text(values: Values, term: Term, now: int) -> None:
    values["text"] = term.value


def _exact(name: str) -> Setter:
    def put(values: Values, term: Term, now: int) -> None:
        values[name] = term.value

    return put


def _namespace(exact: bool) -> Setter:
    def put(values: Values, term: Term, now: int) -> None:
        names = term.values
        if len(names) != 1:
            raise errors.unprocessable(f"{term.name} takes one namespace, not {len(names)}")
        values["namespace"], values["exact"] = names[0], exact

    return put


def _states(name: str) -> Setter:
    def put(values: Values, term: Term, now: int) -> None:
        values[name] = tuple(state(text, term.name) for text in term.values)

    return put


def _labels(values: Values, term: Term, now: int) -> None:
    pair = (term.key, term.value) if term.key is not None else label(term.value)
    values.setdefault("labels", {})[pair[0]] = pair[1]


def _since(values: Values, term: Term, now: int) -> None:
    values["since"] = instant(term.value, term.name)


def _until(values: Values, term: Term, now: int) -> None:
    values["until"] = instant(term.value, term.name)


def _range(values: Values, term: Term, now: int) -> None:
    values["since"] = now - duration_us(term.value, term.name)


def _ids(values: Values, term: Term, now: int) -> None:
    values["ids"] = term.values


def _child(values: Values, term: Term, now: int) -> None:
    if term.value not in ("CHILD", "MAIN"):
        raise errors.unprocessable(f"{term.name} must be CHILD or MAIN, is `{term.value}`")
    values["children"] = term.value == "CHILD"


def _kinds(values: Values, term: Term, now: int) -> None:
    values["kinds"] = term.values


def _min_level(values: Values, term: Term, now: int) -> None:
    values["min_level"] = level(term.value, term.name)


def _attempt(values: Values, term: Term, now: int) -> None:
    if not term.value.isdecimal() or len(term.value) > 9:
        raise errors.unprocessable(f"{term.name} must be a number, is `{term.value}`")
    values["attempt"] = int(term.value)


def _scope(values: Values, term: Term, now: int) -> None:
    # Flows of the system namespace are not set apart here, so both scopes together are all there is.
    if not set(term.values) <= {"USER", "SYSTEM"}:
        raise errors.unprocessable(f"{term.name} must be USER or SYSTEM, is `{term.value}`")


_TIMES: dict[tuple[str, str], Setter] = {
    ("startDate", "GREATER_THAN"): _since,
    ("startDate", "GREATER_THAN_OR_EQUAL_TO"): _since,
    ("startDate", "EQUALS"): _since,
    ("endDate", "LESS_THAN"): _until,
    ("endDate", "LESS_THAN_OR_EQUAL_TO"): _until,
    ("endDate", "EQUALS"): _until,
    ("timeRange", "EQUALS"): _range,
}

_PLACE: dict[tuple[str, str], Setter] = {
    ("q", "EQUALS"): _text,
    ("q", "CONTAINS"): _text,
    ("namespace", "EQUALS"): _namespace(exact=True),
    ("namespace", "IN"): _namespace(exact=True),
    ("namespace", "PREFIX"): _namespace(exact=False),
    ("namespace", "STARTS_WITH"): _namespace(exact=False),
    ("flowId", "EQUALS"): _exact("flow_id"),
    ("scope", "EQUALS"): _scope,
    ("scope", "IN"): _scope,
}

EXECUTION_FIELDS: dict[tuple[str, str], Setter] = {
    **_PLACE,
    **_TIMES,
    ("id", "EQUALS"): _ids,
    ("id", "IN"): _ids,
    ("executionId", "EQUALS"): _ids,
    ("executionId", "IN"): _ids,
    ("state", "EQUALS"): _states("states"),
    ("state", "IN"): _states("states"),
    ("state", "NOT_EQUALS"): _states("not_states"),
    ("state", "NOT_IN"): _states("not_states"),
    ("labels", "EQUALS"): _labels,
    ("parentId", "EQUALS"): _exact("parent_id"),
    ("triggerExecutionId", "EQUALS"): _exact("trigger_execution_id"),
    ("childFilter", "EQUALS"): _child,
    ("kind", "EQUALS"): _kinds,
    ("kind", "IN"): _kinds,
}

LOG_FIELDS: dict[tuple[str, str], Setter] = {
    **{key: setter for key, setter in _PLACE.items() if key[0] != "namespace" or key[1] == "EQUALS"},
    ("namespace", "PREFIX"): _namespace(exact=False),
    **_TIMES,
    ("level", "EQUALS"): _min_level,
    ("level", "GREATER_THAN_OR_EQUAL_TO"): _min_level,
    ("minLevel", "EQUALS"): _min_level,
    ("executionId", "EQUALS"): _exact("execution_id"),
    ("taskId", "EQUALS"): _exact("task_id"),
    ("taskRunId", "EQUALS"): _exact("task_run_id"),
    ("triggerId", "EQUALS"): _exact("trigger_id"),
    ("attemptNumber", "EQUALS"): _attempt,
}

FLOW_FIELDS: dict[tuple[str, str], Setter] = {
    ("q", "EQUALS"): _text,
    ("q", "CONTAINS"): _text,
    ("namespace", "EQUALS"): _namespace(exact=True),
    ("namespace", "IN"): _namespace(exact=True),
    ("namespace", "PREFIX"): _namespace(exact=False),
    ("namespace", "STARTS_WITH"): _namespace(exact=False),
    ("labels", "EQUALS"): _labels,
    ("scope", "EQUALS"): _scope,
    ("scope", "IN"): _scope,
}

AUDIT_FIELDS: dict[tuple[str, str], Setter] = {
    ("q", "EQUALS"): _text,
    ("q", "CONTAINS"): _text,
    ("namespace", "EQUALS"): _namespace(exact=False),
    ("namespace", "PREFIX"): _namespace(exact=False),
    ("namespace", "STARTS_WITH"): _namespace(exact=False),
    **_TIMES,
}

#: Parameters of 0.x: what they mean in the new grammar.
LEGACY: dict[str, tuple[str, str]] = {
    "q": ("q", "EQUALS"),
    "scope": ("scope", "EQUALS"),
    "namespace": ("namespace", "PREFIX"),
    "flowId": ("flowId", "EQUALS"),
    "startDate": ("startDate", "GREATER_THAN_OR_EQUAL_TO"),
    "endDate": ("endDate", "LESS_THAN_OR_EQUAL_TO"),
    "timeRange": ("timeRange", "EQUALS"),
    "triggerExecutionId": ("triggerExecutionId", "EQUALS"),
    "childFilter": ("childFilter", "EQUALS"),
    "minLevel": ("minLevel", "EQUALS"),
    "triggerId": ("triggerId", "EQUALS"),
    "executionId": ("executionId", "EQUALS"),
    "taskId": ("taskId", "EQUALS"),
    "taskRunId": ("taskRunId", "EQUALS"),
    "attempt": ("attemptNumber", "EQUALS"),
}


def read(call: Call, fields: Mapping[tuple[str, str], Setter]) -> Values:
    """Return the arguments of a store filter for the query of this call. Raises 400 or 422 naming what it refuses."""
    query = call.request.query
    found = terms(query.items())
    for name, (field, op) in LEGACY.items():
        value = query.get(name)
        if value and (field, op) in fields:
            found.append(Term(field, op, value))
    if ("state", "IN") in fields and call.args("state"):
        found.append(Term("state", "IN", ",".join(call.args("state"))))
    if ("labels", "EQUALS") in fields:
        found.extend(Term("labels", "EQUALS", text) for text in call.args("labels"))
    values: Values = {}
    now = call.api.now()
    for term in found:
        _setter(fields, term)(values, term, now)
    since, until = values.get("since"), values.get("until")
    if since is not None and until is not None and since > until:
        raise errors.illegal_argument("Start date must be before End Date")
    return values


def _setter(fields: Mapping[tuple[str, str], Setter], term: Term) -> Setter:
    setter = fields.get((term.field, term.op))
    if setter is not None:
        return setter
    known = sorted(op for field, op in fields if field == term.field)
    if known:
        raise errors.bad_request(f"{term.name}: `{term.field}` can be filtered by {', '.join(known)}")
    raise errors.bad_request(
        f"{term.name}: no filter `{term.field}` here, only {', '.join(sorted({field for field, _ in fields}))}"
    )


def executions(call: Call) -> ExecutionFilter:
    return ExecutionFilter(**read(call, EXECUTION_FIELDS))


def logs(call: Call, **fixed: Any) -> LogFilter:
    """`fixed` are parts that the path has decided."""
    values = read(call, LOG_FIELDS)
    values.pop("exact", None)
    return LogFilter(**{**values, **fixed})
