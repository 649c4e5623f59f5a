# make quantize [RECIPE=mobilenet.yaml] [ARGS="--set …"]   set up what is missing, then run the recipe
# make test                                               set up what is missing, then run all tests
# make check                                              every check that needs no TensorFlow run

RECIPE ?= mobilenet.yaml
ARGS ?=
VENV ?= .venv
BIN := $(VENV)/bin
# The newest Python that TensorFlow has wheels for, unless PYTHON says otherwise.
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11 python3.10,$(shell \
	$(name) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $(name))))
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
# A plain path entry: the import hook of the other editable modes costs every start 15 ms.
EDITABLE := --config-settings editable_mode=compat

.PHONY: quantize setup setup-dev fmt docs lint type imports check test test-light benchmark clean

quantize: setup
	@$(BIN)/tflite-pipeline run $(firstword $(wildcard recipes/$(RECIPE)) $(RECIPE)) $(ARGS)

setup: $(VENV)/.installed

setup-dev: $(VENV)/.installed-dev

$(BIN)/pip:
	@test -n "$(PYTHON)" || { echo "needs Python 3.10 to 3.13; found none. Set PYTHON=/path/to/python"; exit 2; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "setting up $(VENV) (about 2 GB, a minute or two)"
	@$(INSTALL) $(EDITABLE) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "setting up $(VENV) with the tools for development"
	@$(INSTALL) $(EDITABLE) -e '.[dev]'
	@touch $@ $(VENV)/.installed

fmt: setup-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup-dev
	$(BIN)/tflite-pipeline schema > recipes/recipe.schema.json
	$(BIN)/python -m tflite_pipeline.recipe.reference docs/recipe.md

lint: setup-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

type: setup-dev
	$(BIN)/mypy

imports: setup-dev
	$(BIN)/lint-imports

check: lint type imports test-light

test-light: setup-dev
	$(BIN)/pytest -q -n 2 -m 'not tf and not slow' tests/light

test: setup-dev
	$(BIN)/pytest -n 2 --dist loadfile $(TESTS)

benchmark: setup-dev
	$(BIN)/python benchmarks/convert_time.py
	$(BIN)/python benchmarks/run_time.py
	$(BIN)/python benchmarks/calibrate_time.py
	$(BIN)/python benchmarks/sweep_time.py
	$(BIN)/python benchmarks/search_cost.py
	$(BIN)/python benchmarks/stage_cost.py
	$(BIN)/python benchmarks/int8_accuracy.py
	$(BIN)/python benchmarks/qat_speed.py
	$(BIN)/python benchmarks/qat_accuracy.py
	$(BIN)/python benchmarks/qat_coverage.py

clean:
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
