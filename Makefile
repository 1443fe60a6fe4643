# make demo   compare optimizers on real data and leave a report in out/demo
# make test   run the tests (and the doctests)
# make test-as-users  run a fixed part of the tests with XLA as it comes: `make test` turns its optimizer down
# make test-other-python  run a small part of the tests with another Python, where one is found
# make docs   build the documentation into out/docs; warnings are errors
# make serve  build it and show it at http://localhost:8000
# make check  lint, format, types, import direction
# make bench  print every ratio table of docs/performance.md (a quiet machine, 20-30 minutes, needs torch)
# Each does its own set-up in .venv; PYTHON=python3.12 chooses another interpreter (3.11 or newer).

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test test-as-users test-other-python docs serve check bench clean
.DEFAULT_GOAL := demo

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[workbench,dev,docs]'
	touch $@

demo: $(READY)
	$(BIN)/nablax compare digits --resume out/demo

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile

RUNTIME := optimizer owning train_step precision packing programs
AS_USERS := tests/test_examples.py tests/core $(RUNTIME:%=tests/runtime/test_%.py) tests/test_readme.py \
            tests/autograd/test_functional.py tests/autograd/test_tour.py

# The examples take about as long as all others together: one process begins with them, in this order.
test-as-users: $(READY)
	XLA_FLAGS= $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(AS_USERS)

test-other-python: $(READY)
	.ci/other-python

docs: $(READY)
	$(BIN)/python -m sphinx -b html -W --keep-going -q -d .cache/docs docs out/docs

serve: docs
	$(BIN)/python -m http.server 8000 --bind localhost --directory out/docs

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(READY)
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf .venv .cache out .pytest_cache .mypy_cache .ruff_cache .hypothesis
