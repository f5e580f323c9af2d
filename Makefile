# Everything the project can do. `make help` lists it; every target sets up what it needs.
.DEFAULT_GOAL := help
.PHONY: help install demo run test lint types migration migrations-check test-sqlite test-postgresql chaos bench format sdl assets interop clean
# The checks are told in their order, and two installations at once would be in each other's way.
.NOTPARALLEL:

PORT ?= 8000
SCALE ?= 0.02
SIDE_BY_SIDE ?= 2
BIN := .venv/bin
# Each of the processes has servers of its own, and all tests of one file; files are begun in their order, the longest of them first.
PYTEST = $(BIN)/pytest -n $(SIDE_BY_SIDE) --dist loadfile --no-loadscope-reorder
# Tests start many processes, each of which would compile everything anew where the environment forbids to keep it.
export PYTHONDONTWRITEBYTECODE :=
# uv works in .venv, from the lock file only, whose hashes it checks.
# Inexact: what only development needs stays when `make run` looks after what running needs.
SYNC := UV_PROJECT_ENVIRONMENT=.venv UV_PYTHON=.venv UV_PYTHON_DOWNLOADS=never $(BIN)/uv sync --quiet --frozen --inexact

# Programs in .venv name the folder that they were made in, and need its Python. Where the folder was renamed or copied, or the Python has
# gone, they would be missing, or be another folder's: .venv is made anew.
$(shell .venv/bin/python -c "import uv" 2>/dev/null && \
	[ "$$(sed -n 's/^command = .* -m venv --clear //p' .venv/pyvenv.cfg)" = "$$(pwd -P)/.venv" ] || rm -f .venv/.made)

help: ## List what there is to make
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.made: scripts/make-venv scripts/uv.txt
	@scripts/make-venv
	@touch $@

.venv/.runtime: .venv/.made pyproject.toml uv.lock
	@echo "installing dependencies (locked, with hashes)"
	@$(SYNC) --no-default-groups --group demo
	@touch $@

.venv/.development: .venv/.runtime
	@echo "installing development tools (locked, with hashes)"
	@$(SYNC)
	@touch $@

install: .venv/.development ## Set up everything for development

demo: .venv/.runtime ## Send a first webhook, signed and retried, and watch it live (EVENT=path.json)
	@trap : INT; $(BIN)/python examples/demo.py $(if $(EVENT),--event "$$EVENT") || [ $$? -eq 130 ]  # after Ctrl-C it has said all there is

run: .venv/.runtime ## Serve the API and GraphiQL on SQLite until stopped (PORT=8000)
	@trap : INT; $(BIN)/graphook serve --port "$(PORT)" || [ $$? -eq 130 ]  # Ctrl-C is how it ends, and no error

test: lint types test-sqlite test-postgresql ## Check everything: format, lint, types, layers and the suite on both back ends

lint: .venv/.development ## Check format, lint and import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo

types: .venv/.development ## Check types
	$(BIN)/mypy

migration: .venv/.development ## Write the migration for what changed in the models (NAME=add_something)
	@scripts/make-migration "$(NAME)"

migrations-check: .venv/.development ## Check that the migrations lead to what the models say
	$(BIN)/pytest tests/test_migrations.py

test-sqlite: .venv/.development ## Run the suite on SQLite and the in-process broker (SIDE_BY_SIDE=0 in one process)
	$(PYTEST) --backend sqlite

test-postgresql: .venv/.development ## Run the suite on real PostgreSQL and Redis, started for the run (SIDE_BY_SIDE=0 in one process)
	$(PYTEST) --backend postgresql

chaos: .venv/.development ## Break everything on purpose and count what is lost (SCALE=1 for the full counts, ROWS="R1 I4" for some)
	$(BIN)/python -m tests.chaos --scale $(SCALE) $(if $(ROWS),$(ROWS),--write)

bench: .venv/.development ## Measure the figures against their limits (FIGURES="message_create drain" QUICK=1 ROUNDS=3 ROWS=10000000)
	$(BIN)/python -m benchmarks $(if $(FIGURES),--figures "$(FIGURES)") $(if $(QUICK),--quick) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ROWS),--rows $(ROWS))

format: .venv/.development ## Format the code and mend what lint can
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .

sdl: .venv/.development ## Write the GraphQL schema to graphql/schema.graphql, and the reference of the settings
	$(BIN)/graphook sdl > graphql/schema.graphql
	$(BIN)/graphook settings --markdown > docs/reference/settings.md

assets: ## Build GraphiQL's files (needs Node 20.19 or later and the npm registry)
	assets/build.sh

interop: .venv/.development ## Run the graphql-http audits and four JavaScript clients (needs Node and the npm registry)
	tests/interop/run.sh

clean: ## Remove what was set up and built here (the data of `make run`, in graphook-data, stays)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist build
	find . -name node_modules -prune -exec rm -rf {} + -o -name __pycache__ -prune -exec rm -rf {} +
