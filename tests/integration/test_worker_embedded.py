"""The worker inside the platform's process."""

import asyncio
import os
from pathlib import Path

import pytest

from levada.runtime.clock import SystemClock
from levada.runtime.config import Config
from levada.runtime.platform import Platform
from levada_worker import config, folders, main


async def test_it_starts_and_stops_with_the_platform(tmp_path: Path) -> None:
    platform = Platform.in_memory(SystemClock(), Config(data_dir=tmp_path))
    stop = asyncio.Event()
    running = asyncio.create_task(main.run(platform, stop))
    await asyncio.sleep(0.1)
    assert not running.done()
    stop.set()
    async with asyncio.timeout(5):
        await running
    assert (tmp_path / "worker").is_dir()


def test_folders_of_dead_workers_are_removed_and_others_left_alone(tmp_path: Path) -> None:
    dead = tmp_path / "levada-worker-999999999-x"
    alive = tmp_path / f"levada-worker-{os.getpid()}-x"
    foreign = tmp_path / "levada-worker-notes"
    for folder in (dead, alive, foreign):
        (folder / "deep").mkdir(parents=True)
    made = folders.temporary(tmp_path)
    assert not dead.exists()
    assert alive.exists()
    assert foreign.exists()
    assert made.stat().st_mode & 0o777 == 0o700


def test_the_name_tells_installations_on_one_machine_apart(tmp_path: Path) -> None:
    one, two = (config.configured(Config(data_dir=tmp_path / name), tmp_path) for name in ("a", "b"))
    assert one.name != two.name
    assert one.name == config.configured(Config(data_dir=tmp_path / "a"), tmp_path).name


def test_a_process_of_its_own_says_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for settings, remedy in (
        ({}, "LEVADA_WORKER_GATEWAY_URL"),
        ({"LEVADA_WORKER_GATEWAY_URL": "levada-api:8080"}, "must look like"),
        ({"LEVADA_WORKER_GATEWAY_URL": "http://levada-api:8080"}, "LEVADA_WORKER_TOKEN"),
    ):
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as end:
            main.main()
        assert end.value.code == 3
        assert remedy in capsys.readouterr().err
