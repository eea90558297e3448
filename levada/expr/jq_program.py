"""jq programs of users, kept away from the server they run on.

The jq library runs a program inside this process and holds the interpreter's lock meanwhile, so: the program sees an empty
environment, input and results are limited, own definitions and unbounded generators are refused, and `range` is bounded. What
remains (nested generators, jq's own regular expressions) can still take long; the filter is therefore `heavy`, which keeps it
out of the executor and on workers, where a run has a deadline.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

import jq

from levada.expr import budgets, json_text
from levada.expr.errors import BudgetExceeded, ExpressionError
from levada.expr.frame import Frame
from levada.expr.taint import conceal

MAX_PROGRAM_CHARS: Final = 16_384
MAX_RESULTS: Final = 100_000
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"|#[^\n]*', re.DOTALL)
_REFUSED: Final = re.compile(r"\b(def|repeat|while|until|input|inputs|import|include|stderr|halt|halt_error)\b")
_PRELUDE: Final = """{} as $ENV | def env: {};
def debug: .; def debug(message): .; def input_filename: null; def now: error("now is not available in jq; use now()");
def _range(a; b; c): range(a; b; c);
def range($a; $b; $c): if $c == 0 or (($b - $a) / $c) > 100000 then error("the range is too long") else _range($a; $b; $c) end;
def range($a; $b): range($a; $b; 1);
def range($b): range(0; $b; 1);
"""


@lru_cache(256)
def _compiled(program: str) -> Any:
    if len(program) > MAX_PROGRAM_CHARS:
        raise ExpressionError(f"the jq program is longer than {MAX_PROGRAM_CHARS:,} characters")
    # Plain strings cannot hold code; those with an interpolation can.
    code = _STRING.sub(lambda found: found.group() if "\\(" in found.group() else '""', program)
    if refused := _REFUSED.search(code):
        raise ExpressionError(f"`{refused.group()}` is not available in jq programs here")
    try:
        return jq.compile(f"{_PRELUDE}({program}\n)")
    except ValueError as problem:
        detail = str(problem).replace("jq: error: ", "").partition(" at <top-level>")[0]
        raise ExpressionError(f"the jq program `{program[:80]}` cannot be read: {detail[:200]}") from problem


def run(program: str, value: Any, frame: Frame) -> list[Any]:
    """Return all results of a program for a value. Blocks; raises ExpressionError for what jq refuses."""
    compiled = _compiled(program)
    text = json_text.dump(value, frame)
    results: list[Any] = []
    try:
        for result in compiled.input_text(str.__str__(text)):
            results.append(result)
            if len(results) > MAX_RESULTS:
                raise BudgetExceeded(f"the jq program gives more than {MAX_RESULTS:,} results")
    except ValueError as problem:
        raise ExpressionError(f"the jq program `{program[:80]}` fails: {str(problem)[:200]}") from problem
    frame.charge(len(results) // budgets.VALUES_PER_STEP + len(text) // budgets.CHARS_PER_STEP)
    return conceal(results) if type(text) is not str else results
