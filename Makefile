# What a developer does, by name. GNU make, Python >= 3.11 and the package index are all that it needs.
#   make test PYTHON=python3.13      another interpreter (the virtual environment is made anew)
#   make test ARGS="-k stops -x"     arguments for pytest; also for demo and bench
#   make test ARGS="-n 0 --pdb"      in one process, where a debugger works

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin

PYTHON_VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)
DEFINITION := pyproject.toml src/aiflow/_version.py
CODE := $(wildcard src tests benchmarks examples docs conftest.py)
PROSE := README.md CHANGELOG.md CONTRIBUTING.md $(wildcard docs src examples benchmarks)
TYPED := src/aiflow $(wildcard tests/typing)
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 4

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# With it, each of the many processes of the tests would compile all modules anew.
export PYTHONDONTWRITEBYTECODE :=

# --- the virtual environment: one stamp per set of packages, out of date when pyproject.toml changes ---

MADE := $(VENV)/.python-$(PYTHON_VERSION)

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "aiflow needs Python 3.11 or newer, and $(PYTHON) is $(or $(PYTHON_VERSION),not to be found);" \
	         "name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "making $(VENV) with Python $(PYTHON_VERSION)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

define install
@echo "installing aiflow[$(1)] into $(VENV) (the first time takes a minute)"
@$(BIN)/python -m pip install --quiet --editable '.[$(1)]'
endef

$(VENV)/.examples: $(MADE) $(DEFINITION)
	$(call install,examples)
	@touch $@

$(VENV)/.test: $(MADE) $(DEFINITION)
	$(call install,test)
	@touch $(VENV)/.examples $@

$(VENV)/.docs: $(MADE) $(DEFINITION)
	$(call install,docs)
	@touch $@

$(VENV)/.dev: $(MADE) $(DEFINITION)
	$(call install,dev)
	@touch $(VENV)/.examples $(VENV)/.test $(VENV)/.docs $@

# --- what people call ---

.PHONY: help demo test test-all test-fast check format-check lint spelling types contracts fix docs fresh bench clean

help: ## show this list
	@echo "make demo runs the example, make test the tests. All of them:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r target text; do \
	    printf '%-22s %s\n' "  $$target" "$$text"; done

demo: $(VENV)/.examples ## install aiflow with what the example needs, and run the example
	@$(BIN)/python -m aiflow run examples/iris.py $(ARGS)

test: $(VENV)/.test ## install what the tests need, and run them
	@$(PYTEST) -m "not costly" $(ARGS)

test-all: $(VENV)/.test ## the same with those that start and break Flink clusters of their own
	@$(PYTEST) $(ARGS)

test-fast: $(VENV)/.test ## the same without the tests that start a Flink cluster
	@$(PYTEST) -m "not flink" $(ARGS)

check: format-check lint spelling types contracts docs ## format, lint, spelling, strict types, import contracts, docs: all that needs no run

format-check: $(VENV)/.dev
	@echo "format:    ruff format --check"
	@$(BIN)/ruff format --check --quiet $(CODE) || { $(BIN)/ruff format --check $(CODE); echo "make fix mends that" >&2; exit 1; }

lint: $(VENV)/.dev
	@echo "lint:      ruff check"
	@$(BIN)/ruff check --quiet $(CODE)

spelling: $(VENV)/.dev
	@echo "spelling:  codespell"
	@$(BIN)/codespell $(PROSE)

types: $(VENV)/.dev
	@echo "types:     mypy --strict $(TYPED)"
	@$(BIN)/mypy --strict $(TYPED)

contracts: $(VENV)/.dev
	@echo "contracts: lint-imports"
	@$(BIN)/lint-imports --no-logo

docs: $(VENV)/.docs ## build the documentation, with warnings as errors
	@echo "docs:      sphinx-build"
	@$(BIN)/sphinx-build -q -W --keep-going --fresh-env -b html docs docs/_build/html
	@echo "           docs/_build/html/index.html"

fix: $(VENV)/.dev ## format, and mend what ruff can mend
	@$(BIN)/ruff check --fix --quiet $(CODE); status=$$?; $(BIN)/ruff format $(CODE) && exit $$status

fresh: $(MADE) ## do what the README says in an empty environment
	@$(BIN)/python tests/fresh.py

bench: $(VENV)/.test ## every speed that the README claims, next to its floor
	@$(BIN)/python -m benchmarks $(ARGS)

clean: ## remove the virtual environment and all that was built (.aiflow stays: it is the record of executions)
	@rm -rf $(VENV) build dist docs/_build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
