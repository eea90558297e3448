"""The harnesses that prove Levada's promises, as a library: what they share, and what each of them does.

Read in this order: `records` (what the harness itself writes down: acknowledgements, faults, the tasks' ledger), `workload`
(the flows), `load` (clients that start them), `history` (the tables, read once), `histcheck` (the oracle), `fleet` (the
processes under test), then one module per harness: `gremlin`, `crashpoint`, `poison`, `killtree`, `upgrade`. The commands
and their short forms are in tests/chaos.
"""
