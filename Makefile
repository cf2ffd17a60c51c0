# Trunkline: everything that a developer does, by name. `make` alone shows the list.

PYTHON ?=
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup run test test-quick interop lint format bench sipp clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.installed ## make the virtual environment in .venv

.venv/.installed: pyproject.toml constraints.txt
	@PYTHON="$(PYTHON)" scripts/setup.sh

run: .venv/.installed ## start the engine with config/demo.yaml and two little trunks; Ctrl-C ends all
	@echo "once it is ready, in another terminal:  $(BIN)/trunkline call +15551234567 --via 127.0.0.1:5060"
	@exec $(BIN)/trunkline serve -c config/demo.yaml --with-trunk 127.0.0.2:5080=503 --with-trunk 127.0.0.3:5080=200

test: .venv/.installed ## run all tests, with coverage; installs the Debian programs they call when it may
	@scripts/test.sh

test-quick: .venv/.installed ## run the tests that need no other program: about a minute
	@scripts/test.sh quick

interop: .venv/.installed ## let every phone do everything with every other one, and print the table; takes half an hour
	@scripts/peers.sh
	@$(BIN)/python -m pytest -m interop tests/interop

lint: .venv/.installed ## ruff (rules and layout), mypy --strict, the layers of imports, and functions that are too knotty
	@failed=0; \
	$(BIN)/ruff check --quiet --output-format=concise . || failed=1; \
	$(BIN)/ruff format --quiet --check . || { failed=1; echo "make format lays the code out"; }; \
	$(BIN)/mypy --no-error-summary || failed=1; \
	layers=$$($(BIN)/lint-imports --no-logo --no-cache 2>&1) || { failed=1; echo "$$layers"; }; \
	knotty=$$($(BIN)/radon cc --min D --show-complexity engine routing flows store api config service); \
	[ -z "$$knotty" ] || { failed=1; echo "$$knotty"; echo "functions worse than radon's grade C: divide them"; }; \
	exit $$failed

format: .venv/.installed ## lay the code out, and mend what ruff can mend
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

bench: .venv/.installed ## measure against the peers; takes minutes (docs/performance.md)
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks.routing
	@$(BIN)/python -m benchmarks.store
	@$(BIN)/python -m benchmarks.api
	@$(BIN)/python -m benchmarks.media
	@$(BIN)/python -m benchmarks.flood

sipp: .venv/.installed ## run the SIPp scenarios against a running engine of their own
	@scripts/peers.sh
	@$(BIN)/python -m sipp_scenarios

clean: ## remove .venv, caches and build products
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
