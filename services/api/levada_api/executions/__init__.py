"""Everything about executions over HTTP.

`start` accepts new ones, `read` shows them, `actions` asks something of one, `bulk` of many, `follow` streams changes,
`file` serves what they stored, `evaluate` renders expressions in their context, `webhook` starts them by a trigger's key.

None of these modules changes an execution: they append commands to the bus, where the executor reads them.
"""
