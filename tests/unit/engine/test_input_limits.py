"""Inputs that would bring a server down by being read: bombs, nesting without end, texts that no store takes."""

from __future__ import annotations

import subprocess
import sys
import time
from itertools import pairwise

import pytest

from levada.engine.inputs.types import TypeMismatch, convert

BOMB = "\n".join(
    ["a: &a [x,x,x,x,x,x,x,x,x]", *(f"{c}: &{c} [{','.join([f'*{p}'] * 9)}]" for p, c in pairwise("abcdefghi"))]
)
MERGES = "m0: &a0 {k0: 1}\n" + "".join(f"m{n}: &a{n}\n  <<: [*a{n - 1}, *a{n - 1}]\n  k{n}: 1\n" for n in range(1, 40))


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        ("YAML", BOMB),
        ("YAML", MERGES),
        ("YAML", "&a [*a]"),
        ("YAML", "[" * 200_000),
        ("YAML", "[" * 100_000 + "]" * 100_000),
        ("YAML", "- " * 100_000),
        ("YAML", "? " * 100_000),
        ("YAML", "{a: " * 50_000),
        ("YAML", "!!python/object/apply:os.getcwd []"),
        ("YAML", "x" * 300_000),
        ("JSON", "[" * 100_000),
        ("JSON", "[" * 300 + "]" * 300),
        ("JSON", '{"a":' * 900 + "1" + "}" * 900),
        ("JSON", '"\\ud800"'),
        ("ARRAY", "[" * 900 + "]" * 900),
        ("MULTISELECT", "[" * 5_000),
        ("INT", "9" * 10_000),
        ("FLOAT", "1e400"),
    ],
)
def test_what_nobody_could_keep_is_refused_at_once(type_: str, text: str) -> None:
    begun = time.process_time()
    with pytest.raises(TypeMismatch, match="Expected"):
        convert(type_, text, "STRING")
    assert time.process_time() - begun < 5


def test_values_given_as_such_have_the_same_limits() -> None:
    deep: list[object] = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(TypeMismatch):
        convert("JSON", deep)
    assert convert("JSON", [[1]]) == [[1]]


def test_a_yaml_text_in_an_expression_can_not_run_the_stack_over() -> None:
    """In a process of its own: what this guards against is no exception, but the end of the process."""
    script = "from levada import expr; expr.compile(\"{{ yaml(x) }}\").render({'x': '[' * 200_000})"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended
    assert "nested deeper than 64 levels" in ended.stderr
