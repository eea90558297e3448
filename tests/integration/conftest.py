"""A running product with small limits, for tests that give it what it must refuse."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest
from installation import Client, Installation

LIMITS = {
    "LEVADA_LIMITS_UPLOAD": "64KiB",
    "LEVADA_LIMITS_BODY": "128KiB",
    "LEVADA_LIMITS_OUTPUT": "16KiB",
    "LEVADA_LIMITS_ATTEMPT_LOGS": "1MiB",
    "LEVADA_LIMITS_STDOUT_RATE": "1GiB",
    "LEVADA_WORKER_KILL_GRACE": "1",
}
HEALTH_S = 2.0
GROWTH_MIB = 100.0


@pytest.fixture(scope="session")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One process for all of them: whatever one test leaves broken, the next one meets."""
    installation = Installation(tmp_path_factory.mktemp("limited"), LIMITS).start()
    yield installation
    installation.close()


@pytest.fixture
def server(limited: Installation) -> Iterator[Installation]:
    """The process, which must be alive, quick, lean and without an unexpected error after every test."""
    before, told = limited.rss_mib(), len(limited.log)
    yield limited
    assert limited.alive(), limited.log[-3000:]
    client = Client(limited.port, timeout_s=HEALTH_S)
    try:
        assert client.request("GET", "/health").json()["status"] == "UP"
    except (OSError, http.client.HTTPException) as error:
        pytest.fail(f"/health does not answer within {HEALTH_S} s: {error}")
    finally:
        client.close()
    assert limited.rss_mib() < before + GROWTH_MIB
    assert "error id" not in limited.log[told:]
