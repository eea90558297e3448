"""Labels as requests give them: `labels=key:value` in a query, arrays of key and value in a body.

Keys that begin with `system.` belong to Levada; the one a caller may set is the correlation id, so that executions which
belong together can be found together.
"""

from collections.abc import Iterable
from typing import Any

from levada_api import errors, filters
from levada_api.context import Api

SYSTEM = "system."
CORRELATION_ID = "system.correlationId"

Label = tuple[str, str]


def of_query(texts: Iterable[str]) -> tuple[list[Label], str | None]:
    """Return the labels of a start and the correlation id among them."""
    out, correlation = [], None
    for text in texts:
        pair = filters.label(text)
        if pair[0] == CORRELATION_ID:
            correlation = pair[1]
        else:
            out.append(pair)
    _check_system(out)
    return out, correlation


def of_body(data: Any) -> list[Label]:
    """Return the labels of `[{"key": "a", "value": "b"}]`. Raises 422 naming the entry that is wrong."""
    if not isinstance(data, list):
        raise errors.unprocessable('labels must be a list such as [{"key": "team", "value": "data"}]')
    out = []
    for index, item in enumerate(data):
        key = item.get("key") if isinstance(item, dict) else None
        value = item.get("value") if isinstance(item, dict) else None
        if not isinstance(key, str) or not key or not isinstance(value, str) or not value:
            raise errors.invalid_entity(
                [
                    errors.FieldError(
                        "a label needs a key and a value, both texts that are not empty", f"labels[{index}]"
                    )
                ]
            )
        out.append((key, value))
    _check_system(out)
    return out


def merged(*lists: Iterable[Label]) -> list[Label]:
    """Join lists of labels; a later value of a key replaces the earlier one in its place."""
    out: dict[str, str] = {}
    for pairs in lists:
        out.update(pairs)
    return list(out.items())


def check_size(api: Api, pairs: list[Label]) -> None:
    """Raise 422 when there are too many labels or one is too long."""
    limits = api.config.limits
    if len(pairs) > limits.labels:
        raise errors.illegal_argument(f"{len(pairs)} labels are more than the limit of {limits.labels} (limits.labels)")
    for key, value in pairs:
        if len(key.encode()) > limits.label or len(value.encode()) > limits.label:
            raise errors.illegal_argument(
                f"label {key[:80]!r}: key or value is larger than the limit of {limits.label} bytes (limits.label)"
            )


def _check_system(pairs: Iterable[Label]) -> None:
    for key, value in pairs:
        if key.startswith(SYSTEM):
            raise errors.illegal_argument(
                f"System labels can only be set by Kestra itself, offending label: {key}={value}"
            )
