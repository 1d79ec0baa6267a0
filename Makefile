# Every target sets up what it needs: a virtual environment in .venv, on a machine that has only Python.
# PYTHON chooses the interpreter: make test PYTHON=python3.13

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Most tests wait for processes and sockets rather than compute.
JOBS ?= $(shell $(PYTHON) -c 'import os; print(2 * (os.cpu_count() or 1))')

.PHONY: demo test matrix check format e2e levers bench fuzz soak kill wheel clean

demo: $(READY)
	$(BIN)/wiretape demo

test: $(READY)
	$(BIN)/python -m pytest -n $(JOBS)

# Real clients of every ecosystem; what they need is made once, in WIRETAPE_MATRIX_CACHE or the user's cache folder.
matrix: $(READY)
	WIRETAPE_MATRIX=1 $(BIN)/python -m pytest tests/matrix -n 2

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/unit tests/property -n $(JOBS) -q

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

e2e: $(READY)
	$(BIN)/python -m pytest tests/e2e tests/interop -n $(JOBS)

# The same again without each of what only makes the proxy faster, and without all of it; takes an hour.
levers: LEVERS ?= asserts hooks cork reading relay frames all
levers: $(READY)
	for lever in $(LEVERS); do echo "without $$lever"; \
		WIRETAPE_WITHOUT=$$lever $(BIN)/python -m pytest tests/e2e -n $(JOBS) -q || exit; done

# FIGURES=rps,ttfb chooses; QUICK=1 takes five minutes in place of twenty.
bench: $(READY)
	$(BIN)/python -m tests.bench.compare $(if $(FIGURES),--only $(FIGURES)) $(if $(QUICK),--quick --rounds 2)
	$(if $(FIGURES)$(QUICK),,for what in memory replay opening matching; do $(BIN)/python -m tests.bench.$$what || exit; done)

soak: $(READY)
	$(BIN)/python -m tests.bench.soak --minutes 10

kill: $(READY)
	WIRETAPE_KILLS=200 $(BIN)/python -m pytest tests/e2e/test_kill.py -n $(JOBS)

# Guided by coverage once atheris is installed; SECONDS chooses for how long.
fuzz: SECONDS ?= 60
fuzz: $(READY)
	$(BIN)/python -m tests.fuzz.loader --seconds $(SECONDS)

wheel: $(READY)
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) build dist

# pip 25.1 is the first that knows dependency groups; an older one is replaced inside the environment only.
$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "wiretape needs Python 3.11 or newer; try: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@
