"""Watching an execution: each line once, in spite of two readings of the log, and the end as stored."""

from __future__ import annotations

from typing import Any

from levada.cli.follow import Watch, progress_text


def execution(state: str, **more: Any) -> dict[str, Any]:
    return {"id": "e", "namespace": "n", "flowId": "f", "state": {"current": state}, **more}


def line(message: str, at: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    return {"timestamp": at, "level": "INFO", "taskId": "t", "taskRunId": "r", "message": message}


async def test_lines_of_the_stream_and_of_the_rest_are_printed_once(api, client) -> None:
    api.answers |= {
        "GET executions/e/follow": [execution("RUNNING"), execution("SUCCESS")],
        "GET executions/e": execution("SUCCESS", outputs={"a": 1}),
        "GET logs/e/follow": [line("one"), line("two")],
        "GET logs/e": lambda: (200, [line("one"), line("two"), line("late"), line("late")]),
    }
    shown: list[str] = []
    ended = await Watch(client, "e", shown.append).until_end()
    assert ended["outputs"] == {"a": 1}
    assert [text.rpartition(" ")[2] for text in shown] == ["one", "two", "late", "late"]


async def test_a_broken_stream_of_states_is_read_again(api, client) -> None:
    answers = iter([503, [execution("RUNNING")], [execution("FAILED")]])
    api.answers |= {
        "GET executions/e/follow": lambda: next(answers),
        "GET executions/e": execution("FAILED"),
        "GET logs/e/follow": [],
        "GET logs/e": lambda: (200, []),
    }
    assert (await Watch(client, "e", print).until_end())["state"]["current"] == "FAILED"


async def test_logs_that_cannot_be_followed_are_still_read_at_the_end(api, client) -> None:
    api.answers |= {
        "GET executions/e/follow": [execution("SUCCESS")],
        "GET executions/e": execution("SUCCESS"),
        "GET logs/e/follow": 500,
        "GET logs/e": lambda: (200, [line("one")]),
    }
    shown: list[str] = []
    await Watch(client, "e", shown.append).until_end()
    assert len(shown) == 1


def test_progress_counts_ended_task_runs_and_names_running_ones() -> None:
    runs = [{"taskId": "a", "state": {"current": "SUCCESS"}}, {"taskId": "b", "state": {"current": "RUNNING"}}]
    assert progress_text(execution("RUNNING", taskRunList=runs)) == "RUNNING  1/2 task runs  b"
