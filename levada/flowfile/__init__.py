"""Flow files: YAML in, `levada.model.Flow` out, with every mistake named by line and column.

Read in this order: `loader` (YAML to data with positions), `node` and `problems` (how parts are read and mistakes gathered),
`parser` (the flow), `tasks`, `triggers`, `inputs`, `limits`, `labels` (its parts), `properties` (against plugin classes),
`check` (rules that span parts).
"""

from levada.flowfile.parser import ParsedFlow, parse
from levada.flowfile.problems import InvalidFlow, Problem

__all__ = ["InvalidFlow", "ParsedFlow", "Problem", "parse"]
