# Each target does its whole set-up in .venv, Node.js for the screens included; the machine needs Python 3.11 or later,
# and for the tests of the screens a Chromium.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" npm --prefix labextension
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help lab tour screens test lint format bench bases relock clean

help:  ## What there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

.venv/ready: pyproject.toml labextension/package-lock.json
	@test -n "$(PYTHON)" || { echo "envpanel needs Python 3.11 or later with venv; set PYTHON=/path/to/python."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@

labextension/node_modules: .venv/ready
	@test -d $@ || $(NPM) ci --no-fund --no-audit
	@touch $@

screens: labextension/node_modules  ## Build the screens anew, after a change of them (then reload the page)
	$(NPM) run build
	$(BIN)/python -m pip install --quiet --no-deps --editable .

lab: .venv/ready  ## Set up, and open JupyterLab on a demo project in ./demo (LAB=--no-browser: only start it)
	@$(BIN)/python docs/demo.py demo
	@cd demo && PATH="$(CURDIR)/$(BIN):$$PATH" $(CURDIR)/$(BIN)/python -m jupyterlab $(LAB)

tour: .venv/ready  ## Walk through the command line, on a project in ./tour
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh docs/tour.sh tour

test: .venv/ready lint  ## Lint, types and all tests, those in a real browser included
	$(NPM) test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

lint: labextension/node_modules
	$(NPM) run lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy

format: .venv/ready  ## Put the code into the project's form
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .
	$(NPM) run format

bench: .venv/ready  ## Measure clone, restore and install against plain uv, side by side
	$(BIN)/python tests/bench.py

bases: .venv/ready  ## Build and import all nine bases, and print sizes and times
	$(BIN)/python tests/build_bases.py $(if $(FIND_LINKS),--find-links $(FIND_LINKS))

relock: .venv/ready  ## Pin the bundled bases anew (needs a package index)
	$(BIN)/python -m envpanel.bases.relock

clean:  ## Remove what the other targets made
	chmod -R u+w demo tour 2>/dev/null || true
	rm -rf .venv labextension/node_modules labextension/lib envpanel/labextension demo tour .pytest_cache .mypy_cache .ruff_cache .hypothesis
