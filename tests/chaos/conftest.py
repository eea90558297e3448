"""What the fault tests share: installations that leave nothing behind, and how long to go on (LEVADA_CHAOS=long)."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import audit
import pytest
from installation import Installation, wait_until


@pytest.fixture
def long_form() -> bool:
    """Whether to try everything, however long it takes."""
    return os.environ.get("LEVADA_CHAOS") == "long"


@pytest.fixture
def cycles(long_form: bool) -> int:
    """How many faults of a random kind to make."""
    return 30 if long_form else 4


@pytest.fixture
def install(tmp_path: Path) -> Iterator[Callable[..., Installation]]:
    """Make an installation in the test's folder; it ends with the test."""
    made: list[Installation] = []

    def make(**env: str) -> Installation:
        made.append(Installation(tmp_path / f"installation{len(made)}", env))
        return made[-1]

    yield make
    for installation in made:
        installation.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Where the tasks of `chaos.mixed` write down each of their runs."""
    return tmp_path / "ledger"


@pytest.fixture
def keeps_its_promises(ledger: Path) -> Callable[[Installation, list[str]], None]:
    """Wait until everything has ended, then check tables and ledger."""

    def check(installation: Installation, acknowledged: list[str]) -> None:
        def quiet() -> bool:
            live, known = audit.fetch(
                installation.data,
                "SELECT count(*) FILTER (WHERE ended IS NULL), count(*) FILTER (WHERE id = ANY ($1)) FROM execution",
                acknowledged,
            )[0]
            return bool(live == 0 and known == len(set(acknowledged)))

        wait_until(quiet, "every acknowledged execution to end", 90, installation)
        assert len(acknowledged) == len(set(acknowledged)), "an id was given out twice"
        assert audit.broken_promises(installation.data, acknowledged) == []
        failed = audit.fetch(installation.data, "SELECT id, state FROM execution WHERE state NOT IN ('SUCCESS')")
        assert failed == [], "no fault may fail a flow that is right"
        runs = Counter(ledger.read_text().splitlines()) if ledger.exists() else Counter()
        assert [run for run, times in runs.items() if times > 1] == [], "an attempt ran twice"

    return check
