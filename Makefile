# Everything runs from here; paths are relative, so that a folder with a blank in its name is fine.
PYTHON ?= python3
PY := .venv/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check
export PIP_ROOT_USER_ACTION := ignore

.NOTPARALLEL:
.PHONY: help demo lab test programs rest lint bench bench-memory bench-workshop bench-path chaos clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   set up, start the sandbox, run notebooks/01_quickstart.ipynb, say where everything is"
	@echo "make lab    open JupyterLab on the notebooks, with the sandbox running"
	@echo "make test   install what the tests need, then run lint, types and all tests"
	@echo "make lint   format, lint and types only"
	@echo "make bench  compare with the official SDK, side by side"
	@echo "make bench-memory  a log of a million runs, on SQLite and PostgreSQL: lookups, sums, durable writes"
	@echo "make bench-workshop  Stop in each kernel, a form's comms, a gallery of 10,000, bytes per image"
	@echo "make bench-path  the files and functions of the package that one warm cell passes through"
	@echo "make chaos  thousands of tasks through storms of faults, with ten seeds; SEED=N repeats one"
	@echo "make clean  remove what these made"

.venv/bin/python:
	@$(PYTHON) tests/setup/machine.py venv .venv

.venv/demo.stamp: pyproject.toml | .venv/bin/python
	@echo "installing runware-nb with Jupyter and the sandbox ..."
	@$(PIP) --editable '.[demo]'
	@touch $@

.venv/test.stamp: pyproject.toml | .venv/bin/python
	@echo "installing what the tests need ..."
	@$(PIP) --editable '.[test]'
	@touch $@ .venv/demo.stamp

# The older official package has the newer one's module name, so it lives in an environment of its own.
.venv-old-sdk/stamp:
	@echo "installing the older official package apart ..."
	@$(PYTHON) tests/setup/machine.py venv .venv-old-sdk
	@.venv-old-sdk/bin/python -m pip install --quiet --disable-pip-version-check 'runware==0.5.24'
	@touch $@

# Other versions of the kernel, for the browser tests: each in a folder that its kernel puts first on the path.
.kernels/stamp: .venv/test.stamp
	@echo "fetching the other kernels that are tested ..."
	@$(PIP) --no-deps --upgrade --target .kernels/6.31.0 'ipykernel==6.31.0'
	@$(PIP) --no-deps --upgrade --target .kernels/7.3.0 'ipykernel==7.3.0'
	@touch $@

demo: .venv/demo.stamp
	@$(PY) notebooks/demo.py run

lab: .venv/demo.stamp
	@$(PY) notebooks/demo.py lab

lint: .venv/test.stamp
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m mypy tests/typing/api.py

# First what may need the user: nothing else may fail before the one command that they have to run.
programs:
	@$(PYTHON) tests/setup/machine.py programs

rest: .venv/test.stamp
	@$(PY) tests/setup/machine.py rest

test: programs rest lint .venv-old-sdk/stamp .kernels/stamp
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

bench: .venv/test.stamp
	@$(PY) benchmarks/compare.py

bench-memory: .venv/test.stamp
	@$(PY) benchmarks/memory.py

bench-workshop: .venv/test.stamp .kernels/stamp
	@$(PY) benchmarks/workshop.py

bench-path: .venv/test.stamp
	@$(PY) benchmarks/call_path.py

chaos: .venv/test.stamp
	@$(PY) -m tests.chaos $(if $(SEED),--seed $(SEED))

clean:
	rm -rf .venv .venv-old-sdk .venv-oldest-* .kernels build dist bench-output demo-output test-artifacts .mypy_cache .ruff_cache .pytest_cache .hypothesis
