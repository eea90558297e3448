"""A folder that is edited, and what the server hears of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from levada.cli.live_folder import LiveFolder

HELLO = "id: hello\nnamespace: demo\ntasks:\n  - id: say\n    type: core.log.Log\n    message: {}\n"


@pytest.fixture
def folder(tmp_path: Path, api) -> Path:
    for name in ("hello", "other"):
        api.answers[f"PUT flows/demo/{name}"] = {"namespace": "demo", "id": name, "revision": 1}
        api.answers[f"DELETE flows/demo/{name}"] = (200, {})
    (tmp_path / "hello.yml").write_text(HELLO.format("one"))
    return tmp_path


def deployed(api) -> list[bytes]:
    return [body for key, _, body in api.asked if key.startswith("PUT")]


async def until(condition, seconds: float = 5.0) -> None:
    """Wait for what another task does; there is no event to wait for in a screen or a list of requests."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_all_files_are_deployed_and_wrong_ones_counted(api, client, folder, capsys) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "bad.yaml").write_text("id: bad\nnamespace: demo\ntasks:\n  - id: x\n    type: core.log.Lg\n")
    assert await LiveFolder(folder, client).deploy_all() == (1, 1)
    assert "bad.yaml:5:" in capsys.readouterr().err


async def test_a_saved_file_is_deployed_and_a_touched_one_is_not(api, client, folder) -> None:
    live, stop = LiveFolder(folder, client), asyncio.Event()
    await live.deploy_all()
    watching = asyncio.create_task(live.watch(stop))
    await asyncio.sleep(0.3)
    (folder / "hello.yml").write_text(HELLO.format("one"))
    (folder / "other.yml").write_text(HELLO.format("two").replace("hello", "other"))
    await until(lambda: len(deployed(api)) == 2)
    assert b"other" in deployed(api)[1]
    stop.set()
    await watching


async def test_an_error_is_printed_with_its_place_and_the_repair_deployed(api, client, folder, capsys) -> None:
    live, stop = LiveFolder(folder, client), asyncio.Event()
    await live.deploy_all()
    watching = asyncio.create_task(live.watch(stop))
    await asyncio.sleep(0.3)
    (folder / "hello.yml").write_text(HELLO.format("one") + "tasks: []\n")
    printed = ""

    def told() -> bool:
        nonlocal printed
        printed += capsys.readouterr().err
        return "hello.yml:7:1" in printed

    await until(told)
    (folder / "hello.yml").write_text(HELLO.format("three"))
    await until(lambda: len(deployed(api)) == 2)
    stop.set()
    await watching


@pytest.mark.parametrize("prune", [False, True])
async def test_a_file_that_goes_takes_its_flow_along_only_when_asked_to(api, client, folder, capsys, prune) -> None:
    live, stop = LiveFolder(folder, client, prune=prune), asyncio.Event()
    await live.deploy_all()
    watching = asyncio.create_task(live.watch(stop))
    await asyncio.sleep(0.3)
    (folder / "hello.yml").unlink()
    word = "deleted demo.hello" if prune else "the server keeps it"
    await until(lambda: word in capsys.readouterr().err)
    assert any(key == "DELETE flows/demo/hello" for key, _, _ in api.asked) is prune
    stop.set()
    await watching


async def test_a_flow_that_moves_to_another_file_is_not_gone(api, client, folder, capsys) -> None:
    live, stop = LiveFolder(folder, client, prune=True), asyncio.Event()
    await live.deploy_all()
    watching = asyncio.create_task(live.watch(stop))
    await asyncio.sleep(0.3)
    (folder / "hello.yml").rename(folder / "a_renamed.yml")
    await until(lambda: len(deployed(api)) == 2)
    await asyncio.sleep(0.3)
    assert not any(key.startswith("DELETE") for key, _, _ in api.asked)
    stop.set()
    await watching


async def test_hidden_files_and_other_files_are_left_alone(api, client, folder) -> None:
    (folder / ".hello.yml.swp").write_text("x")
    (folder / ".draft.yml").write_text("x: [")
    (folder / "notes.md").write_text("x")
    assert await LiveFolder(folder, client).deploy_all() == (1, 0)
