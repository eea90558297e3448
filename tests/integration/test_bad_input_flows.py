"""Flow files that are wrong, in every way that people and attackers have found; over HTTP and on the command line."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest
from installation import Installation
from product import levada

pytestmark = pytest.mark.xdist_group("bad-input")

FLOW = """id: x
namespace: bad
tasks:
  - id: a
    type: core.log.Log
    message: hi
"""
BOMB = "\n".join(
    [
        "  a: &a [x,x,x,x,x,x,x,x,x]",
        *(f"  {c}: &{c} [{','.join([f'*{p}'] * 9)}]" for p, c in pairwise("abcdefghi")),
    ]
)
MERGES = "  m0: &a0 {k0: 1}\n" + "".join(
    f"  m{n}: &a{n}\n    <<: [*a{n - 1}, *a{n - 1}]\n    k{n}: 1\n" for n in range(1, 25)
)

#: A source, and what the answer must name: the fault, the place, the way out.
SOURCES: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "unknown property": (FLOW + "    mesage: x\n", ("tasks[0].mesage", "did you mean `message`")),
    "unknown type": (FLOW.replace("Log\n", "Lgo\n"), ("tasks[0].type", "did you mean `core.log.Log`")),
    "duplicate key": (FLOW + "    message: again\n", ("tasks[0].message", "already set in line 6")),
    "duplicate task": (FLOW + FLOW.split("tasks:\n")[1], ("tasks[1].id", "Duplicate task id")),
    "billion laughs": (FLOW + "variables:\n" + BOMB, ("variables.f", "100000 values")),
    "billion laughs at the top": (BOMB.replace("  ", "") + "\n" + FLOW, ("100000 values",)),
    "chain of merges": (FLOW + "variables:\n" + MERGES, ("variables.", "100000 values")),
    "self reference": (FLOW + "variables: &v\n  x: *v\n", ("variables", "*v")),
    "3,000 brackets": (FLOW + "variables:\n  x: " + "[" * 3000 + "]" * 3000, ("variables.x", "deep")),
    "60,000 open brackets": ("[" * 60_000, ("deep",)),
    "60,000 dashes": ("- " * 60_000, ("deep",)),
    "300 nested maps": (FLOW + "variables:\n" + "".join("  " * (n + 1) + "k:\n" for n in range(300)), ("deep",)),
    "unknown task in an expression": (
        FLOW.replace("hi", '"{{ outputs.nope.value }}"'),
        ("tasks[0].message", "outputs.nope"),
    ),
    "NUL": (FLOW.replace("hi", "h\0i"), ("NUL",)),
    "half a surrogate": (FLOW.replace("hi", '"\\ud800"'), ("Unicode",)),
    "invalid UTF-8": (FLOW.encode().replace(b"hi", b"h\xffi"), ("UTF-8", "0xff")),
    "UTF-16": (FLOW.encode("utf-16"), ("UTF-8",)),
    "a tag that runs code": (FLOW.replace("hi", "!!python/object/apply:os.system [id]"), ("tasks[0]", "tag")),
    "a tab": (FLOW + "\tx: 1\n", ("tab",)),
    "nothing": ("", ("empty",)),
    "a list": ("- a", ("is a list",)),
    "two documents": (FLOW + "---\n" + FLOW, ("second document",)),
    "no namespace": (FLOW.replace("namespace: bad\n", ""), ("namespace",)),
    "an id that is a path": (FLOW.replace("id: x", "id: ../x"), ("id", "../x")),
    "a namespace that is a path": (FLOW.replace(": bad", ": a/b"), ("namespace", "a/b")),
    "a long id": (FLOW.replace("id: x", "id: " + "x" * 300), ("id", "100 characters")),
    "tasks that are a number": (FLOW.partition("tasks:")[0] + "tasks: 3\n", ("tasks", "list of tasks")),
    "unknown type of an input": (FLOW + "inputs:\n  - id: a\n    type: STRNG\n", ("inputs[0].type", "STRING")),
    "a timeout that is none": (FLOW + "    timeout: soon\n", ("tasks[0].timeout", "PT30S")),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_wrong_flow_is_refused_over_http_with_the_reason_and_its_place(name: str, server: Installation) -> None:
    source, told = SOURCES[name]
    for method, path in (("POST", "/flows"), ("POST", "/flows/validate"), ("PUT", "/flows/bad/x")):
        begun = time.monotonic()
        answer = server.api(method, path, source, content_type="application/x-yaml")
        assert time.monotonic() - begun < 5
        if path == "/flows":
            assert answer.status in (400, 422), answer.text
            for words in told:
                assert words in answer.text, answer.text
        else:
            assert answer.status < 500, answer.text
    assert server.api("GET", "/flows/bad/x").status == 404


def test_a_flow_over_the_limit_is_refused_with_the_limit(server: Installation) -> None:
    answer = server.api("POST", "/flows", FLOW + "description: " + "x" * 200_000, content_type="application/x-yaml")
    assert answer.status == 413
    assert "131072" in answer.text


@pytest.mark.parametrize("name", ["unknown property", "duplicate key", "billion laughs", "3,000 brackets", "NUL"])
def test_a_wrong_file_is_refused_on_the_command_line_with_line_and_column(name: str, tmp_path: Path) -> None:
    source, told = SOURCES[name]
    assert isinstance(source, str)
    (tmp_path / "flow.yml").write_text(source)
    code, out, err = levada("validate", "flow.yml", cwd=tmp_path)
    assert code == 1
    assert "flow.yml:" in out + err
    for words in told[1:]:
        assert words in out + err
