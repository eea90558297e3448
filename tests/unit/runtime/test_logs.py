from __future__ import annotations

import asyncio
import io
import json
import logging
import os
from collections.abc import Iterator

import pytest

from levada.runtime import logs

log = logging.getLogger("levada.test")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("levada.test.loud").setLevel(logging.NOTSET)


def test_json_lines_carry_ids_and_exceptions() -> None:
    out = io.StringIO()
    logs.configure("json", stream=out, service="executor")
    with logs.bound(execution_id="e1", trace_id=None), logs.bound(task_run_id="t1"):
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            log.exception("run %s failed\nbadly", 7)
    line = json.loads(out.getvalue())
    assert out.getvalue().count("\n") == 1
    assert line.pop("time").endswith("Z")
    assert "ZeroDivisionError" in line.pop("exception")
    assert line.pop("instance").endswith(f"/{os.getpid()}")
    assert line == {
        "level": "ERROR",
        "logger": "levada.test",
        "message": "run 7 failed\nbadly",
        "service": "executor",
        "execution_id": "e1",
        "task_run_id": "t1",
    }


def test_json_escapes_what_controls_terminals_and_what_is_no_text() -> None:
    out = io.StringIO()
    logs.configure("json", stream=out)
    nasty = "a\x1b[2J\x9b\x7f\u2028\r\nb\x00"
    log.info(nasty)
    log.info("half a pair: \udc80 \x9b")
    first, second = out.getvalue().split("\n")[:2]
    assert json.loads(first)["message"] == nasty
    assert json.loads(second)["message"] == "half a pair: \udc80 \x9b"
    assert out.getvalue().replace("\n", "").isprintable()


def test_text_has_colours_only_on_a_terminal() -> None:
    for out, coloured in ((io.StringIO(), False), (Terminal(), True)):
        logs.configure("text", stream=out)
        log.warning("careful")
        assert ("\x1b[" in out.getvalue()) == coloured
        assert "careful" in out.getvalue()


def test_a_message_can_neither_forge_a_line_nor_move_the_cursor() -> None:
    out = io.StringIO()
    logs.configure("text", stream=out)
    log.info("hello\n2026-01-01T00:00:00.000Z ERROR   levada: forged\x1b[2J\r\x9b")
    first, second = out.getvalue().splitlines()
    assert first.endswith("levada.test: hello")
    assert second == "    2026-01-01T00:00:00.000Z ERROR   levada: forged\\x1b[2J\\x0d\\x9b"


def test_levels_hold_for_all_and_for_single_loggers() -> None:
    out = io.StringIO()
    logs.configure("text", "warning", {"levada.test.loud": "trace"}, out)
    log.info("not this")
    logging.getLogger("levada.test.loud").log(logs.TRACE, "but this")
    assert "not this" not in out.getvalue()
    assert "TRACE" in out.getvalue()


async def test_ids_belong_to_the_task_that_bound_them() -> None:
    out = io.StringIO()
    logs.configure("json", stream=out)

    async def one(name: str) -> None:
        with logs.bound(execution_id=name):
            await asyncio.sleep(0)
            log.info(name)

    await asyncio.gather(one("a"), one("b"))
    log.info("none")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["message"], line.get("execution_id")) for line in lines] == [("a", "a"), ("b", "b"), ("none", None)]
