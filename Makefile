# make quickstart   see sonar at work: an embedded registry, an image in it, each step shown
# make test         the tests (SONAR_TEST_REAL=required: a server that is not installed is a failure)
# make check        lint, types, who may import whom
# make soak        2,000 operations in 16 threads through a proxy that spoils a share of them
# make test-slow    the tests that take long: large layers, many entries, soaks
# make bench        side by side with other clients

PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2

.PHONY: quickstart test soak test-slow check format cover bench clean

quickstart: .venv/installed
	@$(BIN)/sonar quickstart

test: .venv/developing
	$(BIN)/pytest -q -n $(WORKERS) --dist loadfile -m "not slow"

soak: .venv/developing
	$(BIN)/pytest -q -s tests/soak tests/cancel

test-slow: .venv/developing
	$(BIN)/pytest -q -m slow

check: .venv/developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/developing
	$(BIN)/ruff check --fix-only -q .
	$(BIN)/ruff format .

cover: .venv/developing
	$(BIN)/pytest -q -n $(WORKERS) --dist loadfile -m "not slow" --cov=sonar_core --cov-branch --cov-report=term-missing

bench: .venv/benching
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv .bench-venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sonar needs Python 3.11 or later: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -e .
	@touch $@

.venv/developing: pyproject.toml | .venv/installed
	$(BIN)/pip install -q --disable-pip-version-check -e '.[dev]'
	@touch .venv/installed $@

.venv/benching: benchmarks/peers.txt | .venv/developing
	$(PYTHON) -m venv .bench-venv
	.bench-venv/bin/pip install -q --disable-pip-version-check -r benchmarks/peers.txt
	@touch $@
