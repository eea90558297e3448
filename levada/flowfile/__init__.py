"""Flow files: YAML in, `levada.model.Flow` out, with every mistake named by line and column.

Read in this order: `loader` (YAML to data with positions), `node` and `problems` (how parts are read and mistakes gathered),
`parser` (the flow), `tasks`, `triggers`, `inputs`, `limits`, `labels` (its parts), `properties` (against plugin classes),
`defaults`, then `check` (rules that span parts: `expressions`, `schedules`, `upstream`). On top of it `validate` (verdicts
without saving), `cache` (parsed flows of a store) and `json_schema` (for editors).
"""

from levada.flowfile.cache import BrokenFlow, FlowCache
from levada.flowfile.parser import ParsedFlow, parse
from levada.flowfile.problems import InvalidFlow, Problem
from levada.flowfile.validate import Verdict, judge

__all__ = ["BrokenFlow", "FlowCache", "InvalidFlow", "ParsedFlow", "Problem", "Verdict", "judge", "parse"]
