"""The worker's times fit together, whatever lease an installation has."""

from __future__ import annotations

from pathlib import Path

import pytest

from levada_worker.config import WorkerConfig


@pytest.mark.parametrize("lease_s", [1.0, 3.0, 6.0, 10.0, 15.0, 30.0, 120.0])
def test_a_healthy_attempt_is_renewed_before_the_fence_and_the_fence_falls_before_the_lease_ends(
    lease_s: float,
) -> None:
    config = WorkerConfig(name="w", data_dir=Path("d"), temp_dir=Path("t"), lease_s=lease_s)
    oldest = config.claim_poll_s + config.renew_every_s
    assert oldest < config.fence_after_s, "a task that waited long for its claim would be killed for nothing"
    look_every_s = min(1.0, lease_s / 20)
    assert config.fence_after_s + look_every_s < lease_s
