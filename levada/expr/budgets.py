"""How much one evaluation may use, and the checks that are made before memory is taken.

Expressions come from people who may write flows, and they run inside servers that others share. Nothing here measures
time (this package has no clock); instead every loop, call and big operation pays steps, and everything that could grow is
refused by its computed size before it is built. Straight-line templates pay nothing: they are bounded by the length and
depth that the parser accepts.
"""

from __future__ import annotations

from typing import Final

from levada.expr.errors import BudgetExceeded

MAX_STEPS: Final = 100_000
MAX_OUTPUT_CHARS: Final = 1 << 20
MAX_SOURCE_CHARS: Final = 1 << 20
MAX_ITEMS: Final = 100_000
MAX_DEPTH: Final = 64
# The tallest tree of nodes; one `a ~ b ~ c …` chain grows it without nesting brackets.
MAX_HEIGHT: Final = 200
MAX_INT_BITS: Final = 2048
# Work that the engine does in C, priced in steps: characters and values handled for one step.
CHARS_PER_STEP: Final = 1024
VALUES_PER_STEP: Final = 8


def check_text(length: int) -> None:
    """Refuse a text of `length` characters that is about to be built."""
    if length > MAX_OUTPUT_CHARS:
        raise BudgetExceeded(f"the text would have {length:,} characters; an expression may build {MAX_OUTPUT_CHARS:,}")


def check_items(count: int) -> None:
    """Refuse a list or map of `count` items that is about to be built."""
    if count > MAX_ITEMS:
        raise BudgetExceeded(f"the list would have {count:,} items; an expression may build {MAX_ITEMS:,}")


def check_bits(bits: int) -> None:
    """Refuse a whole number of `bits` bits that is about to be computed."""
    if bits > MAX_INT_BITS:
        raise BudgetExceeded(f"the number would have {bits:,} bits; an expression may compute {MAX_INT_BITS:,}")


def check_depth(depth: int) -> None:
    """Refuse nesting deeper than MAX_DEPTH, of brackets, blocks, macros or values."""
    if depth > MAX_DEPTH:
        raise BudgetExceeded(f"nested deeper than {MAX_DEPTH} levels")
