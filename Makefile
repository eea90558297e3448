# `make run` and `make test` are all a newcomer needs; each prepares .venv by itself when the locks changed.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: help setup run cluster test test-fast lint format docs bench bench-kafka conformance lock chaos deploy-check clean

help:            ## Show this list
	@grep -hE '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: $(STAMP)  ## Build .venv with everything that running and testing need

$(STAMP): requirements/bootstrap.txt requirements/dev.lock pyproject.toml
	@echo "preparing $(VENV) (once, and again when the locks change)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/bootstrap.txt
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

run: $(STAMP)    ## Start Levada, deploy the examples, run the example pipeline, stay up (Ctrl-C stops)
	@$(BIN)/python examples/run.py

cluster: $(STAMP) ## A cluster of all services over three Kafka brokers, with the example pipeline (ARGS="--demo-faults", "--bus postgres")
	@$(BIN)/python examples/cluster.py $(ARGS)

test: $(STAMP)   ## Lint and every test (short forms of chaos and simulation included)
	@$(MAKE) --no-print-directory lint
	@$(BIN)/pytest -q -n 2 --dist loadgroup tests

test-fast: $(STAMP) ## Only the tests that need neither a database nor a process
	@$(BIN)/pytest -q tests/unit tests/property tests/simulation tests/meta

lint: $(STAMP)   ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache

format: $(STAMP) ## Reformat and fix what can be fixed
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format --quiet .

docs: $(STAMP)  ## Write the pages under docs/ that are made from code
	@$(BIN)/python docs/generate.py

bench: $(STAMP)  ## Every benchmark under load-tests/, with the machine they ran on
	@$(BIN)/python load-tests/run.py

bench-kafka: $(STAMP) ## A cluster over Kafka: idle memory, latency, throughput, scaling, rebalances, and what each role costs
	@$(BIN)/python load-tests/scaling.py $(ARGS)

conformance: $(STAMP) ## Play the conformance cases against a server started for it
	@$(BIN)/python tests/conformance.py $(ARGS)

chaos: $(STAMP)  ## Play every harness of the reliability goals and write docs/reliability.md (ARGS="--only R1,R5 --seed 7", "--quick")
	@$(BIN)/python -m tests.chaos all $(ARGS)

deploy-check: $(STAMP) ## Image, compose file and Helm chart, looked at by hadolint, helm and the schemas
	@$(BIN)/python deploy/check

lock: $(STAMP)   ## Resolve requirements/*.in again
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url requirements/runtime.in -o requirements/runtime.lock
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url -c requirements/runtime.lock requirements/dev.in -o requirements/dev.lock

clean:           ## Remove .venv and the local data folder
	rm -rf $(VENV) .levada
