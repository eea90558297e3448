"""The simulation as tests: a fixed range of seeds, the same seed twice, and every fence taken away once.

A failure prints how to play its seed again, with everything that happened.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from simulation.mutants import MUTANTS, Mutant, first_caught
from simulation.world import World

SIMFLOW = Path(__file__).with_name("simflow.py")
CHUNKS, CHUNK = 20, 10
MUTANT_SEEDS = 200


@pytest.mark.parametrize("first", range(0, CHUNKS * CHUNK, CHUNK))
def test_nothing_is_lost_or_done_twice(first: int) -> None:
    for seed in range(first, first + CHUNK):
        problems = World(seed).run()
        assert not problems, "\n".join(
            [f"replay: .venv/bin/python tests/simulation/simflow.py --seed {seed} --trace", *problems]
        )


@pytest.mark.parametrize("seed", [0, 5, 8])
def test_a_seed_is_the_same_world_twice(seed: int) -> None:
    one, other = World(seed), World(seed)
    one.run()
    other.run()
    assert one.digest == other.digest
    assert len(one.tables.heads) > 0


def test_a_seed_is_the_same_world_in_another_process() -> None:
    """Also where the hash of text, and with it the order of sets, is another."""
    said = {_play(hash_seed) for hash_seed in ("1", "2")}
    assert len(said) == 1, said


def _play(hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, str(SIMFLOW), "--seeds", "0-6", "--digests"],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_fence_that_is_taken_away_is_missed(mutant: Mutant) -> None:
    assert first_caught(mutant, MUTANT_SEEDS) is not None, f"nobody noticed: {mutant.__doc__}"
