"""Flows that are right as files and wrong when they run: expressions without end, floods of output, processes that will not die."""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import Any

import pytest
from installation import Client, Installation, marked, wait_until

pytestmark = [pytest.mark.xdist_group("bad-input"), pytest.mark.timeout(240)]

#: An expression, and what its error must say besides line and column.
EXPRESSIONS = {
    "{{ 1 + }}": "expected a value",
    "{{ 'x' * 1000000000 }}": "two numbers",
    "{% for i in range(1, 1000000000) %}{{ i }}{% endfor %}": "1,000,000,000 items",
    "{{ range(1, 1000000000) }}": "1,000,000,000 items",
    "{% for i in range(1,1000) %}{% for j in range(1,1000) %}{% for k in range(1,1000) %}{% endfor %}{% endfor %}"
    "{% endfor %}": "100,000 steps",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}": "64 levels",
    "{% set a = 'xxxxxxxxxx' %}" + "{% set a = a ~ a ~ a ~ a ~ a ~ a ~ a ~ a ~ a ~ a %}" * 9 + "{{ a }}": "characters",
    "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}": "64 levels",
    "{{ " + "[" * 2000 + "]" * 2000 + " }}": "64 levels",
    "{{ fromJson('" + "[" * 5000 + "') }}": "not JSON",
    "{{ yaml('" + "[" * 60_000 + "') }}": "64 levels",
    "{{ yaml('a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "\n".join(f"{c}: &{c} [{','.join([f'*{p}'] * 9)}]" for p, c in zip("abcdefgh", "bcdefghi", strict=True))
    + "') }}": "500,000 parts",
    "{{ 'a' | jq('range(1; 1000000000)') | last }}": "too long",
    "{{ ''.__class__.__mro__ }}": "__class__",
    "{{ inputs.nope }}": "inputs.nope",
    "{{ nope() }}": "does not exist",
    "{{ 'x' | nope }}": "does not exist",
    "{{ secret('NOPE') }}": "NOPE",
    "{{ read('file:///etc/passwd') }}": "file:///etc/passwd",
    "{{ read('kestra:///../../etc/passwd') }}": "..",
    "{{ 1 / 0 }}": "division by zero",
    "{{ now() | dateAdd(99999999999999, 'YEARS') }}": "calendar",
}
NO_PLACE = ("secret(", "read(")
"""Refused by a service, which knows no line."""


def run(server: Installation, task: str, seconds: float = 60.0) -> tuple[dict[str, Any], list[str]]:
    """Run a flow of one task to its end; return the execution and its warnings and errors."""
    name = f"r{uuid.uuid4().hex}"
    server.deploy(f"id: {name}\nnamespace: bad\ntasks:\n{task}")
    execution = server.ended(server.begin(f"bad.{name}"), seconds)
    lines = server.api("GET", f"/logs/{execution['id']}?minLevel=WARN").json()
    return execution, [line["message"] for line in lines]


def log(message: str) -> str:
    return f"  - id: a\n    type: core.log.Log\n    message: {json.dumps(message)}\n"


def shell(*commands: str, more: str = "") -> str:
    return (
        f"  - id: a\n    type: scripts.shell.Commands\n{more}    commands:\n"
        + "".join(f"      - {json.dumps(command)}\n" for command in commands)
    )  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda text: text[:40])
def test_an_expression_that_can_not_be_computed_fails_its_task_at_once(expression: str, server: Installation) -> None:
    begun = time.monotonic()
    execution, errors = run(server, log(expression))
    assert time.monotonic() - begun < 10
    assert execution["state"]["current"] == "FAILED"
    assert any(EXPRESSIONS[expression] in error for error in errors), errors
    if not any(call in expression for call in NO_PLACE):
        assert any("line 1, column" in error or "line" in error for error in errors), errors
    evaluated = server.api("POST", f"/executions/{execution['id']}/eval", expression, content_type="text/plain")
    assert evaluated.status < 500, evaluated.text
    assert "result" not in evaluated.json()


def test_outputs_over_the_limit_fail_the_task_and_name_the_limit(server: Installation) -> None:
    inside = "{% for i in range(1, 20000) %}x{% endfor %}"
    task = f"  - id: a\n    type: core.output.OutputValues\n    values:\n      x: {json.dumps(inside)}\n"
    printed = shell("echo '::{\"outputs\":{\"x\":\"'$(head -c 20000 /dev/zero | tr '\\0' x)'\"}}::'")
    for one in (task, printed):
        execution, errors = run(server, one)
        assert execution["state"]["current"] == "FAILED"
        assert any("16384" in error.replace(",", "") for error in errors), errors


def test_a_task_that_prints_100_mb_does_not_fill_memory_or_log_and_nobody_waits(server: Installation) -> None:
    slowest = []
    done = threading.Event()

    def watch() -> None:
        client = Client(server.port, timeout_s=10)
        while not done.wait(0.2):
            slowest.append(client.request("GET", "/health").seconds)
        client.close()

    watcher = threading.Thread(target=watch)
    watcher.start()
    before = server.rss_mib()
    try:
        execution, errors = run(server, shell("yes $(head -c 1000 /dev/zero | tr '\\0' x) | head -c 100000000"), 120)
    finally:
        done.set()
        watcher.join()
    assert execution["state"]["current"] == "SUCCESS"
    assert any("reached its limit of 1 MiB" in error for error in errors), errors
    assert server.rss_mib() < before + 64
    assert max(slowest) < 2.0
    kept = server.api("GET", f"/logs/{execution['id']}/download").body
    assert len(kept) < 16 * 2**20


@pytest.mark.parametrize(
    "command",
    [
        "head -c 50000000 /dev/zero | tr '\\0' x",  # one line without an end
        "head -c 200000 /dev/urandom",
        "printf 'a\\0b\\n\\xff\\xfe\\n\\r\\r\\n\\033[2J\\n'",
        "echo '::{\"outputs\":'; echo '::{}::'; echo '::{\"outputs\":[1]}::'; echo '::{\"metrics\":[{}]}::'",
        "echo '::{\"outputs\":{\"x\":'$(head -c 5000 /dev/zero | tr '\\0' '[')'}}::'",
        "exec >&- 2>&-; sleep 0.2",
    ],
)
def test_whatever_a_task_prints_is_a_log_and_no_fault(command: str, server: Installation) -> None:
    execution, _ = run(server, shell(command))
    assert execution["state"]["current"] == "SUCCESS"
    assert server.api("GET", f"/logs/{execution['id']}").status == 200


@pytest.mark.parametrize("deaf", ["trap '' TERM INT HUP; ", ""])
def test_a_killed_task_leaves_no_process_however_deaf_and_scattered(deaf: str, server: Installation) -> None:
    mark = f"3{uuid.uuid4().int % 10**9}"
    scattered = f'({deaf}sleep {mark}) & setsid sh -c "{deaf}sleep {mark}" & (setsid sleep {mark} &) ; sleep {mark}'
    name = f"r{mark}"
    server.deploy(f"id: {name}\nnamespace: bad\ntasks:\n{shell(deaf + scattered)}")
    id_ = server.begin(f"bad.{name}")
    wait_until(lambda: len(marked(f"sleep\0{mark}")) >= 4, "its processes", 30, server)
    assert server.api("DELETE", f"/executions/{id_}/kill").status == 202
    assert server.ended(id_, 30)["state"]["current"] == "KILLED"
    assert marked(f"sleep\0{mark}") == []


def test_a_timeout_leaves_no_process_either(server: Installation) -> None:
    mark = f"3{uuid.uuid4().int % 10**9}"
    task = shell(f"trap '' TERM; (trap '' TERM; sleep {mark}) & sleep {mark}", more="    timeout: PT1S\n")
    execution, errors = run(server, task)
    assert execution["state"]["current"] == "FAILED"
    assert any("imeout" in error for error in errors), errors
    assert marked(f"sleep\0{mark}") == []


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ("    outputFiles: ['../../../../etc/passwd', '/etc/passwd', '**/../../*']\n", "SUCCESS"),
        ("    outputFiles: ['link', 'folder/*']\n", "SUCCESS"),
        ("    inputFiles: {'../../x': y}\n", "FAILED"),
        ("    inputFiles: {'/tmp/levada-must-not-be': y}\n", None),
        ("    inputFiles: {x: 'kestra:///../../etc/passwd'}\n", "FAILED"),
    ],
)
def test_no_file_of_a_task_leads_out_of_its_folder(more: str, state: str | None, server: Installation) -> None:
    execution, _ = run(server, shell("ln -s /etc/passwd link", "ln -s /etc folder", more=more))
    assert execution["state"]["current"] == state or state is None
    (task_run,) = execution["taskRunList"]
    assert (task_run.get("outputs") or {}).get("outputFiles", {}) == {}
    assert not [path for path in (server.data / "storage").rglob("passwd") if b"root:" in path.read_bytes()]


def test_a_loop_over_too_much_is_refused_with_the_limit(server: Installation) -> None:
    task = (
        '  - id: a\n    type: core.flow.ForEach\n    values: "{{ range(1, 200000) }}"\n    tasks:\n'
        "      - {id: b, type: core.log.Log, message: x}\n"
    )
    execution, errors = run(server, task)
    assert execution["state"]["current"] == "FAILED"
    assert any("100,000" in error for error in errors), errors
