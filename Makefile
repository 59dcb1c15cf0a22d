# Every target first sets up what it needs in .venv, and does so again only when the pins change.

.DEFAULT_GOAL := help
.PHONY: help demo test check bench pages docs
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
DATA ?= digits
EPOCHS_digits := 20
EPOCHS_mnist := 3
DEMO_OPTIONS ?= --lr 0.05 --epochs $(or $(EPOCHS_$(DATA)),10)
TEST_OPTIONS ?= --numprocesses auto --maxprocesses 8

VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/runtime.stamp
TOOLS := $(VENV)/tools.stamp
PINS := pyproject.toml constraints.txt
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
DEMO := runs/demo-$(subst /,-,$(DATA))
BENCHMARKS := $(filter-out benchmarks/_%,$(wildcard benchmarks/*.py))

ifneq ($(wildcard ../shared/data),)
export NORMWISE_DATA ?= $(abspath ../shared/data)
endif

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-7s %s\n", $$1, $$2}' Makefile

demo: $(RUNTIME) ## five variants x 10 seeds on DATA=digits (or mnist): verdict, table, report
	@rm -rf '$(DEMO)'
	@$(BIN)/normwise compare --data '$(DATA)' \
	  --variants plain,batch,layer,dropout=0.2,batch+dropout=0.2 --seeds 10 \
	  --out '$(DEMO)' $(DEMO_OPTIONS)

test: $(TOOLS) ## run the test suite; TEST_OPTIONS='-k stats' replaces pytest's options
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TEST_OPTIONS)

check: $(TOOLS) ## lint, formatting and types
	@status=0; \
	$(BIN)/ruff check . || status=1; \
	$(BIN)/ruff format --check . || status=1; \
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright || status=1; \
	exit $$status

pages: $(RUNTIME) ## write docs/rules and docs/lab from the rules' and claims' own words
	@rm -f docs/rules/*.md docs/lab/*.md
	@$(BIN)/python -c 'from normwise.rules import write_pages; write_pages("docs/rules")'
	@$(BIN)/python -c 'from normwise.lab import write_pages; write_pages("docs/lab")'

docs: $(TOOLS) ## build the site in site/; a link that leads nowhere fails
	@$(BIN)/mkdocs build
	@echo "site/index.html"

bench: $(TOOLS) ## run every script in benchmarks/ but those named _*.py, which are their helpers
	@set -e; for script in $(BENCHMARKS); do echo "== $$script"; $(BIN)/python $$script; done

# torch goes first: it is most of the download, and nothing else should choose its version.
$(RUNTIME): $(PINS)
	@test -x $(BIN)/pip || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>&- || { \
	  echo "normwise needs Python 3.11 or newer;" \
	    "$(PYTHON) is $$($(PYTHON) --version 2>&- || echo 'not there')." \
	    "Name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(BIN)/pip || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing torch, the largest part (minutes the first time)"
	@$(INSTALL) torch
	@echo "installing normwise"
	@$(INSTALL) --editable .
	@touch $@

$(TOOLS): $(RUNTIME)
	@echo "installing what tests and checks need"
	@$(INSTALL) --editable '.[dev]'
	@touch $@
