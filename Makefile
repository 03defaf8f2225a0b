# Every target sets up what it needs: `make demo` and `make test` work in a fresh clone.

PYTHON ?= python3
# One thread a process: small tensors gain nothing from more, and threads that wait for a busy core cost a lot.
export OMP_NUM_THREADS ?= 1
BIN := .venv/bin
STAMP := .venv/.installed
TORCH := $(shell grep '^torch==' constraints.txt)

.PHONY: help demo test lint readme install clean

help:
	@echo "make demo   train on handwritten digits, score, evaluate; writes demo/ (under 2 minutes once installed)"
	@echo "make test   linters, type checks and all tests"
	@echo "make lint   linters and type checks alone"
	@echo "make readme run the demo and quote its output in README.md"
	@echo "make clean  remove demo/ and .venv/"

demo: $(STAMP)
	$(BIN)/python examples/demo.py

test: lint
	$(BIN)/python -m pytest -n 2

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Quotes the demo's output in README.md anew, after a change that moves its numbers.
readme: $(STAMP)
	$(BIN)/python examples/demo.py > .venv/demo.log 2>&1
	$(BIN)/python tests/quote.py .venv/demo.log

install: $(STAMP)

# torch comes first and by its exact version: an open range may pick a build of several gigabytes.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("unseen needs Python 3.11 or newer, and $(PYTHON) is %d.%d: make PYTHON=python3.11 ..., or install a newer Python" % v[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf demo .venv
