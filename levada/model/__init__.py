"""The vocabulary: flows, executions, commands, events, effects, jobs, states, ids, errors. Plain data, no behaviour."""
