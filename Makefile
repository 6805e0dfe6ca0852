# Each target does its own set-up; only make and Python 3.11 or newer must be there.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# One worker per CPU, each given whole files, so that a file's fixtures are made once. JOBS=0: no workers.
JOBS ?= logical
PYTEST := $(BIN)/pytest -n $(JOBS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast check browser bench clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(READY)  ## a virtual environment in .venv with all that the other targets need

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name it with make PYTHON=..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY)  ## four methods x three seeds searched on real images: under 10 minutes
	$(BIN)/drnas demo --out results/demo

test: $(READY)  ## all tests but those marked slow, cluster or gpu, on all CPUs
	$(PYTEST)

test-fast: $(READY)  ## the tests that start no process and compute little: under a minute
	$(PYTEST) -m 'not process and not long and not slow and not cluster and not gpu'

check: $(READY)  ## formatter, linter, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# For the tests of the report page, which skip without it. Only as root on Debian and its like.
browser:  ## chromium and its driver by apt-get, unless they are there
	@if command -v chromedriver >/dev/null; then echo "chromedriver is there"; \
	elif ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ]; then \
		echo "only root with apt-get can: install chromium and its driver by hand"; exit 1; \
	else apt-get update -qq && apt-get install -qq -y chromium chromium-driver >/dev/null; fi

bench: $(READY)  ## the time of a supernet's step, method by method
	$(BIN)/python benchmarks/supernet_step.py

clean:  ## remove what make and the tools made
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
