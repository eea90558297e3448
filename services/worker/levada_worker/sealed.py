"""Opening values that travel encrypted: SECRET inputs, and outputs that a task sealed.

A job carries them as they are stored. Only here, on the worker that renders them, do they become text, marked as secret,
and known to the masker before anything can print them.
"""

from typing import Any

from levada.expr import Secret
from levada.runtime import sealing
from levada_worker.mask import Masker


def opened(variables: dict[str, Any], key: bytes | None, masker: Masker) -> dict[str, Any]:
    """Return the variables with every sealed value opened. Raises UserError when another key sealed one."""
    if key is None or not _any_sealed(variables):
        return variables
    return {name: _open(value, key, masker) for name, value in variables.items()}


def _open(value: Any, key: bytes, masker: Masker) -> Any:
    if sealing.is_sealed(value):
        text = sealing.unseal(key, value)
        masker.add([text])
        return Secret(text)
    if isinstance(value, dict):
        return {name: _open(inner, key, masker) for name, inner in value.items()}
    if isinstance(value, list):
        return [_open(inner, key, masker) for inner in value]
    return value


def _any_sealed(root: Any) -> bool:
    pending = [root]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if sealing.is_sealed(value):
                return True
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
    return False
