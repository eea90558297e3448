"""A host whose clock stands still and whose randomness repeats."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from levada.model.errors import UserError


class StillHost:
    """Answers `secret` and `kv`, and remembers every call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[Any], dict[str, Any]]] = []

    def now(self) -> datetime:
        return datetime(2024, 5, 17, 8, 9, 10, 123456, tzinfo=UTC)

    def random_bytes(self, n: int) -> bytes:
        return bytes(range(7, 7 + n)) if n < 200 else bytes(n)

    def call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        self.calls.append((name, args, kwargs))
        match name:
            case "secret":
                return {"DB": "hunter2", "JSON": '{"user": "ann", "ports": [1, 2]}'}[args[0]]
            case "kv":
                return {"limit": 5}
        raise UserError(f"{name} is not there")


@pytest.fixture
def host() -> StillHost:
    return StillHost()
