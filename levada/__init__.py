"""Levada: a Kestra-compatible workflow orchestrator. docs/architecture.md says how to read the code."""
