"""A worker with real processes: results, logs, limits, stopping."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from worker_bench import Bench, bench

from levada.model.errors import Transient
from levada.model.jobs import JobKind
from levada.model.states import State
from levada.runtime import sealing
from levada.sdk import Registry, RunContext, Task, TaskFailed


async def test_a_command_runs_and_its_lines_are_the_log(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        result = await b.play_shell("echo one", "echo two >&2", "echo three", id="hello")
        assert result.state is State.SUCCESS
        assert result.outputs is not None
        assert (result.outputs["exitCode"], result.outputs["stdOutLineCount"]) == (0, 2)
        assert sorted(b.messages("INFO")) == ["one", "three"]
        assert b.messages("ERROR") == ["two"]
        entry = b.logs[0]
        assert (entry.task_id, entry.task_run_id, entry.attempt) == ("hello", result.task_run_id, 1)
        assert result.started is not None
        assert result.started <= entry.at <= result.at


async def test_lines_of_both_streams_keep_their_order(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        script = "i=0; while [ $i -lt 40 ]; do echo out$i; sleep 0.01; echo err$i >&2; sleep 0.01; i=$((i+1)); done"
        result = await b.play_shell(script)
        assert result.state is State.SUCCESS
        expected = [f"{stream}{number}" for number in range(40) for stream in ("out", "err")]
        assert [entry.message for entry in sorted(b.logs, key=lambda entry: entry.seq)] == expected


async def test_a_failing_command_fails_with_its_exit_code_and_keeps_its_outputs(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        result = await b.play_shell("""echo '::{"outputs": {"done": 1}}::'""", "exit 42", "echo never")
        assert result.state is State.FAILED
        assert result.error == "Command failed with exit code 42"
        assert result.outputs is not None
        assert result.outputs["vars"] == {"done": 1}
        assert b.messages() == ["Command failed with exit code 42"]


async def test_commands_stop_at_the_first_failure_unless_told_otherwise(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        assert (await b.play_shell("false", "echo on")).state is State.FAILED
        assert "on" not in b.messages()
        assert (await b.play_shell("false", "echo on", properties={"failFast": "false"})).state is State.SUCCESS
        assert "on" in b.messages()


async def test_the_protocol_gives_outputs_metrics_and_logs(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        result = await b.play_shell(
            """printf '::{"outputs": {"a"'; sleep 0.2; echo ': 1}}::'""",
            """echo '::{"outputs":{"b":[2]},"metrics":[{"name":"rows","type":"counter","value":3,"tags":{"t":"x"}}]}::'""",
            """echo '::{"logs":[{"level":"WARN","message":"careful"}]}::::{"outputs":{"c":3}}::'""",
            """echo '::{"outputs": {broken}::'""",
        )
        assert result.outputs is not None
        assert result.outputs["vars"] == {"a": 1, "b": [2], "c": 3}
        assert [(metric.name, metric.kind, metric.value, metric.tags) for metric in b.metrics] == [
            ("rows", "counter", 3.0, {"t": "x"})
        ]
        warnings = b.messages("WARN")
        assert warnings[0] == "careful"
        assert "not understood" in warnings[1]
        assert "{broken}" in warnings[1]


async def test_nothing_of_the_workers_environment_reaches_a_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEVADA_DATABASE_URL", "postgres://secret")
    async with bench(tmp_path) as b:
        result = await b.play_shell(
            "env", properties={"env": {"MINE": "{{ inputs.x }}"}}, variables={"inputs": {"x": 5}}
        )
        assert result.state is State.SUCCESS
        names = {line.split("=")[0] for line in b.messages("INFO")}
        assert "LEVADA_DATABASE_URL" not in names
        assert names <= {
            "PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR",
            "WORKING_DIR", "OUTPUT_DIR", "PWD", "OLDPWD", "SHLVL", "_", "MINE",
        }  # fmt: skip
        assert "MINE=5" in b.messages()
        home = next(line for line in b.messages() if line.startswith("HOME="))
        assert not os.path.exists(home.removeprefix("HOME="))  # noqa: ASYNC240


async def test_what_cannot_be_rendered_or_converted_names_the_property(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        result = await b.play_shell("echo {{ outputs.nothing.x }}")
        assert result.state is State.FAILED
        assert result.error is not None
        assert "nothing" in result.error
        assert "`commands`" in result.error
        result = await b.play_shell("true", properties={"failFast": "perhaps"})
        assert result.error is not None
        assert "property `failFast` of scripts.shell.Commands" in result.error
        result = await b.play("scripts.shel.Commands", properties={})
        assert result.error is not None
        assert "did you mean" in result.error
        assert b.messages("ERROR")[-1] == result.error


async def test_outputs_over_the_limit_fail_and_name_the_way_out(tmp_path: Path) -> None:
    async with bench(tmp_path, output_bytes=1000) as b:
        result = await b.play("core.output.OutputValues", properties={"values": {"x": "y" * 2000}})
        assert result.state is State.FAILED
        assert result.error is not None
        assert "1,000" in result.error
        assert "kestra:///" in result.error


async def test_a_timeout_fails_the_task_and_ends_its_processes(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        result = await b.play_shell("sleep 60 & echo $!; sleep 60", timeout="PT0.3S")
        assert (result.state, result.error) == (State.FAILED, "Timeout after PT0.3S")
        assert len([line for line in b.messages("ERROR") if "Timeout" in line]) == 2
        assert not _alive(int(b.messages("INFO")[0]))


async def test_a_cancelled_task_is_killed_with_everything_below(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        run_id = b.shell(
            "trap '' TERM; (setsid sh -c \"trap '' TERM; echo $$ inner; sleep 60\" &); echo started; sleep 60"
        )
        await b.logged("started")
        b.cancel(run_id)
        result = await b.result(run_id)
        assert result.state is State.KILLED
        assert "the task was killed" in b.messages("WARN")


async def test_a_task_that_handles_the_signal_may_end_well(tmp_path: Path) -> None:
    async with bench(tmp_path, kill_grace_s=5.0) as b:
        run_id = b.shell("trap 'echo tidied; exit 3' TERM; echo started; while true; do sleep 0.05; done")
        await b.logged("started")
        b.cancel(run_id)
        assert (await b.result(run_id)).state is State.KILLED
        assert "tidied" in b.messages()


async def test_a_stopping_worker_gives_running_tasks_back(tmp_path: Path) -> None:
    async with bench(tmp_path, grace_s=0.2) as b:
        first = b.shell("echo one; sleep 60")
        second = b.shell("echo two; sleep 60", on_worker_lost="fail")
        await b.logged("one")
        await b.logged("two")
        b.stop.set()
        given_back = await b.result(first)
        assert (given_back.state, given_back.released) == (State.KILLED, True)
        failed = await b.result(second)
        assert (failed.state, failed.released) == (State.FAILED, False)
        assert failed.error is not None
        assert "forbids a second run" in failed.error


async def test_a_stopping_worker_lets_short_tasks_finish_and_claims_no_more(tmp_path: Path) -> None:
    async with bench(tmp_path, slots=1, grace_s=10.0) as b:
        first = b.shell("echo on; sleep 0.5; echo done")
        await b.logged("on")
        b.stop.set()
        second = b.shell("echo late")
        assert (await b.result(first)).state is State.SUCCESS
        assert second not in b.results
    assert second not in b.results


async def test_an_abort_does_not_wait(tmp_path: Path) -> None:
    async with bench(tmp_path, kill_grace_s=30.0) as b:
        run_id = b.shell("trap '' TERM; echo on; sleep 60; sleep 60")
        await b.logged("on")
        begun = time.monotonic()
        b.stop.set()
        b.abort.set()
        assert (await b.result(run_id)).released
        assert time.monotonic() - begun < 5


async def test_a_flood_of_output_takes_little_memory_and_ends_sampled(tmp_path: Path) -> None:
    mib = 1024 * 1024
    async with bench(tmp_path, stdout_rate_bytes=400 * mib, attempt_log_bytes=2 * mib) as b:
        before = _memory()
        run_id = b.shell(
            "yes 0123456789012345678901234567890123456789012345678901234567890123456789 | head -c 100000000"
        )
        result = await b.result(run_id, timeout_s=60)
        assert result.state is State.SUCCESS
        assert _memory() - before < 60 * mib
        assert sum(len(message) for message in b.messages("INFO")) < 3 * mib
        notices = b.messages("WARN")
        assert "limit of 2 MiB" in notices[0]
        assert "were dropped" in notices[1]


async def test_a_slow_log_store_slows_the_process_down(tmp_path: Path) -> None:
    async with bench(tmp_path, stdout_rate_bytes=1024 * 1024 * 1024) as b:
        b.log_delay_s = 0.05
        result = await b.play_shell("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done")
        assert result.state is State.SUCCESS
        assert b.messages("INFO") == [f"line {number}" for number in range(20000)]


async def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.play_shell("head -c 3000000 /dev/zero | tr '\\0' x; echo; printf 'caf\\351 \\0 end'")
        assert len(b.messages()[0]) < 33_000
        assert b.messages()[0].endswith("… [line cut: 2,967,232 bytes more]")
        assert b.messages()[1] == "caf� � end"


async def test_secrets_are_hidden_in_every_form(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.services.secrets.values["TOKEN"] = "s3cr3t-Value/+&"
        await b.play_shell(
            "printf 's3cr3t'; sleep 0.1; echo '-Value/+&'",
            "echo {{ secret('TOKEN') | base64encode }}",
            "echo 'user:{{ secret('TOKEN') }}' | base64",
            "echo {{ secret('TOKEN') | urlencode }} >&2",
            "ls /does-not-exist/'{{ secret('TOKEN') }}' || true",
            properties={"env": {"T": "{{ secret('TOKEN') }}"}},
        )
        text = "\n".join(b.messages())
        assert "******" in text
        for form in ("s3cr3t", "czNjcjN0LVZhbHVl", "3JjcjN0", "%2F%2B%26"):
            assert form not in text


async def test_sealed_inputs_are_opened_for_the_task_and_hidden_in_its_log(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        inputs = {"token": sealing.seal(b"k" * 32, "open-sesame", b"n" * 12), "plain": "visible"}
        result = await b.play_shell(
            "test '{{ inputs.token }}' = open-sesame",
            "echo {{ inputs.token }} {{ inputs.plain }}",
            variables={"inputs": inputs},
        )
        assert result.state is State.SUCCESS
        assert b.messages() == ["****** visible"]
        inputs = {"token": sealing.seal(b"x" * 32, "open-sesame", b"n" * 12)}
        result = await b.play_shell("true", variables={"inputs": inputs})
        assert result.error is not None
        assert "another `encryption.key`" in result.error


async def test_expressions_reach_services_from_a_job(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        b.services.secrets.values["KEY"] = "hidden"
        await b.services.kv.put("company", "region", "eu")
        await b.services.namespace_files.put("company.team", "queries/a.sql", b"select 1")
        await b.files.put("kestra:///x/y.txt", b"stored")
        properties = {
            "runIf": "{{ secret('KEY') == 'hidden' }}",
            "properties": {
                "a": "{{ kv('region') }}",
                "b": "{{ read('queries/a.sql') }}",
                "c": "{{ read('kestra:///x/y.txt') }} {{ fileSize('kestra:///x/y.txt') }} {{ fileExists('no.txt') }}",
                "d": "{{ kv('nothing', errorOnMissing=false) ?? 'none' }}",
            },
        }
        result = await b.play("core.flow.If", kind=JobKind.EVALUATE, properties=properties)
        assert result.values == {
            "runIf": "true",
            "properties": {"a": "eu", "b": "select 1", "c": "stored 6 false", "d": "none"},
        }
        result = await b.play("core.flow.If", kind=JobKind.EVALUATE, properties={"x": "{{ secret('NO') }}"})
        assert result.state is State.FAILED
        assert result.error is not None
        assert "Cannot find secret for key 'NO'" in result.error


async def test_the_http_function_asks_a_server(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"path": request.path, "method": request.method, "text": await request.text()})

    app = web.Application()
    app.router.add_route("*", "/{path}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with bench(tmp_path) as b:
            text = f"{{{{ http('http://127.0.0.1:{port}/x').path }}}} {{{{ http(uri='http://127.0.0.1:{port}/y', method='POST', body='b').text }}}}"
            result = await b.play("core.flow.If", kind=JobKind.EVALUATE, properties={"x": text})
            assert result.values == {"x": "/x b"}
    finally:
        await runner.cleanup()


class Slow(Task):
    """A task in Python that can be told how to behave."""

    TYPE = "test.Slow"

    mode: str

    async def run(self, ctx: RunContext) -> dict[str, str]:
        match self.mode:
            case "raise":
                raise ValueError("broken plugin")
            case "fail":
                raise TaskFailed("known reason", {"kept": "yes"})
            case "log":
                for number in range(3):
                    ctx.log("DEBUG" if number == 0 else "INFO", f"line {number}")
                return {}
            case "file":
                uri = await ctx.storage.put("content", "a/b.txt")
                again = await ctx.storage.put("other", "a/b.txt")
                return {"uri": uri, "again": again}
        await asyncio.sleep(60)
        return {}


REGISTRY = Registry([Slow])


async def test_an_exception_of_a_plugin_is_a_failed_task(tmp_path: Path) -> None:
    async with bench(tmp_path, REGISTRY) as b:
        result = await b.play("test.Slow", properties={"mode": "raise"})
        assert (result.state, result.error) == (State.FAILED, "ValueError: broken plugin")
        result = await b.play("test.Slow", properties={"mode": "fail"})
        assert (result.error, result.outputs) == ("known reason", {"kept": "yes"})
        assert b.messages("ERROR") == ["ValueError: broken plugin", "known reason"]


async def test_the_log_level_and_the_log_file_of_a_task_are_obeyed(tmp_path: Path) -> None:
    async with bench(tmp_path, REGISTRY) as b:
        await b.play("test.Slow", properties={"mode": "log"}, log_level="INFO")
        assert b.messages() == ["line 1", "line 2"]
        result = await b.play("test.Slow", properties={"mode": "log"}, log_to_file=True)
        assert result.log_file is not None
        lines = (await b.files.read(result.log_file)).decode().splitlines()
        assert [line.split(" ", 1)[1] for line in lines] == ["DEBUG line 0", "INFO line 1", "INFO line 2"]
        assert len(b.messages()) == 2


async def test_stored_files_live_below_the_task_run_and_never_replace_each_other(tmp_path: Path) -> None:
    async with bench(tmp_path, REGISTRY) as b:
        result = await b.play("test.Slow", properties={"mode": "file"}, id="store")
        assert result.outputs is not None
        folder = f"kestra:///company/team/flow/executions/execution0000000000000/tasks/store/{result.task_run_id}"
        assert result.outputs == {"uri": f"{folder}/a/b.txt", "again": f"{folder}/a/b-2.txt"}
        assert await b.files.read(result.outputs["again"]) == b"other"


async def test_a_cached_result_is_used_until_its_inputs_change(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        task = {"task_cache": {"enabled": True, "ttl": "PT1H"}, "id": "cached"}
        for value, runs in (("a", 1), ("a", 1), ("b", 2)):
            result = await b.play_shell(
                "echo run-{{ inputs.v }}", """echo '::{"outputs":{"v":1}}::'""",
                variables={"inputs": {"v": value}}, properties={"env": {"V": "{{ inputs.v }}"}}, **task,
            )  # fmt: skip
            assert result.outputs is not None
            assert result.outputs["vars"] == {"v": 1}
            assert len([line for line in b.messages() if line.startswith("run-")]) == runs


async def test_results_that_could_not_be_reported_are_sent_after_a_restart(tmp_path: Path) -> None:
    reachable = False
    lost = Bench(tmp_path)
    report = lost.jobs.report

    async def unreachable(results: object) -> None:
        if not reachable:
            raise Transient("the control plane is away")
        await report(results)  # type: ignore[arg-type]

    lost.jobs.report = unreachable  # type: ignore[assignment,method-assign]
    running = asyncio.create_task(lost.worker.run(lost.stop))
    run_id = lost.shell("echo done")
    await lost.logged("done")
    spool = tmp_path / "data" / "results-bench.jsonl"
    await _until(lambda: spool.stat().st_size > 0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert run_id.encode() in spool.read_bytes()
    async with bench(tmp_path) as b:
        assert (await b.result(run_id)).state is State.SUCCESS
    assert spool.stat().st_size == 0


async def test_a_worker_that_cannot_renew_kills_its_tasks_and_stays_silent(tmp_path: Path) -> None:
    async with bench(tmp_path, lease_s=1.0) as b:

        async def away(*_: object) -> list[object]:
            raise Transient("the control plane is away")

        run_id = b.shell("echo $$; exec sleep 60")
        await b.logged("")
        pid = int(b.messages()[0])
        b.jobs.renew = away  # type: ignore[assignment,method-assign]
        await _until(lambda: not _alive(pid))
        assert b.leases["execution0000000000000", run_id].until > b.clock.now_us() - 500_000, (
            "killed before the lease ended"
        )
        await asyncio.sleep(0.3)
        assert run_id not in b.results
        assert b.worker.running == 0


async def test_a_task_whose_lease_is_lost_is_killed(tmp_path: Path) -> None:
    async with bench(tmp_path, lease_s=0.6) as b:
        run_id = b.shell("echo on; exec sleep 60")
        await b.logged("on")
        b.leases["execution0000000000000", run_id].token = "somebody else's"
        assert (await b.result(run_id)).state is State.KILLED


async def test_slots_bound_what_runs_at_a_time(tmp_path: Path) -> None:
    async with bench(tmp_path, slots=2) as b:
        run_ids = [
            b.shell(
                "mkdir -p {0}; echo $(ls {0} | wc -l); touch {0}/$$; sleep 0.1; rm {0}/$$".format(tmp_path / "busy")
            )
            for _ in range(6)
        ]
        for run_id in run_ids:
            assert (await b.result(run_id)).state is State.SUCCESS
        assert max(map(int, b.messages("INFO"))) <= 1


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  another process is watched
            await asyncio.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"


def _memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


assert issubclass(Slow, msgspec.Struct)
