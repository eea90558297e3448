"""Rules that span the parts of a flow: run after reading, on the model.

Each rule is a function of the flow and the report; `RULES` is their list. A rule reports and never raises.
"""

from collections.abc import Callable

from levada.flowfile.problems import Report
from levada.model.flow import Flow

Rule = Callable[[Flow, Report], None]
RULES: tuple[Rule, ...] = ()


def check(flow: Flow, report: Report) -> None:
    """Apply every rule."""
    for rule in RULES:
        rule(flow, report)
