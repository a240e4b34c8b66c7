# Each target sets up what it needs: Python 3.11 or newer and make are enough.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help demo test test-all check bench clean
help:
	@echo "make demo      generated street world: raw roots -> unified dataset, statistics, picture; a small net,"
	@echo "               learned class relations against the truth, unseen streets (demo/)"
	@echo "make test      the tests, minutes"
	@echo "make test-all  the slow ones too"
	@echo "make check     ruff, mypy, tests"
	@echo "make bench     speed against Pillow, OpenCV and datasets, into benchmarks/results/"

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(VENV)/.ready
	$(BIN)/unify demo demo

test: $(VENV)/.ready
	$(BIN)/python -m pytest

test-all: $(VENV)/.ready
	$(BIN)/python -m pytest -m ''

check: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

bench: $(VENV)/.ready
	$(BIN)/python -m benchmarks.codec
	$(BIN)/python -m benchmarks.conversion
	$(BIN)/python -m benchmarks.stats
	$(BIN)/python -m benchmarks.erase --images 6 --rounds 3
	$(BIN)/python -m benchmarks.convert --images 40 --rounds 5
	$(BIN)/python -m benchmarks.losses
	$(BIN)/python -m benchmarks.cpp
	$(BIN)/python -m benchmarks.dropclass
	$(BIN)/python -m benchmarks.uncertainty

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache
