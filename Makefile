# Every target sets up what it needs: `make demo` and `make test` work in a fresh clone.

PYTHON ?= python3
# One thread a process: small tensors gain nothing from more, and threads that wait for a busy core cost a lot.
export OMP_NUM_THREADS ?= 1
BIN := .venv/bin
STAMP := .venv/.installed
DOCS_STAMP := .venv/.docs
BENCH := .venv-bench/bin/python
BENCH_STAMP := .venv-bench/.installed
# What is imported is compiled then: all of torch and its like, one module after the other, takes twice as long as the rest.
PIP := pip install --quiet --no-compile
TORCH := $(shell grep '^torch==' constraints.txt)
CLEAN := .venv-clean/bin/python
MINUTES ?= 20

# Tests that run a second time, as on another processor: those of numbers, without what trains for long; NUMERICAL= runs all tests.
# Threads that wait there give their core away, as others want it.
NUMERICAL := $(patsubst %,tests/%.py,data/test_repeats data/test_schema detector/test_conformal detector/test_equal_rows \
	detector/test_settings methods/test_distances methods/test_heads methods/test_meta methods/test_topk parts/test_covariance \
	parts/test_deviation parts/test_parts parts/test_plain) docs/guides/calibration.md
# Tests of what each package below its tested version has to do: frames, files, formats, pictures. Of the methods the default alone:
# they are torch's work, which is no other version.
LOWEST := $(patsubst %,tests/%.py,data/test_schema data/test_tables detector/test_conformal io/test_read io/test_write \
	parts/test_parts report/test_overlay storage/test_bundle vision/test_images)

.PHONY: help demo demo-images demo-service test test-baseline lint fuzz dist lowest docs bench bench-quick bench-trust bench-service tutorial install clean

help:
	@echo "make demo   train on handwritten digits, score, evaluate; writes demo/ (under 2 minutes once installed)"
	@echo "make demo-images"
	@echo "            bricks with painted defects: train, score, heat maps; writes demo-images/ and its report.html"
	@echo "            (under 3 minutes once installed)"
	@echo "make demo-service"
	@echo "            a detector behind an API: score, review, retrain; writes demo-service/, and serves until Ctrl-C"
	@echo "make test   linters, type checks and all tests"
	@echo "make test-baseline"
	@echo "            the numerical tests as on a processor without AVX, with two threads"
	@echo "make lint   linters and type checks alone"
	@echo "make fuzz   random tables, bundles, images and command lines for 20 minutes, or MINUTES=2"
	@echo "make dist   wheel and sdist in dist/, of the same files, installed into a clean environment and tried there"
	@echo "make lowest the lower bounds of pyproject.toml, but torch's, installed and tried"
	@echo "make bench-quick"
	@echo "            our methods beside peers, at most 10 minutes once installed; writes bench-quick/"
	@echo "make bench  all of it, hours, resumed where it stopped; writes docs/benchmarks/,"
	@echo "            needs UNSEEN_DATA"
	@echo "make bench-trust"
	@echo "            whether verdicts, policies, blind spots, reasons, drift and advice hold; hours, needs UNSEEN_DATA"
	@echo "make bench-service"
	@echo "            100 kills of the service on each database, the service under load, a cluster, fits on 50 million rows;"
	@echo "            two hours, 6 GB; PostgreSQL's part only where it is installed"
	@echo "make docs   the documentation site in docs/_build; stops at a warning or a broken link"
	@echo "make tutorial"
	@echo "            run the demos and examples/decision.py, and quote what they print in docs/tutorial/"
	@echo "make clean  remove demo/, demo-images/, demo-service/, bench-quick/, dist/, docs/_build/ and the environments .venv*/"

demo: $(STAMP)
	$(BIN)/python examples/demo.py

demo-images: $(STAMP)
	$(BIN)/python examples/demo_images.py

demo-service: $(STAMP)
	$(BIN)/python examples/demo_service.py

test: lint
	$(BIN)/python -m pytest -n 2

test-baseline: $(STAMP)
	OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive $(BIN)/python tests/baseline.py -m pytest -n 2 $(NUMERICAL)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A run that was stopped goes on with the seeds that are left; SEED=0 begins with that one. What is found is printed
# with the command that repeats it.
fuzz: $(STAMP)
	$(BIN)/python -m fuzz --minutes $(MINUTES) $(if $(SEED),--seed $(SEED),--resume .fuzz.json)

dist: $(STAMP)
	rm -rf dist .venv-clean
	$(BIN)/python -m hatchling build
	$(PYTHON) -m venv .venv-clean
	$(CLEAN) -m $(PIP) $(TORCH)
	$(CLEAN) -m $(PIP) -c constraints.txt "$$(echo dist/*.tar.gz)[serve]"
	$(CLEAN) -I tests/installed.py dist/*.whl

# After `make dist`, in the same environment: all packages go down to the versions that pyproject.toml begins with.
# What they warn of is known since, so warnings are no errors here.
lowest: dist
	$(CLEAN) -m $(PIP) $(TORCH) $$($(PYTHON) tests/lowest.py) \
		$$(grep -E '^(pytest|hypothesis|psutil)==' constraints.txt)
	$(CLEAN) -m pip check
	$(CLEAN) -I tests/installed.py
	$(CLEAN) -m pytest -o filterwarnings=default -W ignore -p no:cacheprovider -k "not bit_equal or evidence" $(LOWEST)

# The handwritten digits, then, with UNSEEN_DATA, the default and as many peers on the other sets as two minutes hold.
bench-quick: $(BENCH_STAMP)
	$(BENCH) -m bench side_by_side --sets digits --seeds 2 --limit 180 --minutes 4 --jobs 2 --out bench-quick/side_by_side.parquet
ifdef UNSEEN_DATA
	$(BENCH) -m bench side_by_side --methods evidence-stack nearest-ratio peers --seeds 1 --limit 60 --minutes 2 --jobs 2 \
		--out bench-quick/side_by_side.parquet
endif
	$(BENCH) -m bench pages --results bench-quick --out bench-quick

# What docs/benchmarks holds. A run that is done is not done again: stop and start at will.
bench: $(BENCH_STAMP)
	$(BENCH) -m bench side_by_side --seeds 5 --limit 1200
	$(BENCH) -m bench side_by_side --seeds 3 --limit 1200 --methods ours label-free --cells 1x1x0 1x10x0 3x10x0.05 1x1x0.05
	$(BENCH) -m bench side_by_side --seeds 1 --limit 1200 --cells all
	$(BENCH) -m bench adbench --limit 600
	$(BENCH) -m bench growth --limit 600
	$(BENCH) -m bench why
	$(BENCH) -m bench pages

# Whether verdicts, policies, blind spots, reasons, drift and advice hold. Tests run a short form of each.
bench-trust: $(BENCH_STAMP)
	$(BENCH) -m bench verdicts --families six classes
	$(BENCH) -m bench policies
	$(BENCH) -m bench blindspots --seeds 2
	$(BENCH) -m bench reasons --rows 40 --slow 4
	$(BENCH) -m bench drift
	$(BENCH) -m bench advice

# What the service keeps when it, its database or its disk fail. Tests run a short form.
bench-service: $(STAMP)
	UNSEEN_KILLS=100 UNSEEN_LONG=1 $(BIN)/python -m pytest -s tests/service/test_faults.py tests/service/test_review.py
	$(BIN)/python -m bench load
	$(BIN)/python -m bench retraining
	$(BIN)/python -m bench cluster --part equal --method mahalanobis --rows 20000000 --columns 10
	$(BIN)/python -m bench cluster --part equal --rows 2000000 --columns 50
	$(BIN)/python -m bench cluster --part pair --rows 1000000 --columns 50
	$(BIN)/python -m bench cluster --part kills --method mahalanobis --rows 4000000 --columns 10
	$(BIN)/python -m bench cluster --part simulation
	$(BIN)/python -m bench onnx
	$(BIN)/python -m bench large_fit --scratch bench-large --do make --sets one
	$(BIN)/python -m bench large_fit --scratch bench-large --do make --sets sites --rows 20000000 --files 20
	for seed in 0 1 2; do $(BIN)/python -m bench large_fit --scratch bench-large --do fit --seed $$seed || exit 1; done
	$(BIN)/python -m bench large_fit --scratch bench-large --do page

# The site: pages of methods, the API and the command line are made from the code; a warning or a broken link ends it.
docs: $(DOCS_STAMP)
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build
	@echo "written to docs/_build: open docs/_build/index.html"

# Quotes what the examples print in the tutorial anew, after a change that moves its numbers.
tutorial: $(STAMP)
	$(BIN)/python examples/demo.py > .venv/demo.log 2>&1
	rm -rf .venv/pump
	$(BIN)/python examples/decision.py .venv/pump > .venv/decision.log
	$(BIN)/python tests/quote.py .venv/demo.log .venv/decision.log

install: $(STAMP)

# torch comes first and by its exact version: an open range may pick a build of several gigabytes.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("unseen needs Python 3.11 or newer, and $(PYTHON) is %d.%d: make PYTHON=python3.11 ..., or install a newer Python" % v[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m $(PIP) $(TORCH)
	$(BIN)/python -m $(PIP) -c constraints.txt -e '.[dev]'
	@touch $@

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m $(PIP) -c constraints.txt -e '.[docs]'
	@touch $@

# Peers have an environment of their own, as they bring what the package does not need.
$(BENCH_STAMP): pyproject.toml constraints.txt bench/requirements.txt bench/without-dependencies.txt
	test -x $(BENCH) || $(PYTHON) -m venv .venv-bench
	$(BENCH) -m $(PIP) $(TORCH)
	$(BENCH) -m $(PIP) -c constraints.txt -e . -r bench/requirements.txt
	$(BENCH) -m $(PIP) --no-deps -r bench/without-dependencies.txt
	@touch $@

clean:
	rm -rf demo demo-images demo-service bench-large bench-quick dist docs/_build docs/*/generated .venv .venv-bench .venv-clean
