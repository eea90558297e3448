"""The expression language: `{{ … }}`, `{% … %}` and all that may stand inside.

A closed language with the syntax and meaning of Kestra's Pebble dialect. Nothing in here touches a clock, a file or the
network, and nothing an expression says is ever run as Python: text becomes tokens (`lexer`), tokens a tree (`parser`,
`nodes`), the tree closures (`compiler`, `statements`), and only what stands in the tables of `registry` can be called.
`budgets` bounds every evaluation, `taint` keeps secrets marked, `references` tells beforehand what is read.
"""

from levada.expr import filters, functions, predicates
from levada.expr.errors import BudgetExceeded, ExpressionError, UndefinedVariable
from levada.expr.host import Ambient, Host
from levada.expr.operators import OPERATORS
from levada.expr.references import References, needs_io, references
from levada.expr.registry import FILTERS, FUNCTIONS, TESTS
from levada.expr.taint import Secret, reveal, secrets_in
from levada.expr.template import Template, compile, evaluate, render, truthy

__all__ = [
    "FILTERS",
    "FUNCTIONS",
    "OPERATORS",
    "TESTS",
    "Ambient",
    "BudgetExceeded",
    "ExpressionError",
    "Host",
    "References",
    "Secret",
    "Template",
    "UndefinedVariable",
    "compile",
    "evaluate",
    "filters",
    "functions",
    "needs_io",
    "predicates",
    "references",
    "render",
    "reveal",
    "secrets_in",
    "truthy",
]
