"""WorkingDirectory jobs: children in one folder, files in and out, caches, branches."""

import asyncio
from pathlib import Path
from typing import Any

from worker_bench import Bench, bench

from levada.model import ids
from levada.model.commands import ChildTask, TaskFinished
from levada.model.jobs import JobKind
from levada.model.states import State

WORKING_DIRECTORY = "core.flow.WorkingDirectory"


def shell(id: str, *commands: str, **task: Any) -> dict[str, Any]:
    properties = {"commands": list(commands), **task.pop("properties", {})}
    return {"id": id, "type": "scripts.shell.Commands", "properties": properties, **task}


def ret(id: str, text: str, **task: Any) -> dict[str, Any]:
    return {"id": id, "type": "core.debug.Return", "properties": {"format": text}, **task}


async def play(b: Bench, *tasks: dict[str, Any], **job: Any) -> TaskFinished:
    branches = {"tasks": list(tasks), **job.pop("branches", {})}
    return await b.play(WORKING_DIRECTORY, kind=JobKind.WORKING_DIRECTORY, branches=branches, **{"id": "wd", **job})


def states(result: TaskFinished) -> dict[str, str]:
    return {child.task_id: child.state.value for child in result.children}


def child(result: TaskFinished, task_id: str) -> ChildTask:
    return next(child for child in result.children if child.task_id == task_id)


async def test_children_share_a_folder_and_see_each_others_outputs(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        result = await play(
            b,
            shell("one", "echo hello > file.txt", """echo '::{"outputs":{"n":7}}::'"""),
            shell("two", "cat file.txt", "echo n={{ outputs.one.vars.n }} of {{ outputs.before.value }}"),
            variables={"outputs": {"before": {"value": "earlier"}}},
        )
        assert result.state is State.SUCCESS
        assert b.messages("INFO") == ["hello", "n=7 of earlier"]
        assert states(result) == {"one": "SUCCESS", "two": "SUCCESS"}
        assert [child.index for child in result.children] == [0, 1]
        assert [state for state, _ in result.children[0].history] == [State.CREATED, State.RUNNING, State.SUCCESS]
        one = child(result, "one")
        assert one.outputs is not None
        assert one.outputs["vars"] == {"n": 7}
        run_id = ids.derive(result.task_run_id, one.key)
        assert {entry.task_run_id for entry in b.logs if entry.task_id == "one"} <= {run_id}
        assert not list((tmp_path / "tmp").iterdir())


async def test_children_are_reported_while_they_run(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        run_id = b.submit(
            WORKING_DIRECTORY, kind=JobKind.WORKING_DIRECTORY, branches={"tasks": [shell("slow", "echo on; sleep 1")]}
        )
        await b.logged("on")
        async with asyncio.timeout(3):
            while not b.progress[run_id]:  # noqa: ASYNC110  the outbox sends when it likes
                await asyncio.sleep(0.01)
        assert b.progress[run_id][0].children[0].state is State.RUNNING
        await b.result(run_id)


async def test_the_variables_of_a_child_are_those_of_kestra(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        result = await play(
            b,
            ret("a", "{{ task.id }} {{ taskrun.value }} {{ taskrun.parentId == workerTaskrun.id }}"),
            ret("b", "{{ parent }}"),
            ret("c", "{{ parents[1].taskrun.value }}"),
            value="1",
            variables={"parents": [{"taskrun": {"value": "outer"}}]},
        )
        assert [entry.outputs for entry in result.children] == [
            {"value": "a 1 true"},
            {"value": '{"taskrun":{"value":"1"}}'},
            {"value": "outer"},
        ]


async def test_the_value_of_a_surrounding_loop_reaches_the_children(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        variables = {"taskrun": {"id": "x"}, "parents": [{"taskrun": {"id": "y"}}, {"taskrun": {"value": "item"}}]}
        result = await play(b, ret("a", "{{ taskrun.value }}"), variables=variables)
        assert child(result, "a").outputs == {"value": "item"}


async def test_a_failure_stops_the_sequence_and_runs_errors_and_finally(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        result = await play(
            b,
            shell("bad", "echo kept > result.txt", "exit 1"),
            shell("never", "true"),
            branches={"errors": [ret("handler", "handled")], "finally": [shell("last", "ls")]},
            properties={"outputFiles": ["*.txt"]},
        )
        assert result.state is State.FAILED
        assert result.error == "task `bad` failed: Command failed with exit code 1"
        assert states(result) == {"bad": "FAILED", "handler": "SUCCESS", "last": "SUCCESS"}
        assert result.outputs is not None
        assert await b.files.read(result.outputs["outputFiles"]["result.txt"]) == b"kept\n"


async def test_conditions_and_allowances_of_children_hold(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        result = await play(
            b,
            ret("off", "x", disabled=True),
            ret("skipped", "x", run_if="{{ 1 == 2 }}"),
            shell("soft", "exit 1", allow_failure=True),
            shell("softer", "exit 1", allow_failure=True, allow_warning=True),
            ret("on", "x", run_if="{{ outputs.soft is not defined or true }}"),
        )
        assert states(result) == {"skipped": "SKIPPED", "soft": "WARNING", "softer": "SUCCESS", "on": "SUCCESS"}
        assert result.state is State.WARNING


async def test_a_condition_that_cannot_be_read_fails_the_child(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        result = await play(b, ret("a", "x", run_if="{{ outputs.nothing.x }}"))
        assert states(result) == {"a": "FAILED"}
        error = child(result, "a").error
        assert error is not None
        assert "`runIf`" in error


async def test_a_failed_child_is_tried_again(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        retry = {"type": "constant", "interval": 50_000, "max_attempts": 3}
        result = await play(b, shell("flaky", "echo x >> tries", "test $(wc -l < tries) -ge 3", retry=retry))
        assert result.state is State.SUCCESS
        assert child(result, "flaky").attempts == 3
        assert [entry.attempt for entry in b.logs if entry.level == "ERROR"] == [1, 2]


async def test_input_files_and_namespace_files_are_there(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.files.put("kestra:///in/stored.bin", b"stored")
        await b.services.namespace_files.put("company.team", "queries/a.sql", b"select 1")
        await b.services.namespace_files.put("company.team", "ignore/b.sql", b"")
        result = await play(
            b,
            shell("list", "find . -type f | sort", "cat input.txt stored.bin queries/a.sql data.json"),
            properties={
                "inputFiles": {
                    "input.txt": "Hello {{ inputs.name }}\n", "stored.bin": "kestra:///in/stored.bin", "data.json": {"a": 1},
                },
                "namespaceFiles": {"enabled": True, "exclude": ["/ignore/**"]},
            },
            variables={"inputs": {"name": "World"}},
        )  # fmt: skip
        assert result.state is State.SUCCESS
        assert b.messages("INFO") == [
            "./data.json", "./input.txt", "./queries/a.sql", "./stored.bin", "Hello World", 'storedselect 1{"a": 1}',
        ]  # fmt: skip


async def test_files_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        for name in ("../x", "a/../../x", "/../x"):
            result = await play(b, ret("a", "x"), properties={"inputFiles": {name: "content"}})
            assert result.state is State.FAILED
            assert result.children == []
        for uri in ("file:///etc/passwd",):
            result = await play(b, ret("a", "x"), properties={"inputFiles": {"x": uri}})
            assert result.error is not None
            assert "may not read" in result.error
        result = await play(
            b, shell("a", f"ln -s {tmp_path} out; ln -s /etc/passwd p"), properties={"outputFiles": ["**"]}
        )
        assert result.outputs == {"outputFiles": {}}


async def test_cached_files_come_back_in_the_next_run(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        properties = {"cache": {"patterns": ["*.txt", "deep/**"], "ttl": "PT5m"}}
        tasks = [
            shell("look", "ls -A | tr '\\n' ' '"),
            shell("make", "mkdir -p deep/er; echo x > a.txt; echo y > deep/er/b; echo z > other; chmod +x a.txt"),
        ]
        await play(b, *tasks, properties=properties)
        await play(b, *tasks, properties=properties)
        await play(b, *tasks, properties=properties, id="another")
        assert b.messages("INFO") == ["a.txt deep "]
        await play(b, shell("check", "test -x a.txt; cat deep/er/b"), properties=properties)
        assert b.messages("INFO")[-1] == "y"


async def test_an_expired_cache_is_dropped(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        properties = {"cache": {"patterns": ["*.txt"], "ttl": "PT0.05S"}}
        await play(b, shell("make", "touch a.txt"), properties=properties)
        await asyncio.sleep(0.1)
        await play(b, shell("look", "ls"), properties=properties)
        assert "older than their ttl" in " ".join(b.messages("DEBUG"))
        assert b.messages("INFO") == []


async def test_killing_a_directory_kills_the_child_that_runs(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        run_id = b.submit(
            WORKING_DIRECTORY,
            kind=JobKind.WORKING_DIRECTORY,
            branches={"tasks": [ret("first", "x"), shell("second", "echo on; sleep 60"), ret("third", "x")]},
        )
        await b.logged("on")
        b.cancel(run_id)
        result = await b.result(run_id)
        assert result.state is State.KILLED
        assert states(result) == {"first": "SUCCESS", "second": "KILLED"}


async def test_a_timeout_of_the_directory_ends_its_child(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        result = await play(b, shell("slow", "sleep 60"), timeout="PT0.2S")
        assert (result.state, result.error) == (State.FAILED, "Timeout after PT0.2S")
        assert states(result) == {"slow": "KILLED"}


async def test_tasks_that_change_the_execution_say_that_they_cannot_run_here(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        labels = {"id": "labels", "type": "core.execution.Labels", "properties": {"labels": {"a": "b"}}}
        result = await play(b, labels)
        assert result.state is State.FAILED
        assert result.error is not None
        assert "cannot run inside a WorkingDirectory" in result.error
