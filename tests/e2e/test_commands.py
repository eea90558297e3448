"""The commands against a running server, as a person or a script calls them."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("e2e")

HELLO = """
    id: hello
    namespace: e2e
    inputs:
      - id: name
        type: STRING
        defaults: World
      - id: file
        type: FILE
        required: false
    tasks:
      - id: say
        type: core.log.Log
        message: "Hello {{ inputs.name }}"
      - id: shell
        type: scripts.shell.Commands
        commands:
          - echo from the shell
    outputs:
      - id: greeting
        type: STRING
        value: "Hello {{ inputs.name }}"
"""
FAILING = """
    id: failing
    namespace: e2e
    tasks:
      - id: boom
        type: core.execution.Fail
        errorMessage: no way
"""
PAUSING = """
    id: pausing
    namespace: e2e
    tasks:
      - id: wait
        type: core.flow.Pause
        onResume:
          - id: ok
            type: STRING
      - id: say
        type: core.log.Log
        message: "resumed with {{ outputs.wait.onResume.ok }}"
"""


@pytest.fixture
def flow(tmp_path: Path):
    def write(text: str) -> str:
        path = tmp_path / f"flow{len(list(tmp_path.iterdir()))}.yml"
        path.write_text(textwrap.dedent(text).lstrip())
        return str(path)

    return write


def test_run_shows_the_log_and_the_outputs_and_ends_with_0(command, flow) -> None:
    code, out, err = command("run", flow(HELLO), "--input", "name=Ada", "--label", "team=data")
    assert code == 0, err
    assert "Hello Ada" in out
    assert "from the shell" in out
    assert "SUCCESS" in out
    assert "greeting" in out


def test_run_of_a_failing_flow_ends_with_1_and_says_why(command, flow) -> None:
    code, out, _ = command("run", flow(FAILING))
    assert code == 1
    assert "no way" in out
    assert "FAILED" in out


def test_json_is_one_document_on_stdout_and_the_log_goes_to_stderr(command, flow) -> None:
    code, out, err = command("run", flow(HELLO), "--output", "json")
    assert code == 0
    assert json.loads(out)["outputs"] == {"greeting": "Hello World"}
    assert "from the shell" in err


def test_a_wrong_input_is_refused_with_its_name(command, flow) -> None:
    source = HELLO.replace("type: STRING\n        defaults: World", "type: INT\n        defaults: 1")
    code, _, err = command("run", flow(source.replace("id: hello", "id: counting")), "--input", "name=many")
    assert code == 1
    assert "name" in err
    assert "many" in err


def test_an_input_that_the_flow_does_not_have_is_wrong_usage(command, flow) -> None:
    code, _, err = command("run", flow(HELLO), "--input", "nmae=Ada")
    assert code == 2
    assert "did you mean name" in err


def test_a_file_is_uploaded(command, flow, tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("1,2\n")
    code, out, err = command("run", flow(HELLO), "--input", f"file=@{data}", "-o", "json")
    assert code == 0, err
    assert json.loads(out)["inputs"]["file"].startswith("kestra:///")


def test_a_wrong_flow_is_not_run_and_named_with_line_and_column(command, flow) -> None:
    path = flow(HELLO.replace("core.log.Log", "core.log.Lgo"))
    code, _, err = command("run", path)
    assert code == 1
    assert f"{path}:12:" in err


def test_an_execution_can_be_listed_shown_paused_and_resumed(command, flow) -> None:
    code, out, _ = command("run", flow(PAUSING), "--no-wait")
    assert code == 0
    identity = out.strip()
    code, out, _ = command("executions", "show", identity, "-o", "json")
    assert json.loads(out)["id"] == identity
    assert command("executions", "resume", identity, "--input", "ok=yes")[0] == 0
    code, out, _ = command("executions", "follow", identity)
    assert code == 0
    assert "resumed with yes" in out
    code, out, _ = command("executions", "list", "--flow", "pausing", "-o", "json")
    assert json.loads(out)["results"][0]["id"] == identity
    assert "resumed with yes" in command("executions", "logs", identity)[1]


def test_an_execution_can_be_killed_restarted_and_replayed(command, flow) -> None:
    identity = command("run", flow(PAUSING), "--no-wait")[1].strip()
    assert command("executions", "kill", identity)[0] == 0
    assert command("executions", "follow", identity)[0] == 1
    code, out, _ = command("executions", "show", identity, "-o", "json")
    assert json.loads(out)["state"]["current"] == "KILLED"
    failed = json.loads(command("run", flow(FAILING), "-o", "json")[1])["id"]
    code, out, _ = command("executions", "replay", failed, "-o", "json")
    assert code == 0
    assert json.loads(out)["id"] != failed
    assert command("executions", "restart", failed)[0] == 0


def test_flows_are_listed_read_back_byte_for_byte_and_deleted(command, flow) -> None:
    path = flow("# kept\n" + textwrap.dedent(HELLO).lstrip().replace("id: hello", "id: kept", 1))
    assert command("flows", "deploy", path)[0] == 0
    assert command("flows", "get", "e2e", "kept")[1] == Path(path).read_text()
    assert "kept" in command("flows", "list", "-n", "e2e")[1]
    assert command("flows", "delete", "e2e", "kept")[0] == 0
    assert command("flows", "get", "e2e", "kept")[0] == 1


SCHEDULED = """
    id: sched.uled
    namespace: e2e
    tasks:
      - id: say
        type: core.log.Log
        message: hi
    triggers:
      - id: leap
        type: core.trigger.Schedule
        cron: "0 3 29 2 *"
"""


def test_a_flow_says_when_its_schedule_fires(command, flow) -> None:
    assert command("flows", "deploy", flow(SCHEDULED))[0] == 0
    code, out, err = command("why", "e2e.sched.uled", "--trigger", "leap")
    assert code == 0, err
    assert "flow e2e.sched.uled" in out
    assert "trigger leap (core.trigger.Schedule)" in out
    assert "NEXT_DATE" in out or "NOT_SEEN" in out or "LOOKING" in out
    code, _, err = command("why", "e2e.sched.uled", "--trigger", "leaf")
    assert (code, "Unable to find trigger leaf" in err) == (1, True)


def test_an_expression_is_evaluated_with_what_an_execution_knows(command, flow) -> None:
    identity = json.loads(command("run", flow(HELLO), "-o", "json")[1])["id"]
    assert command("eval", "{{ inputs.name | upper }}", "--execution", identity)[1] == "WORLD\n"


def test_an_unknown_execution_is_an_error_of_one_line(command) -> None:
    code, out, err = command("executions", "show", "0" * 22)
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1


def test_nobody_at_the_given_address_ends_with_3(command) -> None:
    code, _, err = command("flows", "list", "--server", "http://127.0.0.1:9")
    assert code == 3
    assert "cannot reach" in err
    assert command("flows", "list", "--server", "nonsense")[0] == 2


def test_the_checkup_finds_nothing_to_mend(command) -> None:
    code, out, _ = command("doctor", "-o", "json")
    assert code == 0, out
    assert {"check": "server", "level": "ok"}.items() <= {
        key: value for one in json.loads(out) if one["check"] == "server" for key, value in one.items()
    }.items()
