"""A scheduler for every test."""

from __future__ import annotations

import pytest
from scheduling import Desk


@pytest.fixture
def desk() -> Desk:
    """Monday, 5 January 2026, 08:00:30."""
    return Desk("2026-01-05T08:00:30Z")
