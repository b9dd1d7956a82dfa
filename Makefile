# make search   set up, run the quick start, show and scale what it found, write a page about it
# make test     set up and run the tests
# make check    set up, then format, lint, types, import contracts

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN ?= runs/quickstart-$(shell date +%Y%m%d-%H%M%S)

.PHONY: search test check clean
.DEFAULT_GOAL := test

search: $(VENV)/ready
	$(BIN)/mnas search quickstart --run $(RUN)
	@echo
	$(BIN)/mnas inspect $(RUN) --top 1 --plot $(RUN)/search.png > /dev/null
	$(BIN)/mnas export $(RUN) -o $(RUN)/b0.json
	@echo
	$(BIN)/mnas scale $(RUN)/b0.json --table efficientnet -o $(RUN)/scaled
	@echo
	$(BIN)/mnas report $(RUN) -o $(RUN)/report.html

test: $(VENV)/ready
	$(BIN)/pytest -n 2 --dist worksteal

check: $(VENV)/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# Stale when what is to be installed changes. -c holds every version to the tested one.
$(VENV)/ready: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
