"""What every test can use without asking: fixtures that live as plugins under tests/support."""

from __future__ import annotations

pytest_plugins = ("postgres", "kafka", "objectstore")
