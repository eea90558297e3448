"""Script tasks on a worker: shell, Python with environments, other languages, task runners."""

import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from worker_bench import bench

from levada.model.states import State


def wheel(folder: Path, name: str, version: str = "1.0") -> Path:
    """Make a wheel with one module that says its version; no registry is needed to install it."""
    info = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


async def test_a_shell_script_runs_before_commands_in_the_same_shell(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        properties = {"beforeCommands": ["X=from-before", "cd /"], "script": "echo $X\npwd\nfalse\necho never"}
        result = await b.play("scripts.shell.Script", properties=properties)
        assert result.state is State.FAILED
        assert b.messages("INFO") == ["from-before", "/"]


async def test_the_interpreter_can_be_chosen(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        properties = {"interpreter": ["/bin/bash", "-c"], "script": "a=(1 2 3); echo ${a[2]}"}
        await b.play("scripts.shell.Script", properties=properties)
        assert b.messages("INFO") == ["3"]


async def test_a_script_too_long_for_an_argument_runs_all_the_same(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        script = "# " + "x" * 300_000 + "\necho ran"
        assert (await b.play("scripts.shell.Script", properties={"script": script})).state is State.SUCCESS
        assert b.messages("INFO") == ["ran"]


async def test_output_files_and_the_output_folder_are_stored(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        result = await b.play_shell(
            "mkdir -p out/deep", "echo a > out/a.csv", "echo b > out/deep/b.csv", "echo c > c.txt",
            "echo d > {{ outputDir }}/d.txt", "mkdir $OUTPUT_DIR/e && echo e > $OUTPUT_DIR/e/e.txt", "echo f > '{{ workingDir }}/f'",
            properties={"outputFiles": ["out/*.csv", "**/b.*", "none.*"]},
        )  # fmt: skip
        assert result.outputs is not None
        files = result.outputs["outputFiles"]
        assert set(files) == {"out/a.csv", "out/deep/b.csv", "d.txt", "e/e.txt"}
        assert await b.files.read(files["e/e.txt"]) == b"e\n"
        assert b.messages("WARN") == ["outputFiles: nothing matches `none.*` in the working directory"]


async def test_input_files_come_as_map_list_or_text(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.files.put("kestra:///data/in.csv", b"1,2\n")
        await b.services.namespace_files.put("company.team", "q/a.sql", b"select 1\n")
        for given, expected in (
            ({"sub/x.txt": "inline\n", "n.json": {"a": [1]}}, ["n.json", "sub/x.txt"]),
            (["kestra:///data/in.csv", "nsfile:///q/a.sql"], ["a.sql", "in.csv"]),
            ('{"t.txt": "{{ inputs.x }}"}', ["t.txt"]),
        ):
            result = await b.play_shell(
                "find . -type f | sed 's|./||' | sort",
                properties={"inputFiles": given},
                variables={"inputs": {"x": "v"}},
            )
            assert result.state is State.SUCCESS
            assert b.messages("INFO", result.task_run_id) == expected


async def test_namespace_files_can_be_chosen_and_put_in_a_folder_of_their_own(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        files = b.services.namespace_files
        await files.put("company.team", "a.sql", b"own")
        await files.put("company", "a.sql", b"parent")
        await files.put("company", "b/c.py", b"")
        for given, expected in (
            ({"enabled": True}, ["a.sql", "own"]),
            ({"namespaces": ["company.team", "company"], "include": ["*.sql"]}, ["a.sql", "parent"]),
            (
                {"namespaces": ["company.team", "company"], "ifExists": "IGNORE", "exclude": ["**/*.py"]},
                ["a.sql", "own"],
            ),
        ):
            result = await b.play_shell("find . -type f | cut -c3-; cat a.sql", properties={"namespaceFiles": given})
            assert b.messages("INFO", result.task_run_id) == expected
        given = {"namespaces": ["company"], "folderPerNamespace": True}
        result = await b.play_shell("ls company", properties={"namespaceFiles": given})
        assert b.messages("INFO", result.task_run_id) == ["a.sql", "b"]
        given = {"namespaces": ["company.team", "company"], "ifExists": "FAIL"}
        result = await b.play_shell("true", properties={"namespaceFiles": given})
        assert result.error is not None
        assert "ifExists is FAIL" in result.error


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"taskRunner": {"type": "io.kestra.plugin.scripts.runner.docker.Docker"}}, "needs Docker"),
        ({"taskRunner": {"type": "scripts.runner.docker.Docker", "imag": "x"}}, "property `imag`"),
        ({"taskRunner": {"type": "ee.kubernetes.runner.Kubernetes"}}, "is not available here"),
        ({"taskRunner": {}}, "needs a `type`"),
        ({"runner": "DOCKER"}, "needs Docker"),
        ({"targetOS": "WINDOWS"}, "targetOS"),
    ],
)
async def test_what_cannot_run_here_says_what_can(tmp_path: Path, properties: dict[str, Any], message: str) -> None:
    async with bench(tmp_path) as b:
        result = await b.play_shell("true", properties=properties)
        assert result.state is State.FAILED
        assert result.error is not None
        assert message in result.error


async def test_the_process_runner_and_the_legacy_spellings_are_accepted(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        for properties in (
            {"taskRunner": {"type": "io.kestra.plugin.core.runner.Process"}},
            {"taskRunner": {"type": "core.runner.Process", "killGracePeriod": "PT1S"}},
            {"runner": "PROCESS", "docker": {"image": "x"}, "warningOnStdErr": True, "outputDirectory": False},
            {"containerImage": "ubuntu"},
        ):
            assert (await b.play_shell("echo x >&2", properties=properties)).state is State.SUCCESS
        assert len(b.messages("WARN")) == 1


async def test_python_hands_over_outputs_metrics_and_logs(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        script = """
import helper
from kestra import Kestra
log = Kestra.logger()
log.info("info line")
log.warning("warning line")
Kestra.outputs({"answer": helper.ANSWER, "items": [1, 2]})
Kestra.counter("rows", 3, {"table": "users"})
Kestra.timer("load", 0.25)
Kestra.timer("call", lambda: None)
Kestra.gauge("level", 1.5)
print("plain {{ inputs.x }}")
"""
        properties = {"script": script, "inputFiles": {"helper.py": "ANSWER = 42\n"}, "outputFiles": ["*.py"]}
        result = await b.play("scripts.python.Script", properties=properties, variables={"inputs": {"x": "value"}})
        assert result.state is State.SUCCESS
        assert result.outputs is not None
        assert result.outputs["vars"] == {"answer": 42, "items": [1, 2]}
        assert set(result.outputs["outputFiles"]) == {"helper.py"}
        assert [(entry.level, entry.message) for entry in b.logs] == [
            ("INFO", "info line"), ("WARN", "warning line"), ("INFO", "plain value"),
        ]  # fmt: skip
        found = {metric.name: (metric.kind, metric.value) for metric in b.metrics}
        assert found["rows"] == ("counter", 3.0)
        assert found["load"] == ("timer", 250.0)
        assert found["level"] == ("gauge", 1.5)


async def test_python_sees_neither_the_packages_nor_the_environment_of_the_worker(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        properties = {"commands": ["python -c 'import msgspec'"]}
        result = await b.play("scripts.python.Commands", properties=properties)
        assert result.state is State.FAILED
        assert "No module named 'msgspec'" in "\n".join(b.messages("ERROR"))


async def test_python_dependencies_are_installed_once_and_kept(tmp_path: Path) -> None:
    one, two = wheel(tmp_path, "levada_probe"), wheel(tmp_path, "levada_probe", "2.0")
    async with bench(tmp_path) as b:
        properties = {"script": "import levada_probe; print(levada_probe.VERSION)", "dependencies": [str(one)]}
        ids = [b.submit("scripts.python.Script", properties=properties) for _ in range(3)]
        for run_id in ids:
            assert (await b.result(run_id, 60)).state is State.SUCCESS
        assert b.messages("INFO").count("1.0") == 3
        assert len([line for line in b.messages() if line.startswith("installing")]) == 1
        await b.play("scripts.python.Script", properties={**properties, "dependencies": [str(two)]})
        assert b.messages("INFO")[-1] == "2.0"
        assert len(list((tmp_path / "data" / "cache" / "python").glob("*/.levada-ready"))) == 2


async def test_dependencies_that_do_not_exist_fail_with_the_reason(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        properties = {"script": "pass", "dependencies": [str(tmp_path / "no_such-1.0-py3-none-any.whl")]}
        result = await b.play("scripts.python.Script", properties=properties)
        assert result.error is not None
        assert "the dependencies could not be installed" in result.error
        assert "no_such" in "\n".join(b.messages("ERROR"))
        result = await b.play("scripts.python.Script", properties={"script": "pass", "dependencies": ["--index-url=x"]})
        assert result.error is not None
        assert "is an option, not a package" in result.error


async def test_making_an_environment_can_be_cancelled_and_leaves_no_lock(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        probe = wheel(tmp_path, "levada_probe")
        properties = {"script": "import time; time.sleep(60)", "dependencies": [str(probe)]}
        run_id = b.submit("scripts.python.Script", properties=properties)
        await b.logged("installing")
        b.cancel(run_id)
        assert (await b.result(run_id)).state is State.KILLED
        result = await b.play("scripts.python.Script", properties={**properties, "script": "import levada_probe"})
        assert result.state is State.SUCCESS


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
async def test_node_scripts_run(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        script = """console.log(`::{"outputs":{"v":"${[1, 2].length}"}}::`)"""
        result = await b.play("scripts.node.Script", properties={"script": script})
        assert result.outputs is not None
        assert result.outputs["vars"] == {"v": "2"}


async def test_a_missing_program_is_named(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        result = await b.play_shell("no-such-program-here")
        assert result.error == "Command failed with exit code 127: a command was not found"
        result = await b.play_shell("true", properties={"interpreter": ["/no/such/shell", "-c"]})
        assert result.error is not None
        assert "cannot start `/no/such/shell`" in result.error


async def test_commands_may_be_one_expression_that_renders_to_a_list(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        variables = {"inputs": {"all": ["echo a", "echo b"]}}
        result = await b.play(
            "scripts.shell.Commands", properties={"commands": "{{ inputs.all }}"}, variables=variables
        )
        assert result.state is State.SUCCESS
        assert b.messages("INFO") == ["a", "b"]
