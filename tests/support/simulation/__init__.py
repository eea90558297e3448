"""simflow: the real executor, worker and engine in a simulated world, where one integer decides everything that happens.

Read in this order: `loop` (virtual time, processes that can be frozen and killed), `faults` (what goes wrong, drawn from
the seed), `ports` (the product's memory adapters behind those faults), `ledger` (the task that writes down what really
ran), `workload` (random flows), `world` (everything put together, and its users), `oracle` (what must hold afterwards),
`mutants` (fences taken away, to prove that the oracle would notice).
"""
