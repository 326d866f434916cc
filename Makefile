# make demo      set up, then train on the embedded digits
# make test      set up, then every check: lint, format, types, tests
# make test-all  the same with the tests that take minutes
# make bench     set up, then measure speed beside others (minutes)
# make docs      build the documentation's pages into site/
# make setup     the environment alone, in .venv

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready

.PHONY: setup demo test test-all lint docs bench clean

setup: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "genophen needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; name another: make PYTHON=python3.12 setup")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[control,dev,docs,evolution,mlflow,neat,onnx,tensorboard]'
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/genophen run examples/digits.toml --report --set training.rounds=10

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest

test-all: lint
	$(BIN)/python -m pytest -m ''

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(STAMP)
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv build site dist *.egg-info
