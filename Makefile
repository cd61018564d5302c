# make help lists the targets. PYTHON names the interpreter a new environment is made with;
# a second environment beside the first: make test VENV=.venv312 PYTHON=python3.12
VENV ?= .venv
BIN  := $(VENV)/bin
PY   := $(BIN)/python
PYTEST_ARGS ?=
MIN := 11

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export PIP_ROOT_USER_ACTION := ignore

is_new_enough = -c 'import sys; sys.exit(sys.version_info < (3, $(MIN)))'

# The environment is stale when its interpreter is gone or too old, or when the checkout was moved
# (scripts and the editable install hold absolute paths).
venv_ok := $(shell grep -qF '$(CURDIR)/$(VENV)' $(BIN)/activate 2>/dev/null && \
	$(PY) $(is_new_enough) 2>/dev/null && $(PY) -m pip --version >/dev/null 2>&1 && echo yes)
ifneq ($(venv_ok),yes)
.PHONY: $(VENV)/.created
endif

.DEFAULT_GOAL := help
.PHONY: help demo test lint format types floors check bench dev clean

help:  ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.run  ## the whole story on a sample memory, offline
	@$(BIN)/vex demo

test: $(VENV)/.test  ## every test (PYTEST_ARGS="-k name" for some)
	@$(PY) -m tests.engines
	@$(PY) -m pytest -q -n auto $(PYTEST_ARGS)

lint: $(VENV)/.dev  ## style, likely bugs, formatting
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --check .; echo "run: make format"; exit 1; }

format: $(VENV)/.dev  ## rewrite files the way lint wants them
	@$(BIN)/ruff check --fix --quiet .; $(BIN)/ruff format --quiet .

types: $(VENV)/.dev  ## mypy, strict
	@$(BIN)/mypy

floors: $(VENV)/.dev  ## imports run downward only
	@$(BIN)/lint-imports --no-logo

check: lint types floors test  ## everything above

bench: $(VENV)/.bench  ## measurements; each prints ratios from one run
	@set -e; for file in tests/bench/bench_*.py; do \
		[ -e "$$file" ] || { echo "no benchmarks yet"; break; }; \
		echo "== $$file"; $(PY) "$$file"; done

dev: $(VENV)/.dev  ## set up for development
	@:

clean:  ## remove the environment and caches
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find vexrepo tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@set -e; python='$(PYTHON)'; \
	[ '$(venv_ok)' = yes ] || { \
		for each in $${python:-python3 python3.14 python3.13 python3.12 python3.11}; do \
			$$each $(is_new_enough) 2>/dev/null && { python=$$each; break; }; python=; done; \
		[ -n "$$python" ] || { echo "vexrepo needs Python 3.$(MIN) or newer; name one with: make PYTHON=/path/to/python3"; exit 1; }; \
		echo "Creating $(VENV) with $$($$python --version)"; \
		rm -rf $(VENV); \
		$$python -m venv $(VENV) || { rm -rf $(VENV); \
			echo "$$python cannot create environments; on Debian and Ubuntu: apt install python3-venv"; exit 1; }; }
	@touch $@

# One editable install for each set of extras; redone when pyproject.toml changes. A larger set
# stands for the smaller ones within it.
$(VENV)/.test: implied = $(VENV)/.run
$(VENV)/.dev: implied = $(VENV)/.run $(VENV)/.test
$(VENV)/.bench: implied = $(VENV)/.run $(VENV)/.test
$(VENV)/.run: what = .
$(VENV)/.test: what = .[test]
$(VENV)/.dev: what = .[dev]
$(VENV)/.bench: what = .[bench]
$(VENV)/.run $(VENV)/.test $(VENV)/.dev $(VENV)/.bench: $(VENV)/.created pyproject.toml
	@echo "Installing $(what)"
	@$(PY) -m pip install -qq --editable '$(what)'
	@touch $(implied) $@
