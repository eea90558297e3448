"""The indexer service: what other services put on the bus for people to look at later, into tables.

reading     a record of the bus as a part of a batch
consumer    one topic: own partitions, poll, write the batch and the position in one transaction
rollups     counts of executions: collect what changed, recompute now and then
main        the parts put together, in a process of its own or inside everybody's
"""
